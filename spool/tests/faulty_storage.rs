//! The storage that other tests trust to fail, stall and forget: that it does.

mod storage;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use spanring_spool::{CURSOR_LEN, Cursor, CursorState, Position, Storage, StorageFile};
use storage::{EDQUOT, EFBIG, EIO, ENOSPC, Event, FaultyStorage, Kind, Unsynced};

fn new() -> (tempfile::TempDir, FaultyStorage) {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let storage = FaultyStorage::new(dir.path());
    (dir, storage)
}

/// What a power cut leaves, in a directory of its own.
fn cut(storage: &FaultyStorage, unsynced: Unsynced) -> tempfile::TempDir {
    let into = tempfile::tempdir_in("/dev/shm").unwrap();
    storage.power_cut(into.path(), unsynced);
    into
}

fn read(dir: &tempfile::TempDir, name: &str) -> Option<Vec<u8>> {
    fs::read(dir.path().join(name)).ok()
}

/// A file with its name and two pages of ones synced.
fn synced_file(dir: &Path, storage: &FaultyStorage) -> Box<dyn StorageFile> {
    let mut file = storage.create(&dir.join("a"), 8_192).unwrap();
    file.write(0, &[1; 8_192]).unwrap();
    file.syncer().sync().unwrap();
    storage.sync_dir(dir).unwrap();
    file
}

#[test]
fn the_nth_operation_fails_and_no_other() {
    let (dir, storage) = new();
    let mut file = storage.create(&dir.path().join("a"), 100).unwrap();
    storage.fail(Kind::Write, 2, ENOSPC);
    let results = [0, 1, 2].map(|at| file.write(at, b"x").map_err(|error| error.raw_os_error()));
    assert_eq!(results, [Ok(()), Err(Some(ENOSPC)), Ok(())]);
    storage.fail_from(Kind::Commit, 2, EIO);
    let results = [4, 8, 12].map(|at| file.commit(at, 7).map_err(|error| error.raw_os_error()));
    assert_eq!(results, [Ok(()), Err(Some(EIO)), Err(Some(EIO))]);
    storage.heal();
    file.commit(16, 7).unwrap();
    assert_eq!(fs::read(dir.path().join("a")).unwrap()[..18], *b"x\0x\0\x07\0\0\0\0\0\0\0\0\0\0\0\x07\0");
    assert_eq!((storage.count(Kind::Write), storage.count(Kind::Commit)), (3, 4));
}

#[test]
fn every_kind_of_operation_can_fail_and_then_does_nothing() {
    use Kind::*;
    let path = |dir: &tempfile::TempDir, name: &str| dir.path().join(name);
    for kind in [
        CreateDir,
        Create,
        CreateShared,
        Open,
        SyncDir,
        Rename,
        Unlink,
        RemoveDir,
        List,
        Lock,
        Write,
        Commit,
        Truncate,
        Sync,
    ] {
        let (dir, storage) = new();
        let mut file = synced_file(dir.path(), &storage);
        storage.create_dir(&path(&dir, "d")).unwrap();
        let before = cut(&storage, Unsynced::Kept);
        storage.fail_from(kind, 1, EIO);
        let error = match kind {
            CreateDir => storage.create_dir(&path(&dir, "e")).err(),
            Create => storage.create(&path(&dir, "b"), 1).err(),
            CreateShared => storage.create_shared(&path(&dir, "b"), 1).err(),
            Open => storage.open(&path(&dir, "a"), 1).err(),
            SyncDir => storage.sync_dir(dir.path()).err(),
            Rename => storage.rename(&path(&dir, "a"), &path(&dir, "b")).err(),
            Unlink => storage.unlink(&path(&dir, "a")).err(),
            RemoveDir => storage.remove_dir(&path(&dir, "d")).err(),
            List => storage.list(dir.path()).err(),
            Lock => storage.lock(&path(&dir, "a")).err(),
            Write => file.write(0, b"x").err(),
            Commit => file.commit(0, 9).err(),
            Truncate => file.truncate(5).err(),
            Sync => file.syncer().sync().err(),
        };
        assert_eq!(error.unwrap().raw_os_error(), Some(EIO), "{kind:?}");
        for place in [&dir, &cut(&storage, Unsynced::Kept)] {
            assert_eq!(read(place, "a"), read(&before, "a"), "{kind:?}");
            assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2, "{kind:?}");
        }
    }
}

