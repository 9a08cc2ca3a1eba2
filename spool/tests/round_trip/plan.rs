//! A span that is to be: how it is made, what is set on it, how it ends.

use proptest::prelude::*;
use spanring::names;
use spanring::{Context, Event, Kind, Link, Span, SpanId, Status, TraceId};
use spanring_spool::Value;

use crate::fields::{Field, field};
use crate::values::{encoded, scalar, text, unsigned, value};

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) made: Made,
    pub(crate) kind: Option<Kind>,
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) start_unix_ns: Option<u64>,
    pub(crate) life: Life,
    pub(crate) ops: Vec<Op>,
    /// How many of the operations come before the span starts, or is announced.
    pub(crate) early: usize,
    pub(crate) end: End,
}

#[derive(Clone, Debug)]
pub(crate) enum Made {
    Span(String),
    Agent(String),
    Llm(String),
    Handoff(String, String),
}

#[derive(Clone, Debug)]
pub(crate) enum Life {
    Started,
    Prepared { starts_unix_ns: Option<u64> },
    Dropped { default_input: Vec<Value> },
    CancelledUnstarted { ends_unix_ns: Option<u64> },
}

#[derive(Clone, Debug)]
pub(crate) enum End {
    Dropped,
    At(u64),
    Plainly,
    Complete,
    CompleteWith(Value),
    Cancel,
    Fail(String),
    FailWith(Value),
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Field(Field),
    Attribute(Attribute),
    Event { name: String, time_unix_ns: u64, attributes: Vec<Attribute> },
    Link { trace_id: TraceId, span_id: SpanId, attributes: Vec<Attribute> },
    Status(Status),
    Message(String),
    Rename(String),
}

/// An attribute of any key.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    key: Key,
    /// Set as it is, or encoded.
    value: Result<Value, Value>,
}

#[derive(Clone, Debug)]
enum Key {
    Static(&'static str),
    Dynamic(String),
}

impl Key {
    fn text(&self) -> &str {
        match self {
            Key::Static(text) => text,
            Key::Dynamic(text) => text,
        }
    }
}

pub(crate) fn plan() -> BoxedStrategy<Plan> {
    let made = prop_oneof![
        text().prop_map(Made::Span),
        text().prop_map(Made::Agent),
        text().prop_map(Made::Llm),
        (text(), text()).prop_map(|(from, to)| Made::Handoff(from, to)),
    ];
    let time = || prop::option::of(time());
    let life = prop_oneof![
        4 => Just(Life::Started),
        2 => time().prop_map(|starts_unix_ns| Life::Prepared { starts_unix_ns }),
        1 => prop::collection::vec(value(), 0..3).prop_map(|default_input| Life::Dropped { default_input }),
        1 => time().prop_map(|ends_unix_ns| Life::CancelledUnstarted { ends_unix_ns }),
    ];
    let end = prop_oneof![
        Just(End::Dropped),
        self::time().prop_map(End::At),
        Just(End::Plainly),
        Just(End::Complete),
        value().prop_map(End::CompleteWith),
        Just(End::Cancel),
        text().prop_map(End::Fail),
        value().prop_map(End::FailWith),
    ];
    let identity = (trace_id(), span_id(), prop::option::of(span_id()));
    let kind = prop::option::of(prop::sample::select(Kind::ALL));
    let ops = prop::collection::vec(op(), 0..24);
    (made, kind, identity, time(), life, ops, 0..24_usize, end)
        .prop_map(|(made, kind, (trace_id, span_id, parent), start_unix_ns, life, ops, early, end)| {
            let early = early.min(ops.len());
            Plan { made, kind, trace_id, span_id, parent, start_unix_ns, life, ops, early, end }
        })
        .boxed()
}

fn trace_id() -> BoxedStrategy<TraceId> {
    prop_oneof![Just([1; 16]), any::<[u8; 16]>()]
        .prop_map(|mut bytes| {
            bytes[0] |= 1;
            TraceId::from_bytes(bytes)
        })
        .boxed()
}

fn span_id() -> BoxedStrategy<SpanId> {
    any::<u64>().prop_map(|number| SpanId::from_bytes((number | 1).to_le_bytes())).boxed()
}

/// Close together and far apart.
fn time() -> BoxedStrategy<u64> {
    const NOW: u64 = 1_795_158_297_918_522_212;
    prop_oneof![3 => NOW..NOW + 1_000, 2 => NOW..NOW + (1 << 40), 1 => unsigned()].boxed()
}

fn op() -> BoxedStrategy<Op> {
    let attributes = || prop::collection::vec(attribute(), 0..4);
    prop_oneof![
        12 => field().prop_map(Op::Field),
        6 => attribute().prop_map(Op::Attribute),
        2 => (text(), time(), attributes())
            .prop_map(|(name, time_unix_ns, attributes)| Op::Event { name, time_unix_ns, attributes }),
        2 => (trace_id(), span_id(), attributes())
            .prop_map(|(trace_id, span_id, attributes)| Op::Link { trace_id, span_id, attributes }),
        1 => prop::sample::select(Status::ALL).prop_map(Op::Status),
        1 => text().prop_map(Op::Message),
        1 => text().prop_map(Op::Rename),
    ]
    .boxed()
}

fn attribute() -> BoxedStrategy<Attribute> {
    // Often enough the same, for their values to be combined.
    const COMBINED: [&str; 5] =
        [names::INPUT, names::LABELS, names::TAGS, names::TOOL_CALLS, names::DEFAULT_INPUT];
    let listed: Vec<&'static str> = names::ALL.iter().map(|(name, _)| *name).collect();
    let key = prop_oneof![
        4 => prop::sample::select(&COMBINED[..]).prop_map(Key::Static),
        2 => prop::sample::select(listed.clone()).prop_map(Key::Static),
        2 => prop::sample::select(vec!["a", "customer.tier", "", "\u{1f980}"]).prop_map(Key::Static),
        1 => prop::sample::select(listed).prop_map(|key| Key::Dynamic(key.to_owned())),
        2 => text().prop_map(Key::Dynamic),
    ];
    let value = prop_oneof![scalar().prop_map(Ok), value().prop_map(Err)];
    (key, value).prop_map(|(key, value)| Attribute { key, value }).boxed()
}

/// What attributes can be set on.
trait Target {
    fn set(&self, key: &Key, value: impl spanring::Attribute);
    fn encode(&self, key: &Key, value: &Value);
}

macro_rules! target {
    ($($type:ty),*) => {$(
        impl Target for $type {
            fn set(&self, key: &Key, value: impl spanring::Attribute) {
                match key {
                    Key::Static(key) => _ = self.set(key, value),
                    Key::Dynamic(key) => _ = self.set_named(key, value),
                }
            }

            fn encode(&self, key: &Key, value: &Value) {
                match key {
                    Key::Static(key) => _ = self.set_value(key, value),
                    Key::Dynamic(key) => _ = self.set_value_named(key, value),
                }
            }
        }
    )*};
}

target!(Span, Event<'_>, Link<'_>);

impl Attribute {
    fn record(&self, on: &impl Target) {
        match &self.value {
            Ok(Value::Bool(value)) => on.set(&self.key, *value),
            Ok(Value::I64(value)) => on.set(&self.key, *value),
            Ok(Value::U64(value)) => on.set(&self.key, *value),
            Ok(Value::F64(value)) => on.set(&self.key, *value),
            Ok(Value::Str(value)) => on.set(&self.key, value),
            Ok(Value::Bytes(value)) => on.set(&self.key, &value[..]),
            Ok(value) | Err(value) => on.encode(&self.key, value),
        }
    }

