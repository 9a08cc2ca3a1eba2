//! Spans that are sent as they lie in a block: the same batches and the same bytes as of copies of them.

use std::ops::Range;

use proptest::collection::vec;
use proptest::sample::select;
use spanring::{Attribute, Event, Kind, Link, Overflow, Span, Status, names};
use spanring_spool::{BlockBuffer, Value};

use super::*;
use crate::demo::runs::AgentRun;
use crate::engine::batching::{row_len, span_len};
use crate::otlp::{Names, spans_to_protobuf, to_protobuf};
use crate::sink::BlockSpans;

const MINUTE: Duration = Duration::from_secs(60);

/// How an attribute is set: as what it is, or encoded.
#[derive(Clone, Debug)]
struct Set {
    key: String,
    value: Value,
    is_encoded: bool,
}

#[derive(Clone, Debug)]
struct Recorded {
    kind: Kind,
    status: Status,
    message: String,
    attributes: Vec<Set>,
    events: Vec<Vec<Set>>,
    links: Vec<Vec<Set>>,
}

trait Target {
    fn set_value(&self, key: &str, value: &Value);
    fn set(&self, key: &str, value: impl Attribute);
}

macro_rules! target {
    ($($type:ty),*) => {$(
        impl Target for $type {
            fn set_value(&self, key: &str, value: &Value) {
                self.set_value_named(key, value);
            }

            fn set(&self, key: &str, value: impl Attribute) {
                self.set_named(key, value);
            }
        }
    )*};
}

target!(Span, Event<'_>, Link<'_>);

fn record_all(sets: &[Set], on: &impl Target) {
    for Set { key, value, is_encoded } in sets {
        match value {
            value if *is_encoded => on.set_value(key, value),
            Value::Bool(value) => on.set(key, *value),
            Value::I64(value) => on.set(key, *value),
            Value::U64(value) => on.set(key, *value),
            Value::F64(value) => on.set(key, *value),
            Value::Str(value) => on.set(key, value),
            Value::Bytes(value) => on.set(key, &value[..]),
            value => on.set_value(key, value),
        }
    }
}

impl Recorded {
    fn record(&self) {
        let span = spanring::span("step").kind(self.kind).root().start();
        record_all(&self.attributes, &span);
        for sets in &self.events {
            span.event_with("event", |event| record_all(sets, event));
        }
        let linked = spanring::span("linked").root().start();
        for sets in &self.links {
            span.link_with(linked.context(), |link| record_all(sets, link));
        }
        span.set_status(self.status).status_message(&self.message);
    }
}

/// Keys that have a place of their own, keys whose values are combined, and others.
const KEYS: [&str; 17] = [
    "a",
    "b",
    "",
    names::CUT,
    names::DROPPED_ATTRIBUTES,
    names::DROPPED_LINKS,
    names::OPERATION_NAME,
    names::SCOPE_ATTRIBUTES,
    names::SCOPE_NAME,
    names::SCOPE_SCHEMA_URL,
    names::SCOPE_VERSION,
    names::SPAN_KIND,
    names::TRACE_FLAGS,
    names::TRACE_STATE,
    names::INPUT,
    names::LABELS,
    names::TAGS,
];
const PLAIN_KEYS: usize = 14;

fn a_plain_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        (0..3_u64).prop_map(Value::U64),
        any::<u64>().prop_map(Value::U64),
        (-1e300..1e300).prop_map(Value::F64),
        select(&["", "server", "größer 🦀", "chat"][..]).prop_map(Value::from),
        (100..200_usize).prop_map(|len| Value::Str("x".repeat(len))),
        vec(any::<u8>(), 0..4).prop_map(Value::Bytes),
    ]
}

