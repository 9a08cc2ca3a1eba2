//! A spool, looked at from outside: which recorders it has, and how it stands with each.
//!
//! Nothing in a spool is believed because of its name alone. A directory counts as a recorder when its name is an
//! identity, and when it belongs to the user of this process and no other user may write to it; files in it are opened
//! without following links. See the layout in `layout.rs`.

use std::ffi::OsStr;
use std::fs::{self, Metadata, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::life::{self, Life};
use crate::recorder_id::RecorderId;
use crate::resource::Resource;
use crate::storage::{DiskStorage, HeldLock, Storage, open_regular};
use crate::{Cursor, Error, NotASpool, Notebook, Noted, Refusal, layout};

/// A directory with recorders in it.
#[derive(Clone, Debug)]
pub struct SpoolDir {
    path: PathBuf,
    storage: Arc<dyn Storage>,
}

/// The right to deliver from a spool, which one exporter has at a time. It ends when this is dropped, or with the process.
#[derive(Debug)]
#[must_use = "others may deliver from the spool once the claim is dropped"]
pub struct ExportClaim {
    _lock: HeldLock,
}

impl SpoolDir {
    /// Opens the spool at a path, which may lead there through symbolic links.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchSpool`], [`Error::NotASpool`]; [`Error::Refused`] where it belongs to another user; [`Error::Io`], for
    /// want of permission among others.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_in(Arc::new(DiskStorage), path.as_ref())
    }

    /// As [`open`](SpoolDir::open), in a storage of one's own.
    ///
    /// # Errors
    ///
    /// As for [`open`](SpoolDir::open).
    pub fn open_in(storage: Arc<dyn Storage>, path: &Path) -> Result<Self, Error> {
        let spool = SpoolDir { path: resolve(path)?, storage };
        match spool.marked()? {
            Ok(()) => {
                check_ours(&spool.path, &inspect(&spool.path)?)?;
                Ok(spool)
            }
            Err(found) => Err(Error::NotASpool { path: path.to_owned(), found }),
        }
    }

    /// Opens the spool at a path, and makes one where there is nothing or an empty directory. Several processes may do so
    /// at once. It survives a power cut once this has returned.
    ///
    /// # Errors
    ///
    /// [`Error::NotASpool`] where something else is there; [`Error::Refused`]; [`Error::Io`].
    pub(crate) fn create(storage: Arc<dyn Storage>, path: &Path) -> Result<Self, Error> {
        create_dirs(&*storage, path)?;
        let spool = SpoolDir { path: resolve(path)?, storage };
        match spool.marked()? {
            Ok(()) => {}
            Err(NotASpool::NoMarker) if spool.is_empty()? => {
                check_ours(&spool.path, &inspect(&spool.path)?)?;
                spool.mark()?;
            }
            Err(found) => return Err(Error::NotASpool { path: path.to_owned(), found }),
        }
        check_ours(&spool.path, &inspect(&spool.path)?)?;
        // Also where another process made it: that one may be killed before it syncs.
        spool.storage.sync_dir(&spool.path).map_err(Error::io("sync", &spool.path))?;
        Ok(spool)
    }

    /// Where it is: absolute, and without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The storage that it is changed through.
    pub(crate) fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// Its recorders, in the order of their creation. What only looks like one is left out: the other operations say why.
    /// Of more than 65,536 entries some are left out; they show when others have been removed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn recorders(&self) -> Result<Vec<RecorderId>, Error> {
        let names = self.storage.list(&self.path).map_err(Error::io("list", &self.path))?;
        let mut recorders: Vec<RecorderId> = names
            .iter()
            .filter_map(|name| RecorderId::parse(name))
            .filter(|id| self.recorder_dir(id).is_ok())
            .collect();
        recorders.sort_unstable();
        Ok(recorders)
    }

    /// Where a recorder has its files.
    pub fn recorder_path(&self, id: &RecorderId) -> PathBuf {
        self.path.join(id.as_str())
    }

    /// Whether a file of this name is a segment of a recorder's.
    pub fn is_segment(path: &Path) -> bool {
        path.file_name().and_then(OsStr::to_str).is_some_and(|name| layout::segment_number(name).is_some())
    }

    /// The notebook of a sink on a recorder, and what it holds; a new one where there is none. It is for whoever has the sink's
    /// [cursor](crate::Cursor) open there.
    ///
    /// # Errors
    ///
    /// As for [`Notebook::open`](crate::Notebook::open).
    pub fn notebook(&self, id: &RecorderId, sink_name: &str) -> Result<(Notebook, Noted), Error> {
        Notebook::open_in(Arc::clone(&self.storage), &self.recorder_path(id), sink_name)
    }

    /// What the notebook of a sink on a recorder holds, for whoever does not have the sink's [cursor](crate::Cursor) open.
    ///
    /// # Errors
    ///
    /// As for [`Notebook::peek`](crate::Notebook::peek).
    pub fn notes(&self, id: &RecorderId, sink_name: &str) -> Result<Noted, Error> {
        Notebook::peek(&self.recorder_path(id), sink_name)
    }

    /// How it stands with a recorder.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRecorder`], [`Error::Refused`], [`Error::Io`].
    pub fn life(&self, id: &RecorderId) -> Result<Life, Error> {
        life::look(&self.recorder_dir(id)?, id)
    }

    /// What the process of a recorder was.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] and [`Error::TooLarge`] for a file that is no resource; as for [`life`](SpoolDir::life).
    pub fn resource(&self, id: &RecorderId) -> Result<Resource, Error> {
        Resource::load(&self.recorder_dir(id)?)
    }

    /// Opens the cursor of a sink in a recorder, and creates it where there is none.
    ///
    /// # Errors
    ///
    /// As for [`Cursor::open`].
    pub fn cursor(&self, id: &RecorderId, sink_name: &str) -> Result<Cursor, Error> {
        Cursor::open_in(&*self.storage, &self.recorder_path(id), sink_name)
    }

    /// Claims the spool for the delivery of what is in it.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] while another exporter has it; [`Error::Io`].
    pub fn claim_for_export(&self) -> Result<ExportClaim, Error> {
        let path = self.path.join(layout::EXPORTER_LOCK);
        match self.storage.create(&path, 0) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", &path)(error)),
        }
        let mut tries = 0;
        loop {
            match self.storage.lock(&path) {
                Ok(lock) => return Ok(ExportClaim { _lock: HeldLock::new(lock) }),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(Error::io("lock", &path)(error));
                }
                Err(_) => {}
            }
            // Somebody who only looks lets go at once.
            tries += 1;
            if tries == life::TRIES || self.is_claimed_for_export()? {
                return Err(Error::Locked { action: "export from the spool", path });
            }
            thread::sleep(life::TRY_INTERVAL);
        }
    }

    /// Whether somebody has claimed the spool for delivery. Nothing is written; the lock is held, shared, for the moment of looking.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn is_claimed_for_export(&self) -> Result<bool, Error> {
        let path = self.path.join(layout::EXPORTER_LOCK);
        let file = match open_regular(&path, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io("open", &path)(error)),
        };
        match file.try_lock_shared() {
            // Unlocked by hand, since a child that is just being started may have a duplicate.
            Ok(()) => file.unlock().map(|()| false).map_err(Error::io("unlock", &path)),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
        }
    }

    /// The directory of a recorder, once it was seen to be one.
    pub(crate) fn recorder_dir(&self, id: &RecorderId) -> Result<PathBuf, Error> {
        let path = self.recorder_path(id);
        match fs::symlink_metadata(&path) {
            Ok(metadata) => check_private_dir(&path, &metadata).map(|()| path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(life::gone(&path, id)),
            Err(error) => Err(Error::io("inspect", &path)(error)),
        }
    }

    /// Whether the marking file stands, and what is wrong where it does not.
    fn marked(&self) -> Result<Result<(), NotASpool>, Error> {
        let path = self.path.join(layout::MARKER);
        let file = match open_regular(&path, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) => {
                let is_link = error.raw_os_error() == Some(Errno::LOOP.raw_os_error());
                return match error.kind() {
                    io::ErrorKind::NotFound => Ok(Err(NotASpool::NoMarker)),
                    io::ErrorKind::InvalidInput => Ok(Err(NotASpool::UnknownMarker)),
                    _ if is_link => Ok(Err(NotASpool::UnknownMarker)),
                    _ => Err(Error::io("open", &path)(error)),
                };
            }
        };
        let mut text = Vec::new();
        let read = file.take(layout::MARKER_TEXT.len() as u64 + 1).read_to_end(&mut text);
        read.map_err(Error::io("read", &path))?;
        let known = text == layout::MARKER_TEXT.as_bytes();
        Ok(if known { Ok(()) } else { Err(NotASpool::UnknownMarker) })
    }

    /// Whether there is nothing but marking files that are being written.
    fn is_empty(&self) -> Result<bool, Error> {
        let names = self.storage.list(&self.path).map_err(Error::io("list", &self.path))?;
        let ours = |name: &String| name.starts_with(layout::NEW_MARKER_PREFIX) || name == layout::MARKER;
        Ok(names.iter().all(ours))
    }

    /// Writes the marking file under a name of its own first, so that nobody sees half of it.
    fn mark(&self) -> Result<(), Error> {
        let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()));
        let random = random.map_err(Error::io("name a file in", &self.path))?;
        let new = self.path.join(format!("{}{random:016x}", layout::NEW_MARKER_PREFIX));
        let text = layout::MARKER_TEXT.as_bytes();
        let mut file = self.storage.create(&new, text.len() as u64).map_err(Error::io("create", &new))?;
        let path = self.path.join(layout::MARKER);
        let marked = file
            .write(0, text)
            .and_then(|()| file.syncer().sync())
            .and_then(|()| self.storage.rename(&new, &path))
            .map_err(Error::io("create", &path));
        if marked.is_ok() {
            return marked;
        }
        // Another process may have swept already.
        let removed = match self.storage.unlink(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &new)(error)),
            _ => Ok(()),
        };
        // Or it was faster, and all is well.
        if self.marked()?.is_ok() { removed } else { marked }
    }
}

