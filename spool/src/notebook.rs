//! What a sink has to know again after a restart of what it has sent from a recorder, such as the identities that a receiver gave to spans.
//!
//! A sink hands over *notes*, each a key and a value, and is handed the last [`NOTES_MAX`] of them when its exporter begins with the recorder again. What
//! they say is the sink's affair. A note is a help that holds from when it was [synced](Notebook::sync): whoever goes by it, as a cursor does that passes
//! spans which nobody else would know any more, waits for that. So the order is: the sink has answered, its notes are synced, the cursor is stored.
//!
//! # The notebook format, version 0
//!
//! Some files `notes-XXXXXXXXXXXXXXXX-NNNNNNNN` beside the cursor, with the hash of the sink's name as its cursor has it, and numbered from 1 on. Their
//! space is secured when they are created: 16 KiB for the first, twice as much for each that follows, up to 4 MiB. All integers are little-endian.
//!
//! ```text
//! file   0      512                                  len
//!        ┌──────┬────────┬────────┬ ─ ─ ┬────────────┐
//!        │ head │ note   │ note   │     │ zeros      │
//!        └──────┴────────┴────────┴ ─ ─ ┴────────────┘
//!
//! head   0          8         10         12    16       24     32                 32 + name len  512
//!        ┌──────────┬─────────┬──────────┬─────┬────────┬──────┬──────────────────┬──────────────┐
//!        │ SPRGNOTE │ version │ name len │ crc │ number │ hash │ name of the sink │ zeros        │
//!        └──────────┴─────────┴──────────┴─────┴────────┴──────┴──────────────────┴──────────────┘
//!         crc       CRC-32C over every other byte of the head, in later versions too
//!         number    that of the file's name
//!         hash      FNV-1a of 64 bits over the whole name of the sink
//!         name      its first 480 bytes, up to a whole character
//!
//! note   0     4         6           8     8 + key len   + value len    a multiple of 8
//!        ┌─────┬─────────┬───────────┬─────┬─────────────┬──────────────┐
//!        │ crc │ key len │ value len │ key │ value       │ zeros        │
//!        └─────┴─────────┴───────────┴─────┴─────────────┴──────────────┘
//!         crc       CRC-32C over the number of the file and the note's offset in it, 8 bytes each, and the note behind the crc
//!         key len   1 to 512
//!         value len up to 1024
//! ```
//!
//! A note that does not check is passed over, and notes are found behind it at any multiple of 8. At the end of a file that is no damage: what was being
//! written there was not waited for. A note counts in place of an earlier one with the same key.
//!
//! # What is kept
//!
//! The oldest file goes once those behind it hold [`NOTES_MAX`] notes, or there are too many. Where there is no space for another file, the oldest is
//! renamed and written again, and where there is none yet notes are forgotten until there is space for one: on a full disk less is known again, and nothing
//! waits for space, since that might come by delivering only. What is forgotten so costs what the sink says. So is what stands in a file that cannot be read,
//! which is told as damage.

mod page;

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use self::page::{Beginning, HEAD_LEN, Head, NOTE_LEN_MAX, Page};
use crate::cursor::fnv1a;
use crate::storage::{DiskStorage, LIST_MAX, Storage, StorageFile, StorageSync, open_regular};
use crate::{Error, layout};

/// How many notes are known again at most, those that were written again counted each time.
pub const NOTES_MAX: usize = 100_000;
/// How long a note's key is at most, in bytes.
pub(crate) const KEY_LEN_MAX: usize = 512;
/// The same of its value.
pub(crate) const VALUE_LEN_MAX: usize = 1024;

const FIRST_LEN: u64 = 16 * 1024;
const LEN_MAX: u64 = 4 * 1024 * 1024;
/// How many files a notebook has at most: those that are nearly empty, as there is one after many a restart on a failing disk, count as others do.
const FILES_MAX: usize = 64;

const _: () = assert!((HEAD_LEN + NOTE_LEN_MAX) as u64 <= FIRST_LEN, "every note fits every file");

