//! Exporters of several spools.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use spanring_spool::SpoolDir;
use tokio::time::Instant;

use super::{Seen, spool};
use crate::engine::{Exporter, Exporters, Route, RouteOptions, SPANS_MAX};
use crate::sink::{Outcome, Sink};
use crate::{Error, SpoolReport};

const LONG: Duration = Duration::from_secs(60);

fn delivering(seen: &Seen) -> Box<dyn Sink> {
    Box::new(seen.told(|_| Outcome::DELIVERED))
}

fn exporter(dir: &Path, seen: &Seen) -> Exporter {
    Exporter::new(SpoolDir::open(dir).unwrap()).to(delivering(seen)).once(LONG)
}

fn is_claimed(dir: &Path) -> bool {
    SpoolDir::open(dir).unwrap().claim_for_export().is_err()
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

#[test]
fn each_spool_is_delivered_and_one_whose_sink_takes_nothing_keeps_the_other_from_nothing() {
    let ((out, _), (well, spans)) = (spool(3), spool(5));
    let seen = Seen::default();
    let refusing = Seen::default().told(|_| Outcome::Parked { reason: "closed".into() });
    let refused = Exporter::new(SpoolDir::open(out.path()).unwrap()).to(Box::new(refusing)).once(LONG);
    let exporters = Exporters::new([refused, exporter(well.path(), &seen)]);
    let report = paused().block_on(exporters.run(std::future::pending())).unwrap();
    let [SpoolReport { spool, report: first }, second] = &report.spools[..] else { panic!("{report}") };
    assert_eq!(spool.as_path(), out.path().canonicalize().unwrap());
    assert!(first.is_failure() && second.report.is_complete(), "{report}");
    assert_eq!((report.total().sinks[0].delivered, second.report.recorders_removed), (5, 1), "{report}");
    assert_eq!(seen.taken(), spans.iter().map(|&span| (span, 1)).collect());
}

#[test]
fn none_begins_where_one_cannot_and_no_spool_stays_claimed() {
    let ((dir, _), (other, _)) = (spool(1), spool(1));
    let claim = SpoolDir::open(other.path()).unwrap().claim_for_export().unwrap();
    let seen = Seen::default();
    let both = || Exporters::new([exporter(dir.path(), &seen), exporter(other.path(), &seen)]);
    let error = paused().block_on(both().run(std::future::pending())).unwrap_err();
    assert!(matches!(error, Error::Spool(spanring_spool::Error::Locked { .. })), "{error}");
    assert!(matches!(both().spawn().unwrap_err(), Error::Spool(spanring_spool::Error::Locked { .. })));
    assert!(!is_claimed(dir.path()) && seen.taken().is_empty());
    drop(claim);
    assert!(paused().block_on(both().run(std::future::pending())).unwrap().is_complete());
    assert_eq!(seen.taken().len(), 2);

    let none = paused().block_on(Exporters::new([]).run(std::future::pending())).unwrap_err();
    assert!(matches!(none, Error::NoSpool));
}

#[test]
fn a_spool_is_there_once_whatever_path_leads_to_it() {
    let (dir, _) = spool(1);
    let links = tempfile::tempdir().unwrap();
    let link = links.path().join("link");
    std::os::unix::fs::symlink(dir.path(), &link).unwrap();
    let around: PathBuf = dir.path().join("..").join(dir.path().file_name().unwrap());
    for other in [dir.path(), &link, &around] {
        let seen = Seen::default();
        let twice = Exporters::new([exporter(dir.path(), &seen), exporter(other, &seen)]);
        let error = paused().block_on(twice.run(std::future::pending())).unwrap_err();
        let Error::SpoolTwice { path } = error else { panic!("{error}") };
        assert_eq!(path, dir.path().canonicalize().unwrap());
        assert!(seen.taken().is_empty() && !is_claimed(dir.path()));
    }
}

#[test]
fn a_rate_is_of_a_sink_over_all_spools() {
    // Five batches each, and a rate of a span a second: had each spool a rate of its own, it would take half as long.
    let ((one, spans), (other, _)) = (spool(SPANS_MAX * 5), spool(SPANS_MAX * 5));
    let seen = Seen::default();
    let options = RouteOptions { spans_per_second: NonZeroU32::new(1), ..RouteOptions::default() };
    let routes = Route::together([delivering(&seen), delivering(&seen)], options);
    let exporters = [&one, &other].into_iter().zip(routes).map(|(dir, route)| {
        Exporter::new(SpoolDir::open(dir.path()).unwrap()).along(route).once(Duration::from_secs(1))
    });
    let exporters = Exporters::new(exporters);
    let runtime = paused();
    let took = runtime.block_on(async {
        let began = Instant::now();
        assert!(exporters.run(std::future::pending()).await.unwrap().is_complete());
        began.elapsed()
    });
    // All but the last batch had to be paid for when that was sent, less the second that comes for nothing.
    let (all, batch) = (2 * spans.len() as u64, SPANS_MAX as u64);
    assert!((all - batch - 1..all).contains(&took.as_secs()), "{took:?}");
    assert_eq!(seen.taken().len() as u64, all);
}

#[test]
fn one_stop_ends_all_of_them_on_a_thread_of_their_own() {
    let ((one, _), (other, _)) = (spool(2), spool(3));
    let (sender, taken) = std::sync::mpsc::channel();
    let seen = Seen::default();
    let following = |dir: &Path| {
        let sender = sender.clone();
        let sink = seen.told(move |spans| {
            sender.send(spans.len()).unwrap();
            Outcome::DELIVERED
        });
        Exporter::new(SpoolDir::open(dir).unwrap()).to(Box::new(sink))
    };
    let spawned = Exporters::new([following(one.path()), following(other.path())]).spawn().unwrap();
    let mut sum = 0;
    while sum < 5 {
        sum += taken.recv_timeout(LONG).unwrap();
    }
    assert!(!spawned.is_finished() && is_claimed(one.path()) && is_claimed(other.path()));
    let report = spawned.stop(LONG).unwrap();
    let delivered: Vec<_> = report.spools.iter().map(|spool| spool.report.sinks[0].delivered).collect();
    assert_eq!((delivered, report.is_failure()), (vec![2, 3], false), "{report}");
    assert!(!is_claimed(one.path()) && !is_claimed(other.path()));
}
