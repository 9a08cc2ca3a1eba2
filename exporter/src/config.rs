//! Configurations: what an exporter is to do, in a file of TOML.
//!
//! ```toml
//! spool = "/var/spool/shop"
//! stop_deadline = "10s"
//!
//! [[sink]]
//! to = "otlp+https://collector.example"
//! headers = { authorization = { file = "token", prefix = "Bearer " }, x-scope = "shop" }
//!
//! [[sink]]
//! to = "file:spans.jsonl"
//! rotate = "100MiB"
//! keep = 7
//! ```
//!
//! | key | |
//! |---|---|
//! | `spool` | the directory of the spool |
//! | `spools` | a list of directories in place of `spool`, each of a spool: all are delivered to all sinks |
//! | `stop_deadline` | how long a sink has for the batch that it is at when a stop is asked for; 10 s unless said otherwise |
//! | `grace` | how long what is delivered is kept, since it was last written; not at all unless it is said |
//! | `[[sink]]` | a sink, at least one |
//!
//! | key of a `[[sink]]` | of | |
//! |---|---|---|
//! | `to` | all | the [address](crate::sink::SinkAddress) |
//! | `spans_per_second` | all | how many it is sent at most, on average |
//! | `traces` | all | which traces it is sent, once they are over: a table of `share`, from 0 to 1, of those that no rule keeps; `errors` and `interrupted`, `true` unless said otherwise; `slower_than`, a time; `dearer_than`, a cost |
//! | `protocol` | OTLP over HTTP | `http/protobuf`, unless said otherwise, or `http/json` |
//! | `names` | OTLP, `file:`, `stdout` | whose names attributes have: `gen-ai`, unless said otherwise, or `openinference` |
//! | `compression` | OTLP, Prela's server | `gzip` or `none`; OTLP is compressed unless said otherwise, and Prela's is not |
//! | `timeout` | OTLP | how long a request may take; 30 s unless said otherwise |
//! | `headers` | OTLP | a table of what is sent with each request: a text, `{ env = "NAME" }` or `{ file = "PATH" }`, with a `prefix` before it if need be |
//! | `certificate` | OTLP over TLS | a file of PEM: who signed the receiver's certificate, in place of the system's roots |
//! | `client_certificate`, `client_key` | OTLP over TLS | files of PEM that the exporter proves itself by, both or neither |
//! | `api_key` | OpenAI, Prefactor, Prela's server, SpanForge's cloud | the key, or token: a text, `{ env = "NAME" }` or `{ file = "PATH" }` |
//! | `bearer` | Prela's server | `true` sends the key as a bearer token |
//! | `organization`, `project` | OpenAI | whose account, and which project of it |
//! | `span_types` | Prefactor | types of spans that are declared, each a `[[sink.span_types]]` of `name`, `title`, `description`, `template`, `params_schema` and `result_schema`, which are tables of JSON Schema, and `data_risk` of `action_profile`, `params_data_categories`, `result_data_categories` |
//! | `quality_schemas` | Prefactor | what records of quality look like, each a `[[sink.quality_schemas]]` of `name`, `title`, `description`, `template`, `schema` and `data_risk` |
//! | `purpose` | Prefactor | why the agent runs: `live`, `smoke_test` or `eval` |
//! | `external_identifier` | Prefactor | what instances are called: a text, in which `{recorder}` and `{KEY}`, an attribute of the resource, stand for those |
//! | `sensitive_keys`, `sensitive_texts` | Prefactor | lists of keys and paths of what is sent as [sensitive](crate::prefactor::Sensitive); of `secrets`, `emails`, `card_numbers`, which are found in texts |
//! | `rotate` | `file:`, `spanforge-file:` | a new file is begun before one grows longer |
//! | `keep`, `compress` | files that rotate | how many are kept; `zstd`, or `none` |
//!
//! Times are texts with the unit `ms`, `s`, `m` or `h`, sizes with `KiB`, `MiB` or `GiB`. Relative paths, also those of addresses, begin in the
//! directory of the file. Nothing is passed over: an unknown key, or one that is about another kind of sink, is an error, with its place.
//!
//! # The environment
//!
//! The variables of a [system](crate::sink::System) are heeded for its own sink, `otlp`, `openai`, `prefactor`, `prela` or `spanforge`, which is where they say, and a
//! key that they hold goes to nobody else. What the file says of that sink wins, option by option; of the headers all or none. Of Prela's and
//! SpanForge's other sinks they say, without the keys, what they say of spans, as `PRELA_SERVICE_NAME` and `SPANFORGE_ORG_ID`. The variables of a
//! system that the file names no such sink of are not even read.
//!
//! # Two steps
//!
//! [`Config::parse`] knows the text alone. [`Config::plan`] looks at the spools, the secrets, the certificates and the environment, and
//! changes nothing; [`Plan::exporters`] opens what is written to.

mod error;
mod plan;
mod prefactor;
mod route;
mod sink;
mod spools;
mod table;

pub use error::{ConfigError, Fault, Place};
pub use plan::Plan;
pub use spools::open_another;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::sink::SinkConfig;
use self::spools::{NamedSpool, SPOOL, SPOOLS};
use self::table::{Source, Table};
use crate::prefactor::SpanType;
use crate::sink::{SinkAddress, SinkOptions};
use crate::{Error, Exporters, STOP_DEADLINE, small_file};

/// No configuration is longer, in bytes.
const LEN_MAX: u64 = 1 << 20;

/// Where sinks are, and what is said of each.
type Sinks = Vec<(SinkAddress, SinkOptions)>;

