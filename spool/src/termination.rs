//! That a receiver wants a process stopped, told to that process by a file in its recorder's directory.
//!
//! Whoever delivers a recorder's spans writes the file, and the process looks for it once a second. What was said first holds: the file is never
//! replaced, and goes with its recorder.
//!
//! # The termination format, version 0
//!
//! All integers are little-endian, offsets and lengths in bytes.
//!
//! ```text
//! termination   0          8         10    12    16       16 + len
//!               ┌──────────┬─────────┬─────┬─────┬────────┐
//!               │ SPRGTERM │ version │ len │ crc │ reason │
//!               └──────────┴─────────┴─────┴─────┴────────┘
//!               len      at most 1024
//!               crc      CRC-32C over every other byte of the file
//!               reason   UTF-8
//! ```
//!
//! It is written under another name and renamed, so that nobody sees half of it. It is not synced: a power cut stops the process too. A file of any
//! other length, or with anything else in it, is damaged, and stops nobody.

use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::OFlags;

use crate::storage::open_regular;
use crate::{Error, RecorderId, SpoolDir, layout};

/// That a receiver of a process's spans wants the process stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Termination {
    /// Why, as the receiver said: at most 1,024 bytes of whatever text it chose; empty where it gave no reason.
    pub reason: String,
}

const MAGIC: &[u8; 8] = b"SPRGTERM";
const VERSION: u16 = 0;
const LEN_AT: usize = 10;
const CRC_AT: usize = 12;
const HEADER_LEN: usize = 16;
/// No reason is longer, in bytes.
const REASON_LEN_MAX: usize = 1024;
const FILE_LEN_MAX: usize = HEADER_LEN + REASON_LEN_MAX;

impl SpoolDir {
    /// Tells the process of a recorder that a receiver wants it stopped, and why: see [`Spool::termination`](crate::Spool::termination). Of the
    /// reason the first 1,024 bytes are told. Says whether nobody had told it before; then nothing changes.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRecorder`], [`Error::Refused`]; [`Error::Damaged`] and [`Error::LaterVersion`] where something else has the place;
    /// [`Error::Io`].
    pub fn request_termination(&self, id: &RecorderId, reason: &str) -> Result<bool, Error> {
        let dir = self.recorder_dir(id)?;
        if Termination::load(&dir)?.is_some() {
            return Ok(false);
        }
        let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()));
        let new = dir.join(layout::new_termination(random.map_err(Error::io("name a file in", &dir))?));
        let path = dir.join(layout::TERMINATION);
        let bytes = encode(reason);
        let storage = &**self.storage();
        let mut file = storage.create(&new, bytes.len() as u64).map_err(Error::io("create", &new))?;
        match file.write(0, &bytes).and_then(|()| storage.rename(&new, &path)) {
            Ok(()) => Ok(true),
            Err(error) => {
                // Where that fails, it goes with its recorder.
                drop(storage.unlink(&new));
                match error.kind() {
                    io::ErrorKind::AlreadyExists => Ok(false),
                    _ => Err(Error::io("write", &path)(error)),
                }
            }
        }
    }

    /// Whether the process of a recorder was told that a receiver wants it stopped.
    ///
    /// # Errors
    ///
    /// As for [`request_termination`](Self::request_termination).
    pub fn termination(&self, id: &RecorderId) -> Result<Option<Termination>, Error> {
        Termination::load(&self.recorder_dir(id)?)
    }
}

impl Termination {
    /// Reads the file in the directory of a recorder, if there is one.
    pub(crate) fn load(recorder_dir: &Path) -> Result<Option<Self>, Error> {
        let path = recorder_dir.join(layout::TERMINATION);
        let file = match open_regular(&path, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &path)(error)),
        };
        let mut bytes = Vec::new();
        // One byte more than there can be shows that it is too long.
        let read = file.take(FILE_LEN_MAX as u64 + 1).read_to_end(&mut bytes);
        read.map_err(Error::io("read", &path))?;
        match decode(&bytes) {
            Ok(termination) => Ok(Some(termination)),
            Err(Fault::LaterVersion) => Err(Error::LaterVersion { path }),
            Err(Fault::Damaged(offset, reason)) => {
                Err(Error::Damaged { path, offset: offset as u64, reason })
            }
        }
    }
}

impl fmt::Display for Termination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => f.write_str("no reason was given"),
            reason => f.write_str(reason),
        }
    }
}

