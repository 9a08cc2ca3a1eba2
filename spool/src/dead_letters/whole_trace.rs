//! Traces that a sink refused as a whole, a letter each, however many spans they have. Their format is told with that of the others.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use serde::ser::{Serialize, SerializeMap, Serializer};
use spanring::TraceId;

use super::{
    DeadLetters, Known, LETTER_LEN_MAX, LETTERS_BYTES_MAX, LETTERS_MAX, LetterName, Members, VERSION,
};
use crate::cursor::fnv1a;
use crate::storage::{Storage, StorageFile, open_regular};
use crate::trace::json::{self, Fields, Json};
use crate::{Error, Position, RecorderId, Resource, SpanData, Value, layout};

const HEAD: &str = "spanring dead trace ";
const HEAD_LEN: usize = HEAD.len() + VERSION.len() + 1 + CHECKSUM_LEN + 1;
const CHECKSUM_LEN: usize = 8;
/// What is said of the whole is no longer, in bytes: a resource has 64 KiB at most, each byte of which becomes six at most.
const ABOUT_LEN_MAX: u64 = 4 << 20;
/// How many bytes of lines are read at once.
const CHUNK_LEN: u64 = 4 << 20;
/// How many bytes of spans are written at once.
const WRITE_LEN: usize = 1 << 20;

/// A trace that a sink refused as a whole, without its spans.
#[derive(Clone, PartialEq, Debug)]
pub struct DeadTrace {
    /// The address of the sink.
    pub sink: String,
    /// Why it refused, as it said itself.
    pub reason: String,
    /// When the trace was set aside, in nanoseconds since the Unix epoch.
    pub set_aside_unix_ns: u64,
    /// The recorder that recorded its first span.
    pub recorder: RecorderId,
    /// Behind the block that held that.
    pub block: Position,
    /// Which of the block's spans that ended it is, counted from 0.
    pub number: u64,
    /// What the recording process was.
    pub resource: Resource,
    /// Its identity.
    pub trace_id: TraceId,
    /// How many spans it has.
    pub spans: u64,
}

/// A trace that is being set aside: [`DeadLetters::begin_trace`]. Dropped before its [end](Self::end) it leaves nothing.
#[must_use = "nothing is set aside before its end"]
pub struct NewDeadTrace {
    storage: Arc<dyn Storage>,
    letters: DeadLetters,
    name: LetterName,
    /// The file, which has another name yet; `None` once it has its own.
    new: Option<PathBuf>,
    file: Box<dyn StorageFile>,
    /// How long the file is to become.
    len: u64,
    written: u64,
    checksum: u32,
    /// How many spans are still to come.
    missing: u64,
    /// Whether there was no such letter.
    is_new: bool,
}

/// The spans of a trace that was set aside, one by one, in the order in which they were.
pub struct DeadTraceSpans<R = BufReader<File>> {
    from: R,
    path: PathBuf,
    /// Where the first one stands, and the checksum of what is before it.
    first: (u64, u32),
    at: u64,
    checksum: u32,
    spans: u64,
    left: u64,
}

impl DeadTrace {
    /// How many bytes these spans take, which [`begin_trace`](DeadLetters::begin_trace) is told of all of them.
    ///
    /// # Errors
    ///
    /// [`Error::NoForm`], [`Error::TooLarge`].
    pub fn len_of(spans: &[SpanData]) -> Result<u64, Error> {
        spans.iter().try_fold(0, |len, span| Ok(len + line(span)?.len() as u64))
    }

    fn file_name(&self) -> String {
        let Position { segment, offset, .. } = self.block;
        layout::trace_letter(fnv1a(self.sink.as_bytes()), &self.recorder, segment, offset, self.number)
    }

