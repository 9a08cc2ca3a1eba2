//! Prefactor's requests once more: recorded, spooled, and delivered by the command in live mode, as the Python SDK always works.
//!
//! What the captures hold arrives again, in method, path, headers and body, each request once. What differs is told here and in docs/to/prefactor.md:
//!
//! * There is no ping, no bulk request and no record of quality. What registers an instance says other types and another runtime, and a version where
//!   there is none.
//! * We are another program: `X-Prefactor-SDK` has another name and version, in the same form.
//! * A request that creates a span says when it started, and in the `metadata` of its payload what the span is called and its identities. A parent is
//!   never one that the server does not know.
//! * A span that was cancelled before its start has its key beside `details`, and says that it has no parent. An instance is finished without a moment.
//! * What the SDK never finished is finished, an instance that was terminated among it, and a payload is never null.

use std::collections::{BTreeMap, HashMap};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value as Json, json};
use spanring::{Pending, Span, SpanId, System, TraceId};
use spanring_exporter::demo::receiver::{Answer, Received, Receiver};

use crate::json::{if_some, items, pairs, some, text};
use crate::moments::unix_ns;
use crate::prefactor::{STATUSES, arranged, span_id};
use crate::recording::{Life, Recording};
use crate::rules::difference;
use crate::words::{kind, say_type};
use crate::{folder, langchain};

/// Headers that say which program speaks, and how.
const OF_PROGRAM: [&str; 5] = ["host", "accept-encoding", "connection", "user-agent", "content-length"];
/// What our payloads say beside, in their metadata.
const OURS: [&str; 5] = ["name", "trace_id", "span_id", "parent_id", "spanring.kind"];

/// How a span is said what it is given, and what has come of it.
struct Fill {
    system: System,
    start: fn(&Span, &Json),
    end: fn(&Span, &Json),
}

const PREFACTOR: Fill = Fill {
    system: System::Prefactor,
    start: |span, payload| _ = span.input(payload),
    end: |span, result| _ = span.output(result),
};

const LANGCHAIN: Fill = Fill {
    system: System::Langchain,
    start: |span, payload| langchain::fill(span, payload, None),
    end: |span, result| langchain::fill(span, &json!({}), Some(result)),
};

/// A span that was recorded as far as its start.
enum Begun {
    Running(Span),
    Pending(Pending),
}

/// Whether a capture's request has a counterpart.
fn is_told(request: &Json) -> bool {
    let path = text(request, "path").unwrap();
    !["/api/v1/ping", "/api/v1/bulk"].contains(&path) && !path.ends_with("/record_quality")
}

/// Records the spans of a capture as a program would, and says which identity the server gave to each.
fn record(capture: &Json, fill: &Fill) -> (tempfile::TempDir, HashMap<String, String>) {
    let mut recording = Recording::for_delivery();
    let instance = text(&capture["instance"]["register"]["response_body"]["details"], "id").unwrap();
    let (mut ids, mut begun) = (HashMap::new(), Vec::new());
    for requests in items(&capture["spans"]) {
        let details = &requests["create"]["body"]["details"];
        let schema = text(details, "schema_name").unwrap();
        let received = |request: &Json| text(request, "received_at").map(unix_ns);
        let end = text(&requests["finish"]["body"], "timestamp").map(unix_ns);
        let life = Life {
            trace_id: TraceId::from_foreign(instance),
            span_id: SpanId::from_foreign(span_id(requests)),
            parent_id: text(details, "parent_span_id").map(SpanId::from_foreign),
            start_unix_ns: received(&requests["create"]).unwrap(),
            end_unix_ns: end.or_else(|| received(&requests["finish"])),
        };
        ids.insert(life.span_id.to_string(), span_id(requests).to_owned());
        let said = |span: &Span| {
            match fill.system {
                // Whose form its payloads have is known by its type alone.
                System::Langchain => _ = span.type_name(schema),
                system => say_type(span, system, schema),
            }
            (fill.start)(span, &details["payload"]);
        };
        let builder = life.of(spanring::span_named(schema).kind(kind(fill.system, schema)));
        let span = match text(details, "status") {
            Some("pending") => {
                let pending = builder.prepare();
                said(&pending);
                Begun::Pending(pending)
            }
            _ => Begun::Running(builder.start_with(said)),
        };
        begun.push((span, life, requests["finish"]["body"].clone()));
    }
    // What was announced stands in the spool before any of it ends.
    recording.cut();
    for (span, life, finish) in begun.into_iter().rev() {
        let place = recording.next_place();
        match span {
            Begun::Pending(pending) => recording.cancel(pending, life.end_unix_ns.unwrap()),
            Begun::Running(span) => {
                if_some(some(&finish, "result_payload"), |result| (fill.end)(&span, result));
                if_some(text(&finish, "status"), |status| STATUSES.say(&span, status));
                recording.end(place, span, life.end_unix_ns);
            }
        }
    }
    (recording.leave(), ids)
}

