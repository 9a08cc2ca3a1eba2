//! Attributes in Prela's words.

use spanring::{Kind, ReplaySlot, Status, names};
use spanring_spool::{LinkData, SpanData, Value};

use super::span::{has_its_place, tells_kind};
use crate::isoformat;

/// Prela's words for what has another key here. What is not listed keeps its own.
pub const WORDS: &[(&str, &str)] = &[
    ("llm.vendor", names::PROVIDER_NAME),
    ("llm.temperature", names::REQUEST_TEMPERATURE),
    ("llm.max_tokens", names::REQUEST_MAX_TOKENS),
    ("llm.stream", names::REQUEST_STREAM),
    ("llm.input_tokens", names::USAGE_INPUT_TOKENS),
    ("llm.output_tokens", names::USAGE_OUTPUT_TOKENS),
    ("llm.total_tokens", names::USAGE_TOTAL_TOKENS),
    ("tool.name", names::TOOL_NAME),
    ("tool.input", names::TOOL_CALL_ARGUMENTS),
    ("tool.output", names::TOOL_CALL_RESULT),
    ("retrieval.query", names::RETRIEVAL_QUERY),
    ("retrieval.document_count", names::RETRIEVAL_DOCUMENT_COUNT),
    ("retrieval.scores", names::RETRIEVAL_SCORES),
    ("embedding.dimensions", names::EMBEDDING_DIMENSIONS),
    ("agent.name", names::AGENT_NAME),
    ("user_id", names::USER_ID),
];

const SERVICE: &str = "service.name";
const ERROR_MESSAGE: &str = "error.message";

type Pairs = Vec<(String, Value)>;

/// The attributes of `span`, of a service that is called so, and what its snapshot holds if it has one.
pub(super) fn of(span: &SpanData, service: Option<&str>) -> (Pairs, Option<Pairs>) {
    let (mut attributes, mut snapshot) = (Pairs::new(), None);
    if let Some(service) = service
        && span.get(SERVICE).is_none()
    {
        attributes.push((SERVICE.to_owned(), service.into()));
    }
    for (key, value) in &span.attributes {
        match (key.as_str(), value) {
            (key, _) if has_its_place(span, key) => {}
            (names::REPLAY, Value::Map(slots)) => {
                let (readable, rest) = slots.iter().cloned().partition::<Pairs, _>(is_readable);
                let written: Pairs = readable.into_iter().filter(|(_, value)| !value.is_null()).collect();
                snapshot = Some(in_order(written));
                push_rest(&mut attributes, key, rest);
            }
            (names::ERROR_DATA, Value::Map(data)) if value.get("status_code").is_some() => {
                let is_code = |(key, _): &(String, Value)| key == "status_code";
                let (codes, rest) = data.iter().cloned().partition::<Pairs, _>(is_code);
                attributes.extend(codes.into_iter().map(|(_, code)| ("error.status_code".to_owned(), code)));
                push_rest(&mut attributes, key, rest);
            }
            (key, value) => {
                let (word, value) = in_its_words(span, key, value);
                attributes.push((word.to_owned(), value));
            }
        }
    }
    tell_failure(&mut attributes, span);
    tell_state(&mut attributes, span);
    (attributes, snapshot)
}

/// What is left of a map, under its own key.
fn push_rest(attributes: &mut Pairs, key: &str, rest: Pairs) {
    if !rest.is_empty() {
        attributes.push((key.to_owned(), Value::Map(rest)));
    }
}

fn in_its_words<'a>(span: &SpanData, key: &'a str, value: &Value) -> (&'a str, Value) {
    let word = match (key, value) {
        (names::REQUEST_MODEL, _) if span.kind == Kind::Embedding => "embedding.model",
        (names::REQUEST_MODEL, _) => "llm.model",
        (names::REQUEST_TOP_K, _) if span.kind != Kind::Llm => "retrieval.top_k",
        (names::RESPONSE_FINISH_REASONS, Value::List(reasons)) if reasons.len() == 1 => {
            return ("llm.stop_reason", reasons[0].clone());
        }
        (names::RESPONSE_TIME_TO_FIRST_CHUNK, value) if value.as_f64().is_some() => {
            let seconds = value.as_f64().unwrap_or_default();
            return ("llm.time_to_first_token_ms", Value::F64(seconds * 1e3));
        }
        _ => WORDS.iter().find(|(_, name)| *name == key).map_or(key, |(word, _)| word),
    };
    (word, value.clone())
}

/// Whether the SDK's `ReplaySnapshot.from_dict` reads this slot. At a key that it does not know it stops, and gives the rest of a file up.
fn is_readable((key, value): &(String, Value)) -> bool {
    match (ReplaySlot::ALL.iter().find(|slot| slot.name() == key), value) {
        (Some(ReplaySlot::RequestTimestamp), Value::Str(text)) => isoformat::parse(text).is_some(),
        (slot, _) => slot.is_some(),
    }
}

/// In the order in which the SDK writes slots.
fn in_order(mut snapshot: Pairs) -> Pairs {
    let place = |key: &str| ReplaySlot::ALL.iter().position(|slot| slot.name() == key);
    snapshot.sort_by_key(|(key, _)| place(key));
    snapshot
}

/// Adds what the SDK sets where a span fails.
fn tell_failure(attributes: &mut Pairs, span: &SpanData) {
    let place = |attributes: &Pairs, key: &str| attributes.iter().position(|(name, _)| name == key);
    if span.status == Status::TimedOut && place(attributes, names::ERROR_TYPE).is_none() {
        attributes.push((names::ERROR_TYPE.to_owned(), "timeout".into()));
    }
    if let (Some(message), Some(at)) = (span.error_message(), place(attributes, names::ERROR_TYPE))
        && place(attributes, ERROR_MESSAGE).is_none()
    {
        attributes.insert(at + 1, (ERROR_MESSAGE.to_owned(), message.into()));
    }
}

/// Adds what Prela has no place for: what a span is and how it stands, beyond its type and its status.
fn tell_state(attributes: &mut Pairs, span: &SpanData) {
    let mut tell = |key: &str, value: Value| attributes.push((key.to_owned(), value));
    if !span.links.is_empty() {
        tell(names::LINKS, Value::List(span.links.iter().map(link).collect()));
    }
    if !tells_kind(span) {
        tell(names::KIND, span.kind.name().into());
    }
    if let Status::Cancelled | Status::TimedOut = span.status {
        tell(names::STATUS, span.status.name().into());
    }
    if span.is_pending {
        tell(names::PENDING, true.into());
    }
    if span.interrupted {
        tell(names::INTERRUPTED, true.into());
    }
    if span.cut > 0 {
        tell(names::CUT, span.cut.into());
    }
}

fn link(link: &LinkData) -> Value {
    Value::from_iter([
        ("trace_id", Value::from(link.trace_id.to_string())),
        ("span_id", Value::from(link.span_id.to_string())),
        ("attributes", Value::Map(link.attributes.clone())),
    ])
}
