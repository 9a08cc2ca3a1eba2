//! Spans under OpenInference's names: recorded by spanring's own calls, delivered by the real command, to a file, to standard output and to a
//! receiver.

mod agent;
mod grpc_server;

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use serde_json::{Value, json};
use spanring::{Cost, Tokens};
use spanring_exporter::otlp::{ExportTraceServiceRequest, to_json};
use spanring_spool::Spool;

use self::agent::{Arrived, TestSpool, complaint, receiver};
use self::grpc_server::{Server, Setup};

const VARIABLE: &str = "SPANRING_OTLP_NAMES";

/// What arrives of each span, by its name: its attributes and events as OTLP/JSON has them.
const GOLDEN: &str = include_str!("openinference/run.json");

type Spans = BTreeMap<String, Value>;

/// A process has one recorder at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Records a run with something of everything that has a name there, and a span that was instrumented with OpenInference.
fn record(spool: &TestSpool) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let spool = Spool::open(spool.path()).service("shop").start().unwrap();
    let run = spanring::trace("clerk").start();
    run.session("s-7").user("u-1").input("where is my order?").tag("shop").metadata(&json!({"shift": 2}));

    let llm = run.llm("mistral-small").start();
    llm.provider("mistral_ai").response_model("mistral-small-2506").temperature(0.2).max_tokens(64);
    llm.system_instructions("be brief");
    llm.input_messages(
        &json!([{"role": "user", "parts": [{"type": "text", "content": "where is my order?"}]}]),
    );
    llm.output_messages(&json!([{"role": "assistant", "finish_reason": "tool_call", "parts": [
        {"type": "tool_call", "id": "c1", "name": "find_order", "arguments": {"user": "u-1"}},
    ]}]));
    llm.tool_definitions(&json!([{"type": "function", "name": "find_order"}]));
    llm.finish_reason("tool_call").response_id("r-1");
    llm.tokens(Tokens::new(20, 9).total(29).cached(4).reasoning(3)).cost(Cost::new(0.25, 0.5).total(0.75));
    llm.complete();

    let tool = run.tool("find_order").start();
    tool.tool_description("finds an order")
        .call_id("c1")
        .arguments(&json!({"user": "u-1"}))
        .result("on its way");
    tool.complete();

    let retrieval = run.retrieval("orders").start();
    retrieval.query("orders of u-1").top_k(2);
    retrieval.documents(&json!([{"id": "d1", "content": "order 1"}, "order 2"])).scores(&[0.5, 0.25]);
    retrieval.complete();

    let embedding = run.embedding("e5").start();
    embedding.input(&json!(["order 1"])).output(&json!([[0.5, 0.25]]));
    embedding.complete();

    let handoff = run.handoff("clerk", "manager").start();
    handoff.complete();

    let theirs = run.child("theirs").start();
    theirs
        .set("openinference.span.kind", "RERANKER")
        .set("reranker.query", "orders")
        .set("reranker.top_k", 2);
    theirs.complete();
    let other = run.child("GET /orders").start();
    other.set("http.request.method", "GET");
    other.event_with("exception", |event| event.set("exception.type", "Timeout"));
    other.complete();
    run.output("it is on its way");
    run.complete();
    let report = spool.stop(Duration::from_secs(60));
    assert!(report.is_complete && report.ledger.spooled == 8, "{report}");
}

/// Attributes and events of the spans in requests of OTLP/JSON, in the order they have there.
fn spans(lines: &str) -> Spans {
    let requests = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut spans = Spans::new();
    for request in requests {
        for scope in request["resourceSpans"][0]["scopeSpans"].as_array().unwrap() {
            for span in scope["spans"].as_array().unwrap() {
                let pair = |pair: &Value| json!([pair["key"], pair["value"]]);
                let pairs = |of: &Value| of.as_array().map(|all| all.iter().map(pair).collect::<Vec<_>>());
                let events = span["events"].as_array().cloned().unwrap_or_default();
                let events: Vec<_> =
                    events.iter().map(|event| json!([event["name"], pairs(&event["attributes"])])).collect();
                let of_span = json!({"attributes": pairs(&span["attributes"]), "events": events});
                assert!(spans.insert(span["name"].as_str().unwrap().to_owned(), of_span).is_none());
            }
        }
    }
    spans
}

/// A receiver, where it is, and what it was sent.
fn kept() -> (spanring_exporter::demo::receiver::Receiver, String, std::sync::mpsc::Receiver<String>) {
    let (sender, lines) = std::sync::mpsc::channel();
    let (receiver, sink, _) = receiver(move |request| {
        let request = ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap();
        sender.send(to_json(&request) + "\n").unwrap();
        Some(spanring_exporter::demo::receiver::Answer::status(200))
    });
    (receiver, sink, lines)
}

