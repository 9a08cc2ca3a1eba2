//! A process is killed while spans are open: what the SDK would have had to export, and what is recovered.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, thread};

use opentelemetry::trace::{Link, Span, SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData as Upstream, SpanExporter,
};
use spanring::bridge::opentelemetry::SpanringProcessor;
use spanring::{Kind, SpanKind as OurKind, Status, names};
use spanring_spool::{Life, Spool, SpoolDir};

use crate::{alone, read};

const DIR: &str = "SPANRING_BRIDGE_KILL_DIR";
const READY: &str = "all are open";

/// Not a test of its own: what the test below starts and kills.
#[test]
fn process_to_be_killed() {
    if let Ok(dir) = env::var(DIR) {
        work(Path::new(&dir));
    }
}

/// Writes the names of what it is given, a line each.
#[derive(Debug)]
struct ToFile(std::path::PathBuf);

impl SpanExporter for ToFile {
    async fn export(&self, batch: Vec<Upstream>) -> OTelSdkResult {
        let names: String = batch.iter().map(|span| format!("{}\n", span.name)).collect();
        fs::write(&self.0, names).unwrap();
        Ok(())
    }
}

fn work(dir: &Path) {
    let _spool = Spool::open(dir.join("spool")).start().unwrap();
    // A delay that no test waits for: as long as it lasts, all is in the processor's memory.
    let delay = BatchConfigBuilder::default().with_scheduled_delay(Duration::from_secs(3600)).build();
    let batch = BatchSpanProcessor::builder(ToFile(dir.join("exported"))).with_batch_config(delay).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(SpanringProcessor::new())
        .with_span_processor(batch)
        .build();
    let tracer = Arc::new(provider.tracer("killed"));

    let mut earlier = tracer.start("earlier");
    earlier.end();
    let earlier = earlier.span_context().clone();
    let run = tracer
        .span_builder("run")
        .with_kind(SpanKind::Server)
        .with_attributes([KeyValue::new("customer", "acme"), KeyValue::new("attempt", 2)])
        .with_links(vec![Link::new(earlier, vec![KeyValue::new("why", "retry")], 0)])
        .start(&*tracer);
    let run = Context::new().with_span(run);
    run.span().set_attribute(KeyValue::new("late", true));
    run.span().add_event("late", vec![]);
    let mut ended = tracer.start_with_context("ended", &run);
    ended.set_attribute(KeyValue::new("late", true));
    ended.end();

    let open: Vec<_> = (0..4)
        .map(|n| {
            let (tracer, run) = (tracer.clone(), run.clone());
            thread::spawn(move || {
                let attributes = [KeyValue::new("n", n), KeyValue::new("gen_ai.operation.name", "chat")];
                tracer.span_builder("call").with_attributes(attributes).start_with_context(&*tracer, &run)
            })
            .join()
            .unwrap()
        })
        .collect();
    let mut told = std::io::stdout();
    writeln!(told, "\n{READY}").unwrap();
    loop {
        thread::park();
        assert_eq!(open.len(), 4);
    }
}

#[test]
fn what_is_open_when_the_process_is_killed_comes_out_interrupted_with_what_was_known_at_its_start() {
    let _alone = alone();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["kill::process_to_be_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIR, dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line == READY), "it ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();

    assert!(!dir.path().join("exported").exists(), "the batch processor kept it all in memory");
    let spool = SpoolDir::open(dir.path().join("spool")).unwrap();
    let [id] = &spool.recorders().unwrap()[..] else { panic!("one recorder") };
    assert_eq!(spool.life(id).unwrap(), Life::Dead);
    let report = spool.recover(id).unwrap();
    assert_eq!((report.ledger.started, report.ledger.interrupted), (7, 5));

    let spans = read(dir.path());
    let called = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let [ended] = called("ended")[..] else { panic!("{spans:#?}") };
    assert!(!ended.interrupted && ended.get("late").is_some());

    let [run] = called("run")[..] else { panic!("{spans:#?}") };
    assert!(run.interrupted);
    assert_eq!((run.status, run.error_type()), (Status::Error, Some("process_exit")));
    assert_eq!(run.get("customer").and_then(|value| value.as_str()), Some("acme"));
    assert_eq!(run.get("attempt").and_then(|value| value.as_u64()), Some(2));
    assert_eq!(run.get(names::SPAN_KIND).and_then(|value| value.as_str()), Some(OurKind::Server.name()));
    assert_eq!(run.get(names::SCOPE_NAME).and_then(|value| value.as_str()), Some("killed"));
    assert_eq!((run.links.len(), run.parent_id), (1, None));
    assert!(run.get("late").is_none() && run.events.is_empty(), "the SDK tells it when the span ends");

    let calls = called("call");
    assert_eq!(calls.len(), 4);
    for call in calls {
        assert!(call.interrupted && call.get("n").is_some());
        assert_eq!((call.kind, call.parent_id, call.trace_id), (Kind::Llm, Some(run.span_id), run.trace_id));
    }
}
