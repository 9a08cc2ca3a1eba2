//! Dead letters on a disk that fails, fills up, or forgets.

#![cfg(feature = "trace")]

mod storage;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use spanring::TraceId;
use spanring_spool::{
    DeadLetter, DeadLetters, DeadTrace, Error, LETTERS_BYTES_MAX, LETTERS_MAX, LetterName, Position,
    RecorderId, Resource, SpanData, SpoolDir,
};
use storage::{EIO, ENOSPC, FaultyStorage, Kind, Unsynced};

/// A spool that nobody records in.
fn spool(dir: &Path) {
    fs::write(dir.join("spanring-spool"), "spanring spool 0\n").unwrap();
}

fn letter(number: u64) -> DeadLetter {
    DeadLetter {
        sink: "file:/tmp/spans.jsonl".into(),
        reason: "it is full".into(),
        set_aside_unix_ns: 1,
        recorder: RecorderId::from_parts(1, 2),
        block: Position { segment: 1, offset: 8192, next_sequence: 9 },
        number,
        resource: Resource::named("shop"),
        span: SpanData { name: format!("step {number}"), ..SpanData::default() },
        known: Vec::new(),
    }
}

fn new() -> (tempfile::TempDir, FaultyStorage, DeadLetters) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let storage = FaultyStorage::new(dir.path());
    spool(dir.path());
    let letters = SpoolDir::open_in(Arc::new(storage.clone()), dir.path()).unwrap().dead_letters();
    (dir, storage, letters)
}

fn all(letters: &DeadLetters) -> Vec<DeadLetter> {
    letters.names().unwrap().iter().map(|name| letters.read(name).unwrap().unwrap()).collect()
}

#[test]
fn letters_are_read_as_they_were_set_aside_once_and_in_order() {
    let (_dir, _, letters) = new();
    assert_eq!(letters.names().unwrap(), []);
    for number in [3, 1, 2, 3] {
        letters.add(&letter(number)).unwrap();
    }
    assert_eq!(all(&letters), [letter(1), letter(2), letter(3)]);
    let names = letters.names().unwrap();
    assert!(letters.remove(&names[1]).unwrap());
    assert!(!letters.remove(&names[1]).unwrap());
    assert_eq!(letters.read(&names[1]).unwrap(), None);
    assert_eq!(all(&letters), [letter(1), letter(3)]);
}

#[test]
fn whichever_operation_fails_a_letter_is_whole_or_none_and_can_be_set_aside_later() {
    let mut failed = HashSet::new();
    for kind in
        [Kind::CreateDir, Kind::Create, Kind::Write, Kind::Sync, Kind::Rename, Kind::SyncDir, Kind::List]
    {
        for nth in 1..=3 {
            let (_dir, storage, letters) = new();
            storage.fail(kind, nth, if kind == Kind::Create { ENOSPC } else { EIO });
            let added = letters.add(&letter(1));
            failed.extend(added.is_err().then_some(kind));
            storage.heal();
            for found in all(&letters) {
                assert_eq!(found, letter(1), "{kind:?} {nth}");
            }
            letters.add(&letter(1)).unwrap();
            letters.add(&letter(2)).unwrap();
            assert_eq!(all(&letters), [letter(1), letter(2)], "{kind:?} {nth}");
        }
    }
    assert_eq!(failed.len(), 7, "each kind is used: {failed:?}");
}

#[test]
fn what_was_set_aside_survives_a_power_cut_and_nothing_half_does() {
    for unsynced in (0..32).map(Unsynced::Seeded).chain([Unsynced::Dropped, Unsynced::Kept]) {
        let (_dir, storage, letters) = new();
        letters.add(&letter(1)).unwrap();
        // The next one is written, and its name is not synced.
        storage.fail_from(Kind::SyncDir, 1, EIO);
        letters.add(&letter(2)).unwrap_err();
        let left = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        storage.power_cut(left.path(), unsynced);
        spool(left.path());
        let found = all(&SpoolDir::open(left.path()).unwrap().dead_letters());
        assert_eq!(found.first(), Some(&letter(1)));
        assert!(found.len() == 1 || found[1..] == [letter(2)], "{found:?}");
    }
}

