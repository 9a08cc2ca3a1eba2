//! Exporters on threads of their own.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use spanring_spool::SpoolDir;

use super::{Seen, spool};
use crate::Error;
use crate::engine::{ExportReport, Exporter, SpawnedExporter};
use crate::sink::{Batch, Delivery, Outcome, Sink};

const LONG: Duration = Duration::from_secs(60);

fn exporter(dir: &Path, sink: impl Sink + 'static) -> Exporter {
    Exporter::new(SpoolDir::open(dir).unwrap()).to(Box::new(sink))
}

fn is_claimed(dir: &Path) -> bool {
    SpoolDir::open(dir).unwrap().claim_for_export().is_err()
}

/// Spawns an exporter that follows the spool, and stops it once it has delivered everything.
fn deliver(dir: &Path, seen: &Seen, count: usize) -> ExportReport {
    let (sender, taken) = mpsc::channel();
    let exporter = exporter(
        dir,
        seen.told(move |spans| {
            sender.send(spans.len()).unwrap();
            Outcome::DELIVERED
        }),
    );
    let spawned = exporter.spawn().unwrap();
    let mut sum = 0;
    while sum < count {
        sum += taken.recv_timeout(LONG).unwrap();
    }
    spawned.stop(LONG).unwrap()
}

#[test]
fn a_spawned_exporter_delivers_and_stops_outside_of_a_runtime_and_within_any() {
    let outside = |dir: &Path, seen: &Seen| deliver(dir, seen, 600);
    let within = |mut builder: tokio::runtime::Builder| {
        move |dir: &Path, seen: &Seen| builder.build().unwrap().block_on(async { deliver(dir, seen, 600) })
    };
    type Way = Box<dyn FnMut(&Path, &Seen) -> ExportReport>;
    let ways: [Way; 2] = [Box::new(outside), Box::new(within(tokio::runtime::Builder::new_current_thread()))];
    for mut way in ways {
        let (dir, spans) = spool(600);
        let seen = Seen::default();
        let report = way(dir.path(), &seen);
        assert_eq!((report.sinks[0].delivered, report.is_failure()), (600, false), "{report}");
        assert_eq!(seen.taken(), spans.iter().map(|&span| (span, 1)).collect());
        assert!(!is_claimed(dir.path()), "it has stopped");
        assert_eq!(report.recorders_removed, 1, "{report}");
    }
}

#[test]
fn what_keeps_it_from_beginning_is_said_at_once() {
    let (dir, _) = spool(1);
    let none = Exporter::new(SpoolDir::open(dir.path()).unwrap()).spawn();
    assert!(matches!(none, Err(Error::NoSink)), "{none:?}");
    let claim = SpoolDir::open(dir.path()).unwrap().claim_for_export().unwrap();
    let second = exporter(dir.path(), Seen::default().told(|_| Outcome::DELIVERED)).spawn();
    assert!(matches!(second, Err(Error::Spool(spanring_spool::Error::Locked { .. }))), "{second:?}");
    drop(claim);
}

/// Panics with something that panics again when it is dropped.
struct Panicking;

struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        panic!("and once more");
    }
}

impl Sink for Panicking {
    fn name(&self) -> &str {
        "panicking"
    }

    fn deliver<'a>(&'a mut self, _: &'a Batch<'a>) -> Delivery<'a> {
        std::panic::panic_any(PanicsAgain)
    }
}

#[test]
fn a_sink_that_panics_ends_the_exporter_and_nothing_else_and_the_spans_are_kept() {
    let (dir, spans) = spool(3);
    let spawned = exporter(dir.path(), Panicking).spawn().unwrap();
    assert!(ended(&spawned), "it goes on");
    let stopped = spawned.stop(LONG);
    assert!(matches!(stopped, Err(Error::Panicked)), "{stopped:?}");
    assert!(!is_claimed(dir.path()));
    let seen = Seen::default();
    assert_eq!(deliver(dir.path(), &seen, 3).sinks[0].delivered, 3);
    assert_eq!(seen.taken(), spans.iter().map(|&span| (span, 1)).collect());
}

/// Whether it ends by itself, some day.
fn ended(spawned: &SpawnedExporter) -> bool {
    (0..60_000).any(|_| {
        std::thread::sleep(Duration::from_millis(1));
        spawned.is_finished()
    })
}

#[test]
fn an_exporter_that_delivers_once_ends_by_itself_with_a_whole_report() {
    let (dir, _) = spool(3);
    let once = exporter(dir.path(), Seen::default().told(|_| Outcome::DELIVERED)).once(LONG);
    let spawned = once.spawn().unwrap();
    assert!(ended(&spawned));
    let report = spawned.stop(Duration::ZERO).unwrap();
    assert!(report.is_complete(), "{report}");
}

/// Delivers when it is told to, and tells when it is asked to.
struct Held {
    asked: mpsc::Sender<()>,
    go: tokio::sync::mpsc::UnboundedReceiver<()>,
}

impl Sink for Held {
    fn name(&self) -> &str {
        "held"
    }

    fn deliver<'a>(&'a mut self, _: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(async {
            self.asked.send(()).unwrap();
            self.go.recv().await.unwrap();
            Outcome::DELIVERED
        })
    }
}

#[test]
fn a_batch_that_takes_long_is_not_waited_for_beyond_the_deadline_nor_by_a_drop_and_is_finished() {
    for drops in [true, false] {
        let (dir, _) = spool(1);
        let (asked, is_asked) = mpsc::channel();
        let (tell, go) = tokio::sync::mpsc::unbounded_channel();
        let spawned = exporter(dir.path(), Held { asked, go }).spawn().unwrap();
        is_asked.recv_timeout(LONG).unwrap();
        match drops {
            true => drop(spawned),
            false => {
                let stopped = spawned.stop(Duration::from_millis(1));
                assert!(matches!(stopped, Err(Error::NotStopped { .. })), "{stopped:?}");
            }
        }
        assert!(is_claimed(dir.path()), "its batch is under way");
        tell.send(()).unwrap();
        let freed = (0..60_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            !is_claimed(dir.path())
        });
        assert!(freed, "it goes on for ever");
        assert_eq!(
            SpoolDir::open(dir.path()).unwrap().recorders().unwrap(),
            [],
            "its batch was not finished"
        );
    }
}