    /// What it says.
    pub(crate) fn said(&self) -> (String, Value) {
        let value = match &self.value {
            Ok(value) => value.clone(),
            Err(value) => encoded(value),
        };
        (self.key.text().to_owned(), value)
    }
}

impl Op {
    fn record(&self, span: &Span) {
        match self {
            Op::Field(field) => field.record(span),
            Op::Attribute(attribute) => attribute.record(span),
            Op::Event { name, time_unix_ns, attributes } => {
                let fill =
                    |event: &Event<'_>| attributes.iter().for_each(|attribute| attribute.record(event));
                span.event_at(name, *time_unix_ns, fill);
            }
            Op::Link { trace_id, span_id, attributes } => {
                let fill = |link: &Link<'_>| attributes.iter().for_each(|attribute| attribute.record(link));
                span.link_with(Context::new(*trace_id, *span_id), fill);
            }
            Op::Status(status) => _ = span.set_status(*status),
            Op::Message(message) => _ = span.status_message(message),
            Op::Rename(name) => _ = span.rename(name),
        }
    }
}

impl Plan {
    /// Does what is planned.
    pub(crate) fn record(&self) {
        // Each has a type of its own.
        macro_rules! made {
            ($builder:expr) => {{
                let parent = self.parent.map_or(Context::NONE, |parent| Context::new(self.trace_id, parent));
                let mut builder = $builder.trace_id(self.trace_id).span_id(self.span_id).parent(parent);
                if let Some(kind) = self.kind {
                    builder = builder.kind(kind);
                }
                if let Some(start) = self.start_unix_ns {
                    builder = builder.start_unix_ns(start);
                }
                let (early, late) = self.ops.split_at(self.early);
                let record = |ops: &[Op], span: &Span| ops.iter().for_each(|op| op.record(span));
                match &self.life {
                    Life::Started => {
                        let span = builder.start_with(|span| record(early, span));
                        record(late, &span);
                        self.end(span);
                    }
                    Life::Prepared { starts_unix_ns } => {
                        let pending = builder.prepare();
                        record(early, &pending);
                        let span = match starts_unix_ns {
                            Some(start) => pending.start_at_unix_ns(*start),
                            None => pending.start(),
                        };
                        record(late, &span);
                        self.end(span);
                    }
                    Life::Dropped { default_input } => {
                        let pending = default_input
                            .iter()
                            .fold(builder.prepare(), |span, input| span.default_input(input));
                        record(&self.ops, &pending);
                    }
                    Life::CancelledUnstarted { ends_unix_ns } => {
                        let pending = builder.prepare();
                        record(&self.ops, &pending);
                        _ = match ends_unix_ns {
                            Some(end) => pending.cancel_at_unix_ns(*end),
                            None => pending.cancel(),
                        };
                    }
                }
            }};
        }
        match &self.made {
            Made::Span(name) => made!(spanring::span_named(name)),
            Made::Agent(name) => made!(spanring::agent(name)),
            Made::Llm(model) => made!(spanring::llm(model)),
            Made::Handoff(from, to) => made!(spanring::handoff(from, to)),
        }
    }

    fn end(&self, span: Span) {
        _ = match &self.end {
            End::Dropped => return drop(span),
            End::At(end) => span.end_at_unix_ns(*end),
            End::Plainly => span.end(),
            End::Complete => span.complete(),
            End::CompleteWith(payload) => span.complete_with(payload),
            End::Cancel => span.cancel(),
            End::Fail(text) => span.fail(&text[..]),
            End::FailWith(payload) => span.fail_with(payload),
        };
    }
}