#[derive(PartialEq, Eq, Debug)]
enum Fault {
    LaterVersion,
    /// At this byte, for a reason.
    Damaged(usize, &'static str),
}

fn encode(reason: &str) -> Vec<u8> {
    let reason = &reason.as_bytes()[..reason.floor_char_boundary(REASON_LEN_MAX)];
    let len = u16::try_from(reason.len()).expect("a reason is cut to 1,024 bytes");
    let mut bytes = Vec::with_capacity(HEADER_LEN + reason.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(reason);
    let crc = checksum(&bytes[..CRC_AT], &bytes[HEADER_LEN..]);
    bytes[CRC_AT..HEADER_LEN].copy_from_slice(&crc);
    bytes
}

fn decode(bytes: &[u8]) -> Result<Termination, Fault> {
    let Some((header, reason)) = bytes.split_at_checked(HEADER_LEN) else {
        return Err(Fault::Damaged(bytes.len(), "the file ends within its header"));
    };
    if &header[..8] != MAGIC {
        return Err(Fault::Damaged(0, "it does not begin as a termination does"));
    }
    let number = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    if number(8) > VERSION {
        return Err(Fault::LaterVersion);
    }
    if usize::from(number(LEN_AT)) != reason.len() || reason.len() > REASON_LEN_MAX {
        return Err(Fault::Damaged(LEN_AT, "the length of the reason is not that of the file"));
    }
    if header[CRC_AT..] != checksum(&header[..CRC_AT], reason) {
        return Err(Fault::Damaged(CRC_AT, "the checksum does not fit"));
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Termination { reason: reason.to_owned() }),
        Err(error) => Err(Fault::Damaged(HEADER_LEN + error.valid_up_to(), "the reason is no UTF-8")),
    }
}

/// CRC-32C over everything but the checksum itself.
fn checksum(before: &[u8], behind: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(before), behind).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::spool_dir::tests::new_spool;

    #[test]
    fn the_bytes_are_those_of_the_diagram() {
        let bytes = encode("stop");
        assert_eq!(bytes[..12], *b"SPRGTERM\0\0\x04\0");
        let crc = crc32c::crc32c(b"SPRGTERM\0\0\x04\0stop");
        assert_eq!(bytes[12..16], crc.to_le_bytes());
        assert_eq!(bytes[16..], *b"stop");
    }

    #[test]
    fn a_reason_comes_back_cut_to_whole_characters_of_1024_bytes() {
        for reason in ["", "operator stop", "a\n\u{1b}[31m\0", &"x".repeat(1024)] {
            assert_eq!(decode(&encode(reason)), Ok(Termination { reason: reason.to_owned() }));
        }
        let long = format!("x{}", "é".repeat(1024));
        assert_eq!(decode(&encode(&long)).unwrap().reason, format!("x{}", "é".repeat(511)));
    }

    #[test]
    fn no_byte_may_be_another_none_may_be_missing_and_none_may_follow() {
        let bytes = encode("because");
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut other = bytes.clone();
                other[at] ^= 1 << bit;
                let is_later = (8..10).contains(&at);
                assert_eq!(decode(&other) == Err(Fault::LaterVersion), is_later, "bit {bit} of byte {at}");
                assert!(decode(&other).is_err(), "bit {bit} of byte {at}");
            }
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        assert!(decode(&[bytes, vec![0]].concat()).is_err());
        let mut no_text = encode("é");
        no_text[HEADER_LEN + 1] = b'x';
        let crc = checksum(&no_text[..CRC_AT], &no_text[HEADER_LEN..]);
        no_text[CRC_AT..HEADER_LEN].copy_from_slice(&crc);
        assert_eq!(decode(&no_text), Err(Fault::Damaged(HEADER_LEN, "the reason is no UTF-8")));
    }

    #[test]
    fn what_is_said_first_holds_and_leaves_no_other_file_behind() {
        let (_dir, spool) = new_spool();
        let id = RecorderId::from_parts(1, 1);
        let gone = spool.request_termination(&id, "why");
        assert!(matches!(gone, Err(Error::NoSuchRecorder { .. })));
        let dir = spool.recorder_path(&id);
        spool.storage().create_dir(&dir).unwrap();
        assert_eq!(spool.termination(&id).unwrap(), None);
        assert!(spool.request_termination(&id, "first").unwrap());
        assert!(!spool.request_termination(&id, "second").unwrap());
        assert_eq!(spool.termination(&id).unwrap().unwrap().reason, "first");
        assert_eq!(spool.storage().list(&dir).unwrap(), [layout::TERMINATION]);
    }

    #[test]
    fn whatever_is_planted_in_its_place_is_an_error_that_names_it_and_stays() {
        let (_dir, spool) = new_spool();
        let id = RecorderId::from_parts(1, 1);
        let dir = spool.recorder_path(&id);
        spool.storage().create_dir(&dir).unwrap();
        let path = dir.join(layout::TERMINATION);
        let plants: [&dyn Fn(); 3] = [
            &|| fs::write(&path, vec![0; 1 << 20]).unwrap(),
            &|| symlink("/etc/hostname", &path).unwrap(),
            &|| fs::write(&path, b"SPRGTERM\x01\0\0\0later").unwrap(),
        ];
        for plant in plants {
            plant();
            for error in [
                spool.termination(&id).map(|_| ()).unwrap_err(),
                spool.request_termination(&id, "why").map(|_| ()).unwrap_err(),
            ] {
                assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            }
            fs::remove_file(&path).unwrap();
        }
        assert!(spool.request_termination(&id, "why").unwrap());
    }
}
