//! Threads by the dozen and by the thousand: each span arrives once, and threads that are gone leave no ring behind.

use std::collections::HashSet;
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use spanring::{Ended, Overflow};
use spanring_spool::{Reader, Spool, Value};

const MINUTE: Duration = Duration::from_secs(60);
/// How many rings are kept ready.
const READY: usize = 4;

/// A process has one recorder at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A spool whose rings are counted.
struct Counted {
    spool: Spool,
    dir: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Counted {
    fn start() -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let spool = Spool::open(dir.path().join("spool")).ring_bytes(64 << 10).rings(READY, 128);
        // Those who are faster than the drain wait for it.
        let spool = spool.overflow(Overflow::Block(MINUTE)).start().unwrap();
        Counted { spool, dir, _turn: turn }
    }

    fn rings(&self) -> usize {
        let recorder = self.dir.path().join("spool").join(self.spool.id().as_str());
        let names =
            recorder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("lane-")).count()
    }

    /// Everything that so many threads have recorded is there, and once. Not always in a thread's order: before it has a ring of its
    /// own, a thread records into one that is shared.
    fn stop(self, threads: u64, spans: u64) {
        let report = self.spool.stop(MINUTE);
        let ledger = report.ledger;
        assert!(report.is_complete && ledger.balances(), "{report}");
        let all = threads * spans;
        assert_eq!((ledger.started, ledger.spooled, ledger.dropped.total()), (all, all, 0), "{ledger}");
        let mut seen = HashSet::new();
        for span in Reader::open(self.dir.path().join("spool")).unwrap() {
            let span = span.unwrap();
            let number = |key| match span.get(key) {
                Some(Value::U64(number)) => *number,
                other => panic!("{key} is {other:?}"),
            };
            let (thread, number) = (number("thread"), number("number"));
            assert!(thread < threads && number < spans);
            assert!(seen.insert((thread, number)), "{number} of thread {thread} is there twice");
        }
        assert_eq!(seen.len() as u64, all);
    }
}

fn record(thread: u64, spans: u64) {
    for number in 0..spans {
        let span = spanring::span!("work", thread = thread, number = number);
        assert_eq!(span.end(), Ended::Recorded);
    }
}

#[test]
fn one_to_sixty_four_threads_at_once_lose_nothing() {
    const SPANS: u64 = 3_000;
    for threads in [1, 2, 4, 8, 16, 32, 64] {
        let counted = Counted::start();
        let barrier = Barrier::new(threads);
        thread::scope(|scope| {
            let barrier = &barrier;
            let handles: Vec<_> = (0..threads as u64)
                .map(|number| {
                    scope.spawn(move || {
                        barrier.wait();
                        record(number, SPANS);
                    })
                })
                .collect();
            // One by one: a scope ends when its threads have done their work, and not when they have given their rings back.
            handles.into_iter().for_each(|handle| handle.join().unwrap());
        });
        let rings = counted.rings();
        assert!(rings <= threads + READY + 1, "{rings} rings for {threads} threads");
        counted.stop(threads as u64, SPANS);
    }
}

#[test]
fn ten_thousand_threads_of_which_sixteen_live_at_once_leave_few_rings_and_lose_nothing() {
    const AT_ONCE: u64 = 16;
    const EACH: u64 = 625;
    const SPANS: u64 = 3;
    let counted = Counted::start();
    thread::scope(|scope| {
        for first in 0..AT_ONCE {
            scope.spawn(move || {
                for number in 0..EACH {
                    let number = first * EACH + number;
                    thread::spawn(move || record(number, SPANS)).join().unwrap();
                }
            });
        }
    });
    let rings = counted.rings();
    eprintln!("{rings} rings for {} threads", AT_ONCE * EACH);
    // A thread that is about to end may still hold a ring when the next one starts.
    assert!(rings <= 2 * 16 + READY + 1, "{rings} rings");
    counted.stop(AT_ONCE * EACH, SPANS);
}
