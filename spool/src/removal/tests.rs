use std::path::PathBuf;
use std::sync::mpsc;

use super::*;
use crate::lock::RecorderLock;
use crate::reader::tests::Writer;
use crate::spool_dir::tests::{die, new_recorder, new_spool};
use crate::storage::{DiskStorage, Storage};

fn id(at: u64) -> RecorderId {
    RecorderId::from_parts(at, 0)
}

fn behind(segment: u64) -> Position {
    Position { segment, offset: 8_192, next_sequence: 0 }
}

fn touch(spool: &SpoolDir, id: &RecorderId, names: &[&str]) {
    for name in names {
        fs::write(spool.recorder_path(id).join(name), b"").unwrap();
    }
}

/// A recorder whose process died, with segments of no content.
fn dead(spool: &SpoolDir, id: &RecorderId, segments: &[u64]) {
    die(new_recorder(spool, id));
    for &number in segments {
        fs::write(spool.recorder_path(id).join(layout::segment(number)), [0; 8_192]).unwrap();
    }
}

fn segments(spool: &SpoolDir, id: &RecorderId) -> Vec<u64> {
    let names = DiskStorage.list(&spool.recorder_path(id)).unwrap();
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| layout::segment_number(name)).collect();
    numbers.sort_unstable();
    numbers
}

fn names(spool: &SpoolDir) -> Vec<String> {
    let mut names = DiskStorage.list(spool.path()).unwrap();
    names.retain(|name| name != layout::MARKER);
    names.sort_unstable();
    names
}

#[test]
fn segments_go_when_every_sink_is_behind_them_and_the_last_one_never() {
    let (_dir, spool) = new_spool();
    let id = id(1);
    dead(&spool, &id, &[1, 2, 3, 4]);
    let nothing = Removed::default();
    assert_eq!(spool.remove_delivered(&id, &[]).unwrap(), nothing);
    assert_eq!(spool.remove_delivered(&id, &[behind(4), Position::default()]).unwrap(), nothing);
    assert_eq!(spool.remove_delivered(&id, &[behind(4), behind(1)]).unwrap(), nothing);
    let removed = spool.remove_delivered(&id, &[behind(4), behind(3)]).unwrap();
    assert_eq!(removed, Removed { segments: 2, bytes: 16_384, ..nothing });
    assert_eq!(segments(&spool, &id), [3, 4]);
    assert_eq!(spool.remove_delivered(&id, &[behind(4)]).unwrap().segments, 1);
    assert_eq!(segments(&spool, &id), [4]);
    assert_eq!(spool.remove_delivered(&id, &[behind(4)]).unwrap(), nothing);
}

#[test]
fn a_place_in_a_segment_that_is_not_there_removes_nothing() {
    let (_dir, spool) = new_spool();
    dead(&spool, &id(1), &[1, 2]);
    assert_eq!(spool.remove_delivered(&id(1), &[behind(3)]).unwrap(), Removed::default());
    assert_eq!(spool.remove_delivered(&id(1), &[behind(u64::MAX)]).unwrap(), Removed::default());
    assert_eq!(segments(&spool, &id(1)), [1, 2]);
}

#[test]
fn a_recorder_goes_as_a_whole_once_it_is_over_and_delivered() {
    for marker in [layout::CLOSED, layout::RECOVERED] {
        let (_dir, spool) = new_spool();
        let id = id(1);
        dead(&spool, &id, &[1, 2]);
        touch(&spool, &id, &["cursor-0123456789abcdef", "termination", marker]);
        let removed = spool.remove_delivered(&id, &[behind(2)]).unwrap();
        assert!(removed.recorder && removed.segments == 2 && removed.bytes >= 16_384);
        assert_eq!(names(&spool), [""; 0]);
        assert!(matches!(spool.remove_delivered(&id, &[behind(2)]), Err(Error::NoSuchRecorder { .. })));
    }
}

#[test]
fn a_recorder_with_a_block_behind_any_sink_stays_with_that_block() {
    let (_dir, spool) = new_spool();
    let id = id(1);
    dead(&spool, &id, &[]);
    touch(&spool, &id, &[layout::CLOSED]);
    Writer::new(1).block(0..10).block(10..20).write(&spool.recorder_path(&id));
    Writer::new(2).block(20..30).block(30..40).write(&spool.recorder_path(&id));
    let mut reader = spool.reader(&id).unwrap();
    let mut behind = vec![Position::default()];
    while let Some(block) = reader.next_block().unwrap() {
        behind.push(block.position);
    }
    assert_eq!(behind.len(), 5);
    for (blocks, kept) in [(0, [1, 2].as_slice()), (1, &[1, 2]), (2, &[1, 2]), (3, &[2])] {
        assert!(!spool.remove_delivered(&id, &[behind[4], behind[blocks]]).unwrap().recorder);
        assert_eq!(segments(&spool, &id), kept, "{blocks} blocks delivered");
        let mut reader = spool.reader(&id).unwrap();
        reader.seek(behind[blocks]);
        assert_eq!(reader.next_block().unwrap().unwrap().position, behind[blocks + 1]);
    }
    assert!(spool.remove_delivered(&id, &[behind[4], behind[4]]).unwrap().recorder);
}

