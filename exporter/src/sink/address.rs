//! The addresses by which sinks are named.

use std::fmt;
use std::path::{Path, PathBuf, absolute};
use std::str::FromStr;

use reqwest::Url;

use super::endpoint::CREDENTIALS_IN_ADDRESS;
use super::file::OtlpLines;
use super::http::Transport;
use super::openai::address as openai;
use super::{
    FileSink, HttpSink, Needs, OpenAi, OtlpGrpc, OtlpHttp, PrefactorSink, PrelaFileSink, PrelaSink, Protocol,
    Sink, SinkOptions, SpanForgeAddress, StdoutSink, System, prefactor_options, prela_file, prela_options,
    spanforge,
};
use crate::Error;

/// The forms of an address, as a message lists them.
pub const FORMS: &str = "file:PATH, stdout, otlp, otlp+http[s]://HOST[:PORT], otlp+grpc[s]://HOST[:PORT], \
    openai, openai+http[s]://HOST[:PORT], prefactor, prefactor+http[s]://HOST[:PORT], prela, prela+http[s]://HOST[:PORT]/PATH, prela-file:DIR, spanforge, spanforge+https://HOST[:PORT], \
    spanforge-webhook+http[s]://HOST[:PORT]/PATH or spanforge-file:PATH";

/// The port of OTLP over HTTP, where an address names none. Over TLS it is 443.
const OTLP_HTTP_PORT: u16 = 4318;
/// The same of OTLP over gRPC.
pub(super) const OTLP_GRPC_PORT: u16 = 4317;

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
    /// An OTLP receiver over gRPC.
    OtlpGrpc {
        /// Host and port; its scheme is `https` where there is TLS, and `http` where there is none.
        url: Url,
    },
    /// Prefactor's server.
    Prefactor {
        /// What the paths of its API are added to.
        url: Url,
    },
    /// A directory of Prela's files, by its absolute path.
    PrelaFile(PathBuf),
    /// Prela's server.
    PrelaHttp {
        /// Where traces are sent: its path is used as it is.
        url: Url,
    },
    /// OpenAI's traces, or a server that takes the same.
    OpenAi {
        /// Its base URL: `/v1/traces/ingest` is added to its path.
        url: Url,
    },
    /// SpanForge: its cloud, a web hook, or a file of events.
    SpanForge(SpanForgeAddress),
}

impl SinkAddress {
    /// What the sink is called that OpenTelemetry's variables name.
    pub const OF_ENVIRONMENT: &str = "otlp";

    /// What the sink is called that Prefactor's variables name.
    const PREFACTOR: &str = "prefactor";
    /// What the sink is called that Prela's variables name.
    const PRELA: &str = "prela";

    /// Reads an address, of which `otlp`, `prefactor`, `prela` and `spanforge` are those of `options`.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownSink`]; [`Error::Variable`] for `prela` where no endpoint is said.
    pub fn parse(text: &str, options: &SinkOptions) -> Result<Self, Error> {
        match text {
            Self::OF_ENVIRONMENT => {
                let endpoint = options.otlp.endpoint_or_default();
                Ok(match options.otlp.protocol {
                    Protocol::Grpc => Self::OtlpGrpc { url: endpoint.url },
                    Protocol::Protobuf | Protocol::Json => Self::otlp_http(endpoint.url, endpoint.is_whole),
                })
            }
            Self::PRELA => match options.prela.endpoint() {
                Some(url) => Ok(SinkAddress::PrelaHttp { url: url.clone() }),
                None => Err(Error::Variable {
                    name: prela_options::ENDPOINT.to_owned(),
                    reason: "it is not set, and says where the sink prela is".to_owned(),
                }),
            },
            Self::PREFACTOR => Ok(SinkAddress::Prefactor { url: options.prefactor.url_or_default() }),
            SpanForgeAddress::OF_ENVIRONMENT => Ok(SinkAddress::SpanForge(options.spanforge.cloud())),
            text => text.parse(),
        }
    }

