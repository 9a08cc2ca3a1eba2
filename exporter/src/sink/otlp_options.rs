//! How OTLP receivers are asked, as OpenTelemetry's variables say.
//!
//! Each variable has a form for traces, which wins: `OTEL_EXPORTER_OTLP_TRACES_HEADERS` over `OTEL_EXPORTER_OTLP_HEADERS`. One that is
//! empty is as if it were not there.
//!
//! | `OTEL_EXPORTER_OTLP_…` | |
//! |---|---|
//! | `ENDPOINT` | where the sink `otlp` is: a base URL, to whose path `/v1/traces` is added; `http://localhost:4318` unless said otherwise |
//! | `TRACES_ENDPOINT` | the same, and its path is used as it is |
//! | both, where `PROTOCOL` is `grpc` | `http://HOST[:PORT]`, `https://HOST[:PORT]` or `HOST[:PORT]`, without a path; `http://localhost:4317` unless said otherwise |
//! | `PROTOCOL` | `http/protobuf`, unless said otherwise, `http/json`, or `grpc`: how the sink `otlp` is asked. A sink that is named by its address has its scheme say so, and JSON if it speaks HTTP |
//! | `HEADERS` | `key=value,key=value`, percent-encoded, sent with each request. They are secrets, and never shown |
//! | `HEADERS_FILE` | a file that holds what `HEADERS` says, without its last line break. This one is spanring's own |
//! | `COMPRESSION` | `gzip`, unless said otherwise, or `none` |
//! | `TIMEOUT` | how long a request may take, in milliseconds; 30,000 unless said otherwise |
//! | `CERTIFICATE` | a file of PEM certificates: who signed the receiver's, in place of the system's roots |
//! | `CLIENT_CERTIFICATE`, `CLIENT_KEY` | files of PEM: what the exporter proves itself by, both or neither |
//! | `INSECURE` | `true`: an endpoint without a scheme is asked without TLS; its port is 4317 then, and 443 else, unless it is named |
//!
//! `SPANRING_OTLP_NAMES`, which is spanring's own, says whose names attributes have: `gen-ai`, unless said otherwise, or `openinference`. It is about
//! `file:` and `stdout` too, which write the same.
//!
//! OpenTelemetry says nothing of a path in the endpoint of gRPC, which has no place for one; its SDKs ignore it, refuse it, or fail later. Here it
//! is an error, as it was meant for HTTP.
//!
//! A number or a name that makes no sense is ignored, with a warning, as OpenTelemetry demands. What is ignored must not send spans to
//! the wrong place, or in the clear, or as nobody, or under other names: an endpoint, headers, a certificate or names that make no sense are errors.

mod setters;
mod summary;

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING,
};

use super::address::{OTLP_GRPC_PORT, has_no_path, has_port};
use super::endpoint;
use super::http::Identity;
use crate::otlp::Names;
use crate::{Error, secret};

const PREFIX: &str = "OTEL_EXPORTER_OTLP_";
const NAMES: &str = "SPANRING_OTLP_NAMES";
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";
const DEFAULT_ENDPOINT_GRPC: &str = "http://localhost:4317";

/// How OTLP receivers are asked.
#[derive(Clone, Default)]
pub struct OtlpOptions {
    pub(super) endpoint: Option<Endpoint>,
    pub(super) protocol: Protocol,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) is_plain: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) certificate: Option<PathBuf>,
    /// What the exporter proves itself by.
    pub(super) identity: Option<Identity>,
    pub(super) names: Names,
    pub(super) warnings: Vec<String>,
}

/// Where the receiver is that the environment names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    /// Whether its path is used as it is.
    pub(super) is_whole: bool,
}

/// How requests are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// OTLP/HTTP with protobuf.
    #[default]
    Protobuf,
    /// OTLP/HTTP with JSON.
    Json,
    /// OTLP/gRPC.
    Grpc,
}

impl OtlpOptions {
    /// What this process's environment says.
    ///
    /// # Errors
    ///
    /// [`Error::Variable`] for a variable that makes no sense and cannot be ignored.
    pub fn from_environment() -> Result<Self, Error> {
        Self::read(|name| std::env::var_os(name))
    }

