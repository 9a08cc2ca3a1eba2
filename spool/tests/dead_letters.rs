//! Dead letters on a disk that fails, fills up, or forgets.

#![cfg(feature = "trace")]

mod storage;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use spanring_spool::{
    DeadLetter, DeadLetters, Error, LETTERS_BYTES_MAX, LETTERS_MAX, Position, RecorderId, Resource, SpanData,
    SpoolDir,
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
