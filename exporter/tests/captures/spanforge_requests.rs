//! SpanForge: its events on the way to collectors. Each collector is sent the part of them that fits its own form.

use serde_json::{Map, Value as Json, json};
use spanring::{SpanId, TraceId};
use spanring_spool::SpanData;

use crate::json::{Object, items, pairs, some, text, whole};
use crate::prela_requests::with_keys;
use crate::rules::{HTTP, Rule, Table};
use crate::spanforge::{OF_EVENT, event, others, rebuild_event};
use crate::{Form, file};

/// To a web hook and to SpanForge's own cloud: whole events.
pub(crate) const WEBHOOK: Form = Form {
    rebuild: |capture, recording| {
        items(&capture["body"]).iter().for_each(|event| rebuild_event(event, recording))
    },
    document: |spans| json!({"body": spans.iter().map(event).collect::<Json>()}),
    rules: &[OF_EVENT, HTTP],
    others,
    list: Some("/body"),
    captures: || {
        let single = |json: Json| with_body(&json, json!([json["body"]]));
        let of_lines = |json: Json| with_body(&json, json["body"]["_ndjson"].clone());
        vec![
            file("spanforge/net/002_POST_hook.json").map(single),
            file("spanforge/net/003_POST_hook.json"),
            file("spanforge/net/004_POST_v1_events.json").map(of_lines),
        ]
    },
};

pub(crate) const LOKI: Form = Form {
    rebuild: |capture, recording| {
        items(&capture["body"]).iter().for_each(|line| rebuild_event(&line["event"], recording));
    },
    document: |spans| json!({"body": spans.iter().map(line).collect::<Json>()}),
    rules: &[OF_LOKI, OF_EVENT, HTTP],
    others,
    list: Some("/body"),
    captures: || vec![file("spanforge/net/006_POST_loki_api_v1_push.json").map(in_lines)],
};

pub(crate) const OTLP: Form = Form {
    rebuild: |capture, recording| {
        let spans = &capture["body"]["resourceSpans"][0]["scopeSpans"][0]["spans"];
        items(spans).iter().for_each(|span| rebuild_event(&inflated(&span["attributes"]), recording));
    },
    document: |spans| {
        let spans = json!({"spans": spans.iter().map(otlp_span).collect::<Json>()});
        json!({"body": {"resourceSpans": [{"scopeSpans": [spans]}]}})
    },
    rules: &[OF_OTLP, HTTP],
    others: |path, value| match (path[path.len() - 2].as_str(), value.as_str()) {
        (list, Some("[]")) => {
            let others = others(&[list.rsplit('.').next()?.to_owned()], &json!([]))?;
            Some(others.iter().map(|other| json!(in_python(other))).collect())
        }
        ("llm.payload.span_kind", _) => others(&["span_kind".to_owned()], value),
        ("llm.payload.status", _) => others(&["status".to_owned()], value),
        _ => others(path, value),
    },
    list: Some("/body/resourceSpans/0/scopeSpans/0/spans"),
    captures: || vec![file("spanforge/net/001_POST_v1_traces.json").map(with_keys)],
};

pub(crate) const DATADOG: Form = Form {
    rebuild: |capture, recording| {
        items(&capture["body"])
            .iter()
            .flat_map(items)
            .for_each(|span| rebuild_event(&of_datadog(span), recording));
    },
    document: |spans| json!({"body": [spans.iter().map(datadog_span).collect::<Json>()]}),
    rules: &[OF_DATADOG, HTTP],
    others: |path, value| match path.last()?.as_str() {
        "llm.span_kind" => others(&["span_kind".to_owned()], value),
        "llm.status" => others(&["status".to_owned()], value),
        _ => others(path, value),
    },
    list: Some("/body/0"),
    captures: || vec![file("spanforge/net/005_POST_v0_3_traces.json")],
};

const SENT: Rule = Rule::Transport("when the event was sent");
const SOURCE: Rule = Rule::Transport("configuration: the service and its version");
const TYPE: Rule = Rule::Derived("follows from the sort of payload and its status");
const PAYLOAD: Rule = Rule::Derived("that of the payload");
const SAME: Rule = Rule::Transport("the same for all");

