//! Prefactor: an instance of an agent, and a request where each of its spans starts and one where it ends.
//!
//! The spans have no names but their schemas', and free payloads. A span is known by the identity that the server answers with, and
//! starts when the server receives it: the request says no time.

use serde_json::{Map, Value as Json, json};
use spanring::{Span, SpanId, Status, System, TraceId};
use spanring_exporter::prefactor;
use spanring_spool::SpanData;

use crate::json::{Object, if_some, items, some, text, to_json};
use crate::moments::{isoformat, unix_ns};
use crate::recording::{Life, Recording, record};
use crate::rules::{HTTP, Rule, Table};
use crate::words::{Statuses, kind, kind_name, say_type};
use crate::{Form, any_other, folder};

pub(crate) const STATUSES: Statuses =
    Statuses(&[("complete", Status::Ok), ("failed", Status::Error), ("cancelled", Status::Cancelled)]);

pub(crate) const REQUESTS: Form = Form {
    rebuild: |capture, recording| rebuild(capture, recording, System::Prefactor, &fill),
    document: |spans| document(spans, System::Prefactor, prefactor::Form::Free),
    rules: &[RULES, HTTP],
    others: |path, value| match path.last().map(String::as_str) {
        Some("payload") if value.is_null() => Some(vec![json!({"score": 1})]),
        _ => any_other(path, value),
    },
    list: Some("/spans"),
    captures: || ["prefactor_core", "prefactor_core_terminate"].map(|name| folder(name).map(arranged)).into(),
};

pub(crate) const RULES: &Table = &[
    ("ping", Rule::Transport("it checks the token")),
    ("bulk", Rule::Transport("the items stand among the spans")),
    ("instance/register/body/agent_version/name", Rule::Held),
    ("instance/register/body/agent_version/external_identifier", Rule::Held),
    ("instance/register/body/agent_id", Rule::Held),
    ("instance/register/body/external_identifier", Rule::Held),
    (
        "instance/register/body",
        Rule::Transport("configuration: the schemas, the environment, what made the agent"),
    ),
    ("instance/register/response_body/details/id", Rule::Held),
    ("instance/register/path", Rule::Transport("the same for all")),
    ("spans/*/create/response_body/details/id", Rule::Held),
    ("spans/*/create/received_at", Rule::Held),
    (
        "spans/*/create/body/details/status",
        Rule::Derived("pending where the span never started, else active"),
    ),
    ("spans/*/finish/response_body/control/terminate", Rule::Derived("true where there is a reason")),
    ("spans/*/finish/response_body/control/reason", Rule::Held),
    ("**/path", Rule::Derived("made of the identity of the instance or span")),
    ("**/idempotency_key", Rule::Transport("made for the request")),
];

/// Says the payloads of a span: of its start, and of its end where it is there.
pub(crate) type Fill = dyn Fn(&Span, &Json, Option<&Json>);

fn fill(span: &Span, payload: &Json, result: Option<&Json>) {
    span.input(payload);
    if let Some(result) = result {
        span.output(result);
    }
}

/// What the exporter sends of a span.
fn payloads(span: &SpanData, form: prefactor::Form) -> (Json, Option<Json>) {
    let prefactor::Payloads { payload, result } =
        prefactor::Payloads::of(span, form, &prefactor::Contents::default());
    (Json::Object(payload), result.map(Json::Object))
}