#[test]
fn a_torn_write_does_its_first_bytes() {
    let (dir, storage) = new();
    let mut file = storage.create(&dir.path().join("a"), 8).unwrap();
    storage.tear(1, 3, EIO);
    assert!(file.write(0, b"12345678").is_err());
    assert_eq!(read(&dir, "a").unwrap(), b"123\0\0\0\0\0");
    assert_eq!(read(&cut(&storage, Unsynced::Kept), "a").unwrap(), b"123\0\0\0\0\0");
}

#[test]
fn all_that_happens_is_noted_in_its_order() {
    let (dir, storage) = new();
    let path = dir.path().join("a");
    let mut file = storage.create(&path, 100).unwrap();
    file.write(8, b"abcd").unwrap();
    file.commit(4, 1).unwrap();
    storage.fail(Kind::Sync, 1, EIO);
    assert!(file.syncer().sync().is_err());
    storage.sync_dir(dir.path()).unwrap();
    let done = |kind, path: &PathBuf, range, errno| Event::Done { kind, path: path.clone(), range, errno };
    let root = dir.path().to_owned();
    let expected = [
        done(Kind::Create, &path, 0..100, None),
        done(Kind::Write, &path, 8..12, None),
        done(Kind::Commit, &path, 4..8, None),
        Event::Began { kind: Kind::Sync, path: path.clone() },
        done(Kind::Sync, &path, 0..0, Some(EIO)),
        Event::Began { kind: Kind::SyncDir, path: root.clone() },
        done(Kind::SyncDir, &root, 0..0, None),
    ];
    assert_eq!(storage.events(), expected);
}

#[test]
fn what_was_synced_survives_every_power_cut() {
    let (dir, storage) = new();
    let mut file = synced_file(dir.path(), &storage);
    assert_eq!(storage.unsynced(), [""; 0]);
    file.write(100, &[2; 5_000]).unwrap();
    assert_eq!(storage.unsynced(), ["a"]);
    file.syncer().sync().unwrap();
    file.truncate(6_000).unwrap();
    assert_eq!(storage.unsynced(), ["a"]);
    file.syncer().sync().unwrap();
    assert_eq!(storage.unsynced(), [""; 0]);
    let mut expected = vec![1; 6_000];
    expected[100..5_100].fill(2);
    for unsynced in (0..100).map(Unsynced::Seeded).chain([Unsynced::Dropped, Unsynced::Kept]) {
        assert_eq!(read(&cut(&storage, unsynced), "a").unwrap(), expected);
    }
}

#[test]
fn what_was_not_synced_is_dropped_kept_or_torn_by_pages() {
    let (dir, storage) = new();
    let mut file = synced_file(dir.path(), &storage);
    file.write(4_000, &[2; 200]).unwrap();
    file.write(4_100, &[3; 200]).unwrap();
    let image = |second: u8, third: u8, fourth: u8| {
        let mut bytes = vec![1; 8_192];
        bytes[4_000..4_096].fill(second);
        bytes[4_096..4_200].fill(third);
        bytes[4_100..4_300].fill(fourth);
        if fourth == 1 {
            bytes[4_100..4_200].fill(third);
        }
        bytes
    };
    assert_eq!(read(&cut(&storage, Unsynced::Dropped), "a").unwrap(), image(1, 1, 1));
    assert_eq!(read(&cut(&storage, Unsynced::Kept), "a").unwrap(), image(2, 2, 3));
    let mut seen: Vec<Vec<u8>> =
        (0..200).map(|seed| read(&cut(&storage, Unsynced::Seeded(seed)), "a").unwrap()).collect();
    seen.sort_unstable();
    seen.dedup();
    let mut possible: Vec<_> =
        [1, 2].into_iter().flat_map(|a| [(1, 1), (2, 1), (2, 3)].map(|(b, c)| image(a, b, c))).collect();
    possible.sort_unstable();
    assert_eq!(seen, possible);
}

