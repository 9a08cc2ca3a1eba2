//! What was decided not to be recorded shows in the ledger: of a process that lives, and of one that was killed. Processors are
//! flushed and shut down with the spool.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spanring::processor::Processor;
use spanring::redaction::{Redaction, SECRET_KEYS};
use spanring::sampling::{KindRates, Root};
use spanring::{Kind, Span};
use spanring_spool::{Error, Level, Patterns, Spool, SpoolBuilder, SpoolDir};

const MINUTE: Duration = Duration::from_secs(60);
/// What must be on no disk.
const SECRET: &str = "sk-proj-0123456789abcdefghijABCDEFGHIJ0123456789";
/// Where the process is to record that is killed.
const SPOOL: &str = "SPANRING_TEST_SPOOL";

/// A process has one spool at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many files below a directory hold a text.
fn files_with(dir: &Path, text: &str) -> usize {
    let count = |path: PathBuf| match path.is_dir() {
        true => files_with(&path, text),
        false => {
            usize::from(fs::read(path).unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes()))
        }
    };
    fs::read_dir(dir).unwrap().map(|entry| count(entry.unwrap().path())).sum()
}

struct Panics;

impl Processor for Panics {
    fn on_end(&self, _: &Span) {
        panic!("on_end");
    }
}

fn choosing(spool: SpoolBuilder) -> SpoolBuilder {
    spool
        .sampler(|root: &Root<'_>| root.name() != "out")
        .kind_rates(KindRates::default().rate(Kind::Embedding, 0.0))
        .redact(Redaction::new().keys(SECRET_KEYS).texts(Patterns::secrets()))
        .processor(Panics)
}

/// Two spans that are recorded, three that are not, and a guard that is dropped too early.
fn record() {
    let run = spanring::span("run").start();
    run.arguments(&serde_json::json!({"auth": {"password": SECRET}, "path": "/tmp"}));
    run.status_message(&format!("refused: Bearer {SECRET}"));
    drop(run.embedding("ada").start());
    let (first, second) = (run.enter(), run.enter());
    drop(first);
    drop(second);
    let out = spanring::span("out").root().start();
    drop(out.child("too").start());
    drop(run.child("step").start());
}

#[test]
fn what_was_sampled_out_shows_in_the_ledger_and_is_neither_started_nor_dropped() {
    let _alone = alone();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let spool = choosing(Spool::open(dir.path().join("spool"))).start().unwrap();
    std::thread::spawn(record).join().unwrap();
    let report = spool.stop(MINUTE);
    assert!(report.is_complete, "{report}");
    let ledger = report.ledger;
    assert_eq!((ledger.started, ledger.spooled, ledger.dropped.total()), (2, 2, 0), "{ledger}");
    assert_eq!((ledger.sampled_out, ledger.hooks_failed, ledger.redacted), (3, 2, 2), "{ledger}");
    assert!(ledger.to_string().contains("values redacted: 2"), "{ledger}");
    let text = ledger.to_string();
    assert!(text.contains("spans sampled out: 3"), "{text}");
    assert!(text.contains("calls of samplers, redactors and processors that panicked: 2"), "{text}");
}

#[test]
fn a_process_that_waits_to_be_killed() {
    let Some(path) = env::var_os(SPOOL) else { return };
    // Nothing is drained, so that no block knows of it.
    let _spool = choosing(Spool::open(path)).linger(MINUTE).start().unwrap();
    record();
    eprintln!("ready");
    std::thread::sleep(MINUTE);
}

#[test]
fn the_ledger_of_a_process_that_was_killed_has_what_it_counted_last() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = dir.path().join("spool");
    let mut process = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_process_that_waits_to_be_killed", "--nocapture", "--test-threads", "1"])
        .env(SPOOL, &path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(process.stderr.take().unwrap());
    assert!(said.lines().any(|line| line.unwrap() == "ready"));
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(files_with(&path, SECRET), 0);
    assert!(files_with(&path, "[redacted]") > 0, "the rings were looked through");

    let spool = SpoolDir::open(&path).unwrap();
    let recorders = spool.recorders().unwrap();
    let ledger = spool.recover(&recorders[0]).unwrap().ledger;
    assert_eq!((ledger.started, ledger.spooled), (2, 2), "{ledger}");
    let oddities = (ledger.sampled_out, ledger.hooks_failed, ledger.guards_out_of_order, ledger.redacted);
    assert_eq!(oddities, (3, 2, 1, 2), "{ledger}");
}

/// Says whether it has finished as it was told to.
#[derive(Clone, Default)]
struct Told {
    calls: Arc<Mutex<Vec<&'static str>>>,
    finishes: bool,
}

impl Processor for Told {
    fn flush(&self, timeout: Duration) -> bool {
        self.calls.lock().unwrap().push(if timeout.is_zero() { "flush at once" } else { "flush" });
        self.finishes
    }

    fn shut_down(&self) {
        self.calls.lock().unwrap().push("shut down");
    }
}

#[test]
fn processors_are_flushed_at_every_level_and_shut_down_once() {
    let _alone = alone();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let told = Told { finishes: true, ..Told::default() };
    let spool = Spool::open(dir.path().join("finishes")).processor(told.clone()).start().unwrap();
    for level in [Level::Recorded, Level::Spooled, Level::Durable] {
        spool.flush(level, MINUTE).unwrap();
    }
    assert!(spool.stop(MINUTE).is_complete);
    assert_eq!(*told.calls.lock().unwrap(), ["flush", "flush", "flush", "flush", "shut down"]);

    let told = Told::default();
    let spool = Spool::open(dir.path().join("does-not")).processor(told.clone()).start().unwrap();
    assert!(matches!(spool.flush(Level::Recorded, Duration::ZERO), Err(Error::TimedOut { .. })));
    assert!(matches!(spool.flush(Level::Durable, MINUTE), Err(Error::TimedOut { .. })));
    drop(spool);
    assert_eq!(*told.calls.lock().unwrap(), ["flush at once", "flush", "flush", "shut down"]);
}