/// What a file says an exporter is to do. No part of it shows a secret.
#[derive(Clone, Debug)]
pub struct Config {
    path: PathBuf,
    spools: Vec<NamedSpool>,
    stop_deadline: Duration,
    grace: Duration,
    sinks: Vec<SinkConfig>,
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, and as for [`parse`](Self::parse).
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        Self::parse(&text_of(path)?, path)
    }

    /// Reads `text`, which stands in the file at `path`. Neither that file nor any other is looked at.
    ///
    /// # Errors
    ///
    /// At the first mistake.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let source = Source { path, text };
        let document = document(source)?;
        if document.get_ref().is_empty() {
            return Err(ConfigError { path: path.to_owned(), place: None, fault: Fault::Empty });
        }
        let table = Table { source, name: "the file", span: 0..0, keys: document.get_ref() };
        table.check(&[SPOOL, SPOOLS, "stop_deadline", "grace", "sink"])?;
        let file = absolute(path).unwrap_or_else(|_| path.to_owned());
        let dir = file.parent().unwrap_or(&file);
        let spools = spools::read(&table, dir)?;
        let stop_deadline = table.plain("stop_deadline", table::duration)?;
        let grace = table.plain("grace", table::duration)?;
        let listed = table.required("sink", table.value("sink", table::list)?)?;
        let mut sinks = Vec::new();
        for item in listed.value {
            let DeValue::Table(keys) = item.get_ref() else {
                let expected = "each sink is a table of its own: [[sink]]";
                return Err(source.error(&item.span(), Fault::Unfit { key: "sink".to_owned(), expected }));
            };
            let table = Table { source, name: "[[sink]]", span: item.span(), keys };
            sinks.push(SinkConfig::read(&table, dir)?);
        }
        if sinks.is_empty() {
            return Err(source.error(&listed.span, Fault::Exporter(Error::NoSink)));
        }
        Ok(Config {
            path: path.to_owned(),
            spools,
            stop_deadline: stop_deadline.unwrap_or(STOP_DEADLINE),
            grace: grace.unwrap_or_default(),
            sinks,
        })
    }

    /// What is to be done, once the spools, the secrets, the certificates and the environment were looked at. Nothing is written to or sent.
    ///
    /// # Errors
    ///
    /// At the first thing that is missing or makes no sense.
    pub fn plan(&self) -> Result<Plan, ConfigError> {
        let mut spools = Vec::new();
        for NamedSpool { path, place } in &self.spools {
            open_another(&mut spools, path).map_err(|error| self.error(*place, Fault::Exporter(error)))?;
        }
        let (sinks, warnings) = self.resolve(|name| std::env::var_os(name))?;
        Ok(Plan { spools, sinks, stop_deadline: self.stop_deadline, grace: self.grace, warnings })
    }

    /// Exporters that do what the file says, one a spool.
    ///
    /// # Errors
    ///
    /// As for [`plan`](Self::plan), and where a file cannot be opened.
    pub fn exporters(&self) -> Result<Exporters, ConfigError> {
        self.plan()?.exporters().map_err(|error| ConfigError {
            path: self.path.clone(),
            place: None,
            fault: Fault::Exporter(error),
        })
    }

    /// The sinks, with their secrets, where `get` knows the environment's variables; and what of those was ignored.
    fn resolve(&self, get: impl Fn(&str) -> Option<OsString>) -> Result<(Sinks, Vec<String>), ConfigError> {
        let (mut sinks, mut warnings) = (Sinks::new(), Vec::new());
        for sink in &self.sinks {
            let (address, options) = sink.resolve(&get).map_err(|(place, fault)| self.error(place, fault))?;
            if sinks.iter().any(|(other, _)| *other == address) {
                let twice = Error::SinkTwice { address: address.to_string() };
                return Err(self.error(sink.place, Fault::Exporter(twice)));
            }
            for warning in options.warnings() {
                if !warnings.iter().any(|known| known == warning) {
                    warnings.push(warning.to_owned());
                }
            }
            sinks.push((address, options));
        }
        Ok((sinks, warnings))
    }

    fn error(&self, place: Place, fault: Fault) -> ConfigError {
        ConfigError { path: self.path.clone(), place: Some(place), fault }
    }
}

/// The types of spans that the file at `path` declares, of which it is all.
pub(crate) fn span_types_in(path: &Path) -> Result<Vec<SpanType>, ConfigError> {
    let text = text_of(path)?;
    let source = Source { path, text: &text };
    let document = document(source)?;
    let table = Table { source, name: "the file", span: 0..0, keys: document.get_ref() };
    table.check(&[prefactor::SPAN_TYPES])?;
    Ok(prefactor::span_types(&table)?.unwrap_or_default())
}

/// What stands in the file at `path`.
fn text_of(path: &Path) -> Result<String, ConfigError> {
    let error = |place, fault| ConfigError { path: path.to_owned(), place, fault };
    let bytes = small_file::read(path, LEN_MAX).map_err(|cause| error(None, Fault::Unreadable(cause)))?;
    String::from_utf8(bytes).map_err(|text| {
        let place = table::place(text.as_bytes(), text.utf8_error().valid_up_to());
        error(Some(place), Fault::NotUtf8)
    })
}

/// The tables of a text.
fn document(source: Source<'_>) -> Result<Spanned<DeTable<'_>>, ConfigError> {
    if source.text.len() as u64 > LEN_MAX {
        let reason = format!("it is longer than {LEN_MAX} bytes");
        let fault = Fault::Unreadable(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        return Err(ConfigError { path: source.path.to_owned(), place: None, fault });
    }
    if let Some(at) = source.text.find('\0') {
        return Err(source.error(&(at..at), Fault::Nul));
    }
    DeTable::parse(source.text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        source.error(&span, Fault::Syntax(error.message().to_owned()))
    })
}

#[cfg(test)]
mod tests;
