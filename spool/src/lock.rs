//! The lock of a recorder, which its process holds for as long as it lives.
//!
//! The kernel lets go of the lock when the process ends, however it ends, and not before: that is the only sign of death
//! that spanring believes (see [`life`](crate::life)). Its file says in text what the sign can be trusted for:
//!
//! ```text
//! spanring lock 0
//! boot 0f6b3c1e-52a7-4e83-9a47-6d1a3c5e7f90      the boot of the kernel
//! device 64768                                    the file's device and inode, as the process sees them
//! inode 1311042
//! recorder 18a3f0c2d4e5b601-9e3779b97f4a7c15
//! process 4711                                    for people only: decides nothing
//! ```
//!
//! # Setting up
//!
//! A recorder's directory is set up as `.new-<recorder>`, and whoever sweeps a spool removes such directories whose lock
//! is free. To take the lock and then check that the file still has its name makes this safe: what was swept in between
//! is set up again, and what is locked is not swept.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::Error;
use crate::boot_id::BootId;
use crate::layout;
use crate::recorder_id::RecorderId;
use crate::storage::Storage;

/// No lock file is longer, in bytes.
const LEN_MAX: usize = 1024;
const FIRST_LINE: &str = "spanring lock 0";

/// The held lock of a recorder of this process. Dropping it is what death looks like to others. In a forked child, where
/// its descriptor is closed already, it must be forgotten instead.
#[derive(Debug)]
pub(crate) struct RecorderLock {
    file: File,
}

/// How often a directory is made again that was swept before it was locked, and how often it is looked whether it is gone.
const TRIES: u32 = 1000;
const TRY_INTERVAL: Duration = Duration::from_millis(1);

impl RecorderLock {
    /// Creates the directory `dir` of a recorder that is being set up, and its lock.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], where the directory exists among others; nothing is left behind then but what a sweep removes.
    pub(crate) fn set_up(storage: &dyn Storage, dir: &Path, id: &RecorderId) -> Result<Self, Error> {
        for _ in 1..TRIES {
            match Self::try_set_up(storage, dir, id) {
                Err(error) if Self::was_swept(&error) => await_gone(storage, dir),
                result => return result,
            }
        }
        Self::try_set_up(storage, dir, id)
    }

    fn try_set_up(storage: &dyn Storage, dir: &Path, id: &RecorderId) -> Result<Self, Error> {
        storage.create_dir(dir).map_err(Error::io("create", dir))?;
        Self::create(storage, dir, id)
    }

    fn was_swept(error: &Error) -> bool {
        match error {
            Error::Locked { .. } => true,
            Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
    /// Creates the lock file in the directory of a recorder that is being set up, takes its lock and syncs it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; [`Error::Locked`] or "not found" where the directory was swept at this moment.
    fn create(storage: &dyn Storage, dir: &Path, id: &RecorderId) -> Result<Self, Error> {
        let path = dir.join(layout::LOCK);
        let mut contents = storage.create(&path, LEN_MAX as u64).map_err(Error::io("create", &path))?;
        let file = lock(storage, &path)?;
        // A forked child that kept it would make a killed parent look alive.
        if !spanring::close_in_children(file.as_raw_fd()) {
            return Err(Error::io("lock", &path)(io::Error::other("this process holds too many locks")));
        }
        let lock = RecorderLock { file };
        let file = &lock.file;
        let record = LockRecord {
            boot: BootId::current()?,
            file: FileId::of(file).map_err(Error::io("inspect", &path))?,
            recorder: id.clone(),
            process: std::process::id(),
        };
        let text = record.encode();
        contents
            .write(0, text.as_bytes())
            .and_then(|()| contents.truncate(text.len() as u64))
            .map_err(Error::io("write", &path))?;
        contents.syncer().sync().map_err(Error::io("sync", &path))?;
        if !record.file.is_at(&path).map_err(Error::io("inspect", &path))? {
            return Err(Error::io("lock", &path)(io::ErrorKind::NotFound.into()));
        }
        Ok(lock)
    }
}

#[cfg(test)]
impl std::os::fd::AsRawFd for RecorderLock {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.file.as_raw_fd()
    }
}

impl Drop for RecorderLock {
    fn drop(&mut self) {
        spanring::forget_lock(self.file.as_raw_fd());
    }
}

/// Waits until a directory that is being swept is gone: whoever sweeps it removes it a moment after its lock file.
fn await_gone(storage: &dyn Storage, dir: &Path) {
    for _ in 0..TRIES {
        match storage.remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => thread::sleep(TRY_INTERVAL),
            _ => return,
        }
    }
}

/// Takes the exclusive lock of a file, and tells a held one from other errors.
fn lock(storage: &dyn Storage, path: &Path) -> Result<File, Error> {
    storage.lock(path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { action: "take the lock", path: path.to_owned() },
        _ => Error::io("lock", path)(error),
    })
}

/// Which file it is, on this machine in this boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileId {
    /// The device, as the kernel numbers it in this boot.
    pub device: u64,
    /// The file on that device.
    pub inode: u64,
}