/// Something that a sink has to know again.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Note {
    /// What it is about: 1 to 512 bytes.
    pub key: Vec<u8>,
    /// What is known of that: up to 1024 bytes.
    pub value: Vec<u8>,
}

/// What was in a notebook when it was opened.
#[derive(Debug, Default)]
pub struct Noted {
    /// The last [`NOTES_MAX`] notes, in the order in which they were written.
    pub notes: Vec<Note>,
    /// What was damaged, or could not be read, and was passed over: [`Error::Damaged`] or [`Error::Io`], one a file.
    pub damage: Vec<Error>,
}

/// The durable notes of one sink on one recorder. Whoever has the sink's [cursor](crate::Cursor) open, and nobody else, opens it.
pub struct Notebook {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    hash: u64,
    sink: String,
    /// The files before the last, with how many notes each holds, oldest first.
    older: VecDeque<(u64, usize)>,
    last: Option<Last>,
    /// The number of the last file that was begun.
    newest: u64,
}

/// The file that is written to.
struct Last {
    number: u64,
    path: PathBuf,
    file: Box<dyn StorageFile>,
    syncer: Arc<dyn StorageSync>,
    len: u64,
    /// Behind the last note.
    end: u64,
    notes: usize,
    /// What is not known to be synced, up to `end`.
    unsynced: Vec<u8>,
    /// Whether that has to be written once more before it is synced.
    is_lost: bool,
}

impl Notebook {
    /// Opens the notebook of a sink in the directory of a recorder, with what it holds, and creates it where there is none.
    ///
    /// # Errors
    ///
    /// [`Error::LaterVersion`]; [`Error::Damaged`] where it belongs to another sink whose name has the same hash; [`Error::TooLarge`] where the directory
    /// holds more than [`LIST_MAX`] names; [`Error::Io`].
    pub fn open(recorder_dir: &Path, sink_name: &str) -> Result<(Self, Noted), Error> {
        Self::open_in(Arc::new(DiskStorage), recorder_dir, sink_name)
    }

