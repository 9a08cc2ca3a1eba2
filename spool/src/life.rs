//! Whether a recorder's process lives, and the proof that it does not.
//!
//! A recorder is dead when the lock that its process took at the start is free, or when the kernel that the process ran
//! on is gone. Nothing else counts: no process number (it is reused, and another in each container), no age, no silence.
//! What a dead recorder left is taken by recovery, and the spans that were in flight are delivered as interrupted;
//! so the proof has to be right, and where there is none, nothing is taken.
//!
//! | lock | boot    | file                                        | life                          |
//! |------|---------|---------------------------------------------|-------------------------------|
//! | held |         |                                             | [`Life::Alive`]               |
//! | free | this    | has the device and inode that it records    | [`Life::Dead`]                |
//! | free | this    | has others: a copy, or another view of it   | [`Life::Unproven`]            |
//! | free | another | has the inode, on a local file system       | [`Life::DeadInAnotherBoot`]   |
//! | free | another | anything else                               | [`Life::Unproven`]            |
//!
//! A container's file seen through the host's view of its layers carries another lock than the one that the process in
//! the container holds: it looks free (measured), but its device differs. Of another boot only the inode is compared,
//! since each boot numbers its devices anew.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use crate::Error;
use crate::boot_id::BootId;
use crate::layout;
use crate::lock::{FileId, LockRecord};
use crate::recorder_id::RecorderId;
use crate::storage::{FileSystem, Storage, open_regular};

/// How it stands with a recorder.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Life {
    /// Its process records, or somebody is recovering it right now.
    Alive,
    /// Its process died in this boot: segments, rings and tables hold what it recorded.
    Dead,
    /// The kernel that its process ran on is gone. Only segments can be trusted.
    DeadInAnotherBoot,
    /// Its process may live, so nothing is taken from it.
    Unproven {
        /// What prevents the proof.
        doubt: Doubt,
    },
    /// It died, and what its rings and tables held is in its recovery recorder.
    Recovered,
    /// Its process stopped in order, and all it recorded is in segments.
    Closed,
}

impl Life {
    /// Whether nothing is added to its segments any more, and nothing is needed for a recovery.
    pub fn is_over(&self) -> bool {
        matches!(self, Life::Recovered | Life::Closed)
    }
}

/// Why a recorder that looks dead is not called dead.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Doubt {
    /// It has no lock file.
    NoLock,
    /// Its lock file was replaced by another one just now.
    Replaced,
    /// Its lock file does not hold what its format demands.
    UnreadableLock,
    /// Its lock file was made for another recorder.
    OtherRecorder {
        /// The recorder that the lock file names.
        recorded: RecorderId,
    },
    /// Its lock file is not the file that the process locked.
    OtherFile {
        /// The file that was locked.
        recorded: FileId,
        /// The file that is there.
        found: FileId,
    },
    /// It was locked in another boot, and lies where processes of other machines may reach it.
    SharedFileSystem {
        /// The kind of the file system.
        kind: String,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doubt::NoLock => f.write_str("its lock file is missing"),
            Doubt::Replaced => f.write_str("its lock file was replaced by another one just now"),
            Doubt::UnreadableLock => f.write_str("its lock file is damaged, or of a version not known here"),
            Doubt::OtherRecorder { recorded } => write!(f, "its lock file belongs to recorder {recorded}"),
            Doubt::OtherFile { recorded, found } => write!(
                f,
                "its lock file is a copy, or is seen from outside of the container that it was made in \
                 (device {} inode {} was locked, this is device {} inode {})",
                recorded.device, recorded.inode, found.device, found.inode
            ),
            Doubt::SharedFileSystem { kind } => {
                write!(
                    f,
                    "it was recorded in another boot or on another machine, and {kind} is not known to be local"
                )
            }
        }
    }
}

/// How often, and after how long each, an exclusive lock is tried again while only others who look hold it.
pub(crate) const TRIES: u32 = 100;
pub(crate) const TRY_INTERVAL: Duration = Duration::from_millis(2);

/// Looks how it stands with the recorder in `dir`. Holds its lock, shared, for the moment of looking.
pub(crate) fn look(dir: &Path, id: &RecorderId) -> Result<Life, Error> {
    if let Some(life) = marked(dir)? {
        return Ok(life);
    }
    let path = dir.join(layout::LOCK);
    let file = match open_regular(&path, OFlags::RDONLY) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return without_lock(dir, id, Doubt::NoLock),
        Err(error) => return Err(Error::io("open", &path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Life::Alive),
        Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
    }
    judge(&file, dir, id)
}

