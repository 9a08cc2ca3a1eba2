//! A process that records, and the `spanring` command, as the tests run them.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use spanring::Overflow;
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};
use spanring_exporter::otlp::ExportTraceServiceRequest;
use spanring_exporter::spanforge::Event;
use spanring_spool::Spool;
use tempfile::TempDir;

const SPOOL: &str = "SPANRING_TEST_SPOOL";
const FIRST: &str = "SPANRING_TEST_FIRST";
const COUNT: &str = "SPANRING_TEST_COUNT";
const STOPS: &str = "SPANRING_TEST_STOPS";
const READY: &str = "SPANRING_TEST_READY";
const LINGER_MS: &str = "SPANRING_TEST_LINGER_MS";
const TRACE_LEN: &str = "SPANRING_TEST_TRACE_LEN";
const QUALITY: &str = "SPANRING_TEST_QUALITY";
const TYPES: &str = "SPANRING_TEST_TYPES";
const RUNS: &str = "SPANRING_TEST_RUNS";

/// How long the tests wait for what must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the recording process does. It is this test program, started once more with only this test.
pub(crate) fn main() {
    let Some(dir) = env::var_os(SPOOL) else { return };
    let number = |name| env::var(name).unwrap().parse::<u64>().unwrap();
    let trace_len = if env::var_os(TRACE_LEN).is_some() { number(TRACE_LEN) } else { 1 };
    let linger_ms = if env::var_os(LINGER_MS).is_some() { number(LINGER_MS) } else { 1 };
    let spool = Spool::open(dir)
        .service("agent")
        .linger(Duration::from_millis(linger_ms))
        .overflow(Overflow::Block(PATIENCE))
        .start()
        .unwrap();
    let open = spanring::span("open").root().start();
    open.set("set_before_the_kill", "yes");
    let end =
        |span: spanring::Span| assert!(matches!(span.end(), spanring::Ended::Recorded), "one was dropped");
    let mut root: Option<spanring::Span> = None;
    let has_runs = env::var_os(RUNS).is_some();
    let types = if env::var_os(TYPES).is_some() { number(TYPES) } else { 0 };
    for n in number(FIRST)..number(FIRST) + number(COUNT) {
        let parent = root.as_ref().filter(|_| n % trace_len != 0);
        let span = match (parent, has_runs) {
            (None, false) => spanring::span("step").root().start(),
            (None, true) => spanring::trace("run").start(),
            (Some(root), false) => root.child("step").start(),
            (Some(root), true) => part_of_run(root, n),
        };
        span.set("number", n);
        if env::var_os(QUALITY).is_some()
            && let Some(name) = quality_of(n)
        {
            span.quality(name, &serde_json::json!({ "number": n }));
        }
        if let Some(type_name) = type_of(n - number(FIRST), number(COUNT), types) {
            span.type_name(&type_name);
        }
        match parent {
            None if trace_len > 1 => root.replace(span).into_iter().for_each(end),
            _ => end(span),
        }
    }
    // The last run goes on until its process is killed.
    let goes_on = root.take_if(|_| has_runs && env::var_os(STOPS).is_none());
    root.into_iter().for_each(end);
    if env::var_os(STOPS).is_some() {
        assert!(matches!(open.end(), spanring::Ended::Recorded));
        drop(spool.stop(PATIENCE));
        return;
    }
    fs::write(env::var_os(READY).unwrap(), "").unwrap();
    loop {
        thread::sleep(PATIENCE);
        assert!(goes_on.as_ref().is_none_or(spanring::Span::is_recording));
    }
}

/// A span under a run: a step, a call of a model, or of a tool.
fn part_of_run(run: &spanring::Span, number: u64) -> spanring::Span {
    match number % 3 {
        0 => run.child("step").kind(spanring::Kind::Chain).step_index(number).start(),
        1 => run.child("step").kind(spanring::Kind::Llm).cost(spanring::Cost::new(0.25, 0.5)).start(),
        _ => run.child("step").kind(spanring::Kind::Tool).start(),
    }
}

