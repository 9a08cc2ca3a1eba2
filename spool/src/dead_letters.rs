//! Spans that a sink refuses for good, set aside so that those behind them go on.
//!
//! # The dead letter format, version 0
//!
//! A letter is a file of its own in the spool's directory `dead-letters`. It is text, of two lines:
//!
//! ```text
//! spanring dead letter 0 1a2b3c4d          the version, and CRC-32C of all behind this line, 8 hexadecimal digits
//! {"sink": "otlp+http://…", …}             an object
//!
//! sink               text: the address of the sink
//! reason             text: why it refused
//! set_aside_unix_ns  a decimal number as text
//! recorder           text: the identity of the recorder
//! segment, offset, next_sequence
//!                    decimal numbers as text: the position behind the block that held the span
//! number             a decimal number as text: which of the block's spans that ended it is, from 0 on
//! resource           the attributes of the resource  ┐
//! span               the span                        │ as the head of `trace/json.rs` tells
//! known              pairs, as attributes are        ┘
//! ```
//!
//! `known` is not there where nothing was known.
//!
//! A trace that was refused as a whole is one letter, with a line for each of its spans behind the first two:
//!
//! ```text
//! spanring dead trace 0 1a2b3c4d           the version, and CRC-32C of the next line, its end included
//! {"sink": "prela+http://…", …}            an object: as above, of the first span, but for span and known
//! 1a2b3c4d {"trace_id": …}                 CRC-32C of the second line and of all lines behind it up to here, each
//! …                                        without its own 8 digits and with its end; and the span
//!
//! trace_id           32 hexadecimal digits
//! spans              a decimal number as text: how many there are. What is cut has fewer, and what has more is damaged
//! ```
//!
//! A letter's name is a function of its sink and of the span's place, or that of the trace's first span, so that a span that is refused again after a kill is the same letter. It is
//! written under another name, synced, and renamed: a letter that has its name is whole, and one that does not is none.
//! Whatever does not check is left where it is, and said to be damaged.

mod letter;
mod members;
mod whole_trace;

use std::borrow::Cow;
use std::fmt;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::OFlags;
use serde::ser::{Serialize, SerializeMap, Serializer};

pub use self::letter::Letter;
use self::members::Members;
pub use self::whole_trace::{DeadTrace, DeadTraceSpans, NewDeadTrace};
use crate::cursor::fnv1a;
use crate::spool_dir::{SpoolDir, check_private_dir};
use crate::storage::{Storage, StorageFile, open_regular};
use crate::trace::json::{self, Fields, Json};
use crate::{Error, Position, RecorderId, Resource, SpanData, Value, layout};

/// How many letters a spool has at most, of all sinks: more than the spans of a block, so that a sink that refuses all of one gets
/// behind it.
pub const LETTERS_MAX: usize = 50_000;
/// How many bytes they take at most, together; the one that goes beyond may be a whole trace, of any size.
pub const LETTERS_BYTES_MAX: u64 = 256 << 20;

/// No letter is longer, in bytes: a span takes less, even where each of its bytes becomes six, unless its attributes repeat long keys.
const LETTER_LEN_MAX: u64 = LETTERS_BYTES_MAX;
const HEAD: &str = "spanring dead letter ";
const VERSION: &str = "0";
const HEAD_LEN: usize = HEAD.len() + VERSION.len() + 1 + 8 + 1;

/// A span that a sink refused for good.
#[derive(Clone, PartialEq, Debug)]
pub struct DeadLetter {
    /// The address of the sink.
    pub sink: String,
    /// Why it refused, as it said itself.
    pub reason: String,
    /// When the span was set aside, in nanoseconds since the Unix epoch.
    pub set_aside_unix_ns: u64,
    /// The recorder that recorded it.
    pub recorder: RecorderId,
    /// Behind the block that held it.
    pub block: Position,
    /// Which of the block's spans that ended it is, counted from 0.
    pub number: u64,
    /// What the recording process was.
    pub resource: Resource,
    /// The span.
    pub span: SpanData,
    /// What the sink knew of the span that does not stand in it, and needs to make the same of it once more: pairs of a name and a value.
    pub known: Vec<(String, Value)>,
}