    /// What was ignored, since it makes no sense; a line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether there is something that only the receiver it is meant for may get to see.
    pub fn has_secrets(&self) -> bool {
        !self.headers.is_empty() || self.identity.is_some()
    }

    /// Whether requests have headers of their own.
    pub(crate) fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// What those are called.
    pub(crate) fn header_names(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// Itself without secrets, for a receiver that nobody said may see them.
    pub(crate) fn without_secrets(&self) -> Self {
        OtlpOptions { headers: Vec::new(), identity: None, ..self.clone() }
    }

    /// Whose names attributes have.
    pub(crate) fn given_names(&self) -> Names {
        self.names
    }

    /// The names that the variable says which `get` knows.
    pub(super) fn read_names(get: impl Fn(&str) -> Option<OsString>) -> Result<Names, Error> {
        match get(NAMES).filter(|value| !value.is_empty()) {
            None => Ok(Names::default()),
            Some(value) => {
                value.to_str().map(str::trim).and_then(Names::named).ok_or_else(|| Error::Variable {
                    name: NAMES.to_owned(),
                    reason: "it is neither gen-ai nor openinference".to_owned(),
                })
            }
        }
    }

    /// Where the sink `otlp` is.
    pub(super) fn endpoint_or_default(&self) -> Endpoint {
        let default = match self.protocol {
            Protocol::Protobuf | Protocol::Json => DEFAULT_ENDPOINT,
            Protocol::Grpc => DEFAULT_ENDPOINT_GRPC,
        };
        self.endpoint.clone().unwrap_or_else(|| Endpoint {
            url: Url::parse(default).expect("it is a URL, as a test shows"),
            is_whole: false,
        })
    }

    /// What the variables say that `get` knows.
    pub(crate) fn read(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let mut options = OtlpOptions { names: Self::read_names(&get)?, ..OtlpOptions::default() };
        let variable = |name: &str| {
            let names = [format!("{PREFIX}TRACES_{name}"), format!("{PREFIX}{name}")];
            names.into_iter().find_map(|name| Some((get(&name).filter(|value| !value.is_empty())?, name)))
        };
        let text = |name: &str| match variable(name) {
            None => Ok(None),
            Some((value, name)) => match value.into_string() {
                Ok(value) => Ok(Some((value.trim().to_owned(), name))),
                Err(_) => Err(Error::Variable { name, reason: "it is no UTF-8".to_owned() }),
            },
        };

        match text("PROTOCOL")? {
            Some((value, _)) if value == "http/json" => options.protocol = Protocol::Json,
            Some((value, _)) if value == "grpc" => options.protocol = Protocol::Grpc,
            Some((value, name)) if value != "http/protobuf" => {
                options.ignore(&name, "it is none of http/protobuf, http/json and grpc");
            }
            _ => {}
        }
        let is_insecure = match text("INSECURE")? {
            Some((value, _)) if value.eq_ignore_ascii_case("true") => true,
            Some((value, name)) if !value.eq_ignore_ascii_case("false") => {
                options.ignore(&name, "it is neither true nor false");
                false
            }
            _ => false,
        };
        if let Some((value, name)) = text("ENDPOINT")? {
            let url = match options.protocol {
                Protocol::Protobuf | Protocol::Json => endpoint(&value),
                Protocol::Grpc => grpc_endpoint(&value, is_insecure),
            };
            let is_whole = name.starts_with("OTEL_EXPORTER_OTLP_TRACES_");
            let url = url.map_err(|reason| Error::Variable { name, reason })?;
            options.endpoint = Some(Endpoint { url, is_whole });
        }
        let held = |name: &str| secret::in_variable(&format!("{PREFIX}{name}"), &get);
        let of_traces = held("TRACES_HEADERS")?;
        if let Some((value, name)) = if of_traces.is_some() { of_traces } else { held("HEADERS")? } {
            options.headers = headers(value.trim())
                .map_err(|reason| Error::Variable { name, reason: reason.to_owned() })?;
        }
        match text("COMPRESSION")? {
            Some((value, _)) if value == "none" => options.is_plain = true,
            Some((value, name)) if value != "gzip" => options.ignore(&name, "it is none of gzip and none"),
            _ => {}
        }
        if let Some((value, name)) = text("TIMEOUT")? {
            match value.parse() {
                Ok(ms @ 1..) => options.timeout = Some(Duration::from_millis(ms)),
                _ => options.ignore(&name, "it is no number of milliseconds above 0"),
            }
        }
        let file = |name| variable(name).map(|(value, _)| PathBuf::from(value));
        options.certificate = file("CERTIFICATE");
        options.identity = match (file("CLIENT_CERTIFICATE"), file("CLIENT_KEY")) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            (certificate, _) => {
                let [there, missing] = match certificate {
                    Some(_) => ["CLIENT_CERTIFICATE", "CLIENT_KEY"],
                    None => ["CLIENT_KEY", "CLIENT_CERTIFICATE"],
                };
                let reason = format!("it is of no use without {PREFIX}{missing}");
                return Err(Error::Variable { name: format!("{PREFIX}{there}"), reason });
            }
        };
        Ok(options)
    }