#[test]
fn a_segment_that_is_to_stay_keeps_all_behind_it_and_its_recorder() {
    let numbers = [1, 2, 3, 4_u64];
    for is_over in [false, true] {
        for staying in 0..1_u32 << numbers.len() {
            let (_dir, spool) = new_spool();
            let id = id(1);
            dead(&spool, &id, &numbers);
            let is_staying = |number: u64| staying >> (number - 1) & 1 == 1;
            if is_over {
                touch(&spool, &id, &[layout::CLOSED]);
            }
            let (mut asked, before) = (Vec::new(), SystemTime::now());
            let removed = spool.remove_delivered_unless(&id, &[behind(3)], |number, written| {
                assert!(before.duration_since(written).unwrap_or_default().as_secs() < 60);
                asked.push(number);
                is_staying(number)
            });
            let removed = removed.unwrap();
            // Of one that is over, all may go; else what lies before the place.
            let can_go = if is_over { &numbers[..] } else { &numbers[..2] };
            assert_eq!(asked, can_go);
            let first = can_go.iter().position(|&number| is_staying(number)).unwrap_or(can_go.len());
            if is_over && first == can_go.len() {
                assert_eq!((removed.recorder, removed.segments, removed.kept), (true, 4, 0));
                assert_eq!(spool.recorders().unwrap(), []);
                continue;
            }
            // The one that the sinks are in goes with its recorder only.
            let first = first.min(2);
            assert_eq!(segments(&spool, &id), numbers[first..], "{staying:04b} stay, over: {is_over}");
            let kept = (can_go.len() - first) as u64;
            assert_eq!((removed.recorder, removed.segments, removed.kept), (false, first as u64, kept));
        }
    }
}

#[test]
fn a_place_in_a_recorder_that_is_over_is_not_asked_about_while_a_block_lies_behind_it() {
    let (_dir, spool) = new_spool();
    let id = id(1);
    dead(&spool, &id, &[]);
    touch(&spool, &id, &[layout::CLOSED]);
    Writer::new(1).block(0..10).write(&spool.recorder_path(&id));
    Writer::new(2).block(10..20).block(20..30).write(&spool.recorder_path(&id));
    let mut reader = spool.reader(&id).unwrap();
    let place = std::iter::from_fn(|| reader.next_block().unwrap()).nth(1).unwrap().position;
    let mut asked = Vec::new();
    let removed = spool.remove_delivered_unless(&id, &[place], |number, _| {
        asked.push(number);
        true
    });
    assert_eq!((removed.unwrap(), asked), (Removed { kept: 1, ..Removed::default() }, vec![1]));
}

#[test]
fn what_was_recovered_stays_until_its_origin_needs_no_recovery_any_more() {
    let (_dir, spool) = new_spool();
    let (origin, recovery) = (id(1), id(1).recovery());
    dead(&spool, &origin, &[1]);
    dead(&spool, &recovery, &[1, 2]);
    touch(&spool, &recovery, &[layout::CLOSED]);
    assert_eq!(spool.remove_delivered(&recovery, &[behind(2)]).unwrap(), Removed::default());
    assert_eq!(segments(&spool, &recovery), [1, 2]);

    touch(&spool, &origin, &[layout::RECOVERED]);
    assert!(spool.remove_delivered(&recovery, &[behind(2)]).unwrap().recorder);
    assert_eq!(names(&spool), [origin.as_str()]);

    dead(&spool, &id(2).recovery(), &[1]);
    touch(&spool, &id(2).recovery(), &[layout::CLOSED]);
    assert!(spool.remove_delivered(&id(2).recovery(), &[behind(1)]).unwrap().recorder);
}

#[test]
fn files_that_spanring_does_not_know_are_never_removed() {
    let (_dir, spool) = new_spool();
    dead(&spool, &id(1), &[1]);
    touch(&spool, &id(1), &[layout::CLOSED, "notes.txt"]);
    assert!(spool.remove_delivered(&id(1), &[behind(1)]).unwrap().recorder);
    let gone = format!("{}{}", layout::GONE_PREFIX, id(1));
    assert_eq!(names(&spool), [gone.as_str()]);
    assert_eq!(DiskStorage.list(&spool.path().join(&gone)).unwrap(), ["notes.txt"]);
    assert_eq!(spool.recorders().unwrap(), []);
    assert_eq!(spool.sweep().unwrap(), 0);
    assert_eq!(DiskStorage.list(&spool.path().join(&gone)).unwrap(), ["notes.txt"]);
}

/// Where a recorder is set up.
fn new_dir(spool: &SpoolDir, id: &RecorderId) -> PathBuf {
    spool.path().join(format!("{}{id}", layout::NEW_PREFIX))
}

