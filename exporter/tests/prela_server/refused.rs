//! Traces that the server refuses: each is one dead letter, whatever its size, and goes again as one document.
//!
//! `SPANRING_PRELA_REFUSED_SPANS` sets how many spans the large one has (55,000 unless said otherwise, more than there may be letters).

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value::IntValue;
use prost::Message as _;
use serde_json::Value as Json;
use spanring::Overflow;
use spanring_exporter::demo::receiver::{Answer, Receiver};
use spanring_spool::{LETTERS_MAX, Letter, Spool, SpoolDir};

use crate::agent::{Arrived, TestSpool, receiver, run_watched, spanring};
use crate::{ONE_AT_A_TIME, setting};

const MIB_64: u64 = 64 * 1024;

/// A server that refuses traces of more than ten spans, while it does, and what it was sent of these: what it refused, and what it took.
struct Choosy {
    refuses: Arc<AtomicBool>,
    refused: Arc<Mutex<Vec<Vec<u8>>>>,
    taken: Arc<Mutex<Vec<Vec<u8>>>>,
    small: Arc<Mutex<usize>>,
    sink: String,
    _receiver: Receiver,
}

impl Choosy {
    fn start() -> Self {
        let refuses = Arc::new(AtomicBool::new(true));
        let (refused, taken) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let small = Arc::<Mutex<usize>>::default();
        let (refusing, refused_here, taken_here) = (refuses.clone(), refused.clone(), taken.clone());
        let small_here = small.clone();
        let receiver = Receiver::start(move |received| {
            if spans_of(&received.body) <= 10 {
                *small_here.lock().unwrap() += 1;
                return Answer::status(200);
            }
            match refusing.load(Ordering::SeqCst) {
                true => {
                    refused_here.lock().unwrap().push(received.body);
                    Answer { body: b"too large".to_vec(), ..Answer::status(413) }
                }
                false => {
                    taken_here.lock().unwrap().push(received.body);
                    Answer::status(202)
                }
            }
        });
        let receiver = receiver.unwrap();
        let sink = format!("prela+http://{}/v1/traces", receiver.address());
        Choosy { refuses, refused, taken, small, sink, _receiver: receiver }
    }
}

/// How many spans a document has. It may be large.
fn spans_of(document: &[u8]) -> usize {
    str::from_utf8(document).unwrap().matches("{\"span_id\": \"").count()
}

/// So many traces of so many spans, and behind them three of two.
fn record(spool: &TestSpool, traces: usize, large: usize) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder =
        Spool::open(spool.path()).overflow(Overflow::Block(Duration::from_secs(60))).start().unwrap();
    for _ in 0..traces {
        let root = spanring::span("large").root().start();
        (1..large).for_each(|number| drop(root.child("step").set("number", number).start()));
    }
    for _ in 0..3 {
        let root = spanring::span("small").root().start();
        drop(root.child("step").start());
    }
    assert!(recorder.stop(Duration::from_secs(60)).is_complete);
}

/// Whether a request of OTLP has the step of this number.
fn has_step(body: &[u8], number: i64) -> bool {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let spans = request.resource_spans.iter().flat_map(|of| &of.scope_spans).flat_map(|of| &of.spans);
    let mut attributes = spans.flat_map(|span| &span.attributes);
    let expected = Some(AnyValue { value: Some(IntValue(number)) });
    attributes.any(|attribute| attribute.key == "number" && attribute.value == expected)
}

fn dead_letters(spool: &TestSpool, action: &str) -> Command {
    let mut command = spanring();
    command.args(["dead-letters", action, "--spool"]).arg(spool.path());
    command
}

fn printed(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_trace_of_more_spans_than_there_may_be_letters_is_set_aside_whole_and_goes_again_as_one() {
    let large = setting("SPANRING_PRELA_REFUSED_SPANS", 55_000);
    assert!(large > LETTERS_MAX);
    let (spool, server) = (TestSpool::new(), Choosy::start());
    record(&spool, 1, large);

    let (output, peak) = run_watched(spool.export(&[&server.sink]).args(["--once", "--json"]));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    let counts = ["delivered", "dead_lettered"].map(|key| report["sinks"][0][key].as_u64().unwrap());
    assert_eq!((counts, &report["sinks"][0]["end"]), ([6, large as u64], &"complete".into()), "{report}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&format!(" of {large} spans, which is set aside as a dead letter: ")), "{told}");
    eprintln!("the exporter had {peak} KiB at most");
    assert!(peak <= MIB_64, "{peak} KiB");
    assert_eq!((*server.small.lock().unwrap(), spool.recorders()), (3, Vec::new()), "others went on");

    let letters = SpoolDir::open(spool.path()).unwrap().dead_letters();
    let [name] = letters.names().unwrap().try_into().unwrap();
    let Some(Letter::Trace(trace, _)) = letters.open(&name).unwrap() else { panic!("{name}") };
    assert_eq!((trace.spans, trace.reason.contains("too large")), (large as u64, true));
    let (status, listed, _) = printed(&mut dead_letters(&spool, "list"));
    assert_eq!(status, Some(0));
    assert!(listed.starts_with(&format!("trace {} of {large} spans, {}: ", trace.trace_id, server.sink)));

    server.refuses.store(false, Ordering::SeqCst);
    let (output, peak) = run_watched(&mut dead_letters(&spool, "replay"));
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &*said),
        (Some(0), &*format!("{large} delivered, 0 refused again, 0 kept\n"))
    );
    eprintln!("the replay had {peak} KiB at most");
    assert!(peak <= MIB_64, "{peak} KiB");
    assert_eq!(letters.names().unwrap(), []);
    // The very document, each time.
    let (refused, taken) = (server.refused.lock().unwrap(), server.taken.lock().unwrap());
    assert_eq!((refused.len(), taken.len()), (1, 1));
    assert!(refused[0] == taken[0] && spans_of(&taken[0]) == large);
}

