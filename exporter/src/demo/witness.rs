//! The witness: what the threads of an agent saw happen, kept without spanring.
//!
//! Each thread appends to a mapped file of its own, which survives the agent as any file does. What stands there has
//! happened: a record is written after the call that it tells of has returned.
//!
//! ```text
//! file      ┌──────────┬──────────┬──────────┬ ─ ─ ┬────────────────┐
//!           │ record 0 │ record 1 │ record 2 │     │ zeros (unused) │
//!           └──────────┴──────────┴──────────┴ ─ ─ ┴────────────────┘
//!
//! record    0          8          16         24        28       32
//!           ┌──────────┬──────────┬──────────┬─────────┬────────┐
//!           │ span id  │ content  │ replay   │ number  │ what   │
//!           └──────────┴──────────┴──────────┴─────────┴────────┘
//!
//! what      1  started: `number` is the span's number in the script
//!           2  set: `number` attributes have been set
//!           3  ended, and recorded
//!           4  ended, and dropped
//! ```
//!
//! Integers are little-endian; `content` is what the span has been told so far. `what` is stored last, so a record whose
//! `what` is 0 was not completed: it and all behind it does not count. A full file is followed by another one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use spanring::SpanId;
use spanring::mapping::Mapping;

use super::content::Content;

const RECORD_LEN: usize = 32;
/// Where `what` stands.
const COMMIT: usize = 28;
/// The length of a file, in bytes: about 10,000 spans.
const FILE_LEN: usize = 1 << 20;

const _: () = assert!(FILE_LEN.is_multiple_of(RECORD_LEN), "no record lies in two files");
const _: () = assert!(COMMIT.is_multiple_of(4), "the word that completes a record is aligned");

/// Something that happened to a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) span_id: SpanId,
    /// What the span had been told.
    pub(super) content: Content,
    /// In which replay.
    pub(super) replay: u64,
    pub(super) what: What,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// `start` returned.
    Started {
        /// The span's number in the script.
        number: u32,
    },
    /// `set` returned for so many attributes.
    Set {
        /// How many.
        attributes: u32,
    },
    /// `end` returned `Recorded`.
    Recorded,
    /// `end` returned `Dropped`.
    Dropped,
}

/// Where a thread keeps what it saw.
#[derive(Debug)]
pub(super) struct Witness {
    dir: PathBuf,
    thread: usize,
    files: usize,
    mapping: Mapping,
    offset: usize,
}

impl Witness {
    /// The witness of a thread, in a directory that is there.
    pub(super) fn create(dir: &Path, thread: usize) -> io::Result<Self> {
        let mapping = map(&file(dir, thread, 0))?;
        Ok(Witness { dir: dir.to_owned(), thread, files: 1, mapping, offset: 0 })
    }

    /// Appends a record. An error says that there is no room for another, and nothing was written.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        if self.offset == FILE_LEN {
            self.mapping = map(&file(&self.dir, self.thread, self.files))?;
            self.files += 1;
            self.offset = 0;
        }
        let (number, what) = match record.what {
            What::Started { number } => (number, 1),
            What::Set { attributes } => (attributes, 2),
            What::Recorded => (0, 3),
            What::Dropped => (0, 4),
        };
        let mut bytes = [0; COMMIT];
        bytes[..8].copy_from_slice(&record.span_id.to_bytes());
        bytes[8..16].copy_from_slice(&record.content.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&record.replay.to_le_bytes());
        bytes[24..].copy_from_slice(&number.to_le_bytes());
        self.mapping.write(self.offset, &bytes);
        self.mapping.store_release(self.offset + COMMIT, what);
        self.offset += RECORD_LEN;
        Ok(())
    }
}

fn decode(bytes: &[u8; RECORD_LEN]) -> Option<Record> {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    let what = match half(COMMIT) {
        1 => What::Started { number: half(24) },
        2 => What::Set { attributes: half(24) },
        3 => What::Recorded,
        4 => What::Dropped,
        _ => return None,
    };
    let span_id = SpanId::from_bytes(bytes[..8].try_into().expect("8 bytes"));
    Some(Record { span_id, content: Content(word(8)), replay: word(16), what })
}

fn file(dir: &Path, thread: usize, number: usize) -> PathBuf {
    dir.join(format!("thread-{thread}-{number:06}"))
}

fn map(path: &Path) -> io::Result<Mapping> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    file.set_len(FILE_LEN as u64)?;
    // Its pages are populated here, by a call that returns an error on a full disk.
    Mapping::of_file(&file, FILE_LEN)
}

/// Whether the first thread has seen a span start.
pub(super) fn has_begun(dir: &Path) -> bool {
    let mut word = [0; 4];
    let read = File::open(file(dir, 0, 0)).and_then(|file| file.read_exact_at(&mut word, COMMIT as u64));
    read.is_ok() && word != [0; 4]
}

/// Reads what the threads of an agent saw, each thread's records in their order.
pub(super) fn read(dir: &Path, mut see: impl FnMut(Record)) -> io::Result<()> {
    let entries = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut paths = entries?;
    paths.sort_unstable();
    for path in paths {
        let mut file = BufReader::new(File::open(&path)?);
        let mut bytes = [0; RECORD_LEN];
        for _ in 0..FILE_LEN / RECORD_LEN {
            // A file that is shorter was not mapped yet.
            match file.read_exact(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                read => read?,
            }
            match decode(&bytes) {
                Some(record) => see(record),
                None => break,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64) -> Record {
        let what = match number % 4 {
            0 => What::Started { number: 7 },
            1 => What::Set { attributes: 3 },
            2 => What::Recorded,
            _ => What::Dropped,
        };
        let span_id = SpanId::from_bytes((number + 1).to_le_bytes());
        Record { span_id, content: Content(number * 3), replay: number / 4, what }
    }

    fn read_all(dir: &Path) -> Vec<Record> {
        let mut records = Vec::new();
        read(dir, |record| records.push(record)).unwrap();
        records
    }

    #[test]
    fn what_was_appended_is_read_in_order_across_files() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_begun(dir.path()));
        let mut witness = Witness::create(dir.path(), 0).unwrap();
        assert!(!has_begun(dir.path()));
        let count = (FILE_LEN / RECORD_LEN) as u64 + 10;
        for number in 0..count {
            witness.append(&record(number)).unwrap();
            assert!(has_begun(dir.path()));
        }
        assert_eq!(read_all(dir.path()), (0..count).map(record).collect::<Vec<_>>());
    }

    #[test]
    fn a_record_that_was_not_completed_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let mut witness = Witness::create(dir.path(), 0).unwrap();
        witness.append(&record(0)).unwrap();
        witness.append(&record(1)).unwrap();
        witness.mapping.store_release(RECORD_LEN + COMMIT, 0);
        assert_eq!(read_all(dir.path()), [record(0)]);
    }
}
