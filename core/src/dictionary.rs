//! The dictionary: short numbers for the names and keys that a program repeats.
//!
//! One table for the process, filled once per string and read without a lock; each recorder's directory holds a copy,
//! so that whoever reads its rings after a crash can tell what the numbers mean. A string that cannot be entered
//! (the table is full, the string too long, another thread is entering one) is written out where it is used instead.
//!
//! # The dictionary format, version 0
//!
//! All integers are little-endian, offsets in bytes. The file begins as `file_head.rs` says.
//!
//! ```text
//!   0        8         12         16        64
//!   ┌────────┬─────────┬──────────┬─────────┬─────────┬─────────┬ ─ ─
//!   │ magic  │ version │ incompat │         │ entry 0 │ entry 1 │
//!   └────────┴─────────┴──────────┴─────────┴─────────┴─────────┴ ─ ─
//!
//!   entry    0     4     8
//!            ┌─────┬─────┬──────────────────────────────┐
//!            │ len │ crc │ UTF-8, padded to 8           │   len is the length plus one, stored last; 0 ends the list
//!            └─────┴─────┴──────────────────────────────┘   crc: CRC-32C of the text
//! ```
//!
//! Entries are numbered from 0 in order. An entry is in the file before its number is in any ring or table.
//!
//! # Ordering
//!
//! | store (Release)          | pairs with load (Acquire)      | and makes visible                              |
//! |--------------------------|--------------------------------|------------------------------------------------|
//! | `INDEX` in `enter`       | `INDEX` in `find`              | the text, and its entries in the files         |
//! | `ENTERING`, in `busy.rs` | the same                       | `COUNT`, and how far each file is filled       |
//! | an entry's `len`         | a reader of the file           | the entry's text                               |

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use crate::busy::{Busy, Held};
use crate::file_head;
use crate::mapping::Mapping;
use crate::record::{INLINE, Malformed, padded};

/// Length of the file.
pub const DICTIONARY_FILE_LEN: usize = 512 << 10;
const MAGIC: [u8; 8] = *b"SPRNGDIC";
const VERSION: u32 = 0;
const ENTRIES_AT: usize = 64;
/// How many strings are entered at most.
const ENTRIES_MAX: usize = 4096;
/// A longer string is not entered, in bytes: with it a full table still fits the file.
const TEXT_LEN_MAX: usize = 112;
const BUCKETS: usize = 2 * ENTRIES_MAX;

const _: () = assert!(ENTRIES_AT + ENTRIES_MAX * (8 + TEXT_LEN_MAX) < DICTIONARY_FILE_LEN);

static TEXTS: [OnceLock<&'static str>; ENTRIES_MAX] = [const { OnceLock::new() }; ENTRIES_MAX];
/// Numbers plus one, by the hash of their text, with linear probing; stored (Release) after `TEXTS`.
static INDEX: [AtomicU16; BUCKETS] = [const { AtomicU16::new(0) }; BUCKETS];
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Guards entering, never looking up.
static ENTERING: Busy = Busy::new();

/// The number of `text`, entered now if it is new; [`INLINE`] if it cannot be. Second: whether the answer is final.
#[cold]
#[inline(never)]
pub(crate) fn number(text: &'static str) -> (u16, bool) {
    if text.len() > TEXT_LEN_MAX {
        return (INLINE, true);
    }
    if let Some(number) = find(text) {
        return (number, true);
    }
    let Some(_guard) = Entering::try_begin() else { return (INLINE, false) };
    // Someone may have entered it between the look-up and the lock.
    match find(text) {
        Some(number) => (number, true),
        None => (enter(text).unwrap_or(INLINE), true),
    }
}

/// The text with this number.
pub fn text(number: u16) -> Option<&'static str> {
    TEXTS.get(usize::from(number))?.get().copied()
}

fn bucket(text: &str) -> usize {
    crc32c::crc32c(text.as_bytes()) as usize % BUCKETS
}

fn find(text: &str) -> Option<u16> {
    let first = bucket(text);
    for step in 0..BUCKETS {
        match INDEX[(first + step) % BUCKETS].load(Ordering::Acquire) {
            0 => return None,
            stored if TEXTS[usize::from(stored) - 1].get() == Some(&text) => return Some(stored - 1),
            _ => {}
        }
    }
    None
}

/// Enters a new text. The caller holds `Entering`.
fn enter(text: &'static str) -> Option<u16> {
    let count = COUNT.load(Ordering::Relaxed);
    let number = u16::try_from(count).ok().filter(|&number| usize::from(number) < ENTRIES_MAX)?;
    TEXTS[usize::from(number)].set(text).ok()?;
    crate::recorder::installed().for_each(|recorder| recorder.dictionary().append(text));
    let first = bucket(text);
    let free = (0..BUCKETS)
        .map(|step| &INDEX[(first + step) % BUCKETS])
        .find(|entry| entry.load(Ordering::Relaxed) == 0)?;
    free.store(number + 1, Ordering::Release);
    COUNT.store(count + 1, Ordering::Relaxed);
    Some(number)
}

/// The right to enter texts, and to decide which recorder's file they go to.
pub(crate) struct Entering {
    _held: Held<'static>,
}

