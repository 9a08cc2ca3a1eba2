//! `spanring export --grace`, with spools whose segments were written long ago, just now, or tomorrow.

mod agent;

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use self::agent::{Arrived, TestSpool, receiver, wait_until};

const HOUR: Duration = Duration::from_secs(60 * 60);

#[test]
fn a_recording_process() {
    agent::main();
}

fn segments(spool: &TestSpool) -> Vec<PathBuf> {
    let mut segments = Vec::new();
    for recorder in spool.recorders() {
        let names = fs::read_dir(spool.path().join(recorder)).unwrap().map(|entry| entry.unwrap().path());
        segments.extend(names.filter(|path| path.extension().is_some_and(|end| end == "segment")));
    }
    segments.sort();
    segments
}

fn set_written(path: &PathBuf, at: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}

/// Exports once with a grace of two hours. The report, and what it says to people.
fn export_once(spool: &TestSpool, sink: &str, grace: &str) -> serde_json::Value {
    let mut export = spool.export(&[sink]);
    let output = export.args(["--once", "--json", "--deadline", "1s", "--grace", grace]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_is_delivered_stays_in_grace_and_is_not_delivered_again_and_goes_when_it_is_over() {
    let spool = TestSpool::new();
    spool.record(0, 2000);
    let file = spool.file("spans.jsonl");
    let sink = format!("file:{}", file.display());
    let there = segments(&spool);
    for delivered in [2001, 0] {
        let report = export_once(&spool, &sink, "2h");
        assert_eq!(report["sinks"][0]["delivered"], delivered, "{report}");
        assert_eq!(report["sinks"][0]["end"], "complete");
        assert_eq!(report["segments_in_grace"], there.len(), "{report}");
        assert_eq!((&report["recorders_removed"], &report["segments_removed"]), (&0.into(), &0.into()));
        assert_eq!(segments(&spool), there);
    }
    let output = spool.export(&[&sink]).args(["--once", "--grace", "2h"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let kept = format!("1 recorder, 0 removed, {} segment", there.len());
    assert!(text.contains(&kept) && text.trim_end().ends_with(" kept in grace"), "{text}");

    let now = SystemTime::now();
    for (written, stays) in [(now - HOUR, true), (now + 1000 * HOUR, true), (now - 2 * HOUR, false)] {
        there.iter().for_each(|path| set_written(path, written));
        let report = export_once(&spool, &sink, "2h");
        assert_eq!(spool.recorders().len(), usize::from(stays), "{report}");
    }
    Arrived::in_file(&file).assert_each_once(2000);
}

#[test]
fn one_segment_in_grace_keeps_its_recorder_and_no_other() {
    let spool = TestSpool::new();
    spool.record(0, 100);
    spool.record(100, 100);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let [first, second] = spool.recorders().try_into().unwrap();
    let old = SystemTime::now() - 2 * HOUR;
    for path in segments(&spool).iter().filter(|path| path.to_str().unwrap().contains(&first)) {
        set_written(path, old);
    }
    assert_eq!(export_once(&spool, &sink, "1h")["recorders_removed"], 1);
    assert_eq!(spool.recorders(), [second]);
    // Without a grace, what an earlier run left goes too.
    assert_eq!(export_once(&spool, &sink, "0s")["recorders_removed"], 1);
    assert_eq!(spool.recorders(), [""; 0]);
    arrived.assert_each_once(200);
}

#[test]
fn what_was_recovered_is_in_grace_beside_its_origin() {
    let spool = TestSpool::new();
    spool.start(0, 3000).kill();
    let (_receiver, sink, arrived) = receiver(|_| None);
    assert_eq!(export_once(&spool, &sink, "1h")["recoveries"], 1);
    let [origin, recovery] = spool.recorders().try_into().unwrap();
    assert_eq!(recovery, format!("{origin}-r"));
    arrived.assert_each_once(3000);
    let old = SystemTime::now() - 2 * HOUR;
    segments(&spool).iter().for_each(|path| set_written(path, old));
    assert_eq!(export_once(&spool, &sink, "1h")["recorders_removed"], 2);
    arrived.assert_each_once(3000);
}

#[test]
fn an_exporter_that_follows_lets_go_of_what_its_grace_is_over_for() {
    let spool = TestSpool::new();
    spool.record(0, 100);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let mut exporter = spool.export(&[&sink]).args(["--grace", "2s"]).stdout(Stdio::null()).spawn().unwrap();
    wait_until("all is delivered", || arrived.numbers().len() == 100);
    wait_until("its grace is over", || spool.recorders().is_empty());
    exporter.kill().unwrap();
    exporter.wait().unwrap();
    arrived.assert_each_once(100);
}
