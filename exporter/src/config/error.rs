//! What is wrong with a configuration: one line for a person, with the file, the place and the reason.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::Error;

/// Why a configuration cannot be used.
#[derive(Debug)]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// Where in it, unless it is about the whole.
    pub place: Option<Place>,
    /// What is wrong.
    pub fault: Fault,
}

/// A place in a text, counted from 1. Columns are characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// Which of its characters.
    pub column: usize,
}

/// What is wrong with a configuration. No fault shows a value that may be a secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The file cannot be read, or is too long.
    Unreadable(io::Error),
    /// It says nothing.
    Empty,
    /// It is no UTF-8.
    NotUtf8,
    /// There is a NUL in it: it is no text.
    Nul,
    /// It is no TOML.
    Syntax(String),
    /// A key that nobody knows.
    UnknownKey {
        /// The key.
        key: String,
        /// The table that it is in.
        table: &'static str,
        /// Those that are known there.
        known: &'static [&'static str],
    },
    /// A key is not there.
    Missing {
        /// The key.
        key: &'static str,
        /// The table that it belongs into.
        table: &'static str,
    },
    /// A key is about another kind of sink.
    Misplaced {
        /// The key.
        key: &'static str,
        /// Which sinks it is about.
        about: &'static str,
        /// The address of the one that it was said of.
        sink: String,
    },
    /// A key stands beside another one that says the same.
    Beside {
        /// The key.
        key: &'static str,
        /// The other one.
        other: &'static str,
    },
    /// A key means nothing without another one.
    Without {
        /// The key.
        key: &'static str,
        /// The one that is not there.
        needs: &'static str,
    },
    /// A value is not what it should be.
    Unfit {
        /// Its key.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A header that a sink cannot be sent.
    Header {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A secret cannot be had.
    Secret {
        /// What it is: a header, or a key of the sink.
        what: String,
        /// Where it is kept.
        kept_in: String,
        /// Why not.
        source: io::Error,
    },
    /// What is said is clear, and cannot be done.
    Exporter(Error),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display().to_string().escape_debug())?;
        if let Some(Place { line, column }) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreadable(_) => f.write_str("it cannot be read"),
            Fault::Empty => f.write_str("it says nothing; what belongs into it is `spool` and [[sink]]"),
            Fault::NotUtf8 => f.write_str("it is no UTF-8 from here on"),
            Fault::Nul => f.write_str("there is a NUL, so it is no text"),
            Fault::Syntax(reason) => write!(f, "it is no TOML: {}", reason.escape_debug()),
            Fault::UnknownKey { key, table, known } => {
                write!(f, "unknown key `{}` in {table}; ", shown(key))?;
                match nearest(key, known) {
                    Some(nearest) => write!(f, "did you mean `{nearest}`?"),
                    None => write!(f, "it knows {}", known.join(", ")),
                }
            }
            Fault::Missing { key, table } => write!(f, "`{key}` is missing in {table}"),
            Fault::Misplaced { key, about, sink } => {
                write!(f, "`{key}` is about {about}, and this one is {sink}")
            }
            Fault::Beside { key, other } => {
                write!(f, "`{key}` stands beside `{other}`, and only one of them can")
            }
            Fault::Without { key, needs } => write!(f, "`{key}` means nothing without `{needs}`"),
            Fault::Unfit { key, expected } => write!(f, "`{}` does not fit: {expected}", shown(key)),
            Fault::Header { name, reason } => write!(f, "the header `{}` {reason}", shown(name)),
            Fault::Secret { what, kept_in, .. } => {
                write!(f, "{what} cannot be had from {kept_in}")
            }
            Fault::Exporter(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            Fault::Unreadable(error) | Fault::Secret { source: error, .. } => Some(error),
            Fault::Exporter(error) => error.source(),
            _ => None,
        }
    }
}

/// A name that somebody wrote, short and on one line.
pub(super) fn shown(name: &str) -> String {
    const CHARS_MAX: usize = 40;
    let cut = name.char_indices().nth(CHARS_MAX).map(|(at, _)| at);
    let end = if cut.is_some() { "…" } else { "" };
    format!("{}{end}", name[..cut.unwrap_or(name.len())].escape_debug())
}

/// The name that was meant, most likely; none where that is anybody's guess.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    // Nobody meant what is longer by far, and to compare it takes long.
    const LEN_MAX: usize = 64;
    if key.len() > LEN_MAX {
        return None;
    }
    let distance = |known: &str| strsim::damerau_levenshtein(key, known);
    let nearest = known.iter().copied().min_by_key(|known| distance(known))?;
    (distance(nearest) <= 1 + nearest.len() / 4).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_told_where_one_is_near() {
        let known = ["to", "keep", "compress", "compression", "certificate", "timeout"];
        for (key, expected) in [
            ("compresion", Some("compression")),
            ("compresss", Some("compress")),
            ("time_out", Some("timeout")),
            ("timeuot", Some("timeout")),
            ("certificat", Some("certificate")),
            ("kepe", Some("keep")),
            ("ot", Some("to")),
            ("retries", None),
            ("", None),
        ] {
            assert_eq!(nearest(key, &known), expected, "{key}");
        }
        assert_eq!(nearest(&"compression".repeat(100), &known), None);
    }

    #[test]
    fn a_name_is_shown_short_and_on_one_line() {
        assert_eq!(shown("a\nb\u{1b}"), "a\\nb\\u{1b}");
        assert_eq!(shown(&"é".repeat(41)), format!("{}…", "é".repeat(40)));
    }
}
