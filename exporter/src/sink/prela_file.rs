//! A directory of files as Prela's own file exporter writes them: `traces-2026-11-20-001.jsonl`, one span a line.
//!
//! | Prela's exporter | here |
//! |---|---|
//! | a line is `json.dumps(span.to_dict())` | the same; see [`prela`](crate::prela) |
//! | writes a trace when its root ends, in one go | writes a span when it was spooled, so that a trace may lie in two files; `read_traces()` reads all |
//! | writes to the file of the day of writing, in UTC | the same, but never to an earlier file than there is, whatever the clock does |
//! | begins the next file (`-002`) before a write where one has 100 MiB or more | the same |
//! | makes the directory, and all above it | makes the directory, 0700, and files, 0600 |
//! | a crash leaves a line without its end | the next opening cuts it off |
//! | syncs nothing, and drops what it cannot write | a batch counts once it is synced, and is tried again until it is |
//!
//! What a killed exporter had written and not yet counted comes again with the next. Lines say which span they are, and the same span makes
//! the same line: those that are among the [last lines](last_lines) of the directory are not written once more. A batch of a
//! [`FileSink`](super::FileSink) is written again where the kill came between writing and counting; here it is not.
//!
//! One exporter writes to a directory, which its lock sees to. Prela's own takes no lock: it must not write there at the same time. A file or a directory that
//! somebody removes or moves away is made anew.

mod last_lines;
mod names;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf, absolute};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use self::last_lines::LastLines;
use self::names::FileName;
use super::file::{LineForm, cut_to_whole_lines, is_same_file, lock};
use super::{Batch, Delivery, Outcome, PrelaOptions, Sink};
use crate::Error;
use crate::error::with_causes;
use crate::{prela, rfc3339};

const LINES: LineForm =
    LineForm { beginnings: &[b"{\"span_id\": \""], name: "a span of Prela", identify: None };

/// A file of so many bytes is not appended to.
const FILE_LEN_MAX: u64 = 100 * 1024 * 1024;

/// A sink that writes Prela's files. Its clones write to the same directory, a batch at a time.
#[derive(Clone, Debug)]
pub struct PrelaFileSink {
    name: String,
    options: PrelaOptions,
    files: Arc<Mutex<Files>>,
}

impl PrelaFileSink {
    /// The sink that is called `name` and writes to the directory at `path`, which is created (0700) where there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Sink`] where it cannot be opened, its last file holds anything but spans, or another exporter has it.
    pub fn open(name: String, path: &Path, options: &PrelaOptions) -> Result<Self, Error> {
        match Files::open(path) {
            Ok(files) => {
                Ok(PrelaFileSink { name, options: options.clone(), files: Arc::new(Mutex::new(files)) })
            }
            Err(error) => Err(Error::sink(name, "open")(error)),
        }
    }
}

impl Sink for PrelaFileSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        let files = Arc::clone(&self.files);
        Box::pin(async move {
            let service = self.options.service_of(batch.resource);
            let line = |span| prela::Span::of(span, service).to_dict() + "\n";
            let lines: Vec<String> = batch.spans.iter().map(line).collect();
            // Syncing may take long, and other sinks go on meanwhile.
            let appended = tokio::task::spawn_blocking(move || {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let today = rfc3339::date(since_epoch.as_secs());
                files.lock().unwrap_or_else(PoisonError::into_inner).append(&lines, &today)
            });
            match appended.await {
                Ok(Ok(())) => Outcome::DELIVERED,
                Ok(Err(error)) => Outcome::Retry { after: None, reason: with_causes(&error) },
                Err(error) => Outcome::Retry { after: None, reason: with_causes(&error) },
            }
        })
    }
}

/// The directory behind `prela-file:`.
pub(super) fn directory(path: &str) -> Result<PathBuf, &'static str> {
    if path.starts_with("//") && !path.starts_with("///") {
        return Err("a directory is named by its path, without a host");
    }
    match (path.trim_end_matches('/'), path) {
        ("", "") => Err("it names no directory"),
        ("", _) => Ok(PathBuf::from("/")),
        (path, _) => {
            absolute(path).map_err(|_| "the working directory, which a relative path begins in, is gone")
        }
    }
}

/// The files of a directory, of which the last is written to.
#[derive(Debug)]
struct Files {
    path: PathBuf,
    /// The directory, locked.
    directory: File,
    last: Option<LastFile>,
    /// The last lines that there were when it was opened.
    before: LastLines,
}