impl FileId {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(FileId { device: metadata.dev(), inode: metadata.ino() })
    }

    /// Whether the path leads to this file.
    pub(crate) fn is_at(self, path: &Path) -> io::Result<bool> {
        match std::fs::symlink_metadata(path) {
            Ok(metadata) => Ok(self == FileId { device: metadata.dev(), inode: metadata.ino() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What a lock file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LockRecord {
    pub(crate) boot: BootId,
    pub(crate) file: FileId,
    pub(crate) recorder: RecorderId,
    pub(crate) process: u32,
}

impl LockRecord {
    pub(crate) fn encode(&self) -> String {
        let LockRecord { boot, file: FileId { device, inode }, recorder, process } = self;
        let mut text = String::new();
        writeln!(
            text,
            "{FIRST_LINE}\nboot {boot}\ndevice {device}\ninode {inode}\nrecorder {recorder}\nprocess {process}"
        )
        .expect("a string takes all that is written to it");
        text
    }

    /// Reads what [`encode`](LockRecord::encode) wrote; `None` of anything else.
    pub(crate) fn decode(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut lines = text.lines();
        let first = lines.next()?;
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let record = LockRecord {
            boot: BootId::parse(field("boot")?)?,
            file: FileId { device: field("device")?.parse().ok()?, inode: field("inode")?.parse().ok()? },
            recorder: RecorderId::parse(field("recorder")?)?,
            process: field("process")?.parse().ok()?,
        };
        // Whatever is cut, added or spelled otherwise shows when it is written again.
        (first == FIRST_LINE && record.encode() == text).then_some(record)
    }

    /// Reads the record of an open lock file; `None` where it holds none.
    pub(crate) fn read(file: &File) -> io::Result<Option<Self>> {
        let mut text = Vec::new();
        let mut file = file;
        io::Seek::rewind(&mut file)?;
        file.take(LEN_MAX as u64).read_to_end(&mut text)?;
        Ok(Self::decode(&text))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicU32, Ordering};

    use spanring::mapping::Mapping;

    use super::*;
    use crate::storage::{DiskStorage, StorageFile};

    fn record() -> LockRecord {
        LockRecord {
            boot: BootId([7; 16]),
            file: FileId { device: 64_768, inode: u64::MAX },
            recorder: RecorderId::from_parts(1, 2).recovery(),
            process: 1,
        }
    }

    #[test]
    fn a_lock_file_reads_as_it_was_written_and_no_cut_or_flip_is_read_as_another() {
        let record = record();
        let text = record.encode().into_bytes();
        assert!(text.len() <= LEN_MAX);
        assert_eq!(LockRecord::decode(&text).as_ref(), Some(&record));
        for cut in 0..text.len() {
            assert_eq!(LockRecord::decode(&text[..cut]), None, "cut at {cut}");
        }
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A digit that became another digit is another record, and says so when written; nothing else is one.
            if let Some(other) = LockRecord::decode(&flipped) {
                assert_eq!(other.encode().into_bytes(), flipped, "bit {bit}");
            }
        }
        assert_eq!(LockRecord::decode(&[0; LEN_MAX]), None);
    }

    #[test]
    fn a_created_lock_is_held_and_says_which_file_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let id = RecorderId::generate().unwrap();
        let lock = RecorderLock::create(&DiskStorage, dir.path(), &id).unwrap();
        let path = dir.path().join(layout::LOCK);
        let seen = File::open(&path).unwrap();
        let record = LockRecord::read(&seen).unwrap().unwrap();
        assert_eq!(record.recorder, id);
        assert!(record.file.is_at(&path).unwrap());
        assert!(seen.try_lock_shared().is_err());
        assert!(matches!(super::lock(&DiskStorage, &path), Err(Error::Locked { .. })));

        assert!(matches!(RecorderLock::create(&DiskStorage, dir.path(), &id), Err(Error::Io { .. })));
        drop(lock);
        seen.try_lock_shared().unwrap();
    }

    /// A disk on which somebody sweeps at the worst moments: the first time before the lock is taken, and the second
    /// time in between that and the check.
    #[derive(Debug, Default)]
    struct Swept(AtomicU32);

    impl Storage for Swept {
        fn lock(&self, path: &Path) -> io::Result<File> {
            let sweep = || {
                fs::remove_file(path).unwrap();
                fs::remove_dir(path.parent().unwrap()).unwrap();
            };
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            if count == 0 {
                sweep();
            }
            let lock = DiskStorage.lock(path)?;
            if count == 1 {
                sweep();
            }
            Ok(lock)
        }

        fn create_dir(&self, path: &Path) -> io::Result<()> {
            DiskStorage.create_dir(path)
        }
        fn create(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
            DiskStorage.create(path, len)
        }
        fn create_shared(&self, path: &Path, len: u64) -> io::Result<Mapping> {
            DiskStorage.create_shared(path, len)
        }
        fn open(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
            DiskStorage.open(path, len)
        }
        fn sync_dir(&self, path: &Path) -> io::Result<()> {
            DiskStorage.sync_dir(path)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            DiskStorage.rename(from, to)
        }
        fn unlink(&self, path: &Path) -> io::Result<()> {
            DiskStorage.unlink(path)
        }
        fn remove_dir(&self, path: &Path) -> io::Result<()> {
            DiskStorage.remove_dir(path)
        }
        fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
            DiskStorage.list(dir)
        }
    }

    #[test]
    fn a_recorder_that_is_swept_while_it_is_set_up_is_set_up_again() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("new");
        let storage = Swept::default();
        let lock = RecorderLock::set_up(&storage, &new, &RecorderId::from_parts(1, 1)).unwrap();
        assert_eq!(storage.0.load(Ordering::Relaxed), 3);
        assert!(FileId::of(&lock.file).unwrap().is_at(&new.join(layout::LOCK)).unwrap());
    }

    #[test]
    fn the_text_of_a_lock_is_what_the_documentation_shows() {
        let documented: Vec<&str> = include_str!("lock.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! "))
            .skip_while(|line| *line != FIRST_LINE)
            .take_while(|line| *line != "```")
            .filter_map(|line| line.split("    ").next())
            .collect();
        let record = LockRecord::decode(format!("{}\n", documented.join("\n")).as_bytes()).unwrap();
        assert_eq!(record.process, 4_711);
    }
}