impl Entering {
    fn try_begin() -> Option<Self> {
        ENTERING.try_take().map(|held| Entering { _held: held })
    }

    /// Waits for the right. Not for the recording path.
    pub(crate) fn begin() -> Self {
        loop {
            match Self::try_begin() {
                Some(entering) => return entering,
                None => std::thread::yield_now(),
            }
        }
    }

    /// Writes every text that was entered so far and is not there yet to `file`.
    pub(crate) fn copy_to(&self, file: &DictionaryFile) {
        let count = (COUNT.load(Ordering::Relaxed) as usize).min(ENTRIES_MAX);
        for text in TEXTS[..count].iter().skip(file.len()) {
            file.append(text.get().copied().unwrap_or("")); // see `reset_after_fork`
        }
    }

    /// In a forked child: whoever held the right in the parent does not exist here. The number that it was giving out
    /// stays unused, since its text may be half entered for ever.
    pub(crate) fn reset_after_fork() {
        if ENTERING.reset_after_fork() {
            COUNT.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A recorder's copy of the dictionary.
#[derive(Debug)]
pub(crate) struct DictionaryFile {
    /// Only whoever holds `Entering` locks it, so it is never waited for.
    end: std::sync::Mutex<FileEnd>,
}

/// The mapping, where its next entry goes, and that entry's number.
#[derive(Debug)]
struct FileEnd {
    mapping: Mapping,
    at: usize,
    number: usize,
}

impl DictionaryFile {
    /// Formats `mapping`, of zeros and [`DICTIONARY_FILE_LEN`] bytes.
    pub(crate) fn format(mut mapping: Mapping) -> Self {
        assert_eq!(mapping.len(), DICTIONARY_FILE_LEN, "a dictionary file has one length");
        file_head::write(&mut mapping, &MAGIC, VERSION);
        DictionaryFile { end: std::sync::Mutex::new(FileEnd { mapping, at: ENTRIES_AT, number: 0 }) }
    }

    /// How many entries it has. The caller holds `Entering`.
    fn len(&self) -> usize {
        self.end.try_lock().map_or(0, |end| end.number)
    }

    /// Appends an entry. The caller holds `Entering`.
    fn append(&self, text: &str) {
        let Ok(mut locked) = self.end.try_lock() else { return };
        let FileEnd { mapping, at, number } = &mut *locked;
        let Ok(len) = u32::try_from(text.len()) else { return };
        mapping.write(*at + 4, &crc32c::crc32c(text.as_bytes()).to_le_bytes());
        mapping.write(*at + 8, text.as_bytes());
        mapping.store_release(*at, len + 1);
        *at += 8 + padded(text.len());
        *number += 1;
    }
}

/// Reads a dictionary file: its texts, by number, up to the first that does not check.
///
/// # Errors
///
/// When the bytes are no dictionary of a version that is known here.
pub fn parse(bytes: &[u8]) -> Result<Vec<String>, Malformed> {
    let word =
        |at: usize| bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_le_bytes);
    file_head::check(bytes, &MAGIC, VERSION)?;
    let mut texts = Vec::new();
    let mut at = ENTRIES_AT;
    while let (Some(len @ 1..), Some(crc)) = (word(at), word(at + 4)) {
        let len = len as usize - 1;
        let text = bytes.get(at + 8..at.saturating_add(8 + len)).filter(|text| crc32c::crc32c(text) == crc);
        let Some(text) = text.and_then(|text| std::str::from_utf8(text).ok()).filter(|_| len <= TEXT_LEN_MAX)
        else {
            break;
        };
        texts.push(text.to_owned());
        at += 8 + padded(len);
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_and_a_number_one_text() {
        let (first, _) = number("dictionary test one");
        let (second, _) = number("dictionary test two");
        assert_ne!(first, second);
        assert_eq!(number(String::from("dictionary test one").leak()), (first, true));
        assert_eq!(text(second), Some("dictionary test two"));
    }

    #[test]
    fn a_text_that_is_too_long_has_no_number() {
        assert_eq!(number("x".repeat(TEXT_LEN_MAX + 1).leak()), (INLINE, true));
    }

    #[test]
    fn a_file_reads_back_as_it_was_written_and_ends_where_it_is_damaged() {
        let file = DictionaryFile::format(Mapping::anonymous(DICTIONARY_FILE_LEN).unwrap());
        for text in ["name", "", "gen_ai.request.model"] {
            file.append(text);
        }
        let mut bytes = vec![0; DICTIONARY_FILE_LEN];
        file.end.lock().unwrap().mapping.read(0, &mut bytes);
        assert_eq!(parse(&bytes).unwrap(), ["name", "", "gen_ai.request.model"]);
        for cut in 0..ENTRIES_AT + 64 {
            let texts = parse(&bytes[..cut]).unwrap_or_default();
            assert!(
                ["name", "", "gen_ai.request.model"]
                    .starts_with(&texts.iter().map(String::as_str).collect::<Vec<_>>())
            );
        }
        for bit in 0..(ENTRIES_AT + 64) * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            for text in parse(&bytes).unwrap_or_default() {
                assert!(["name", "", "gen_ai.request.model"].contains(&text.as_str()));
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
