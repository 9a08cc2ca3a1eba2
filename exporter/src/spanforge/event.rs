//! The envelope of an event: what SpanForge sends, stores and reads.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::error::EventError;
use super::payload::Payload;
use super::python_json::{compact, spaced};
use super::signing::checksum;

/// The version of the schema that is written.
pub(super) const SCHEMA_VERSION: &str = "2.0";

/// No event is longer that SpanForge reads, in bytes.
pub const BYTES_MAX: usize = 1 << 20;
/// No payload has more levels, itself and its values counted.
pub const DEPTH_MAX: usize = 10;
/// No event has more tags.
pub const TAGS_MAX: usize = 50;

/// An event, as SpanForge's `Event`. What is not there is not written.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Event {
    /// `2.0`.
    pub schema_version: String,
    /// Its identity: a ULID.
    pub event_id: String,
    /// What sort of event it is.
    pub event_type: String,
    /// When it was.
    pub timestamp: String,
    /// Who emits it: `name@version`.
    pub source: String,
    /// What it is about.
    pub payload: Map<String, Json>,
    /// The trace of what it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Its span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<String>,
    /// The span that this stands under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// The organization on whose behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_id: Option<String>,
    /// The team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// Who acts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Pairs of words to find it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Of the payload, where the event is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Of identity, checksum and the event before, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// The event before in the chain, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_id: Option<String>,
    /// Fields that a later version has.
    #[serde(flatten)]
    pub unknown_fields: Map<String, Json>,
}

impl Event {
    /// As JSON in its canonical form, byte for byte that of SpanForge's `to_json`: compact, with sorted keys.
    pub fn to_json(&self) -> String {
        compact(&self.to_dict())
    }

    /// As JSON.
    pub fn to_dict(&self) -> Json {
        serde_json::to_value(self).expect("an event is a struct with keys of text")
    }

    /// As JSON in the form in which SpanForge's cloud is sent it: the fields in the order of the envelope, and all that is not ASCII escaped.
    pub(crate) fn to_line(&self) -> String {
        spaced(self)
    }

    /// The checksum of the payload, as it is signed.
    pub fn payload_checksum(&self) -> String {
        checksum(&self.payload)
    }

    /// What it is about, read.
    ///
    /// # Errors
    ///
    /// [`EventError::Payload`].
    pub fn read_payload(&self) -> Result<Payload, EventError> {
        Payload::from_dict(&self.event_type, &self.payload)
    }

    /// Reads an event from JSON, within SpanForge's limits.
    ///
    /// # Errors
    ///
    /// Where it is none, or goes beyond a limit.
    pub fn from_json(text: &str) -> Result<Self, EventError> {
        if text.len() > BYTES_MAX {
            return Err(EventError::TooLong { len: text.len(), max: BYTES_MAX });
        }
        match serde_json::from_str(text) {
            Ok(Json::Object(pairs)) => Self::read(pairs),
            _ => Err(EventError::NotAnObject),
        }
    }

    /// Reads an event, within SpanForge's limits.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Self::from_json).
    pub fn from_dict(pairs: Map<String, Json>) -> Result<Self, EventError> {
        match compact(&pairs).len() {
            len if len > BYTES_MAX => Err(EventError::TooLong { len, max: BYTES_MAX }),
            _ => Self::read(pairs),
        }
    }

    fn read(mut pairs: Map<String, Json>) -> Result<Self, EventError> {
        let mut needed = |name| text(&mut pairs, name)?.ok_or(EventError::Field { name });
        let mut event = Event {
            schema_version: needed("schema_version")?,
            event_id: needed("event_id")?,
            event_type: needed("event_type")?,
            timestamp: needed("timestamp")?,
            source: needed("source")?,
            ..Event::default()
        };
        event.payload = match pairs.remove("payload") {
            Some(payload) if is_deeper(&payload, DEPTH_MAX) => {
                return Err(EventError::TooDeep { max: DEPTH_MAX });
            }
            Some(Json::Object(payload)) => payload,
            _ => return Err(EventError::Field { name: "payload" }),
        };
        event.tags = match pairs.remove("tags") {
            None | Some(Json::Null) => None,
            Some(Json::Object(tags)) if tags.len() > TAGS_MAX => {
                return Err(EventError::TooManyTags { count: tags.len(), max: TAGS_MAX });
            }
            Some(tags) => Some(serde_json::from_value(tags).map_err(|_| EventError::Field { name: "tags" })?),
        };
        for (name, field) in [
            ("trace_id", &mut event.trace_id),
            ("span_id", &mut event.span_id),
            ("parent_span_id", &mut event.parent_span_id),
            ("org_id", &mut event.org_id),
            ("team_id", &mut event.team_id),
            ("actor_id", &mut event.actor_id),
            ("session_id", &mut event.session_id),
            ("checksum", &mut event.checksum),
            ("signature", &mut event.signature),
            ("prev_id", &mut event.prev_id),
        ] {
            *field = text(&mut pairs, name)?;
        }
        event.unknown_fields = pairs;
        Ok(event)
    }
}

/// Takes a text away. Null is as good as absent.
fn text(pairs: &mut Map<String, Json>, name: &'static str) -> Result<Option<String>, EventError> {
    match pairs.remove(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(EventError::Field { name }),
    }
}

/// Whether it has more levels than this.
fn is_deeper(json: &Json, levels: usize) -> bool {
    let Some(rest) = levels.checked_sub(1) else { return true };
    match json {
        Json::Object(pairs) => pairs.values().any(|value| is_deeper(value, rest)),
        Json::Array(items) => items.iter().any(|item| is_deeper(item, rest)),
        _ => false,
    }
}
