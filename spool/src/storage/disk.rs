//! Storage on the file systems of the operating system.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Resource, getrlimit};
use spanring::mapping::Mapping;

use super::{FileSystem, LIST_MAX, Storage, StorageFile, StorageSync};

/// The storage that everybody uses: files on a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskStorage;

const FILE_MODE: Mode = Mode::from_raw_mode(0o600);
const DIR_MODE: u32 = 0o700;
/// How many zeros are written at once where a file system cannot preallocate.
const ZEROS_LEN: usize = 64 * 1024;

/// Whether the space of a file is its own for good.
#[derive(PartialEq, Eq)]
enum Space {
    /// The file system gave the blocks.
    Allocated,
    /// The file system knows no preallocation, and zeros were written.
    Zeroed,
}

impl Storage for DiskStorage {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::DirBuilder::new().mode(DIR_MODE).create(path)?;
        // The umask can only have taken permissions away, so nobody got in meanwhile.
        fs::set_permissions(path, fs::Permissions::from_mode(DIR_MODE))
    }

    fn create(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
        let file = create_file(path)?;
        or_unlink(path, || {
            allocate(&file, len)?;
            Ok(Box::new(DiskFile { file: Arc::new(file), len }) as Box<dyn StorageFile>)
        })
    }

    fn create_shared(&self, path: &Path, len: u64) -> io::Result<Mapping> {
        let map_len = usize::try_from(len).map_err(io::Error::other)?;
        if map_len == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot map an empty file"));
        }
        let file = create_file(path)?;
        or_unlink(path, || {
            let file_system = FileSystem::of(&file)?;
            if !file_system.maps_safely() || allocate(&file, len)? != Space::Allocated {
                let reason = format!("{file_system} may lack space behind a mapping");
                return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
            }
            Mapping::of_file(&file, map_len)
        })
    }

    fn open(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
        let file = open_regular(path, OFlags::RDWR)?;
        let has = file.metadata()?.len();
        if has < len {
            allocate_behind(&file, has, len)?;
        }
        Ok(Box::new(DiskFile { file: Arc::new(file), len: len.max(has) }))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        open_dir(path)?.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match retry_on_intr(|| rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)) {
            Err(Errno::INVAL | Errno::NOSYS) => rename_checked(from, to),
            other => Ok(other?),
        }
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        let mut entries = rustix::fs::Dir::read_from(open_dir(dir)?)?;
        while names.len() < LIST_MAX {
            let Some(entry) = entries.read() else { break };
            let entry = entry?;
            match entry.file_name().to_str() {
                Ok("." | "..") | Err(_) => {}
                Ok(name) => names.push(name.to_owned()),
            }
        }
        Ok(names)
    }

    fn lock(&self, path: &Path) -> io::Result<File> {
        let file = open_regular(path, OFlags::RDWR)?;
        file.try_lock()?;
        Ok(file)
    }
}

/// Opens a regular file without following a link or waiting at a pipe.
pub(crate) fn open_regular(path: &Path, access: OFlags) -> io::Result<File> {
    let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

fn open_dir(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))?))
}

fn create_file(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(retry_on_intr(|| rustix::fs::openat(CWD, path, flags, FILE_MODE))?);
    or_unlink(path, || {
        retry_on_intr(|| rustix::fs::fchmod(&file, FILE_MODE))?;
        Ok(file)
    })
}

/// Does the rest of a creation, and takes the file away again where that fails.
fn or_unlink<T>(path: &Path, rest: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    rest().inspect_err(|_| {
        // The first error is the one to tell; an empty file that stays is found by whoever removes the directory.
        drop(fs::remove_file(path));
    })
}

fn allocate(file: &File, len: u64) -> io::Result<Space> {
    allocate_behind(file, 0, len)
}

