use std::fs;
use std::path::PathBuf;

use super::*;
use crate::sink::file::{Compression, FileOptions, FileSink};
use crate::sink::tests::{Spans, span};
use crate::sink::{Outcome, Sink as _};
use crate::spanforge::{Event, SigningKey};

const KEY: &str = "secret";

struct Fixture {
    dir: tempfile::TempDir,
    options: FileOptions,
    is_signed: bool,
}

impl Fixture {
    fn new(is_signed: bool) -> Self {
        Fixture { dir: tempfile::tempdir().unwrap(), options: FileOptions::default(), is_signed }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("events.jsonl")
    }

    fn open(&self) -> FileSink {
        let mut options = SpanForgeOptions::default();
        options.signing_key = self.is_signed.then(|| SigningKey::new(KEY).unwrap());
        FileSink::of_lines("file".to_owned(), &self.path(), &self.options, EventLines::new(&options)).unwrap()
    }

    /// All lines, of rotated files too, in the order in which they were written.
    fn lines(&self) -> Vec<String> {
        let mut files: Vec<_> =
            fs::read_dir(self.dir.path()).unwrap().map(|file| file.unwrap().path()).collect();
        // The live one has the shortest name, and is the last.
        files.sort();
        files.rotate_left(1);
        let text = |path: &PathBuf| match path.extension().is_some_and(|extension| extension == "zst") {
            true => String::from_utf8(zstd::decode_all(fs::File::open(path).unwrap()).unwrap()).unwrap(),
            false => fs::read_to_string(path).unwrap(),
        };
        files.iter().flat_map(|path| text(path).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

/// The spans with these numbers.
fn spans(numbers: std::ops::Range<u8>) -> Spans {
    let mut spans = Spans::new(0);
    spans.spans = numbers.map(|number| span(number + 1)).collect();
    spans
}

fn deliver(sink: &mut FileSink, spans: &Spans) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(sink.deliver(&spans.batch())), Outcome::DELIVERED);
}

/// Whether these are so many events, each signed and linked to the one before, and none there twice.
#[track_caller]
fn assert_chain(lines: &[String], count: usize) {
    let key = SigningKey::new(KEY).unwrap();
    let mut before = None;
    for line in lines {
        let event = Event::from_json(line).unwrap();
        assert!(key.is_signed(&event), "{line}");
        assert_eq!(event.prev_id, before);
        before = Some(event.event_id);
    }
    let mut ids: Vec<_> = lines.iter().map(|line| identify(line.as_bytes()).unwrap().id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((lines.len(), ids.len()), (count, count));
}

#[test]
fn of_a_batch_that_was_cut_whole_events_stay_and_the_others_follow_as_they_were() {
    for is_signed in [false, true] {
        let fixture = Fixture::new(is_signed);
        let path = fixture.path();
        deliver(&mut fixture.open(), &spans(0..3));
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.iter().filter(|&&byte| byte == b'\n').count(), 3);
        // Everywhere about where lines end and begin, and here and there within them.
        let is_at_an_end =
            |cut: usize| whole[cut.saturating_sub(14)..whole.len().min(cut + 2)].contains(&b'\n');
        for cut in (0..=whole.len()).filter(|&cut| cut < 14 || is_at_an_end(cut) || cut.is_multiple_of(61)) {
            for zeros in [0, 100] {
                if cut == 0 && zeros > 0 {
                    // Somebody else's file.
                    continue;
                }
                let mut torn = whole[..cut].to_vec();
                torn.resize(cut + zeros, 0);
                fs::write(&path, &torn).unwrap();
                deliver(&mut fixture.open(), &spans(0..3));
                assert!(fs::read(&path).unwrap() == whole, "cut at {cut}, {zeros} zeros");
            }
        }
    }
}

#[test]
fn all_batches_are_one_chain_also_after_a_restart_and_what_comes_again_changes_nothing() {
    let fixture = Fixture::new(true);
    let mut sink = fixture.open();
    deliver(&mut sink, &spans(0..3));
    deliver(&mut sink, &spans(3..4));
    // Of another spool, which writes to the same file.
    deliver(&mut sink.clone(), &spans(4..9));
    drop(sink);
    let before = fixture.lines();
    assert_chain(&before, 9);
    let mut sink = fixture.open();
    deliver(&mut sink, &spans(3..4));
    assert_eq!(fixture.lines(), before);
    // Some are new, and some are not.
    deliver(&mut sink, &spans(7..12));
    assert_chain(&fixture.lines(), 12);
}

#[test]
fn a_chain_goes_on_in_the_next_file_compressed_or_not_and_across_restarts() {
    for compression in [Compression::None, Compression::Zstd] {
        let mut fixture = Fixture::new(true);
        fixture.options = FileOptions { rotate_bytes: Some(2_000), compression, ..FileOptions::default() };
        for number in 0..30 {
            deliver(&mut fixture.open(), &spans(number..number + 1));
        }
        assert!(fs::read_dir(fixture.dir.path()).unwrap().count() > 3);
        assert_chain(&fixture.lines(), 30);
        // Killed when it had rotated, and before there was a line.
        fs::write(fixture.path(), "").unwrap();
        let before = fixture.lines();
        let mut sink = fixture.open();
        deliver(&mut sink, &spans(0..1));
        assert_eq!(fixture.lines(), before, "it is in a rotated file");
        deliver(&mut sink, &spans(30..31));
        assert_chain(&fixture.lines(), before.len() + 1);
    }
}

#[test]
fn a_chain_goes_on_where_somebody_has_moved_the_file_away_or_cut_it_short() {
    let fixture = Fixture::new(true);
    let mut sink = fixture.open();
    deliver(&mut sink, &spans(0..2));
    let moved = fixture.dir.path().join("events.jsonl.moved");
    fs::rename(fixture.path(), &moved).unwrap();
    deliver(&mut sink, &spans(2..4));
    let mut lines: Vec<_> = fs::read_to_string(&moved).unwrap().lines().map(str::to_owned).collect();
    lines.extend(fs::read_to_string(fixture.path()).unwrap().lines().map(str::to_owned));
    assert_chain(&lines, 4);
    fs::File::options().write(true).open(fixture.path()).unwrap().set_len(0).unwrap();
    deliver(&mut sink, &spans(4..5));
    lines.extend(fs::read_to_string(fixture.path()).unwrap().lines().map(str::to_owned));
    assert_chain(&lines, 5);
}

#[test]
fn a_chain_goes_on_from_a_file_that_was_moved_away_and_not_from_those_that_were_rotated_before_it() {
    let mut fixture = Fixture::new(true);
    fixture.options = FileOptions { rotate_bytes: Some(2_000), ..FileOptions::default() };
    let mut sink = fixture.open();
    let mut count = 0;
    // Until there are rotated ones, and lines in the live one.
    while count < 4 || fs::metadata(fixture.path()).unwrap().len() == 0 || fixture.lines().len() < 4 {
        deliver(&mut sink, &spans(count..count + 1));
        count += 1;
    }
    assert!(fs::read_dir(fixture.dir.path()).unwrap().count() > 1);
    let before = fixture.lines();
    let moved = fixture.dir.path().parent().unwrap().join(format!("{}.moved", fixture.dir.path().display()));
    fs::rename(fixture.path(), &moved).unwrap();
    deliver(&mut sink, &spans(count..count + 2));
    let mut lines = before;
    lines.extend(fs::read_to_string(fixture.path()).unwrap().lines().map(str::to_owned));
    fs::remove_file(&moved).unwrap();
    assert_chain(&lines, usize::from(count) + 2);
}

#[test]
fn a_chain_begins_behind_events_that_are_not_signed() {
    let mut fixture = Fixture::new(false);
    deliver(&mut fixture.open(), &spans(0..2));
    fixture.is_signed = true;
    deliver(&mut fixture.open(), &spans(1..4));
    let lines = fixture.lines();
    assert_chain(&lines[2..], 2);
    fixture.is_signed = false;
    deliver(&mut fixture.open(), &spans(4..5));
    assert_eq!(Event::from_json(&fixture.lines()[4]).unwrap().prev_id, None);
}

#[test]
fn an_event_is_known_by_its_own_identity_whatever_texts_it_has() {
    let told = |line: &str| identify(line.as_bytes()).map(|identity| (identity.id, identity.is_link));
    let own = Some(("01A".to_owned(), false));
    assert_eq!(told(r#"{"event_id":"01A","event_type":"x","payload":{"event_id":"01B"}}"#), own);
    let text = r#"{"actor_id":"\"event_id\":\"01B\",\"checksum\":\"","event_id":"01A"}"#;
    assert_eq!(told(text), own);
    assert_eq!(told(r#"{"checksum":"sha256:00","event_id":"01A"}"#), Some(("01A".to_owned(), true)));
    assert_eq!(told(r#"{"event_id":"01A","payload":{"checksum":"sha256:00"}}"#), own);
    assert_eq!((told("{}"), told("")), (None, None));
}