const OF_LOKI: &Table =
    &[("body/*/stream", Rule::Derived("what the event has in common with others")), ("body/*/sent", SENT)];

const OF_OTLP: &Table = &[
    ("body/resourceSpans/*/resource", Rule::Transport("configuration: the resource of a spool")),
    ("**/scope", SAME),
    ("**/startTimeUnixNano", SENT),
    ("**/endTimeUnixNano", SENT),
    ("**/kind", SAME),
    ("**/traceFlags", SAME),
    ("**/name", TYPE),
    ("**/traceId", PAYLOAD),
    ("**/spanId", PAYLOAD),
    ("**/parentSpanId", PAYLOAD),
    ("**/spans/*/status", PAYLOAD),
    ("**/gen_ai.*", PAYLOAD),
    ("**/llm.event_id", Rule::Transport("made for the event")),
    ("**/llm.schema_version", Rule::Transport("of the event")),
    ("**/llm.source", SOURCE),
    ("**/llm.event_type", TYPE),
    ("**/llm.payload.duration_ms", Rule::Derived("how long it is from the start to the end")),
];

const OF_DATADOG: &Table = &[
    ("**/name", TYPE),
    ("**/resource", TYPE),
    ("**/service", SOURCE),
    ("**/type", SAME),
    ("**/error", SAME),
    ("**/trace_id", PAYLOAD),
    ("**/span_id", PAYLOAD),
    ("**/llm.source", SOURCE),
    ("**/llm.event_type", TYPE),
];

fn with_body(request: &Json, body: Json) -> Json {
    let mut changed = request.clone();
    changed["body"] = body;
    changed
}

/// The streams one event after the other, with what was text parsed: the lines are JSON within JSON.
fn in_lines(request: Json) -> Json {
    let lines = items(&request["body"]["streams"]).iter().flat_map(|stream| {
        items(&stream["values"]).iter().map(|value| {
            let event: Json = serde_json::from_str(value[1].as_str().unwrap()).unwrap();
            json!({"stream": stream["stream"], "sent": value[0], "event": event})
        })
    });
    with_body(&request, lines.collect())
}

fn line(span: &SpanData) -> Json {
    let event = event(span);
    let event_type = text(&event, "event_type").unwrap().replace('.', "_");
    json!({"stream": {"event_type": event_type, "org_id": event["org_id"]}, "event": event})
}

/// The event that was flattened into attributes.
fn inflated(attributes: &Json) -> Json {
    let mut event = json!({});
    for (key, value) in pairs(attributes) {
        let path = match key.strip_prefix("llm.") {
            Some(path) if path.starts_with("tag.") => path.replacen("tag.", "tags.", 1),
            Some(path) => path.to_owned(),
            None => continue,
        };
        let (form, value) = pairs(value).next().unwrap();
        let plain = match (form, value.as_str()) {
            ("intValue", Some(number)) => json!(number.parse::<i64>().unwrap()),
            (_, Some(list)) if list.starts_with('[') => from_python(list),
            _ => value.clone(),
        };
        let (parents, last) = path.rsplit_once('.').unwrap_or(("", &path));
        let parent = parents.split('.').filter(|name| !name.is_empty()).fold(&mut event, |json, name| {
            json.as_object_mut().unwrap().entry(name).or_insert_with(|| json!({}))
        });
        parent[last] = plain;
    }
    event
}

fn flattened(json: &Json, prefix: &str, into: &mut Map<String, Json>) {
    for (key, value) in pairs(json) {
        let key = format!("{prefix}{key}");
        match value {
            Json::Object(_) => flattened(value, &format!("{key}."), into),
            Json::Array(_) => _ = into.insert(key, json!({"stringValue": in_python(value)})),
            Json::Number(number) if !number.is_f64() => {
                _ = into.insert(key, json!({"intValue": number.to_string()}))
            }
            Json::Number(_) => _ = into.insert(key, json!({"doubleValue": value})),
            _ => _ = into.insert(key, json!({"stringValue": value})),
        }
    }
}