#[test]
fn what_killed_processes_left_half_done_is_swept_and_what_lives_is_not() {
    let (_dir, spool) = new_spool();
    // Killed before the lock file, before its lock, with the lock, and with everything but the rename.
    let set_up = |at| RecorderLock::set_up(&DiskStorage, &new_dir(&spool, &id(at)), &id(at)).unwrap();
    DiskStorage.create_dir(&new_dir(&spool, &id(1))).unwrap();
    DiskStorage.create_dir(&new_dir(&spool, &id(2))).unwrap();
    fs::write(new_dir(&spool, &id(2)).join(layout::LOCK), [0; 1_024]).unwrap();
    [3, 4].map(set_up).into_iter().for_each(die);
    let complete = new_dir(&spool, &id(4));
    for name in [layout::CONTROL, "lane-0000", "000000000000000001.segment", layout::CLOSED] {
        fs::write(complete.join(name), b"").unwrap();
    }
    // Killed while a recorder was removed, and while the spool was made.
    dead(&spool, &id(5), &[1]);
    let gone = spool.path().join(format!("{}{}", layout::GONE_PREFIX, id(5)));
    fs::rename(spool.recorder_path(&id(5)), gone).unwrap();
    fs::write(spool.path().join(format!("{}0", layout::NEW_MARKER_PREFIX)), b"span").unwrap();
    // Alive, in another container perhaps, and not ours.
    let (alive, elsewhere) = (new_dir(&spool, &id(6)), new_dir(&spool, &id(7)));
    let lock = set_up(6);
    die(set_up(7));
    fs::copy(elsewhere.join(layout::LOCK), elsewhere.join("copy")).unwrap();
    fs::rename(elsewhere.join("copy"), elsewhere.join(layout::LOCK)).unwrap();
    let foreign = spool.path().join(".new-something");
    fs::create_dir(&foreign).unwrap();
    dead(&spool, &id(8), &[1]);

    assert_eq!(spool.sweep().unwrap(), 5);
    let expected = [alive, elsewhere, foreign, spool.recorder_path(&id(8))];
    let found: Vec<PathBuf> = names(&spool).iter().map(|name| spool.path().join(name)).collect();
    assert_eq!(found, expected);
    die(lock);
    assert_eq!(spool.sweep().unwrap(), 1);
}

#[test]
fn a_lock_that_is_made_just_after_it_was_not_found_is_not_removed() {
    let (_dir, spool) = new_spool();
    let dir = new_dir(&spool, &id(1));
    let lock = RecorderLock::set_up(&DiskStorage, &dir, &id(1)).unwrap();
    fs::write(dir.join(layout::CONTROL), b"").unwrap();
    assert!(!spool.clear_without_lock(&dir, &id(1)).unwrap());
    assert_eq!(DiskStorage.list(&dir).unwrap().len(), 2);

    // What a power cut leaves of a removal, in which the lock went last.
    die(lock);
    fs::remove_file(dir.join(layout::LOCK)).unwrap();
    assert!(spool.clear_without_lock(&dir, &id(1)).unwrap());
    assert!(!dir.exists());
    assert!(!spool.clear_without_lock(&dir, &id(1)).unwrap());
    fs::create_dir(&dir).unwrap();
    assert!(spool.clear_without_lock(&dir, &id(1)).unwrap());
}

#[test]
fn a_recorder_is_set_up_while_others_sweep_and_is_not_swept() {
    let (_dir, spool) = new_spool();
    std::thread::scope(|scope| {
        // The sweeper ends when this is dropped, also by a panic.
        let (_sweeping, done) = mpsc::channel::<()>();
        let spool = &spool;
        scope.spawn(move || {
            while done.try_recv() == Err(mpsc::TryRecvError::Empty) {
                spool.sweep().unwrap();
                // Without a moment in between no directory would ever get to have a lock.
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
        });
        for at in 0..300 {
            let dir = new_dir(spool, &id(at));
            let lock = RecorderLock::set_up(&DiskStorage, &dir, &id(at)).unwrap();
            fs::write(dir.join(layout::CONTROL), b"").expect("it was swept although its lock is held");
            fs::rename(&dir, spool.recorder_path(&id(at))).unwrap();
            drop(lock);
        }
    });
    assert_eq!(names(&spool).len(), 300);
}

#[test]
fn a_removal_that_is_killed_at_any_step_is_finished_by_the_next_sweep() {
    let (_dir, spool) = new_spool();
    for steps in 0..6 {
        let id = id(steps);
        dead(&spool, &id, &[1, 2]);
        touch(&spool, &id, &[layout::CLOSED]);
        let gone = spool.path().join(format!("{}{id}", layout::GONE_PREFIX));
        fs::rename(spool.recorder_path(&id), &gone).unwrap();
        for name in DiskStorage.list(&gone).unwrap().iter().take(usize::try_from(steps).unwrap()) {
            fs::remove_file(gone.join(name)).unwrap();
        }
        assert_eq!(spool.sweep().unwrap(), 1);
        assert_eq!(names(&spool), [""; 0]);
    }
}