    /// As [`open`](Self::open), in a storage of one's own.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn open_in(
        storage: Arc<dyn Storage>,
        recorder_dir: &Path,
        sink_name: &str,
    ) -> Result<(Self, Noted), Error> {
        Self::open_with(storage, recorder_dir, sink_name, read_file)
    }

    fn open_with(
        storage: Arc<dyn Storage>,
        recorder_dir: &Path,
        sink_name: &str,
        read_file: impl Fn(&Path) -> Result<io::Result<Vec<u8>>, Error>,
    ) -> Result<(Self, Noted), Error> {
        let mut notebook = Self::new(storage, recorder_dir, sink_name);
        let noted = notebook.read(read_file, true)?;
        if notebook.last.is_none()
            && let Err(error) = notebook.begin_file()
            && !notebook.has_no_space(&error)
        {
            return Err(error);
        }
        notebook.forget();
        Ok((notebook, noted))
    }

    /// What the notebook of a sink holds, also while another has it open: nothing is created, written or removed.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn peek(recorder_dir: &Path, sink_name: &str) -> Result<Noted, Error> {
        Self::new(Arc::new(DiskStorage), recorder_dir, sink_name).read(read_file, false)
    }

    fn new(storage: Arc<dyn Storage>, recorder_dir: &Path, sink_name: &str) -> Self {
        Notebook {
            storage,
            dir: recorder_dir.to_owned(),
            hash: fnv1a(sink_name.as_bytes()),
            sink: sink_name.to_owned(),
            older: VecDeque::new(),
            last: None,
            newest: 0,
        }
    }

    /// How many notes its files hold.
    pub fn len(&self) -> usize {
        self.older.iter().map(|(_, notes)| notes).sum::<usize>()
            + self.last.as_ref().map_or(0, |last| last.notes)
    }

    /// Whether they hold none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes notes behind all others. They survive a kill from here on, and a power cut once they are [synced](Self::sync), unless there is no space for
    /// a first file: then they are forgotten.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`], with nothing written; [`Error::Io`]: some of them may be there then, and they are to be written again, all of them.
    pub fn append(&mut self, notes: &[Note]) -> Result<(), Error> {
        for note in notes {
            check(note)?;
        }
        let mut rest = notes;
        while !rest.is_empty() {
            let last = match self.last.take() {
                Some(last) => self.last.insert(last),
                None => {
                    let begun = self.begin_file().map(drop);
                    match begun {
                        Ok(()) => continue,
                        Err(error) if self.has_no_space(&error) => return Ok(()),
                        Err(error) => return Err(error),
                    }
                }
            };
            let (count, bytes) = last.fitting(rest);
            if count == 0 {
                self.turn()?;
                continue;
            }
            last.file.write(last.end, &bytes).map_err(Error::io("write", &last.path))?;
            last.end += bytes.len() as u64;
            last.unsynced.extend(bytes);
            last.notes += count;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// Makes all that was written survive a power cut.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: nothing may be done on its strength then. A later call writes it again before it syncs.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.last.as_mut().map_or(Ok(()), Last::sync)
    }

    /// Reads all files, and makes ready the last to be written on, if it is to be.
    fn read(
        &mut self,
        read_file: impl Fn(&Path) -> Result<io::Result<Vec<u8>>, Error>,
        goes_on: bool,
    ) -> Result<Noted, Error> {
        let names = self.storage.list(&self.dir).map_err(Error::io("list", &self.dir))?;
        if names.len() >= LIST_MAX {
            // Files of ours may be among those that are not listed, and would be begun once more.
            let (what, max) = ("a directory", LIST_MAX as u64);
            return Err(Error::TooLarge { what, len: names.len() as u64, max });
        }
        let ours = |name: &String| layout::notes_number(name).filter(|(hash, _)| *hash == self.hash);
        let mut numbers: Vec<u64> = names.iter().filter_map(ours).map(|(_, number)| number).collect();
        numbers.sort_unstable();
        let mut noted = Noted::default();
        for (nth, &number) in numbers.iter().enumerate() {
            let path = self.path(number);
            let bytes = match read_file(&path)? {
                Ok(bytes) => bytes,
                Err(error) => {
                    // Nobody waits for a disk that may never read it. It stays, and another one is written to.
                    noted.damage.push(Error::io("read", &path)(error));
                    self.older.push_back((number, 0));
                    self.newest = number;
                    continue;
                }
            };
            let page = page::decode(&bytes, number);
            let is_last = nth + 1 == numbers.len();
            let is_begun = self.is_begun(&page.beginning, number, &path)?;
            noted.damage.extend(damage(&page, is_begun, &bytes, is_last, path.clone()));
            let count = page.notes.len();
            match is_last && goes_on {
                true => self.go_on(number, path, &page, is_begun, bytes)?,
                false => self.older.push_back((number, count)),
            }
            noted.notes.extend(page.notes);
            if noted.notes.len() > 2 * NOTES_MAX {
                noted.notes.drain(..noted.notes.len() - NOTES_MAX);
            }
        }
        noted.notes.drain(..noted.notes.len().saturating_sub(NOTES_MAX));
        Ok(noted)
    }

    /// Whether a file begins as the one of this number does.
    fn is_begun(&self, beginning: &Beginning, number: u64, path: &Path) -> Result<bool, Error> {
        match beginning {
            Beginning::LaterVersion => Err(Error::LaterVersion { path: path.to_owned() }),
            Beginning::Head(head)
                if head.hash == self.hash && head.name != Head::new(1, 0, &self.sink).name =>
            {
                let reason = "it belongs to another sink, whose name has the same hash";
                Err(Error::Damaged { path: path.to_owned(), offset: 0, reason })
            }
            Beginning::Head(head) => Ok(*head == Head::new(number, self.hash, &self.sink)),
            Beginning::Zeros | Beginning::Damaged => Ok(false),
        }
    }

    /// Goes on in a file that an earlier run has written. What that run wrote last may be in the kernel's memory only, and the sync of it may have failed,
    /// so it counts as lost; and what was cut off behind it is removed.
    fn go_on(
        &mut self,
        number: u64,
        path: PathBuf,
        page: &Page,
        is_begun: bool,
        mut bytes: Vec<u8>,
    ) -> Result<(), Error> {
        if !is_begun && page.notes.is_empty() {
            // It is begun once more.
            self.newest = number - 1;
            return Ok(());
        }
        let file = self.storage.open(&path, 0).map_err(Error::io("open", &path))?;
        let mut last = Last::new(number, path, file, bytes.len() as u64);
        bytes.truncate(page.end);
        (last.end, last.notes) = (bytes.len() as u64, page.notes.len());
        (last.unsynced, last.is_lost) = (bytes, true);
        self.newest = number;
        if is_begun && last.len <= LEN_MAX {
            if !page.is_clean {
                last.wipe(last.end)?;
            }
            self.last = Some(last);
            return Ok(());
        }
        last.sync()?;
        self.older.push_back((number, last.notes));
        Ok(())
    }

    /// Goes on in another file, as the last one is full.
    fn turn(&mut self) -> Result<(), Error> {
        if let Some(last) = &mut self.last {
            last.sync()?;
        }
        self.begin_file()?;
        self.forget();
        Ok(())
    }

    /// Makes another file the last one.
    fn begin_file(&mut self) -> Result<&mut Last, Error> {
        let number = self.newest + 1;
        let (path, len) = (self.path(number), file_len(number));
        match self.storage.create(&path, len) {
            Ok(_) => self.begin_in(number, len),
            // It is what an attempt has left that failed behind this.
            Err(_) if let Some(len) = len_of(&path) => self.begin_in(number, len.clamp(FIRST_LEN, LEN_MAX)),
            Err(error) => self.recycle(number, Error::io("create", &path)(error)),
        }
    }

    /// Begins a file that is there and holds nothing.
    fn begin_in(&mut self, number: u64, len: u64) -> Result<&mut Last, Error> {
        let path = self.path(number);
        let file = self.storage.open(&path, len).map_err(Error::io("open", &path))?;
        let mut last = Last::new(number, path, file, len);
        last.wipe(0)?;
        let head = Head::new(number, self.hash, &self.sink).encode();
        last.file.write(0, &head).map_err(Error::io("write", &last.path))?;
        last.unsynced.extend(head);
        // Its name survives a power cut from here on; else a sync of its content would be for nothing.
        self.storage.sync_dir(&self.dir).map_err(Error::io("sync", &self.dir))?;
        if let Some(before) = self.last.take() {
            self.older.push_back((before.number, before.notes));
        }
        self.newest = number;
        Ok(self.last.insert(last))
    }

    /// Uses the oldest file again, with all that it holds forgotten, as there is no space for another.
    fn recycle(&mut self, number: u64, why: Error) -> Result<&mut Last, Error> {
        let oldest =
            self.older.front().map(|(number, _)| *number).or(self.last.as_ref().map(|last| last.number));
        let Some(oldest) = oldest else { return Err(why) };
        let (from, to) = (self.path(oldest), self.path(number));
        let len = len_of(&from).unwrap_or(0).min(LEN_MAX);
        if len < FIRST_LEN {
            return Err(why);
        }
        self.storage.rename(&from, &to).map_err(Error::io("rename", &from))?;
        if self.older.pop_front().is_none() {
            self.last = None;
        }
        // Were it wiped first, a power cut could bring back its name with a part of what it held.
        self.storage.sync_dir(&self.dir).map_err(Error::io("sync", &self.dir))?;
        self.begin_in(number, len)
    }

    /// Whether there is no file, nor space for one.
    fn has_no_space(&self, error: &Error) -> bool {
        let is_full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let is_full = matches!(error, Error::Io { source, .. } if is_full(source.kind()));
        is_full && self.last.is_none() && self.older.is_empty()
    }

    /// Removes the oldest files, as far as the others hold enough. What cannot be removed now is the next time.
    fn forget(&mut self) {
        while let Some(&(number, notes)) = self.older.front() {
            let is_enough = self.len() - notes >= NOTES_MAX || self.older.len() >= FILES_MAX;
            if !is_enough || self.storage.unlink(&self.path(number)).is_err() {
                return;
            }
            self.older.pop_front();
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(layout::notes(self.hash, number))
    }
}

impl Last {
    fn new(number: u64, path: PathBuf, file: Box<dyn StorageFile>, len: u64) -> Self {
        let syncer = file.syncer();
        let end = HEAD_LEN as u64;
        Last { number, path, file, syncer, len, end, notes: 0, unsynced: Vec::new(), is_lost: false }
    }

    /// As many of the notes as there is room for, and their bytes.
    fn fitting(&self, notes: &[Note]) -> (usize, Vec<u8>) {
        let (mut count, mut bytes) = (0, Vec::new());
        for note in notes {
            let offset = self.end + bytes.len() as u64;
            if offset + note.len() as u64 > self.len {
                break;
            }
            note.encode(self.number, offset, &mut bytes);
            count += 1;
        }
        (count, bytes)
    }

    fn sync(&mut self) -> Result<(), Error> {
        if self.unsynced.is_empty() {
            return Ok(());
        }
        if self.is_lost {
            // The kernel may call its pages clean although they were not written: another sync alone would do nothing.
            let at = self.end - self.unsynced.len() as u64;
            self.file.write(at, &self.unsynced).map_err(Error::io("write", &self.path))?;
        }
        let synced = self.syncer.sync();
        self.is_lost = synced.is_err();
        synced.map_err(Error::io("sync", &self.path))?;
        self.unsynced.clear();
        Ok(())
    }

    /// Makes zeros of all that is there from this place on.
    fn wipe(&mut self, from: u64) -> Result<(), Error> {
        let zeros = [0; 64 * 1024];
        let mut at = from;
        while at < self.len {
            let len = zeros.len().min(usize::try_from(self.len - at).unwrap_or(zeros.len()));
            self.file.write(at, &zeros[..len]).map_err(Error::io("write", &self.path))?;
            at += len as u64;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Notebook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notebook").field("dir", &self.dir).field("sink", &self.sink).finish_non_exhaustive()
    }
}

/// How long the file of this number is.
fn file_len(number: u64) -> u64 {
    let doublings = u32::try_from(number - 1).unwrap_or(u32::MAX).min((LEN_MAX / FIRST_LEN).ilog2());
    FIRST_LEN << doublings
}

fn len_of(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).map(|file| file.len()).ok()
}

fn check(note: &Note) -> Result<(), Error> {
    for (what, len, max) in [
        ("the key of a note", note.key.len(), KEY_LEN_MAX),
        ("the value of a note", note.value.len(), VALUE_LEN_MAX),
    ] {
        if len > max {
            return Err(Error::TooLarge { what, len: len as u64, max: max as u64 });
        }
    }
    match note.key.is_empty() {
        true => Err(Error::NoForm { what: "a note", reason: "its key is empty" }),
        false => Ok(()),
    }
}

/// What is wrong with a file, if anything is that no kill leaves. A power cut may leave it in the last file, where any part of what was not synced may be
/// missing; that is told too, as what is damaged there would be told never.
fn damage(page: &Page, is_begun: bool, bytes: &[u8], is_last: bool, path: PathBuf) -> Option<Error> {
    let (offset, reason) = match (&page.beginning, page.hole) {
        _ if bytes.len() as u64 > LEN_MAX => (LEN_MAX, "it is longer than any such file"),
        (Beginning::Damaged, _) => (0, "its head does not check"),
        (Beginning::Zeros, _) if !page.notes.is_empty() => (0, "it has no head"),
        (_, Some(hole)) => (hole as u64, "a note does not check"),
        // The last one may have been cut off.
        (_, None) if !is_last && is_begun && !page.is_clean => (page.end as u64, "a note does not check"),
        // Or be one of another number that was about to be used again.
        _ => return None,
    };
    Some(Error::Damaged { path, offset, reason })
}

/// What a file holds, or why it cannot be read; fails where it cannot be opened.
fn read_file(path: &Path) -> Result<io::Result<Vec<u8>>, Error> {
    let file = match open_regular(path, OFlags::RDONLY) {
        Ok(file) => file,
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    let mut bytes = Vec::new();
    Ok(file.take(LEN_MAX + 1).read_to_end(&mut bytes).map(|_| bytes))
}

#[cfg(test)]
mod tests;