#[test]
fn a_run_arrives_under_openinferences_names_wherever_otlp_is_written() {
    let spool = TestSpool::new();
    record(&spool);
    let (_receiver, sink, lines) = kept();
    let file = format!("file:{}", spool.file("spans.jsonl").display());
    let mut export = spool.export(&[&sink, &file, "stdout"]);
    let output = export.args(["--once", "--deadline", "5s"]).env(VARIABLE, "openinference").output().unwrap();
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(complaint(output).0, 0);
    let arrived = spans(&lines.try_iter().collect::<String>());
    let golden: Spans = serde_json::from_str(GOLDEN).unwrap();
    for (name, span) in &arrived {
        assert_eq!(golden.get(name), Some(span), "{name}: {span}");
    }
    assert_eq!(arrived.len(), golden.len());
    assert_eq!(spans(&fs::read_to_string(spool.file("spans.jsonl")).unwrap()), golden);
    assert_eq!(spans(&printed), golden);
    assert_eq!(spool.recorders(), [""; 0]);
}

#[test]
fn each_sink_of_a_file_has_the_names_that_it_says_and_opentelemetrys_where_it_says_none() {
    let spool = TestSpool::new();
    record(&spool);
    let (_receiver, sink, lines) = kept();
    let over_grpc = Arrived::default();
    let kept = over_grpc.clone();
    let server = Server::start(&Setup::default(), move |received| {
        kept.add(&received.request.encode_to_vec());
        Ok(ExportTraceServiceResponse::default())
    });
    let config = spool.file("export.toml");
    let text = format!(
        r#"
        spool = "spool"
        [[sink]]
        to = "{sink}"
        [[sink]]
        to = "otlp+grpc://{}"
        names = "openinference"
        [[sink]]
        to = "file:spans.jsonl"
        names = "openinference"
        "#,
        server.address()
    );
    fs::write(&config, text).unwrap();
    let mut checked = agent::spanring();
    let checked = checked.args(["config", "check"]).arg(&config).output().unwrap();
    let checked = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.matches(", names of openinference").count(), 2, "{checked}");
    let mut export = agent::spanring();
    // The variable is about the sink `otlp`, of which there is none.
    export.args(["export", "--once", "--deadline", "5s", "--config"]).arg(&config).env(VARIABLE, "none");
    assert_eq!(complaint(export.output().unwrap()), (0, String::new()));
    let golden: Spans = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(spans(&fs::read_to_string(spool.file("spans.jsonl")).unwrap()), golden);
    let keys = |of: &Value| -> Vec<String> {
        of["attributes"].as_array().unwrap().iter().map(|pair| pair[0].as_str().unwrap().to_owned()).collect()
    };
    let chat: Vec<_> = over_grpc.named("chat mistral-small").remove(0).attributes;
    let over_grpc: Vec<_> = chat.into_iter().map(|attribute| attribute.key).collect();
    assert_eq!(over_grpc, keys(&golden["chat mistral-small"]));
    let default = spans(&lines.try_iter().collect::<String>());
    for (name, span) in &default {
        let theirs = ["openinference.", "reranker.", "http.", "session.", "user."];
        let is_ours = |key: &String| key.starts_with("gen_ai.") || key.starts_with("spanring.");
        let is_theirs =
            |key: &&String| name != "theirs" || !theirs.iter().any(|begin| key.starts_with(begin));
        let others = keys(span).iter().filter(is_theirs).filter(|key| !is_ours(key)).count();
        let expected = match name.as_str() {
            "clerk" => 2, // session.id, user.id
            "GET /orders" => 1,
            _ => 0,
        };
        assert_eq!(others, expected, "{name}: {span}");
    }
    assert_eq!(default.len(), golden.len());
}

#[test]
fn names_that_make_no_sense_are_refused_before_anything_is_sent() {
    let spool = TestSpool::new();
    record(&spool);
    let expected = "spanring: cannot use SPANRING_OTLP_NAMES: it is neither gen-ai nor openinference\n";
    for sink in ["otlp", "otlp+http://127.0.0.1:9", "stdout", "file:/nowhere/f"] {
        let output = spool.export(&[sink]).arg("--once").env(VARIABLE, "OpenInference").output().unwrap();
        assert_eq!(complaint(output), (2, expected.to_owned()), "{sink}");
    }
}
