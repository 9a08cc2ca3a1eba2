//! What is written to protobuf, compared with what `prost` makes of the same request.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;
use spanring::{Kind, Status, names};
use spanring_spool::{EventData, LinkData, SpanData, Value};

use super::whole_span;
use crate::otlp::{Names, request_with, to_protobuf};

fn a_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        any::<u64>().prop_map(Value::U64),
        (-1e300..1e300).prop_map(Value::F64),
        // Around the lengths from which on a length takes one byte more.
        (0..200_usize).prop_map(|len| Value::Str("x".repeat(len))),
        (16_300..16_400_usize).prop_map(|len| Value::Str("y".repeat(len))),
        vec(any::<u8>(), 0..4).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            vec((a_key(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

/// Those that have a place of their own, and others.
fn a_key() -> impl Strategy<Value = String> {
    const KEYS: [&str; 17] = [
        "",
        "a",
        "b",
        "input.value",
        names::CUT,
        names::DROPPED_ATTRIBUTES,
        names::DROPPED_EVENTS,
        names::DROPPED_LINKS,
        names::OPERATION_NAME,
        names::SCHEMA_URL,
        names::SCOPE_ATTRIBUTES,
        names::SCOPE_NAME,
        names::SCOPE_SCHEMA_URL,
        names::SCOPE_VERSION,
        names::SPAN_KIND,
        names::TRACE_FLAGS,
        names::TRACE_STATE,
    ];
    select(&KEYS).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_what_a_generated_encoder_writes(
        pairs in vec((a_key(), a_value()), 0..40),
        names in select(&Names::ALL),
        (kind, status, interrupted) in (select(Kind::ALL), (0..5_u8).prop_map(Status::from_number), any::<bool>()),
    ) {
        let whole = SpanData { kind, status, interrupted, ..whole_span() };
        let spans = [
            SpanData { attributes: pairs.clone(), ..whole.clone() },
            SpanData {
                events: vec![EventData { attributes: pairs.clone(), ..whole.events[0].clone() }],
                links: vec![LinkData { attributes: pairs.clone(), ..whole.links[0].clone() }],
                ..whole
            },
            SpanData::default(),
        ];
        let read = request_with(names, &pairs, &spans);
        prop_assert!(read.encode_to_vec() == to_protobuf(names, &pairs, &spans));
    }
}
