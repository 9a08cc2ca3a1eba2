//! Spans as the classes of prefactor_langchain write them: what their `to_dict` has.
//!
//! ```
//! use spanring::{Kind, names};
//! use spanring_exporter::prefactor_langchain::{Class, to_dict};
//! use spanring_spool::SpanData;
//!
//! let called = (names::TOOL_NAME.to_owned(), "search".into());
//! let span = SpanData { kind: Kind::Tool, attributes: vec![called], ..SpanData::default() };
//! assert_eq!(Class::of(&span), Class::Tool);
//! assert!(to_dict(&span).ends_with(
//!     r#""tool_name": "search", "tool_schema": null, "arguments": {}, "execution_time_ms": null, "tool_type": null}"#,
//! ));
//! ```
//!
//! The SDK has no way back. Its requests are those of Prefactor, and are made by [`prefactor`](crate::prefactor).
//!
//! What becomes of a span:
//!
//! | spanring | the dictionary |
//! |---|---|
//! | the type that was said, or else the kind | the class; `type` is that of the class. What the SDK has no class for, a node above all, is a `LangChainSpan`, whose `type` is the span's own: the SDK calls each of those `langchain:agent` |
//! | times | `start_time`, `end_time`: seconds, as the floating-point number that is nearest; `end_time` is null while the span is open |
//! | attribute `spanring.foreign.status`, if it is one of the four statuses | `status` |
//! | else open, or never started, and nothing said; error, timed out, interrupted; all else | `status` `pending`, as nothing in the SDK says `running`; `failed`; `completed` |
//! | the class, message and stack trace of an error, of what failed or has one of them | `error`. Its type is `error` or `timed_out` where nobody said, and its message empty |
//! | `input`, `output`, `tags` | `inputs`, `outputs`, `tags` |
//! | a field of the class | that field; where it was not said it is what the SDK begins with: null, 0, or empty |
//! | messages, system instructions, arguments, query, where the class has no field for them | `inputs`: `messages`, `system`, `arguments`, `query` |
//! | messages, the tool's result, documents, the answer's text, likewise | `outputs`: `messages`, `output`, `documents`, `content` |
//! | tokens of input and output, and in all, of a model's call | `token_usage`; what they come to where only both others were said |
//! | `metadata` | `metadata` |
//! | every other attribute, and what has its place taken by a key of `input` or `output` | `metadata`, under its own key, with a `'` behind it where that is taken |
//! | a type and a kind that `type` does not tell; cancelled, timed out; a message of what did not fail; interrupted; cut | `metadata`: `spanring.type`, `spanring.kind`, `spanring.status`, `spanring.status_message`, `spanring.interrupted`, `spanring.cut` |
//! | events, links | `metadata`: `spanring.events`, `spanring.links` |
//!
//! A dictionary has neither identities nor a parent, since the SDK's classes have none.
//!
//! JSON is written as Python's `json.dumps` writes the dictionary. Bytes are base64, and what is no number or infinite is the text `NaN`,
//! `Infinity` or `-Infinity`. A key that was set twice has its last value.

mod class;
mod metadata;
mod unplaced;

#[cfg(test)]
mod tests;

use spanring::{Status, names};
use spanring_spool::{SpanData, Value};

use self::unplaced::Unplaced;
use crate::dumps::{self, Object};

pub use class::Class;

/// What [`Class::to_dict`] has, of the class that the span is of.
pub fn to_dict(span: &SpanData) -> String {
    Class::of(span).to_dict(span)
}

