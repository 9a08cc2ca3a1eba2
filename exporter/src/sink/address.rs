//! The addresses by which sinks are named.

use std::fmt;
use std::path::{Path, PathBuf, absolute};
use std::str::FromStr;

use reqwest::Url;

use super::http::Transport;
use super::{FileSink, HttpSink, OtlpHttp, OtlpOptions, Sink, SinkOptions, StdoutSink};
use crate::Error;

/// The forms of an address, as a message lists them.
pub const FORMS: &str = "file:PATH, stdout, otlp, otlp+http://HOST[:PORT] or otlp+https://HOST[:PORT]";

/// The port of OTLP over HTTP, where an address names none. Over TLS it is 443.
const OTLP_HTTP_PORT: u16 = 4318;

/// The address of a sink that comes with spanring. Its text is canonical, and does not depend on the working directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SinkAddress {
    /// A file of OTLP/JSON lines, by its absolute path.
    File(PathBuf),
    /// OTLP/JSON lines on standard output.
    Stdout,
    /// An OTLP receiver over HTTP.
    OtlpHttp {
        /// Its base URL: `/v1/traces` is added to its path.
        url: Url,
        /// Whether nothing is added, and the path is used as it is. In text, a `#` behind it says so.
        is_whole: bool,
    },
}

impl SinkAddress {
    /// What the sink is called that OpenTelemetry's variables name.
    pub const OF_ENVIRONMENT: &str = "otlp";

    /// Reads an address, of which `otlp` is that of `options`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSink`].
    pub fn parse(text: &str, options: &OtlpOptions) -> Result<Self, Error> {
        match text {
            Self::OF_ENVIRONMENT => {
                let endpoint = options.endpoint_or_default();
                Ok(Self::otlp_http(endpoint.url, endpoint.is_whole))
            }
            text => text.parse(),
        }
    }

    /// Sets the sink up. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Error::Sink`] where the file cannot be opened or holds something else, or TLS cannot be set up.
    pub fn open(&self) -> Result<Box<dyn Sink>, Error> {
        self.open_with(&SinkOptions::default())
    }

    /// As [`open`](Self::open), as `options` say.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open), and where a certificate of the options cannot be read.
    pub fn open_with(&self, options: &SinkOptions) -> Result<Box<dyn Sink>, Error> {
        Ok(match self {
            SinkAddress::File(path) => Box::new(FileSink::open_with(self.to_string(), path, &options.file)?),
            SinkAddress::Stdout => Box::new(StdoutSink::open()?),
            SinkAddress::OtlpHttp { url, is_whole } => {
                let api = OtlpHttp::new(url, *is_whole, &options.otlp);
                Box::new(HttpSink::with_transport(self.to_string(), api, Transport::of(&options.otlp))?)
            }
        })
    }

    /// Whether it is an OTLP receiver, which is sent what only that receiver may get to see.
    pub fn is_otlp(&self) -> bool {
        matches!(self, SinkAddress::OtlpHttp { .. })
    }

    /// Of one receiver there is one text, whatever ends its path.
    fn otlp_http(mut url: Url, is_whole: bool) -> Self {
        if !is_whole {
            let path = url.path().trim_end_matches('/').to_owned();
            url.set_path(&path);
        }
        SinkAddress::OtlpHttp { url, is_whole }
    }
}

impl fmt::Display for SinkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SinkAddress::File(path) => write!(f, "file:{}", path.display()),
            SinkAddress::Stdout => f.write_str(StdoutSink::NAME),
            SinkAddress::OtlpHttp { url, is_whole } => {
                // With the port that HTTP implies, since this scheme implies another one.
                let port = url.port_or_known_default().unwrap_or(OTLP_HTTP_PORT);
                write!(f, "otlp+{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default())?;
                match is_whole {
                    true => write!(f, "{}#", url.path()),
                    false => f.write_str(url.path().trim_end_matches('/')),
                }
            }
        }
    }
}

impl FromStr for SinkAddress {
    type Err = Error;

    fn from_str(address: &str) -> Result<Self, Error> {
        let unknown = |reason: &str| {
            let shown = without_secrets(address);
            let cut = if shown == address { "" } else { " (credentials, query and fragment are not shown)" };
            Error::UnknownSink { address: shown, reason: format!("{reason}{cut}") }
        };
        if address == Self::OF_ENVIRONMENT {
            return Err(unknown("it stands for what the environment says, which was not asked"));
        }
        if address == StdoutSink::NAME {
            return Ok(SinkAddress::Stdout);
        }
        let Some((scheme, rest)) = address.split_once(':') else {
            return Err(unknown("it has no scheme"));
        };
        match scheme {
            "file" => file(rest).map_err(unknown),
            "otlp+http" | "otlp+https" => otlp_http(address, scheme).map_err(|reason| unknown(&reason)),
            // It may be a user's name, of an address that begins with credentials.
            _ => Err(unknown("no sink has such a scheme")),
        }
    }
}

/// An address for a message, which may end in a log: with `…` in place of credentials, and of a query or a fragment. An
/// address that is none has no certain parts, so rather too much is cut out.
fn without_secrets(address: &str) -> String {
    let is_known = |scheme: &str| matches!(scheme, "file" | "otlp+http" | "otlp+https");
    let begin = match address.split_once(':') {
        Some((scheme, rest)) if is_known(scheme) || rest.starts_with("//") => {
            address.len() - rest.trim_start_matches(['/', '\\']).len()
        }
        _ => 0,
    };
    let (scheme, rest) = address.split_at(begin);
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    match rest.rfind('@') {
        // Within a query, or behind a password with a question mark.
        Some(at) if at > end => format!("{scheme}…"),
        Some(at) => format!("{scheme}…{}{}", &rest[at..end], if end < rest.len() { "…" } else { "" }),
        None if end < rest.len() => format!("{scheme}{}…", &rest[..end]),
        None => address.to_owned(),
    }
}

