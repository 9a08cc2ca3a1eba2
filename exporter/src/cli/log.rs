//! What a command that goes on says meanwhile, on standard error: lines for people, or for programs.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::SystemTime;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use spanring_exporter::engine::Notice;
use spanring_exporter::log::{self, Level};

use super::Failure;
use super::output::complain;

/// How it is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line, with time, level and event
    Json,
}

/// A notice of one of several spools.
#[derive(Serialize)]
struct NoticeEvent<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    spool: Option<String>,
    #[serde(flatten)]
    notice: &'a Notice,
}

impl LogFormat {
    /// Says what happened while the exporter works, and at which spool, where it delivers several.
    pub(super) fn notice(self, notice: &Notice, spool: Option<&Path>) {
        let spool = spool.map(|spool| spool.display().to_string());
        match (self, spool) {
            (LogFormat::Text, None) => complain(&notice.to_string()),
            (LogFormat::Text, Some(spool)) => complain(&format!("spool {spool}: {notice}")),
            (LogFormat::Json, spool) => write_line(notice.level(), &NoticeEvent { spool, notice }),
        }
    }

    /// Says something else: to people as `text`, to programs as `event`, an object.
    pub(super) fn say(self, level: Level, text: &str, event: &Value) {
        match self {
            LogFormat::Text => complain(text),
            LogFormat::Json => write_line(level, event),
        }
    }

    /// Says why the command fails, unless it is said by whoever says it to people.
    pub(super) fn failure(self, failure: Failure) -> Failure {
        match (self, &failure.message) {
            (LogFormat::Json, Some(reason)) => {
                write_line(Level::Error, &json!({"event": "failed", "reason": reason}));
                Failure { message: None, ..failure }
            }
            _ => failure,
        }
    }
}

/// Says something to programs.
pub(super) fn write_line(level: Level, event: &impl Serialize) {
    if let Ok(mut line) = log::line(SystemTime::now(), level, event) {
        line.push('\n');
        // In one piece, as others may write there too. Where standard error is closed, nobody listens.
        drop(io::stderr().lock().write_all(line.as_bytes()));
    }
}
