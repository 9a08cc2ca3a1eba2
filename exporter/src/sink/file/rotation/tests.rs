mod deaths;
mod others;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::otlp::Names;
use crate::sink::file::{FileSink, Lines, OTLP_LINES};
use crate::sink::tests::Spans;
use crate::sink::{Outcome, Sink as _};

/// A directory with a live file.
struct Place {
    dir: TempDir,
    options: FileOptions,
}

/// The line of so many spans.
fn line(count: u8) -> Vec<u8> {
    Spans::new(count).batch().json_line(Names::default())
}

fn lines(counts: impl IntoIterator<Item = u8>) -> Vec<u8> {
    counts.into_iter().flat_map(line).collect()
}

impl Place {
    /// With files of up to four spans or so.
    fn new(compression: Compression) -> Self {
        let rotate_bytes = Some(line(4).len() as u64);
        Place {
            dir: tempfile::tempdir().unwrap(),
            options: FileOptions { rotate_bytes, compression, keep: None },
        }
    }

    fn live(&self) -> PathBuf {
        self.dir.path().join("spans.jsonl")
    }

    fn path(&self, rest: &str) -> PathBuf {
        self.dir.path().join(format!("spans.jsonl.{rest}"))
    }

    fn open(&self) -> FileSink {
        FileSink::open_with("file".to_owned(), &self.live(), &self.options).unwrap()
    }

    /// Delivers a line of so many spans, and returns what the sink had to say.
    #[track_caller]
    fn deliver(&self, sink: &mut FileSink, count: u8) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        match runtime.block_on(sink.deliver(&Spans::new(count).batch())) {
            Outcome::Delivered { rejected: 0, message } => message,
            outcome => panic!("{outcome:?}"),
        }
    }

    #[track_caller]
    fn deliver_all(&self, sink: &mut FileSink, counts: &[u8]) {
        for &count in counts {
            assert_eq!(self.deliver(sink, count), "");
        }
    }

    /// The names of all that is there beside the live file, in their order.
    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name: OsString| name.into_string().unwrap()).collect();
        names.retain(|name| name != "spans.jsonl");
        names.sort();
        names
    }

    /// What is in each rotated file, in the order of the names, and then in the live one.
    fn files(&self) -> Vec<Vec<u8>> {
        let names = self.names().into_iter().chain(["spans.jsonl".to_owned()]);
        let read = |name: String| {
            let bytes = fs::read(self.dir.path().join(&name)).unwrap();
            if name.ends_with(".zst") { zstd::decode_all(bytes.as_slice()).unwrap() } else { bytes }
        };
        names.map(read).collect()
    }
}

#[test]
fn a_line_that_would_make_a_file_too_long_begins_another_and_names_sort_as_lines_came() {
    for compression in [Compression::None, Compression::Zstd] {
        let place = Place::new(compression);
        let mut sink = place.open();
        for count in [1, 1, 4, 2, 1, 3, 9, 1] {
            assert_eq!(place.deliver(&mut sink, count), "");
        }
        // The longest line is longer than a file may be, and alone in one.
        let expected = [&[1, 1][..], &[4], &[2, 1], &[3], &[9], &[1]].map(|counts| lines(counts.to_vec()));
        assert_eq!(place.files(), expected, "{:?}", place.names());
        let is_compressed = |name: &String| name.ends_with(".zst");
        assert_eq!(place.names().iter().all(is_compressed), compression == Compression::Zstd);
        assert_eq!(place.names().iter().any(is_compressed), compression == Compression::Zstd);
    }
}

#[test]
fn a_file_exactly_as_long_as_it_may_be_is_not_rotated() {
    let mut place = Place::new(Compression::None);
    place.options.rotate_bytes = Some(line(1).len() as u64 * 2);
    let mut sink = place.open();
    (0..3).for_each(|_| assert_eq!(place.deliver(&mut sink, 1), ""));
    assert_eq!(place.files(), [lines([1, 1]), line(1)]);
}

#[test]
fn without_options_nothing_is_rotated_and_what_was_stays() {
    let mut place = Place::new(Compression::None);
    let mut sink = place.open();
    place.deliver_all(&mut sink, &[4, 4]);
    drop(sink);
    place.options = FileOptions::default();
    let mut sink = place.open();
    place.deliver_all(&mut sink, &[4, 4]);
    assert_eq!(place.files(), [line(4), lines([4, 4, 4])]);
}

#[test]
fn the_oldest_beyond_those_to_keep_are_removed_and_no_others() {
    for compression in [Compression::None, Compression::Zstd] {
        for keep in 1..4 {
            let mut place = Place::new(compression);
            place.options.keep = NonZeroUsize::new(keep);
            let mut sink = place.open();
            let counts = [4, 5, 6, 7, 8];
            for (done, count) in counts.into_iter().enumerate() {
                place.deliver(&mut sink, count);
                let kept = &counts[done.saturating_sub(keep)..=done];
                assert_eq!(place.files().concat(), lines(kept.to_vec()), "{keep} kept");
            }
        }
    }
}

#[test]
fn what_the_options_say_goes_for_what_was_rotated_before_too_from_the_first_batch_on() {
    let mut place = Place::new(Compression::None);
    let mut sink = place.open();
    place.deliver_all(&mut sink, &[4, 5, 6, 7]);
    drop(sink);
    place.options.keep = NonZeroUsize::new(1);
    place.options.compression = Compression::Zstd;
    let mut sink = place.open();
    assert_eq!(place.names().len(), 3);
    place.deliver(&mut sink, 1);
    assert_eq!(place.files().concat(), lines([7, 1]));
    assert!(place.names()[0].ends_with(".zst"), "{:?}", place.names());
}