    /// Sets the sink up. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Error::Sink`] where the file cannot be opened or holds something else, or TLS cannot be set up; [`Error::Variable`] where a sink needs a key.
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
            SinkAddress::File(path) => Box::new(self.file(path, options)?),
            SinkAddress::Stdout => Box::new(StdoutSink::open()?.names(options.otlp.names)),
            SinkAddress::OtlpHttp { url, is_whole } => {
                let api = OtlpHttp::new(url, *is_whole, &options.otlp);
                Box::new(HttpSink::with_transport(self.to_string(), api, Transport::of(&options.otlp))?)
            }
            SinkAddress::OtlpGrpc { url } => Box::new(OtlpGrpc::open(self.to_string(), url, &options.otlp)?),
            SinkAddress::Prefactor { url } => {
                Box::new(PrefactorSink::open(self.to_string(), url, &options.prefactor)?)
            }
            SinkAddress::PrelaHttp { url } => {
                Box::new(PrelaSink::open(self.to_string(), url, &options.prela)?)
            }
            SinkAddress::OpenAi { url } => {
                let api = OpenAi::new(url, &options.openai)?;
                Box::new(HttpSink::with_transport(self.to_string(), api, OpenAi::transport())?)
            }
            SinkAddress::PrelaFile(path) => {
                Box::new(PrelaFileSink::open(self.to_string(), path, &options.prela)?)
            }
            SinkAddress::SpanForge(address) => spanforge::open(address, options)?,
        })
    }

    /// A sink for each of so many spools. A file, a directory of files and standard output are opened once, and batches of all spools follow each
    /// other there; to a receiver each spool has a way of its own.
    ///
    /// # Errors
    ///
    /// As for [`open_with`](Self::open_with).
    pub fn open_each(&self, options: &SinkOptions, spools: usize) -> Result<Vec<Box<dyn Sink>>, Error> {
        Ok(match self {
            SinkAddress::File(path) => clones(self.file(path, options)?, spools),
            SinkAddress::Stdout => clones(StdoutSink::open()?.names(options.otlp.names), spools),
            SinkAddress::PrelaFile(path) => {
                clones(PrelaFileSink::open(self.to_string(), path, &options.prela)?, spools)
            }
            SinkAddress::SpanForge(SpanForgeAddress::File(path)) => {
                clones(spanforge::open_file(self.to_string(), path, options)?, spools)
            }
            SinkAddress::OtlpHttp { .. }
            | SinkAddress::OtlpGrpc { .. }
            | SinkAddress::Prefactor { .. }
            | SinkAddress::PrelaHttp { .. }
            | SinkAddress::OpenAi { .. }
            | SinkAddress::SpanForge(SpanForgeAddress::Cloud { .. } | SpanForgeAddress::Webhook(_)) => {
                (0..spools).map(|_| self.open_with(options)).collect::<Result<_, _>>()?
            }
        })
    }

    /// The file of OTLP/JSON lines that this is.
    fn file(&self, path: &Path, options: &SinkOptions) -> Result<FileSink, Error> {
        let lines = OtlpLines(options.otlp.names);
        FileSink::of_lines(self.to_string(), path, &options.file, lines)
    }

    /// OpenAI itself.
    pub fn openai() -> Self {
        SinkAddress::OpenAi { url: openai::openai() }
    }

    /// Whether it is an OTLP receiver.
    pub fn is_otlp(&self) -> bool {
        self.system() == Some(System::Otlp)
    }

    /// Whether what it is delivered is OTLP, wherever that is written.
    pub(crate) fn writes_otlp(&self) -> bool {
        self.is_otlp() || matches!(self, SinkAddress::File(_) | SinkAddress::Stdout)
    }

    /// The system that it is of: whose variables it heeds.
    pub fn system(&self) -> Option<System> {
        match self {
            SinkAddress::File(_) | SinkAddress::Stdout => None,
            SinkAddress::OtlpHttp { .. } | SinkAddress::OtlpGrpc { .. } => Some(System::Otlp),
            SinkAddress::OpenAi { .. } => Some(System::OpenAi),
            SinkAddress::Prefactor { .. } => Some(System::Prefactor),
            SinkAddress::PrelaFile(_) | SinkAddress::PrelaHttp { .. } => Some(System::Prela),
            SinkAddress::SpanForge(_) => Some(System::SpanForge),
        }
    }

    /// Whether it is sent what only a receiver that somebody named for it may get to see.
    pub fn is_sent_secrets(&self) -> bool {
        match self {
            SinkAddress::File(_) | SinkAddress::Stdout | SinkAddress::PrelaFile(_) => false,
            SinkAddress::OtlpHttp { .. }
            | SinkAddress::OtlpGrpc { .. }
            | SinkAddress::OpenAi { .. }
            | SinkAddress::Prefactor { .. }
            | SinkAddress::PrelaHttp { .. } => true,
            SinkAddress::SpanForge(address) => matches!(address, SpanForgeAddress::Cloud { .. }),
        }
    }

    /// What it has to know of a trace before it takes any of it.
    pub fn needs(&self) -> Needs {
        match self {
            SinkAddress::Prefactor { .. } => Needs::ParentsFirst,
            SinkAddress::PrelaHttp { .. } => Needs::Traces,
            SinkAddress::SpanForge(_) => Needs::Overview,
            _ => Needs::Spans,
        }
    }

    /// Whether it is asked over TLS.
    pub fn is_over_tls(&self) -> bool {
        match self {
            SinkAddress::OtlpHttp { url, .. } | SinkAddress::OtlpGrpc { url } => url.scheme() == "https",
            _ => false,
        }
    }

    /// Whether it is a file, which can be rotated.
    pub fn is_file(&self) -> bool {
        matches!(self, SinkAddress::File(_) | SinkAddress::SpanForge(SpanForgeAddress::File(_)))
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
            SinkAddress::SpanForge(address) => address.fmt(f),
            SinkAddress::OtlpHttp { url, is_whole } => {
                write!(f, "otlp+{}://{}", url.scheme(), host_and_port(url))?;
                match is_whole {
                    true => write!(f, "{}#", url.path()),
                    false => f.write_str(url.path().trim_end_matches('/')),
                }
            }
            SinkAddress::OtlpGrpc { url } => {
                let scheme = if url.scheme() == "https" { "otlp+grpcs" } else { "otlp+grpc" };
                write!(f, "{scheme}://{}", host_and_port(url))
            }
            SinkAddress::Prefactor { url } => {
                let path = url.path().trim_end_matches('/');
                write!(f, "prefactor+{}://{}{path}", url.scheme(), host_and_port(url))
            }
            SinkAddress::PrelaFile(path) => write!(f, "prela-file:{}", path.display()),
            SinkAddress::PrelaHttp { url } => {
                write!(f, "prela+{}://{}{}", url.scheme(), host_and_port(url), url.path())
            }
            SinkAddress::OpenAi { url } => f.write_str(&openai::canonical(url)),
        }
    }
}

