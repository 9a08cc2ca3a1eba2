//! What goes on when threads record more than the drain can carry, or the disk takes.

mod storage;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use spanring_spool::Spool;
use storage::{ENOSPC, FaultyStorage, Kind};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A process has one recorder at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn rings(recorder: &Path) -> usize {
    let names = recorder.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("lane-")).count()
}

/// Says that it is enough, when a test ends or fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Records until it is said to be enough.
fn record_until(is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        spanring::span("work").start().set("number", 7).set("text", "sixteen letters!");
    }
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < TIMEOUT, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn threads_get_rings_of_their_own_while_others_keep_the_drain_busy() {
    const BUSY: usize = 6;
    const LATE: usize = 6;
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // Where a segment is ready at once, so that the drain waits for none.
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let spool = Spool::open(dir.path().join("spool")).rings(1, 64).start().unwrap();
    let recorder = dir.path().join("spool").join(spool.id().as_str());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&is_over);
        let mut threads: Vec<_> = (0..BUSY).map(|_| scope.spawn(|| record_until(&is_over))).collect();
        wait_until("those who come first get rings", || rings(&recorder) > BUSY);
        let dropped = || spool.ledger().dropped.ring_full;
        wait_until("more is recorded than the drain can carry", || dropped() > 0);
        let before = dropped();
        threads.extend((0..LATE).map(|_| scope.spawn(|| record_until(&is_over))));
        wait_until("those who come later get rings", || rings(&recorder) > BUSY + LATE);
        assert!(dropped() > before, "the drain was not kept busy");
        drop(over);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    let report = spool.stop(TIMEOUT);
    assert!(report.is_complete && report.ledger.balances(), "{report}");
}

#[test]
fn a_full_disk_is_not_asked_again_with_every_span_that_is_dropped() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let storage = FaultyStorage::new(dir.path());
    let spool = Spool::open(dir.path().join("spool")).ring_bytes(64 << 10).rings(1, 64);
    let spool = spool.storage(Arc::new(storage.clone())).start().unwrap();
    for kind in [Kind::Create, Kind::CreateShared, Kind::Write] {
        storage.fail_from(kind, 1, ENOSPC);
    }
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&is_over);
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| record_until(&is_over))).collect();
        let dropped = || spool.ledger().dropped;
        wait_until("spans are dropped for want of rings, and of room in them", || {
            dropped().ring_full > 0 && dropped().no_lane > 0
        });
        let attempts = || storage.count(Kind::Create) + storage.count(Kind::CreateShared);
        let (began, before) = (Instant::now(), attempts());
        thread::sleep(Duration::from_millis(500));
        // A ring every 10 ms at most, a table with it, and a segment; twice that, as the two clocks are read apart.
        let attempts = u128::from(attempts() - before);
        let most = 2 * 3 * (began.elapsed().as_millis() / 10 + 1);
        assert!(attempts > 0 && attempts <= most, "{attempts} attempts, of which {most} would be many");
        // A scope ends when its threads have done their work, and not when they have given their rings back.
        drop(over);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    storage.heal();
    let report = spool.stop(TIMEOUT);
    assert!(report.is_complete && report.ledger.balances(), "{report}");
}