/// What Python's `repr` says about JSON whose texts need no escapes.
fn in_python(json: &Json) -> String {
    match json {
        Json::Null => "None".to_owned(),
        Json::Bool(true) => "True".to_owned(),
        Json::Bool(false) => "False".to_owned(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => format!("'{text}'"),
        Json::Array(items) => format!("[{}]", items.iter().map(in_python).collect::<Vec<_>>().join(", ")),
        Json::Object(pairs) => {
            let pairs: Vec<_> =
                pairs.iter().map(|(key, value)| format!("'{key}': {}", in_python(value))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

fn from_python(text: &str) -> Json {
    serde_json::from_str(&text.replace('\'', "\"")).unwrap()
}

fn otlp_span(span: &SpanData) -> Json {
    let event = event(span);
    let payload = &event["payload"];
    let mut attributes = Map::new();
    for (key, value) in
        [("event_type", "llm."), ("org_id", "llm."), ("tags", "llm.tag."), ("payload", "llm.payload.")]
    {
        let prefix = value;
        match &event[key] {
            Json::Null => {}
            nested @ Json::Object(_) => flattened(nested, prefix, &mut attributes),
            plain => flattened(&json!({ key: plain }), prefix, &mut attributes),
        }
    }
    let is_ok = payload["status"] == "ok";
    let shown = json!({
        "gen_ai.operation.name": payload["span_name"],
        "gen_ai.request.model": payload["model"]["name"],
        "gen_ai.response.finish_reasons": if is_ok { "stop" } else { "error" },
    });
    let shown = pairs(&shown).filter(|(_, value)| !value.is_null());
    attributes.extend(shown.map(|(key, value)| (key.to_owned(), json!({"stringValue": value}))));
    let status = Object::default()
        .with("code", if is_ok { 1 } else { 2 })
        .with_some("message", some(payload, "error"));
    Object::default()
        .with("traceId", &event["trace_id"])
        .with("spanId", &event["span_id"])
        .with_some("parentSpanId", some(&event, "parent_span_id"))
        .with("name", &event["event_type"])
        .with("attributes", attributes)
        .with("status", status.json())
        .json()
}

/// The event of which Datadog is sent the texts. It says no start of its own, so that of the span is when the event was sent.
fn of_datadog(span: &Json) -> Json {
    let start = whole(span, "start").unwrap();
    let mut payload = json!({
        "start_time_unix_nano": start,
        "end_time_unix_nano": start + whole(span, "duration").unwrap(),
    });
    let mut event = json!({"tags": {}});
    for (key, value) in pairs(&span["meta"]) {
        match key.strip_prefix("llm.").unwrap() {
            "org_id" => event["org_id"] = value.clone(),
            "source" | "event_type" => {}
            key => match key.strip_prefix("tag.") {
                Some(tag) => event["tags"][tag] = value.clone(),
                None => payload[key] = value.clone(),
            },
        }
    }
    event["payload"] = payload;
    event
}

fn datadog_span(span: &SpanData) -> Json {
    let event = event(span);
    let texts = |json: &Json, prefix: &'static str| {
        let texts = pairs(json).filter(|(_, value)| value.is_string());
        texts.map(|(key, value)| (format!("{prefix}{key}"), value.clone())).collect::<Vec<_>>()
    };
    let of_event = json!({"event_type": event["event_type"], "org_id": event["org_id"]});
    let meta =
        [texts(&of_event, "llm."), texts(&event["tags"], "llm.tag."), texts(&event["payload"], "llm.")]
            .concat();
    let low_half = |id: TraceId| u64::from_str_radix(&id.to_string()[16..], 16).unwrap();
    let number = |id: SpanId| u64::from_str_radix(&id.to_string(), 16).unwrap();
    json!({
        "name": event["event_type"],
        "resource": event["event_type"],
        "trace_id": low_half(span.trace_id),
        "span_id": number(span.span_id),
        "start": span.start_unix_ns,
        "duration": span.duration_ns(),
        "meta": Json::Object(meta.into_iter().collect()),
    })
}
