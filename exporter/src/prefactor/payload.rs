//! The payloads of a span: what it was given, and what came of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use spanring::{Tokens, names};
use spanring_spool::{SpanData, Value};

use super::Contents;
use super::contents::Side;
use super::json::{object, value as to_json};
use super::langchain;
use crate::rfc3339::to_micros;

/// In which form payloads are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// As the span says them.
    Free,
    /// As the types of prefactor_langchain have them.
    Langchain,
}

impl Form {
    /// The form of a span's payloads, by the type that it says.
    pub fn of(span: &SpanData) -> Self {
        match span.type_name() {
            Some(name) if name.starts_with("langchain:") => Form::Langchain,
            _ => Form::Free,
        }
    }
}

/// Where an attribute stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// In the payload, under this key.
    Payload(&'static str),
    /// Among its inputs.
    Inputs(&'static str),
    /// Among the outputs of the result.
    Outputs(&'static str),
    /// Where it is written beside others.
    Own,
    /// In the metadata of the payload.
    Metadata,
}

fn place(key: &str, form: Form) -> Place {
    match key {
        names::AGENT_NAME => Place::Payload("agent_name"),
        names::REQUEST_MODEL => Place::Payload("model_name"),
        names::PROVIDER_NAME => Place::Payload("provider"),
        names::REQUEST_TEMPERATURE => Place::Payload("temperature"),
        names::TOOL_NAME => Place::Payload("tool_name"),
        names::STEP_NAME if form == Form::Langchain => Place::Payload("node"),
        names::STEP_INDEX if form == Form::Langchain => Place::Payload("step"),
        names::INPUT_MESSAGES => Place::Inputs("messages"),
        names::SYSTEM_INSTRUCTIONS => Place::Inputs("system"),
        names::TOOL_CALL_ARGUMENTS => Place::Inputs("arguments"),
        names::RETRIEVAL_QUERY => Place::Inputs("query"),
        names::OUTPUT_MESSAGES => Place::Outputs("messages"),
        names::RESPONSE_CONTENT => Place::Outputs("content"),
        names::TOOL_CALL_RESULT => Place::Outputs("output"),
        names::RETRIEVAL_DOCUMENTS => Place::Outputs("documents"),
        key if has_its_own(key) => Place::Own,
        _ => Place::Metadata,
    }
}

/// The attribute whose place this is, for all that have one: what stands there at these keys of a payload or result.
pub(super) fn attribute_at(path: &[&str]) -> Option<&'static str> {
    let own = [
        (["error", "error_type"], names::ERROR_TYPE),
        (["error", "message"], names::STATUS_MESSAGE),
        (["error", "stacktrace"], names::ERROR_STACKTRACE),
        (["token_usage", "prompt_tokens"], names::USAGE_INPUT_TOKENS),
        (["token_usage", "completion_tokens"], names::USAGE_OUTPUT_TOKENS),
        (["token_usage", "total_tokens"], names::USAGE_TOTAL_TOKENS),
    ];
    let is_there = |key: &str| match (place(key, Form::Langchain), path) {
        (Place::Payload(word), [there]) => word == *there,
        (Place::Inputs(word), ["inputs", there]) | (Place::Outputs(word), ["outputs", there]) => {
            word == *there
        }
        _ => false,
    };
    match path {
        ["metadata"] => Some(names::METADATA),
        _ => own
            .iter()
            .find(|(known, _)| known == path)
            .map(|(_, key)| *key)
            .or_else(|| names::ALL.iter().map(|(key, _)| *key).find(|key| is_there(key))),
    }
}

/// What content may be called that stands elsewhere than in its place: what it would be called there, and the whole that it is of.
pub(super) fn displaced_names(key: &str) -> Vec<String> {
    let of = |side: &str, word: &str| vec![side.to_owned(), format!("{side}.{word}")];
    match (key, place(key, Form::Langchain)) {
        (names::INPUT, _) => vec!["inputs".to_owned()],
        (names::OUTPUT, _) => vec!["outputs".to_owned()],
        (_, Place::Inputs(word)) => of("inputs", word),
        (_, Place::Outputs(word)) => of("outputs", word),
        _ => Vec::new(),
    }
}

fn has_its_own(key: &str) -> bool {
    [
        names::INPUT,
        names::OUTPUT,
        names::METADATA,
        names::TYPE,
        names::FOREIGN_SPAN_ID,
        names::FOREIGN_TRACE_ID,
        names::FOREIGN_PARENT_ID,
        names::FOREIGN_STATUS,
        names::USAGE_INPUT_TOKENS,
        names::USAGE_OUTPUT_TOKENS,
        names::USAGE_TOTAL_TOKENS,
        names::ERROR_TYPE,
        names::ERROR_STACKTRACE,
    ]
    .contains(&key)
}

/// Whether what has a place of its own gets there: a value of another type than it has does not.
fn is_read(span: &SpanData, key: &str) -> bool {
    let tokens = span.tokens();
    let is_counted = |of: fn(&Tokens) -> Option<u64>| tokens.as_ref().and_then(of).is_some();
    match key {
        names::USAGE_INPUT_TOKENS => is_counted(|tokens| tokens.input),
        names::USAGE_OUTPUT_TOKENS => is_counted(|tokens| tokens.output),
        names::USAGE_TOTAL_TOKENS => is_counted(|tokens| tokens.total),
        names::INPUT | names::OUTPUT | names::METADATA => true,
        _ => span.get(key).is_some_and(|value| value.as_str().is_some()),
    }
}

/// On which side the content of an attribute stands; `None` of what is no content.
fn side(key: &str) -> Option<Side> {
    match key {
        names::DEFAULT_INPUT | names::INITIAL_MESSAGES | names::AGENT_CONFIG => Some(Side::Input),
        names::FINAL_MESSAGES => Some(Side::Output),
        key => match names::class(key)? {
            names::Class::About => None,
            names::Class::Content | names::Class::Mixed(_) => Some(Side::Both),
        },
    }
}

/// The payloads of a span.
#[derive(Clone, PartialEq, Debug)]
pub struct Payloads {
    /// What it was given, and what is known about it.
    pub payload: Map<String, Json>,
    /// What came of it; `None` where nothing is known to have.
    pub result: Option<Map<String, Json>>,
}

impl Payloads {
    /// The payloads of `span`.
    pub fn of(span: &SpanData, form: Form, contents: &Contents) -> Self {
        let is_free = form == Form::Free;
        let mut given =
            Half::new("inputs", span.input(), is_free, |input| contents.admit(Side::Input, input));
        // What a node has done has no key around it.
        let is_free = is_free || span.step_name().is_some();
        let mut came =
            Half::new("outputs", span.output(), is_free, |output| contents.admit(Side::Output, output));
        let mut metadata = Map::new();
        let as_inputs = langchain::arguments_as_inputs(span);
        if let Some(arguments) = as_inputs.and_then(|arguments| contents.admit(Side::Input, arguments)) {
            given.within = Some(to_json(&arguments));
        }
        for (key, value) in last_values(span) {
            if key == names::TOOL_CALL_ARGUMENTS && as_inputs.is_some() {
                continue;
            }
            let (admitted, is_placed) = match place(key, form) {
                Place::Own if is_read(span, key) => continue,
                Place::Own => (Some(value.clone()), false),
                Place::Payload(word) => (Some(value.clone()), given.set(word, to_json(value))),
                Place::Inputs(word) => {
                    let Some(value) = contents.admit(Side::Input, value) else { continue };
                    let is_placed = given.set_within(word, &value);
                    (Some(value), is_placed)
                }
                Place::Outputs(word) => {
                    let Some(value) = contents.admit(Side::Output, value) else { continue };
                    let is_placed = came.set_within(word, &value);
                    (Some(value), is_placed)
                }
                Place::Metadata => match side(key) {
                    Some(side) => (contents.admit(side, value), false),
                    None => (Some(value.clone()), false),
                },
            };
            if let (Some(value), false) = (admitted, is_placed) {
                metadata.insert(key.to_owned(), to_json(&value));
            }
        }
        if form == Form::Langchain && span.input().is_none() {
            repeat_in_inputs(span, &mut given);
        }
        for (word, value) in [("token_usage", usage(span)), ("error", error(span))] {
            if let Some(value) = value
                && !came.set(word, value.clone())
            {
                metadata.insert(word.to_owned(), value);
            }
        }
        metadata.extend(events(span, form, contents).map(|events| ("events".to_owned(), events)));
        metadata.extend(links(span, form, contents).map(|links| ("links".to_owned(), links)));
        match span.metadata() {
            Some(Value::Map(said)) => metadata.extend(object(said)),
            Some(said) => drop(metadata.insert(names::METADATA.to_owned(), to_json(said))),
            None => {}
        }
        let mut payload = given.end().unwrap_or_default();
        add_metadata(&mut payload, metadata);
        Payloads { payload, result: came.end() }
    }
}

/// Says among the inputs of a model's call which model it was, and of a tool's which tool, as prefactor_langchain does beside saying it in
/// the payload; but not where no inputs are sent.
fn repeat_in_inputs(span: &SpanData, given: &mut Half) {
    let (key, word) = match span.type_name() {
        Some("langchain:llm") => (names::REQUEST_MODEL, "model"),
        Some("langchain:tool") => (names::TOOL_NAME, "tool_name"),
        _ => return,
    };
    if let Some(value) = span.get(key).filter(|_| given.within.is_some()) {
        given.set_within(word, value);
    }
}

/// Adds metadata, of whose keys those that are there already stay as they are.
pub(super) fn add_metadata(payload: &mut Map<String, Json>, metadata: Map<String, Json>) {
    if metadata.is_empty() {
        return;
    }
    // A program's own may stand under a key that means something else to it, and under the other one too.
    let mut place = "metadata".to_owned();
    while !payload.entry(&*place).or_insert_with(|| Json::Object(Map::new())).is_object() {
        place = if place == "metadata" { names::METADATA.to_owned() } else { format!("{place}'") };
    }
    if let Some(Json::Object(there)) = payload.get_mut(&place) {
        for (key, value) in metadata {
            there.entry(key).or_insert(value);
        }
    }
}

/// A payload that is being filled.
struct Half {
    map: Map<String, Json>,
    /// What stands under `word`.
    within: Option<Json>,
    word: &'static str,
    is_said: bool,
}

impl Half {
    fn new(
        word: &'static str,
        said: Option<&Value>,
        is_free: bool,
        admit: impl FnOnce(&Value) -> Option<Value>,
    ) -> Self {
        let said = said.and_then(admit);
        let is_said = said.is_some();
        let (map, within) = match said {
            Some(Value::Map(pairs)) if is_free => (object(&pairs), None),
            said => (Map::new(), said.as_ref().map(to_json)),
        };
        Half { map, within, word, is_said }
    }

    /// Sets what is not set yet, and says whether it did.
    fn set(&mut self, word: &str, value: Json) -> bool {
        let is_free = !self.map.contains_key(word);
        if is_free {
            self.map.insert(word.to_owned(), value);
        }
        is_free
    }

    fn set_within(&mut self, word: &str, value: &Value) -> bool {
        if self.map.contains_key(self.word) {
            return false;
        }
        match self.within.get_or_insert_with(|| Json::Object(Map::new())) {
            Json::Object(within) if !within.contains_key(word) => {
                within.insert(word.to_owned(), to_json(value));
                true
            }
            _ => false,
        }
    }

    fn end(mut self) -> Option<Map<String, Json>> {
        if let Some(within) = self.within {
            self.map.insert(self.word.to_owned(), within);
        }
        (self.is_said || !self.map.is_empty()).then_some(self.map)
    }
}

/// The attributes, each once: its last value.
fn last_values(span: &SpanData) -> BTreeMap<&str, &Value> {
    span.attributes.iter().map(|(key, value)| (key.as_str(), value)).collect()
}

fn usage(span: &SpanData) -> Option<Json> {
    let tokens = span.tokens()?;
    let counts = [
        ("prompt_tokens", tokens.input),
        ("completion_tokens", tokens.output),
        ("total_tokens", tokens.total),
    ];
    let usage: Map<_, _> =
        counts.into_iter().filter_map(|(word, count)| Some((word.to_owned(), count?.into()))).collect();
    (!usage.is_empty()).then_some(Json::Object(usage))
}

fn error(span: &SpanData) -> Option<Json> {
    let texts = [
        ("error_type", span.error_type()),
        ("message", span.error_message()),
        ("stacktrace", span.stack_trace()),
    ];
    let error: Map<_, _> =
        texts.into_iter().filter_map(|(word, text)| Some((word.to_owned(), text?.into()))).collect();
    (!error.is_empty()).then_some(Json::Object(error))
}

/// The attributes of an event or a link, as far as they may be sent.
fn about(pairs: &[(String, Value)], form: Form, contents: &Contents) -> Json {
    let admitted = |(key, value): &(String, Value)| {
        let side = match place(key, form) {
            Place::Inputs(_) => Some(Side::Input),
            Place::Outputs(_) => Some(Side::Output),
            Place::Own if key == names::INPUT => Some(Side::Input),
            Place::Own if key == names::OUTPUT => Some(Side::Output),
            Place::Own | Place::Payload(_) | Place::Metadata => side(key),
        };
        let value = match side {
            Some(side) => contents.admit(side, value)?,
            None => value.clone(),
        };
        Some((key.clone(), value))
    };
    Json::Object(object(&pairs.iter().filter_map(admitted).collect::<Vec<_>>()))
}

fn events(span: &SpanData, form: Form, contents: &Contents) -> Option<Json> {
    let events = span.events.iter().map(|event| {
        let attributes = about(&event.attributes, form, contents);
        json!({"name": event.name, "time": to_micros(event.time_unix_ns), "attributes": attributes})
    });
    (!span.events.is_empty()).then(|| events.collect())
}

fn links(span: &SpanData, form: Form, contents: &Contents) -> Option<Json> {
    let links = span.links.iter().map(|link| {
        let (trace_id, span_id) = (link.trace_id.to_string(), link.span_id.to_string());
        let attributes = about(&link.attributes, form, contents);
        json!({"trace_id": trace_id, "span_id": span_id, "attributes": attributes})
    });
    (!span.links.is_empty()).then(|| links.collect())
}
