//! A real disk that somebody else fills up. It is a small tmpfs, which takes the right to mount; where that is missing the
//! test says so and passes, and the failing storage of `faults.rs` has to do.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use spanring::{Ended, SpanId};
use spanring_spool::{Cursor, CursorState, Level, Spool, SpoolDir};

const MINUTE: Duration = Duration::from_secs(60);

/// A file system of a few megabytes, until it is dropped.
struct SmallDisk {
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = dir.path().join("disk");
        std::fs::create_dir(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "spanring-test"])
            .arg(&path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(SmallDisk { path, _dir: dir }),
            Ok(output) => {
                eprintln!(
                    "skipped: cannot mount a tmpfs: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                None
            }
            Err(error) => {
                eprintln!("skipped: cannot mount a tmpfs: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since the rings stay mapped as long as the process lives.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.path).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "the tmpfs can be unmounted");
    }
}

/// Takes all space that is left.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    let block = [1; 4096];
    while file.write_all(&block).is_ok() {}
}

fn record(recorded: &mut HashSet<SpanId>) -> bool {
    let span = spanring::span!("work", text = "x".repeat(200));
    let id = span.context().span_id();
    let is_recorded = span.end() == Ended::Recorded;
    if is_recorded {
        recorded.insert(id);
    }
    is_recorded
}

#[test]
fn a_disk_that_fills_up_raises_no_signal_and_recording_resumes_when_there_is_space_again() {
    let Some(disk) = SmallDisk::mount() else { return };
    let place = disk.path.join("spool");
    let spool = Spool::open(&place)
        .ring_bytes(64 << 10)
        .rings(1, 8)
        .tables(1, 8)
        .linger(Duration::from_millis(1))
        .start()
        .unwrap();
    let mut recorded = HashSet::new();
    for _ in 0..100 {
        assert!(record(&mut recorded));
    }
    spool.flush(Level::Durable, MINUTE).unwrap();

    let filler = disk.path.join("filler");
    fill(&filler);
    // Into the standby, then into the ring, then nowhere. Threads come and need rings and tables that cannot be made.
    let deadline = Instant::now() + MINUTE;
    let is_full = || {
        let refused = spool.flush(Level::Spooled, Duration::from_millis(50)).is_err();
        refused && spool.ledger().dropped.ring_full >= 1000
    };
    while !is_full() {
        assert!(Instant::now() < deadline, "{}", spool.ledger());
        for _ in 0..1000 {
            record(&mut recorded);
        }
    }
    let many = || (0..600).map(|_| spanring::span("open").start()).collect::<Vec<_>>();
    let open = std::thread::spawn(many).join().unwrap();
    drop(open);
    let trouble = spool.health().trouble.expect("the spool says what is wrong");
    assert!(trouble.reason.contains("No space left"), "{trouble:?}");

    // Who delivers can begin, and would give space back.
    fill(&disk.path.join("the rest"));
    let dir = SpoolDir::open(&place).unwrap();
    for sink in ["file:a", "file:b", "file:c", "file:d"] {
        let mut cursor = dir.cursor(spool.id(), sink).unwrap();
        let state = CursorState { delivered: 7, ..CursorState::default() };
        cursor.store(state).unwrap();
        cursor.sync().unwrap();
        assert_eq!(Cursor::peek(&dir.recorder_path(spool.id()), sink).unwrap(), state);
    }

    for filler in [filler, disk.path.join("the rest")] {
        std::fs::remove_file(filler).unwrap();
    }
    spool.flush(Level::Durable, MINUTE).unwrap();
    for _ in 0..100 {
        assert!(record(&mut recorded), "recording goes on as before");
    }
    spool.flush(Level::Durable, MINUTE).unwrap();
    assert_eq!(spool.health().trouble, None);

    let report = spool.stop(MINUTE);
    let ledger = report.ledger;
    assert!(ledger.balances(), "{report}");
    assert!(ledger.unspooled() == 0 && ledger.dropped.ring_full >= 1000, "{report}");
    let dir = SpoolDir::open(&place).unwrap();
    let mut found = HashSet::new();
    for id in dir.recorders().unwrap() {
        let mut reader = dir.reader(&id).unwrap();
        while let Some(block) = reader.next_block().unwrap() {
            found.extend(block.spans.iter().filter(|span| span.name == "work").map(|span| span.span_id));
        }
    }
    assert_eq!(found, recorded);
}