/// Secures the space of the bytes `from..to` of a file that is `from` bytes long, and makes it `to` bytes long.
fn allocate_behind(file: &File, from: u64, to: u64) -> io::Result<Space> {
    if from == to {
        return Ok(Space::Allocated);
    }
    // The kernel would end the process by SIGXFSZ, unless that expects it.
    if getrlimit(Resource::Fsize).current.is_some_and(|max| to > max) {
        return Err(Errno::FBIG.into());
    }
    match retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), from, to - from)) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let zeros = [0; ZEROS_LEN];
            let mut at = from;
            while at < to {
                let len = usize::try_from(to - at).map_or(ZEROS_LEN, |left| left.min(ZEROS_LEN));
                file.write_all_at(&zeros[..len], at)?;
                at += len as u64;
            }
            Ok(Space::Zeroed)
        }
        other => {
            other?;
            Ok(Space::Allocated)
        }
    }
}

/// Renames where the file system has no way to check the new name in the same step. A link is such a step for a file;
/// a directory can at worst replace an empty one, since the kernel refuses any other.
fn rename_checked(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(from)?.is_dir() {
        return match fs::symlink_metadata(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
            Err(error) => Err(error),
        };
    }
    retry_on_intr(|| rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty()))?;
    fs::remove_file(from)
}

/// A file that is written by calls, and not through a mapping: to sync a mapping, the kernel takes the right to write from every page
/// that was written, and each time interrupts all processors on which threads of the process record.
struct DiskFile {
    file: Arc<File>,
    len: u64,
}

impl DiskFile {
    fn check(&self, offset: u64, len: usize) -> io::Result<()> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "a write beyond the length of the file")),
        }
    }
}

impl StorageFile for DiskFile {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check(offset, bytes.len())?;
        self.file.write_all_at(bytes, offset)
    }

    fn commit(&mut self, offset: u64, word: u32) -> io::Result<()> {
        self.check(offset, 4)?;
        if !offset.is_multiple_of(4) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a word at no multiple of its size"));
        }
        // A call writes after the calls before it, for every reader.
        self.file.write_all_at(&word.to_le_bytes(), offset)
    }

    fn syncer(&self) -> Arc<dyn StorageSync> {
        Arc::new(DiskSync { file: Arc::clone(&self.file) })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.check(len, 0)?;
        self.file.set_len(len)?;
        self.len = len;
        Ok(())
    }
}

struct DiskSync {
    file: Arc<File>,
}

impl StorageSync for DiskSync {
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::PathBuf;

    use rustix::process::Rlimit;

    use super::*;

