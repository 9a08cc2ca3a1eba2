//! One `[[sink]]` of a configuration: its address, and what is said of it.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use toml::Spanned;
use toml::de::DeValue;

use super::error::{ConfigError, Fault, Place, shown};
use super::prefactor::{self, PrefactorSaid};
use super::route;
use super::table::{self, Source, Table};
use crate::engine::RouteOptions;
use crate::otlp::Names;
use crate::secret::Secret;
use crate::sink::{
    Compression, FileOptions, OWN_HEADERS, OtlpOptions, Protocol, SinkAddress, SinkOptions, SpanForgeAddress,
    System,
};

const KEYS: [&str; 25] = [
    "to",
    route::SPANS_PER_SECOND,
    route::TRACES,
    PROTOCOL,
    NAMES,
    COMPRESSION,
    "timeout",
    "headers",
    "certificate",
    "client_certificate",
    "client_key",
    "rotate",
    "keep",
    "compress",
    API_KEY,
    BEARER,
    ORGANIZATION,
    PROJECT,
    prefactor::SPAN_TYPES,
    prefactor::QUALITY_SCHEMAS,
    prefactor::PURPOSE,
    prefactor::EXTERNAL_IDENTIFIER,
    prefactor::BULK,
    prefactor::SENSITIVE_KEYS,
    prefactor::SENSITIVE_TEXTS,
];
const OTLP_KEYS: [&str; 6] = [PROTOCOL, "timeout", "headers", CERTIFICATE, CLIENT_CERTIFICATE, CLIENT_KEY];
const FILE_KEYS: [&str; 3] = ["rotate", "keep", "compress"];
const OPENAI_KEYS: [&str; 2] = [ORGANIZATION, PROJECT];
const PREFACTOR_KEYS: [&str; 7] = [
    prefactor::SPAN_TYPES,
    prefactor::QUALITY_SCHEMAS,
    prefactor::PURPOSE,
    prefactor::EXTERNAL_IDENTIFIER,
    prefactor::BULK,
    prefactor::SENSITIVE_KEYS,
    prefactor::SENSITIVE_TEXTS,
];
const API_KEY: &str = "api_key";
const BEARER: &str = "bearer";
const COMPRESSION: &str = "compression";
const ORGANIZATION: &str = "organization";
const PROJECT: &str = "project";
const NAMES: &str = "names";
const PROTOCOL: &str = "protocol";
const CERTIFICATE: &str = "certificate";
const CLIENT_CERTIFICATE: &str = "client_certificate";
const CLIENT_KEY: &str = "client_key";

/// Why a secret cannot be sent.
const UNFIT_FOR_HEADER: &str = "it holds what HTTP does not allow in a header, such as a line break";

/// A sink, as the file says.
#[derive(Clone, Debug)]
pub(super) struct SinkConfig {
    /// Where its address stands.
    pub(super) place: Place,
    target: Target,
    said: Said,
    /// Whose names attributes have in OTLP.
    names: Option<Names>,
    prefactor: PrefactorSaid,
    route: RouteOptions,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Target {
    /// The system's own sink, where and as its variables say.
    Own(System),
    Address(SinkAddress),
}

/// What is said of a sink.
#[derive(Clone, Debug)]
enum Said {
    Otlp(OtlpSaid),
    File(FileOptions),
    Account(AccountSaid),
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

/// Whom a system is to take the exporter for; `None` is not said.
#[derive(Clone, Debug)]
struct AccountSaid {
    api_key: Option<(Secret, Place)>,
    /// Whether the key is sent as a bearer token, where there is a choice.
    is_bearer: bool,
    is_compressed: Option<bool>,
    organization: Option<(String, Place)>,
    project: Option<(String, Place)>,
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
        // What a system's own sink is sent, it is sent to prove who asks.
        let (system, is_file, is_sent_secrets) = match &target {
            Target::Own(system) => (Some(*system), false, true),
            Target::Address(address) => (address.system(), address.is_file(), address.is_sent_secrets()),
        };
        if system != Some(System::Otlp) {
            refuse(table, &OTLP_KEYS, "OTLP sinks", to.value)?;
        }
        let is_otlp = match &target {
            Target::Own(system) => *system == System::Otlp,
            Target::Address(address) => address.writes_otlp(),
        };
        if !is_otlp {
            refuse(table, &[NAMES], "OTLP sinks, file:PATH and stdout", to.value)?;
        }
        if !is_file {
            refuse(table, &FILE_KEYS, "sinks file:PATH and spanforge-file:PATH", to.value)?;
        }
        if !is_sent_secrets || system == Some(System::Otlp) {
            refuse(table, &[API_KEY], "sinks that are sent a key", to.value)?;
        }
        if !matches!(system, Some(System::Otlp | System::Prela)) || !is_sent_secrets {
            refuse(table, &[COMPRESSION], "OTLP sinks and Prela's server", to.value)?;
        }
        if system != Some(System::Prela) || !is_sent_secrets {
            refuse(table, &[BEARER], "Prela's server", to.value)?;
        }
        if system != Some(System::OpenAi) {
            refuse(table, &OPENAI_KEYS, "OpenAI sinks", to.value)?;
        }
        if system != Some(System::Prefactor) {
            refuse(table, &PREFACTOR_KEYS, "Prefactor sinks", to.value)?;
        }
        let said = match system {
            Some(System::Otlp) => Said::Otlp(OtlpSaid::read(table, dir)?),
            _ if is_file => Said::File(file_options(table)?),
            _ if is_sent_secrets => Said::Account(AccountSaid::read(table, dir)?),
            _ => Said::Nothing,
        };
        const NAMES_EXPECTED: &str = "it is \"gen-ai\" or \"openinference\"";
        let known = |text: &str| Names::named(text).ok_or(NAMES_EXPECTED);
        let names = table.plain(NAMES, table::quoted(known, NAMES_EXPECTED))?;
        let (prefactor, route) = (PrefactorSaid::read(table)?, route::read(table)?);
        Ok(SinkConfig { place: table.source.place(to.span.start), target, said, names, prefactor, route })
    }

