//! What is known of the lines that a file ends with, where lines say who they are: which of a batch are there already, and which is the last.
//!
//! An exporter that was killed or stopped leaves lines that it had written and not counted: those of the traces that were over together, however large they
//! are. So that they are not there twice, the last 64 MiB are looked at when a file is opened, and of those the last 65,536 lines. They may lie in several
//! files, where one was full. What is before these is written once more.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Seek as _, SeekFrom};

use zstd::stream::read::Decoder;

use super::rotated::{Family, Form};

/// How much is looked at, in bytes.
const LEN_MAX: u64 = 64 * 1024 * 1024;
/// Of how many lines it is known who they are.
const LINES_MAX: usize = 64 * 1024;
/// How many files are looked at.
const FILES_MAX: usize = 16;

/// Who a line is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub(crate) id: String,
    /// Whether it is a link of a chain.
    pub(crate) is_link: bool,
}

/// Tells who a line is; `None` of one that does not say.
pub(crate) type Identify = fn(&[u8]) -> Option<Identity>;

#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// Those that were there when the file was opened.
    known: HashSet<String>,
    /// The last line of all.
    last: Option<Identity>,
    /// Whether it is in the file that is written to.
    is_in_live: bool,
}

impl Behind {
    /// What is known of the last lines of a file and of those that were rotated before it.
    pub(super) fn of(live: &File, family: &Family, identify: Identify) -> io::Result<Self> {
        let mut behind = Behind::default();
        let mut len_left = behind.read(live, LEN_MAX, identify)?;
        behind.is_in_live = behind.last.is_some();
        for (stamp, form) in family.files()?.into_iter().rev().take(FILES_MAX) {
            if len_left == 0 || behind.known.len() >= LINES_MAX {
                break;
            }
            let path = family.path(&stamp, form);
            let of_file =
                |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            let file = match File::open(&path) {
                Ok(file) => file,
                // Somebody has taken it away since they were listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(of_file(error)),
            };
            len_left = match form {
                Form::Plain => behind.read(&file, len_left, identify).map_err(of_file)?,
                Form::Zstd => behind.read_compressed(&file, len_left, identify).map_err(of_file)?,
                Form::Next | Form::Compressing => len_left,
            };
        }
        Ok(behind)
    }

    /// Reads what comes before all that was read, and returns how much may still be read.
    fn read(&mut self, mut file: &File, len_max: u64, identify: Identify) -> io::Result<u64> {
        let end = file.metadata()?.len();
        let len = end.min(len_max);
        file.seek(SeekFrom::Start(end - len))?;
        // Where the file is longer, what comes first is the end of a line.
        self.read_lines(file.take(len), len == end, identify)?;
        Ok(len_max - len)
    }

    /// The same of a compressed file, which is read from its beginning.
    fn read_compressed(&mut self, file: &File, len_max: u64, identify: Identify) -> io::Result<u64> {
        if file.metadata()?.len() > LEN_MAX {
            return Ok(0);
        }
        let len = self.read_lines(Decoder::new(file)?, true, identify)?;
        Ok(len_max.saturating_sub(len))
    }

    /// Reads lines, of which the last are kept, and returns how many bytes that was.
    fn read_lines(&mut self, from: impl Read, mut is_whole: bool, identify: Identify) -> io::Result<u64> {
        let lines_max = LINES_MAX - self.known.len();
        let mut reader = BufReader::with_capacity(64 * 1024, from);
        let (mut line, mut lines, mut len) = (Vec::new(), VecDeque::new(), 0);
        // No line is longer than all that is looked at, unless it is none of ours.
        while reader.by_ref().take(LEN_MAX).read_until(b'\n', &mut line)? > 0 {
            if std::mem::replace(&mut is_whole, true) {
                lines.extend(identify(&line));
                if lines.len() > lines_max {
                    lines.pop_front();
                }
            }
            len += line.len() as u64;
            line.clear();
        }
        if self.last.is_none() {
            self.last = lines.back().cloned();
        }
        self.known.extend(lines.into_iter().map(|line| line.id));
        Ok(len)
    }

    /// Whether this line was there when the file was opened.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.known.contains(id)
    }

    /// The last line, if it is a link of a chain.
    pub(crate) fn last_link(&self) -> Option<&str> {
        self.last.as_ref().filter(|last| last.is_link).map(|last| last.id.as_str())
    }

    /// Notes that these lines were written behind the others.
    pub(super) fn wrote(&mut self, lines: &[u8], identify: Identify) {
        let last = lines.trim_ascii_end().rsplit(|&byte| byte == b'\n').next();
        self.last = last.and_then(identify).or(self.last.take());
        self.is_in_live = true;
    }

    /// Goes on from what was known of a file in whose place this one is now, unless there are lines in this one.
    pub(super) fn go_on_from(&mut self, before: Behind) {
        if !self.is_in_live {
            self.last = before.last.or(self.last.take());
        }
        let room = LINES_MAX.saturating_sub(self.known.len());
        self.known.extend(before.known.into_iter().take(room));
    }
}