/// The requests by what they are about: those of the instance, and for each span that which started it and that which ended it.
/// The items of a bulk request become requests of their own.
pub(crate) fn arranged(requests: Json) -> Json {
    let mut arranged = json!({"instance": {}, "spans": []});
    for request in requests.as_array().unwrap() {
        let path = request["path"].as_str().unwrap();
        match path.strip_prefix("/api/v1/").unwrap().split('/').collect::<Vec<_>>()[..] {
            ["ping"] => arranged["ping"] = request.clone(),
            ["agent_instance", "register"] => arranged["instance"]["register"] = request.clone(),
            ["agent_instance", _, "record_quality"] => {
                let quality = &mut arranged["instance"]["quality"];
                let known = quality.as_array().cloned().unwrap_or_default();
                *quality = known.into_iter().chain([request.clone()]).collect();
            }
            ["agent_instance", _, operation] => arranged["instance"][operation] = request.clone(),
            ["agent_spans"] => add(&mut arranged, "create", request),
            ["agent_spans", _, "finish"] => add(&mut arranged, "finish", request),
            ["bulk"] => {
                arranged["bulk"] = request.clone();
                for item in items(&request["body"]["items"]) {
                    let mut single =
                        json!({"received_at": request["received_at"], "path": "/api/v1/agent_spans"});
                    if let Some(details) = some(item, "details") {
                        single["body"] = json!({ "details": details });
                        let outputs = &request["response_body"]["outputs"];
                        single["response_body"] = outputs[item["idempotency_key"].as_str().unwrap()].clone();
                        add(&mut arranged, "create", &single);
                    } else {
                        let id = item["agent_span_id"].as_str().unwrap();
                        single["path"] = json!(format!("/api/v1/agent_spans/{id}/finish"));
                        single["body"] =
                            json!({"status": item["status"], "result_payload": item["result_payload"]});
                        add(&mut arranged, "finish", &single);
                    }
                }
            }
            _ => panic!("{path} is not known"),
        }
    }
    arranged
}

fn add(arranged: &mut Json, operation: &str, request: &Json) {
    let spans = arranged["spans"].as_array_mut().unwrap();
    let of_same =
        |span: &&mut Json| operation == "finish" && span_id(span) == span_id(&json!({"finish": request}));
    match spans.iter_mut().find(of_same) {
        Some(span) => span[operation] = request.clone(),
        None => spans.push(json!({ operation: request })),
    }
}

/// The identity that the server gave to a span.
pub(crate) fn span_id(span: &Json) -> &str {
    let in_path = || span["finish"]["path"].as_str()?.rsplit('/').nth(1);
    text(&span["create"]["response_body"]["details"], "id").or_else(in_path).unwrap()
}

pub(crate) fn rebuild(capture: &Json, recording: &mut Recording, system: System, fill: &Fill) {
    let instance = text(&capture["instance"]["register"]["response_body"]["details"], "id").unwrap();
    rebuild_instance(instance, capture, recording);
    for span in items(&capture["spans"]) {
        rebuild_span(instance, span, recording, system, fill);
    }
}

/// An instance of an agent is a trace.
fn rebuild_instance(id: &str, capture: &Json, recording: &mut Recording) {
    let instance = &capture["instance"];
    let life = Life {
        trace_id: TraceId::from_foreign(id),
        span_id: SpanId::from_foreign(id),
        parent_id: None,
        start_unix_ns: unix_ns(text(&instance["start"]["body"], "timestamp").unwrap()),
        end_unix_ns: text(&instance["finish"]["body"], "timestamp").map(unix_ns),
    };
    let body = &instance["register"]["body"];
    let version = &body["agent_version"];
    record!(
        recording,
        life,
        spanring::trace(text(version, "name").unwrap()).foreign_trace_id(id),
        |span: &Span| {
            if_some(text(version, "external_identifier"), |version| span.agent_version(version));
            if_some(text(body, "agent_id"), |id| span.agent_id(id));
            if_some(text(body, "external_identifier"), |id| span.run_id(id));
            for quality in items(&instance["quality"]) {
                span.quality(text(&quality["body"], "name").unwrap(), &quality["body"]["payload"]);
            }
            if_some(text(&instance["finish"]["body"], "status"), |status| STATUSES.say(span, status));
            for request in items(&capture["spans"]) {
                let control = &request["finish"]["response_body"]["control"];
                if_some(text(control, "reason"), |reason| span.termination_reason(reason));
            }
        }
    );
}