/// Says why a directory is not one that only the user of this process may change.
pub(crate) fn check_private_dir(path: &Path, metadata: &Metadata) -> Result<(), Error> {
    if !metadata.is_dir() {
        return Err(Error::Refused { path: path.to_owned(), refusal: Refusal::NoDirectory });
    }
    check_ours(path, metadata)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        let refusal = Refusal::WritableByOthers { mode };
        return Err(Error::Refused { path: path.to_owned(), refusal });
    }
    Ok(())
}

fn check_ours(path: &Path, metadata: &Metadata) -> Result<(), Error> {
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user {
        let refusal = Refusal::ForeignOwner { owner, user };
        return Err(Error::Refused { path: path.to_owned(), refusal });
    }
    Ok(())
}

fn inspect(path: &Path) -> Result<Metadata, Error> {
    fs::symlink_metadata(path).map_err(Error::io("inspect", path))
}

/// The directory that a path leads to, without symbolic links.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    let not_a_spool = || Error::NotASpool { path: path.to_owned(), found: NotASpool::NoDirectory };
    let resolved = fs::canonicalize(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NoSuchSpool { path: path.to_owned() },
        io::ErrorKind::NotADirectory => not_a_spool(),
        _ => Error::io("open", path)(error),
    })?;
    if inspect(&resolved)?.is_dir() { Ok(resolved) } else { Err(not_a_spool()) }
}

/// Creates a directory and those above it that are missing, each of which survives a power cut.
fn create_dirs(storage: &dyn Storage, path: &Path) -> Result<(), Error> {
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    match storage.create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent != Path::new(".") => {
            create_dirs(storage, parent)?;
            match storage.create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("create", path)(error));
                }
                _ => {}
            }
        }
        Err(error) => return Err(Error::io("create", path)(error)),
    }
    let parent = fs::canonicalize(parent).map_err(Error::io("open", parent))?;
    storage.sync_dir(&parent).map_err(Error::io("sync", &parent))
}

#[cfg(test)]
pub(crate) mod tests;