fn file(path: &str) -> Result<SinkAddress, &'static str> {
    if path.starts_with("//") && !path.starts_with("///") {
        return Err("a file is named by its path, without a host");
    }
    if path.is_empty() || path.ends_with('/') {
        return Err("it names no file");
    }
    match absolute(Path::new(path)) {
        Ok(path) => Ok(SinkAddress::File(path)),
        Err(_) => Err("the working directory, which a relative path begins in, is gone"),
    }
}

fn otlp_http(address: &str, scheme: &str) -> Result<SinkAddress, String> {
    let http = address.strip_prefix("otlp+").unwrap_or(address);
    let mut url = Url::parse(http).map_err(|error| error.to_string())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "credentials do not belong into an address, where every user of the machine can read them".into(),
        );
    }
    let is_whole = url.fragment() == Some("");
    if url.query().is_some() || url.fragment().is_some() && !is_whole {
        return Err("a query or fragment has no meaning here".into());
    }
    url.set_fragment(None);
    // Under its own scheme the port is what was written, also if it is the one that HTTP implies.
    let port_is_given = Url::parse(address).is_ok_and(|url| url.port().is_some());
    if scheme == "otlp+http" && !port_is_given && url.set_port(Some(OTLP_HTTP_PORT)).is_err() {
        return Err("it names no host".into());
    }
    Ok(SinkAddress::otlp_http(url, is_whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(address: &str) -> String {
        address.parse::<SinkAddress>().unwrap().to_string()
    }

    #[test]
    fn an_address_has_one_canonical_text_wherever_it_is_written() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(canonical("file:spans.jsonl"), format!("file:{}/spans.jsonl", here.display()));
        assert_eq!(canonical("file:./spans.jsonl"), canonical("file:spans.jsonl"));
        assert_eq!(canonical("file:///tmp/spans.jsonl"), "file:/tmp/spans.jsonl");
        assert_eq!(canonical("stdout"), "stdout");
        assert_eq!(canonical("otlp+http://LocalHost"), "otlp+http://localhost:4318");
        assert_eq!(canonical("otlp+http://localhost:4318/"), "otlp+http://localhost:4318");
        assert_eq!(canonical("otlp+http://[::1]:80/base/"), "otlp+http://[::1]:80/base");
        assert_eq!(canonical("otlp+https://host"), "otlp+https://host:443");
        assert_eq!(canonical("otlp+https://host:4318"), "otlp+https://host:4318");
        assert_eq!(canonical("otlp+https://host/a/b#"), "otlp+https://host:443/a/b#");
        assert_eq!(canonical("otlp+https://host/a/#"), "otlp+https://host:443/a/#");
        assert_eq!(canonical("otlp+http://host#"), "otlp+http://host:4318/#");
        let of_environment = SinkAddress::parse("otlp", &OtlpOptions::default()).unwrap();
        assert_eq!(of_environment, "otlp+http://localhost".parse().unwrap());
    }

    #[test]
    fn canonical_text_is_an_address_again() {
        for address in [
            "file:a",
            "stdout",
            "otlp+http://h",
            "otlp+http://h:80/b",
            "otlp+https://h",
            "otlp+https://h:1",
            "otlp+http://h/a/#",
        ] {
            assert_eq!(canonical(&canonical(address)), canonical(address), "{address}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_named_with_the_reason_and_the_forms() {
        let cases = [
            ("spans.jsonl", "it has no scheme"),
            ("stdout:x", "no sink has such a scheme"),
            ("ftp://host/x", "no sink has such a scheme"),
            ("file:", "it names no file"),
            ("file:/tmp/", "it names no file"),
            ("file://host/x", "a file is named by its path, without a host"),
            ("otlp+http://", "empty host"),
            ("otlp+http://h:99999", "invalid port number"),
        ];
        for (address, reason) in cases {
            let message = address.parse::<SinkAddress>().unwrap_err().to_string();
            assert!(message.contains(&format!("{address:?}")), "{message}");
            assert!(message.contains(reason), "{message}");
            assert!(message.ends_with(FORMS), "{message}");
        }
    }

    #[test]
    fn what_may_be_secret_in_an_address_is_in_no_message() {
        let cases = [
            ("otlp+https://secret@h", "otlp+https://…@h", "credentials do not belong"),
            ("otlp+https://secret:secret@h/b", "otlp+https://…@h/b", "credentials do not belong"),
            ("otlp+https:secret@h", "otlp+https:…@h", "credentials do not belong"),
            ("otlp+https://se/secret@h?secret", "otlp+https://…@h…", ""),
            ("otlp+https://secret?secret@h", "otlp+https://…", ""),
            ("otlp+https://h?key=secret", "otlp+https://h…", "a query or fragment has no meaning here"),
            ("otlp+https://h#secret", "otlp+https://h…", "a query or fragment has no meaning here"),
            ("otlp+https://secret@h?key=secret", "otlp+https://…@h…", ""),
            ("https://secret:secret@h", "https://…@h", "no sink has such a scheme"),
            ("secret:secret@h", "…@h", "no sink has such a scheme"),
            ("secret@h", "…@h", "it has no scheme"),
            ("file://secret@h/x", "file://…@h/x", "without a host"),
        ];
        for (address, shown, reason) in cases {
            let message = address.parse::<SinkAddress>().unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
            assert!(message.contains(&format!("{shown:?}")) && message.contains(reason), "{message}");
            assert!(message.contains("are not shown"), "{message}");
        }
    }
}
