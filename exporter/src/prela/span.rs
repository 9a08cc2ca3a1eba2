//! A span as Prela knows it, and how it is written.

use spanring::{Kind, Status, System, TraceId, names};
use spanring_spool::{EventData, SpanData, Value};

use super::attributes;
use crate::dumps::{self, Object};
use crate::isoformat::{ZONE, isoformat};

/// A span as Prela knows it: its `Span`.
#[derive(Clone, PartialEq, Debug)]
pub struct Span {
    /// Its identity, mostly a UUID.
    pub span_id: String,
    /// The identity of its trace, mostly a UUID.
    pub trace_id: String,
    /// The identity of the span it was started under.
    pub parent_span_id: Option<String>,
    /// What it is called.
    pub name: String,
    /// What it stands for.
    pub span_type: SpanType,
    /// When it started, in microseconds since the Unix epoch.
    pub started_unix_us: u64,
    /// When it ended, likewise; `None` while it is open.
    pub ended_unix_us: Option<u64>,
    /// How it went.
    pub status: SpanStatus,
    /// What was said about that.
    pub status_message: Option<String>,
    /// Attributes. Of a key that stands twice the last value counts.
    pub attributes: Vec<(String, Value)>,
    /// What happened meanwhile.
    pub events: Vec<Event>,
    /// What is needed to run it again, by slot.
    pub replay_snapshot: Option<Vec<(String, Value)>>,
}

/// Something that happened at one moment of a span: Prela's `SpanEvent`.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// When, in microseconds since the Unix epoch.
    pub unix_us: u64,
    /// What happened.
    pub name: String,
    /// What is known about it.
    pub attributes: Vec<(String, Value)>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $item:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name {
            $($(#[$item_doc])* $item,)*
        }

        impl $name {
            /// Its word.
            pub const fn word(self) -> &'static str {
                match self {
                    $($name::$item => $word,)*
                }
            }

            /// What has this word; `None` where nothing has.
            pub fn from_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some($name::$item),)*
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// What a span stands for.
    SpanType {
        /// An agent's run.
        Agent = "agent",
        /// A call of a model.
        Llm = "llm",
        /// A call of a tool.
        Tool = "tool",
        /// A search for documents.
        Retrieval = "retrieval",
        /// A call for embeddings.
        Embedding = "embedding",
        /// Anything else.
        Custom = "custom",
    }
}

words! {
    /// How a span went.
    SpanStatus {
        /// It is open, and nobody said.
        Pending = "pending",
        /// Well.
        Success = "success",
        /// It failed.
        Error = "error",
    }
}

/// In which form a span is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// As `Span.to_dict` has it, which its files hold.
    Dict,
    /// As the document of a trace has it: with a `Z` behind each moment, another order, and no `replay_snapshot`.
    Request,
}

impl Form {
    fn zone(self) -> &'static str {
        match self {
            Form::Dict => ZONE,
            Form::Request => "+00:00Z",
        }
    }
}

impl Span {
    /// What becomes of `span`, of a service that is called so.
    pub fn of(span: &SpanData, service: Option<&str>) -> Self {
        let said = |id: Option<&str>| id.map(str::to_owned);
        let own = |id: spanring::SpanId| uuid(&format!("{id}{}", &span.trace_id.to_string()[..16]));
        let (attributes, replay_snapshot) = attributes::of(span, service);
        Span {
            span_id: said(span.foreign_span_id()).unwrap_or_else(|| own(span.span_id)),
            trace_id: said(span.foreign_trace_id()).unwrap_or_else(|| trace_id(span.trace_id)),
            parent_span_id: said(span.foreign_parent_id()).or_else(|| span.parent_id.map(own)),
            name: span.name.clone(),
            span_type: span_type(span),
            started_unix_us: span.start_unix_ns / 1000,
            ended_unix_us: (!span.is_open).then_some(span.end_unix_ns / 1000),
            status: status(span),
            status_message: (!span.status_message.is_empty()).then(|| span.status_message.clone()),
            attributes,
            events: span.events.iter().map(event).collect(),
            replay_snapshot,
        }
    }

    /// How long it took, in milliseconds, as Python computes it; `None` while it is open.
    pub fn duration_ms(&self) -> Option<f64> {
        // What ends before it starts is shorter than nothing there too.
        let ended = self.ended_unix_us?;
        let us = ended.abs_diff(self.started_unix_us) as f64;
        let us = if ended < self.started_unix_us { -us } else { us };
        Some(us / 1e6 * 1e3)
    }

