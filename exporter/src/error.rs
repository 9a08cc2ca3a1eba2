//! Why nothing can be exported at all. What goes wrong later is told by the report and by notices.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::sink::System;

/// Why an export cannot begin, or cannot go on for any sink.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The address of a sink has no form that is known.
    UnknownSink {
        /// The address, without what may be secret in it: credentials, a query, a fragment.
        address: String,
        /// What does not fit.
        reason: String,
    },
    /// A sink cannot be set up.
    Sink {
        /// Its address.
        address: String,
        /// What was to be done, as it follows "cannot".
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A variable of the environment makes no sense.
    Variable {
        /// Its name.
        name: String,
        /// What is wrong with it. It does not show its value.
        reason: String,
    },
    /// Two sinks have the same address, so one would be told of deliveries to the other.
    SinkTwice {
        /// The address.
        address: String,
    },
    /// What proves the exporter to one receiver of a system would be sent to several.
    SecretsShared {
        /// The system.
        system: System,
    },
    /// No sink was named.
    NoSink,
    /// No spool was named.
    NoSpool,
    /// A spool was named twice, by whatever ways. Its spans would be delivered by two exporters, each of which removes what the other has yet to.
    SpoolTwice {
        /// Where it is.
        path: PathBuf,
    },
    /// There is no thread or runtime to be had.
    Thread {
        /// Why not.
        source: io::Error,
    },
    /// An exporter that was asked to stop had not ended at the deadline. It ends by itself; nothing is lost.
    NotStopped {
        /// How long it had.
        deadline: Duration,
    },
    /// The exporter panicked, or code of a sink that it ran. What it had not delivered is kept.
    Panicked,
    /// Nobody can watch the exporter, since it cannot listen there.
    Listen {
        /// Where it should.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The spool refused something that all delivery needs.
    Spool(spanring_spool::Error),
}

impl Error {
    pub(crate) fn sink(address: impl Into<String>, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        let address = address.into();
        move |source| Error::Sink { address, action, source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownSink { address, reason } => {
                write!(f, "unknown sink {address:?}: {reason}; a sink is {}", crate::sink::FORMS)
            }
            Error::Sink { address, action, .. } => write!(f, "cannot {action} {address}"),
            Error::Variable { name, reason } => write!(f, "cannot use {name}: {reason}"),
            Error::SecretsShared { system: System::Otlp } => f.write_str(
                "the headers and certificates of OTEL_EXPORTER_OTLP_* would go to more than one OTLP sink",
            ),
            Error::SecretsShared { system } => {
                write!(f, "the key of {} would go to more than one {system} sink", system.credentials())
            }
            Error::SinkTwice { address } => write!(f, "the sink {address} is named twice"),
            Error::NoSpool => f.write_str("no spool is named"),
            Error::SpoolTwice { path } => {
                write!(f, "the spool {} is named twice, by one path or by several", path.display())
            }
            Error::NoSink => write!(f, "no sink is named; a sink is {}", crate::sink::FORMS),
            Error::Thread { .. } => f.write_str("cannot start a thread for the exporter"),
            Error::NotStopped { deadline } => {
                write!(f, "the exporter had not stopped after {:.1} s", deadline.as_secs_f64())
            }
            Error::Panicked => f.write_str("the exporter panicked; what was not delivered is kept"),
            Error::Listen { address, .. } => write!(f, "cannot listen at {address}"),
            Error::Spool(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Sink { source, .. } | Error::Thread { source } | Error::Listen { source, .. } => {
                Some(source)
            }
            Error::Spool(error) => error.source(),
            _ => None,
        }
    }
}

impl From<spanring_spool::Error> for Error {
    fn from(error: spanring_spool::Error) -> Self {
        Error::Spool(error)
    }
}

/// An error with all its causes, on one line, each said once.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own text.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_an_error_tells_itself_is_not_told_again() {
        let source = || io::Error::from_raw_os_error(13);
        let spool = spanring_spool::Error::Io { action: "open", path: "/s".into(), source: source() };
        let text = with_causes(&Error::Spool(spool));
        assert_eq!(text, format!("cannot open /s: {}", source()));
        let text = with_causes(&Error::sink("file:/f", "open")(source()));
        assert_eq!(text, format!("cannot open file:/f: {}", source()));
    }
}
