//! What recording and spooling take of the machine's memory, in a process that does nothing else.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use spanring::{Ended, Kind, Overflow};
use spanring_spool::{Level, Spool};

const MINUTE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;
/// Its ring and its table, as they are by default, and a mebibyte beside.
const PER_THREAD: u64 = MIB + MIB / 4 + MIB;
/// The spool's threads, with rings and tables that are kept ready, blocks that wait for their sync, and segments.
const OF_THE_SPOOL: u64 = 32 * MIB;
/// How much is recorded by all threads together: several of the largest segments.
const SPANS: u64 = 1_000_000;
const CHILD: &str = "SPANRING_RESIDENT_MEMORY_CHILD";

#[test]
fn a_thread_that_records_takes_its_ring_its_table_and_a_mebibyte() {
    if let Ok(plan) = std::env::var(CHILD) {
        let (threads, dir) = plan.split_once(' ').unwrap();
        return recording_process(threads.parse().unwrap(), Path::new(dir));
    }
    for threads in [1, 8] {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let name = "a_thread_that_records_takes_its_ring_its_table_and_a_mebibyte";
        let status = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture", "--test-threads=1"])
            .env(CHILD, format!("{threads} {}", dir.path().display()))
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "with {threads} threads");
    }
}

fn recording_process(threads: u64, dir: &Path) {
    let before = Resident::now();
    let spool = Spool::open(dir.join("spool")).overflow(Overflow::Block(MINUTE)).start().unwrap();
    let is_over = AtomicBool::new(false);
    let most = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = Resident::default();
            while !is_over.load(Ordering::Relaxed) {
                most = most.max(Resident::now());
                thread::sleep(Duration::from_millis(1));
            }
            most
        });
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(move || record(SPANS / threads))).collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        spool.flush(Level::Spooled, MINUTE).unwrap();
        is_over.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    });
    assert_eq!(spool.ledger().spooled, SPANS / threads * threads);
    let taken = most.all() - before.all();
    let limit = OF_THE_SPOOL + threads * PER_THREAD;
    eprintln!(
        "{threads} recording threads: {taken} bytes more than before, of at most {limit}; {before:?}, then {most:?}"
    );
    assert!(taken <= limit);
    assert!(spool.stop(MINUTE).is_complete);
}

fn record(spans: u64) {
    for number in 0..spans {
        let span = spanring::span("execute_tool").kind(Kind::Tool).start();
        span.set("attempt", number & 3).set("score", number as f64 * 0.25);
        span.set("call_id", format_args!("{:016x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_string());
        span.set("cached", number & 1 == 0);
        assert_eq!(span.end(), Ended::Recorded);
    }
}

/// What of the process is in memory, in bytes.
#[derive(Clone, Copy, Default, Debug)]
struct Resident {
    anonymous: u64,
    of_files: u64,
    shared: u64,
}

impl Resident {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel tells");
            line.trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
        };
        Resident { anonymous: field("RssAnon:"), of_files: field("RssFile:"), shared: field("RssShmem:") }
    }

    fn all(self) -> u64 {
        self.anonymous + self.of_files + self.shared
    }

    fn max(self, other: Self) -> Self {
        if other.all() > self.all() { other } else { self }
    }
}
