//! `spanring replay`, of spools that an exporter with a grace has delivered.

mod agent;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use spanring_exporter::demo::receiver::Answer;
use spanring_exporter::rfc3339;

use self::agent::{Arrived, TestSpool, complaint, receiver, spanring, wait_until};

#[test]
fn a_recording_process() {
    agent::main();
}

fn replay(spool: &TestSpool, sink: &str, since: &str) -> Command {
    let mut command = spanring();
    command.arg("replay").arg("--spool").arg(spool.path()).args(["--to", sink, "--since", since]);
    command
}

fn report(command: &mut Command) -> (i32, serde_json::Value) {
    let output = command.args(["--json", "--deadline", "1s"]).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code().unwrap(), report)
}

fn printed(output: Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn export_with_grace(spool: &TestSpool, sinks: &[&str]) {
    let output = spool.export(sinks).args(["--once", "--grace", "1h", "--deadline", "1s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// Every file of the spool, with what it holds.
fn everything(spool: &TestSpool) -> BTreeMap<PathBuf, Vec<u8>> {
    fn add(dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => add(&path, files),
                false => drop(files.insert(path.clone(), fs::read(path).unwrap())),
            }
        }
    }
    let mut files = BTreeMap::new();
    add(&spool.path(), &mut files);
    files
}

fn file_sink(spool: &TestSpool, name: &str) -> (PathBuf, String) {
    let path = spool.file(name);
    let sink = format!("file:{}", path.display());
    (path, sink)
}

#[test]
fn what_was_delivered_is_delivered_again_line_by_line_and_nothing_in_the_spool_changes() {
    let spool = TestSpool::new();
    spool.record(0, 3000);
    spool.start(3000, 500).kill();
    let (first, first_sink) = file_sink(&spool, "first.jsonl");
    export_with_grace(&spool, &[&first_sink]);
    let before = everything(&spool);

    // To the sink that had it, to a new one, and to a receiver.
    let (second, second_sink) = file_sink(&spool, "second.jsonl");
    let (_receiver, otlp, arrived) = receiver(|_| None);
    let lines = fs::read_to_string(&first).unwrap();
    for sink in [&first_sink, &second_sink, &otlp] {
        let (status, report) = report(&mut replay(&spool, sink, "1h"));
        assert_eq!((status, &report["end"]), (0, &"complete".into()), "{report}");
        assert_eq!((&report["delivered"], &report["spans"]), (&3502.into(), &3502.into()), "{report}");
    }
    assert!(fs::read_to_string(&second).unwrap() == lines, "not the same batches, or in another order");
    assert!(fs::read_to_string(&first).unwrap() == format!("{lines}{lines}"), "not the same batches");
    arrived.assert_each_once(3500);
    assert_eq!(arrived.named("open").len(), 2);
    assert!(everything(&spool) == before, "something in the spool has changed");

    // The exporter goes on as if nothing had been.
    let (status, report, _) = spool.export_once(&[&first_sink]);
    assert_eq!((status, &report["sinks"][0]["delivered"]), (0, &0.into()), "{report}");
    assert_eq!(spool.recorders(), [""; 0]);
}

#[test]
fn a_replay_that_is_killed_is_done_again_in_the_same_requests() {
    let spool = TestSpool::new();
    spool.record(0, 20_000);
    let (_, file) = file_sink(&spool, "first.jsonl");
    export_with_grace(&spool, &[&file]);
    let before = everything(&spool);
    let (bodies, count) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
    let (kept, counted) = (Arc::clone(&bodies), Arc::clone(&count));
    // Takes what it is sent, and stays silent about the tenth request.
    let (_receiver, sink, _) = receiver(move |request| {
        kept.lock().unwrap().push(request.body.clone());
        let is_silent = counted.fetch_add(1, Ordering::SeqCst) == 9;
        let delay = if is_silent { Duration::from_secs(600) } else { Duration::ZERO };
        Some(Answer { delay, ..Answer::status(200) })
    });
    let mut killed = replay(&spool, &sink, "1h").spawn().unwrap();
    wait_until("a request stays without an answer", || count.load(Ordering::SeqCst) == 10);
    killed.kill().unwrap();
    killed.wait().unwrap();
    let first = std::mem::take(&mut *bodies.lock().unwrap());

    let (status, report) = report(&mut replay(&spool, &sink, "1h"));
    assert_eq!((status, &report["delivered"]), (0, &20_001.into()), "{report}");
    let second = bodies.lock().unwrap();
    assert!(second.len() > 10 && second.starts_with(&first));
    let arrived = Arrived::default();
    second.iter().for_each(|body| arrived.add(body));
    arrived.assert_each_once(20_000);
    assert!(everything(&spool) == before, "something in the spool has changed");
}

#[test]
fn only_what_the_sink_has_had_and_what_ended_since_then_is_replayed() {
    let spool = TestSpool::new();
    spool.record(0, 100);
    let (_, file) = file_sink(&spool, "first.jsonl");
    let (_receiver, otlp, arrived) = receiver(|_| None);
    // The receiver has the first hundred, the file all.
    export_with_grace(&spool, &[&file, &otlp]);
    let between = rfc3339::text(std::time::SystemTime::now() + Duration::from_millis(1));
    std::thread::sleep(Duration::from_millis(5));
    spool.record(100, 50);
    export_with_grace(&spool, &[&file]);
    arrived.assert_each_once(100);

    let plan = |sink: &str, since: &str| {
        let (status, plan) = report(replay(&spool, sink, since).arg("--dry-run"));
        assert_eq!(status, 0, "{plan}");
        plan["spans"].as_u64().unwrap()
    };
    assert_eq!([plan(&file, "1h"), plan(&file, &between)], [152, 51]);
    assert_eq!([plan(&otlp, "1h"), plan(&otlp, &between)], [101, 0], "the rest is the exporter's business");
    assert_eq!([plan("stdout", "1h"), plan("stdout", "0s")], [152, 0], "a new sink gets what any has had");
    let (status, text) = printed(replay(&spool, &file, "1h").arg("--dry-run").output().unwrap());
    assert!(status == 0 && text.starts_with(&format!("{file}: 152 spans in ")), "{text}");
    assert!(text.ends_with(" blocks would be delivered again\n"), "{text}");

    let (status, sent) = report(&mut replay(&spool, &otlp, "1h"));
    assert_eq!((status, &sent["delivered"]), (0, &101.into()), "{sent}");
    assert!(arrived.numbers().values().all(|&times| times == 2), "{sent}");
    assert_eq!(arrived.numbers().len(), 100);
}

#[test]
fn a_dry_run_makes_no_file_and_a_spool_that_was_never_exported_has_nothing() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (path, file) = file_sink(&spool, "never.jsonl");
    let (status, plan) = report(replay(&spool, &file, "1h").arg("--dry-run"));
    assert_eq!((status, &plan["spans"], path.exists()), (0, &0.into(), false), "{plan}");
    let printed = printed(replay(&spool, &file, "1h").output().unwrap());
    assert_eq!(printed, (0, format!("{file}: 0 of 0 spans in 0 blocks delivered again in 0 requests\n")));
}

#[test]
fn an_outage_ends_at_the_deadline_with_status_1_and_says_how_much_is_left() {
    let spool = TestSpool::new();
    spool.record(0, 100);
    let (_, file) = file_sink(&spool, "first.jsonl");
    export_with_grace(&spool, &[&file]);
    for (answer, end, said) in
        [(503, "gave_up", "503 Service Unavailable"), (401, "refused", "401 Unauthorized")]
    {
        let (_receiver, sink, _) = receiver(move |_| Some(Answer::status(answer)));
        let (status, report) = report(&mut replay(&spool, &sink, "1h"));
        assert_eq!((status, &report["end"]), (1, &end.into()), "{report}");
        assert_eq!((&report["delivered"], &report["spans"]), (&0.into(), &101.into()), "{report}");
        assert!(report["reason"].as_str().unwrap().contains(said), "{report}");
    }
    let (nobody, sink, _) = receiver(|_| None);
    drop(nobody);
    let output = replay(&spool, &sink, "1h").args(["--deadline", "0s"]).output().unwrap();
    let (status, text) = printed(output);
    assert!(status == 1 && text.starts_with(&format!("{sink}: 0 of 101 spans in ")), "{text}");
    assert!(text.contains("; gave up: ") && text.contains("Connection refused"), "{text}");
}

#[test]
fn a_span_that_is_refused_holds_up_no_other_and_is_no_dead_letter() {
    let spool = TestSpool::new();
    spool.record(0, 100);
    let (_, file) = file_sink(&spool, "first.jsonl");
    export_with_grace(&spool, &[&file]);
    let before = everything(&spool);
    let (_receiver, sink, arrived) = receiver(|request| {
        let seen = Arrived::default();
        seen.add(&request.body);
        seen.numbers().contains_key(&42).then(|| Answer::status(400))
    });
    let (status, report) = report(&mut replay(&spool, &sink, "1h"));
    assert_eq!((status, &report["end"]), (1, &"complete".into()), "{report}");
    assert_eq!((&report["delivered"], &report["refused"]), (&100.into(), &1.into()), "{report}");
    assert!(arrived.numbers().len() == 99 && !arrived.numbers().contains_key(&42));
    assert!(everything(&spool) == before, "something in the spool has changed");
}

#[test]
fn a_spool_that_an_exporter_is_at_is_left_alone() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let mut exporter = spool.export(&[&sink]).args(["--grace", "1h"]).spawn().unwrap();
    wait_until("it is at it", || arrived.numbers().len() == 10);
    let (status, text) = complaint(replay(&spool, &sink, "1h").output().unwrap());
    assert!(status == 1 && text.contains("cannot export from the spool: "), "{text}");
    assert!(text.contains(" is locked by another process"), "{text}");
    exporter.kill().unwrap();
    exporter.wait().unwrap();
    arrived.assert_each_once(10);
}

#[test]
fn bad_input_is_status_2_and_names_what_is_wrong() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    for (sink, since, expected) in [
        ("stdout", "yesterday", "a time is so long ago"),
        ("stdout", "2026-02-30T00:00:00Z", "a time is so long ago"),
        ("ftp://x", "1h", "unknown sink"),
    ] {
        let (status, text) = complaint(replay(&spool, sink, since).output().unwrap());
        assert!(status == 2 && text.contains(expected), "{text}");
    }
    let none = spanring().args(["replay", "--to", "stdout", "--since", "1h", "--spool", "/none"]).output();
    let (status, text) = complaint(none.unwrap());
    assert!(status == 2 && text.contains("there is no spool at "), "{text}");
}
