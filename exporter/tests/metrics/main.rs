//! What `spanring export` shows to those who watch it, while it delivers what real processes recorded.

#[path = "../agent/mod.rs"]
mod agent;
mod clients;
mod exposition;
mod logs;
mod rules;
mod watched;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message as _;
use spanring_exporter::Exporter;
use spanring_exporter::demo::receiver::Answer;
use spanring_exporter::metrics::{self, SpoolSnapshot, Taken};
use spanring_exporter::sink::{Batch, Delivery, Outcome, Sink};

use spanring_spool::SpoolDir;

use self::agent::{TestSpool, receiver};
use self::exposition::Exposition;
use self::watched::{Exporting, get};

#[test]
fn a_recording_process() {
    agent::main();
}

/// What recorders count, in this order: started, ended, interrupted, in flight, spooled.
fn ledger(metrics: &Exposition) -> [f64; 5] {
    ["started_total", "ended_total", "interrupted_total", "in_flight", "spooled_total"]
        .map(|name| metrics.value(&format!("spanring_recorder_spans_{name}"), &[]))
}

/// A sink's spans, in this order: backlog, delivered, rejected, dead-lettered.
fn spans(metrics: &Exposition, sink: &str) -> [f64; 4] {
    ["backlog_spans", "spans_delivered_total", "spans_rejected_total", "spans_dead_lettered_total"]
        .map(|name| metrics.value(&format!("spanring_sink_{name}"), &[("sink", sink)]))
}

/// The one state that a sink is in.
fn state(metrics: &Exposition, sink: &str) -> String {
    let is_in =
        |state: &&str| metrics.value("spanring_sink_state", &[("sink", sink), ("state", state)]) > 0.0;
    let states = metrics.label("spanring_sink_state", "state");
    assert_eq!(states, ["closed", "ended", "half_open", "open", "parked"].into());
    let [state] = states.into_iter().filter(is_in).collect::<Vec<_>>()[..] else { panic!("{metrics:?}") };
    state.to_owned()
}

#[test]
fn an_outage_shows_while_it_lasts_and_the_counts_agree_with_the_ledger_before_and_after() {
    let spool = TestSpool::new();
    spool.record(0, 2000);
    let status = Arc::new(AtomicU16::new(503));
    let answering = Arc::clone(&status);
    let (_receiver, sink, arrived) = receiver(move |_| match answering.load(Ordering::SeqCst) {
        200 => None,
        status => Some(Answer::status(status)),
    });
    let exporting = Exporting::start(&spool, &[&sink], &[]);
    let of_sink = |metrics: &Exposition, name: &str| {
        metrics.value(&format!("spanring_sink_{name}"), &[("sink", &sink)])
    };

    let out = exporting.metrics_when("the sink is taken for one that is out", |metrics| {
        metrics.find("spanring_sink_state", &[("sink", &sink), ("state", "open")]) == Some(1.0)
    });
    assert_eq!(ledger(&out), [2001.0, 2001.0, 0.0, 0.0, 2001.0]);
    assert_eq!(spans(&out, &sink), [2001.0, 0.0, 0.0, 0.0]);
    for name in ["failing_seconds", "lag_seconds", "requests_total", "retries_total"] {
        assert!(of_sink(&out, name) > 0.0, "{name}");
    }
    assert_eq!(out.find("spanring_sink_last_success_timestamp_seconds", &[("sink", &sink)]), None);
    assert_eq!(out.value("spanring_recorders", &[]), 1.0);
    assert!(out.value("spanring_spool_segment_bytes", &[]) > 0.0);
    let later = exporting.metrics_when("time passes", |metrics| {
        of_sink(metrics, "lag_seconds") > of_sink(&out, "lag_seconds")
            && of_sink(metrics, "failing_seconds") > of_sink(&out, "failing_seconds")
    });
    assert_eq!(spans(&later, &sink)[0], 2001.0);
    // It delivers what it is asked to: to sit out an outage is its work.
    assert_eq!(exporting.health("/readyz"), (200, "it delivers\n".into()));
    assert_eq!(exporting.health("/healthz"), (200, "it gets on\n".into()));

    status.store(200, Ordering::SeqCst);
    let done = exporting.metrics_when("all is delivered and removed", |metrics| {
        spans(metrics, &sink)[0] == 0.0 && metrics.value("spanring_recorders", &[]) == 0.0
    });
    arrived.assert_each_once(2000);
    assert_eq!(ledger(&done), [2001.0, 2001.0, 0.0, 0.0, 2001.0]);
    assert_eq!(spans(&done, &sink), [0.0, 2001.0, 0.0, 0.0]);
    assert_eq!(state(&done, &sink), "closed");
    assert_eq!((of_sink(&done, "failing_seconds"), of_sink(&done, "lag_seconds")), (0.0, 0.0));
    let (success, began) =
        (of_sink(&done, "last_success_timestamp_seconds"), done.value("process_start_time_seconds", &[]));
    assert!(success > began && began > 1.7e9, "{success} {began}");
    assert_eq!(done.value("spanring_recorders_removed_total", &[]), 1.0);
    assert_eq!(done.value("spanring_exporter_delivering", &[]), 1.0);
}

