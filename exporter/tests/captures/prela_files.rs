//! Prela: its files, as the command writes them of the spans of captures, and what Prela's own exporters make of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value as Json, json};
use spanring::{ReplaySlot, Span, SpanId, Status, TraceId, names};
use spanring_exporter::prela::{self, TraceSummary, TraceWriter};

use crate::json::items;
use crate::prela::{SPANS, rebuild};
use crate::recording::{Life, PLACE, Recording, record};

/// Exports a recording by the real command. Returns the files' lines, and the directory that they are in.
fn exported(recording: Recording) -> (Vec<String>, tempfile::TempDir) {
    let dir = recording.leave();
    let traces = dir.path().join("traces");
    let output = Command::new(env!("CARGO_BIN_EXE_spanring"))
        .args(["export", "--once", "--to", &format!("prela-file:{}", traces.display()), "--spool"])
        .arg(dir.path().join("spool"))
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{output:?}");
    let lines = files(&traces).into_iter().flat_map(|path| {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    (lines.collect(), dir)
}

fn files(traces: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(traces).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// The span that a line says, without what the recording set on it.
fn span(line: &str) -> Json {
    let mut span: Json = serde_json::from_str(line).unwrap();
    let place = span["attributes"].as_object_mut().unwrap().remove(PLACE);
    assert!(place.is_some(), "every span has a place: {line}");
    span
}

#[test]
fn the_command_writes_the_files_that_prelas_exporter_wrote() {
    for capture in (SPANS.captures)() {
        let mut recording = Recording::start();
        (SPANS.rebuild)(&capture.json, &mut recording);
        let (lines, dir) = exported(recording);
        let written: Vec<_> = lines.iter().map(|line| span(line)).collect();
        assert_eq!(items(&capture.json), written, "{}", capture.name);
        let [path] = files(&dir.path().join("traces")).try_into().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("traces-2") && name.ends_with("-001.jsonl"), "{name}");
    }
}

/// Prints each span that Prela's own exporter to files reads, as that writes it; and each trace of them, as its exporter to servers sends it.
const READER: &str = "
import functools, json, operator, sys
from types import SimpleNamespace
from prela.exporters import http
from prela.exporters.file import FileExporter

class Printing(http.HTTPExporter):
    def __init__(self):
        self.endpoint, self.compress, self.timeout_ms, self._session = '', False, 0, self

    def post(self, endpoint, data, timeout):
        print(data)
        return SimpleNamespace(status_code=200, headers={})

# From Python 3.12 on, sum makes up for what it rounds.
http.sum = lambda numbers: functools.reduce(operator.add, numbers, 0)
spans = list(FileExporter(sys.argv[1]).read_traces())
for span in spans:
    print(json.dumps(span.to_dict()))
print(Printing()._do_export(spans).name)
";

#[test]
fn prelas_own_exporters_read_every_line_and_write_the_same() {
    let Some(python) = std::env::var_os("SPANRING_PRELA_PYTHON") else {
        eprintln!("skipped: SPANRING_PRELA_PYTHON names no Python with Prela's SDK to test with");
        return;
    };
    let mut recording = Recording::start();
    for capture in (SPANS.captures)() {
        items(&capture.json).iter().for_each(|span| rebuild(span, &mut recording));
    }
    record_odd_spans(&mut recording);
    let (lines, dir) = exported(recording);
    let output = Command::new(python).args(["-c", READER]).arg(dir.path().join("traces")).output().unwrap();
    let read = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let documents = documents(&lines);
    assert_eq!(documents.len(), 3);
    let expected = lines.into_iter().chain(documents).chain(["SUCCESS".to_owned()]);
    assert_eq!(read.lines().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

/// The documents of the traces of these lines.
fn documents(lines: &[String]) -> Vec<String> {
    let mut traces: Vec<Vec<prela::Span>> = Vec::new();
    for line in lines {
        let span = prela::Span::from_dict(line).unwrap();
        match traces.iter_mut().find(|trace| trace[0].trace_id == span.trace_id) {
            Some(trace) => trace.push(span),
            None => traces.push(vec![span]),
        }
    }
    let document = |spans: Vec<prela::Span>| {
        let summary = TraceSummary::of(spans.iter().cloned()).unwrap();
        let mut document = TraceWriter::begin(Vec::new(), &summary).unwrap();
        spans.iter().for_each(|span| document.span(span).unwrap());
        String::from_utf8(document.end().unwrap()).unwrap()
    };
    traces.into_iter().map(document).collect()
}

/// Spans that have something out of the ordinary, and no identity elsewhere.
fn record_odd_spans(recording: &mut Recording) {
    let life = |number: u64| Life {
        trace_id: TraceId::from_bytes([7; 16]),
        span_id: SpanId::from_foreign(&format!("span {number}")),
        parent_id: (number > 0).then(|| SpanId::from_foreign("span 0")),
        start_unix_ns: number * 1_000_000_000_000_000_999,
        end_unix_ns: Some(number * 1_000_000_000_000_000_999 + number.pow(9)),
    };
    let odd: [&dyn Fn(&Span); 10] = [
        &|span| {
            span.set("text", "größe \u{1f600} \"\\ \u{7f}\u{0}\u{2028}\n");
        },
        &|span| {
            for (at, number) in
                [0.1 + 0.2, 1e-5, 1e16, -0.0, 5e-324, f64::MAX, f64::NAN].into_iter().enumerate()
            {
                span.set_value_named(&format!("float {at}"), &number);
            }
        },
        &|span| {
            span.set("least", i64::MIN).set("most", u64::MAX);
        },
        &|span| {
            span.set_value("nested", &json!({"a": [null, true, {"b": []}], "c": {}}));
        },
        &|span| {
            span.set_status(Status::Error).status_message("no tea").error_type("TeaError");
        },
        &|span| {
            span.set_status(Status::Cancelled);
        },
        &|span| {
            span.set_status(Status::TimedOut).foreign_status("gone");
        },
        &|span| {
            span.type_name("agent:llm_call")
                .model("m")
                .finish_reason("stop")
                .input("question")
                .output("answer");
        },
        &|span| {
            span.event_with("said", |event| event.set("länge", 3));
            span.event("and again");
        },
        &|span| {
            span.replay(ReplaySlot::HasSideEffects, &true).replay(ReplaySlot::RequestTimestamp, "yesterday");
            span.replay(ReplaySlot::ToolOutput, &());
            span.set_value(names::REPLAY, &json!({"mine": 1}));
        },
    ];
    for (number, fill) in (0..).zip(odd) {
        record!(recording, life(number), spanring::llm("odd"), fill);
    }
}