fn a_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![1 => Just(Value::Null), 6 => a_plain_value()];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            vec((select(&KEYS[..4]).prop_map(str::to_owned), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

/// Some that may be set, or one by one in a span that is flat.
fn sets(is_flat: bool, count: Range<usize>) -> BoxedStrategy<Vec<Set>> {
    let set = |(key, value, is_encoded): (&str, Value, bool)| Set { key: key.to_owned(), value, is_encoded };
    match is_flat {
        true => vec((select(&KEYS[..PLAIN_KEYS]), a_plain_value(), Just(false)).prop_map(set), count).boxed(),
        false => vec((select(&KEYS[..]), a_value(), any::<bool>()).prop_map(set), count).boxed(),
    }
}

fn a_span() -> impl Strategy<Value = (Recorded, bool)> {
    any::<bool>().prop_flat_map(|is_flat| {
        let items = || vec(sets(is_flat, 0..6), 0..3);
        let many = prop_oneof![4 => sets(is_flat, 0..6), 1 => sets(is_flat, 20..40)];
        let (status, message) = ((0..5_u8).prop_map(Status::from_number), select(&["", "no"][..]));
        let recorded = (select(Kind::ALL), status, message, many, items(), items());
        recorded.prop_map(move |(kind, status, message, attributes, events, links)| {
            let message = message.to_owned();
            (Recorded { kind, status, message, attributes, events, links }, is_flat)
        })
    })
}

/// Compares what is made of spans where they lie with what is made of copies. How many there were, and how many of them are flat.
fn compare(record: impl FnOnce()) -> (usize, usize) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).overflow(Overflow::Block(MINUTE)).start().unwrap();
    record();
    let stopped = spool.stop(MINUTE);
    assert!(stopped.is_complete, "{stopped}");

    let spool = SpoolDir::open(dir.path()).unwrap();
    let mut reader = spool.reader(&spool.recorders().unwrap()[0]).unwrap();
    let (mut buffer, mut spans, mut flat) = (BlockBuffer::default(), 0, 0);
    while let Some(block) = reader.next_block_in(&mut buffer).unwrap() {
        let rows = BlockSpans::of(&block);
        let (mut rest, copies) = (rows.all(), rows.all().as_slice());
        assert!(copies.iter().eq(block.spans().map(|span| span.to_data()).collect::<Vec<_>>().iter()));
        for (row, copy) in rest.in_block().unwrap().iter().zip(copies) {
            assert_eq!(row_len(row), span_len(copy), "{copy:?}");
            flat += usize::from(row.is_flat());
        }
        let identities = copies.iter().map(|copy| (copy.trace_id, copy.span_id));
        assert!(rows.all().identities().eq(identities));
        let resource = [("service.name".to_owned(), Value::from("shop"))];
        for names in Names::ALL {
            let of_rows = spans_to_protobuf(names, &resource, rest);
            assert!(of_rows == to_protobuf(names, &resource, copies), "{copies:?}");
        }
        // And in parts.
        while !rest.is_empty() {
            let part;
            (part, rest) = rest.split_at(rest.len().div_ceil(2));
            let of_rows = spans_to_protobuf(Names::GenAi, &[], part);
            assert!(of_rows == to_protobuf(Names::GenAi, &[], part.as_slice()), "{part:?}");
            spans += part.len();
        }
    }
    assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
    (spans, flat)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_recorded_makes_the_same_request_where_it_lies(recorded in vec(a_span(), 1..8)) {
        let (spans, flat) = compare(|| recorded.iter().for_each(|(span, _)| span.record()));
        prop_assert_eq!(spans, 2 * recorded.len());
        let expected = recorded.len() + recorded.iter().filter(|(_, is_flat)| *is_flat).count();
        prop_assert!(flat >= expected, "{flat} of {spans} are flat");
    }
}

#[test]
fn the_spans_of_agent_runs_make_the_same_request_where_they_lie() {
    let runs = AgentRun::bundled();
    let (spans, flat) = compare(|| {
        for span in runs.iter().flat_map(|run| &run.spans) {
            let sets = |pairs: &[(String, Value)]| {
                let set = |(key, value): &(String, Value)| Set {
                    key: key.clone(),
                    value: value.clone(),
                    is_encoded: false,
                };
                pairs.iter().map(set).collect()
            };
            Recorded {
                kind: span.kind,
                status: span.status,
                message: span.status_message.clone(),
                attributes: sets(&span.attributes),
                events: span.events.iter().map(|event| sets(&event.attributes)).collect(),
                links: Vec::new(),
            }
            .record();
        }
    });
    assert_eq!(spans, 2 * 334);
    assert!(flat > 334, "{flat} of {spans} are flat");
}
