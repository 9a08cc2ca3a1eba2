//! The two requests of a span that is shown while it runs: one when it starts, and one when it has ended.
//!
//! The first says what the span's announcement does, which stands in the spool, so that it is the same whenever it is sent. What became known later
//! is said by the second: results in their places, and all else in the `metadata` of `result_payload`, what would have a place of its own in the
//! payload under `spanring.payload` there.

use serde_json::{Map, Value as Json, json};
use spanring::names;
use spanring_spool::SpanData;

use super::json::moment;
use super::payload::add_metadata;
use super::span::facts;
use super::{Contents, Form, Instance, Payloads, SpanStatus};

/// When spans are created.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Once they have ended, finished.
    #[default]
    Finished,
    /// When they start, to be finished once they have ended.
    Live,
}

/// In the metadata of a result: what the payload would have said, had it been known when the span started.
const PAYLOAD: &str = "spanring.payload";

/// What the request that created a span has said of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Said<'a> {
    /// All that there is but the result.
    Payload,
    /// What was known when it started: this announcement.
    Start(&'a SpanData),
    /// Nobody knows.
    Unknown,
}

/// The body that creates a span that runs, of an instance that has this identity there, under a parent that has that one. `span` is its announcement,
/// or the span where it has none.
pub fn start(
    span: &SpanData,
    instance_id: &str,
    parent_id: Option<&str>,
    instance: &Instance,
    contents: &Contents,
) -> Json {
    let Payloads { mut payload, .. } = Payloads::of(span, Form::of(span), contents);
    let schema = instance.type_of(span);
    add_metadata(&mut payload, facts(span, parent_id, schema));
    let mut details = json!({
        "agent_instance_id": instance_id,
        "schema_name": schema,
        "status": "active",
        "payload": payload,
        "started_at": moment(span.start_unix_ns),
        "idempotency_key": instance.key_of(span),
    });
    if let Some(parent) = parent_id {
        details["parent_span_id"] = parent.into();
    }
    json!({ "details": details })
}

/// The body that finishes a span of which that was said when it was created.
pub fn finish(span: &SpanData, said: Said<'_>, instance: &Instance, contents: &Contents) -> Json {
    // Which parent it has was said where it was created.
    let known = |of: &SpanData, schema: &str| {
        let Payloads { mut payload, result } = Payloads::of(of, Form::of(of), contents);
        add_metadata(&mut payload, facts(of, Some(""), schema));
        (payload, result)
    };
    let result = match said {
        Said::Payload => known(span, instance.type_of(span)).1.unwrap_or_default(),
        Said::Start(announced) => {
            let schema = instance.type_of(announced);
            let (payload, result) = known(span, schema);
            let mut result = result.unwrap_or_default();
            add_late(&mut result, late(payload, &known(announced, schema).0));
            result
        }
        Said::Unknown => {
            let (payload, result) = known(span, instance.type_of(span));
            let mut result = result.unwrap_or_default();
            add_late(&mut result, late(payload, &Map::new()));
            result
        }
    };
    let mut body = json!({
        "status": SpanStatus::of(span).word(),
        "timestamp": moment(span.end_unix_ns),
        "idempotency_key": finish_key(span, instance),
    });
    if !result.is_empty() {
        body["result_payload"] = Json::Object(result);
    }
    body
}

/// The body that finishes a span that was announced, and whose end was lost.
pub fn lose(announced: &SpanData, instance: &Instance) -> Json {
    json!({
        "status": SpanStatus::Failed.word(),
        "result_payload": {"error": {"error_type": "spanring.end_lost", "message": "how it ended was lost"}},
        "idempotency_key": finish_key(announced, instance),
    })
}

/// The key of the request that finishes a span of an instance.
pub(super) fn finish_key(span: &SpanData, instance: &Instance) -> String {
    format!("{}-f", instance.key_of(span))
}

/// Adds what became known late to a result, beside its own metadata where both have the same key.
fn add_late(result: &mut Map<String, Json>, late: Map<String, Json>) {
    let own = result.get("metadata").and_then(Json::as_object);
    match own.is_some_and(|own| late.keys().any(|key| own.contains_key(key))) {
        true => drop(result.insert(names::METADATA.to_owned(), Json::Object(late))),
        false => add_metadata(result, late),
    }
}

/// What a payload says that this one did not: metadata, and what is beside it.
fn late(payload: Map<String, Json>, said: &Map<String, Json>) -> Map<String, Json> {
    let (mut beside, mut late) = (Map::new(), Map::new());
    for (key, value) in payload {
        let before = said.get(&key);
        match (value, before) {
            (value, Some(before)) if value == *before => {}
            (Json::Object(metadata), before) if key == "metadata" || key == names::METADATA => {
                let before = before.and_then(Json::as_object);
                let is_new =
                    |(key, value): &(String, Json)| before.and_then(|said| said.get(key)) != Some(value);
                late.extend(metadata.into_iter().filter(is_new));
            }
            (value, _) => drop(beside.insert(key, value)),
        }
    }
    if !beside.is_empty() {
        late.insert(PAYLOAD.to_owned(), Json::Object(beside));
    }
    late
}
