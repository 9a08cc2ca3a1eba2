//! Removing what was delivered, and what was left half done.
//!
//! * A segment goes when every sink is behind it. The segment that holds the last block never does before its recorder
//!   is over: recovery begins where that block ends.
//! * A recorder goes as a whole when it is over and every sink is behind its last block. It is renamed first, so that
//!   nobody sees half of it.
//! * A segment that is to stay for now keeps all behind it, and its recorder: what is left always begins in one place.
//! * What was recovered of a recorder stays until the recorder is marked as recovered or gone: before, a recovery that was
//!   interrupted is done again, and what it no longer found would be delivered twice.
//!
//! Only files with names that spanring gives are removed. A directory with others in it stays, out of sight.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

use crate::life::{self, Doubt, Life};
use crate::position::Position;
use crate::recorder_id::RecorderId;
use crate::ring_files::{left_in_shared_memory, remove_memory};
use crate::spool_dir::{SpoolDir, check_private_dir};
use crate::storage::LIST_MAX;
use crate::{Error, layout};

/// What was removed of a recorder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Removed {
    /// How many segments.
    pub segments: u64,
    /// How many bytes of the disk all of it occupied.
    pub bytes: u64,
    /// Whether the recorder is gone altogether.
    pub recorder: bool,
    /// How many segments could be gone and are not, since they are to stay for now.
    pub kept: u64,
}

impl SpoolDir {
    /// Removes what lies wholly before every one of the positions, which are those of all sinks. The caller has stored
    /// and synced their cursors. Without positions nothing is removed.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRecorder`], [`Error::Refused`], [`Error::Io`]. What was removed until then stays removed.
    pub fn remove_delivered(&self, id: &RecorderId, up_to: &[Position]) -> Result<Removed, Error> {
        self.remove_delivered_unless(id, up_to, |_, _| false)
    }

    /// As [`remove_delivered`](Self::remove_delivered), unless a segment is to stay for now: `stays` is asked with the number of each that
    /// could go, oldest first, and with when its file was last written. Those behind one that stays do too, and so does the recorder.
    ///
    /// # Errors
    ///
    /// As for [`remove_delivered`](Self::remove_delivered).
    pub fn remove_delivered_unless(
        &self,
        id: &RecorderId,
        up_to: &[Position],
        mut stays: impl FnMut(u64, SystemTime) -> bool,
    ) -> Result<Removed, Error> {
        let dir = self.recorder_dir(id)?;
        let mut removed = Removed::default();
        let Some(&furthest_behind) = up_to.iter().min() else {
            return Ok(removed);
        };
        if let Some(origin) = id.origin()
            && self.may_be_recovered(&origin)?
        {
            return Ok(removed);
        }

        let mut segments: Vec<u64> =
            self.names(&dir)?.iter().filter_map(|name| layout::segment_number(name)).collect();
        segments.sort_unstable();
        let goes_as_a_whole = life::look(&dir, id)?.is_over() && self.is_last(id, furthest_behind)?;
        // A place in a segment that does not exist was taken from elsewhere, and proves nothing.
        let is_place = segments.contains(&furthest_behind.segment);
        segments.retain(|&number| goes_as_a_whole || is_place && number < furthest_behind.segment);
        let mut first_kept = segments.len();
        // All are asked about, so that whoever answers sees each as early as can be.
        for (nth, &number) in segments.iter().enumerate() {
            let written = last_written(&dir.join(layout::segment(number)))?;
            if written.is_some_and(|written| stays(number, written)) {
                first_kept = first_kept.min(nth);
            }
        }
        removed.kept = (segments.len() - first_kept) as u64;
        if goes_as_a_whole && removed.kept == 0 {
            return self.remove_recorder(id);
        }
        for number in segments.into_iter().take(first_kept) {
            // The sinks' place itself goes with its recorder only.
            if number >= furthest_behind.segment {
                removed.kept += 1;
                continue;
            }
            let path = dir.join(layout::segment(number));
            let bytes = allocated(&path)?;
            if self.unlink(&path)? {
                removed.segments += 1;
                removed.bytes += bytes;
            }
        }
        // Not synced: a segment that a power cut brings back lies before the cursors all the same.
        Ok(removed)
    }

