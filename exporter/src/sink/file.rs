//! A file of lines: of OTLP/JSON, one request a line, as OpenTelemetry's file exporter writes them, or of another [form](LineForm).
//!
//! A batch is one line or several: written, synced, and only then called delivered. A crash in between leaves a line without
//! its end, which the next opening cuts off: the batch was not delivered, and comes again.
//!
//! Where the [options](FileOptions) say so, a file that has grown long is [put aside](rotation) and another one begun. One exporter writes to a
//! file, which a lock sees to; it follows the name, so a file that somebody removes or moves away is left, and made anew.

mod behind;
mod options;
mod rotated;
mod rotation;

pub use options::{Compression, FileOptions};

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use spanring_spool::{SpanData, Value};

use self::behind::Identify;
pub(super) use self::behind::{Behind, Identity};
use self::rotated::Family;
pub(super) use self::rotation::is_same_file;
use super::{Batch, Delivery, Needs, Outcome, Overview, Sink, TraceSpans};
use crate::Error;
use crate::error::with_causes;
use crate::otlp::Names;

/// The lines of a file. One that begins otherwise is somebody else's, and is not touched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineForm {
    /// How every line begins, in one of these ways.
    pub(super) beginnings: &'static [&'static [u8]],
    /// What lines are.
    pub(crate) name: &'static str,
    /// Who a line is, where lines say that: then none is written that is there already.
    pub(super) identify: Option<Identify>,
}

impl LineForm {
    /// Whether this is how a line begins, as far as either goes.
    pub(crate) fn is_beginning(self, bytes: &[u8]) -> bool {
        self.beginnings.iter().any(|beginning| bytes.starts_with(beginning) || beginning.starts_with(bytes))
    }

    /// How long the longest beginning is, in bytes.
    pub(crate) fn beginning_len_max(self) -> usize {
        self.beginnings.iter().map(|beginning| beginning.len()).max().unwrap_or(0)
    }
}

/// OTLP/JSON, a request a line.
pub(crate) const OTLP_LINES: LineForm =
    LineForm { beginnings: &[b"{\"resourceSpans\""], name: "OTLP/JSON", identify: None };

/// Makes the lines of a batch, their line breaks included, once it is known what they are written behind.
pub(super) type LinesBehind = Box<dyn FnOnce(&Behind) -> Vec<u8> + Send>;

/// What becomes of a batch in a file. All that is asked of a sink beside is asked of this.
pub(super) trait BatchLines: fmt::Debug + Send + Sync {
    /// What its lines are.
    fn form(&self) -> LineForm;

    /// Another one, for a sink that writes to the same file and is shown other traces.
    fn boxed(&self) -> Box<dyn BatchLines>;

    fn needs(&self) -> Needs {
        Needs::Spans
    }

    fn overview<'a>(&'a mut self, _: &'a mut dyn TraceSpans) -> Overview<'a> {
        Box::pin(async {})
    }

    fn known_of(&self, _: &SpanData) -> Vec<(String, Value)> {
        Vec::new()
    }

    fn recall(&mut self, _: &SpanData, _: &[(String, Value)]) {}

    /// The lines of a batch. The same batch makes the same lines, but for what is there already.
    fn lines(&self, batch: &Batch<'_>) -> LinesBehind;
}

/// OTLP/JSON, with attributes under these names.
#[derive(Clone, Debug, Default)]
pub(super) struct OtlpLines(pub(super) Names);

impl BatchLines for OtlpLines {
    fn form(&self) -> LineForm {
        OTLP_LINES
    }

    fn boxed(&self) -> Box<dyn BatchLines> {
        Box::new(self.clone())
    }

    fn lines(&self, batch: &Batch<'_>) -> LinesBehind {
        let line = batch.json_line(self.0);
        Box::new(|_| line)
    }
}

/// How much is read at once when the last line is looked for, in bytes.
const CHUNK_LEN: usize = 64 * 1024;

/// A sink that appends to a file. Its clones append to the same file, a batch at a time.
#[derive(Debug)]
pub struct FileSink {
    name: String,
    form: Box<dyn BatchLines>,
    lines: Arc<Mutex<Lines>>,
}

impl FileSink {
    /// The sink that is called `name` and appends to the file at `path`, which is created (0600) where there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Sink`] where it cannot be opened, is no regular file, holds anything but OTLP/JSON lines, or another
    /// exporter has it open.
    pub fn open(name: String, path: &Path) -> Result<Self, Error> {
        Self::open_with(name, path, &FileOptions::default())
    }