#[test]
fn a_refused_trace_is_shown_goes_to_other_sinks_that_take_it_and_is_kept_from_those_that_do_not() {
    let (spool, server) = (TestSpool::new(), Choosy::start());
    record(&spool, 1, 20);
    assert_eq!(spool.export_once(&[&server.sink]).0, 1);
    let (_, listed, _) = printed(dead_letters(&spool, "list").arg("--json"));
    let listed: Json = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed["spans"], &listed["sink"]), (&20.into(), &server.sink.as_str().into()));
    let trace_id = listed["trace_id"].as_str().unwrap();

    let (status, shown, _) = printed(dead_letters(&spool, "show").arg(trace_id));
    let lines: Vec<Json> = (shown.lines().filter(|line| line.starts_with("{\"")))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((status, lines.len()), (Some(0), 20), "{shown}");
    assert!(lines.iter().all(|span| span["trace_id"] == trace_id));

    let (status, said, told) = printed(dead_letters(&spool, "replay").arg(trace_id));
    assert_eq!((status, &*said), (Some(1), "0 delivered, 20 refused again, 0 kept\n"), "{told}");
    assert!(told.contains(" of 20 spans, which stays a dead letter: it answered 413"), "{told}");

    let unknown = printed(dead_letters(&spool, "purge").arg("0123456789abcdef"));
    assert_eq!(unknown.0, Some(2));
    assert!(unknown.2.contains("there is no dead letter of span 0123456789abcdef"), "{unknown:?}");

    let events = spool.file("events.jsonl");
    let to_file = format!("spanforge-file:{}", events.display());
    let (status, said, _) = printed(dead_letters(&spool, "replay").args(["--to", &to_file]));
    assert_eq!(status, Some(1));
    assert!(said.contains(" takes traces otherwise than ") && said.contains("20 kept"), "{said}");

    // One that does not take span 7 gets all others, however they lie together.
    let (_receiver, otlp, arrived): (_, _, Arrived) =
        receiver(|request| has_step(&request.body, 7).then(|| Answer::status(400)));
    let (status, said, told) = printed(dead_letters(&spool, "replay").args(["--to", &otlp]));
    assert_eq!((status, &*said), (Some(1), "19 delivered, 1 refused again, 0 kept\n"), "{told}");
    assert!(told.contains("which stays a dead letter: it answered 400"), "{told}");
    assert_eq!((arrived.named("step").len(), arrived.named("large").len()), (18, 1));
    assert_eq!(printed(&mut dead_letters(&spool, "list")).1.lines().count(), 1);

    let (_receiver, otlp, arrived): (_, _, Arrived) = receiver(|_| None);
    let (status, said, _) = printed(dead_letters(&spool, "replay").args(["--to", &otlp]));
    assert_eq!((status, &*said), (Some(0), "20 delivered, 0 refused again, 0 kept\n"));
    assert_eq!((arrived.named("step").len(), arrived.named("large").len()), (19, 1));
    assert_eq!(printed(&mut dead_letters(&spool, "list")), (Some(0), String::new(), String::new()));
}

/// What is damaged is not sent, and not tried again.
#[test]
fn a_letter_of_a_trace_that_is_damaged_is_kept_and_said_to_be_and_the_others_go() {
    use std::os::unix::fs::FileExt as _;
    let (spool, server) = (TestSpool::new(), Choosy::start());
    record(&spool, 2, 20);
    assert_eq!(spool.export_once(&[&server.sink]).0, 1);
    server.refuses.store(false, Ordering::SeqCst);
    let letters = SpoolDir::open(spool.path()).unwrap().dead_letters();
    let [name, _] = letters.names().unwrap().try_into().unwrap();
    let path = spool.path().join(format!("dead-letters/{name}"));
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"x", std::fs::metadata(&path).unwrap().len() - 30).unwrap();
    let (status, said, _) = printed(&mut dead_letters(&spool, "replay"));
    assert_eq!((status, letters.names().unwrap()), (Some(1), vec![name]));
    assert!(said.starts_with("20 delivered, 0 refused again, 20 kept\n"), "{said}");
    assert!(said.contains("is damaged at byte") && said.contains("the checksum does not fit"), "{said}");
    assert_eq!(server.taken.lock().unwrap().len(), 1);
}