    fn ignore(&mut self, name: &str, reason: &str) {
        self.warnings.push(format!("{name} is ignored: {reason}"));
    }
}

fn endpoint(text: &str) -> Result<Url, String> {
    endpoint::endpoint(text, "credentials belong into OTEL_EXPORTER_OTLP_HEADERS")
}

/// An endpoint of gRPC, where a scheme may be missing.
fn grpc_endpoint(text: &str, is_insecure: bool) -> Result<Url, String> {
    let url = match text.contains("://") {
        true => endpoint(text)?,
        false if is_insecure => {
            let mut url = endpoint(&format!("http://{text}"))?;
            if !has_port(&format!("grpc://{text}")) && url.set_port(Some(OTLP_GRPC_PORT)).is_err() {
                return Err("it names no host".to_owned());
            }
            url
        }
        false => endpoint(&format!("https://{text}"))?,
    };
    if has_no_path(&url) { Ok(url) } else { Err("a path has no meaning to gRPC".to_owned()) }
}

/// Headers that say what a request is, which only the sink knows.
pub(crate) const OWN_HEADERS: [HeaderName; 6] =
    [ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, IDEMPOTENCY_KEY, TRANSFER_ENCODING];

/// By which a receiver can tell that it has had a request.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Headers as W3C baggage writes its members, without properties.
fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, &'static str> {
    let member = |member: &str| {
        let (key, value) = member.split_once('=').ok_or("a header has no =")?;
        let decoded = |text: &str| percent_decode_str(text.trim()).collect::<Vec<u8>>();
        let name = HeaderName::from_bytes(&decoded(key))
            .map_err(|_| "a header has a name that HTTP does not allow")?;
        if OWN_HEADERS.contains(&name) {
            return Err("a header is the sink's own, which says by it what it sends");
        }
        let value = HeaderValue::from_bytes(&decoded(value));
        let mut value = value.map_err(|_| "a header has a value that HTTP does not allow")?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(member).collect()
}

impl fmt::Debug for OtlpOptions {
    /// Without the values of headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("OtlpOptions")
            .field("endpoint", &self.endpoint)
            .field("protocol", &self.protocol)
            .field("headers", &names)
            .field("is_plain", &self.is_plain)
            .field("timeout", &self.timeout)
            .field("certificate", &self.certificate)
            .field("identity", &self.identity)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<OtlpOptions, String> {
        let get = |asked: &str| {
            let variable = variables.iter().find(|(name, _)| format!("{PREFIX}{name}") == asked);
            variable.map(|(_, value)| OsString::from(value))
        };
        OtlpOptions::read(get).map_err(|error| error.to_string())
    }

    fn headers_of(text: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
        let options = read(&[("HEADERS", text)])?;
        let header =
            |(name, value): &(HeaderName, HeaderValue)| (name.to_string(), value.as_bytes().to_vec());
        Ok(options.headers.iter().map(header).collect())
    }