    /// A directory on the disk and one in shared memory.
    fn places() -> Vec<tempfile::TempDir> {
        vec![tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap()]
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_created_file_has_its_length_and_space_and_what_is_written_to_it() {
        for place in places() {
            let path = place.path().join("a");
            let mut file = DiskStorage.create(&path, 10_000).unwrap();
            file.write(9_990, b"0123456789").unwrap();
            file.commit(4_096, 0x0403_0201).unwrap();
            file.syncer().sync().unwrap();

            let bytes = fs::read(&path).unwrap();
            assert_eq!(bytes.len(), 10_000);
            assert_eq!(&bytes[9_990..], b"0123456789");
            assert_eq!(bytes[4_096..4_100], [1, 2, 3, 4]);
            assert!(fs::metadata(&path).unwrap().blocks() * 512 >= 10_000);
        }
    }

    #[test]
    fn a_truncated_file_can_be_written_up_to_its_new_end_and_not_behind() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a");
        let mut file = DiskStorage.create(&path, 8_192).unwrap();
        file.write(0, &[1; 8_192]).unwrap();
        file.truncate(100).unwrap();
        file.write(90, &[2; 10]).unwrap();
        file.commit(0, 7).unwrap();
        for refused in [file.write(91, &[2; 10]), file.commit(100, 1), file.truncate(101)] {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert_eq!(file.write(u64::MAX, b"a").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(file.commit(2, 7).unwrap_err().kind(), io::ErrorKind::InvalidInput);

        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 100);
        assert_eq!(bytes[..5], [7, 0, 0, 0, 1]);
        assert_eq!(bytes[90..], [2; 10]);
    }

    #[test]
    fn an_opened_file_keeps_its_content_and_grows_to_the_length_that_is_asked_for() {
        for place in places() {
            let path = place.path().join("a");
            fs::write(&path, b"abc").unwrap();
            let mut file = DiskStorage.open(&path, 5_000).unwrap();
            file.write(4_999, b"z").unwrap();
            let bytes = fs::read(&path).unwrap();
            assert_eq!((&bytes[..4], bytes[4_999], bytes.len()), (&b"abc\0"[..], b'z', 5_000));
        }
    }

    #[test]
    fn shared_memory_is_the_file() {
        for place in places() {
            let path = place.path().join("ring");
            let mut mapping = DiskStorage.create_shared(&path, 8_192).unwrap();
            mapping.write(8_000, b"record");
            assert_eq!(fs::read(&path).unwrap()[8_000..8_006], *b"record");
            let empty = DiskStorage.create_shared(&place.path().join("empty"), 0).unwrap_err();
            assert_eq!(empty.kind(), io::ErrorKind::InvalidInput);
            assert!(!place.path().join("empty").exists());
        }
    }

    #[test]
    fn nothing_is_created_over_or_through_what_is_there() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("target");
        fs::write(&target, b"precious").unwrap();
        let link = place.path().join("link");
        symlink(&target, &link).unwrap();
        let dangling = place.path().join("dangling");
        symlink(place.path().join("nowhere"), &dangling).unwrap();

        for path in [&target, &link, &dangling] {
            let errors = [
                DiskStorage.create(path, 10).err(),
                DiskStorage.create_shared(path, 10).err(),
                DiskStorage.create_dir(path).err(),
            ];
            for error in errors {
                assert_eq!(error.unwrap().kind(), io::ErrorKind::AlreadyExists, "{}", path.display());
            }
        }
        for error in [DiskStorage.open(&link, 0).err(), DiskStorage.lock(&link).err()] {
            assert_eq!(error.unwrap().raw_os_error(), Some(Errno::LOOP.raw_os_error()));
        }
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        assert!(!place.path().join("nowhere").exists());
    }