/// The name of a letter's file. Names sort by sink, then by recorder and place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LetterName(String);

impl LetterName {
    /// Whether it is the letter of a whole trace, which [`DeadLetters::read_trace`] reads, and not of a span, which [`DeadLetters::read`] does.
    pub fn is_trace(&self) -> bool {
        layout::is_trace_letter(&self.0)
    }
}

impl fmt::Display for LetterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The dead letters of a spool. One process at a time adds to them: the one that [claimed](SpoolDir::claim_for_export) the spool. Others may
/// read and remove meanwhile. Clones know of each other's additions.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    storage: Arc<dyn Storage>,
    spool: PathBuf,
    dir: PathBuf,
    known: Arc<Mutex<Known>>,
}

/// What whoever adds knows of the directory. It may know of more letters than there are, since others remove.
#[derive(Debug, Default)]
struct Known {
    /// Whether the directory itself survives a power cut.
    is_synced: bool,
    /// How many letters there are and how many bytes they take, once they were counted.
    room_taken: Option<(usize, u64)>,
}

impl SpoolDir {
    /// The spans that sinks refused for good, and that were set aside.
    pub fn dead_letters(&self) -> DeadLetters {
        let (storage, spool) = (Arc::clone(self.storage()), self.path().to_owned());
        DeadLetters { storage, dir: spool.join(layout::DEAD_LETTERS), spool, known: Arc::default() }
    }
}

impl DeadLetters {
    /// Sets a span aside, and says whether it was not yet. Once this has returned it survives a power cut; said again of the same span and
    /// sink, nothing changes. It waits for the disk.
    ///
    /// # Errors
    ///
    /// [`Error::DeadLettersFull`] beyond [`LETTERS_MAX`] or [`LETTERS_BYTES_MAX`]; [`Error::TooLarge`], [`Error::NoForm`]; as for
    /// [`read`](Self::read) where what has the letter's name is none; [`Error::Refused`] where the directory is not this user's own;
    /// [`Error::Io`]. Nothing was set aside then.
    pub fn add(&self, letter: &DeadLetter) -> Result<bool, Error> {
        let mut known = self.known.lock();
        self.make_dir(&mut known)?;
        let name = LetterName(letter.file_name());
        let is_new = self.read(&name)?.is_none();
        if is_new {
            let bytes = letter.encode()?;
            let taken = self.room_with(&mut known, bytes.len() as u64)?;
            self.write(&name, &bytes)?;
            known.room_taken = Some(taken);
        }
        // Also where the letter was there: whoever made it may have been killed before this.
        self.sync()?;
        Ok(is_new)
    }