    /// The last attribute with this key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The JSON of what `Span.to_dict` has, on one line.
    pub fn to_dict(&self) -> String {
        let mut out = String::new();
        self.write(Form::Dict, &mut out);
        out
    }

    /// Writes it in a form.
    pub fn write(&self, form: Form, out: &mut String) {
        let mut object = Object::begin(out);
        dumps::text(object.key("span_id"), &self.span_id);
        dumps::text(object.key("trace_id"), &self.trace_id);
        dumps::optional_text(object.key("parent_span_id"), self.parent_span_id.as_deref());
        dumps::text(object.key("name"), &self.name);
        dumps::text(object.key("span_type"), self.span_type.word());
        moment(object.key("started_at"), Some(self.started_unix_us), form);
        moment(object.key("ended_at"), self.ended_unix_us, form);
        if form == Form::Request {
            dumps::float(object.key("duration_ms"), self.duration_ms().unwrap_or(0.0));
        }
        dumps::text(object.key("status"), self.status.word());
        dumps::optional_text(object.key("status_message"), self.status_message.as_deref());
        dumps::map(object.key("attributes"), &self.attributes);
        dumps::list(object.key("events"), &self.events, |out, event| event.write(form, out));
        if form == Form::Dict {
            match self.duration_ms() {
                Some(ms) => dumps::float(object.key("duration_ms"), ms),
                None => dumps::optional_text(object.key("duration_ms"), None),
            }
            if let Some(snapshot) = &self.replay_snapshot {
                dumps::map(object.key("replay_snapshot"), snapshot);
            }
        }
        object.end();
    }
}

impl Event {
    fn write(&self, form: Form, out: &mut String) {
        let mut object = Object::begin(out);
        if form == Form::Dict {
            moment(object.key("timestamp"), Some(self.unix_us), form);
        }
        dumps::text(object.key("name"), &self.name);
        if form == Form::Request {
            moment(object.key("timestamp"), Some(self.unix_us), form);
        }
        dumps::map(object.key("attributes"), &self.attributes);
        object.end();
    }
}

fn event(event: &EventData) -> Event {
    Event {
        unix_us: event.time_unix_ns / 1000,
        name: event.name.clone(),
        attributes: event.attributes.clone(),
    }
}

/// Writes a moment, or that there is none.
pub(super) fn moment(out: &mut String, unix_us: Option<u64>, form: Form) {
    let text = unix_us.map(|unix_us| isoformat(unix_us) + form.zone());
    dumps::optional_text(out, text.as_deref());
}

/// The identity that Prela knows a trace of ours by.
fn trace_id(id: TraceId) -> String {
    uuid(&id.to_string())
}

/// 32 hexadecimal digits, as a UUID is written.
fn uuid(digits: &str) -> String {
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

/// The type that was said, or else the nearest to the kind.
fn span_type(span: &SpanData) -> SpanType {
    let said = span.type_name().and_then(SpanType::from_word);
    said.or_else(|| SpanType::from_word(span.kind.name_in(System::Prela))).unwrap_or(SpanType::Custom)
}

/// Whether the type tells what the kind is.
pub(super) fn tells_kind(span: &SpanData) -> bool {
    span.kind == Kind::Custom || Kind::from_name_in(System::Prela, span_type(span).word()) == Some(span.kind)
}

fn status(span: &SpanData) -> SpanStatus {
    let said = span.foreign_status().and_then(SpanStatus::from_word);
    match span.status {
        _ if span.interrupted => SpanStatus::Error,
        status => said.unwrap_or(match status {
            Status::Error | Status::TimedOut => SpanStatus::Error,
            Status::Unset if span.is_open => SpanStatus::Pending,
            _ => SpanStatus::Success,
        }),
    }
}

/// Whether an attribute is written as a part of the span, and not among the attributes.
pub(super) fn has_its_place(span: &SpanData, key: &str) -> bool {
    match key {
        names::FOREIGN_SPAN_ID => span.foreign_span_id().is_some(),
        names::FOREIGN_TRACE_ID => span.foreign_trace_id().is_some(),
        names::FOREIGN_PARENT_ID => span.foreign_parent_id().is_some(),
        names::FOREIGN_STATUS => span.foreign_status().and_then(SpanStatus::from_word).is_some(),
        names::TYPE => span.type_name().and_then(SpanType::from_word).is_some(),
        _ => false,
    }
}