/// The proof that a recorder is dead, which nobody else has at the same time: its lock, held exclusively. Whoever recovers
/// keeps it until the recovery is complete.
#[derive(Debug)]
pub(crate) struct DeathProof {
    /// None of a recorder that is over, and lost its lock file.
    _lock: Option<File>,
    life: Life,
}

impl DeathProof {
    /// Proves that the recorder in `dir` is dead.
    ///
    /// # Errors
    ///
    /// [`Error::StillAlive`], also while somebody else recovers it; [`Error::Unproven`]; [`Error::NoSuchRecorder`].
    pub(crate) fn obtain(storage: &dyn Storage, dir: &Path, id: &RecorderId) -> Result<Self, Error> {
        let path = dir.join(layout::LOCK);
        let mut tries = 0;
        let lock = loop {
            match storage.lock(&path) {
                Ok(lock) => break lock,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Self::of(None, without_lock(dir, id, Doubt::NoLock)?, id);
                }
                Err(error) => return Err(Error::io("lock", &path)(error)),
            }
            // Somebody who only looks lets go at once.
            tries += 1;
            if tries == TRIES || look(dir, id)? == Life::Alive {
                return Err(Error::StillAlive { recorder: id.clone() });
            }
            thread::sleep(TRY_INTERVAL);
        };
        let life = judge(&lock, dir, id)?;
        Self::of(Some(lock), life, id)
    }

    fn of(lock: Option<File>, life: Life, id: &RecorderId) -> Result<Self, Error> {
        match life {
            Life::Unproven { doubt } => Err(Error::Unproven { recorder: id.clone(), doubt }),
            life => Ok(DeathProof { _lock: lock, life }),
        }
    }

    /// How it stood when the lock was taken: [`Life::Dead`] or [`Life::DeadInAnotherBoot`]; [`Life::Recovered`] or
    /// [`Life::Closed`] where nothing is left to do.
    pub(crate) fn life(&self) -> &Life {
        &self.life
    }
}

/// What a free lock means. The caller holds it.
pub(crate) fn judge(lock: &File, dir: &Path, id: &RecorderId) -> Result<Life, Error> {
    let path = dir.join(layout::LOCK);
    let inspect = |error| Error::io("inspect", &path)(error);
    let found = FileId::of(lock).map_err(inspect)?;
    if !found.is_at(&path).map_err(inspect)? {
        // Between opening and locking the recorder was removed, or somebody put another file there.
        return without_lock(dir, id, Doubt::Replaced);
    }
    // A marker was perhaps set between looking for it and locking.
    if let Some(life) = marked(dir)? {
        return Ok(life);
    }
    let Some(record) = LockRecord::read(lock).map_err(Error::io("read", &path))? else {
        return Ok(Life::Unproven { doubt: Doubt::UnreadableLock });
    };
    if record.recorder != *id {
        return Ok(Life::Unproven { doubt: Doubt::OtherRecorder { recorded: record.recorder } });
    }
    let doubt = Doubt::OtherFile { recorded: record.file, found };
    if record.boot == BootId::current()? {
        return Ok(if record.file == found { Life::Dead } else { Life::Unproven { doubt } });
    }
    let file_system = FileSystem::of(lock).map_err(inspect)?;
    Ok(if !file_system.is_local() {
        Life::Unproven { doubt: Doubt::SharedFileSystem { kind: file_system.to_string() } }
    } else if record.file.inode != found.inode {
        Life::Unproven { doubt }
    } else {
        Life::DeadInAnotherBoot
    })
}

/// What the marking files say, which are set when a recorder is complete.
fn marked(dir: &Path) -> Result<Option<Life>, Error> {
    for (name, life) in [(layout::CLOSED, Life::Closed), (layout::RECOVERED, Life::Recovered)] {
        let path = dir.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => return Ok(Some(life)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("inspect", &path)(error)),
        }
    }
    Ok(None)
}

fn without_lock(dir: &Path, id: &RecorderId, doubt: Doubt) -> Result<Life, Error> {
    match fs::symlink_metadata(dir) {
        Ok(_) => Ok(marked(dir)?.unwrap_or(Life::Unproven { doubt })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(gone(dir, id)),
        Err(error) => Err(Error::io("inspect", dir)(error)),
    }
}

/// The error for a recorder whose directory is not there.
pub(crate) fn gone(dir: &Path, id: &RecorderId) -> Error {
    let spool = dir.parent().unwrap_or(dir).to_owned();
    Error::NoSuchRecorder { recorder: id.clone(), spool }
}

#[cfg(test)]
mod tests;
