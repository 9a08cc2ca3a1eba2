//! Spans that are created when they start, and agents that are told to stop.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use spanring_spool::{Level, Spool};

use crate::agent::{self, TestSpool};
use crate::server::{Server, named, start, status};
use crate::{ONE_AT_A_TIME, Running, export, live};

const HEEDFUL: &str = "SPANRING_TEST_HEEDFUL";

/// Works until it is told to stop, writes why, and stops in order.
#[test]
fn an_agent_that_heeds_what_it_is_told() {
    let Some(dir) = env::var_os(HEEDFUL).map(PathBuf::from) else { return };
    let spool = Spool::open(dir.join("spool")).service("shop").start().unwrap();
    let began = Instant::now();
    let termination = loop {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody told it to stop");
        assert!(matches!(spanring::span("step").root().start().end(), spanring::Ended::Recorded));
        if let Some(termination) = spool.termination() {
            break termination;
        }
        thread::sleep(Duration::from_millis(5));
    };
    fs::write(dir.join("reason"), termination.reason).unwrap();
    assert!(spool.stop(Duration::from_secs(60)).is_complete);
}

#[test]
fn an_agent_learns_that_the_server_wants_it_stopped_and_all_it_recorded_is_delivered() {
    let capture = "tests/captures/prefactor_core_terminate/003_POST_api_v1_agent_spans.json";
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join(capture);
    let capture: Json = serde_json::from_slice(&fs::read(capture).unwrap()).unwrap();
    let control = Some(capture["response_body"]["control"].clone());
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server { control, ..Server::default() });
    let agent = Command::new(env::current_exe().unwrap())
        .args(["--exact", "live::an_agent_that_heeds_what_it_is_told", "--nocapture"])
        .env(HEEDFUL, spool.path().parent().unwrap())
        .stdout(Stdio::null())
        .spawn();
    let mut agent = Running(agent.unwrap());
    agent::wait_until("the agent has a recorder", || spool.path().exists() && !spool.recorders().is_empty());
    let log = fs::File::create(spool.file("log")).unwrap();
    let mut command = export(&spool, &sink);
    let exporter = Running(command.args(["--log-format", "json"]).stderr(log).spawn().unwrap());

    assert!(agent.0.wait().unwrap().success());
    assert_eq!(fs::read_to_string(spool.file("reason")).unwrap(), "operator stop");
    agent::wait_until("all is delivered and removed, the termination with it", || {
        let mut names: Vec<_> =
            fs::read_dir(spool.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names == ["exporter.lock", "spanring-spool"]
    });
    drop(exporter);
    let server = server.lock().unwrap();
    assert_eq!(server.wrong, [""; 0]);
    assert_eq!(server.instances.len(), 1);
    let log = fs::read_to_string(spool.file("log")).unwrap();
    let told: Vec<Json> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = told.iter().filter(|told| told["event"] == "termination").collect();
    assert_eq!(told.len(), 1, "{log}");
    assert_eq!((&told[0]["sink"], &told[0]["reason"]), (&sink.into(), &"operator stop".into()));
    assert_eq!(told[0]["recorder"], server.instances[0].registered["external_identifier"]);
}

const HOLDING: &str = "SPANRING_TEST_HOLDING";

/// Holds a span and one under it open until it may go on.
#[test]
fn an_agent_that_holds_spans_open() {
    let Some(dir) = env::var_os(HOLDING).map(PathBuf::from) else { return };
    let spool = Spool::open(dir.join("spool")).service("shop").live(true).start().unwrap();
    let may = |what: &str| agent::wait_until(what, || dir.join(what).exists());
    let root = spanring::span("outer").root().start_with(|span| _ = span.input(&json!({"question": 1})));
    let inner = root.llm("gpt-4o").start_with(|span| _ = span.input(&json!({"prompt": "Hi"})));
    may("end the inner one");
    inner.set("late", "yes").temperature(0.5).output(&json!({"text": "Ho"}));
    inner.complete();
    may("end the outer one");
    root.fail(std::io::Error::other("no more"));
    assert!(spool.stop(Duration::from_secs(60)).is_complete);
}