    /// The sink, with its secrets. What is not said here the environment says, as far as it is about this sink.
    pub(super) fn resolve(
        &self,
        get: &impl Fn(&str) -> Option<OsString>,
    ) -> Result<(SinkAddress, SinkOptions), Wrong> {
        let of_sink = |error| (self.place, Fault::Exporter(error));
        let mut options = SinkOptions { route: self.route, ..SinkOptions::default() };
        let address = match &self.target {
            Target::Own(system) => {
                options.read(*system, get).map_err(of_sink)?;
                SinkAddress::parse(system.name(), &options).map_err(of_sink)?
            }
            Target::Address(address) => {
                // What these tell of spans nothing here does.
                if let Some(system @ (System::Prefactor | System::Prela | System::SpanForge)) =
                    address.system()
                {
                    options.read(system, get).map_err(of_sink)?;
                    options = options.without_secrets();
                }
                address.clone()
            }
        };
        match &self.said {
            Said::Otlp(said) => options.otlp = said.resolve(&address, options.otlp, get)?,
            Said::File(file) => options.file = file.clone(),
            Said::Account(said) => said.resolve(&address, &mut options, get)?,
            Said::Nothing => {}
        }
        if let Some(names) = self.names {
            options.otlp = options.otlp.names(names);
        }
        self.prefactor.resolve(&mut options.prefactor);
        if address.is_sent_secrets() {
            // Nothing is sent by it, and certificates are read.
            address.open_with(&options).map_err(of_sink)?;
        }
        Ok((address, options))
    }
}

/// Where `to` leads. A relative path begins in `dir`.
fn target(to: &str, dir: &Path) -> Result<Target, crate::Error> {
    if let Some(system) = System::named(to) {
        return Ok(Target::Own(system));
    }
    // With the directory it is absolute, so that the working directory plays no part.
    let absolute = |path: &str| std::path::absolute(dir.join(path)).unwrap_or_else(|_| dir.join(path));
    Ok(Target::Address(match (to.parse()?, to.split_once(':')) {
        (SinkAddress::File(_), Some((_, path))) => SinkAddress::File(absolute(path)),
        (SinkAddress::SpanForge(SpanForgeAddress::File(_)), Some((_, path))) => {
            SinkAddress::SpanForge(SpanForgeAddress::File(absolute(path)))
        }
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

/// Whether requests are compressed.
fn compression(table: &Table<'_>) -> Result<Option<bool>, ConfigError> {
    const EXPECTED: &str = "it is \"gzip\" or \"none\"";
    let is_compressed = |text: &str| match text {
        "gzip" => Ok(true),
        "none" => Ok(false),
        _ => Err(EXPECTED),
    };
    table.plain(COMPRESSION, table::quoted(is_compressed, EXPECTED))
}

impl OtlpSaid {
    fn read(table: &Table<'_>, dir: &Path) -> Result<Self, ConfigError> {
        const PROTOCOLS: &str = "it is \"http/protobuf\" or \"http/json\"";
        let protocol = |text: &str| match text {
            "http/protobuf" => Ok(Protocol::Protobuf),
            "http/json" => Ok(Protocol::Json),
            _ => Err(PROTOCOLS),
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
            is_compressed: compression(table)?,
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

impl AccountSaid {
    fn read(table: &Table<'_>, dir: &Path) -> Result<Self, ConfigError> {
        let source = table.source;
        let api_key = table.keys.get_key_value(API_KEY).map(|(key, value)| {
            let (_, secret) = secret(source, API_KEY, value, dir, ("`api_key`", &["env", "file"]))?;
            Ok((secret, source.place(key.span().start)))
        });
        let text = |key| {
            let said = table.value(key, table::text)?;
            Ok(said.map(|said| (said.value.to_owned(), source.place(said.span.start))))
        };
        let is_bearer = table.plain(BEARER, table::truth)?.unwrap_or(false);
        if is_bearer && api_key.is_none() {
            return Err(table.error(BEARER, Fault::Without { key: BEARER, needs: API_KEY }));
        }
        Ok(AccountSaid {
            api_key: api_key.transpose()?,
            is_bearer,
            is_compressed: compression(table)?,
            organization: text(ORGANIZATION)?,
            project: text(PROJECT)?,
        })
    }

    /// What is said here over what `options` say.
    fn resolve(
        &self,
        address: &SinkAddress,
        options: &mut SinkOptions,
        get: &impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), Wrong> {
        if let Some((secret, place)) = &self.api_key {
            let not_had = |source| {
                let (what, kept_in) = (format!("`{API_KEY}`"), secret.to_string());
                (*place, Fault::Secret { what, kept_in, source })
            };
            let unfit = |reason| not_had(io::Error::new(io::ErrorKind::InvalidData, reason));
            let key = String::from_utf8(secret.resolve(get).map_err(not_had)?);
            let key = key.map_err(|_| unfit("it is no UTF-8"))?;
            let key = key.trim();
            let given = match address.system() {
                Some(System::OpenAi) => {
                    options.openai.clone().with_api_key(key).map(|of| options.openai = of)
                }
                Some(System::Prefactor) => {
                    options.prefactor.clone().with_token(key).map(|of| options.prefactor = of)
                }
                Some(System::Prela) => {
                    let prela = options.prela.clone();
                    let given =
                        if self.is_bearer { prela.with_bearer_token(key) } else { prela.with_api_key(key) };
                    given.map(|of| options.prela = of)
                }
                Some(System::SpanForge) => {
                    options.spanforge.clone().with_api_key(key).map(|of| options.spanforge = of)
                }
                Some(System::Otlp) | None => Ok(()),
            };
            given.map_err(|_| unfit(UNFIT_FOR_HEADER))?;
        }
        if let Some(is_compressed) = self.is_compressed {
            options.prela = options.prela.clone().compressed(is_compressed);
        }
        let unfit = |key: &'static str, place: Place| {
            let expected = "HTTP allows no such text in a header";
            move |_| (place, Fault::Unfit { key: key.to_owned(), expected })
        };
        if let Some((organization, place)) = &self.organization {
            let given = options.openai.clone().with_organization(organization);
            options.openai = given.map_err(unfit(ORGANIZATION, *place))?;
        }
        if let Some((project, place)) = &self.project {
            options.openai = options.openai.clone().with_project(project).map_err(unfit(PROJECT, *place))?;
        }
        Ok(())
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
        let (prefix, secret) = secret(source, name, value, dir, ("a header", &["env", "file", "prefix"]))?;
        let text = format!("{prefix}{}", if let Secret::Text(text) = &secret { text } else { "" });
        if HeaderValue::from_str(&text).is_err() {
            return wrong("has a value that HTTP does not allow");
        }
        headers.push(Header { name: header, place: source.place(span.start), prefix, secret });
    }
    Ok(Some(headers))
}

/// A text, `{ env = "NAME" }` or `{ file = "PATH" }`, and what stands before it. The table of these knows some keys.
fn secret(
    source: Source<'_>,
    name: &str,
    value: &Spanned<DeValue<'_>>,
    dir: &Path,
    (table, known): (&'static str, &'static [&'static str]),
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
    let kept = Table { source, name: table, span: value.span(), keys };
    kept.check(known)?;
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
            let what = format!("the header `{}`", shown(self.name.as_str()));
            (self.place, Fault::Secret { what, kept_in: self.secret.to_string(), source })
        };
        let secret = self.secret.resolve(get).map_err(not_had)?;
        let value = [self.prefix.as_bytes(), &secret].concat();
        match HeaderValue::from_bytes(&value) {
            Ok(value) => Ok((self.name.clone(), value)),
            Err(_) => Err(not_had(io::Error::new(io::ErrorKind::InvalidData, UNFIT_FOR_HEADER))),
        }
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.name, self.secret)
    }
}
