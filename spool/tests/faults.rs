//! What a spool promises when the disk fails, fills up, or forgets.
//!
//! The storage of these tests does everything on a real disk, and keeps beside it what would survive a power cut.

mod storage;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use spanring::{Ended, SpanId};
use spanring_spool::{Ledger, Level, Life, Spool, SpoolBuilder, SpoolDir, StopReport};
use storage::{EDQUOT, EFBIG, EIO, ENOSPC, Event, FaultyStorage, Kind, Unsynced};

const MINUTE: Duration = Duration::from_secs(60);

/// A process has one recorder at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

struct Setting {
    dir: tempfile::TempDir,
    storage: FaultyStorage,
    _turn: MutexGuard<'static, ()>,
}

impl Setting {
    fn new() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let storage = FaultyStorage::new(dir.path());
        Setting { dir, storage, _turn: turn }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("spool")
    }

    fn builder(&self) -> SpoolBuilder {
        Spool::open(self.path())
            .service("faults")
            .ring_bytes(16 << 10)
            .rings(1, 4)
            .tables(0, 4)
            .linger(Duration::from_millis(1))
            .storage(Arc::new(self.storage.clone()))
    }

    fn start(&self) -> Spool {
        self.builder().start().unwrap()
    }
}

/// Records spans until so many were recorded; those that were dropped are not among them.
fn record(count: usize) -> HashSet<SpanId> {
    let mut recorded = HashSet::new();
    for number in 0..count {
        let span =
            spanring::span!("work", number = number, text = "some text that makes the span a little longer");
        let id = span.context().span_id();
        if span.end() == Ended::Recorded {
            recorded.insert(id);
        }
    }
    recorded
}

/// Lets go of this thread's ring, so that the spool can close.
fn in_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// All spans of a spool, recovered where that is due, each once.
fn read(path: &Path) -> HashSet<SpanId> {
    let spool = SpoolDir::open(path).unwrap();
    for id in spool.recorders().unwrap() {
        // One that could not be closed is alive for as long as this process.
        if !id.is_recovery() && spool.life(&id).unwrap() != Life::Alive {
            spool.recover(&id).unwrap();
        }
    }
    let mut spans = HashSet::new();
    for id in spool.recorders().unwrap() {
        let mut reader = spool.reader(&id).unwrap();
        while let Some(block) = reader.next_block().unwrap() {
            for span in block.spans {
                assert!(spans.insert(span.span_id), "{} came back twice", span.span_id);
            }
        }
    }
    spans
}

/// What a power cut at this moment would leave, after the next boot.
fn after_power_cut(storage: &FaultyStorage, unsynced: Unsynced) -> tempfile::TempDir {
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    storage.power_cut(place.path(), unsynced);
    place
}

fn assert_balanced(ledger: &Ledger) {
    assert!(ledger.balances(), "{ledger}");
    assert_eq!(ledger.unspooled(), 0, "{ledger}");
    assert_eq!(ledger.in_flight, 0, "{ledger}");
}

fn stop(spool: Spool) -> StopReport {
    let report = spool.stop(MINUTE);
    assert_balanced(&report.ledger);
    report
}

#[test]
fn what_a_durable_flush_has_seen_survives_a_power_cut_that_forgets_all_else() {
    let setting = Setting::new();
    let spool = setting.start();
    let mut durable = HashSet::new();
    for round in 0..12 {
        durable.extend(record(40));
        spool.flush(Level::Durable, MINUTE).unwrap();
        // This may be lost, and must not take anything along.
        record(7);
        for unsynced in [Unsynced::Dropped, Unsynced::Kept, Unsynced::Seeded(round)] {
            let place = after_power_cut(&setting.storage, unsynced);
            let found = read(&place.path().join("spool"));
            let lost = durable.difference(&found).count();
            assert_eq!(lost, 0, "round {round}, unsynced pages {unsynced:?}");
        }
    }
    drop(stop(spool));
}

