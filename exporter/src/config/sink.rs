//! One `[[sink]]` of a configuration: its address, and what is said of it.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING,
};
use toml::Spanned;
use toml::de::DeValue;

use super::error::{ConfigError, Fault, Place};
use super::table::{self, Source, Table};
use crate::secret::Secret;
use crate::sink::{
    Compression, FileOptions, OtlpOptions, PrefactorOptions, PrelaOptions, Protocol, SinkAddress, SinkOptions,
};

const KEYS: [&str; 11] = [
    "to",
    PROTOCOL,
    "compression",
    "timeout",
    "headers",
    "certificate",
    "client_certificate",
    "client_key",
    "rotate",
    "keep",
    "compress",
];
const OTLP_KEYS: [&str; 7] =
    [PROTOCOL, "compression", "timeout", "headers", CERTIFICATE, CLIENT_CERTIFICATE, CLIENT_KEY];
const FILE_KEYS: [&str; 3] = ["rotate", "keep", "compress"];
const PROTOCOL: &str = "protocol";
const CERTIFICATE: &str = "certificate";
const CLIENT_CERTIFICATE: &str = "client_certificate";
const CLIENT_KEY: &str = "client_key";

/// Headers that say what a request is, which only the sink knows.
const OWN_HEADERS: [HeaderName; 5] =
    [ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING];

/// A sink, as the file says.
#[derive(Clone, Debug)]
pub(super) struct SinkConfig {
    /// Where its address stands.
    pub(super) place: Place,
    pub(super) target: Target,
    said: Said,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// The receiver that the environment names.
    Environment,
    Address(SinkAddress),
}

/// What is said of a sink.
#[derive(Clone, Debug)]
enum Said {
    Otlp(OtlpSaid),
    File(FileOptions),
    Nothing,
}

/// What is said of an OTLP receiver; `None` is not said.
#[derive(Clone, Debug, Default)]
struct OtlpSaid {
    protocol: Option<(Protocol, Place)>,
    is_compressed: Option<bool>,
    timeout: Option<Duration>,
    headers: Option<Vec<Header>>,
    certificate: Option<PathBuf>,
    /// A certificate and its key.
    identity: Option<(PathBuf, PathBuf)>,
    /// The first key that is about TLS, and where it stands.
    tls: Option<(&'static str, Place)>,
}

#[derive(Clone)]
struct Header {
    name: HeaderName,
    place: Place,
    prefix: String,
    secret: Secret,
}

/// What is wrong with a sink, and where.
pub(super) type Wrong = (Place, Fault);

impl SinkConfig {
    /// Reads a `[[sink]]`. Relative paths begin in `dir`, which is absolute.
    pub(super) fn read(table: &Table<'_>, dir: &Path) -> Result<Self, ConfigError> {
        table.check(&KEYS)?;
        let to = table.required("to", table.value("to", table::text)?)?;
        let target =
            target(to.value, dir).map_err(|error| table.source.error(&to.span, Fault::Exporter(error)))?;
        let is_otlp = match &target {
            Target::Environment => true,
            Target::Address(address) => address.is_otlp(),
        };
        let said = match &target {
            _ if is_otlp => {
                refuse(table, &FILE_KEYS, "sinks file:PATH", to.value)?;
                Said::Otlp(OtlpSaid::read(table, dir)?)
            }
            Target::Address(SinkAddress::File(_)) => {
                refuse(table, &OTLP_KEYS, "OTLP sinks", to.value)?;
                Said::File(file_options(table)?)
            }
            _ => {
                refuse(table, &OTLP_KEYS, "OTLP sinks", to.value)?;
                refuse(table, &FILE_KEYS, "sinks file:PATH", to.value)?;
                Said::Nothing
            }
        };
        Ok(SinkConfig { place: table.source.place(to.span.start), target, said })
    }