#[test]
fn beyond_the_limit_nothing_is_set_aside_until_there_is_room() {
    let (dir, _, letters) = new();
    letters.add(&letter(0)).unwrap();
    let taken = |number: usize| dir.path().join(format!("dead-letters/{number:x}.letter"));
    (1..LETTERS_MAX).for_each(|number| fs::write(taken(number), "").unwrap());
    let letters = SpoolDir::open(dir.path()).unwrap().dead_letters();
    let error = letters.add(&letter(1)).unwrap_err();
    assert!(matches!(error, Error::DeadLettersFull { letters: LETTERS_MAX, .. }), "{error}");
    assert!(!letters.add(&letter(0)).unwrap(), "it is one already");
    fs::remove_file(taken(1)).unwrap();
    assert!(letters.add(&letter(1)).unwrap());

    let (dir, _, letters) = new();
    letters.add(&letter(0)).unwrap();
    let large = dir.path().join("dead-letters/0.letter");
    fs::File::create(&large).unwrap().set_len(LETTERS_BYTES_MAX - 1000).unwrap();
    assert!(letters.add(&letter(1)).unwrap(), "it was counted when it was not there");
    let again = SpoolDir::open(dir.path()).unwrap().dead_letters();
    assert!(matches!(again.add(&letter(2)), Err(Error::DeadLettersFull { letters: 3, .. })));
    fs::remove_file(large).unwrap();
    assert!(again.add(&letter(2)).unwrap());
}

#[test]
fn what_a_killed_process_left_half_written_is_swept_and_is_in_no_way() {
    let (dir, _, letters) = new();
    letters.sweep().unwrap();
    letters.add(&letter(1)).unwrap();
    let [name] = letters.names().unwrap().try_into().unwrap();
    let half = |name: &str| dir.path().join(format!("dead-letters/.new-{name}"));
    fs::write(half(&name.to_string()), "spanring dead").unwrap();
    fs::write(half("somebody else's"), "").unwrap();
    letters.remove(&name).unwrap();
    assert!(letters.add(&letter(1)).unwrap());
    fs::write(half(&name.to_string()), "spanring dead").unwrap();
    letters.sweep().unwrap();
    assert!(!half(&name.to_string()).exists() && half("somebody else's").exists());
    assert_eq!(all(&letters), [letter(1)]);
}

#[test]
fn what_has_the_name_of_a_letter_and_is_none_is_not_taken_for_one() {
    let (dir, _, letters) = new();
    letters.add(&letter(1)).unwrap();
    let [name] = letters.names().unwrap().try_into().unwrap();
    let path = dir.path().join(format!("dead-letters/{name}"));
    fs::write(&path, "spanring dead letter 0 00000000\n{}").unwrap();
    assert!(matches!(letters.add(&letter(1)), Err(Error::Damaged { .. })));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(letters.add(&letter(1)), Err(Error::Io { .. })));
}

/// A trace of which the first span stands at this place.
fn dead_trace(number: u64, spans: u64) -> DeadTrace {
    let DeadLetter { sink, reason, set_aside_unix_ns, recorder, block, number, resource, .. } =
        letter(number);
    let trace_id = TraceId::from_bytes([9; 16]);
    DeadTrace { sink, reason, set_aside_unix_ns, recorder, block, number, resource, trace_id, spans }
}

fn spans(count: u64) -> Vec<SpanData> {
    (0..count).map(|number| SpanData { name: format!("span {number}"), ..SpanData::default() }).collect()
}

fn set_aside(letters: &DeadLetters, number: u64, count: u64) -> Result<bool, Error> {
    let spans = spans(count);
    match letters.begin_trace(&dead_trace(number, count), DeadTrace::len_of(&spans)?)? {
        None => Ok(false),
        Some(mut new) => {
            spans.chunks(7).try_for_each(|chunk| new.add(chunk))?;
            new.end()
        }
    }
}

fn all_traces(letters: &DeadLetters) -> Vec<(DeadTrace, Vec<SpanData>)> {
    let traces = letters.names().unwrap().into_iter().filter(LetterName::is_trace);
    let read = |name| {
        let (trace, mut spans) = letters.read_trace(&name).unwrap().unwrap();
        (trace, std::iter::from_fn(|| spans.next_span().unwrap()).collect())
    };
    traces.map(read).collect()
}

#[test]
fn a_trace_is_one_letter_and_one_of_more_spans_from_the_same_place_on_replaces_it() {
    let (dir, _, letters) = new();
    assert!(set_aside(&letters, 1, 20).unwrap());
    assert!(!set_aside(&letters, 1, 20).unwrap());
    assert!(letters.add(&letter(1)).unwrap(), "a span of the same place is another letter");
    assert_eq!(letters.names().unwrap().len(), 2);
    assert!(!set_aside(&letters, 1, 30).unwrap());
    assert_eq!(all_traces(&letters), [(dead_trace(1, 30), spans(30))]);
    assert!(!set_aside(&letters, 1, 10).unwrap());
    assert_eq!(
        all_traces(&letters),
        [(dead_trace(1, 30), spans(30))],
        "what can be read no more is not given up"
    );
    for name in letters.names().unwrap() {
        assert!(letters.remove(&name).unwrap());
        assert!(letters.read_trace(&name).unwrap().is_none());
    }
    assert_eq!(fs::read_dir(dir.path().join("dead-letters")).unwrap().count(), 0);
}