fn rebuild_span(instance: &str, requests: &Json, recording: &mut Recording, system: System, fill: &Fill) {
    let (create, finish) = (&requests["create"], &requests["finish"]);
    let details = &create["body"]["details"];
    let received = |request: &Json| text(request, "received_at").map(unix_ns);
    let parent = text(details, "parent_span_id");
    let end = text(&finish["body"], "timestamp").map(unix_ns).or_else(|| received(finish));
    let life = Life {
        trace_id: TraceId::from_foreign(instance),
        span_id: SpanId::from_foreign(span_id(requests)),
        parent_id: Some(SpanId::from_foreign(parent.unwrap_or(instance))),
        start_unix_ns: received(create).or(end).unwrap(),
        end_unix_ns: end,
    };
    let schema = text(details, "schema_name").unwrap_or("unknown");
    let said = |span: &Span| {
        span.foreign_span_id(span_id(requests));
        if let Some(schema) = text(details, "schema_name") {
            say_type(span, system, schema);
        }
        if_some(text(details, "agent_instance_id"), |instance| span.foreign_trace_id(instance));
        if_some(parent, |parent| span.foreign_parent_id(parent));
        fill(span, &details["payload"], some(&finish["body"], "result_payload"));
        if_some(text(&finish["body"], "status"), |status| STATUSES.say(span, status));
    };
    let builder = spanring::span_named(schema).kind(kind(system, schema));
    if text(details, "status") == Some("pending") {
        let pending = life.of(builder).prepare();
        said(&pending);
        recording.cancel(pending, end.unwrap());
    } else {
        record!(recording, life, builder, said);
    }
}

pub(crate) fn document(spans: &[SpanData], system: System, form: prefactor::Form) -> Json {
    let (instance, spans) = spans.split_first().unwrap();
    let spans = spans.iter().map(|span| {
        assert_eq!(span.trace_id, instance.trace_id);
        let (payload, result) = payloads(span, form);
        let mut requests = Map::new();
        if span.foreign_trace_id().is_some() {
            requests.insert("create".to_owned(), create(span, system, payload));
        }
        if !span.is_open {
            requests.insert("finish".to_owned(), finish(span, instance, result));
        }
        Json::Object(requests)
    });
    json!({"spans": spans.collect::<Vec<_>>(), "instance": instance_document(instance)})
}

fn instance_document(instance: &SpanData) -> Json {
    let id = instance.foreign_trace_id().unwrap();
    let path = format!("/api/v1/agent_instance/{id}/");
    let request = |operation: &str, body: Json| json!({"path": path.clone() + operation, "body": body});
    let moment = |unix_ns: u64| isoformat(unix_ns) + "+00:00";
    let version = Object::default()
        .with("name", instance.agent_name())
        .with_some("external_identifier", instance.get(spanring::names::AGENT_VERSION));
    let body = Object::default()
        .with("agent_version", version.json())
        .with_some("agent_id", instance.agent_id())
        .with_some("external_identifier", instance.run_id());
    let quality: Vec<_> =
        instance.quality().iter().map(|one| request("record_quality", to_json(one))).collect();
    let finish = || json!({"status": STATUSES.name(instance), "timestamp": moment(instance.end_unix_ns)});
    Object::default()
        .with("register", json!({"body": body.json(), "response_body": {"details": {"id": id}}}))
        .with("start", request("start", json!({"timestamp": moment(instance.start_unix_ns)})))
        .with_some("finish", (!instance.is_open).then(|| request("finish", finish())))
        .with_some("quality", (!quality.is_empty()).then_some(quality))
        .json()
}

fn create(span: &SpanData, system: System, payload: Json) -> Json {
    let details = Object::default()
        .with("agent_instance_id", span.foreign_trace_id())
        .with("schema_name", kind_name(span, system))
        .with("status", if span.is_pending { "pending" } else { "active" })
        .with("payload", payload)
        .with_some("parent_span_id", span.foreign_parent_id());
    json!({
        "path": "/api/v1/agent_spans",
        "received_at": isoformat(span.start_unix_ns) + "Z",
        "body": {"details": details.json()},
        "response_body": {"details": {"id": span.foreign_span_id()}},
    })
}

fn finish(span: &SpanData, instance: &SpanData, result: Option<Json>) -> Json {
    // One that never started says no time, and neither does one of which nothing is known but its end.
    let says_time = span.foreign_trace_id().is_some() && !span.is_pending;
    let body = Object::default()
        .with("status", STATUSES.name(span))
        .with_some("result_payload", result)
        .with_some("timestamp", says_time.then(|| isoformat(span.end_unix_ns) + "+00:00"));
    let control = instance.termination_reason().map(|reason| json!({"terminate": true, "reason": reason}));
    Object::default()
        .with("path", format!("/api/v1/agent_spans/{}/finish", span.foreign_span_id().unwrap()))
        .with("body", body.json())
        .with_some("response_body", control.map(|control| json!({ "control": control })))
        .json()
}