#[test]
fn a_file_whose_name_was_not_synced_is_gone_and_a_rename_is_whole_or_not_at_all() {
    let (dir, storage) = new();
    let mut file = storage.create(&dir.path().join("b"), 10).unwrap();
    file.write(0, b"0123456789").unwrap();
    file.syncer().sync().unwrap();
    assert_eq!(storage.unsynced(), ["/"]);
    assert_eq!(read(&cut(&storage, Unsynced::Dropped), "b"), None);

    storage.sync_dir(dir.path()).unwrap();
    storage.rename(&dir.path().join("b"), &dir.path().join("c")).unwrap();
    assert_eq!(storage.unsynced(), ["/"]);
    let mut renamed = 0;
    for seed in 0..50 {
        let place = cut(&storage, Unsynced::Seeded(seed));
        let (from, to) = (read(&place, "b"), read(&place, "c"));
        assert!(from.is_some() != to.is_some());
        assert_eq!(from.or(to.clone()).unwrap(), b"0123456789");
        renamed += u32::from(to.is_some());
    }
    assert!((1..50).contains(&renamed));

    storage.sync_dir(dir.path()).unwrap();
    storage.unlink(&dir.path().join("c")).unwrap();
    assert!(read(&cut(&storage, Unsynced::Dropped), "c").is_some());
    assert!(read(&cut(&storage, Unsynced::Kept), "c").is_none());
}

#[test]
fn a_directory_survives_with_its_parent_and_its_content_with_itself() {
    let (dir, storage) = new();
    let (new, named) = (dir.path().join(".new-x"), dir.path().join("x"));
    storage.create_dir(&new).unwrap();
    storage.create(&new.join("f"), 5).unwrap().syncer().sync().unwrap();
    storage.rename(&new, &named).unwrap();
    storage.sync_dir(dir.path()).unwrap();
    assert_eq!(storage.unsynced(), ["x/"]);
    let place = cut(&storage, Unsynced::Dropped);
    assert!(place.path().join("x").is_dir());
    assert_eq!(read(&place, "x/f"), None);
    storage.sync_dir(&named).unwrap();
    assert_eq!(read(&cut(&storage, Unsynced::Dropped), "x/f").unwrap(), [0; 5]);
}

#[test]
fn a_sync_that_failed_is_not_made_good_by_the_next_one() {
    let (dir, storage) = new();
    let mut file = synced_file(dir.path(), &storage);
    file.write(0, &[2; 10]).unwrap();
    storage.fail(Kind::Sync, 1, EIO);
    assert!(file.syncer().sync().is_err());
    file.syncer().sync().unwrap();
    assert_eq!(storage.unsynced(), ["a"]);
    assert_eq!(read(&cut(&storage, Unsynced::Dropped), "a").unwrap(), [1; 8_192]);
    // A page that is written again is written as a whole.
    file.write(20, &[3; 1]).unwrap();
    file.syncer().sync().unwrap();
    assert_eq!(storage.unsynced(), [""; 0]);
    assert_eq!(
        read(&cut(&storage, Unsynced::Dropped), "a").unwrap()[..11],
        [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]
    );
}

#[test]
fn a_stalled_sync_returns_after_the_stall_and_covers_what_was_written_before_its_call() {
    let (dir, storage) = new();
    let mut file = synced_file(dir.path(), &storage);
    file.write(0, &[2; 10]).unwrap();
    let stall = storage.stall_syncs();
    let syncer = file.syncer();
    let sync = thread::spawn(move || syncer.sync());
    assert!(stall.wait_for(1));
    file.write(10, &[3; 10]).unwrap();
    assert!(!sync.is_finished());
    assert_eq!(read(&cut(&storage, Unsynced::Dropped), "a").unwrap(), [1; 8_192]);
    drop(stall);
    sync.join().unwrap().unwrap();
    assert_eq!(storage.unsynced(), ["a"]);
    let bytes = read(&cut(&storage, Unsynced::Dropped), "a").unwrap();
    assert_eq!((&bytes[..10], &bytes[10..20]), (&[2; 10][..], &[1; 10][..]));
}

#[test]
fn the_pages_of_a_mapped_file_survive_or_are_zero_one_by_one() {
    let (dir, storage) = new();
    let mut ring = storage.create_shared(&dir.path().join("lane-0000"), 8_192).unwrap();
    storage.sync_dir(dir.path()).unwrap();
    ring.write(0, &[7; 8_192]);
    assert_eq!(storage.unsynced(), [""; 0]);
    let mut seen: Vec<_> = (0..100)
        .filter_map(|seed| read(&cut(&storage, Unsynced::Seeded(seed)), "lane-0000"))
        .filter(|bytes| !bytes.is_empty())
        .map(|bytes| (bytes[0], bytes[4_095], bytes[4_096], bytes[8_191]))
        .collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [(0, 0, 0, 0), (0, 0, 7, 7), (7, 7, 0, 0), (7, 7, 7, 7)]);
}