/// What arrives at a server that gives the identities of the capture.
fn delivered(capture: &Json, fill: &Fill) -> Vec<(String, Received)> {
    let (dir, ids) = record(capture, fill);
    let register = &capture["instance"]["register"];
    let instance = text(&register["response_body"]["details"], "id").unwrap().to_owned();
    let received = Arc::<Mutex<Vec<_>>>::default();
    let kept = Arc::clone(&received);
    let receiver = Receiver::start(move |request| {
        let body: Json = serde_json::from_slice(&request.body).unwrap();
        let segments: Vec<_> = request.path.split('/').skip(3).collect();
        let id = match segments[..] {
            ["agent_spans"] => {
                let ours = text(&body["details"]["payload"]["metadata"], "span_id").unwrap();
                ids[ours].clone()
            }
            ["agent_spans", id, "finish"] => id.to_owned(),
            _ => instance.clone(),
        };
        let body = json!({"status": "success", "details": {"id": id}}).to_string();
        kept.lock().unwrap().push((id, request));
        Answer { body: body.into_bytes(), ..Answer::status(200) }
    });
    let receiver = receiver.unwrap();
    let said = |key: &str| text(&register["body"], key).unwrap_or_default();
    let version = |key: &str| text(&register["body"]["agent_version"], key).unwrap_or_default();
    let types = items(&capture["spans"])
        .iter()
        .filter_map(|span| text(&span["create"]["body"]["details"], "schema_name"))
        .collect::<Vec<_>>();
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanring"));
    command.args(["export", "--once", "--deadline", "10s", "--spool"]).arg(dir.path().join("spool"));
    command
        .args(["--to", &format!("prefactor+http://{}", receiver.address())])
        .env("PREFACTOR_MODE", "live")
        .env("PREFACTOR_API_TOKEN", "secret")
        .env("PREFACTOR_AGENT_ID", said("agent_id"))
        .env("PREFACTOR_ENVIRONMENT_ID", said("environment_id"))
        .env("PREFACTOR_AGENT_NAME", version("name"))
        .env("PREFACTOR_AGENT_IDENTIFIER", version("external_identifier"))
        .env("PREFACTOR_SPAN_TYPES", types.join(","));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    drop(receiver);
    Arc::into_inner(received).unwrap().into_inner().unwrap()
}

