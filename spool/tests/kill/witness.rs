//! The witness: what a thread of the agent says it has done, in a mapping of its own that no spanring code reads.
//!
//! ```text
//! note  0      4        8         16        24        32
//!       ┌──────┬────────┬─────────┬─────────┬─────────┐
//!       │ what │ number │ span id │ index   │ parent  │   what is stored last; 0 ends the file
//!       └──────┴────────┴─────────┴─────────┴─────────┘
//! ```

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use spanring::mapping::Mapping;

const NOTE_LEN: usize = 32;
const FILE_LEN: usize = 8 << 20;

/// `start` has returned; the index tells the content.
pub(crate) const STARTED: u32 = 1;
/// The number of a span that started where no cell was free: it will be dropped.
pub(crate) const WITHOUT_CELL: u32 = 1;
/// So many attributes were set, and the last call has returned.
pub(crate) const SET: u32 = 2;
/// `end` has returned `Recorded`.
pub(crate) const RECORDED: u32 = 3;
/// `end` has returned `Dropped`.
pub(crate) const DROPPED: u32 = 4;
/// What `end` returns for a span of a forked parent.
pub(crate) const NOT_RECORDING: u32 = 5;

/// What a thread writes.
pub(crate) struct Witness {
    mapping: Mapping,
    at: usize,
}

/// What is read of it afterwards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Note {
    pub(crate) what: u32,
    pub(crate) number: u32,
    pub(crate) span: u64,
    pub(crate) index: u64,
    pub(crate) parent: u64,
}

impl Witness {
    pub(crate) fn create(dir: &Path, thread: usize) -> Self {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path(dir, thread))
            .expect("a witness file can be made");
        file.set_len(FILE_LEN as u64).expect("a witness file can grow");
        Witness { mapping: Mapping::of_file(&file, FILE_LEN).expect("a witness can be mapped"), at: 0 }
    }

    /// Whether there is room for what one span needs.
    pub(crate) fn has_room(&self) -> bool {
        self.at + 64 * NOTE_LEN < FILE_LEN
    }

    pub(crate) fn note(&mut self, what: u32, number: u32, span: u64, index: u64, parent: u64) {
        self.mapping.write(self.at + 4, &number.to_le_bytes());
        self.mapping.write(self.at + 8, &span.to_le_bytes());
        self.mapping.write(self.at + 16, &index.to_le_bytes());
        self.mapping.write(self.at + 24, &parent.to_le_bytes());
        self.mapping.store_release(self.at, what);
        self.at += NOTE_LEN;
    }
}

fn path(dir: &Path, thread: usize) -> PathBuf {
    dir.join(format!("witness-{thread}"))
}

/// All that the threads have noted.
pub(crate) fn read_all(dir: &Path) -> Vec<Note> {
    let mut notes = Vec::new();
    for entry in fs::read_dir(dir).expect("the witness can be listed") {
        let path = entry.expect("the witness can be listed").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("witness-")) {
            let bytes = fs::read(&path).expect("the witness can be read");
            notes.extend(bytes.chunks_exact(NOTE_LEN).map(Note::read).take_while(|note| note.what != 0));
        }
    }
    notes
}

impl Note {
    fn read(bytes: &[u8]) -> Self {
        let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        Note { what: half(0), number: half(4), span: word(8), index: word(16), parent: word(24) }
    }
}
