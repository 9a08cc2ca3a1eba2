//! Checks what keeps spans from arriving: the environment, a spool, and the sinks, each of which is sent one span, to see what it says.
//!
//! | what | is checked |
//! |---|---|
//! | [`environment`] | whether the variables of a system make sense |
//! | [`spool`] | that it is one, and this user's; free space; whether an exporter is at it; the recorders; dead letters; how far behind the sinks are |
//! | [`sink`], OTLP | its name, a connection, and the answer to a span `spanring.doctor` |
//! | [`sink`], OpenAI, Prefactor, Prela's server, SpanForge's cloud and web hooks | the answer to such a span |
//! | [`sink`], `file:`, `spanforge-file:`, `prela-file:` | that it can be written, holds nothing else, and has space. No span is appended: whoever reads the file has not asked for one |
//! | [`sink`], `stdout` | what it is. No span is printed: the checks are printed there |
//!
//! Nothing is ever written to a spool, nor to a file.

mod answer;
mod receiver;
mod sink;
mod spool;

pub use sink::check as sink;
pub use spool::check as spool;

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::error::with_causes;
use crate::sink::{SinkOptions, System};

/// Less free space than this is worth a warning, in bytes.
const FREE_MIN: u64 = 1 << 30;

/// How it stands with something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Spans arrive, or will, and yet somebody should know.
    Warn,
    /// Spans do not arrive like this.
    Fail,
}

/// One thing that was checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Check {
    /// How it stands with it.
    pub verdict: Verdict,
    /// What was checked: `environment`, `spool`, or the address of a sink.
    pub about: String,
    /// What was found, on one line, and what to do about it.
    pub text: String,
}

impl Check {
    fn new(verdict: Verdict, about: &str, text: impl Into<String>) -> Self {
        // Servers and files may say anything.
        let text = text.into().replace(char::is_control, " ");
        Check { verdict, about: about.to_owned(), text }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Check { verdict, about, text } = self;
        write!(f, "{verdict:<4}  {about}: {text}")
    }
}

/// Checks what the environment says about a system, and has `options` heed it.
pub fn environment(system: System, options: &mut SinkOptions) -> Vec<Check> {
    let check = |verdict, text: &str| Check::new(verdict, "environment", text);
    let before: Vec<_> = options.warnings().map(str::to_owned).collect();
    if let Err(error) = options.heed(system) {
        return vec![check(Verdict::Fail, &with_causes(&error))];
    }
    let warnings = options.warnings().filter(|warning| before.iter().all(|known| known != warning));
    let checks: Vec<_> = warnings.map(|warning| check(Verdict::Warn, warning)).collect();
    match checks.is_empty() {
        true => vec![check(Verdict::Ok, &format!("nothing in {} is ignored", system.variables()))],
        false => checks,
    }
}

/// How much space is left where `path` is.
fn free_space(about: &str, path: &Path) -> Check {
    match rustix::fs::statvfs(path) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let verdict = if free < FREE_MIN { Verdict::Warn } else { Verdict::Ok };
            Check::new(verdict, about, format!("{} MiB are free there", free >> 20))
        }
        Err(error) => {
            Check::new(Verdict::Warn, about, format!("cannot tell how much space is free: {error}"))
        }
    }
}