    /// As [`open`](Self::open); the file grows as `options` say. What an earlier process left of a rotation is swept, and what it had yet
    /// to compress or remove follows after the first batch.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open), and where what was left cannot be removed.
    pub fn open_with(name: String, path: &Path, options: &FileOptions) -> Result<Self, Error> {
        Self::of_lines(name, path, options, OtlpLines::default())
    }

    /// As [`open_with`](Self::open_with), with lines of another form.
    pub(super) fn of_lines(
        name: String,
        path: &Path,
        options: &FileOptions,
        form: impl BatchLines + 'static,
    ) -> Result<Self, Error> {
        match Lines::open(path, options, form.form()) {
            Ok(lines) => Ok(FileSink { name, form: Box::new(form), lines: Arc::new(Mutex::new(lines)) }),
            Err(error) => Err(Error::sink(name, "open")(error)),
        }
    }
}

impl Clone for FileSink {
    fn clone(&self) -> Self {
        FileSink { name: self.name.clone(), form: self.form.boxed(), lines: Arc::clone(&self.lines) }
    }
}

impl Sink for FileSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        self.form.needs()
    }

    fn overview<'a>(&'a mut self, spans: &'a mut dyn TraceSpans) -> Overview<'a> {
        self.form.overview(spans)
    }

    fn known_of(&self, span: &SpanData) -> Vec<(String, Value)> {
        self.form.known_of(span)
    }

    fn recall(&mut self, span: &SpanData, known: &[(String, Value)]) {
        self.form.recall(span, known);
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        let lines = Arc::clone(&self.lines);
        let written = self.form.lines(batch);
        Box::pin(async move {
            // Syncing may take long, and other sinks go on meanwhile.
            let appended = tokio::task::spawn_blocking(move || {
                let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.append(written).map(|()| lines.tidy())
            });
            match appended.await {
                Ok(Ok(message)) => Outcome::Delivered { rejected: 0, message },
                Ok(Err(error)) => Outcome::Retry { after: None, reason: with_causes(&error) },
                Err(error) => Outcome::Retry { after: None, reason: with_causes(&error) },
            }
        })
    }
}

/// The file. What lies before `end` is whole lines, synced; what lies behind, if anything, is the rest of an attempt
/// that failed.
#[derive(Debug)]
struct Lines {
    file: File,
    path: PathBuf,
    options: FileOptions,
    form: LineForm,
    /// What is known of the lines before `end`, also in files that were rotated, where lines say who they are.
    behind: Behind,
    end: u64,
    /// Whether rotated files may be there that are to be compressed or removed.
    is_untidy: bool,
}

