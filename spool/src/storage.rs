//! The one seam through which the spool changes files.
//!
//! Everything that creates, writes, syncs, renames, unlinks, lists or locks goes through a [`Storage`], so that a test
//! can put one in its place that fails, stalls, or forgets what was not synced. Reading does not: a reader takes the
//! bytes as they are, damaged or not.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::io::Errno;
use spanring::mapping::Mapping;

pub use disk::DiskStorage;

mod disk;
mod file_system;

pub(crate) use disk::open_regular;
pub(crate) use file_system::FileSystem;

/// How many names [`Storage::list`] returns at most.
pub const LIST_MAX: usize = 65_536;

/// Operations on files and directories. Errors are those of the operating system, without the path: the caller knows it.
///
/// # What is promised
///
/// * **Nothing is created over anything.** [`create`](Storage::create) and [`rename`](Storage::rename) fail where the
///   name is taken, and no operation follows a symbolic link in the last component of its path.
/// * **Space is secured first.** A file that was created has its blocks; to write within its length fails only if the
///   disk does, never for want of space.
/// * **What survives a power cut:** the content of a file once a [`sync`](StorageSync::sync) that started after the
///   write has returned `Ok`; a name (created, renamed, gone) once a [`sync_dir`](Storage::sync_dir) of its directory
///   that started afterwards has. A new file needs both. In between, pages of 4096 bytes survive or not one by one, in
///   any order.
/// * **A sync that failed says nothing about the future.** The kernel marks the pages as clean although they were not
///   written, so a second sync of the same file may return `Ok` without having written them. Whoever needs them writes
///   them again, elsewhere.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Creates a directory that only its owner may use (0700, whatever the umask).
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where the name is taken, `NotFound` where the parent is missing.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Creates a file of `len` zeros for one writer, that only its owner may use (0600, whatever the umask), and secures
    /// its space. It is written by calls.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where the name is taken; `StorageFull`, `QuotaExceeded` or `FileTooLarge` where the space is not to be had, for anybody, for this user
    /// or for this process. Nothing is left behind.
    fn create(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>>;

    /// Creates such a file as memory that the process and its recovery share.
    ///
    /// # Errors
    ///
    /// As for [`create`](Storage::create); `Unsupported` where a mapping of this file system may run out of space, which
    /// would be a signal; `InvalidInput` for an empty one.
    fn create_shared(&self, path: &Path, len: u64) -> io::Result<Mapping>;

    /// Opens a regular file for writing in place, by calls, and secures its space up to `len`; what it holds stays.
    ///
    /// # Errors
    ///
    /// `NotFound`; `InvalidInput` for what is no regular file; a symbolic link gives the error ELOOP.
    fn open(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>>;

    /// Makes the names in a directory survive a power cut, as they are now.
    ///
    /// # Errors
    ///
    /// Those of the disk.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives a file or directory another name on the same file system, in one step.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where the new name is taken. On a file system that cannot check this in the same step, an empty
    /// directory of that name may be replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes the name of a file.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none.
    fn unlink(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// `DirectoryNotEmpty`, `NotFound`.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, in no order, without those that are no UTF-8 (no recorder makes such). A directory with
    /// more than [`LIST_MAX`] gives so many of them, and the file system chooses which.
    ///
    /// # Errors
    ///
    /// `NotFound`, `NotADirectory`, a symbolic link included.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens a regular file and takes its exclusive lock, which is held until every duplicate of the file is closed, or
    /// the process ends. Does not wait.
    ///
    /// # Errors
    ///
    /// `WouldBlock` while anybody else holds it, shared or exclusively; `NotFound`; `InvalidInput` for what is no regular
    /// file.
    fn lock(&self, path: &Path) -> io::Result<File>;
}

/// A lock that [`Storage::lock`] has taken, until this is dropped or the process ends. A child that another thread is just starting has a duplicate
/// of the file until it runs its program, and would go on holding it. A forked child that drops its copy leaves the lock to its parent.
#[derive(Debug)]
pub(crate) struct HeldLock {
    file: File,
    /// The process that has the lock.
    process: u32,
}

impl HeldLock {
    /// Holds what this process has just taken.
    pub(crate) fn new(file: File) -> Self {
        HeldLock { file, process: std::process::id() }
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // Where that fails, the lock goes with the last duplicate.
            drop(self.file.unlock());
        }
    }
}

/// Whether an error of [`create`](Storage::create) says that so much space is not to be had, and less might be.
pub(crate) fn is_for_want_of_space(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// Whether a file that could not be read will never be: it is a trap, or lies on a bad block. Anything else, such as a process that is short of descriptors or
/// of memory, passes.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    let of_the_file = [Errno::LOOP, Errno::NXIO, Errno::IO, Errno::BADMSG, Errno::UCLEAN];
    let is_one = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    error.kind() == io::ErrorKind::InvalidInput || of_the_file.into_iter().any(is_one)
}

/// A file that was created or opened by a [`Storage`], with one writer.
pub trait StorageFile: Send {
    /// Writes all of `bytes` at `offset`, within the length that was asked for.
    ///
    /// # Errors
    ///
    /// Those of the disk; `InvalidInput` beyond the length. What was written then is unknown.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Stores `word`, little-endian, at `offset`, a multiple of 4. Whoever sees it, in any process, sees all that was
    /// written to the file before.
    ///
    /// # Errors
    ///
    /// As for [`write`](StorageFile::write).
    fn commit(&mut self, offset: u64, word: u32) -> io::Result<()>;

    /// A handle that syncs the file, for another thread.
    fn syncer(&self) -> Arc<dyn StorageSync>;

    /// Cuts the file behind its first `len` bytes, and returns the space.
    ///
    /// # Errors
    ///
    /// Those of the disk; `InvalidInput` where it is shorter.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// Syncs one file.
pub trait StorageSync: Send + Sync {
    /// Makes all that was written before the call survive a power cut, the file's length included (fdatasync).
    ///
    /// # Errors
    ///
    /// Those of the disk: see [`Storage`] on what a failed sync means.
    fn sync(&self) -> io::Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_goes_with_its_holder_whoever_has_a_duplicate_but_not_with_the_copy_of_a_forked_child() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        drop(DiskStorage.create(&path, 0).unwrap());
        let lock = HeldLock::new(DiskStorage.lock(&path).unwrap());
        // As a child has it between fork and exec.
        let duplicate = lock.file.try_clone().unwrap();
        // As one has it that goes on, with another number.
        drop(HeldLock { file: lock.file.try_clone().unwrap(), process: lock.process + 1 });
        assert_eq!(DiskStorage.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(lock);
        drop(DiskStorage.lock(&path).unwrap());
        drop(duplicate);
    }
}