    /// What its file begins with, and the checksum of that.
    fn head(&self) -> Result<(Vec<u8>, u32), Error> {
        let no_form = |_| Error::NoForm { what: NAME, reason: "it has none in JSON" };
        if json::is_any_too_deep(&self.resource.attributes) {
            return Err(Error::NoForm { what: NAME, reason: "a value is nested too deep" });
        }
        let mut about = serde_json::to_vec(self).map_err(no_form)?;
        about.push(b'\n');
        let len = about.len() as u64;
        if len > ABOUT_LEN_MAX {
            return Err(Error::TooLarge { what: "what is said of a dead trace", len, max: ABOUT_LEN_MAX });
        }
        let checksum = crc32c::crc32c(&about);
        let mut bytes = format!("{HEAD}{VERSION} {checksum:08x}\n").into_bytes();
        bytes.append(&mut about);
        Ok((bytes, checksum))
    }

    /// Reads what the file at `path` says of the whole. What is wrong with it is said without showing what stands there.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`]; [`Error::LaterVersion`]; [`Error::Io`].
    pub fn decode<R: BufRead + Seek>(
        mut from: R,
        path: &Path,
    ) -> Result<(DeadTrace, DeadTraceSpans<R>), Error> {
        let mut bytes = Vec::new();
        let mut read = |bytes: &mut Vec<u8>, len: u64| {
            from.by_ref().take(len).read_until(b'\n', bytes).map_err(Error::io("read", path))
        };
        read(&mut bytes, HEAD_LEN as u64)?;
        let Some(version_on) = bytes.strip_prefix(HEAD.as_bytes()) else {
            return Err(damaged(path, 0, "it does not begin as a dead trace does"));
        };
        if version_on.first().is_some_and(|digit| (b'1'..=b'9').contains(digit)) {
            return Err(Error::LaterVersion { path: path.to_owned() });
        }
        let mut about = Vec::new();
        read(&mut about, ABOUT_LEN_MAX)?;
        let checksum = crc32c::crc32c(&about);
        if bytes != format!("{HEAD}{VERSION} {checksum:08x}\n").as_bytes() || !about.ends_with(b"\n") {
            return Err(damaged(path, HEAD_LEN as u64 - 9, "the checksum does not fit"));
        }
        let trace = json::read_value(&about).and_then(self::read).map_err(|_| {
            damaged(path, HEAD_LEN as u64, "what the checksum fits is nothing that is said of a trace")
        })?;
        let first = ((HEAD_LEN + about.len()) as u64, checksum);
        let spans = DeadTraceSpans {
            from,
            path: path.to_owned(),
            first,
            at: first.0,
            checksum,
            spans: trace.spans,
            left: trace.spans,
        };
        Ok((trace, spans))
    }
}

const NAME: &str = "a dead trace";

fn damaged(path: &Path, offset: u64, reason: &'static str) -> Error {
    Error::Damaged { path: path.to_owned(), offset, reason }
}

/// A span on its line, behind room for the checksum.
fn line(span: &SpanData) -> Result<Vec<u8>, Error> {
    let no_form = |reason| Error::NoForm { what: "a span of a dead trace", reason };
    if json::is_too_deep(span) {
        return Err(no_form("a value is nested too deep"));
    }
    let mut line = b"00000000 ".to_vec();
    serde_json::to_writer(&mut line, &Json(span)).map_err(|_| no_form("it has none in JSON"))?;
    line.push(b'\n');
    match line.len() as u64 {
        len if len > LETTER_LEN_MAX => {
            Err(Error::TooLarge { what: "a span of a dead trace", len, max: LETTER_LEN_MAX })
        }
        _ => Ok(line),
    }
}