    /// Removes what a process left that was killed while it added. Only for whoever may add, before it does.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::Io`].
    pub fn sweep(&self) -> Result<(), Error> {
        let is_half = |name: &String| name.strip_prefix(layout::NEW_PREFIX).is_some_and(layout::is_letter);
        for name in self.list()?.iter().filter(|name| is_half(name)) {
            let path = self.dir.join(name);
            self.storage.unlink(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(())
    }

    /// The names of all letters, sorted; none where nothing was ever set aside.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::Io`].
    pub fn names(&self) -> Result<Vec<LetterName>, Error> {
        let mut names: Vec<_> =
            self.list()?.into_iter().filter(|name| layout::is_letter(name)).map(LetterName).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// How many letters there are, and how many bytes they take.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::Io`].
    pub fn held(&self) -> Result<(usize, u64), Error> {
        let names = self.names()?;
        let len_of =
            |name: &LetterName| fs::symlink_metadata(self.dir.join(&name.0)).map_or(0, |file| file.len());
        Ok((names.len(), names.iter().map(len_of).fold(0, u64::saturating_add)))
    }

    fn list(&self) -> Result<Vec<String>, Error> {
        match self.is_there()? {
            true => self.storage.list(&self.dir).map_err(Error::io("list", &self.dir)),
            false => Ok(Vec::new()),
        }
    }

    /// Reads the letter of a span; `None` where it is there no more.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`]; [`Error::LaterVersion`]; [`Error::TooLarge`]; [`Error::Io`].
    pub fn read(&self, name: &LetterName) -> Result<Option<DeadLetter>, Error> {
        let path = self.dir.join(&name.0);
        let file = match open_regular(&path, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &path)(error)),
        };
        let len = file.metadata().map_err(Error::io("inspect", &path))?.len();
        if len > LETTER_LEN_MAX {
            return Err(Error::TooLarge { what: "a dead letter", len, max: LETTER_LEN_MAX });
        }
        let mut bytes = Vec::new();
        file.take(LETTER_LEN_MAX).read_to_end(&mut bytes).map_err(Error::io("read", &path))?;
        DeadLetter::decode(&bytes, &path).map(Some)
    }

    /// Removes a letter; `false` where it was there no more. After a power cut it may be there again, unless the directory was
    /// [synced](Self::sync). It also comes again if the sink's cursor has not passed the span's block yet, and the sink refuses it once more.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn remove(&self, name: &LetterName) -> Result<bool, Error> {
        let path = self.dir.join(&name.0);
        match self.storage.unlink(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("remove", &path)(error)),
        }
    }

    fn is_there(&self) -> Result<bool, Error> {
        match fs::symlink_metadata(&self.dir) {
            Ok(metadata) => check_private_dir(&self.dir, &metadata).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("inspect", &self.dir)(error)),
        }
    }

    /// Makes the names of the letters survive a power cut, as they are now.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        self.storage.sync_dir(&self.dir).map_err(Error::io("sync", &self.dir))
    }

    fn make_dir(&self, known: &mut Known) -> Result<(), Error> {
        if !self.is_there()? {
            match self.storage.create_dir(&self.dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Error::io("create", &self.dir)(error));
                }
                _ => known.is_synced = false,
            }
        }
        if !known.is_synced {
            self.storage.sync_dir(&self.spool).map_err(Error::io("sync", &self.spool))?;
            known.is_synced = true;
        }
        Ok(())
    }

    /// How much room the letters take together with one of `len` bytes. They are counted at first, and where they seem to be too many: others
    /// may have removed some.
    fn room_with(&self, known: &mut Known, len: u64) -> Result<(usize, u64), Error> {
        let with = |(letters, bytes): (usize, u64)| (letters + 1, bytes.saturating_add(len));
        let fits = |&(letters, bytes): &(usize, u64)| letters <= LETTERS_MAX && bytes <= LETTERS_BYTES_MAX;
        if let Some(taken) = known.room_taken.map(with).filter(fits) {
            return Ok(taken);
        }
        let counted = self.held()?;
        known.room_taken = Some(counted);
        let full = || Error::DeadLettersFull { path: self.dir.clone(), letters: counted.0 };
        Some(with(counted)).filter(fits).ok_or_else(full)
    }

    fn write(&self, name: &LetterName, bytes: &[u8]) -> Result<(), Error> {
        let path = self.dir.join(&name.0);
        let new = self.dir.join(format!("{}{name}", layout::NEW_PREFIX));
        let mut file = self.create_new(&new, bytes.len() as u64)?;
        let written = file
            .write(0, bytes)
            .and_then(|()| file.syncer().sync())
            .and_then(|()| self.storage.rename(&new, &path))
            .map_err(Error::io("write", &path));
        if written.is_err() {
            // What cannot be removed is replaced the next time, or swept.
            drop(self.storage.unlink(&new));
        }
        written
    }

    /// Creates the file of a letter under the name that it has first.
    fn create_new(&self, new: &Path, len: u64) -> Result<Box<dyn StorageFile>, Error> {
        let created = match self.storage.create(new, len) {
            // Of an attempt that failed and could not be cleaned up.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.storage.unlink(new).and_then(|()| self.storage.create(new, len))
            }
            created => created,
        };
        created.map_err(Error::io("create", new))
    }
}

