//! What `spanring export --log-format json` says.

use std::process::Output;

use serde_json::Value;
use spanring_exporter::demo::receiver::Answer;

use crate::agent::{TestSpool, receiver, spanring};
use crate::watched::Exporting;

const JSON: [&str; 2] = ["--log-format", "json"];

/// The lines, each of which is an object with a time, a level and a name.
#[track_caller]
fn events<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
    let mut last = String::new();
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let text = |key: &str| event[key].as_str().unwrap_or_else(|| panic!("no {key}: {line}")).to_owned();
        let time = text("time");
        let shape = time.replace(|c: char| c.is_ascii_digit(), "0");
        assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{line}");
        assert!(time >= last, "{time} after {last}");
        last = time;
        assert!(["info", "warn", "error"].contains(&text("level").as_str()), "{line}");
        assert!(text("event").bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        event
    };
    lines.into_iter().map(event).collect()
}

fn said(output: &Output) -> Vec<Value> {
    events(std::str::from_utf8(&output.stderr).unwrap().lines())
}

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[test]
fn everything_is_an_object_on_a_line_whatever_a_receiver_says() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let hostile = "no\r\n{\"event\":\"forged\"}\n\u{1b}[2J\u{9b}\u{2028}\u{85}\"\\\u{0}";
    let (_receiver, sink, _) =
        receiver(move |_| Some(Answer { body: hostile.into(), ..Answer::status(401) }));
    let output = spool
        .export(&[&sink])
        .args(JSON)
        .args(["--once", "--listen", "127.0.0.1:0"])
        .env("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "the report is the last event");
    let events = said(&output);
    assert_eq!(names(&events), ["variable_ignored", "listening", "ended", "report"]);
    assert!(events[1]["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!((&events[2]["level"], &events[2]["sink"]), (&"error".into(), &sink.as_str().into()));
    assert!(events[2]["reason"].as_str().unwrap().contains("401"), "{}", events[2]);
    let report = &events[3];
    assert_eq!((&report["level"], &report["sinks"][0]["end"]), (&"error".into(), &"refused".into()));
    assert!(!String::from_utf8(output.stderr).unwrap().contains(['\u{1b}', '\u{9b}', '\u{2028}', '\u{85}']));
}

#[test]
fn an_exporter_that_follows_tells_of_recovery_outage_and_stop() {
    let spool = TestSpool::new();
    spool.start(0, 10).kill();
    let mut failures = 6;
    let (_receiver, sink, arrived) = receiver(move |_| {
        failures -= i32::from(failures > 0);
        (failures > 0).then(|| Answer::status(503))
    });
    let exporting = Exporting::start(&spool, &[&sink], &JSON);
    exporting.metrics_when("all is delivered", |metrics| {
        metrics.find("spanring_sink_spans_delivered_total", &[("sink", &sink)]) == Some(11.0)
    });
    arrived.assert_each_once(10);
    let (status, printed, lines) = exporting.stop();
    assert_eq!((status.code(), printed.as_str()), (Some(0), ""));
    let events = events(lines.iter().map(String::as_str));
    let mut names = names(&events);
    // Which of two recorders is served first is not what this is about.
    names.sort_unstable();
    let expected = [
        "closed",
        "listening",
        "opened",
        "recovered",
        "report",
        "retrying",
        "retrying",
        "retrying",
        "retrying",
    ];
    assert_eq!(names, expected.into_iter().chain(["stopping"]).collect::<Vec<_>>());
    assert_eq!(events.last().unwrap()["event"], "report");
    assert_eq!(events.last().unwrap()["level"], "info");
}

#[test]
fn the_report_is_printed_only_where_it_is_asked_for_and_no_spans_go() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let export = |sinks: &[&str], more: &[&str]| {
        let output = spool.export(sinks).args(JSON).arg("--once").args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(names(&said(&output)), ["report"]);
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = export(&["stdout"], &["--json"]);
    assert!(printed.contains("resourceSpans") && !printed.contains("recorders_removed"), "{printed}");
    let (_receiver, sink, _) = receiver(|_| None);
    let report: Value = serde_json::from_str(&export(&[&sink], &["--json"])).unwrap();
    assert_eq!(report["sinks"][0]["end"], "complete");
}

#[test]
fn why_it_fails_is_an_event_with_the_same_status_as_ever() {
    for (spool, status) in [("/no/such/spool", 2), ("/", 2)] {
        let run = |more: &[&str]| {
            let command = ["export", "--spool", spool, "--to", "stdout", "--once"];
            spanring().args(command).args(more).output().unwrap()
        };
        let (json, text) = (run(&JSON), run(&[]));
        assert_eq!((json.status.code(), text.status.code()), (Some(status), Some(status)));
        let events = said(&json);
        assert_eq!((names(&events), &events[0]["level"]), (vec!["failed"], &"error".into()));
        let line = format!("spanring: {}\n", events[0]["reason"].as_str().unwrap());
        assert_eq!(String::from_utf8(text.stderr).unwrap(), line);
    }
}