impl DeadLetters {
    /// Begins to set a trace aside whose spans [take](DeadTrace::len_of) so many bytes; `None` where that was done already, with as many spans or more.
    /// Where a letter is there of fewer spans from the same place on, it is replaced. It waits for the disk.
    ///
    /// However large it is, there is room for a trace as long as there is any.
    ///
    /// # Errors
    ///
    /// As for [`add`](Self::add).
    pub fn begin_trace(&self, trace: &DeadTrace, len: u64) -> Result<Option<NewDeadTrace>, Error> {
        let mut known = self.known.lock();
        self.make_dir(&mut known)?;
        let name = LetterName(trace.file_name());
        let there = self.read_trace(&name)?;
        let is_new = there.is_none();
        if let Some((there, _)) = there
            && there.trace_id == trace.trace_id
            && there.spans >= trace.spans
        {
            // Whoever made it may have been killed before this; and what it has more of cannot be read again by now.
            self.sync()?;
            return Ok(None);
        }
        self.check_that_there_is_room(&mut known)?;
        let (head, checksum) = trace.head()?;
        let len = len + head.len() as u64;
        let new = self.dir.join(format!("{}{name}", layout::NEW_PREFIX));
        let file = self.create_new(&new, len)?;
        let mut begun = NewDeadTrace {
            storage: Arc::clone(&self.storage),
            letters: self.clone(),
            name,
            new: Some(new),
            file,
            len,
            written: 0,
            checksum,
            missing: trace.spans,
            is_new,
        };
        begun.write(&head)?;
        Ok(Some(begun))
    }

    /// Whether one more may be added that is larger than the room.
    fn check_that_there_is_room(&self, known: &mut Known) -> Result<(), Error> {
        let fits = |&(letters, bytes): &(usize, u64)| letters < LETTERS_MAX && bytes < LETTERS_BYTES_MAX;
        if known.room_taken.as_ref().is_some_and(fits) {
            return Ok(());
        }
        let counted = self.held()?;
        known.room_taken = Some(counted);
        let full = || Error::DeadLettersFull { path: self.dir.clone(), letters: counted.0 };
        fits(&counted).then_some(()).ok_or_else(full)
    }

    /// Reads what is said of a trace that was set aside, and then its spans; `None` where it is there no more.
    ///
    /// # Errors
    ///
    /// As for [`DeadTrace::decode`].
    pub fn read_trace(&self, name: &LetterName) -> Result<Option<(DeadTrace, DeadTraceSpans)>, Error> {
        let path = self.dir.join(&name.0);
        match open_regular(&path, OFlags::RDONLY) {
            Ok(file) => DeadTrace::decode(BufReader::new(file), &path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("open", &path)(error)),
        }
    }
}

impl NewDeadTrace {
    /// Adds the next spans. It waits for the disk.
    ///
    /// # Errors
    ///
    /// As for [`DeadTrace::len_of`]; [`Error::Io`], also where there are more spans than was said, or where they take more room.
    pub fn add(&mut self, spans: &[SpanData]) -> Result<(), Error> {
        let mut bytes = Vec::new();
        for span in spans {
            self.missing = self.missing.checked_sub(1).ok_or_else(|| self.others_than_said())?;
            let mut line = line(span)?;
            self.checksum = crc32c::crc32c_append(self.checksum, &line[CHECKSUM_LEN..]);
            line[..CHECKSUM_LEN].copy_from_slice(format!("{:08x}", self.checksum).as_bytes());
            bytes.append(&mut line);
            if bytes.len() >= WRITE_LEN {
                self.write(&bytes)?;
                bytes.clear();
            }
        }
        self.write(&bytes)
    }

