//! The bundled agent runs, recorded anew with the identities and times that they had.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;
use spanring::{Context, Overflow, Span, Status, names};
use spanring_exporter::demo::runs::AgentRun;
use spanring_spool::{Dropped, SpanData, Spool, Value};

/// How many spans they are, in how many runs.
pub(crate) const SPANS: usize = 334;
pub(crate) const RUNS: usize = 19;

/// How long recording may wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// The file that the runs are read from, one request a line.
pub(crate) fn lines() -> Vec<Json> {
    let lines = include_str!("../../data/agent-runs.otlp.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Records each run with a spool of its own in this directory, since each has another resource.
pub(crate) fn record(dir: &Path) {
    let runs = AgentRun::bundled();
    assert_eq!((runs.len(), runs.iter().map(|run| run.spans.len()).sum()), (RUNS, SPANS));
    for (run, line) in runs.iter().zip(lines()) {
        let scope = line["resourceSpans"][0]["scopeSpans"][0]["scope"]["name"].as_str().unwrap();
        let mut spool = Spool::open(dir).overflow(Overflow::Block(PATIENCE));
        for (key, value) in &run.resource {
            spool = spool.attribute(key, value.clone());
        }
        let spool = spool.start().unwrap();
        run.spans.iter().for_each(|span| record_span(span, scope));
        let report = spool.stop(PATIENCE);
        assert!(report.is_complete, "{report}");
        assert_eq!(report.ledger.dropped, Dropped::default());
    }
}

fn record_span(data: &SpanData, scope: &str) {
    let builder = spanring::span_named(&data.name).kind(data.kind);
    let builder = match data.parent_id {
        Some(parent_id) => builder.parent(Context::new(data.trace_id, parent_id)),
        None => builder.root().trace_id(data.trace_id),
    };
    let span = builder.span_id(data.span_id).start_unix_ns(data.start_unix_ns).start();
    span.set(names::SCOPE_NAME, scope);
    data.attributes.iter().for_each(|(key, value)| set(&span, key, value));
    for event in &data.events {
        span.event_at(&event.name, event.time_unix_ns, |recorded| {
            event.attributes.iter().for_each(|(key, value)| recorded.set_value_named(key, value));
        });
    }
    if data.status != Status::Unset {
        span.set_status(data.status);
    }
    if !data.status_message.is_empty() {
        span.status_message(&data.status_message);
    }
    assert_eq!(span.end_at_unix_ns(data.end_unix_ns), spanring::Ended::Recorded);
}

fn set(span: &Span, key: &str, value: &Value) {
    match value {
        Value::Str(value) => span.set_named(key, value),
        Value::I64(value) => span.set_named(key, *value),
        Value::F64(value) => span.set_named(key, *value),
        value => span.set_value_named(key, value),
    };
}