/// Whether this event is of a run that was recorded where there were so many spans, of which so many in a row are a trace, and says what it came to.
#[track_caller]
pub(crate) fn assert_totals(run: &Event, count: u64, trace_len: u64) {
    let first = run.payload["attributes"]["number"].as_u64().unwrap();
    assert!(first.is_multiple_of(trace_len), "{run:?}");
    let parts = first + 1..(first + trace_len).min(count);
    let of_sort = |sort: u64| parts.clone().filter(|number| number % 3 == sort).count();
    let said = ["total_steps", "total_model_calls", "total_tool_calls"].map(|key| run.payload[key].as_u64());
    assert_eq!(said, [0, 1, 2].map(|sort| Some(of_sort(sort) as u64)), "run {first}");
    let cost = run.payload["total_cost"]["total_cost_usd"].as_f64();
    assert_eq!(cost, Some(0.75 * f64::from(u32::try_from(of_sort(1)).unwrap())), "run {first}");
    let spans = run.payload["attributes"]["spanring.run.totals.spans"].as_u64();
    assert_eq!(spans, Some(parts.count() as u64), "run {first}");
}

/// The name of the record of quality that the span of this number has, where it is asked for such.
pub(crate) fn quality_of(number: u64) -> Option<&'static str> {
    ["accuracy", "tone"].get(usize::try_from(number % 8).unwrap()).copied()
}

/// The type that a span says, the so manieth of so many, where so many types turn up one after the other.
pub(crate) fn type_of(nth: u64, count: u64, types: u64) -> Option<String> {
    (types > 0 && nth % 3 == 1).then(|| format!("turned:up_{}", nth * types / count))
}

/// A spool in a directory of its own.
pub(crate) struct TestSpool {
    dir: TempDir,
}

/// A recording process that has recorded all it will, and waits to be killed.
pub(crate) struct Agent(Child);

impl Agent {
    pub(crate) fn kill(self) {}
}

/// Also where a test fails: left behind, it would hold the pipes of the test program open.
impl Drop for Agent {
    fn drop(&mut self) {
        let killed = self.0.kill().and_then(|()| self.0.wait());
        assert!(killed.is_ok() || thread::panicking(), "{killed:?}");
    }
}

impl TestSpool {
    pub(crate) fn new() -> Self {
        TestSpool { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn agent(&self, first: u64, count: u64) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "a_recording_process", "--nocapture", "--test-threads", "1"])
            .env(SPOOL, self.path())
            .env(FIRST, first.to_string())
            .env(COUNT, count.to_string())
            .stdout(Stdio::null());
        command
    }

    /// Records spans numbered from `first` on, and one more, in a process that stops in order.
    pub(crate) fn record(&self, first: u64, count: u64) {
        assert!(self.agent(first, count).env(STOPS, "").status().unwrap().success());
    }

    /// The same, in blocks of several batches.
    pub(crate) fn record_in_large_blocks(&self, first: u64, count: u64) {
        let mut agent = self.agent(first, count);
        assert!(agent.env(STOPS, "").env(LINGER_MS, "60000").status().unwrap().success());
    }

    /// Records spans numbered from `first` on in a process that then waits, with one more span open.
    pub(crate) fn start(&self, first: u64, count: u64) -> Agent {
        self.wait_for(self.agent(first, count))
    }

    /// The same, where so many spans in a row are a trace, the first of them its root.
    pub(crate) fn start_traces(&self, first: u64, count: u64, trace_len: u64) -> Agent {
        let mut agent = self.agent(first, count);
        agent.env(TRACE_LEN, trace_len.to_string());
        self.wait_for(agent)
    }

    /// The same, where some have records of quality, and some say [types](type_of), of which there are so many.
    pub(crate) fn start_with_quality_and_types(
        &self,
        first: u64,
        count: u64,
        trace_len: u64,
        types: u64,
    ) -> Agent {
        let mut agent = self.agent(first, count);
        agent.env(QUALITY, "").env(TRACE_LEN, trace_len.to_string()).env(TYPES, types.to_string());
        self.wait_for(agent)
    }

    /// The same, where so many spans in a row are the run of an agent, of which the last does not end.
    pub(crate) fn start_runs(&self, first: u64, count: u64, run_len: u64) -> Agent {
        let mut agent = self.agent(first, count);
        agent.env(RUNS, "").env(TRACE_LEN, run_len.to_string());
        self.wait_for(agent)
    }

    /// Records spans as [`record`](Self::record) does, of which so many in a row are the run of an agent.
    pub(crate) fn record_runs(&self, count: u64, run_len: u64) {
        let mut agent = self.agent(0, count);
        let agent = agent.env(STOPS, "").env(RUNS, "").env(TRACE_LEN, run_len.to_string());
        assert!(agent.status().unwrap().success());
    }

    /// Records spans as [`record`](Self::record) does, of which so many in a row are a trace.
    pub(crate) fn record_traces(&self, count: u64, trace_len: u64) {
        let mut agent = self.agent(0, count);
        assert!(agent.env(STOPS, "").env(TRACE_LEN, trace_len.to_string()).status().unwrap().success());
    }

    fn wait_for(&self, mut agent: Command) -> Agent {
        let ready = self.file("ready");
        let child = agent.env(READY, &ready).spawn().unwrap();
        wait_until("the agent has recorded", || ready.exists());
        fs::remove_file(ready).unwrap();
        Agent(child)
    }

    /// The names of the recorders in it.
    pub(crate) fn recorders(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.as_bytes()[0].is_ascii_hexdigit() && name.contains('-') && name.len() >= 33)
            .collect();
        names.sort();
        names
    }

    /// `spanring export --spool … --to …`, and more arguments.
    pub(crate) fn export(&self, sinks: &[&str]) -> Command {
        let mut command = spanring();
        command.arg("export").arg("--spool").arg(self.path());
        for sink in sinks {
            command.args(["--to", sink]);
        }
        command
    }

    /// Exports once and returns the report.
    pub(crate) fn export_once(&self, sinks: &[&str]) -> (i32, serde_json::Value, String) {
        let output = self.export(sinks).args(["--once", "--json", "--deadline", "1s"]).output().unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        (output.status.code().unwrap(), report, String::from_utf8(output.stderr).unwrap())
    }
}