/// What stands for a list of programs, `name@version` each.
fn programs(listed: &str) -> String {
    let is_program = |entry: &str| {
        let parts = entry.split_once('@');
        parts.is_some_and(|(name, version)| {
            !name.is_empty() && version.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    if listed.split(' ').all(is_program) { "programs".to_owned() } else { listed.to_owned() }
}

/// A request as it is compared: its headers but for those of the program, and its body.
fn compared<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>, body: Json) -> Json {
    let headers: BTreeMap<_, _> = headers
        .map(|(name, value)| match name.to_ascii_lowercase() {
            name if name == "x-prefactor-sdk" => (name, programs(value)),
            name => (name, value.replace("<redacted:Bearer>", "Bearer secret")),
        })
        .filter(|(name, _)| !OF_PROGRAM.contains(&name.as_str()))
        .collect();
    json!({"headers": headers, "body": body})
}

/// The body without its key, of which it has one, and with the moment of an end as a number.
fn plain(path: &str, mut body: Json) -> Json {
    let within = body["details"].as_object_mut().and_then(|details| details.remove("idempotency_key"));
    let object = body.as_object_mut().unwrap();
    if object.get("details").is_some_and(Json::is_null) {
        object.remove("details");
    }
    let beside = object.remove("idempotency_key");
    assert_eq!(within.is_some() as u8 + beside.is_some() as u8, 1, "{path} has one key");
    match path.split('/').skip(3).collect::<Vec<_>>()[..] {
        ["agent_instance", "register"] => {
            for key in ["agent_schema_version", "external_identifier", "purpose"] {
                object.remove(key);
            }
            let version = object["agent_version"].as_object_mut().unwrap();
            version.remove("runtime_environment");
            version.retain(|_, value| value != "unversioned");
        }
        ["agent_instance", _, "start"] => drop(object.insert("timestamp".to_owned(), "then".into())),
        ["agent_instance", _, "finish"] => drop(object.remove("timestamp")),
        ["agent_spans", _, "finish"] => {
            if let Some(timestamp) = object.get_mut("timestamp") {
                *timestamp = unix_ns(timestamp.as_str().unwrap()).into();
            }
        }
        _ => {}
    }
    body
}

/// The requests of a capture, by what they are about.
fn expected(requests: &Json) -> Map<String, Json> {
    let arranged = arranged(requests.clone());
    let given: Vec<_> = items(&arranged["spans"]).iter().map(span_id).collect();
    let mut expected = Map::new();
    for request in items(requests).iter().filter(|request| is_told(request)) {
        let (method, path) = (text(request, "method").unwrap(), text(request, "path").unwrap());
        let mut body = plain(path, request["body"].clone());
        if let Some(details) = body.get_mut("details").and_then(Json::as_object_mut) {
            if details.get("parent_span_id").is_some_and(|parent| !given.contains(&parent.as_str().unwrap()))
            {
                details.remove("parent_span_id");
            }
            if details["payload"].is_null() {
                details.insert("payload".to_owned(), json!({}));
            }
        }
        let id = text(&request["response_body"]["details"], "id").unwrap();
        let headers = pairs(&request["headers"]).map(|(name, value)| (name, value.as_str().unwrap()));
        let earlier = expected.insert(format!("{method} {path} of {id}"), compared(headers, body));
        assert_eq!(earlier, None, "the SDK sent each once");
    }
    expected
}

/// The requests that arrived, by what they are about, without what is ours alone.
fn arrived(capture: &Json, received: Vec<(String, Received)>) -> Map<String, Json> {
    let spans = items(&capture["spans"]);
    let of = |id: &str| spans.iter().find(|requests| span_id(requests) == id);
    let mut arrived = Map::new();
    for (id, request) in &received {
        let mut body = plain(&request.path, serde_json::from_slice(&request.body).unwrap());
        if let Some(details) = body.get_mut("details").and_then(Json::as_object_mut) {
            let requests = of(id).unwrap();
            if details["status"] == "pending" {
                details.retain(|key, value| key != "parent_span_id" || !value.is_null());
            } else {
                let started = details.remove("started_at").unwrap();
                let then = unix_ns(text(&requests["create"], "received_at").unwrap());
                assert_eq!(unix_ns(started.as_str().unwrap()), then, "{id} says when it started");
            }
            let payload = details["payload"].as_object_mut().unwrap();
            let metadata = payload.remove("metadata").unwrap();
            for (key, _) in pairs(&metadata) {
                assert!(OURS.contains(&key), "{id} says {key} beside");
            }
        }
        let by_sdk = of(id).unwrap_or(&capture["instance"]);
        if request.path.ends_with("/finish") && by_sdk.get("finish").is_none() {
            continue;
        }
        let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let about = format!("{} {} of {id}", request.method, request.path);
        let earlier = arrived.insert(about, compared(headers, body));
        assert_eq!(earlier, None, "each comes once");
    }
    arrived
}

fn assert_that_the_requests_are_those_of_the_sdk(name: &'static str, fill: &Fill) {
    let requests = folder(name).json;
    let told: Json = items(&requests).iter().filter(|request| is_told(request)).cloned().collect();
    let capture = arranged(told);
    let received = delivered(&capture, fill);
    let place = |wanted: &str, path: &str| {
        received.iter().position(|(id, request)| id == wanted && request.path.ends_with(path))
    };
    for requests in items(&capture["spans"]) {
        let id = span_id(requests);
        let created = place(id, "/agent_spans");
        assert!(created.is_some() && created < place(id, "/finish"), "{id} is created before it is finished");
        let parent = text(&requests["create"]["body"]["details"], "parent_span_id");
        let parent = parent.and_then(|parent| place(parent, "/agent_spans"));
        assert!(parent.is_none_or(|parent| Some(parent) < created), "{id} comes behind its parent");
    }
    let (expected, arrived) = (expected(&requests), arrived(&capture, received));
    if let Some(difference) = difference(&Json::Object(expected), &Json::Object(arrived)) {
        panic!("{name}{difference}");
    }
}

#[test]
fn the_requests_of_prefactor_core() {
    assert_that_the_requests_are_those_of_the_sdk("prefactor_core", &PREFACTOR);
    assert_that_the_requests_are_those_of_the_sdk("prefactor_core_terminate", &PREFACTOR);
}

#[test]
fn the_requests_of_prefactor_langchain() {
    for name in [
        "prefactor_langchain/cb",
        "prefactor_langchain/cb_sync_tools_lossy",
        "prefactor_langchain/mw",
        "prefactor_langchain/mw_ok",
    ] {
        assert_that_the_requests_are_those_of_the_sdk(name, &LANGCHAIN);
    }
}
