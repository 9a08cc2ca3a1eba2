//! The files that a recorder's memory lies in: its control page, dictionary, lanes and tables.
//!
//! They lie in the recorder's directory, where they survive whatever the spool survives. Where a mapping of that file
//! system could run out of space (which would be a signal, and not an error) they lie in `/dev/shm` instead, in a
//! directory of the user with the recorder's name, and survive the process just as well. Where that is not to be had
//! either they are memory of the process alone: nothing that is not spooled survives a kill then, and the spool says so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spanring::Hooks;
use spanring::control::CONTROL_FILE_LEN;
use spanring::dictionary::DICTIONARY_FILE_LEN;
use spanring::mapping::Mapping;
use spanring::recorder::{Options, Recorder};

use crate::recorder_id::RecorderId;
use crate::spool_dir::check_private_dir;
use crate::storage::Storage;
use crate::{Error, layout};

const SHARED_MEMORY: &str = "/dev/shm";

/// Where a recorder's memory lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Placement {
    /// In this directory.
    Files(PathBuf),
    /// In the process.
    Heap,
}

/// Creates the files of one recorder.
#[derive(Debug)]
pub(crate) struct RingFiles {
    storage: Arc<dyn Storage>,
    placement: Placement,
    /// Tables made so far, which numbers their files.
    tables: u16,
}

/// The directory in shared memory that a dead recorder has put its files into, if it has. Everybody may create names there, so
/// it counts only if it and the one above belong to the user.
pub(crate) fn left_in_shared_memory(recorder: &RecorderId) -> Option<PathBuf> {
    let dir = shared_memory_dir(recorder);
    let is_ours = |path: &Path| {
        fs::symlink_metadata(path).is_ok_and(|metadata| check_private_dir(path, &metadata).is_ok())
    };
    (dir.parent().is_some_and(is_ours) && is_ours(&dir)).then_some(dir)
}

/// The directory in shared memory that the recorder's files are in if they are not in its own.
fn shared_memory_dir(recorder: &RecorderId) -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    Path::new(SHARED_MEMORY).join(format!("spanring-{user}")).join(recorder.as_str())
}

impl RingFiles {
    /// Makes a recorder with the files in its directory `dir`, or wherever they can be.
    pub(crate) fn create(
        storage: Arc<dyn Storage>,
        dir: &Path,
        id: &RecorderId,
        options: Options,
        hooks: Hooks,
    ) -> Result<(Self, &'static Recorder), Error> {
        let (placement, control) = place(&*storage, dir, id)?;
        let files = RingFiles { storage, placement, tables: 0 };
        let dictionary = files.map(layout::CALLSITES, DICTIONARY_FILE_LEN)?;
        let recorder = Recorder::new(options, hooks, control, dictionary)
            .map_err(|error| Error::io("set up the recorder in", dir)(io::Error::other(error)))?;
        Ok((files, recorder))
    }

    /// How many tables were made.
    pub(crate) fn tables(&self) -> u16 {
        self.tables
    }

    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Notes that the recorder's directory has got its name.
    pub(crate) fn moved_to(&mut self, from: &Path, to: &Path) {
        if self.placement == Placement::Files(from.to_owned()) {
            self.placement = Placement::Files(to.to_owned());
        }
    }

    /// Gives the recorder another lane.
    pub(crate) fn add_lane(&self, recorder: &Recorder) -> Result<(), Error> {
        let number = u16::try_from(recorder.lane_count()).unwrap_or(u16::MAX);
        let name = layout::lane(number);
        let mapping = self.map(&name, spanring::lane_file_len(recorder.options().ring_bytes))?;
        recorder.add_lane(mapping).map(drop).map_err(|error| self.refused(&name, error))
    }

    /// Gives the recorder another table.
    pub(crate) fn add_table(&mut self, recorder: &Recorder) -> Result<(), Error> {
        let name = layout::table(self.tables);
        let mapping = self.map(&name, spanring::table_file_len())?;
        self.tables += 1;
        recorder.add_table(mapping).map_err(|error| self.refused(&name, error))
    }

    fn map(&self, name: &str, len: usize) -> Result<Mapping, Error> {
        match &self.placement {
            Placement::Files(dir) => {
                let path = dir.join(name);
                self.storage.create_shared(&path, len as u64).map_err(Error::io("create", &path))
            }
            Placement::Heap => Mapping::anonymous(len).map_err(Error::io("find memory for", Path::new(name))),
        }
    }

    fn refused(&self, name: &str, error: spanring::recorder::RecorderError) -> Error {
        Error::io("use", Path::new(name))(io::Error::other(error))
    }
}

/// Removes the files of a recorder's memory from a directory.
pub(crate) fn remove_memory(storage: &dyn Storage, dir: &Path) -> Result<(), Error> {
    let names = match storage.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names.map_err(Error::io("list", dir))?,
    };
    for name in names.iter().filter(|name| layout::is_memory(name)) {
        let path = dir.join(name);
        match storage.unlink(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(error));
            }
            _ => {}
        }
    }
    if dir.starts_with(SHARED_MEMORY)
        && dir.parent().is_some_and(|parent| parent.parent() == Some(Path::new(SHARED_MEMORY)))
    {
        match storage.remove_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", dir)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Finds out where the files can be, by creating the first of them.
fn place(storage: &dyn Storage, dir: &Path, id: &RecorderId) -> Result<(Placement, Mapping), Error> {
    let path = dir.join(layout::CONTROL);
    match storage.create_shared(&path, CONTROL_FILE_LEN as u64) {
        Ok(mapping) => return Ok((Placement::Files(dir.to_owned()), mapping)),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(error) => return Err(Error::io("create", &path)(error)),
    }
    let shared = shared_memory_dir(id);
    if let Ok(mapping) = place_in_shared_memory(storage, &shared) {
        return Ok((Placement::Files(shared), mapping));
    }
    let mapping = Mapping::anonymous(CONTROL_FILE_LEN).map_err(Error::io("find memory for", &path))?;
    Ok((Placement::Heap, mapping))
}

fn place_in_shared_memory(storage: &dyn Storage, dir: &Path) -> Result<Mapping, Error> {
    let Some(of_user) = dir.parent() else { return Err(Error::UnsupportedPlatform) };
    match storage.create_dir(of_user) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(Error::io("create", of_user)(error));
        }
        _ => {}
    }
    // Everybody may create names in shared memory, so someone else may have made this one.
    check_private_dir(of_user, &fs::symlink_metadata(of_user).map_err(Error::io("inspect", of_user))?)?;
    storage.create_dir(dir).map_err(Error::io("create", dir))?;
    let path = dir.join(layout::CONTROL);
    storage.create_shared(&path, CONTROL_FILE_LEN as u64).map_err(Error::io("create", &path))
}