/// Spans are shown while they run, to a live exporter; one that works in this mode then delivers the rest.
fn assert_shown_and_ended(mode: &str) {
    let spool = TestSpool::new();
    let (_receiver, sink, server) = start(Server::default());
    let agent = Command::new(env::current_exe().unwrap())
        .args(["--exact", "live::an_agent_that_holds_spans_open", "--nocapture"])
        .env(HOLDING, spool.path().parent().unwrap())
        .stdout(Stdio::null())
        .spawn();
    let mut agent = Running(agent.unwrap());
    agent::wait_until("the agent has a recorder", || spool.path().exists() && !spool.recorders().is_empty());
    let mut exporter = Running(live(&spool, &sink).spawn().unwrap());
    let is = |name: &str, expected: &str| status(&server, name).as_deref() == Some(expected);
    agent::wait_until("both run", || is("outer", "active") && is("chat gpt-4o", "active"));
    {
        let spans = named(&server.lock().unwrap());
        assert_eq!(spans["outer"]["payload"]["question"], 1);
        let inner = &spans["chat gpt-4o"];
        assert_eq!(
            (&inner["payload"]["prompt"], &inner["payload"]["model_name"]),
            (&"Hi".into(), &"gpt-4o".into())
        );
        assert_eq!(inner["parent_span_id"], spans["outer"]["id"]);
        assert!(inner.get("result_payload").is_none() && inner.get("finished_at").is_none(), "{inner}");
    }
    if mode == "finished" {
        drop(exporter);
        exporter = Running(export(&spool, &sink).spawn().unwrap());
    }
    fs::write(spool.file("end the inner one"), "").unwrap();
    if mode == "live" {
        agent::wait_until("the inner one has ended", || is("chat gpt-4o", "complete"));
        assert!(is("outer", "active"));
    }
    fs::write(spool.file("end the outer one"), "").unwrap();
    assert!(agent.0.wait().unwrap().success());
    agent::wait_until("all is delivered and removed", || spool.recorders().is_empty());
    drop(exporter);
    let server = server.lock().unwrap();
    // A key comes with another body where the mode is another one.
    assert!(mode == "finished" || server.wrong.is_empty(), "{:?}", server.wrong);
    assert_eq!((server.spans.len(), server.instances.len()), (2, 1));
    assert_eq!(server.finished.values().copied().collect::<Vec<_>>(), [1, 1], "each is finished once");
    assert_eq!(server.instances[0].status, "complete");
    let spans = named(&server);
    let inner = &spans["chat gpt-4o"];
    assert_eq!(inner["status"], "complete");
    assert_eq!(inner["result_payload"]["text"], "Ho");
    let late = &inner["result_payload"]["metadata"];
    assert_eq!((&late["late"], &late["spanring.payload"]["temperature"]), (&"yes".into(), &0.5.into()));
    if mode == "live" {
        assert_eq!(late.as_object().unwrap().len(), 2, "what was said before is not said again: {late}");
    }
    assert_eq!(spans["outer"]["status"], "failed");
    assert_eq!(spans["outer"]["result_payload"]["error"]["message"], "no more");
}

#[test]
fn spans_are_seen_while_they_run_and_how_each_ended_before_its_trace_is_over() {
    assert_shown_and_ended("live");
}

#[test]
fn what_was_shown_is_finished_also_by_an_exporter_that_shows_nothing() {
    assert_shown_and_ended("finished");
}

#[test]
fn a_span_that_was_announced_and_whose_end_was_lost_does_not_run_for_ever() {
    let spool = TestSpool::new();
    let patience = Duration::from_secs(60);
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = Spool::open(spool.path()).service("shop").start().unwrap();
    let root = spanring::span("lost").root().start();
    recorder.flush(Level::Spooled, patience).unwrap();
    let segment = spool.path().join(recorder.id().as_str()).join(format!("{:018}.segment", 1));
    let before = fs::read(&segment).unwrap();
    root.complete();
    drop(spanring::span("kept").root().start());
    recorder.flush(Level::Spooled, patience).unwrap();
    let mut damaged = fs::read(&segment).unwrap();
    let changed = (0..before.len()).filter(|&at| before[at] != damaged[at]).max().unwrap();
    drop(spanring::span("kept too").root().start());
    assert!(recorder.stop(patience).is_complete);
    drop(turn);
    damaged = fs::read(&segment).unwrap();
    damaged[changed] ^= 1;
    fs::write(&segment, damaged).unwrap();

    let (_receiver, sink, server) = start(Server::default());
    let output = live(&spool, &sink).args(["--once", "--json"]).output().unwrap();
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["sinks"][0]["delivered"], 1, "it counts as what it is: {report}");
    let server = server.lock().unwrap();
    assert_eq!(server.wrong, [""; 0]);
    let spans = named(&server);
    assert_eq!(spans.keys().collect::<Vec<_>>(), ["kept too", "lost"]);
    assert_eq!(spans["lost"]["status"], "failed");
    assert_eq!(spans["lost"]["result_payload"]["error"]["error_type"], "spanring.end_lost");
    assert!(server.finished.values().eq(&[1, 1]), "{:?}", server.finished);
}