impl Class {
    /// The JSON of what the class's `to_dict` has of `span`, on one line.
    pub fn to_dict(self, span: &SpanData) -> String {
        let mut unplaced = Unplaced::of(span);
        let fields = self.take_fields(&mut unplaced);
        let inputs = unplaced.take_within(names::INPUT, &INPUTS).unwrap_or(EMPTY);
        let outputs = unplaced.take_within(names::OUTPUT, &OUTPUTS).unwrap_or(Value::Null);
        let tags = unplaced.take(names::TAGS).unwrap_or(Value::List(Vec::new()));
        let status = take_status(span, &mut unplaced);
        let error = take_error(span, &mut unplaced);
        let message = error.is_none().then_some(span.status_message.as_str());
        let metadata = metadata::of(span, self.type_of(span), message, unplaced);

        let mut out = String::new();
        let mut object = Object::begin(&mut out);
        dumps::text(object.key("name"), &span.name);
        dumps::text(object.key("type"), self.type_of(span));
        dumps::float(object.key("start_time"), seconds(span.start_unix_ns));
        match span.is_open {
            true => dumps::value(object.key("end_time"), &Value::Null),
            false => dumps::float(object.key("end_time"), seconds(span.end_unix_ns)),
        }
        dumps::text(object.key("status"), status);
        dumps::value(object.key("inputs"), &inputs);
        dumps::value(object.key("outputs"), &outputs);
        dumps::map(object.key("metadata"), &metadata);
        dumps::value(object.key("tags"), &tags);
        for (word, value) in error.map(|error| ("error", error)).into_iter().chain(fields) {
            dumps::value(object.key(word), &value);
        }
        object.end();
        out
    }
}

const EMPTY: Value = Value::Map(Vec::new());

/// What stands among the inputs, if no field of the class has it.
const INPUTS: [(&str, &str); 4] = [
    ("messages", names::INPUT_MESSAGES),
    ("system", names::SYSTEM_INSTRUCTIONS),
    ("arguments", names::TOOL_CALL_ARGUMENTS),
    ("query", names::RETRIEVAL_QUERY),
];

/// Likewise among the outputs.
const OUTPUTS: [(&str, &str); 4] = [
    ("messages", names::OUTPUT_MESSAGES),
    ("output", names::TOOL_CALL_RESULT),
    ("documents", names::RETRIEVAL_DOCUMENTS),
    ("content", names::RESPONSE_CONTENT),
];

/// The floating-point number next to so many nanoseconds.
fn seconds(unix_ns: u64) -> f64 {
    let decimal = format!("{}.{:09}", unix_ns / 1_000_000_000, unix_ns % 1_000_000_000);
    decimal.parse().expect("digits, a point and digits are a number")
}

const FAILED: &str = "failed";

fn take_status(span: &SpanData, unplaced: &mut Unplaced<'_>) -> &'static str {
    let words = ["pending", "running", "completed", FAILED];
    let said = words.into_iter().find(|word| span.foreign_status() == Some(word));
    if said.is_some() {
        unplaced.take(names::FOREIGN_STATUS);
    }
    match span.status {
        _ if span.interrupted => FAILED,
        status => said.unwrap_or(match status {
            Status::Error | Status::TimedOut => FAILED,
            Status::Unset if span.is_open || span.is_pending => "pending",
            _ => "completed",
        }),
    }
}

/// The SDK's `ErrorInfo`, which has a type and a message always, and a stack trace where there is one. What was said of the status is its message.
fn take_error(span: &SpanData, unplaced: &mut Unplaced<'_>) -> Option<Value> {
    let texts = [(span.error_type(), names::ERROR_TYPE), (span.stack_trace(), names::ERROR_STACKTRACE)];
    let has_failed = matches!(span.status, Status::Error | Status::TimedOut) || span.interrupted;
    if !has_failed && texts.iter().all(|(text, _)| text.is_none()) {
        return None;
    }
    for (_, key) in texts.iter().filter(|(text, _)| text.is_some()) {
        unplaced.take(key);
    }
    let by_status = if span.status == Status::TimedOut { span.status.name() } else { "error" };
    let mut error = vec![
        ("error_type", span.error_type().unwrap_or(by_status)),
        ("message", span.status_message.as_str()),
    ];
    error.extend(span.stack_trace().filter(|trace| !trace.is_empty()).map(|trace| ("stacktrace", trace)));
    Some(Value::from_iter(error))
}