    #[test]
    fn without_variables_requests_go_to_this_machine_compressed_and_with_our_own_time_limit() {
        let options = read(&[]).unwrap();
        let endpoint = options.endpoint_or_default();
        assert_eq!((endpoint.url.as_str(), endpoint.is_whole), ("http://localhost:4318/", false));
        assert_eq!((options.protocol, options.is_plain, options.timeout), (Protocol::Protobuf, false, None));
        assert!(!options.has_secrets() && options.warnings().is_empty());
    }

    #[test]
    fn what_is_said_of_traces_wins_and_an_empty_variable_is_none() {
        let both = read(&[
            ("TIMEOUT", "1"),
            ("TRACES_TIMEOUT", "2"),
            ("COMPRESSION", "none"),
            ("TRACES_COMPRESSION", "gzip"),
        ]);
        let both = both.unwrap();
        assert_eq!((both.timeout, both.is_plain), (Some(Duration::from_millis(2)), false));
        let empty = read(&[("TIMEOUT", "1"), ("TRACES_TIMEOUT", ""), ("ENDPOINT", "")]).unwrap();
        assert_eq!((empty.timeout, empty.endpoint), (Some(Duration::from_millis(1)), None));
        let whole =
            read(&[("ENDPOINT", "http://a"), ("TRACES_ENDPOINT", "https://b/c")]).unwrap().endpoint.unwrap();
        assert_eq!((whole.url.as_str(), whole.is_whole), ("https://b/c", true));
    }

    fn grpc_endpoint_of(variables: &[(&str, &str)]) -> Result<String, String> {
        let options = read(&[&[("PROTOCOL", "grpc")], variables].concat())?;
        assert_eq!((options.protocol, options.warnings()), (Protocol::Grpc, [].as_slice()));
        Ok(options.endpoint_or_default().url.to_string())
    }

    #[test]
    fn an_endpoint_of_grpc_may_have_no_scheme_and_is_secure_unless_said_otherwise() {
        assert_eq!(grpc_endpoint_of(&[]).unwrap(), "http://localhost:4317/");
        for (endpoint, secure, insecure) in [
            ("h:1", "https://h:1/", "http://h:1/"),
            ("h", "https://h/", "http://h:4317/"),
            ("h:80", "https://h:80/", "http://h/"),
            ("h:443", "https://h/", "http://h:443/"),
            ("[::1]:4317", "https://[::1]:4317/", "http://[::1]:4317/"),
            ("http://h:1", "http://h:1/", "http://h:1/"),
            ("http://h", "http://h/", "http://h/"),
            ("https://h/", "https://h/", "https://h/"),
        ] {
            let of = |more: &[(&str, &str)]| {
                let variables = [&[("ENDPOINT", endpoint)], more].concat();
                grpc_endpoint_of(&variables).unwrap()
            };
            assert_eq!(of(&[]), secure, "{endpoint}");
            assert_eq!(of(&[("INSECURE", "False")]), secure, "{endpoint}");
            assert_eq!(of(&[("INSECURE", "True")]), insecure, "{endpoint}");
            assert_eq!(of(&[("INSECURE", "true"), ("TRACES_INSECURE", "false")]), secure, "{endpoint}");
        }
    }

    #[test]
    fn an_endpoint_of_grpc_is_a_host() {
        for (endpoint, reason) in [
            ("http://h/v1/traces", "a path has no meaning to gRPC"),
            ("h:1/x", "a path has no meaning to gRPC"),
            ("unix:/run/socket", "a path has no meaning to gRPC"),
            ("dns:///h", "its scheme is neither http nor https"),
            ("secret@h", "credentials belong into OTEL_EXPORTER_OTLP_HEADERS"),
            ("h?secret", "a query or fragment has no meaning here"),
            ("h:port", "invalid port number"),
        ] {
            let expected = format!("cannot use {PREFIX}TRACES_ENDPOINT: {reason}");
            assert_eq!(grpc_endpoint_of(&[("TRACES_ENDPOINT", endpoint)]).unwrap_err(), expected);
        }
    }

    #[test]
    fn headers_are_percent_decoded_and_trimmed() {
        let expected = [("api-key", "a b,c=d"), ("x", "")]
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        assert_eq!(headers_of(" Api-Key = a%20b%2Cc=d , x= ,,").unwrap(), expected);
        assert_eq!(headers_of("authorization=Bearer%20t").unwrap()[0].1, b"Bearer t");
    }