#[test]
fn the_ledger_holds_while_a_process_lives_and_once_it_is_killed_and_recovered() {
    let spool = TestSpool::new();
    let agent = spool.start(0, 100);
    let is_out = Arc::new(AtomicBool::new(true));
    let answering = Arc::clone(&is_out);
    let (_receiver, sink, arrived) =
        receiver(move |_| answering.load(Ordering::SeqCst).then(|| Answer::status(503)));
    let exporting = Exporting::start(&spool, &[&sink], &[]);
    let is = |metrics: &Exposition, recorders: f64| {
        metrics.find("spanring_recorders", &[]) == Some(recorders)
            && metrics.label("spanring_sink_state", "sink").contains(sink.as_str())
    };
    let alive =
        exporting.metrics_when("it is seen", |metrics| is(metrics, 1.0) && ledger(metrics)[4] == 100.0);
    assert_eq!(ledger(&alive), [101.0, 100.0, 0.0, 1.0, 100.0]);
    assert_eq!(spans(&alive, &sink), [100.0, 0.0, 0.0, 0.0]);
    agent.kill();
    let recovered = exporting.metrics_when("it is recovered", |metrics| is(metrics, 2.0));
    assert_eq!(ledger(&recovered), [101.0, 100.0, 1.0, 0.0, 101.0]);
    assert_eq!(spans(&recovered, &sink), [101.0, 0.0, 0.0, 0.0]);
    // One more, so that there is an account beside the two that are one.
    spool.record(100, 20);
    let more = exporting.metrics_when("another is seen", |metrics| is(metrics, 3.0));
    assert_eq!(ledger(&more), [122.0, 121.0, 1.0, 0.0, 122.0]);

    is_out.store(false, Ordering::SeqCst);
    let over = exporting.metrics_when("all is delivered and removed", |metrics| is(metrics, 0.0));
    arrived.assert_each_once(120);
    let [started, ended, interrupted, in_flight, spooled] = ledger(&over);
    assert_eq!([started, ended, interrupted, in_flight, spooled], [122.0, 121.0, 1.0, 0.0, 122.0]);
    assert_eq!(started, ended + interrupted + in_flight);
    assert_eq!(spans(&over, &sink), [0.0, spooled, 0.0, 0.0]);
    for (name, count) in [("found", 3.0), ("recovered", 1.0), ("removed", 3.0)] {
        assert_eq!(over.value(&format!("spanring_recorders_{name}_total"), &[]), count, "{name}");
    }
}

#[test]
fn a_sink_that_takes_nothing_is_parked_and_the_exporter_is_not_ready_until_it_does() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (_receiver, sink, _) = receiver(|_| Some(Answer::status(401)));
    let exporting = Exporting::start(&spool, &[&sink], &[]);
    let parked = exporting.metrics_when("it is parked", |metrics| {
        metrics.find("spanring_sink_state", &[("sink", &sink), ("state", "parked")]) == Some(1.0)
    });
    assert_eq!(state(&parked, &sink), "parked");
    assert_eq!(spans(&parked, &sink)[1..], [0.0, 0.0, 0.0]);
    let (status, why) = exporting.health("/readyz");
    assert_eq!((status, why), (503, format!("{sink} takes nothing until somebody changes something\n")));
    assert_eq!(exporting.health("/healthz").0, 200);
}

