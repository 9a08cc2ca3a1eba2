//! Reading what `Span.to_dict` wrote, or a span out of the document of a trace.

use std::fmt;

use spanring::ReplaySlot;
use spanring_spool::Value;

use super::span::{Event, Span, SpanStatus, SpanType};
use crate::isoformat;

/// Why something is no document of a span.
#[derive(Debug)]
#[non_exhaustive]
pub enum DocumentError {
    /// It is no JSON.
    Json(serde_json::Error),
    /// What every span has is not there.
    Missing {
        /// Where it should be: `events[2].timestamp`.
        field: String,
    },
    /// Something has a value that it cannot have. The value is not shown.
    Wrong {
        /// Where it is.
        field: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DocumentError::Json(error) => write!(f, "the document is no JSON: {error}"),
            DocumentError::Missing { field } => write!(f, "{field} is missing"),
            DocumentError::Wrong { field, expected } => write!(f, "{field} is not {expected}"),
        }
    }
}

impl std::error::Error for DocumentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DocumentError::Json(error) => Some(error),
            _ => None,
        }
    }
}

const TEXT: &str = "text";
const OBJECT: &str = "an object";
const MOMENT: &str = "a moment in UTC, as 2026-11-20T07:02:57.051739+00:00";

impl Span {
    /// Reads a span from its JSON: what `Span.from_dict` reads, in either [`Form`](super::Form). What is derived, the duration, is not looked
    /// at, and neither are keys that Prela does not know. An integer beyond 64 bits, which Python has and nobody else, becomes the nearest
    /// floating-point number.
    ///
    /// Written again, a line of a file is the same, byte for byte.
    ///
    /// # Errors
    ///
    /// [`DocumentError`] with where something is missing or wrong.
    pub fn from_dict(json: &str) -> Result<Self, DocumentError> {
        let document: Value = serde_json::from_str(json).map_err(DocumentError::Json)?;
        let Value::Map(_) = document else { return Err(wrong("the document", OBJECT)) };
        let fields = Fields { of: &document, path: String::new() };
        Ok(Span {
            span_id: fields.text("span_id")?,
            trace_id: fields.text("trace_id")?,
            parent_span_id: fields.optional("parent_span_id", text_of, TEXT)?,
            name: fields.text("name")?,
            span_type: fields.required(
                "span_type",
                |value| SpanType::from_word(value.as_str()?),
                "one of agent, llm, tool, retrieval, embedding and custom",
            )?,
            started_unix_us: fields.required("started_at", moment_of, MOMENT)?,
            ended_unix_us: fields.optional("ended_at", moment_of, MOMENT)?,
            status: fields
                .optional(
                    "status",
                    |value| SpanStatus::from_word(value.as_str()?),
                    "one of pending, success and error",
                )?
                .unwrap_or(SpanStatus::Pending),
            status_message: fields.optional("status_message", text_of, TEXT)?,
            attributes: fields.optional("attributes", pairs_of, OBJECT)?.unwrap_or_default(),
            events: fields.events()?,
            replay_snapshot: fields.snapshot()?,
        })
    }
}

/// The fields of an object, and where that is.
struct Fields<'a> {
    of: &'a Value,
    path: String,
}

impl Fields<'_> {
    fn field(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// What `read` makes of a field; `None` where it is null or not there.
    fn optional<T>(
        &self,
        key: &str,
        read: impl Fn(&Value) -> Option<T>,
        expected: &'static str,
    ) -> Result<Option<T>, DocumentError> {
        match self.of.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| wrong(&self.field(key), expected)),
        }
    }

    fn required<T>(
        &self,
        key: &str,
        read: impl Fn(&Value) -> Option<T>,
        expected: &'static str,
    ) -> Result<T, DocumentError> {
        match self.of.get(key) {
            None => Err(DocumentError::Missing { field: self.field(key) }),
            Some(value) => read(value).ok_or_else(|| wrong(&self.field(key), expected)),
        }
    }

    fn text(&self, key: &str) -> Result<String, DocumentError> {
        self.required(key, text_of, TEXT)
    }

    fn events(&self) -> Result<Vec<Event>, DocumentError> {
        let events = match self.of.get("events") {
            None => return Ok(Vec::new()),
            Some(events) => events.as_list().ok_or_else(|| wrong("events", "a list"))?,
        };
        let event = |(at, event): (usize, &Value)| {
            let path = format!("events[{at}]");
            if event.as_map().is_none() {
                return Err(wrong(&path, OBJECT));
            }
            let fields = Fields { of: event, path: path + "." };
            Ok(Event {
                unix_us: fields.required("timestamp", moment_of, MOMENT)?,
                name: fields.text("name")?,
                attributes: fields.required("attributes", pairs_of, OBJECT)?,
            })
        };
        events.iter().enumerate().map(event).collect()
    }

    /// A slot that Prela does not know is an error, as it is there.
    fn snapshot(&self) -> Result<Option<Vec<(String, Value)>>, DocumentError> {
        let snapshot = match self.of.get("replay_snapshot") {
            None => return Ok(None),
            Some(snapshot) => pairs_of(snapshot).ok_or_else(|| wrong("replay_snapshot", OBJECT))?,
        };
        let is_slot = |key: &str| ReplaySlot::ALL.iter().any(|slot| slot.name() == key);
        match snapshot.iter().any(|(key, _)| !is_slot(key)) {
            true => Err(wrong("replay_snapshot", "without any but its eighteen slots")),
            false => Ok(Some(snapshot)),
        }
    }
}

fn wrong(field: &str, expected: &'static str) -> DocumentError {
    DocumentError::Wrong { field: field.to_owned(), expected }
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn moment_of(value: &Value) -> Option<u64> {
    isoformat::parse(value.as_str()?)
}

fn pairs_of(value: &Value) -> Option<Vec<(String, Value)>> {
    value.as_map().map(<[_]>::to_vec)
}