    /// The sink, with its secrets. Of `environment` is what is not said here, where it is the receiver that the environment names.
    pub(super) fn resolve(
        &self,
        environment: &OtlpOptions,
        get: &impl Fn(&str) -> Option<OsString>,
    ) -> Result<(SinkAddress, SinkOptions), Wrong> {
        let of_sink = |error| (self.place, Fault::Exporter(error));
        let (address, base) = match &self.target {
            Target::Address(address) => (address.clone(), OtlpOptions::default()),
            Target::Environment => {
                let address =
                    SinkAddress::parse(SinkAddress::OF_ENVIRONMENT, environment).map_err(of_sink)?;
                (address, environment.clone())
            }
        };
        let mut options = SinkOptions::default();
        match &self.said {
            Said::Otlp(said) => options.otlp = said.resolve(&address, base, get)?,
            Said::File(file) => options.file = file.clone(),
            Said::Nothing => {}
        }
        if address.is_prela() {
            options.prela = PrelaOptions::read(get).map_err(of_sink)?;
        }
        if address.is_prefactor() {
            options.prefactor = PrefactorOptions::read(get).map_err(of_sink)?;
        }
        if address.is_otlp() {
            // Nothing is sent by it, and certificates are read.
            address.open_with(&options).map_err(of_sink)?;
        }
        Ok((address, options))
    }
}

/// Where `to` leads. A relative path begins in `dir`.
fn target(to: &str, dir: &Path) -> Result<Target, crate::Error> {
    if to == SinkAddress::OF_ENVIRONMENT {
        return Ok(Target::Environment);
    }
    // With the directory it is absolute, so that the working directory plays no part.
    let absolute = |path: &str| std::path::absolute(dir.join(path)).unwrap_or_else(|_| dir.join(path));
    Ok(Target::Address(match (to.parse()?, to.split_once(':')) {
        (SinkAddress::File(_), Some((_, path))) => SinkAddress::File(absolute(path)),
        (SinkAddress::PrelaFile(_), Some((_, path))) if !path.starts_with('/') => {
            SinkAddress::PrelaFile(absolute(path.trim_end_matches('/')))
        }
        (address, _) => address,
    }))
}

/// Refuses the first of these keys, which are about other sinks.
fn refuse(
    table: &Table<'_>,
    keys: &[&'static str],
    about: &'static str,
    sink: &str,
) -> Result<(), ConfigError> {
    let there = keys.iter().filter_map(|&key| Some((table.key(key)?.start, key)));
    match there.min() {
        None => Ok(()),
        Some((_, key)) => {
            Err(table.error(key, Fault::Misplaced { key, about, sink: sink.escape_debug().to_string() }))
        }
    }
}

fn file_options(table: &Table<'_>) -> Result<FileOptions, ConfigError> {
    let rotate_bytes = table.plain("rotate", table::size)?;
    if rotate_bytes.is_none() {
        let needless = ["keep", "compress"].into_iter().find(|key| table.key(key).is_some());
        if let Some(key) = needless {
            return Err(table.error(key, Fault::Without { key, needs: "rotate" }));
        }
    }
    const COMPRESS: &str = "it is \"zstd\" or \"none\"";
    let compression = |text: &str| match text {
        "zstd" => Ok(Compression::Zstd),
        "none" => Ok(Compression::None),
        _ => Err(COMPRESS),
    };
    let compression = table.plain("compress", table::quoted(compression, COMPRESS))?;
    let keep = table.plain("keep", table::count)?;
    Ok(FileOptions { rotate_bytes, keep, compression: compression.unwrap_or_default() })
}

impl OtlpSaid {
    fn read(table: &Table<'_>, dir: &Path) -> Result<Self, ConfigError> {
        const PROTOCOLS: &str = "it is \"http/protobuf\" or \"http/json\"";
        const COMPRESSION: &str = "it is \"gzip\" or \"none\"";
        let protocol = |text: &str| match text {
            "http/protobuf" => Ok(Protocol::Protobuf),
            "http/json" => Ok(Protocol::Json),
            _ => Err(PROTOCOLS),
        };
        let is_compressed = |text: &str| match text {
            "gzip" => Ok(true),
            "none" => Ok(false),
            _ => Err(COMPRESSION),
        };
        let path = |key| Ok(table.plain(key, table::text)?.map(|path| dir.join(path)));
        let timeout = table.plain("timeout", |value| match table::duration(value)? {
            Duration::ZERO => Err("no request is done in no time"),
            timeout => Ok(timeout),
        })?;
        let identity = match (path(CLIENT_CERTIFICATE)?, path(CLIENT_KEY)?) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (certificate, _) => {
                let (key, needs) = match certificate {
                    Some(_) => (CLIENT_CERTIFICATE, CLIENT_KEY),
                    None => (CLIENT_KEY, CLIENT_CERTIFICATE),
                };
                return Err(table.error(key, Fault::Without { key, needs }));
            }
        };
        let protocol_place = table.key(PROTOCOL).map(|key| table.source.place(key.start));
        let about_tls = [CERTIFICATE, CLIENT_CERTIFICATE, CLIENT_KEY];
        let tls = about_tls.into_iter().filter_map(|key| Some((table.key(key)?.start, key))).min();
        Ok(OtlpSaid {
            protocol: table.plain(PROTOCOL, table::quoted(protocol, PROTOCOLS))?.zip(protocol_place),
            is_compressed: table.plain("compression", table::quoted(is_compressed, COMPRESSION))?,
            timeout,
            headers: headers(table, dir)?,
            certificate: path(CERTIFICATE)?,
            identity,
            tls: tls.map(|(at, key)| (key, table.source.place(at))),
        })
    }

    /// What is said here over what `options` say; of the headers all or none.
    fn resolve(
        &self,
        address: &SinkAddress,
        mut options: OtlpOptions,
        get: &impl Fn(&str) -> Option<OsString>,
    ) -> Result<OtlpOptions, Wrong> {
        if let Some((key, place)) = self.tls
            && !address.is_over_tls()
        {
            let sink = address.to_string();
            return Err((place, Fault::Misplaced { key, about: "sinks that are asked over TLS", sink }));
        }
        if let Some((protocol, place)) = self.protocol {
            if matches!(address, SinkAddress::OtlpGrpc { .. }) {
                let (key, sink) = (PROTOCOL, address.to_string());
                return Err((place, Fault::Misplaced { key, about: "OTLP sinks over HTTP", sink }));
            }
            options = options.protocol(protocol);
        }
        if let Some(is_compressed) = self.is_compressed {
            options = options.compressed(is_compressed);
        }
        if let Some(timeout) = self.timeout {
            options = options.timeout(timeout);
        }
        if let Some(certificate) = &self.certificate {
            options = options.certificate(certificate.clone());
        }
        if let Some((certificate, key)) = self.identity.clone() {
            options = options.identity(certificate, key);
        }
        if let Some(headers) = &self.headers {
            let headers: Result<Vec<_>, _> = headers.iter().map(|header| header.resolve(get)).collect();
            options = options.headers(headers?);
        }
        Ok(options)
    }
}

fn headers(table: &Table<'_>, dir: &Path) -> Result<Option<Vec<Header>>, ConfigError> {
    let Some(said) = table.plain("headers", table::table)? else { return Ok(None) };
    let source = table.source;
    let mut headers: Vec<Header> = Vec::new();
    for (key, value) in said {
        let (name, span) = (key.get_ref().as_ref(), key.span());
        let wrong = |reason| Err(source.error(&span, Fault::Header { name: name.to_owned(), reason }));
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            return wrong("has a name that HTTP does not allow");
        };
        if OWN_HEADERS.contains(&header) {
            return wrong("is the sink's own, which says by it what it sends");
        }
        if headers.iter().any(|other| other.name == header) {
            return wrong("is there twice: upper and lower case are the same");
        }
        let (prefix, secret) = secret(source, name, value, dir)?;
        let text = format!("{prefix}{}", if let Secret::Text(text) = &secret { text } else { "" });
        if HeaderValue::from_str(&text).is_err() {
            return wrong("has a value that HTTP does not allow");
        }
        headers.push(Header { name: header, place: source.place(span.start), prefix, secret });
    }
    Ok(Some(headers))
}

