//! What an exporter is to do, when all that can be looked at beforehand was.

use std::fmt;
use std::time::Duration;

use spanring_spool::SpoolDir;

use crate::otlp::Names;
use crate::prefactor::Sensitive;
use crate::sink::{Compression, FileOptions, PrefactorOptions, SinkAddress, SinkOptions, System};
use crate::{Error, Exporter, Exporters, Route, RouteOptions};

/// What an exporter is to do. Its text says so to a person, without a secret.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is delivered, each of them to all sinks.
    pub spools: Vec<SpoolDir>,
    /// Where to, and what is said of each sink.
    pub sinks: Vec<(SinkAddress, SinkOptions)>,
    /// How long a sink has for the batch that it is at when a stop is asked for.
    pub stop_deadline: Duration,
    /// How long what is delivered is kept, since it was last written.
    pub grace: Duration,
    /// What was ignored, since it makes no sense; a line each.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Exporters that do it, one a spool. The files that are written to are opened, each of them once.
    ///
    /// # Errors
    ///
    /// [`Error::Sink`] where a sink cannot be set up.
    pub fn exporters(&self) -> Result<Exporters, Error> {
        let exporter = |spool: &SpoolDir| {
            Exporter::new(spool.clone()).stop_deadline(self.stop_deadline).grace(self.grace)
        };
        let mut exporters: Vec<_> = self.spools.iter().map(exporter).collect();
        for (address, options) in &self.sinks {
            let routes = Route::together(address.open_each(options, exporters.len())?, options.route);
            exporters =
                exporters.into_iter().zip(routes).map(|(exporter, route)| exporter.along(route)).collect();
        }
        Ok(Exporters::new(exporters))
    }

    /// Whether standard output is a sink, so that nothing else belongs there.
    pub fn has_stdout(&self) -> bool {
        self.sinks.iter().any(|(address, _)| *address == SinkAddress::Stdout)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, spool) in self.spools.iter().enumerate() {
            let line_break = if number == 0 { "" } else { "\n" };
            write!(f, "{line_break}from {}", spool.path().display())?;
        }
        for (address, options) in &self.sinks {
            write!(f, "\nto {address}")?;
            match address {
                _ if address.is_file() => write_file_options(f, &options.file)?,
                _ if address.is_otlp() => write!(f, ": {}", options.otlp)?,
                _ if address.system() == Some(System::Prefactor) => {
                    write_prefactor_options(f, &options.prefactor)?;
                }
                _ => {}
            }
            if address.writes_otlp() && options.otlp.given_names() != Names::default() {
                write!(f, ", names of {}", options.otlp.given_names().name())?;
            }
            write_route_options(f, &options.route)?;
        }
        if !self.grace.is_zero() {
            write!(f, "\nwhat is delivered is kept for {:?}", self.grace)?;
        }
        write!(f, "\na stop waits {:?} for an answer at most", self.stop_deadline)
    }
}

fn write_route_options(f: &mut fmt::Formatter<'_>, options: &RouteOptions) -> fmt::Result {
    if let Some(limit) = options.spans_per_second {
        write!(f, ", {limit} spans a second at most")?;
    }
    match &options.keep {
        Some(keep) => write!(f, ", of traces that are over {keep}"),
        None => Ok(()),
    }
}

/// What Prefactor is told of an agent beside whose it is.
fn write_prefactor_options(f: &mut fmt::Formatter<'_>, options: &PrefactorOptions) -> fmt::Result {
    let agent = &options.agent;
    let mut said: Vec<_> =
        agent.purpose.map(|purpose| format!("purpose {}", purpose.word())).into_iter().collect();
    said.extend(agent.external_identifier.as_ref().map(|_| "an external identifier".to_owned()));
    said.extend(agent.types.further().map(|name| format!("type {}", name.escape_debug())));
    said.extend(agent.quality.iter().map(|declared| format!("quality {}", declared.name.escape_debug())));
    if options.contents.sensitive != Sensitive::default() {
        said.push("sensitive values marked".to_owned());
    }
    if said.is_empty() { Ok(()) } else { write!(f, ": {}", said.join(", ")) }
}

fn write_file_options(f: &mut fmt::Formatter<'_>, options: &FileOptions) -> fmt::Result {
    let Some(bytes) = options.rotate_bytes else { return Ok(()) };
    write!(f, ": a new file before one is longer than {bytes} bytes")?;
    match options.keep {
        Some(keep) => write!(f, ", the newest {keep} kept beside it")?,
        None => write!(f, ", all kept beside it")?,
    }
    if options.compression == Compression::Zstd { write!(f, ", by zstd") } else { Ok(()) }
}
