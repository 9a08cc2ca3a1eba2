//! The last lines of a directory's files, by which is known what an earlier exporter had written.
//!
//! A killed exporter leaves at most the batches of one block that are written and not counted, some 1 MiB as it was recorded, which is a few megabytes of
//! lines. What a power cut takes of a cursor is up to a second of blocks. The last 64 MiB are looked at, and of those the last 65,536 lines: what
//! comes again from before is written again, as any file has it. They may lie in several files, where one was full or a day began.
//!
//! Of a line only its place is kept, under a hash. It is read again and compared before it is taken for written.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

/// How much is looked at, in bytes.
const LEN_MAX: u64 = 64 * 1024 * 1024;
/// Of how many lines the places are kept.
const LINES_MAX: usize = 64 * 1024;
/// How many files are looked at.
const FILES_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct LastLines {
    files: Vec<PathBuf>,
    /// In which file a line with this hash is, and where it begins.
    places: HashMap<u64, (usize, u64)>,
}

impl LastLines {
    /// The last lines of these files, the latest first.
    pub(super) fn of(files: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let mut last = LastLines::default();
        let mut len_left = LEN_MAX;
        for path in files.into_iter().take(FILES_MAX) {
            let lines_left = LINES_MAX - last.places.len();
            if len_left == 0 || lines_left == 0 {
                break;
            }
            // Another is somebody else's; to open a pipe is to wait for its reader.
            if !fs::metadata(&path)?.is_file() {
                continue;
            }
            let (lines, len) = last_lines(&File::open(&path)?, len_left)?;
            len_left -= len;
            for (hash, at) in lines.into_iter().rev().take(lines_left) {
                if let Entry::Vacant(place) = last.places.entry(hash) {
                    place.insert((last.files.len(), at));
                }
            }
            last.files.push(path);
        }
        Ok(last)
    }

    /// Whether `line` is one of them. Of a file that is there no more, none is.
    pub(super) fn contains(&self, line: &[u8]) -> bool {
        let Some((file, at)) = self.places.get(&hash(line)) else { return false };
        let mut there = vec![0; line.len()];
        // What cannot be read is written again.
        let read = File::open(&self.files[*file]).and_then(|file| file.read_exact_at(&mut there, *at));
        read.is_ok_and(|()| there == line)
    }
}

/// The hashes and places of the last lines that begin in the last `len_max` bytes of a file, and how many bytes that was.
fn last_lines(mut file: &File, len_max: u64) -> io::Result<(VecDeque<(u64, u64)>, u64)> {
    let end = file.metadata()?.len();
    let len = end.min(len_max);
    let mut at = end - len;
    file.seek(SeekFrom::Start(at))?;
    let mut reader = BufReader::with_capacity(64 * 1024, file.take(len));
    let (mut line, mut lines) = (Vec::new(), VecDeque::new());
    // Where the file is longer, what comes first is the end of a line.
    let mut is_whole = at == 0;
    while reader.read_until(b'\n', &mut line)? > 0 {
        if std::mem::replace(&mut is_whole, true) {
            lines.push_back((hash(&line), at));
            if lines.len() > LINES_MAX {
                lines.pop_front();
            }
        }
        at += line.len() as u64;
        line.clear();
    }
    Ok((lines, len))
}

fn hash(line: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    hasher.finish()
}