/// A text, `{ env = "NAME" }` or `{ file = "PATH" }`, and what stands before it.
fn secret(
    source: Source<'_>,
    name: &str,
    value: &Spanned<DeValue<'_>>,
    dir: &Path,
) -> Result<(String, Secret), ConfigError> {
    let unfit = || {
        let expected = "it is a text, { env = \"NAME\" } or { file = \"PATH\" }";
        source.error(&value.span(), Fault::Unfit { key: name.to_owned(), expected })
    };
    let keys = match value.get_ref() {
        DeValue::String(text) => return Ok((String::new(), Secret::Text(text.clone().into_owned()))),
        DeValue::Table(keys) => keys,
        _ => return Err(unfit()),
    };
    let kept = Table { source, name: "a header", span: value.span(), keys };
    kept.check(&["env", "file", "prefix"])?;
    let prefix = kept.plain("prefix", table::text)?.unwrap_or_default().to_owned();
    let secret = match (kept.plain("env", table::text)?, kept.plain("file", table::text)?) {
        (Some(variable), None) => Secret::Variable(variable.to_owned()),
        (None, Some(path)) => Secret::File(dir.join(path)),
        _ => return Err(unfit()),
    };
    Ok((prefix, secret))
}

impl Header {
    fn resolve(&self, get: &impl Fn(&str) -> Option<OsString>) -> Result<(HeaderName, HeaderValue), Wrong> {
        let not_had = |source| {
            let (header, kept_in) = (self.name.to_string(), self.secret.to_string());
            (self.place, Fault::Secret { header, kept_in, source })
        };
        let secret = self.secret.resolve(get).map_err(not_had)?;
        let value = [self.prefix.as_bytes(), &secret].concat();
        match HeaderValue::from_bytes(&value) {
            Ok(value) => Ok((self.name.clone(), value)),
            Err(_) => {
                let reason = "it holds what HTTP does not allow in a header, such as a line break";
                Err(not_had(io::Error::new(io::ErrorKind::InvalidData, reason)))
            }
        }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name, self.secret)
    }
}
