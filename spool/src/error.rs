//! What can go wrong, told so that a caller can branch and a person can act.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::life::Doubt;
use crate::recorder_id::RecorderId;

/// Why the spool could not do what was asked of it. Its text names the path and the reason; it never shows what was
/// recorded. The error of the operating system, where there is one, is its [`source`](std::error::Error::source).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on `path`.
    Io {
        /// What was to be done, as it follows "cannot".
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is nothing at the path of a spool.
    NoSuchSpool {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// What is at the path of a spool is none.
    NotASpool {
        /// Where it was looked for.
        path: PathBuf,
        /// What is there instead.
        found: NotASpool,
    },
    /// There is no such recorder in the spool, or no longer.
    NoSuchRecorder {
        /// The recorder that was asked for.
        recorder: RecorderId,
        /// The spool.
        spool: PathBuf,
    },
    /// A file or directory in the spool is not one that a recorder of this user has made.
    Refused {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        refusal: Refusal,
    },
    /// This process spools already, and a process has one spool at most.
    AlreadySpooling {
        /// The spool that was asked for.
        path: PathBuf,
    },
    /// Another process, or another part of this one, holds a lock.
    Locked {
        /// What was to be done, as it follows "cannot".
        action: &'static str,
        /// The file that carries the lock.
        path: PathBuf,
    },
    /// The recorder's process lives, so what it holds is not taken from it.
    StillAlive {
        /// The recorder.
        recorder: RecorderId,
    },
    /// Nobody can tell whether the recorder's process lives, so what it holds is not taken from it.
    Unproven {
        /// The recorder.
        recorder: RecorderId,
        /// What prevents the proof.
        doubt: Doubt,
    },
    /// A file does not hold what its format demands.
    Damaged {
        /// The file.
        path: PathBuf,
        /// The byte at which that shows.
        offset: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// A file was written by a later version of spanring, which can read it. It is left alone.
    LaterVersion {
        /// The file.
        path: PathBuf,
    },
    /// Something is larger than its format allows.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        len: u64,
        /// The largest size in bytes.
        max: u64,
    },
    /// There is no room for another dead letter until some are replayed or purged.
    DeadLettersFull {
        /// Their directory.
        path: PathBuf,
        /// How many there are.
        letters: usize,
    },
    /// Something cannot be written in its format. No spool holds such a thing.
    NoForm {
        /// What cannot be written.
        what: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// What was waited for did not happen in time. It may still happen.
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
    /// Delivery was asked for, and the spool is configured for no sink.
    NoSinkNamed,
    /// Syncing failed, so what was written may not survive a power cut.
    NotDurable {
        /// The spool.
        path: PathBuf,
    },
    /// Memory that outlives the process could not be had, so what was recorded does not survive its kill.
    NotRecorded {
        /// The spool.
        path: PathBuf,
    },
    /// The spool belongs to the parent of this forked process, and does nothing here.
    InForkedChild,
    /// Spooling is not possible on this operating system.
    UnsupportedPlatform,
}

/// What is found at a path that should be a spool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NotASpool {
    /// Something that is no directory.
    NoDirectory,
    /// A directory without the file that marks a spool.
    NoMarker,
    /// A directory whose marking file says something else, perhaps of a later version.
    UnknownMarker,
}

/// What is wrong with a file or directory in a spool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// It is no directory: a file, a symbolic link, a pipe.
    NoDirectory,
    /// It is no regular file: a directory, a symbolic link, a pipe.
    NoRegularFile,
    /// It belongs to another user, and reading or writing it could be a trap.
    ForeignOwner {
        /// The user it belongs to.
        owner: u32,
        /// The user of this process.
        user: u32,
    },
    /// Other users may change it.
    WritableByOthers {
        /// Its permissions.
        mode: u32,
    },
    /// It has more names than one, so somebody may change it elsewhere.
    Linked,
}