#[test]
fn whichever_operation_fails_a_trace_is_whole_or_none_and_can_be_set_aside_later() {
    let mut failed = HashSet::new();
    for kind in
        [Kind::CreateDir, Kind::Create, Kind::Write, Kind::Sync, Kind::Rename, Kind::SyncDir, Kind::List]
    {
        for nth in 1..=5 {
            let (dir, storage, letters) = new();
            storage.fail(kind, nth, if kind == Kind::Create { ENOSPC } else { EIO });
            failed.extend(set_aside(&letters, 1, 20).is_err().then_some(kind));
            storage.heal();
            for found in all_traces(&letters) {
                assert_eq!(found, (dead_trace(1, 20), spans(20)), "{kind:?} {nth}");
            }
            set_aside(&letters, 1, 20).unwrap();
            set_aside(&letters, 2, 3).unwrap();
            assert_eq!(all_traces(&letters).len(), 2, "{kind:?} {nth}");
            letters.sweep().unwrap();
            assert_eq!(fs::read_dir(dir.path().join("dead-letters")).unwrap().count(), 2);
        }
    }
    assert_eq!(failed.len(), 7, "each kind is used: {failed:?}");
}

#[test]
fn a_trace_that_was_set_aside_survives_a_power_cut_and_nothing_half_does() {
    for unsynced in (0..32).map(Unsynced::Seeded).chain([Unsynced::Dropped, Unsynced::Kept]) {
        let (_dir, storage, letters) = new();
        set_aside(&letters, 1, 200).unwrap();
        // Of the next one not all is there yet.
        let mut begun =
            letters.begin_trace(&dead_trace(2, 20), DeadTrace::len_of(&spans(20)).unwrap()).unwrap().unwrap();
        begun.add(&spans(20)[..10]).unwrap();
        let left = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        storage.power_cut(left.path(), unsynced);
        spool(left.path());
        let found = all_traces(&SpoolDir::open(left.path()).unwrap().dead_letters());
        assert_eq!(found, [(dead_trace(1, 200), spans(200))]);
    }
}

#[test]
fn a_trace_whose_spans_are_others_than_was_said_is_not_set_aside() {
    let (dir, _, letters) = new();
    let begin = |count, len| letters.begin_trace(&dead_trace(1, count), len).unwrap().unwrap();
    let len = DeadTrace::len_of(&spans(20)).unwrap();
    let mut fewer = begin(20, len);
    fewer.add(&spans(19)).unwrap();
    assert!(fewer.end().unwrap_err().to_string().ends_with("its spans are others than a moment ago"));
    assert!(begin(20, len).add(&spans(21)).is_err());
    assert!(begin(20, len - 1).add(&spans(20)).is_err(), "there is no room for the last byte");
    let mut longer = begin(20, len + 1);
    longer.add(&spans(20)).unwrap();
    longer.end().unwrap_err();
    assert_eq!(fs::read_dir(dir.path().join("dead-letters")).unwrap().count(), 0);
}

#[test]
fn a_trace_of_any_size_is_set_aside_as_long_as_there_is_any_room() {
    let (dir, _, letters) = new();
    letters.add(&letter(0)).unwrap();
    let large = dir.path().join("dead-letters/0.letter");
    fs::File::create(&large).unwrap().set_len(LETTERS_BYTES_MAX - 1000).unwrap();
    let letters = SpoolDir::open(dir.path()).unwrap().dead_letters();
    assert!(set_aside(&letters, 1, 1000).unwrap());
    assert!(letters.held().unwrap().1 > LETTERS_BYTES_MAX);
    assert!(matches!(set_aside(&letters, 2, 2), Err(Error::DeadLettersFull { letters: 3, .. })));
    assert!(matches!(letters.add(&letter(3)), Err(Error::DeadLettersFull { letters: 3, .. })));
    assert!(!set_aside(&letters, 1, 1000).unwrap(), "it is one already");
    fs::remove_file(large).unwrap();
    assert!(set_aside(&letters, 2, 2).unwrap());
}