fn clones(sink: impl Sink + Clone + 'static, count: usize) -> Vec<Box<dyn Sink>> {
    std::iter::repeat_n(sink, count).map(|sink| Box::new(sink) as Box<dyn Sink>).collect()
}

/// With the port that HTTP implies, since the schemes of sinks imply other ones.
fn host_and_port(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

impl FromStr for SinkAddress {
    type Err = Error;

    fn from_str(address: &str) -> Result<Self, Error> {
        let unknown = |reason: &str| {
            let shown = without_secrets(address);
            let cut = if shown == address { "" } else { " (credentials, query and fragment are not shown)" };
            Error::UnknownSink { address: shown, reason: format!("{reason}{cut}") }
        };
        if [Self::OF_ENVIRONMENT, Self::PREFACTOR, Self::PRELA, SpanForgeAddress::OF_ENVIRONMENT]
            .contains(&address)
        {
            return Err(unknown("it stands for what the environment says, which was not asked"));
        }
        if address == StdoutSink::NAME {
            return Ok(SinkAddress::Stdout);
        }
        if address == openai::SCHEME {
            return Ok(Self::openai());
        }
        if let Some(parsed) = SpanForgeAddress::parse(address) {
            return parsed.map(SinkAddress::SpanForge).map_err(|reason| unknown(&reason));
        }
        let Some((scheme, rest)) = address.split_once(':') else {
            return Err(unknown("it has no scheme"));
        };
        match scheme {
            "file" => file_path(rest).map(SinkAddress::File).map_err(unknown),
            "prela-file" => prela_file::directory(rest).map(SinkAddress::PrelaFile).map_err(unknown),
            "prefactor+http" | "prefactor+https" => prefactor(address).map_err(|reason| unknown(&reason)),
            "prela+http" | "prela+https" => prela_http(address).map_err(|reason| unknown(&reason)),
            "otlp+http" | "otlp+https" => otlp_http(address, scheme).map_err(|reason| unknown(&reason)),
            "otlp+grpc" | "otlp+grpcs" => otlp_grpc(address, scheme).map_err(|reason| unknown(&reason)),
            "openai+http" | "openai+https" => openai::parse(address)
                .map(|url| SinkAddress::OpenAi { url })
                .map_err(|reason| unknown(&reason)),
            // It may be a user's name, of an address that begins with credentials.
            _ => Err(unknown("no sink has such a scheme")),
        }
    }
}

/// An address for a message, which may end in a log: with `…` in place of credentials, and of a query or a fragment. An
/// address that is none has no certain parts, so rather too much is cut out.
fn without_secrets(address: &str) -> String {
    const SCHEMES: [&str; 13] = [
        "file",
        "otlp+http",
        "otlp+https",
        "otlp+grpc",
        "otlp+grpcs",
        "openai+http",
        "openai+https",
        "prefactor+http",
        "prefactor+https",
        "prela+http",
        "prela+https",
        "prela-file",
        "spanforge-file",
    ];
    let is_known = |scheme: &str| SCHEMES.contains(&scheme);
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

fn prefactor(address: &str) -> Result<SinkAddress, String> {
    let url = prefactor_options::endpoint(address.strip_prefix("prefactor+").unwrap_or(address))?;
    Ok(SinkAddress::Prefactor { url })
}

fn prela_http(address: &str) -> Result<SinkAddress, String> {
    let url = prela_options::endpoint(address.strip_prefix("prela+").unwrap_or(address))?;
    Ok(SinkAddress::PrelaHttp { url })
}

/// The file that is named so, by its absolute path.
pub(super) fn file_path(path: &str) -> Result<PathBuf, &'static str> {
    if path.starts_with("//") && !path.starts_with("///") {
        return Err("a file is named by its path, without a host");
    }
    if path.is_empty() || path.ends_with('/') {
        return Err("it names no file");
    }
    absolute(Path::new(path)).map_err(|_| "the working directory, which a relative path begins in, is gone")
}

fn otlp_http(address: &str, scheme: &str) -> Result<SinkAddress, String> {
    let mut url = receiver(address, scheme, OTLP_HTTP_PORT)?;
    let is_whole = url.fragment() == Some("");
    url.set_fragment(None);
    Ok(SinkAddress::otlp_http(url, is_whole))
}

fn otlp_grpc(address: &str, scheme: &str) -> Result<SinkAddress, String> {
    let url = receiver(address, scheme, OTLP_GRPC_PORT)?;
    if url.fragment().is_some() {
        return Err("a query or fragment has no meaning here".into());
    }
    if !has_no_path(&url) {
        return Err("a path has no meaning here".into());
    }
    Ok(SinkAddress::OtlpGrpc { url })
}

/// Where a receiver is, as a URL of HTTP, on this port where none is named and there is no TLS. It may have an empty fragment.
fn receiver(address: &str, scheme: &str, default_port: u16) -> Result<Url, String> {
    let is_tls = scheme.ends_with('s');
    let rest = address.strip_prefix(scheme).unwrap_or(address);
    let http = if is_tls { "https" } else { "http" };
    let mut url = Url::parse(&format!("{http}{rest}")).map_err(|error| error.to_string())?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(CREDENTIALS_IN_ADDRESS.into());
    }
    if url.query().is_some() || url.fragment().is_some_and(|fragment| !fragment.is_empty()) {
        return Err("a query or fragment has no meaning here".into());
    }
    if !is_tls && !has_port(address) && url.set_port(Some(default_port)).is_err() {
        return Err("it names no host".into());
    }
    Ok(url)
}