pub(crate) fn spanring() -> Command {
    Command::new(env!("CARGO_BIN_EXE_spanring"))
}

/// The exit status and what was said on standard error.
pub(crate) fn complaint(output: Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// The most memory that a process has had so far, in KiB.
pub(crate) fn peak_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// Runs a command, and says what it came to and how much memory it has had at most, in KiB. It must not say more than a pipe holds.
pub(crate) fn run_watched(command: &mut Command) -> (Output, u64) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_kib(child.id()).unwrap_or(0));
        thread::sleep(Duration::from_millis(5));
    }
    (child.wait_with_output().unwrap(), peak)
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// What arrived somewhere: how often each span did.
#[derive(Clone, Default)]
pub(crate) struct Arrived(Arc<Mutex<Vec<Span>>>);

impl Arrived {
    pub(crate) fn add(&self, request: &[u8]) {
        let request = ExportTraceServiceRequest::decode(request).unwrap();
        let spans = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        let mut arrived = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arrived.extend(spans.flat_map(|scope| scope.spans));
    }

    pub(crate) fn in_file(path: &Path) -> Self {
        let arrived = Arrived::default();
        arrived.add_file(path);
        arrived
    }

    /// Adds what arrived in a file.
    pub(crate) fn add_file(&self, path: &Path) {
        for line in fs::read_to_string(path).unwrap().lines() {
            let request: ExportTraceServiceRequest = serde_json::from_str(line).unwrap();
            self.add(&request.encode_to_vec());
        }
    }

    /// How often each number arrived.
    pub(crate) fn numbers(&self) -> BTreeMap<i64, usize> {
        let mut numbers = BTreeMap::new();
        for span in self.0.lock().unwrap().iter().filter(|span| span.name == "step") {
            let value = span.attributes[0].value.clone().unwrap().value;
            let Some(Value::IntValue(number)) = value else { panic!("no number: {span:?}") };
            *numbers.entry(number).or_default() += 1;
        }
        numbers
    }

    /// The spans with this name.
    pub(crate) fn named(&self, name: &str) -> Vec<Span> {
        self.0.lock().unwrap().iter().filter(|span| span.name == name).cloned().collect()
    }

    /// Whether the spans numbered from 0 up to `count` all arrived; if not, or if others did, fails.
    #[track_caller]
    pub(crate) fn assert_all(&self, count: u64) {
        let numbers: Vec<i64> = self.numbers().into_keys().collect();
        let all: Vec<i64> = (0..i64::try_from(count).unwrap()).collect();
        assert!(numbers == all, "{} of {count} arrived", numbers.len());
    }

    #[track_caller]
    pub(crate) fn assert_each_once(&self, count: u64) {
        self.assert_all(count);
        assert!(self.numbers().values().all(|&times| times == 1), "some arrived more than once");
    }
}

/// A receiver that takes everything, after `answer` had the chance to answer otherwise.
pub(crate) fn receiver(
    mut answer: impl FnMut(&Received) -> Option<Answer> + Send + 'static,
) -> (Receiver, String, Arrived) {
    let arrived = Arrived::default();
    let kept = arrived.clone();
    let receiver = Receiver::start(move |request| {
        answer(&request).unwrap_or_else(|| {
            kept.add(&request.body);
            Answer::status(200)
        })
    })
    .unwrap();
    let address = format!("otlp+http://{}", receiver.address());
    (receiver, address, arrived)
}
