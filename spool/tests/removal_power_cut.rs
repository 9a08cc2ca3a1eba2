//! A recorder that is removed while the disk fails or the power goes is seen whole or not at all.

mod storage;

use std::path::Path;
use std::sync::Arc;

use spanring_spool::{Position, RecorderId, SpoolDir, Storage};
use storage::{EIO, FaultyStorage, Kind, Unsynced};

const FILES: [&str; 6] = [
    "closed",
    "cursor-0123456789abcdef",
    "lock",
    "notes-0123456789abcdef-00000001",
    "resource",
    "000000000000000001.segment",
];

fn create(storage: &FaultyStorage, path: &Path, bytes: &[u8]) {
    let mut file = storage.create(path, bytes.len() as u64).unwrap();
    file.write(0, bytes).unwrap();
    file.syncer().sync().unwrap();
}

/// A spool with one recorder that stopped in order, all of it synced.
fn closed_recorder() -> (tempfile::TempDir, FaultyStorage, SpoolDir, RecorderId) {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let storage = FaultyStorage::new(dir.path());
    create(&storage, &dir.path().join("spanring-spool"), b"spanring spool 0\n");
    let spool = SpoolDir::open_in(Arc::new(storage.clone()), dir.path()).unwrap();
    let id = RecorderId::from_parts(1, 2);
    let recorder = spool.recorder_path(&id);
    storage.create_dir(&recorder).unwrap();
    for name in FILES {
        create(&storage, &recorder.join(name), &[0; 8_192]);
    }
    storage.sync_dir(&recorder).unwrap();
    storage.sync_dir(dir.path()).unwrap();
    assert_eq!(storage.unsynced(), [""; 0]);
    (dir, storage, spool, id)
}

/// Fails if the recorder is there with a part of its files only; says whether it is there.
fn whole_or_gone(place: &Path, id: &RecorderId) -> bool {
    let recorder = place.join(id.as_str());
    let mut missing = FILES;
    missing.sort_unstable_by_key(|name| recorder.join(name).exists());
    let there = recorder.exists();
    assert!(!there || recorder.join(missing[0]).exists(), "{} is missing", missing[0]);
    there
}

/// Removes segment 1 of a recorder while segment 2 is to stay, and says whether that failed.
fn first_segment_goes(spool: &SpoolDir, id: &RecorderId) -> bool {
    let behind = Position { segment: 3, offset: 8_192, next_sequence: 1 };
    spool.remove_delivered_unless(id, &[behind], |number, _| number == 2).is_err()
}

/// A recorder as [`closed_recorder`] makes it, with two segments before the last, the first of which went while the second was to stay.
fn recorder_in_grace() -> (tempfile::TempDir, FaultyStorage, SpoolDir, RecorderId) {
    let (dir, storage, spool, id) = closed_recorder();
    let recorder = spool.recorder_path(&id);
    for number in [2, 3] {
        create(&storage, &recorder.join(format!("{number:018}.segment")), &[0; 8_192]);
    }
    storage.sync_dir(&recorder).unwrap();
    (dir, storage, spool, id)
}

#[test]
fn a_recorder_in_grace_that_is_cut_off_keeps_what_is_to_stay_and_goes_as_a_whole_later() {
    let behind = Position { segment: 3, offset: 8_192, next_sequence: 1 };
    let stays = |place: &Path, id: &RecorderId| {
        let there = |name: &str| place.join(id.as_str()).join(name).exists();
        ["closed", "lock", "resource", "000000000000000002.segment", "000000000000000003.segment"]
            .into_iter()
            .all(there)
    };
    let (mut back, mut gone) = (0, 0);
    for fails in [false, true] {
        let (dir, storage, spool, id) = recorder_in_grace();
        if fails {
            storage.fail_from(Kind::Unlink, 1, EIO);
        }
        assert_eq!(first_segment_goes(&spool, &id), fails);
        storage.heal();
        for seed in 0..20 {
            let place = tempfile::tempdir_in("/dev/shm").unwrap();
            storage.power_cut(place.path(), Unsynced::Seeded(seed));
            assert!(stays(place.path(), &id), "seed {seed}");
            back += u32::from(place.path().join(id.as_str()).join(FILES[4]).exists());
        }
        // Whether or not the first is back, the rest of its removal is seen whole or not at all.
        for kind in [Kind::Rename, Kind::SyncDir, Kind::Unlink, Kind::RemoveDir] {
            storage.fail_from(kind, 1, EIO);
            let failed = spool.remove_delivered(&id, &[behind]).is_err();
            for seed in 0..20 {
                let place = tempfile::tempdir_in("/dev/shm").unwrap();
                storage.power_cut(place.path(), Unsynced::Seeded(seed));
                let there = place.path().join(id.as_str()).exists();
                assert!(!there || stays(place.path(), &id), "seed {seed}");
                gone += u32::from(!there);
            }
            storage.heal();
            if !failed || !dir.path().join(id.as_str()).exists() {
                break;
            }
        }
        if dir.path().join(id.as_str()).exists() {
            spool.remove_delivered(&id, &[behind]).unwrap();
        }
        spool.sweep().unwrap();
        assert_eq!(storage.list(dir.path()).unwrap(), ["spanring-spool"]);
    }
    assert!(back > 0 && gone > 0, "{back} {gone}");
}

#[test]
fn a_removal_that_is_cut_off_at_any_operation_leaves_the_recorder_whole_or_out_of_sight() {
    let behind = Position { segment: 1, offset: 8_192, next_sequence: 1 };
    let (mut whole, mut gone) = (0, 0);
    for kind in [Kind::Rename, Kind::SyncDir, Kind::Unlink, Kind::RemoveDir] {
        for nth in 1..=FILES.len() as u64 {
            let (dir, storage, spool, id) = closed_recorder();
            storage.fail_from(kind, nth, EIO);
            let failed = spool.remove_delivered(&id, &[behind]).is_err();
            for seed in 0..20 {
                let place = tempfile::tempdir_in("/dev/shm").unwrap();
                storage.power_cut(place.path(), Unsynced::Seeded(seed));
                let there = whole_or_gone(place.path(), &id);
                whole += u32::from(there);
                gone += u32::from(!there);
            }
            storage.heal();
            if failed {
                if whole_or_gone(dir.path(), &id) {
                    spool.remove_delivered(&id, &[behind]).unwrap();
                }
                spool.sweep().unwrap();
            }
            assert_eq!(storage.list(dir.path()).unwrap(), ["spanring-spool"]);
        }
    }
    assert!(whole > 0 && gone > 0, "{whole} {gone}");
}