/// Whether an address names a port. Of a scheme that is not HTTP's, also if it is the one that HTTP implies.
pub(super) fn has_port(address: &str) -> bool {
    Url::parse(address).is_ok_and(|url| url.port().is_some())
}

/// Whether a URL stands for a host, and nothing in it.
pub(super) fn has_no_path(url: &Url) -> bool {
    matches!(url.path(), "" | "/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::OtlpOptions;

    fn canonical(address: &str) -> String {
        address.parse::<SinkAddress>().unwrap().to_string()
    }

    #[test]
    fn an_address_has_one_canonical_text_wherever_it_is_written() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(canonical("file:spans.jsonl"), format!("file:{}/spans.jsonl", here.display()));
        assert_eq!(canonical("file:./spans.jsonl"), canonical("file:spans.jsonl"));
        assert_eq!(canonical("file:///tmp/spans.jsonl"), "file:/tmp/spans.jsonl");
        assert_eq!(canonical("prela-file:traces//"), format!("prela-file:{}/traces", here.display()));
        assert_eq!(canonical("prela-file:///tmp/traces"), "prela-file:/tmp/traces");
        assert_eq!(canonical("prela-file:/"), "prela-file:/");
        assert_eq!(canonical("prefactor+https://Host/"), "prefactor+https://host:443");
        assert_eq!(canonical("prefactor+http://host:80/a/"), "prefactor+http://host:80/a");
        assert_eq!(canonical("prela+https://Host/v1/traces/"), "prela+https://host:443/v1/traces");
        assert_eq!(canonical("prela+http://host"), "prela+http://host:80/");
        assert_eq!(canonical("stdout"), "stdout");
        assert_eq!(canonical("otlp+http://LocalHost"), "otlp+http://localhost:4318");
        assert_eq!(canonical("otlp+http://localhost:4318/"), "otlp+http://localhost:4318");
        assert_eq!(canonical("otlp+http://[::1]:80/base/"), "otlp+http://[::1]:80/base");
        assert_eq!(canonical("otlp+https://host"), "otlp+https://host:443");
        assert_eq!(canonical("otlp+https://host:4318"), "otlp+https://host:4318");
        assert_eq!(canonical("otlp+https://host/a/b#"), "otlp+https://host:443/a/b#");
        assert_eq!(canonical("otlp+https://host/a/#"), "otlp+https://host:443/a/#");
        assert_eq!(canonical("otlp+http://host#"), "otlp+http://host:4318/#");
        assert_eq!(canonical("otlp+grpc://LocalHost/"), "otlp+grpc://localhost:4317");
        assert_eq!(canonical("otlp+grpc://[::1]:80"), "otlp+grpc://[::1]:80");
        assert_eq!(canonical("otlp+grpcs://host"), "otlp+grpcs://host:443");
        assert_eq!(canonical("otlp+grpcs://host:4317"), "otlp+grpcs://host:4317");
        let of_environment = SinkAddress::parse("otlp", &SinkOptions::default()).unwrap();
        assert_eq!(of_environment, "otlp+http://localhost".parse().unwrap());
        let otlp = OtlpOptions { protocol: Protocol::Grpc, ..OtlpOptions::default() };
        let grpc = SinkOptions { otlp, ..SinkOptions::default() };
        assert_eq!(SinkAddress::parse("otlp", &grpc).unwrap(), "otlp+grpc://localhost".parse().unwrap());
    }

    #[test]
    fn canonical_text_is_an_address_again() {
        for address in [
            "file:a",
            "prela-file:a",
            "prefactor+https://h",
            "prefactor+http://h:8080/a",
            "prela+https://h/v1/traces",
            "prela+http://h:8080",
            "stdout",
            "otlp+http://h",
            "otlp+http://h:80/b",
            "otlp+https://h",
            "otlp+https://h:1",
            "otlp+http://h/a/#",
            "otlp+grpc://h",
            "otlp+grpc://h:80",
            "otlp+grpcs://h",
            "otlp+grpcs://h:1",
            "spanforge+https://h/b",
            "spanforge-webhook+https://h/hook",
            "spanforge-file:a",
        ] {
            assert_eq!(canonical(&canonical(address)), canonical(address), "{address}");
        }
    }

    #[test]
    fn what_an_address_needs_is_what_its_sink_does() {
        for address in [
            "stdout",
            "otlp+http://h",
            "otlp+grpc://h",
            "prefactor+https://h",
            "prela+https://h/x",
            "spanforge-webhook+https://h/x",
        ] {
            let address = address.parse::<SinkAddress>().unwrap();
            assert_eq!(address.needs(), address.open().unwrap().needs(), "{address}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_named_with_the_reason_and_the_forms() {
        let cases = [
            ("spans.jsonl", "it has no scheme"),
            ("stdout:x", "no sink has such a scheme"),
            ("ftp://host/x", "no sink has such a scheme"),
            ("spanforge", "which was not asked"),
            ("spanforge+http://h", "the key would go there in the clear"),
            ("spanforge-file:", "it names no file"),
            ("file:", "it names no file"),
            ("file:/tmp/", "it names no file"),
            ("file://host/x", "a file is named by its path, without a host"),
            ("prefactor", "it stands for what the environment says, which was not asked"),
            ("prefactor+https://", "empty host"),
            ("prela+https://", "empty host"),
            ("prela+http://h:99999/x", "invalid port number"),
            ("prela-file:", "it names no directory"),
            ("prela-file://host/x", "a directory is named by its path, without a host"),
            ("otlp+http://", "empty host"),
            ("otlp+http://h:99999", "invalid port number"),
            ("otlp+grpc://", "empty host"),
            ("otlp+grpc://h:99999", "invalid port number"),
            ("otlp+grpcs://h/v1/traces", "a path has no meaning here"),
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
            ("otlp+grpc://secret@h", "otlp+grpc://…@h", "credentials do not belong"),
            ("otlp+grpcs:secret@h", "otlp+grpcs:…@h", "credentials do not belong"),
            ("otlp+grpcs://h?key=secret", "otlp+grpcs://h…", "a query or fragment has no meaning here"),
            ("otlp+grpc://h#", "otlp+grpc://h…", "a query or fragment has no meaning here"),
            ("https://secret:secret@h", "https://…@h", "no sink has such a scheme"),
            ("secret:secret@h", "…@h", "no sink has such a scheme"),
            ("secret@h", "…@h", "it has no scheme"),
            ("file://secret@h/x", "file://…@h/x", "without a host"),
            (
                "prefactor+https://secret@h",
                "prefactor+https://…@h",
                "credentials belong into PREFACTOR_API_TOKEN",
            ),
            (
                "prefactor+https://h?key=secret",
                "prefactor+https://h…",
                "a query or fragment has no meaning here",
            ),
            ("prela+https://secret@h/x", "prela+https://…@h/x", "credentials belong into PRELA_API_KEY"),
            ("prela+https://h/x?key=secret", "prela+https://h/x…", "a query or fragment has no meaning here"),
            ("prela-file://secret@h/x", "prela-file://…@h/x", "without a host"),
            ("spanforge+https://secret@h", "spanforge+https://…@h", "credentials do not belong"),
            ("spanforge-webhook+https://h?t=secret", "spanforge-webhook+https://h…", "a query or fragment"),
            ("spanforge-file://secret@h/x", "spanforge-file://…@h/x", "without a host"),
        ];
        for (address, shown, reason) in cases {
            let message = address.parse::<SinkAddress>().unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
            assert!(message.contains(&format!("{shown:?}")) && message.contains(reason), "{message}");
            assert!(message.contains("are not shown"), "{message}");
        }
    }
}