impl DeadLetter {
    fn file_name(&self) -> String {
        let Position { segment, offset, .. } = self.block;
        layout::letter(fnv1a(self.sink.as_bytes()), &self.recorder, segment, offset, self.number)
    }

    /// The bytes of its file.
    fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = format!("{HEAD}{VERSION} 00000000\n").into_bytes();
        let no_form = |reason| Error::NoForm { what: "a dead letter", reason };
        if json::is_too_deep(&self.span) || json::is_any_too_deep(&self.known) {
            return Err(no_form("a value is nested too deep"));
        }
        serde_json::to_writer(&mut bytes, self).map_err(|_| no_form("it has none in JSON"))?;
        bytes.push(b'\n');
        let crc = format!("{:08x}", crc32c::crc32c(&bytes[HEAD_LEN..]));
        bytes[HEAD_LEN - 9..HEAD_LEN - 1].copy_from_slice(crc.as_bytes());
        match bytes.len() as u64 {
            len if len > LETTER_LEN_MAX => {
                Err(Error::TooLarge { what: "a dead letter", len, max: LETTER_LEN_MAX })
            }
            _ => Ok(bytes),
        }
    }

    /// The letter that the bytes of the file at `path` are. What is wrong with them is said without showing what stands there.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`]; [`Error::LaterVersion`].
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let damaged =
            |offset: usize, reason| Error::Damaged { path: path.to_owned(), offset: offset as u64, reason };
        let Some(version_on) = bytes.strip_prefix(HEAD.as_bytes()) else {
            return Err(damaged(0, "it does not begin as a dead letter does"));
        };
        if version_on.first().is_some_and(|digit| (b'1'..=b'9').contains(digit)) {
            return Err(Error::LaterVersion { path: path.to_owned() });
        }
        let head = bytes.get(..HEAD_LEN).and_then(|head| std::str::from_utf8(head).ok());
        let body = bytes.get(HEAD_LEN..).unwrap_or_default();
        if head != Some(&format!("{HEAD}{VERSION} {:08x}\n", crc32c::crc32c(body))) {
            return Err(damaged(HEAD_LEN - 9, "the checksum does not fit"));
        }
        let letter = json::read_value(body).and_then(read);
        letter.map_err(|_| damaged(HEAD_LEN, "what the checksum fits is no dead letter in JSON"))
    }
}

impl Serialize for DeadLetter {
    /// As the JSON of its file.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        let said = Members {
            sink: (&self.sink).into(),
            reason: (&self.reason).into(),
            set_aside_unix_ns: self.set_aside_unix_ns,
            recorder: Cow::Borrowed(&self.recorder),
            block: self.block,
            number: self.number,
            resource: Cow::Borrowed(&self.resource),
        };
        said.write(&mut members)?;
        members.serialize_entry("span", &Json(&self.span))?;
        if !self.known.is_empty() {
            members.serialize_entry("known", &json::Attributes(&self.known))?;
        }
        members.end()
    }
}

/// What [`DeadLetter::serialize`] writes.
fn read(value: Value) -> Result<DeadLetter, String> {
    let mut fields = Fields::of(value, "the dead letter")?;
    let said = Members::read(&mut fields)?;
    let letter = DeadLetter {
        sink: said.sink.into_owned(),
        reason: said.reason.into_owned(),
        set_aside_unix_ns: said.set_aside_unix_ns,
        recorder: said.recorder.into_owned(),
        block: said.block,
        number: said.number,
        resource: said.resource.into_owned(),
        span: fields.required("span", json::span)?,
        known: fields.optional("known", json::attributes)?.unwrap_or_default(),
    };
    fields.end()?;
    Ok(letter)
}

#[cfg(test)]
mod tests;
