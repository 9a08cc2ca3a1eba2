//! What a sink has noted is known again: after every kill, every failing write, every power cut; and where it is damaged, all else is.

mod storage;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spanring_spool::{Error, NOTES_MAX, Note, Notebook};
use storage::{EIO, ENOSPC, FaultyStorage, Kind, Unsynced};

const SINK: &str = "prefactor+https://example.com/";

fn note(number: u64) -> Note {
    // As long as the longest that a sink of ours writes, and a little shorter, in turn.
    let value = vec![b'v'; usize::try_from(40 + number % 9 * 100).unwrap()];
    Note { key: number.to_le_bytes().to_vec(), value }
}

fn notes(numbers: std::ops::Range<u64>) -> Vec<Note> {
    numbers.map(note).collect()
}

fn number(note: &Note) -> u64 {
    u64::from_le_bytes(note.key.as_slice().try_into().unwrap())
}

/// What stands in the notebook; nothing is damaged.
fn read(dir: &Path) -> Vec<Note> {
    let (_, noted) = Notebook::open(dir, SINK).unwrap();
    assert_eq!(format!("{:?}", noted.damage), "[]");
    noted.notes
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

#[test]
fn notes_are_known_again_in_their_order_by_the_sink_that_wrote_them() {
    let dir = memory();
    assert_eq!(read(dir.path()), []);
    for round in 0..5 {
        let (mut notebook, noted) = Notebook::open(dir.path(), SINK).unwrap();
        assert_eq!(notebook.len(), noted.notes.len());
        assert_eq!(noted.notes, notes(0..100 * round));
        notebook.append(&notes(100 * round..100 * round + 60)).unwrap();
        notebook.append(&notes(100 * round + 60..100 * (round + 1))).unwrap();
        assert_eq!(Notebook::peek(dir.path(), SINK).unwrap().notes, notes(0..100 * (round + 1)));
        notebook.sync().unwrap();
    }
    let before = files(dir.path());
    assert_eq!(Notebook::peek(dir.path(), "another").unwrap().notes, []);
    assert_eq!(files(dir.path()), before, "nothing is created");
    let (other, noted) = Notebook::open(dir.path(), "another").unwrap();
    assert!(noted.notes.is_empty() && other.is_empty());
}

#[test]
fn what_is_too_long_or_has_no_key_is_no_note_and_nothing_of_it_is_written() {
    let dir = memory();
    let (mut notebook, _) = Notebook::open(dir.path(), SINK).unwrap();
    for (key, value) in [(0, 0), (513, 0), (1, 1025)] {
        let wrong = Note { key: vec![1; key], value: vec![1; value] };
        assert!(matches!(
            notebook.append(&[note(1), wrong]),
            Err(Error::TooLarge { .. } | Error::NoForm { .. })
        ));
    }
    let largest = Note { key: vec![1; 512], value: vec![1; 1024] };
    notebook.append(std::slice::from_ref(&largest)).unwrap();
    assert_eq!(read(dir.path()), [largest]);
}

#[test]
fn the_last_so_many_are_known_and_the_files_of_the_others_go() {
    let dir = memory();
    let (mut notebook, _) = Notebook::open(dir.path(), SINK).unwrap();
    let small = |number: u64| Note { key: number.to_le_bytes().to_vec(), value: vec![0; 70] };
    let count = 3 * NOTES_MAX as u64;
    for first in (0..count).step_by(1_000) {
        notebook.append(&(first..first + 1_000).map(small).collect::<Vec<_>>()).unwrap();
    }
    assert!((NOTES_MAX..NOTES_MAX + 100_000).contains(&notebook.len()), "{}", notebook.len());
    let taken: u64 = files(dir.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(taken <= 24 << 20, "{taken}");
    drop(notebook);
    let read = read(dir.path());
    assert_eq!((read.len(), number(&read[0])), (NOTES_MAX, count - NOTES_MAX as u64));
    assert_eq!(number(read.last().unwrap()), count - 1);
}

/// Writes notes as an exporter does: what fails is tried again, and a cursor, which here is a number, is stored behind each sync. Says how far that is.
fn write(storage: &FaultyStorage, dir: &Path, count: u64) -> u64 {
    let mut opened = None;
    for _ in 0..4 {
        if let Ok((notebook, _)) = Notebook::open_in(Arc::new(storage.clone()), dir, SINK) {
            opened = Some(notebook);
            break;
        }
    }
    let mut notebook = opened.expect("what fails once is there the next time");
    let mut passed = 0;
    for first in (0..count).step_by(10) {
        let more = notes(first..first + 10);
        let mut tries = 0;
        while notebook.append(&more).and_then(|()| notebook.sync()).is_err() {
            tries += 1;
            assert!(tries < 4);
        }
        passed = first + 10;
    }
    passed
}

/// Which notes are known in a directory, whatever is twice.
fn known(dir: &Path) -> BTreeSet<u64> {
    read(dir).iter().map(number).collect()
}

const COUNT: u64 = 120;

#[test]
fn whatever_fails_once_no_note_is_lost_that_a_cursor_relies_on_also_where_the_power_goes() {
    let dir = memory();
    let storage = FaultyStorage::new(dir.path());
    write(&storage, dir.path(), COUNT);
    assert!(files(dir.path()).len() > 1, "it turns to another file");
    let kinds = [Kind::List, Kind::Create, Kind::Open, Kind::Write, Kind::Sync, Kind::SyncDir];
    for kind in kinds {
        let times = storage.count(kind);
        assert!(times > 0, "{kind:?}");
        for nth in 1..=times {
            for errno in [EIO, ENOSPC] {
                let dir = memory();
                let storage = FaultyStorage::new(dir.path());
                storage.fail(kind, nth, errno);
                let passed = write(&storage, dir.path(), COUNT);
                // To create a file is not possible only where there is no space, and then what is oldest is forgotten.
                let is_forgetful = kind == Kind::Create && nth > 1;
                let expected: BTreeSet<_> = (0..passed).collect();
                for unsynced in [Unsynced::Dropped, Unsynced::Kept, Unsynced::Seeded(nth)] {
                    let after = memory();
                    storage.power_cut(after.path(), unsynced);
                    let known = known(after.path());
                    assert!(is_forgetful || known == expected, "{kind:?} {nth} {unsynced:?}: {known:?}");
                    assert!(known.is_subset(&expected) && known.contains(&(passed - 1)));
                }
                assert!(known(dir.path()).contains(&(passed - 1)));
            }
        }
    }
}

#[test]
fn whenever_the_power_goes_all_that_was_synced_is_known_and_more_can_be_written() {
    for count in (10..=COUNT).step_by(10) {
        let dir = memory();
        let storage = FaultyStorage::new(dir.path());
        write(&storage, dir.path(), count);
        // More, of which nobody has waited for any.
        let (mut notebook, _) = Notebook::open_in(Arc::new(storage.clone()), dir.path(), SINK).unwrap();
        notebook.append(&notes(1_000..1_040)).unwrap();
        for seed in 0..20 {
            let after = memory();
            storage.power_cut(after.path(), Unsynced::Seeded(seed));
            let (mut notebook, noted) = Notebook::open(after.path(), SINK).unwrap();
            let known: BTreeSet<_> = noted.notes.iter().map(number).collect();
            assert!((0..count).all(|number| known.contains(&number)), "{count} {seed}: {known:?}");
            assert!(known.iter().all(|number| *number < count || (1_000..1_040).contains(number)));
            notebook.append(&notes(2_000..2_050)).unwrap();
            notebook.sync().unwrap();
            let (_, noted) = Notebook::open(after.path(), SINK).unwrap();
            let again: BTreeSet<_> = noted.notes.iter().map(number).collect();
            assert!(again.is_superset(&known) && again.contains(&2_049));
        }
    }
}

#[test]
fn a_write_that_is_torn_anywhere_costs_no_note_of_before_and_is_done_again() {
    for len in (0..600).step_by(7) {
        let dir = memory();
        let storage = FaultyStorage::new(dir.path());
        write(&storage, dir.path(), 20);
        let (mut notebook, _) = Notebook::open_in(Arc::new(storage.clone()), dir.path(), SINK).unwrap();
        storage.tear(1, len, EIO);
        assert!(notebook.append(&notes(20..30)).is_err());
        // As an exporter that is killed here, and as one that goes on.
        let copy = memory();
        storage.power_cut(copy.path(), Unsynced::Kept);
        let known = known(copy.path());
        assert!((0..20).all(|number| known.contains(&number)), "torn at {len}");
        notebook.append(&notes(20..30)).unwrap();
        notebook.sync().unwrap();
        drop(notebook);
        assert_eq!(read(dir.path()), notes(0..30), "torn at {len}");
    }
}

#[test]
fn what_an_earlier_run_has_failed_to_sync_is_written_again_before_anybody_relies_on_it() {
    let dir = memory();
    let storage = FaultyStorage::new(dir.path());
    let open = || Notebook::open_in(Arc::new(storage.clone()), dir.path(), SINK).unwrap();
    let (mut notebook, _) = open();
    notebook.append(&notes(0..10)).unwrap();
    storage.fail(Kind::Sync, 1, EIO);
    assert!(notebook.sync().is_err());
    drop(notebook);
    let (mut notebook, noted) = open();
    assert_eq!(noted.notes, notes(0..10), "the kernel has them, and thinks that the disk has too");
    notebook.sync().unwrap();
    let after = memory();
    storage.power_cut(after.path(), Unsynced::Dropped);
    assert_eq!(read(after.path()), notes(0..10));
}

#[test]
fn what_was_cut_off_at_the_end_of_a_file_is_no_damage_once_there_is_another_file() {
    let dir = memory();
    let storage = FaultyStorage::new(dir.path());
    let (mut notebook, _) = Notebook::open_in(Arc::new(storage.clone()), dir.path(), SINK).unwrap();
    let large = |number: u8| Note { key: vec![number; 8], value: vec![b'v'; 1_000] };
    let mut all: Vec<_> = (0..15).map(large).collect();
    notebook.append(&all).unwrap();
    storage.tear(1, 30, EIO);
    assert!(notebook.append(&[note(0)]).is_err());
    drop(notebook);
    let (mut notebook, _) = Notebook::open(dir.path(), SINK).unwrap();
    all.push(large(15));
    notebook.append(&all[15..]).unwrap();
    assert_eq!(files(dir.path()).len(), 2, "it had no room for another large one");
    assert_eq!(read(dir.path()), all);
}

#[test]
fn what_is_only_looked_at_stays_as_it_is_whatever_was_cut_off_in_it() {
    let dir = memory();
    let (mut notebook, _) = Notebook::open(dir.path(), SINK).unwrap();
    notebook.append(&notes(0..10)).unwrap();
    notebook.sync().unwrap();
    let [file] = &files(dir.path())[..] else { panic!("it has one file") };
    let mut bytes = fs::read(file).unwrap();
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[end] = 0;
    fs::write(file, &bytes).unwrap();
    assert_eq!(Notebook::peek(dir.path(), SINK).unwrap().notes, notes(0..9));
    assert_eq!(fs::read(file).unwrap(), bytes);
    assert_eq!(read(dir.path()), notes(0..9));
    assert_ne!(fs::read(file).unwrap(), bytes, "whoever opens it removes what was cut off");
}

#[test]
fn where_there_is_no_space_for_more_the_oldest_is_forgotten_and_nothing_waits() {
    let dir = memory();
    let storage = FaultyStorage::new(dir.path());
    let (mut notebook, _) = Notebook::open_in(Arc::new(storage.clone()), dir.path(), SINK).unwrap();
    notebook.append(&notes(0..200)).unwrap();
    let before = files(dir.path()).len();
    storage.fail_from(Kind::Create, 1, ENOSPC);
    for first in (200..2_000).step_by(10) {
        notebook.append(&notes(first..first + 10)).unwrap();
        notebook.sync().unwrap();
        assert_eq!(files(dir.path()).len(), before);
        let after = memory();
        if first % 100 == 0 {
            storage.power_cut(after.path(), Unsynced::Dropped);
            let known = known(after.path());
            let all = || first + 10 - known.len() as u64..first + 10;
            assert!(!known.is_empty() && known.iter().copied().eq(all()), "the last ones: {known:?}");
        }
    }
    // None at all, from the beginning on.
    let dir = memory();
    let storage = FaultyStorage::new(dir.path());
    storage.fail_from(Kind::Create, 1, ENOSPC);
    let (mut notebook, _) = Notebook::open_in(Arc::new(storage.clone()), dir.path(), SINK).unwrap();
    notebook.append(&notes(0..10)).unwrap();
    notebook.sync().unwrap();
    storage.heal();
    notebook.append(&notes(10..20)).unwrap();
    notebook.sync().unwrap();
    assert_eq!(read(dir.path()), notes(10..20));
}

#[test]
fn where_it_is_cut_off_while_it_uses_a_file_again_the_others_are_whole() {
    let turn = |storage: &FaultyStorage, dir: &Path| {
        let (mut notebook, _) = Notebook::open_in(Arc::new(storage.clone()), dir, SINK).unwrap();
        notebook.append(&notes(0..200)).unwrap();
        notebook.sync().unwrap();
        storage.fail_from(Kind::Create, 1, ENOSPC);
        notebook
    };
    let dir = memory();
    let storage = FaultyStorage::new(dir.path());
    let mut notebook = turn(&storage, dir.path());
    let (before, first) = (storage.count(Kind::Write), storage.count(Kind::Rename));
    notebook.append(&notes(200..260)).unwrap();
    assert_eq!(storage.count(Kind::Rename), first + 1);
    for nth in 1..=storage.count(Kind::Write) - before {
        let dir = memory();
        let storage = FaultyStorage::new(dir.path());
        let mut notebook = turn(&storage, dir.path());
        storage.tear(nth, 100, EIO);
        assert!(notebook.append(&notes(200..260)).is_err());
        for unsynced in [Unsynced::Kept, Unsynced::Dropped, Unsynced::Seeded(nth)] {
            let after = memory();
            storage.power_cut(after.path(), unsynced);
            let known = known(after.path());
            assert!(known.contains(&199), "{nth} {unsynced:?}: {known:?}");
        }
        notebook.append(&notes(200..260)).unwrap();
        notebook.sync().unwrap();
        assert!(known(dir.path()).contains(&259));
    }
}

#[test]
fn damage_is_told_with_its_place_and_costs_what_it_hit() {
    let dir = memory();
    let storage = FaultyStorage::new(dir.path());
    write(&storage, dir.path(), COUNT);
    let files = files(dir.path());
    for path in &files {
        let bytes = fs::read(path).unwrap();
        for at in (0..bytes.len()).step_by(97) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            fs::write(path, &damaged).unwrap();
            let copy = memory();
            for file in &files {
                fs::copy(file, copy.path().join(file.file_name().unwrap())).unwrap();
            }
            let (mut notebook, noted) = Notebook::open(copy.path(), SINK).unwrap();
            assert!(noted.notes.len() as u64 >= COUNT - 1, "{at} of {}", path.display());
            let is_last = path == files.last().unwrap();
            for damage in &noted.damage {
                let Error::Damaged { path: told, offset, .. } = damage else { panic!("{damage:?}") };
                assert_eq!(told.file_name(), path.file_name());
                assert!(*offset <= at as u64);
            }
            assert!(is_last || noted.damage.len() == 1, "{at} of {}: {:?}", path.display(), noted.damage);
            notebook.append(&notes(5_000..5_001)).unwrap();
            let (_, noted) = Notebook::open(copy.path(), SINK).unwrap();
            assert_eq!(noted.notes.last(), Some(&note(5_000)));
        }
        fs::write(path, &bytes).unwrap();
    }
}

#[test]
fn what_a_later_version_wrote_is_left_alone_and_so_is_what_is_of_another_sink() {
    let dir = memory();
    let (mut notebook, _) = Notebook::open(dir.path(), SINK).unwrap();
    notebook.append(&notes(0..3)).unwrap();
    drop(notebook);
    let path = files(dir.path()).remove(0);
    let bytes = fs::read(&path).unwrap();
    for (at, value, is_later) in [(8, 1, true), (40, b'x', false)] {
        let mut other = bytes.clone();
        other[at] = value;
        let crc = crc32c::crc32c(&[&other[..12], &other[16..512]].concat());
        other[12..16].copy_from_slice(&crc.to_le_bytes());
        fs::write(&path, &other).unwrap();
        match Notebook::open(dir.path(), SINK) {
            Err(Error::LaterVersion { .. }) => assert!(is_later),
            Err(Error::Damaged { offset: 0, .. }) => assert!(!is_later),
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read(&path).unwrap(), other);
    }
}
