//! Why the demonstration cannot go on.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the demonstration cannot begin or go on. That spans were lost is no error: it is a result.
#[derive(Debug)]
#[non_exhaustive]
pub enum DemoError {
    /// The operating system refused something.
    Io {
        /// What was to be done, as it follows "cannot".
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The spool that was named has recorders already, which the demonstration would deliver and remove.
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// An agent did not do what it was to do.
    Agent {
        /// Which one.
        number: u32,
        /// What was wrong.
        reason: String,
    },
    /// A span ended without a recorder.
    NotRecording,
    /// The spool refused something.
    Spool(spanring_spool::Error),
    /// The export could not begin.
    Export(crate::Error),
}

impl DemoError {
    pub(super) fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| DemoError::Io { action, path, source }
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DemoError::Io { action, path, .. } => write!(f, "cannot {action} {}", path.display()),
            DemoError::NotEmpty { path } => write!(
                f,
                "{} holds recorders already, which would be delivered and removed; name a new directory",
                path.display()
            ),
            DemoError::Agent { number, reason } => write!(f, "agent {number} {reason}"),
            DemoError::NotRecording => {
                f.write_str("a span ended and was not recorded, for want of a recorder")
            }
            DemoError::Spool(error) => error.fmt(f),
            DemoError::Export(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DemoError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DemoError::Io { source, .. } => Some(source),
            DemoError::Spool(error) => error.source(),
            DemoError::Export(error) => error.source(),
            _ => None,
        }
    }
}

impl From<spanring_spool::Error> for DemoError {
    fn from(error: spanring_spool::Error) -> Self {
        DemoError::Spool(error)
    }
}

impl From<crate::Error> for DemoError {
    fn from(error: crate::Error) -> Self {
        DemoError::Export(error)
    }
}