    #[test]
    fn headers_may_be_kept_in_a_file_and_what_is_said_of_traces_wins_in_either_form() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name).into_os_string().into_string().unwrap()
        };
        let (a, b) = (file("a", "x=a\n"), file("b", " x = %62,\r\n"));
        for (variables, expected) in [
            (&[("HEADERS_FILE", a.as_str())][..], "a"),
            (&[("HEADERS_FILE", &a), ("TRACES_HEADERS_FILE", &b)], "b"),
            (&[("HEADERS_FILE", &a), ("TRACES_HEADERS", "x=c")], "c"),
            (&[("HEADERS", "x=c"), ("TRACES_HEADERS_FILE", &b)], "b"),
            (&[("HEADERS", ""), ("HEADERS_FILE", &a)], "a"),
        ] {
            let options = read(variables).unwrap();
            assert_eq!(options.headers[0].1, expected, "{variables:?}");
            assert!(options.headers[0].1.is_sensitive() && options.has_secrets());
        }
        for (name, text, reason) in [
            ("empty", "\n", "it is empty"),
            ("none", "secret", "a header has no ="),
            (
                "own",
                "x=secret,Content-Type=secret",
                "a header is the sink's own, which says by it what it sends",
            ),
            ("long", &"secret".repeat(20_000), "it is longer than 65536 bytes"),
        ] {
            let message = read(&[("HEADERS_FILE", &file(name, text))]).unwrap_err();
            assert!(message.starts_with("cannot use OTEL_EXPORTER_OTLP_HEADERS_FILE: "), "{message}");
            assert!(message.ends_with(reason) && !message.contains("secret"), "{message}");
        }
        let both = read(&[("HEADERS_FILE", &a), ("HEADERS", "x=secret")]).unwrap_err();
        let expected = "cannot use OTEL_EXPORTER_OTLP_HEADERS_FILE: OTEL_EXPORTER_OTLP_HEADERS is there too, \
            and one of them is to be left out";
        assert_eq!(both, expected);
    }

    #[test]
    fn what_cannot_be_ignored_is_an_error_that_names_the_variable_and_no_secret() {
        for (name, value, reason) in [
            ("HEADERS", "secret", "a header has no ="),
            ("HEADERS", "a=1,se cret=1", "a header has a name that HTTP does not allow"),
            ("TRACES_HEADERS", "a=secret%0a", "a header has a value that HTTP does not allow"),
            ("ENDPOINT", "localhost:4318", "its scheme is neither http nor https"),
            ("TRACES_ENDPOINT", "http://secret@h", "credentials belong into OTEL_EXPORTER_OTLP_HEADERS"),
            ("ENDPOINT", "https://h?key=secret", "a query or fragment has no meaning here"),
            ("CLIENT_KEY", "/k", "it is of no use without OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
            ("CLIENT_CERTIFICATE", "/c", "it is of no use without OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        ] {
            let message = read(&[(name, value)]).unwrap_err();
            assert_eq!(message, format!("cannot use {PREFIX}{name}: {reason}"));
        }
        let shown = format!("{:?}", read(&[("HEADERS", "api-key=secret")]).unwrap());
        assert!(shown.contains("api-key") && !shown.contains("secret"), "{shown}");
    }

    #[test]
    fn what_makes_no_sense_and_does_no_harm_is_ignored_with_a_warning() {
        for (name, value) in [
            ("PROTOCOL", "http/xml"),
            ("COMPRESSION", "zip"),
            ("INSECURE", "yes"),
            ("TIMEOUT", "soon"),
            ("TIMEOUT", "0"),
            ("TRACES_TIMEOUT", "-1"),
        ] {
            let options = read(&[(name, value)]).unwrap();
            assert!(options.warnings()[0].starts_with(&format!("{PREFIX}{name} is ignored: ")), "{name}");
            assert_eq!(
                (options.protocol, options.is_plain, options.timeout),
                (Protocol::Protobuf, false, None)
            );
        }
    }
}
