use std::fs;
use std::os::unix::fs::symlink;

use crate::segment::SegmentHeader;
use crate::spool_dir::tests::{die, new_recorder, new_spool};
use crate::{Error, Life, RecorderId, SpoolDir, layout};

/// A dead recorder with these files, by name.
fn dead(spool: &SpoolDir, files: &[(&str, Vec<u8>)]) -> RecorderId {
    let id = RecorderId::from_parts(1, 1);
    let lock = new_recorder(spool, &id);
    for (name, bytes) in files {
        fs::write(spool.recorder_path(&id).join(name), bytes).unwrap();
    }
    die(lock);
    id
}

/// The beginning of a file of memory, of a version.
fn memory(magic: &[u8; 8], version: u32) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    bytes[..8].copy_from_slice(magic);
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..16]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn segment(id: &str, version: u16) -> Vec<u8> {
    let header =
        SegmentHeader { nonce: 7, number: 1, created_unix_ns: 1, boot_id: [0; 16], recorder: id.to_owned() };
    let mut bytes = header.encode();
    for copy in [0, 4096] {
        bytes[copy + 8..copy + 10].copy_from_slice(&version.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[copy..copy + 124]);
        bytes[copy + 124..copy + 128].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

#[test]
fn what_a_later_version_wrote_is_left_alone() {
    let kinds = [
        (layout::lane(0), b"SPRNGLAN"),
        (layout::table(0), b"SPRNGTAB"),
        (layout::CONTROL.to_owned(), b"SPRNGCTL"),
        (layout::CALLSITES.to_owned(), b"SPRNGDIC"),
    ];
    for (name, magic) in kinds {
        let (_dir, spool) = new_spool();
        let id = dead(&spool, &[(&name, memory(magic, 1))]);
        match spool.recover(&id) {
            Err(Error::LaterVersion { path }) => assert!(path.ends_with(&name), "{}", path.display()),
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(spool.life(&id).unwrap(), Life::Dead);
        assert!(spool.recorder_path(&id).join(&name).exists());
        assert!(!spool.recorder_path(&id.recovery()).exists());
    }
    let (_dir, spool) = new_spool();
    let id = dead(&spool, &[(&layout::segment(1), segment("x", 1))]);
    assert!(matches!(spool.recover(&id), Err(Error::LaterVersion { .. })));
    let mut reader = spool.reader(&id).unwrap();
    for _ in 0..2 {
        assert!(matches!(reader.next_block(), Err(Error::LaterVersion { .. })), "it is not passed over");
    }
}

#[test]
fn memory_that_is_damaged_at_its_beginning_is_skipped_and_counted() {
    let (_dir, spool) = new_spool();
    let mut lane = memory(b"SPRNGLAN", 0);
    lane[9] ^= 1;
    let id = dead(&spool, &[(&layout::lane(0), lane)]);
    let report = spool.recover(&id).unwrap();
    assert_eq!(report.skipped.files, 1, "{report}");
    assert_eq!(spool.life(&id).unwrap(), Life::Recovered);
}

#[test]
fn memory_that_was_not_ready_holds_nothing_and_is_no_damage() {
    let (_dir, spool) = new_spool();
    let id = dead(&spool, &[(&layout::lane(0), vec![0; 4096]), (&layout::table(0), Vec::new())]);
    let report = spool.recover(&id).unwrap();
    assert!(!report.skipped.is_damage(), "{report}");
    assert!(!report.already_done);
    assert!(spool.recover(&id).unwrap().already_done, "doing it again is no error");
}

#[test]
fn what_nobody_can_read_is_set_aside_and_counted_and_holds_up_nothing() {
    let (_dir, spool) = new_spool();
    let id = dead(&spool, &[]);
    let path = |name: &str| spool.recorder_path(&id).join(name);
    symlink("/etc/hostname", path(&layout::lane(0))).unwrap();
    fs::create_dir(path(&layout::table(0))).unwrap();
    // Somebody has taken the name under which one would be set aside.
    symlink("/etc/hostname", path(&layout::lane(1))).unwrap();
    fs::write(path("lane-0001.quarantined"), b"precious").unwrap();
    let report = spool.recover(&id).unwrap();
    assert_eq!(report.skipped.files, 3, "{report}");
    assert_eq!(spool.life(&id).unwrap(), Life::Recovered);
    let is_there = |name: &str| path(name).symlink_metadata().is_ok();
    assert!(is_there("lane-0000.quarantined") && is_there("table-0000.quarantined"));
    assert!(!["lane-0000", "table-0000", "lane-0001"].into_iter().any(is_there));
    assert_eq!(fs::read(path("lane-0001.quarantined")).unwrap(), b"precious");
}

#[test]
fn a_resource_that_is_damaged_is_counted_and_keeps_back_no_span() {
    for cut in [true, false] {
        let (_dir, spool) = new_spool();
        let id = dead(&spool, &[]);
        let path = spool.recorder_path(&id).join(layout::RESOURCE);
        match cut {
            true => fs::write(&path, b"SPRN").unwrap(),
            false => fs::remove_file(&path).unwrap(),
        }
        let report = spool.recover(&id).unwrap();
        assert_eq!(report.skipped.files, 1, "{report}");
        assert_eq!(spool.resource(&id.recovery()).unwrap().attributes, []);
    }
    let (_dir, spool) = new_spool();
    let id = dead(&spool, &[]);
    assert!(!spool.recover(&id).unwrap().skipped.is_damage());
    assert_eq!(spool.resource(&id.recovery()).unwrap().attributes.len(), 1);
}