/// The last file. What lies before `end` is whole lines, synced.
#[derive(Debug)]
struct LastFile {
    name: FileName,
    file: File,
    end: u64,
    /// Whether the rest of an attempt that failed may lie behind.
    has_rest: bool,
}

impl Files {
    fn open(path: &Path) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(path) {
            // A link to one is made by hand, and so is the directory that it leads to.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            // It has a parent, unless it is the root, which nobody makes.
            Ok(()) => File::open(path.canonicalize()?.parent().unwrap_or(path))?.sync_all()?,
        }
        let directory = File::open(path)?;
        if !directory.metadata()?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a directory"));
        }
        lock(&directory)?;
        let mut files = Files { path: path.to_owned(), directory, last: None, before: LastLines::default() };
        files.look()?;
        Ok(files)
    }

    /// Finds the last file, and what the last lines are.
    fn look(&mut self) -> io::Result<()> {
        self.last = None;
        let names = FileName::all_in(&self.path)?;
        if let Some(name) = names.first().cloned() {
            let path = self.path.join(name.to_string());
            // Looked at before it is opened: to open a pipe is to wait for its reader.
            if !fs::metadata(&path)?.is_file() {
                let what = format!("{name} is not a regular file");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let end = cut_to_whole_lines(&file, LINES)
                .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
            // Its maker may have died before it was durable that there is such a file, or what is in it.
            file.sync_all()?;
            self.directory.sync_all()?;
            self.last = Some(LastFile { name, file, end, has_rest: false });
        }
        self.before = LastLines::of(names.into_iter().map(|name| self.path.join(name.to_string())))?;
        Ok(())
    }

    /// Appends those of these lines that are not among the last that there were, each with its line break, and syncs them.
    fn append(&mut self, lines: &[String], today: &str) -> io::Result<()> {
        self.follow()?;
        let new = lines.iter().filter(|line| !self.before.contains(line.as_bytes()));
        let new: String = new.map(String::as_str).collect();
        if new.is_empty() {
            return Ok(());
        }
        let last = self.last_file(today)?;
        let written = last.file.write_all_at(new.as_bytes(), last.end).and_then(|()| last.file.sync_data());
        match written {
            Ok(()) => {
                last.end += new.len() as u64;
                Ok(())
            }
            Err(error) => {
                // The lines are written anew next time: after a sync that failed a further one would prove nothing about them. Where the
                // rest cannot be cut off now, it is before the next line.
                last.has_rest = last.file.set_len(last.end).is_err();
                Err(error)
            }
        }
    }

    /// Goes on where others have left the directory and its last file.
    fn follow(&mut self) -> io::Result<()> {
        let is_there = |path: &Path, file: &File| match fs::metadata(path) {
            Ok(there) => Ok(is_same_file(&there, &file.metadata()?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        };
        if !is_there(&self.path, &self.directory)? {
            // Somebody removed it, and what is written to it now would be gone, or moved it away.
            *self = Files::open(&self.path)?;
        }
        let Some(last) = &mut self.last else { return Ok(()) };
        if !is_there(&self.path.join(last.name.to_string()), &last.file)? {
            return self.look();
        }
        let len = last.file.metadata()?.len();
        if last.has_rest && len > last.end {
            last.file.set_len(last.end)?;
        } else if len != last.end {
            // Somebody cut it short, and what is written at the end that was would follow a hole of zeros; or appended to it.
            last.end = cut_to_whole_lines(&last.file, LINES)?;
        }
        last.has_rest = false;
        Ok(())
    }

    /// The file to append to: the last one, unless it is full or of an earlier day.
    fn last_file(&mut self, today: &str) -> io::Result<&mut LastFile> {
        let next = match &self.last {
            Some(last) if last.name.date() >= today => (last.end >= FILE_LEN_MAX).then(|| last.name.next()),
            _ => Some(FileName::first_of(today)),
        };
        let last = match (self.last.take(), next) {
            (Some(last), None) => last,
            (earlier, next) => {
                let name = next.unwrap_or_else(|| FileName::first_of(today));
                let path = self.path.join(name.to_string());
                let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
                match made.and_then(|file| self.directory.sync_all().map(|()| file)) {
                    Ok(file) => LastFile { name, file, end: 0, has_rest: false },
                    Err(error) => {
                        self.last = earlier;
                        return Err(error);
                    }
                }
            }
        };
        Ok(self.last.insert(last))
    }
}

#[cfg(test)]
mod tests;