#[test]
fn the_same_seed_leaves_the_same() {
    let (dir, storage) = new();
    let mut file = synced_file(dir.path(), &storage);
    for at in 0..50 {
        file.write(at * 160, &[u8::try_from(at).unwrap(); 160]).unwrap();
    }
    let image = |seed| read(&cut(&storage, Unsynced::Seeded(seed)), "a");
    assert_eq!(image(3), image(3));
    assert!((0..10).any(|seed| image(seed) != image(3)));
}

fn state(number: u64) -> CursorState {
    let position = Position { segment: number, offset: 0, next_sequence: 0 };
    CursorState { position, ..CursorState::default() }
}

/// The oracle of the storage's first user: after a power cut a cursor stands where a successful sync left it, or at
/// something that was stored later.
#[test]
fn a_cursor_never_leads_and_after_a_sync_never_lags_through_failing_syncs_and_power_cuts() {
    for failing in 0..64_u32 {
        let (dir, storage) = new();
        let mut cursor = Cursor::open_in(&storage, dir.path(), "file:x").unwrap();
        let mut synced = 0;
        for step in 0..6_u32 {
            let number = u64::from(step / 2 + 1);
            if step % 2 == 0 {
                cursor.store(state(number)).unwrap();
            }
            if failing & (1 << step) != 0 {
                storage.fail(Kind::Sync, 1, EIO);
            }
            if cursor.sync().is_ok() {
                synced = number;
            }
            storage.heal();
            for seed in 0..4 {
                let place = cut(&storage, if seed == 0 { Unsynced::Dropped } else { Unsynced::Seeded(seed) });
                let found = Cursor::peek(place.path(), "file:x").unwrap().position.segment;
                assert!(
                    (synced..=number).contains(&found),
                    "{failing:b} {step}: {found} of {synced}..={number}"
                );
            }
        }
    }
}

#[test]
fn a_cursor_can_be_stored_on_a_full_disk() {
    let (dir, storage) = new();
    drop(Cursor::open_in(&storage, dir.path(), "file:x").unwrap());
    storage.fail_from(Kind::Create, 2, ENOSPC);
    let shared: Arc<dyn Storage> = Arc::new(storage.clone());
    let mut cursor = Cursor::open_in(&*shared, dir.path(), "file:x").unwrap();
    cursor.store(state(5)).unwrap();
    cursor.sync().unwrap();
    assert_eq!(storage.unsynced(), [""; 0]);
    assert_eq!(Cursor::peek(dir.path(), "file:x").unwrap(), state(5));
}

#[test]
fn where_there_is_no_space_for_a_cursor_a_spare_one_becomes_it() {
    for errno in [ENOSPC, EDQUOT, EFBIG] {
        let (dir, storage) = new();
        for spare in 1..=2 {
            drop(
                storage.create(&dir.path().join(format!("spare-cursor-{spare}")), CURSOR_LEN as u64).unwrap(),
            );
        }
        storage.fail_from(Kind::Create, 1, errno);
        for sink in ["file:x", "file:y"] {
            let mut cursor = Cursor::open_in(&storage, dir.path(), sink).unwrap();
            assert_eq!(cursor.state(), CursorState::default());
            cursor.store(state(5)).unwrap();
            cursor.sync().unwrap();
            let place = cut(&storage, Unsynced::Dropped);
            assert_eq!(Cursor::peek(place.path(), sink).unwrap(), state(5), "after a power cut");
        }
        let error = Cursor::open_in(&storage, dir.path(), "file:z").unwrap_err();
        let source =
            std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
        assert_eq!(source.and_then(std::io::Error::raw_os_error), Some(errno), "{error}");
    }
    let (dir, storage) = new();
    drop(storage.create(&dir.path().join("spare-cursor-1"), CURSOR_LEN as u64).unwrap());
    storage.fail_from(Kind::Create, 1, EIO);
    assert!(Cursor::open_in(&storage, dir.path(), "file:x").is_err(), "a disk that fails is not full");
}

#[test]
fn a_torn_store_is_an_error_and_leaves_the_cursor_where_it_was() {
    let (dir, storage) = new();
    let mut cursor = Cursor::open_in(&storage, dir.path(), "file:x").unwrap();
    cursor.store(state(1)).unwrap();
    for len in [0, 1, 50, 85] {
        storage.tear(1, len, EIO);
        assert!(cursor.store(state(2)).is_err());
        assert_eq!(cursor.state(), state(1));
        assert_eq!(Cursor::peek(dir.path(), "file:x").unwrap(), state(1));
    }
    cursor.store(state(2)).unwrap();
    assert_eq!(Cursor::peek(dir.path(), "file:x").unwrap(), state(2));
}