#[test]
fn a_durable_flush_awaits_the_sync_of_the_segment_and_of_its_name() {
    let setting = Setting::new();
    let spool = setting.start();
    let recorder = setting.path().canonicalize().unwrap().join(spool.id().as_str());
    let segment = recorder.join("000000000000000001.segment");
    record(10);
    spool.flush(Level::Durable, MINUTE).unwrap();
    let events = setting.storage.events();
    let position = |wanted: &dyn Fn(&Event) -> bool| events.iter().rposition(wanted);
    let is_done = |event: &Event, wanted: Kind, at: &Path| matches!(event, Event::Done { kind, path, errno: None, .. } if *kind == wanted && path == at);
    let name = |path: &Path| path.file_name().map(std::ffi::OsStr::to_owned);
    let committed = position(
        &|event| matches!(event, Event::Done { kind: Kind::Commit, path, .. } if name(path) == name(&segment)),
    );
    let began = position(
        &|event| matches!(event, Event::Began { kind: Kind::Sync, path } if name(path) == name(&segment)),
    );
    let synced = position(
        &|event| matches!(event, Event::Done { kind: Kind::Sync, path, errno: None, .. } if name(path) == name(&segment)),
    );
    assert!(committed < began && began < synced, "committed {committed:?}, sync {began:?} to {synced:?}");
    assert!(committed.is_some() && began.is_some());
    // The recorder's name, in the spool, after it was renamed.
    let renamed = position(&|event| matches!(event, Event::Done { kind: Kind::Rename, errno: None, .. }));
    let spool_dir = setting.path().canonicalize().unwrap();
    let spool_synced = position(&|event| is_done(event, Kind::SyncDir, &spool_dir));
    assert!(renamed.is_some() && renamed < spool_synced, "{renamed:?} {spool_synced:?}");
    drop(stop(spool));
}

#[test]
fn a_durable_flush_waits_as_long_as_the_sync_takes() {
    let setting = Setting::new();
    let spool = setting.start();
    record(3);
    let stall = setting.storage.stall_syncs();
    assert!(spool.flush(Level::Spooled, MINUTE).is_ok(), "a block is committed without a sync");
    let error = spool.flush(Level::Durable, Duration::from_millis(100)).unwrap_err();
    assert_eq!(error.to_string(), "not reached within 100ms");
    assert!(stall.wait_for(1), "a sync is waiting");
    // A disk that stalls does not keep the agent from recording.
    assert_eq!(record(20).len(), 20);
    drop(stall);
    spool.flush(Level::Durable, MINUTE).unwrap();
    drop(stop(spool));
}

/// Each of the first operations of each kind fails once, or from then on until the disk heals.
#[test]
fn whatever_operation_fails_the_agent_runs_on_and_nothing_recorded_is_lost() {
    let faults = [
        (Kind::Create, ENOSPC),
        (Kind::CreateShared, ENOSPC),
        (Kind::Write, ENOSPC),
        (Kind::Write, EIO),
        (Kind::Commit, EIO),
        (Kind::Sync, EIO),
        (Kind::SyncDir, EIO),
        (Kind::Truncate, EIO),
    ];
    for (kind, errno) in faults {
        for ever_after in [false, true] {
            for nth in 1..=5 {
                survive(kind, errno, ever_after, nth);
            }
        }
    }
}

fn survive(kind: Kind, errno: i32, ever_after: bool, nth: u64) {
    let setting = Setting::new();
    let spool = setting.start();
    let what = format!(
        "{kind:?} number {nth} fails with {errno}, {}",
        if ever_after { "as all after" } else { "once" }
    );
    if ever_after {
        setting.storage.fail_from(kind, nth, errno);
    } else {
        setting.storage.fail(kind, nth, errno);
    }
    let mut recorded = HashSet::new();
    for _ in 0..4 {
        recorded.extend(in_a_thread(|| record(30)));
        // Whether it succeeds depends on what fails; it must come back either way.
        drop(spool.flush(Level::Durable, Duration::from_millis(5)));
    }
    setting.storage.heal();
    recorded.extend(in_a_thread(|| record(30)));
    match spool.flush(Level::Durable, MINUTE) {
        Ok(()) => {
            let place = after_power_cut(&setting.storage, Unsynced::Dropped);
            let found = read(&place.path().join("spool"));
            assert_eq!(recorded.difference(&found).count(), 0, "after a power cut: {what}");
        }
        Err(error) => panic!("{what}: {error}, {:?}", spool.health()),
    }
    let report = stop(spool);
    assert!(report.is_complete, "{what}: {report}");
    assert_eq!(read(&setting.path()), recorded, "{what}");
    assert_eq!(report.ledger.spooled, recorded.len() as u64, "{what}");
}

