//! Delivery to a collector that others made: rotel, which takes OTLP and hands on what it got to a receiver of ours.
//!
//! The variable `SPANRING_ROTEL` names its executable. Without it there is nothing to test with, and the test says so. Every span is
//! delivered to a file too, in the same run of the command: what comes out of the collector must be what stands there.

mod agent;
mod recorded_runs;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use rustix::process::{Pid, Signal, kill_process};
use spanring_exporter::demo::receiver::{Answer, Receiver};
use spanring_exporter::otlp::ExportTraceServiceRequest;

use self::agent::{TestSpool, wait_until};

/// How many spans the agent numbers, besides the one that is open when it is killed.
const NUMBERED: u64 = 2000;
/// How long the collector may take until it listens.
const STARTING_MAX: Duration = Duration::from_secs(60);
/// How often it is started, as ports that were free can be taken meanwhile.
const STARTS_MAX: usize = 5;

#[test]
fn a_recording_process() {
    agent::main();
}

/// How the command speaks to the collector.
struct Way {
    scheme: &'static str,
    /// Which of the collector's addresses.
    to: fn(&Collector) -> SocketAddr,
    /// What the environment says.
    variables: &'static [(&'static str, &'static str)],
    /// Whether the collector keeps a fraction to the last bit. Of JSON it does not: it reads one quickly, and may be off by that.
    is_exact: bool,
}

const WAYS: &[Way] = &[
    Way { scheme: "otlp+http", to: |collector| collector.http, variables: &[], is_exact: true },
    Way {
        scheme: "otlp+http",
        to: |collector| collector.http,
        variables: &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")],
        is_exact: false,
    },
    Way { scheme: "otlp+grpc", to: |collector| collector.grpc, variables: &[], is_exact: true },
    Way {
        scheme: "otlp+grpc",
        to: |collector| collector.grpc,
        variables: &[("OTEL_EXPORTER_OTLP_COMPRESSION", "none")],
        is_exact: true,
    },
];

#[test]
fn a_real_collector_hands_on_every_span_once_and_as_it_was_recorded() {
    let Some(executable) = std::env::var_os("SPANRING_ROTEL") else {
        eprintln!("skipped: SPANRING_ROTEL names no executable of rotel, the collector to test with");
        return;
    };
    for way in WAYS {
        let spool = TestSpool::new();
        spool.start(0, NUMBERED).kill();
        recorded_runs::record(&spool.path());
        let handed_on = Arc::<Mutex<Vec<ExportTraceServiceRequest>>>::default();
        let kept = Arc::clone(&handed_on);
        let receiver = Receiver::start(move |request| {
            kept.lock().unwrap().push(ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap());
            Answer::status(200)
        });
        let receiver = receiver.unwrap();
        let collector = Collector::start(&executable, receiver.address());

        let sink = format!("{}://{}", way.scheme, (way.to)(&collector));
        let file = spool.file("spans.jsonl");
        let mut command = spool.export(&[&sink, &format!("file:{}", file.display())]);
        let output = command.arg("--once").envs(way.variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{sink} {:?}: {output:?}", way.variables);

        let expected: Vec<ExportTraceServiceRequest> = fs::read_to_string(&file)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let mut expected = by_identity(&expected);
        assert_eq!(expected.len() as u64, NUMBERED + 1 + recorded_runs::SPANS as u64);
        wait_until("the collector has handed on all", || {
            by_identity(&handed_on.lock().unwrap()).len() >= expected.len()
        });
        // What it may still hold comes now.
        collector.stop();
        let mut handed_on = by_identity(&handed_on.lock().unwrap());
        if !way.is_exact {
            [&mut expected, &mut handed_on].into_iter().for_each(round);
        }
        for (id, expected) in &expected {
            assert_eq!(handed_on.get(id), Some(expected), "{sink} {:?}", way.variables);
        }
        assert_eq!(handed_on.len(), expected.len());
        assert_eq!(spool.recorders(), [""; 0]);
    }
}

/// A span with its resource and scope, each as bytes, since they are compared and nothing else.
type Around = (Vec<u8>, Vec<u8>, Span);

/// Every span under its identities, as often as it came.
type ByIdentity = BTreeMap<(Vec<u8>, Vec<u8>), Vec<Around>>;

fn by_identity(requests: &[ExportTraceServiceRequest]) -> ByIdentity {
    let mut spans = ByIdentity::new();
    for resource_spans in requests.iter().flat_map(|request| &request.resource_spans) {
        let resource = resource_spans.resource.as_ref().unwrap().encode_to_vec();
        for scope_spans in &resource_spans.scope_spans {
            let scope = scope_spans.scope.as_ref().unwrap().encode_to_vec();
            for span in &scope_spans.spans {
                let id = (span.trace_id.clone(), span.span_id.clone());
                spans.entry(id).or_default().push((resource.clone(), scope.clone(), span.clone()));
            }
        }
    }
    spans
}

/// Rounds the fractions among the attributes to 14 digits.
fn round(spans: &mut ByIdentity) {
    for (_, _, span) in spans.values_mut().flatten() {
        for value in span.attributes.iter_mut().filter_map(|attribute| attribute.value.as_mut()) {
            if let Some(any_value::Value::DoubleValue(fraction)) = &mut value.value {
                *fraction = format!("{fraction:.13e}").parse().unwrap();
            }
        }
    }
}

/// A collector that runs until it is stopped or dropped.
struct Collector {
    process: Child,
    http: SocketAddr,
    grpc: SocketAddr,
}

impl Collector {
    /// Starts one on free ports, which hands on to `receiver` what it gets, and waits until it listens.
    fn start(executable: &OsStr, receiver: SocketAddr) -> Self {
        for _ in 0..STARTS_MAX {
            let [http, grpc] = free_addresses();
            let mut command = Command::new(executable);
            command
                .arg("start")
                .args(["--otlp-http-endpoint", &http.to_string()])
                .args(["--otlp-grpc-endpoint", &grpc.to_string()])
                .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
                .args(["--otlp-exporter-endpoint", &format!("http://{receiver}")])
                .env_clear()
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            let mut collector = Collector { process: command.spawn().unwrap(), http, grpc };
            if collector.listens() {
                return collector;
            }
        }
        panic!("{} ended {STARTS_MAX} times before it listened", executable.display());
    }

    /// Waits until it does. Whether it does, and has not ended.
    fn listens(&mut self) -> bool {
        let deadline = Instant::now() + STARTING_MAX;
        loop {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            if [self.http, self.grpc].iter().all(|address| TcpStream::connect(address).is_ok()) {
                return true;
            }
            assert!(Instant::now() < deadline, "the collector does not listen");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Has it hand on what it holds, and end.
    fn stop(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Addresses at which nobody listens now, different ones.
fn free_addresses() -> [SocketAddr; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}