impl Lines {
    fn open(path: &Path, options: &FileOptions, form: LineForm) -> io::Result<Self> {
        // Looked at before it is opened: to open a pipe is to wait for its reader.
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut access = OpenOptions::new();
        access.read(true).write(true).mode(0o600);
        let file = match access.clone().create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => access.open(path)?,
            created => created?,
        };
        Lines::of(file, path, options, form)
    }

    /// The file, as it was opened at `path`.
    fn of(file: File, path: &Path, options: &FileOptions, form: LineForm) -> io::Result<Self> {
        lock(&file)?;
        let metadata = file.metadata()?;
        if !is_same_file(&fs::metadata(path)?, &metadata) {
            // W3: it was rotated in between.
            return Err(in_use());
        }
        let end = cut_to_whole_lines(&file, form)?;
        let family = Family::of(path)?;
        let rotates = options.rotate_bytes.is_some();
        if rotates || metadata.nlink() > 1 {
            rotation::sweep(&family, &file)?;
        }
        if end == 0 {
            // It may be new, or its maker have died before it was durable that there is such a file.
            family.sync()?;
        }
        let behind = match form.identify {
            Some(identify) => {
                // What is there is not written again, so it has to survive a power cut before it counts.
                file.sync_data()?;
                Behind::of(&file, &family, identify)?
            }
            None => Behind::default(),
        };
        let (path, options) = (path.to_owned(), options.clone());
        Ok(Lines { file, path, options, form, behind, end, is_untidy: rotates })
    }

    /// Appends the lines of a batch, and syncs them. They go to one file.
    fn append(&mut self, lines: LinesBehind) -> io::Result<()> {
        self.follow()?;
        let lines = &lines(&self.behind)[..];
        if lines.is_empty() {
            return Ok(());
        }
        let end = self.end.saturating_add(lines.len() as u64);
        if self.end > 0 && self.options.rotate_bytes.is_some_and(|limit| end > limit) {
            if self.file.metadata()?.len() > self.end {
                self.file.set_len(self.end)?;
                self.file.sync_all()?;
            }
            self.file = rotation::rotate(&self.path, &self.file)?;
            (self.end, self.is_untidy) = (0, true);
        }
        let written = self.file.write_all_at(lines, self.end).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.end += lines.len() as u64;
                if let Some(identify) = self.form.identify {
                    self.behind.wrote(lines, identify);
                }
                Ok(())
            }
            Err(error) => {
                // They are written anew next time, since after a sync that failed the kernel calls pages clean that
                // never reached the disk, and a further sync would prove nothing about them. Where the rest cannot be
                // cut off now, the next lines overwrite it, or the next opening cuts it off.
                self.file.set_len(self.end).map_err(|_| error.kind())?;
                Err(error)
            }
        }
    }

    /// Goes on where others have left the file.
    fn follow(&mut self) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        let is_there = match fs::metadata(&self.path) {
            Ok(there) => is_same_file(&there, &metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !is_there {
            // Somebody removed it, and what is written to it now would be gone, or moved it away, or a rotation did not get to its end.
            let mut new = Lines::open(&self.path, &self.options, self.form)?;
            new.behind.go_on_from(std::mem::take(&mut self.behind));
            *self = new;
        } else if metadata.len() < self.end {
            // Somebody cut it short, such as logrotate with copytruncate. What is written at the end that was would
            // follow a hole of zeros.
            self.end = cut_to_whole_lines(&self.file, self.form)?;
        }
        Ok(())
    }

    /// Removes and compresses rotated files as the options say. Returns what did not work.
    fn tidy(&mut self) -> String {
        match std::mem::take(&mut self.is_untidy) {
            true => rotation::tidy(&self.path, &self.options).join("; "),
            false => String::new(),
        }
    }
}

/// Takes the lock of a file, which lasts until it is closed.
pub(super) fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(in_use()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn in_use() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, "another exporter writes to it")
}

/// Cuts off what follows the last whole line, and returns where that ends.
pub(super) fn cut_to_whole_lines(file: &File, form: LineForm) -> io::Result<u64> {
    let end = whole_lines(file, form)?;
    if end < file.metadata()?.len() {
        file.set_len(end)?;
        file.sync_all()?;
    }
    Ok(end)
}

/// Where the last whole line ends. What lies behind must be the beginning of a line that was cut short.
fn whole_lines(file: &File, form: LineForm) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let not_ours =
        |what| io::Error::new(io::ErrorKind::InvalidData, format!("{what} is no line of {}", form.name));
    let end = end_of_last_line(file, len)?;
    let first = beginning(file, 0, len, form)?;
    // Zeros stand for what a power cut took of the last line. At the beginning of a file they are somebody else's, or a
    // hole that was left by cutting it short.
    if first.first() == Some(&0) || end > 0 && !form.beginnings.iter().any(|begin| first.starts_with(begin)) {
        return Err(not_ours("its first line"));
    }
    if end < len && !begins_a_line(&beginning(file, end, len, form)?, form) {
        return Err(not_ours("its last line, which has no end,"));
    }
    Ok(end)
}

/// Whether it is how lines begin, or as much of it as reached the disk. A power cut may leave zeros in place of the rest.
fn begins_a_line(bytes: &[u8], form: LineForm) -> bool {
    let written = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    form.is_beginning(&bytes[..written])
}

/// As much as the longest beginning has.
fn beginning(file: &File, at: u64, len: u64, form: LineForm) -> io::Result<Vec<u8>> {
    let len = usize::try_from(len - at).unwrap_or(usize::MAX).min(form.beginning_len_max());
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

fn end_of_last_line(file: &File, len: u64) -> io::Result<u64> {
    let mut chunk = vec![0; CHUNK_LEN];
    let mut end = len;
    while end > 0 {
        let start = end.saturating_sub(CHUNK_LEN as u64);
        let chunk = &mut chunk[..usize::try_from(end - start).unwrap_or(CHUNK_LEN)];
        file.read_exact_at(chunk, start)?;
        if let Some(at) = chunk.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