#[test]
fn what_sinks_refuse_and_reject_is_counted_and_makes_up_what_was_spooled() {
    let spool = TestSpool::new();
    spool.record(0, 9);
    let (_refusing, refuses, _) = receiver(|_| Some(Answer::status(400)));
    let (_rejecting, rejects, _) = receiver(|_| {
        let partial = ExportTracePartialSuccess { rejected_spans: 4, error_message: String::new() };
        let body = ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        let headers = vec![("content-type", "application/x-protobuf".into())];
        Some(Answer { headers, body, ..Answer::status(200) })
    });
    let exporting = Exporting::start(&spool, &[&refuses, &rejects], &[]);
    let done = exporting.metrics_when("all is delivered, and the dead letters are seen", |metrics| {
        metrics.value("spanring_dead_letters", &[]) == 10.0
            && [&refuses, &rejects]
                .iter()
                .all(|sink| metrics.find("spanring_sink_backlog_spans", &[("sink", sink)]) == Some(0.0))
            && metrics.value("spanring_recorders", &[]) == 0.0
    });
    let spooled = ledger(&done)[4];
    assert_eq!(spooled, 10.0);
    assert_eq!(spans(&done, &refuses), [0.0, 0.0, 0.0, 10.0]);
    let [backlog, delivered, rejected, dead_lettered] = spans(&done, &rejects);
    let requests = done.value("spanring_sink_requests_total", &[("sink", &rejects)]);
    assert_eq!((backlog, delivered + rejected, dead_lettered), (0.0, spooled, 0.0));
    assert!(rejected >= 4.0 && rejected <= requests * 4.0, "{rejected} of {requests} requests");
    assert!(done.value("spanring_sink_batches_divided_total", &[("sink", &refuses)]) > 0.0);
    let bytes: u64 = fs::read_dir(spool.path().join("dead-letters"))
        .unwrap()
        .map(|letter| letter.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(done.value("spanring_dead_letters_bytes", &[]).to_string(), bytes.to_string());
}

#[test]
fn each_of_several_spools_has_its_own_series_and_its_own_account_and_health_is_that_of_the_worst() {
    let (one, other) = (TestSpool::new(), TestSpool::new());
    one.record(0, 100);
    other.record(100, 200);
    let status = Arc::new(AtomicU16::new(200));
    let answering = Arc::clone(&status);
    let (_receiver, sink, arrived) = receiver(move |_| match answering.load(Ordering::SeqCst) {
        200 => None,
        status => Some(Answer::status(status)),
    });
    let at = |spool: &TestSpool| spool.path().canonicalize().unwrap().to_str().unwrap().to_owned();
    let (at_one, at_other) = (at(&one), at(&other));
    let exporting = Exporting::start(&one, &[&sink], &["--spool", &at_other]);
    let done = exporting.metrics_when("all is delivered and removed", |metrics| {
        [&at_one, &at_other].iter().all(|spool| {
            metrics.find("spanring_sink_spans_delivered_total", &[("spool", spool)]) > Some(100.0)
                && metrics.find("spanring_recorders", &[("spool", spool)]) == Some(0.0)
        })
    });
    arrived.assert_each_once(300);
    for (spool, count) in [(&at_one, 101.0), (&at_other, 201.0)] {
        let of = |name: &str| done.value(name, &[("spool", spool)]);
        for name in ["started", "ended", "spooled"] {
            assert_eq!(of(&format!("spanring_recorder_spans_{name}_total")), count, "{name}");
        }
        assert_eq!(of("spanring_sink_backlog_spans") + of("spanring_sink_spans_delivered_total"), count);
        assert_eq!((of("spanring_exporter_delivering"), of("spanring_dead_letters")), (1.0, 0.0));
    }
    assert_eq!(done.value("spanring_build_info", &[]), 1.0);
    let unlabelled = ["process_start_time_seconds", "spanring_build_info"];
    for name in done.names().filter(|name| !unlabelled.contains(name)) {
        assert_eq!(done.label(name, "spool"), [at_one.as_str(), &at_other].into(), "{name}");
    }
    promtool(&["check", "metrics"], &get(exporting.address, "/metrics").body);
    assert_eq!(exporting.health("/readyz"), (200, "it delivers\n".into()));

    // Of the two only this one has anything to deliver, and so to be refused.
    status.store(401, Ordering::SeqCst);
    other.record(300, 1);
    exporting.metrics_when("the sink is parked there", |metrics| {
        let labels = [("spool", at_other.as_str()), ("state", "parked")];
        metrics.find("spanring_sink_state", &labels) == Some(1.0)
    });
    let why = format!("{at_other}: {sink} takes nothing until somebody changes something\n");
    assert_eq!(exporting.health("/readyz"), (503, why));
    assert_eq!(exporting.health("/healthz").0, 200);
}

/// Takes everything, under a name that means a lot to whoever reads it carelessly.
struct Hostile;

const HOSTILE: &str = "a\"} 1\n# TYPE x counter\nx_total 1\\n\\\r\u{2028}é{,\\\"=";

impl Sink for Hostile {
    fn name(&self) -> &str {
        HOSTILE
    }

    fn deliver<'a>(&'a mut self, _batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(async { Outcome::DELIVERED })
    }
}

#[test]
fn a_sink_is_named_as_it_is_whatever_its_name_holds() {
    let spool = TestSpool::new();
    spool.record(0, 3);
    let dir = SpoolDir::open(spool.path()).unwrap();
    let mut exporter = Exporter::new(dir.clone()).to(Box::new(Hostile)).once(Duration::ZERO);
    let status = exporter.status();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert!(runtime.block_on(exporter.run(std::future::pending())).unwrap().is_complete());
    let now = SystemTime::now();
    let text = metrics::exposition(
        &[SpoolSnapshot { spool: dir.path().to_owned(), snapshot: status.now(), taken: Taken::by(&dir) }],
        now,
        now,
    );
    let metrics = Exposition::read(&text).unwrap();
    assert_eq!(metrics.value("spanring_sink_spans_delivered_total", &[("sink", HOSTILE)]), 4.0);
    assert_eq!(state(&metrics, HOSTILE), "ended");
    promtool(&["check", "metrics"], &text);
    let nothing = metrics::exposition(&[SpoolSnapshot::default()], now, now);
    assert!(Exposition::read(&nothing).is_ok(), "{nothing}");
}

/// What Prometheus' own tool says, where it is there: nothing.
fn promtool(arguments: &[&str], input: &str) {
    let tool = Command::new("promtool").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut tool = match tool {
        Ok(tool) => tool,
        Err(_) => return eprintln!("promtool is not there, so it says nothing of {arguments:?}"),
    };
    tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
