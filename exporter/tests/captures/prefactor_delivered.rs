//! Prefactor's requests once more: recorded, spooled, and delivered by the command in live mode, as the Python SDK always works.
//!
//! What the captures hold arrives again, in method, path, headers and body, each request once. What differs is told here and in docs/to/prefactor.md:
//!
//! * There is no ping.
//! * What registers an instance declares all types in one form, `span_type_schemas`, what is not said of them as an open object; and those of all kinds
//!   besides, and prefactor_langchain's. That version of the schemas, an agent without a version and an instance without an external identifier are called by us.
//! * We are another program: `X-Prefactor-SDK`, `agent_sdk` and `prefactor_sdk` have other names and versions, in the same form.
//! * A request that creates a span says when it started, and in the `metadata` of its payload what the span is called, its identities, and what it says of quality. A
//!   parent is never one that the server does not know.
//! * An instance is started when its recorder was, which a test cannot choose, and finished without a moment. Records of quality come from a span.
//! * A span that was cancelled before its start has its key beside `details`, and says that it has no parent.
//! * What the SDK never finished is finished, an instance that was terminated among it, and a payload is never null. What it finished and nobody created, which is one
//!   item of the bulk request, nobody can record.
//!
//! The same arrives in bulk. Items have `method` and `path` beside what those of the capture have, and an end has its `timestamp`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
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
const OF_PROGRAM: [&str; 6] =
    ["host", "accept-encoding", "connection", "user-agent", "content-length", IN_BULK];
/// What our payloads say beside, in their metadata.
const OURS: [&str; 6] = ["name", "trace_id", "span_id", "parent_id", "spanring.kind", "spanring.quality"];
/// Marks a request that stands for an item of a bulk request. The test's own.
const IN_BULK: &str = "test-in-bulk";
/// The programs that the SDK is made of, and ours.
const PROGRAMS: [&str; 2] = ["agent_sdk", "prefactor_sdk"];

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
    text(request, "path") != Some("/api/v1/ping")
}