#[test]
fn a_sync_that_fails_is_not_tried_again_on_that_file() {
    let setting = Setting::new();
    let spool = setting.start();
    let mut recorded = record(10);
    spool.flush(Level::Spooled, MINUTE).unwrap();
    setting.storage.fail(Kind::Sync, 1, EIO);
    spool.flush(Level::Durable, MINUTE).unwrap();
    recorded.extend(record(10));
    spool.flush(Level::Durable, MINUTE).unwrap();
    // The kernel has marked the pages of the first file as clean, so only another one can hold the spans.
    let place = after_power_cut(&setting.storage, Unsynced::Dropped);
    assert_eq!(read(&place.path().join("spool")), recorded);
    assert!(spool.health().is_durable);
    drop(stop(spool));
}

/// As [`record`], spans of 4,000 bytes that no compression makes smaller; all of them are recorded.
fn record_large(count: usize) -> HashSet<SpanId> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let mut recorded = HashSet::new();
    for _ in 0..count {
        let span = spanring::span!("work");
        recorded.insert(span.context().span_id());
        let bytes: Vec<u8> = (0..4_000).map(|_| noise()).collect();
        span.set("bytes", &bytes[..]);
        assert_eq!(span.end(), Ended::Recorded);
    }
    recorded
}

/// A spool of which nothing is synced unless a test asks for it.
fn unsynced(setting: &Setting) -> Spool {
    setting.builder().ring_bytes(1 << 20).sync(MINUTE * 60, 1 << 30).start().unwrap()
}

#[test]
fn where_there_is_no_space_for_a_long_segment_a_shorter_one_has_to_do() {
    for errno in [ENOSPC, EDQUOT, EFBIG] {
        let setting = Setting::new();
        let spool = unsynced(&setting);
        setting.storage.limit(600 << 10, errno);
        let mut recorded = HashSet::new();
        for _ in 0..12 {
            recorded.extend(record_large(30));
            spool.flush(Level::Durable, MINUTE).unwrap();
        }
        assert_eq!(spool.health().trouble, None, "there was enough space");
        assert!(stop(spool).is_complete);
        assert_eq!(read(&setting.path()), recorded);
    }
}

#[test]
fn rows_whose_sync_failed_are_written_again_to_as_many_segments_as_they_take() {
    let setting = Setting::new();
    setting.storage.limit(256 << 10, ENOSPC);
    let spool = unsynced(&setting);
    let mut recorded = HashSet::new();
    for _ in 0..8 {
        recorded.extend(record_large(20));
        spool.flush(Level::Spooled, MINUTE).unwrap();
    }
    setting.storage.fail(Kind::Sync, 1, EIO);
    spool.flush(Level::Durable, MINUTE).unwrap();
    recorded.extend(record_large(20));
    spool.flush(Level::Durable, MINUTE).unwrap();
    assert!(spool.health().is_durable);
    // Of three segments' worth, twice at most, and no more.
    let made = segments(&setting.path()).len();
    assert!(made <= 12, "{made} segments");
    let place = after_power_cut(&setting.storage, Unsynced::Dropped);
    assert_eq!(read(&place.path().join("spool")), recorded);
    assert!(stop(spool).is_complete);
}

#[test]
fn a_sync_that_fails_behind_the_last_row_costs_nothing() {
    let setting = Setting::new();
    let spool =
        setting.builder().ring_bytes(1 << 20).sync(Duration::from_millis(5), 1 << 30).start().unwrap();
    // There is no second segment, and the first is nearly full.
    setting.storage.fail_from(Kind::Create, 1, ENOSPC);
    let mut recorded = record_large(50);
    spool.flush(Level::Durable, MINUTE).unwrap();
    // The next block does not fit, so there is a seal and nothing else to be synced.
    setting.storage.fail(Kind::Sync, 1, EIO);
    recorded.extend(record_large(20));
    let is_failed = |event: &Event| matches!(event, Event::Done { kind: Kind::Sync, errno: Some(EIO), .. });
    while !setting.storage.events().iter().any(is_failed) {
        std::thread::sleep(Duration::from_millis(1));
    }
    setting.storage.heal();
    spool.flush(Level::Durable, MINUTE).unwrap();
    assert!(spool.health().is_durable);
    let place = after_power_cut(&setting.storage, Unsynced::Dropped);
    assert_eq!(read(&place.path().join("spool")), recorded);
    assert!(stop(spool).is_complete);
}

