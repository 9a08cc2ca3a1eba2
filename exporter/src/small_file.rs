//! Small files that people write: configurations, secrets.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Reads a regular file of at most `len_max` bytes. What else may be at its path, such as a pipe that nobody writes to, is not waited for.
pub(crate) fn read(path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    let file =
        OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(len_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > len_max {
        let message = format!("it is longer than {len_max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_limit_and_not_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (len, is_read) in [(0, true), (7, true), (8, true), (9, false), (100_000, false)] {
            fs::write(&path, vec![b'x'; len]).unwrap();
            let read = read(&path, 8).map(|bytes| bytes.len()).map_err(|error| error.to_string());
            let expected = if is_read { Ok(len) } else { Err("it is longer than 8 bytes".to_owned()) };
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn what_is_no_file_is_neither_read_nor_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        for path in [dir.path(), &pipe, Path::new("/dev/zero")] {
            assert_eq!(read(path, 8).unwrap_err().to_string(), "it is not a regular file", "{path:?}");
        }
    }
}