/// Records the spans of a capture as a program would, and says which identity the server gave to each.
fn record(capture: &Json, fill: &Fill) -> (tempfile::TempDir, HashMap<String, String>) {
    let environment = &capture["instance"]["register"]["body"]["agent_version"]["runtime_environment"];
    let mut recording = Recording::for_delivery_with(|spool| {
        let pairs = [("os.type", "os"), ("process.runtime.name", "runtime")];
        pairs
            .into_iter()
            .fold(spool, |spool, (key, word)| spool.attribute(key, text(environment, word).unwrap().into()))
    });
    let quality = items(&capture["instance"]["quality"]);
    let instance = text(&capture["instance"]["register"]["response_body"]["details"], "id").unwrap();
    let (mut ids, mut begun) = (HashMap::new(), Vec::new());
    for (number, requests) in items(&capture["spans"]).iter().enumerate() {
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
            for record in quality.iter().filter(|_| number == 0) {
                span.quality(text(&record["body"], "name").unwrap(), &record["body"]["payload"]);
            }
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

/// What a configuration says for what the SDK registers: types in both of its forms, quality, and the rest.
fn configuration(capture: &Json, spool: &Path, sink: &str) -> String {
    let registered = &capture["instance"]["register"]["body"];
    let schemas = &registered["agent_schema_version"];
    let mut types = items(&schemas["span_type_schemas"]).to_vec();
    types.extend(halves(schemas).into_iter().map(|(name, [params, result])| {
        let mut of = json!({ "name": name });
        if_some(params, |schema| of["params_schema"] = schema.clone());
        if_some(result, |schema| of["result_schema"] = schema.clone());
        of
    }));
    let mut said = json!({"to": sink, "api_key": "secret", "span_types": types});
    if let Some(quality) = some(schemas, "quality_schemas") {
        said["quality_schemas"] = quality.clone();
    }
    for key in ["purpose", "external_identifier"] {
        if_some(some(registered, key), |value| said[key] = value.clone());
    }
    let lines = pairs(&said).map(|(key, value)| format!("{key} = {}\n", in_toml(value)));
    format!("spool = {}\n[[sink]]\n{}", in_toml(&json!(spool)), lines.collect::<String>())
}

/// A value as TOML has it, where a text is as in JSON.
fn in_toml(value: &Json) -> String {
    match value {
        Json::Object(_) => {
            let fields = pairs(value).map(|(key, value)| format!("{} = {}", json!(key), in_toml(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Json::Array(all) => format!("[{}]", all.iter().map(in_toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// The types whose payloads and results are declared each for itself.
fn halves(schemas: &Json) -> BTreeMap<&str, [Option<&Json>; 2]> {
    let mut halves = BTreeMap::<_, [_; 2]>::new();
    for (half, key) in ["span_schemas", "span_result_schemas"].into_iter().enumerate() {
        for (name, schema) in pairs(&schemas[key]) {
            halves.entry(name).or_default()[half] = Some(schema);
        }
    }
    halves
}

/// A request that stands for an item of a bulk request, which has what that of the capture has.
fn single(request: &Received, item: &Json) -> Received {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/prefactor_core/026_POST_api_v1_bulk.json");
    let capture: Json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let kind = &item["_type"];
    let captured =
        items(&capture["body"]["items"]).iter().find(|captured| captured["_type"] == *kind).unwrap();
    let keys = |of: &Json| pairs(of).map(|(key, _)| key.to_owned()).collect::<BTreeSet<_>>();
    let mut expected: BTreeSet<_> =
        keys(captured).into_iter().chain(["method", "path"].map(str::to_owned)).collect();
    let mut body = item.clone();
    let object = body.as_object_mut().unwrap();
    if kind == "agent_spans/finish" {
        expected.extend(item.get("timestamp").map(|_| "timestamp".to_owned()));
        expected.retain(|key| key != "result_payload" || item.get("result_payload").is_some());
    }
    assert_eq!(keys(item), expected, "{item}");
    let path = object["path"].as_str().unwrap().to_owned();
    for key in ["_type", "method", "path", "agent_span_id"] {
        object.remove(key);
    }
    let mut headers = request.headers.clone();
    headers.push((IN_BULK.to_owned(), String::new()));
    Received { path, headers, body: body.to_string().into_bytes(), ..request.clone() }
}

/// What arrives at a server that gives the identities of the capture.
fn delivered(capture: &Json, fill: &Fill, is_bulk: bool) -> Vec<(String, Received)> {
    let (dir, ids) = record(capture, fill);
    let register = &capture["instance"]["register"];
    let instance = text(&register["response_body"]["details"], "id").unwrap().to_owned();
    let received = Arc::<Mutex<Vec<_>>>::default();
    let kept = Arc::clone(&received);
    let receiver = Receiver::start(move |request| {
        let body: Json = serde_json::from_slice(&request.body).unwrap();
        let id_of = |path: &str, body: &Json| {
            let segments: Vec<_> = path.split('/').skip(3).collect();
            match segments[..] {
                ["agent_spans"] => {
                    let ours = text(&body["details"]["payload"]["metadata"], "span_id").unwrap();
                    ids[ours].clone()
                }
                ["agent_spans", id, "finish"] => id.to_owned(),
                _ => instance.clone(),
            }
        };
        let mut answer = json!({"status": "success"});
        if request.path == "/api/v1/bulk" {
            assert!(is_bulk);
            assert_eq!(pairs(&body).map(|(key, _)| key).collect::<Vec<_>>(), ["items"]);
            for item in items(&body["items"]) {
                let single = single(&request, item);
                let id = id_of(&single.path, item);
                let key = text(item, "idempotency_key").unwrap();
                answer["outputs"][key] = json!({"status": "success", "details": {"id": id}});
                kept.lock().unwrap().push((id, single));
            }
        } else {
            let id = id_of(&request.path, &body);
            answer["details"] = json!({ "id": id });
            kept.lock().unwrap().push((id, request));
        }
        Answer { body: answer.to_string().into_bytes(), ..Answer::status(200) }
    });
    let receiver = receiver.unwrap();
    let said = |key: &str| text(&register["body"], key).unwrap_or_default();
    let version = |key: &str| text(&register["body"]["agent_version"], key).unwrap_or_default();
    let types = items(&capture["spans"])
        .iter()
        .filter_map(|span| text(&span["create"]["body"]["details"], "schema_name"))
        .collect::<Vec<_>>();
    let config = dir.path().join("export.toml");
    let sink = format!("prefactor+http://{}", receiver.address());
    std::fs::write(&config, configuration(capture, &dir.path().join("spool"), &sink)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanring"));
    command.args(["export", "--once", "--deadline", "10s", "--config"]).arg(config);
    command
        .env("PREFACTOR_MODE", "live")
        .env("PREFACTOR_BULK", is_bulk.to_string())
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
            object["agent_schema_version"] = schemas(&object["agent_schema_version"]);
            let version = object["agent_version"].as_object_mut().unwrap();
            version.retain(|_, value| value != "unversioned");
            for key in PROGRAMS {
                let listed = items(&version["runtime_environment"][key]);
                assert!(listed.iter().all(Json::is_string), "{path} says in {key} which programs there are");
                version["runtime_environment"][key] = "programs".into();
            }
        }
        ["agent_instance", _, "start"] => {
            assert!(
                unix_ns(text(&Json::Object(object.clone()), "timestamp").unwrap()) > 0,
                "{path} says when"
            );
            object["timestamp"] = "then".into();
        }
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

/// What is declared, whatever its form: each type whole, by its name, and what there is of quality.
fn schemas(declared: &Json) -> Json {
    let known = [
        "external_identifier",
        "span_schemas",
        "span_result_schemas",
        "span_type_schemas",
        "quality_schemas",
    ];
    assert!(pairs(declared).all(|(key, _)| known.contains(&key)), "{declared}");
    assert!(declared["external_identifier"].is_string());
    let types = items(&declared["span_type_schemas"]).iter();
    let mut types: Map<_, _> = types.map(|of| (text(of, "name").unwrap().to_owned(), of.clone())).collect();
    assert_eq!(types.len(), items(&declared["span_type_schemas"]).len(), "each is declared once");
    let open = json!({"type": "object", "additionalProperties": true});
    for (name, halves) in halves(declared) {
        let [params, result] = halves.map(|half| half.unwrap_or(&open).clone());
        let whole = json!({"name": name, "params_schema": params, "result_schema": result});
        assert_eq!(types.insert(name.to_owned(), whole), None);
    }
    json!({"types": types, "quality": declared["quality_schemas"]})
}

/// What a request is about: those of one path, such as records of quality, are told apart by their order.
fn about(request: &str, id: &str, all: &Map<String, Json>) -> String {
    let about = format!("{request} of {id}");
    match request.ends_with("/record_quality") {
        true => (1..).map(|nth| format!("{about}, {nth}")).find(|about| !all.contains_key(about)).unwrap(),
        false => about,
    }
}

/// The requests of a capture, by what they are about.
fn expected(requests: &Json) -> Map<String, Json> {
    let arranged = arranged(requests.clone());
    let given: Vec<_> = items(&arranged["spans"]).iter().map(span_id).collect();
    let mut expected = Map::new();
    let requests = items(requests).iter().filter(|request| is_told(request)).flat_map(singles);
    for request in &requests.collect::<Vec<_>>() {
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
        let about = about(&format!("{method} {path}"), id, &expected);
        let earlier = expected.insert(about, compared(headers, body));
        assert_eq!(earlier, None, "the SDK sent each once");
    }
    expected
}

/// A request of a capture, or those that stand for the items of one in bulk, but for the end of a span that nobody created.
fn singles(request: &Json) -> Vec<Json> {
    if text(request, "path") != Some("/api/v1/bulk") {
        return vec![request.clone()];
    }
    let created =
        items(&request["body"]["items"]).iter().filter(|item| item["_type"] == "agent_spans/create");
    let single = |item: &Json| {
        let key = text(item, "idempotency_key").unwrap();
        json!({
            "method": "POST",
            "path": "/api/v1/agent_spans",
            "headers": request["headers"],
            "body": {"details": item["details"], "idempotency_key": key},
            "response_body": request["response_body"]["outputs"][key],
        })
    };
    created.map(single).collect()
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
        if request.path.ends_with("/register") {
            without_ours(&mut body, capture);
        }
        let by_sdk = of(id).unwrap_or(&capture["instance"]);
        if request.path.ends_with("/finish") && by_sdk.get("finish").is_none() {
            continue;
        }
        let headers = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let about = about(&format!("{} {}", request.method, request.path), id, &arrived);
        let earlier = arrived.insert(about, compared(headers, body));
        assert_eq!(earlier, None, "each comes once");
    }
    arrived
}

/// Takes away what is declared beside what the SDK declares: types that every instance has, and those of its spans; and what nobody has said how it is called.
fn without_ours(registered: &mut Json, capture: &Json) {
    let by_sdk = &capture["instance"]["register"]["body"];
    let declared = schemas(&by_sdk["agent_schema_version"]);
    let used = |name: &str| {
        let of_span = |span: &Json| text(&span["create"]["body"]["details"], "schema_name") == Some(name);
        items(&capture["spans"]).iter().any(of_span)
    };
    let usual = ["agent:", "langchain:"];
    registered["agent_schema_version"]["types"].as_object_mut().unwrap().retain(|name, _| {
        let is_expected = declared["types"].get(name).is_some();
        assert!(is_expected || used(name) || usual.iter().any(|usual| name.starts_with(usual)), "{name}");
        is_expected
    });
    if by_sdk.get("external_identifier").is_none() {
        assert!(registered.as_object_mut().unwrap().remove("external_identifier").unwrap().is_string());
    }
}

fn assert_that_the_requests_are_those_of_the_sdk(name: &'static str, fill: &Fill, is_bulk: bool) {
    let requests = folder(name).json;
    let told: Json = items(&requests).iter().filter(|request| is_told(request)).cloned().collect();
    let mut capture = arranged(told);
    capture["spans"].as_array_mut().unwrap().retain(|span| span.get("create").is_some());
    let received = delivered(&capture, fill, is_bulk);
    let in_bulk = received.iter().filter(|(_, request)| request.header(IN_BULK).is_some()).count();
    assert!(in_bulk > 1 || !is_bulk || items(&capture["spans"]).len() < 3, "{in_bulk} in bulk");
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
    assert!(!expected.is_empty());
    if let Some(difference) = difference(&Json::Object(expected), &Json::Object(arrived)) {
        panic!("{name}{difference}");
    }
}

#[test]
fn the_requests_of_prefactor_core() {
    for is_bulk in [false, true] {
        assert_that_the_requests_are_those_of_the_sdk("prefactor_core", &PREFACTOR, is_bulk);
        assert_that_the_requests_are_those_of_the_sdk("prefactor_core_terminate", &PREFACTOR, is_bulk);
    }
}

#[test]
fn the_requests_of_prefactor_langchain() {
    for name in [
        "prefactor_langchain/cb",
        "prefactor_langchain/cb_sync_tools_lossy",
        "prefactor_langchain/mw",
        "prefactor_langchain/mw_ok",
    ] {
        for is_bulk in [false, true] {
            assert_that_the_requests_are_those_of_the_sdk(name, &LANGCHAIN, is_bulk);
        }
    }
}
