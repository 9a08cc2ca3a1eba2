//! A span as it is read back.

use spanring::{Kind, SpanId, Status, TraceId};

use crate::Value;

/// A recorded span, with every name and key as text and every time as nanoseconds since the Unix epoch.
#[derive(Clone, PartialEq, Debug)]
pub struct SpanData {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its own identity.
    pub span_id: SpanId,
    /// The span that it was started under.
    pub parent_id: Option<SpanId>,
    /// What it is called.
    pub name: String,
    /// What it stands for.
    pub kind: Kind,
    /// How it ended.
    pub status: Status,
    /// What was said about the status; empty where nothing was.
    pub status_message: String,
    /// When it started, in nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// When it ended, likewise; for an interrupted span its process's last sign of life. Never before the start.
    pub end_unix_ns: u64,
    /// Attributes in the order in which they were set; a key that was set twice stands twice, and the last counts.
    pub attributes: Vec<(String, Value)>,
    /// Events in the order in which they were recorded.
    pub events: Vec<EventData>,
    /// Whether its process died before it ended.
    pub interrupted: bool,
    /// How many of its values were cut or left out because they were too large or could not be encoded.
    pub cut: u32,
}

/// Something that happened at one moment of a span.
#[derive(Clone, PartialEq, Debug)]
pub struct EventData {
    /// What happened.
    pub name: String,
    /// When, in nanoseconds since the Unix epoch.
    pub time_unix_ns: u64,
    /// What is known about it.
    pub attributes: Vec<(String, Value)>,
}