    /// Removes what processes left that were killed while they set up a recorder or removed one. Returns how many
    /// directories are gone.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn sweep(&self) -> Result<u64, Error> {
        let mut swept = 0;
        for name in self.names(self.path())? {
            let path = self.path().join(&name);
            if let Some(id) = name.strip_prefix(layout::GONE_PREFIX)
                && RecorderId::parse(id).is_some()
            {
                swept += u64::from(is_private_dir(&path) && self.clear(&path)?);
            } else if name.starts_with(layout::NEW_MARKER_PREFIX) {
                if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
                    self.unlink(&path)?;
                }
            } else if let Some(id) = name.strip_prefix(layout::NEW_PREFIX)
                && let Some(id) = RecorderId::parse(id)
            {
                swept += u64::from(is_private_dir(&path) && self.clear_unfinished(&path, &id)?);
            }
        }
        Ok(swept)
    }

    /// Whether no block lies behind a position, in a recorder that is over. Damage is none.
    fn is_last(&self, id: &RecorderId, position: Position) -> Result<bool, Error> {
        let mut reader = self.reader(id)?;
        reader.seek(position);
        Ok(reader.next_block()?.is_none())
    }

    /// Removes the directory of a recorder that is over.
    fn remove_recorder(&self, id: &RecorderId) -> Result<Removed, Error> {
        let dir = self.recorder_path(id);
        let mut removed = Removed { recorder: true, ..Removed::default() };
        for name in self.names(&dir)? {
            removed.segments += u64::from(layout::segment_number(&name).is_some());
            removed.bytes += allocated(&dir.join(&name))?;
        }
        // Left there by a process that was killed between the end of a recovery and this.
        if let Some(shared) = left_in_shared_memory(id) {
            remove_memory(&**self.storage(), &shared)?;
        }
        let gone = self.path().join(format!("{}{id}", layout::GONE_PREFIX));
        self.clear(&gone)?;
        match self.storage().rename(&dir, &gone) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(life::gone(&dir, id)),
            Err(error) => return Err(Error::io("remove", &dir)(error)),
        }
        // Were the files gone after a power cut and the new name not there, half a recorder would be seen.
        self.storage().sync_dir(self.path()).map_err(Error::io("sync", self.path()))?;
        self.clear(&gone)?;
        Ok(removed)
    }

    /// Removes a recorder that was being set up, unless its process is still at it. The process checks, once it holds
    /// the lock, that the lock file has kept its name; so before it holds it, everything may be removed.
    fn clear_unfinished(&self, dir: &Path, id: &RecorderId) -> Result<bool, Error> {
        let path = dir.join(layout::LOCK);
        let lock = match self.storage().lock(&path) {
            Ok(lock) => lock,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return Ok(false),
                io::ErrorKind::NotFound => return self.clear_without_lock(dir, id),
                _ => return Err(Error::io("lock", &path)(error)),
            },
        };
        match life::judge(&lock, dir, id) {
            // Without a record, the process was killed before it could check.
            Ok(Life::Unproven { doubt: Doubt::UnreadableLock }) => self.clear_with_memory(dir, id),
            Ok(Life::Unproven { .. } | Life::Alive) | Err(Error::NoSuchRecorder { .. }) => Ok(false),
            Ok(_) => self.clear_with_memory(dir, id),
            Err(error) => Err(error),
        }
    }

    /// Removes a directory in which no lock file was found. The lock is the first file to be made and the last to be
    /// removed, so where other files are, and still no lock, nobody is at it. Where nothing is, its process may be about
    /// to make the lock, and all that may be removed is an empty directory.
    fn clear_without_lock(&self, dir: &Path, id: &RecorderId) -> Result<bool, Error> {
        let is_empty = match self.storage().list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            names => names.map_err(Error::io("list", dir))?.is_empty(),
        };
        // Looked for after the others: files that were made behind a lock are listed only when it was there before.
        let lock = dir.join(layout::LOCK);
        match fs::symlink_metadata(&lock) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("inspect", &lock)(error)),
            Ok(_) => return Ok(false),
        }
        if is_empty { self.remove_empty(dir) } else { self.clear_with_memory(dir, id) }
    }

    /// Removes what was set up of a recorder, in shared memory too.
    fn clear_with_memory(&self, dir: &Path, id: &RecorderId) -> Result<bool, Error> {
        if let Some(shared) = left_in_shared_memory(id) {
            remove_memory(&**self.storage(), &shared)?;
        }
        self.clear(dir)
    }

    /// Removes the files of a directory that spanring knows, the lock last, and the directory if it is empty then.
    pub(crate) fn clear(&self, dir: &Path) -> Result<bool, Error> {
        let mut names = match self.storage().list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            names => names.map_err(Error::io("list", dir))?,
        };
        names.retain(|name| layout::is_known(name));
        names.sort_unstable_by_key(|name| name == layout::LOCK);
        for name in names {
            self.unlink(&dir.join(name))?;
        }
        self.remove_empty(dir)
    }

    /// Removes a directory if it is empty, and says whether it did.
    fn remove_empty(&self, dir: &Path) -> Result<bool, Error> {
        match self.storage().remove_dir(dir) {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound => Ok(false),
                _ => Err(Error::io("remove", dir)(error)),
            },
        }
    }

    /// Whether a recorder may be recovered yet, or once more because the recovery was not finished.
    fn may_be_recovered(&self, id: &RecorderId) -> Result<bool, Error> {
        match self.life(id) {
            Err(Error::NoSuchRecorder { .. }) => Ok(false),
            life => Ok(!life?.is_over()),
        }
    }

    /// Removes a file, and says whether it was there.
    fn unlink(&self, path: &Path) -> Result<bool, Error> {
        match self.storage().unlink(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("remove", path)(error)),
        }
    }

    fn names(&self, dir: &Path) -> Result<Vec<String>, Error> {
        let names = self.storage().list(dir).map_err(Error::io("list", dir))?;
        if names.len() == LIST_MAX && dir != self.path() {
            let (what, max) = ("a directory", LIST_MAX as u64);
            return Err(Error::TooLarge { what, len: names.len() as u64, max });
        }
        Ok(names)
    }
}

fn is_private_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| check_private_dir(path, &metadata).is_ok())
}

/// When a file was last written; `None` where it is gone.
fn last_written(path: &Path) -> Result<Option<SystemTime>, Error> {
    match fs::symlink_metadata(path).and_then(|metadata| metadata.modified()) {
        Ok(at) => Ok(Some(at)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("inspect", path)(error)),
    }
}

/// How many bytes of the disk a file occupies; none where it is gone.
fn allocated(path: &Path) -> Result<u64, Error> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(metadata.blocks() * 512),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::io("inspect", path)(error)),
    }
}

#[cfg(test)]
mod tests;
