//! What can be wrong with a table of prices.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::super::shown::Shown;
use super::PRICE_MAX;

/// Why a table of prices could not be read. The error of the operating system, where there is one, is its
/// [`source`](std::error::Error::source).
#[derive(Debug)]
#[non_exhaustive]
pub struct PriceError {
    /// The file; `None` for a text that was given.
    pub path: Option<PathBuf>,
    /// Which line, counted from 1; `None` where it concerns the whole.
    pub line: Option<usize>,
    /// What is wrong there.
    pub fault: PriceFault,
}

/// What is wrong with a table of prices.
#[derive(Debug)]
#[non_exhaustive]
pub enum PriceFault {
    /// The operating system refused an operation, or it is no text.
    Io {
        /// What was to be done, as it follows "cannot".
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// It is larger than a table may be.
    TooLarge {
        /// The largest size in bytes.
        max: u64,
    },
    /// It is no TOML.
    Syntax(String),
    /// A key means nothing here.
    UnknownKey {
        /// The key.
        key: String,
        /// The key that looks most like it.
        nearest: &'static str,
    },
    /// A key is missing.
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key has a value of the wrong type.
    WrongType {
        /// The key.
        key: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// A price is negative, too large or no number.
    NoPrice {
        /// The key.
        key: &'static str,
    },
    /// The same pattern stands twice for the same provider.
    Duplicate {
        /// The pattern.
        model: String,
        /// On which line it stands first.
        first_line: usize,
    },
}

impl PriceError {
    pub(super) fn at(line: usize, fault: PriceFault) -> Self {
        PriceError { path: None, line: Some(line), fault }
    }

    /// The same, and in which file that is.
    pub(super) fn in_file(self, path: &Path) -> Self {
        PriceError { path: Some(path.to_owned()), ..self }
    }
}

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let PriceFault::Io { action, .. } = &self.fault {
            write!(f, "cannot {action} ")?;
        }
        match &self.path {
            Some(path) => write!(f, "{}", path.display())?,
            None => write!(f, "the price table")?,
        }
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.fault)
    }
}

impl fmt::Display for PriceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PriceFault::Io { source, .. } => write!(f, "{source}"),
            PriceFault::TooLarge { max } => write!(f, "it is larger than {max} bytes"),
            PriceFault::Syntax(message) => f.write_str(message),
            PriceFault::UnknownKey { key, nearest } => {
                write!(f, "unknown key `{}`; the nearest is `{nearest}`", shown(key))
            }
            PriceFault::Missing { key } => write!(f, "`{key}` is missing"),
            PriceFault::WrongType { key, expected } => write!(f, "`{key}` has to be {expected}"),
            PriceFault::NoPrice { key } => {
                write!(f, "`{key}` is no price: it has to be a number from 0 to {PRICE_MAX:e}")
            }
            PriceFault::Duplicate { model, first_line } => {
                write!(f, "the price of `{}` stands on line {first_line} already", shown(model))
            }
        }
    }
}

fn shown(text: &str) -> Shown<'_> {
    Shown { text, chars_max: 60 }
}

impl std::error::Error for PriceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.fault {
            PriceFault::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
