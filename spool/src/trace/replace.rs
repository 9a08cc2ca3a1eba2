//! Replacing a file as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::TraceError;

/// How often another name is tried for the new file where one is taken.
const TRIES: u32 = 16;

/// Replaces the file at this path, or makes one, by what `write` writes. The new file is written beside the old one under another name,
/// and takes its place when it is whole and on the disk: until then, and where anything fails, the old one stays as it was. Only
/// what is no regular file, a pipe or a terminal, is written in place.
pub(super) fn replace(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), TraceError>,
) -> Result<(), TraceError> {
    let failed = |action| move |source| TraceError::Io { action, path: Some(path.to_owned()), source };
    // A link stays, and the file that it leads to is replaced. A file that is open and has no name any more cannot be.
    let found = fs::canonicalize(path);
    let is_in_place = fs::metadata(path).is_ok_and(|there| !there.is_file() || found.is_err());
    let target = found.unwrap_or_else(|_| path.to_owned());
    let Some(name) = target.file_name().filter(|_| !is_in_place) else {
        let file = OpenOptions::new().write(true).truncate(true).open(path).map_err(failed("create"))?;
        let mut to = BufWriter::new(file);
        write(&mut to)?;
        return to.flush().map_err(failed("write"));
    };
    let mut new = NewFile::create(&target, name.to_string_lossy().as_ref()).map_err(failed("create"))?;
    write(&mut new.to)?;
    new.to.flush().and_then(|()| new.to.get_ref().sync_all()).map_err(failed("write"))?;
    fs::rename(&new.path, &target).map_err(failed("replace"))?;
    new.is_kept = true;
    Ok(())
}

/// A file that goes again unless it is kept.
struct NewFile {
    path: PathBuf,
    to: BufWriter<File>,
    is_kept: bool,
}

impl NewFile {
    /// Makes one beside `target`, which nobody but this user may read.
    fn create(target: &Path, name: &str) -> io::Result<Self> {
        // A name has at most 255 bytes.
        let start: String = name.chars().take(40).collect();
        let mut tries = 0;
        loop {
            let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
            let path = target.with_file_name(format!(".{start}.{random:016x}.new"));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok(NewFile { path, to: BufWriter::new(file), is_kept: false }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // Why it is not kept is told already.
            drop(fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::thread;

    use super::super::tests::{Made, trace};
    use super::*;
    use crate::{SpanData, Trace, Value};

    fn unsavable() -> SpanData {
        let deep = (0..200).fold(Value::Null, |value, _| Value::List(vec![value]));
        Made::new(2).with("deep", deep).span()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_save_that_fails_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("saved.ndjson");
        let old = trace(vec![Made::new(1).span()]);
        let bad = trace(vec![Made::new(1).named("new").span(), unsavable()]);
        assert!(matches!(bad.save(&path), Err(TraceError::Unsavable { .. })));
        assert_eq!(names(dir.path()), [""; 0], "nor is one made");
        old.save(&path).unwrap();
        assert!(matches!(bad.save(&path), Err(TraceError::Unsavable { .. })));
        assert!(Trace::save_all([&old, &bad], &path).is_err());
        assert_eq!(Trace::load(&path).unwrap(), old);
        assert_eq!(names(dir.path()), ["saved.ndjson"]);

        let failing = |_: &mut BufWriter<File>| Err(TraceError::NoTrace { path: None });
        assert!(replace(&path, failing).is_err());
        assert_eq!(Trace::load(&path).unwrap(), old);
        let error = old.save(dir.path().join("none/saved.ndjson")).unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot create {}/none/saved", dir.path().display())), "{error}");
    }

    #[test]
    fn what_replaces_a_file_is_for_this_user_alone_and_a_link_to_it_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("é".repeat(127)), dir.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        symlink(&path, &link).unwrap();
        let saved = trace(vec![Made::new(1).span()]);
        saved.save(&link).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Trace::load(&path).unwrap(), saved);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(dir.path()).len(), 2);
    }

    #[test]
    fn an_open_file_without_a_name_is_written_in_place() {
        use std::os::fd::AsRawFd as _;

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gone");
        fs::write(&path, "something longer than nothing").unwrap();
        let mut file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let saved = trace(vec![Made::new(1).span()]);
        saved.save(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
        let mut text = Vec::new();
        file.read_to_end(&mut text).unwrap();
        assert_eq!(Trace::from_ndjson(&text[..]).unwrap(), saved);
        assert_eq!(names(dir.path()), [""; 0]);
    }

    #[test]
    fn what_is_no_regular_file_is_written_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let saved = trace(vec![Made::new(1).span()]);
        let mut lines = Vec::new();
        saved.to_ndjson(&mut lines).unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut text = Vec::new();
                File::open(&path).unwrap().read_to_end(&mut text).unwrap();
                text
            });
            saved.save(&path).unwrap();
            assert_eq!(reader.join().unwrap(), lines);
        });
        assert_eq!(names(dir.path()), ["pipe"]);
        Trace::save_all([&saved], "/dev/null").unwrap();
    }
}