impl Error {
    /// For [`Result::map_err`]: says what could not be done, and with which file or directory.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::Io { action, path: path.to_owned(), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { action, path, source } => write!(f, "cannot {action} {}: {source}", path.display()),
            Error::NoSuchSpool { path } => {
                write!(f, "there is no spool at {}: no such directory", path.display())
            }
            Error::NotASpool { path, found } => write!(f, "{} is not a spool: {found}", path.display()),
            Error::NoSuchRecorder { recorder, spool } => {
                write!(f, "there is no recorder {recorder} in {}", spool.display())
            }
            Error::Refused { path, refusal } => write!(f, "{} is left alone: {refusal}", path.display()),
            Error::AlreadySpooling { path } => {
                write!(f, "cannot spool to {}: this process spools already", path.display())
            }
            Error::Locked { action, path } => {
                write!(f, "cannot {action}: {} is locked by another process", path.display())
            }
            Error::StillAlive { recorder } => {
                write!(f, "recorder {recorder} is not recovered: its process is alive")
            }
            Error::Unproven { recorder, doubt } => {
                write!(f, "recorder {recorder} is not recovered, for its process may be alive: {doubt}")
            }
            Error::Damaged { path, offset, reason } => {
                write!(f, "{} is damaged at byte {offset}: {reason}", path.display())
            }
            Error::LaterVersion { path } => {
                write!(f, "{} was written by a later version of spanring, and is left alone", path.display())
            }
            Error::TooLarge { what, len, max } => {
                write!(f, "{what} of {len} bytes exceeds the limit of {max}")
            }
            Error::NoForm { what, reason } => write!(f, "{what} cannot be written: {reason}"),
            Error::DeadLettersFull { path, letters } => {
                write!(f, "{} is full with {letters} dead letters; replay or purge some", path.display())
            }
            Error::TimedOut { waited } => write!(f, "not reached within {waited:?}"),
            Error::NoSinkNamed => {
                f.write_str("the spool is configured for no sink, so nothing is ever delivered")
            }
            Error::NotDurable { path } => {
                write!(
                    f,
                    "what was spooled to {} may not survive a power cut: syncing failed",
                    path.display()
                )
            }
            Error::NotRecorded { path } => write!(
                f,
                "what is recorded does not survive a kill: there is no memory for it beside {} or in /dev/shm",
                path.display()
            ),
            Error::InForkedChild => f.write_str("the spool belongs to the parent of this forked process"),
            Error::UnsupportedPlatform => f.write_str("spooling is not possible on this operating system"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for NotASpool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotASpool::NoDirectory => "it is no directory",
            NotASpool::NoMarker => "it has no file spanring-spool",
            NotASpool::UnknownMarker => "its file spanring-spool is not of a version known here",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoDirectory => f.write_str("it is no directory"),
            Refusal::NoRegularFile => f.write_str("it is no regular file"),
            Refusal::ForeignOwner { owner, user } => {
                write!(f, "it belongs to user {owner}, and this process runs as user {user}")
            }
            Refusal::WritableByOthers { mode } => write!(f, "other users may write to it (mode {mode:04o})"),
            Refusal::Linked => f.write_str("it has more than one name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn an_error_says_what_where_and_why() {
        let source = io::Error::from_raw_os_error(28);
        let error = Error::io("create", Path::new("/var/spool/shop/000000000000000001.segment"))(source);
        let text = error.to_string();
        assert!(text.starts_with("cannot create /var/spool/shop/000000000000000001.segment: "), "{text}");
        assert!(text.contains("No space left"), "{text}");
        assert_eq!(error.source().unwrap().to_string(), io::Error::from_raw_os_error(28).to_string());

        let error =
            Error::Damaged { path: "/s/resource".into(), offset: 12, reason: "the checksum does not fit" };
        assert_eq!(error.to_string(), "/s/resource is damaged at byte 12: the checksum does not fit");
        assert!(error.source().is_none());
    }

    #[test]
    fn errors_travel_between_threads() {
        fn travels<T: Send + Sync + 'static>() {}
        travels::<Error>();
    }
}