    /// Says that these were all, and whether the trace was not yet set aside. Once this has returned it survives a power cut.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], also where there were fewer spans than was said. Nothing was set aside then.
    pub fn end(mut self) -> Result<bool, Error> {
        if (self.missing, self.written) != (0, self.len) {
            return Err(self.others_than_said());
        }
        let path = self.letters.dir.join(&self.name.0);
        let new = self.new.take().expect("it has its own name after its end only");
        let named = self.file.syncer().sync().and_then(|()| {
            if !self.is_new {
                // Fewer spans from this place on. Where it is gone by now, somebody has purged it.
                match self.storage.unlink(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            self.storage.rename(&new, &path)
        });
        if let Err(error) = named {
            self.new = Some(new);
            return Err(Error::io("write", &path)(error));
        }
        let mut known = self.letters.known.lock();
        // A letter in place of another makes it seem more than it is, until it is counted again.
        if let Some((letters, bytes)) = &mut known.room_taken {
            (*letters, *bytes) = (*letters + 1, bytes.saturating_add(self.len));
        }
        self.letters.sync()?;
        Ok(self.is_new)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let path = self.letters.dir.join(&self.name.0);
        self.file.write(self.written, bytes).map_err(Error::io("write", &path))?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn others_than_said(&self) -> Error {
        let path = self.letters.dir.join(&self.name.0);
        Error::io("write", &path)(io::Error::other("its spans are others than a moment ago"))
    }
}

impl Drop for NewDeadTrace {
    fn drop(&mut self) {
        if let Some(new) = &self.new {
            // What cannot be removed is replaced the next time, or swept.
            drop(self.storage.unlink(new));
        }
    }
}

impl<R: BufRead + Seek> DeadTraceSpans<R> {
    /// Begins anew with the first.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn rewind(&mut self) -> Result<(), Error> {
        self.from.seek(SeekFrom::Start(self.first.0)).map_err(Error::io("read", &self.path))?;
        (self.at, self.checksum) = self.first;
        self.left = self.spans;
        Ok(())
    }

    /// The next spans, at most so many and about 4 MiB of their lines, but one at least; none behind the last.
    ///
    /// # Errors
    ///
    /// As for [`next_span`](Self::next_span).
    pub fn next_chunk(&mut self, spans_max: usize) -> Result<Vec<SpanData>, Error> {
        let (from, mut chunk) = (self.at, Vec::new());
        while chunk.len() < spans_max.max(1)
            && self.at - from < CHUNK_LEN
            && let Some(span) = self.next_span()?
        {
            chunk.push(span);
        }
        Ok(chunk)
    }

    /// The next span; `None` behind the last.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`], [`Error::Io`]. There is nothing more to be read then, until it is [rewound](Self::rewind).
    pub fn next_span(&mut self) -> Result<Option<SpanData>, Error> {
        let mut line = Vec::new();
        let len_max = if self.left == 0 { 1 } else { LETTER_LEN_MAX };
        let from = self.from.by_ref().take(len_max).read_until(b'\n', &mut line);
        from.map_err(Error::io("read", &self.path))?;
        let damaged = |reason| Err(damaged(&self.path, self.at, reason));
        match (self.left, line.is_empty()) {
            (0, true) => return Ok(None),
            (0, false) => return damaged("there is more than it says"),
            (_, true) => return damaged("there are fewer spans than it says"),
            _ => {}
        }
        let (told, span) = line.split_at_checked(CHECKSUM_LEN).unwrap_or((&line, &[]));
        let checksum = crc32c::crc32c_append(self.checksum, span);
        if told != format!("{checksum:08x}").as_bytes() || !line.ends_with(b"\n") {
            return damaged("the checksum does not fit");
        }
        let span = span
            .strip_prefix(b" ")
            .ok_or(())
            .and_then(|json| json::read_value(json).and_then(json::span).map_err(drop));
        let Ok(span) = span else { return damaged("what the checksum fits is no span in JSON") };
        (self.at, self.checksum, self.left) = (self.at + line.len() as u64, checksum, self.left - 1);
        Ok(Some(span))
    }
}

impl Serialize for DeadTrace {
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
        members.serialize_entry("trace_id", &self.trace_id.to_string())?;
        members.serialize_entry("spans", &self.spans.to_string())?;
        members.end()
    }
}

/// What [`DeadTrace::serialize`] writes.
fn read(value: Value) -> Result<DeadTrace, String> {
    let mut fields = Fields::of(value, NAME)?;
    let trace_id = |value| TraceId::parse(&json::text(value)?).ok_or_else(|| "is no identity".to_owned());
    let said = Members::read(&mut fields)?;
    let trace = DeadTrace {
        sink: said.sink.into_owned(),
        reason: said.reason.into_owned(),
        set_aside_unix_ns: said.set_aside_unix_ns,
        recorder: said.recorder.into_owned(),
        block: said.block,
        number: said.number,
        resource: said.resource.into_owned(),
        trace_id: fields.required("trace_id", trace_id)?,
        spans: fields.required("spans", json::number)?,
    };
    fields.end()?;
    Ok(trace)
}

#[cfg(test)]
mod tests;