    #[test]
    fn a_pipe_is_refused_without_waiting_for_its_other_end() {
        let place = tempfile::tempdir().unwrap();
        let pipe = place.path().join("pipe");
        rustix::fs::mknodat(CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        assert_eq!(DiskStorage.lock(&pipe).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(DiskStorage.open(&pipe, 0).err().unwrap().kind(), io::ErrorKind::InvalidInput);
        let read = open_regular(&pipe, OFlags::RDONLY).unwrap_err();
        assert_eq!(read.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn space_that_is_not_to_be_had_is_an_error_and_leaves_no_file() {
        // More than tmpfs has, and more than a file on a disk may have: both refuse before they take anything, where
        // less than that would fill the disk of everybody else for a moment.
        for (place, len) in places().into_iter().zip([1 << 62, 1 << 43]) {
            let path = place.path().join("a");
            assert!(DiskStorage.create(&path, len).is_err());
            assert!(DiskStorage.create_shared(&path, len).is_err());
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_file_that_the_process_may_not_make_so_long_is_an_error_and_no_signal() {
        // The limit belongs to the whole process, so this runs in one of its own.
        const CHILD: &str = "SPANRING_TEST_FILE_LIMIT_DIR";
        if let Some(dir) = std::env::var_os(CHILD) {
            let path = |name: &str| Path::new(&dir).join(name);
            let limit = Rlimit { current: Some(20_000), ..getrlimit(Resource::Fsize) };
            rustix::process::setrlimit(Resource::Fsize, limit).unwrap();
            drop(DiskStorage.create(&path("as long as may be"), 20_000).unwrap());
            let errors = [
                DiskStorage.create(&path("file"), 20_001).err(),
                DiskStorage.create_shared(&path("shared"), 1 << 20).err(),
                DiskStorage.open(&path("as long as may be"), 20_001).err(),
            ];
            for error in errors {
                assert_eq!(error.unwrap().kind(), io::ErrorKind::FileTooLarge);
            }
            assert!(!path("file").exists() && !path("shared").exists());
            return;
        }
        for place in places() {
            let name = "storage::disk::tests::a_file_that_the_process_may_not_make_so_long_is_an_error_and_no_signal";
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args([name, "--exact"])
                .env(CHILD, place.path())
                // Through pipes: these tests' own output may go to a file that is longer than the limit.
                .output()
                .unwrap();
            assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        }
    }

    #[test]
    fn a_rename_never_replaces() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| -> PathBuf { place.path().join(name) };
        for rename in
            [Storage::rename as fn(&DiskStorage, &Path, &Path) -> _, |_, from, to| rename_checked(from, to)]
        {
            fs::write(path("a"), b"a").unwrap();
            fs::write(path("b"), b"b").unwrap();
            fs::create_dir(path("dir")).unwrap();
            fs::create_dir(path("other")).unwrap();
            for (from, to) in [("a", "b"), ("a", "dir"), ("dir", "a"), ("dir", "other")] {
                let error = rename(&DiskStorage, &path(from), &path(to)).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{from} to {to}");
            }
            assert_eq!(fs::read(path("b")).unwrap(), b"b");

            rename(&DiskStorage, &path("a"), &path("c")).unwrap();
            rename(&DiskStorage, &path("dir"), &path("moved")).unwrap();
            assert!(!path("a").exists() && !path("dir").exists());
            assert_eq!(fs::read(path("c")).unwrap(), b"a");
            let error = rename(&DiskStorage, &path("a"), &path("d")).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            for name in ["b", "c"] {
                DiskStorage.unlink(&path(name)).unwrap();
            }
            for name in ["moved", "other"] {
                DiskStorage.remove_dir(&path(name)).unwrap();
            }
        }
    }

    #[test]
    fn a_list_has_every_name_once_and_follows_no_link() {
        let place = tempfile::tempdir().unwrap();
        for name in ["b", "a", ".hidden"] {
            fs::write(place.path().join(name), b"").unwrap();
        }
        let no_utf8 = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff");
        fs::write(place.path().join(no_utf8), b"").unwrap();
        let mut names = DiskStorage.list(place.path()).unwrap();
        names.sort();
        assert_eq!(names, [".hidden", "a", "b"]);

        let link = tempfile::tempdir().unwrap();
        symlink(place.path(), link.path().join("link")).unwrap();
        assert!(DiskStorage.list(&link.path().join("link")).is_err());
        assert!(DiskStorage.sync_dir(&link.path().join("link")).is_err());
        DiskStorage.sync_dir(place.path()).unwrap();
    }

    #[test]
    fn a_lock_is_held_by_one_and_free_once_its_file_is_closed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        assert_eq!(DiskStorage.lock(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        drop(DiskStorage.create(&path, 0).unwrap());
        let held = DiskStorage.lock(&path).unwrap();
        assert_eq!(DiskStorage.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        drop(DiskStorage.lock(&path).unwrap());
    }

    #[test]
    fn permissions_are_the_owners_alone_whatever_the_umask() {
        // The umask belongs to the whole process, so this runs in one of its own.
        const CHILD: &str = "SPANRING_TEST_UMASK_DIR";
        if let Some(dir) = std::env::var_os(CHILD) {
            let dir = Path::new(&dir);
            for (umask, name) in [(0o777, "strict"), (0o000, "open")] {
                rustix::process::umask(Mode::from_raw_mode(umask));
                let dir = dir.join(name);
                DiskStorage.create_dir(&dir).unwrap();
                drop(DiskStorage.create(&dir.join("file"), 10).unwrap());
                drop(DiskStorage.create_shared(&dir.join("shared"), 10).unwrap());
            }
            return;
        }
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let name = "storage::disk::tests::permissions_are_the_owners_alone_whatever_the_umask";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact"])
            .env(CHILD, place.path())
            .status();
        assert!(child.unwrap().success());
        for dir in ["strict", "open"].map(|name| place.path().join(name)) {
            assert_eq!(mode(&dir), 0o700);
            assert_eq!((mode(&dir.join("file")), mode(&dir.join("shared"))), (0o600, 0o600));
        }
    }
}