#[test]
fn segments_that_cannot_be_written_to_do_not_keep_their_space() {
    let setting = Setting::new();
    let spool = setting.start();
    setting.storage.fail_from(Kind::Commit, 1, EIO);
    let recorded = in_a_thread(|| record(5));
    while setting.storage.count(Kind::Commit) < 6 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let trouble = spool.health().trouble.expect("the spool says what is wrong");
    assert_eq!(trouble.action, "write a block");
    setting.storage.heal();
    spool.flush(Level::Durable, MINUTE).unwrap();
    assert!(stop(spool).is_complete);
    let lens = segments(&setting.path());
    assert!(lens.len() >= 6, "{lens:?}");
    assert!(lens.iter().all(|&len| len < 16 << 10), "{lens:?}");
    assert_eq!(read(&setting.path()), recorded);
}

/// How long the segments of a spool's recorders are.
fn segments(path: &Path) -> Vec<u64> {
    let spool = SpoolDir::open(path).unwrap();
    let recorders = spool.recorders().unwrap();
    let files = recorders.iter().flat_map(|id| std::fs::read_dir(spool.recorder_path(id)).unwrap());
    let files = files.map(|entry| entry.unwrap().path());
    let segments = files.filter(|path| path.extension().is_some_and(|extension| extension == "segment"));
    segments.map(|path| path.metadata().unwrap().len()).collect()
}

#[test]
fn a_full_disk_is_seen_in_the_account_and_over_when_there_is_space_again() {
    let setting = Setting::new();
    let spool = setting.start();
    let before = in_a_thread(|| record(20));
    spool.flush(Level::Durable, MINUTE).unwrap();
    setting.storage.fail_from(Kind::Create, 1, ENOSPC);
    setting.storage.fail_from(Kind::CreateShared, 1, ENOSPC);
    // More than the segments that are there and the ring can hold.
    let (mut during, mut attempts) = (HashSet::new(), 0);
    while spool.flush(Level::Spooled, Duration::from_millis(50)).is_ok()
        || spool.ledger().dropped.ring_full == 0
    {
        during.extend(in_a_thread(|| record(1000)));
        attempts += 1000;
    }
    let ledger = spool.ledger();
    assert!(ledger.dropped.ring_full > 0, "{ledger}");
    assert_eq!(ledger.dropped.total() + during.len() as u64, attempts, "{ledger}");
    let trouble = spool.health().trouble.expect("the spool says what is wrong");
    assert!(trouble.reason.contains("No space left"), "{trouble:?}");

    setting.storage.heal();
    spool.flush(Level::Durable, MINUTE).unwrap();
    let after = in_a_thread(|| record(20));
    assert_eq!(after.len(), 20, "recording goes on as before");
    spool.flush(Level::Durable, MINUTE).unwrap();
    assert_eq!(spool.health().trouble, None);
    let report = stop(spool);
    assert!(report.is_complete, "{report}");
    let all = before.union(&during).copied().collect::<HashSet<_>>();
    assert_eq!(read(&setting.path()), all.union(&after).copied().collect());
}

#[test]
fn a_spool_that_cannot_be_set_up_is_an_error_and_leaves_nothing_behind() {
    for kind in [
        Kind::CreateDir,
        Kind::Create,
        Kind::CreateShared,
        Kind::Rename,
        Kind::SyncDir,
        Kind::Sync,
        Kind::Write,
    ] {
        for nth in 1..=6 {
            let setting = Setting::new();
            setting.storage.fail(kind, nth, ENOSPC);
            match setting.builder().start() {
                Ok(spool) => drop(spool.stop(MINUTE)),
                Err(error) => {
                    assert!(error.to_string().starts_with("cannot "), "{error}");
                    let left: Vec<_> = std::fs::read_dir(setting.path())
                        .into_iter()
                        .flatten()
                        .map(|entry| entry.unwrap().file_name())
                        .filter(|name| name != "spanring-spool")
                        .collect();
                    assert!(left.is_empty(), "{kind:?} {nth}: {left:?} after {error}");
                }
            }
            // The process can start one afterwards.
            setting.storage.heal();
            let spool = setting.start();
            let recorded = in_a_thread(|| record(3));
            assert!(stop(spool).is_complete);
            assert!(recorded.is_subset(&read(&setting.path())));
        }
    }
}
