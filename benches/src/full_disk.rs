//! A disk that fills up: rings are not emptied any more, and stay as they are.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use spanring::mapping::Mapping;
use spanring_spool::{DiskStorage, Storage, StorageFile};

/// A real disk, until somebody says that it is full. Then no file is created any more.
#[derive(Debug, Default)]
pub struct FullDisk {
    is_full: AtomicBool,
}

impl FullDisk {
    /// From now on it is full.
    pub fn fill(&self) {
        self.is_full.store(true, Ordering::Relaxed);
    }
}

impl Storage for FullDisk {
    fn create(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        DiskStorage.create(path, len)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DiskStorage.create_dir(path)
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

    fn lock(&self, path: &Path) -> io::Result<File> {
        DiskStorage.lock(path)
    }
}
