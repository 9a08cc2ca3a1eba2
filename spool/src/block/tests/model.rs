//! The real thing against the obvious thing.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use spanring::names::{self, Combine};
use spanring::record::{Body, Time};
use spanring::{Kind, Status, TraceId};

use super::{NAMES, TIMELINE, decode};
use crate::block::{BlockBuilder, BlockDecoder, Codec, Compression, Payload};
use crate::body_writer::{
    BOOL, BYTES, BodyWriter, CUT, EVENT, F64, I64, IN_EVENT, PACKED, STATUS_MESSAGE, STR, TRUE, U64, Word,
};
use crate::{Attributes, EventData, EventRef, LinkData, LinkRef, SpanData, SpanRef, Value};

#[derive(Clone, Debug)]
enum Given {
    Attribute { key: Word, value: Value, cut: bool, in_event: bool },
    Event { name: Word, time: u64 },
    Link { trace: u8, span: u64 },
    Deadline(u64),
    Started { time: u64, by_drop: bool },
    Message(String),
}

/// What a row says about its span.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Pushed {
    Ended,
    Interrupted,
    Open,
}

#[derive(Clone, Debug)]
struct GivenSpan {
    pushed: Pushed,
    trace: u8,
    span: u64,
    parent: u64,
    status: Status,
    is_pending: bool,
    times: (u64, u64),
    name: Word,
    left_out: u16,
    entries: Vec<Given>,
}

/// Values, with the entry that records each.
fn scalars() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        any::<u64>().prop_map(Value::U64),
        prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(-0.0)].prop_map(Value::F64),
        ".{0,20}".prop_map(Value::Str),
        vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ]
}

/// Values that only MessagePack can carry.
fn packed_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::I64),
        (i64::MAX as u64 + 1..).prop_map(Value::U64),
        any::<f64>().prop_map(Value::F64),
        ".{0,8}".prop_map(Value::Str),
        vec(any::<u8>(), 0..8).prop_map(Value::Bytes),
    ];
    let nested = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::List),
            vec((".{0,4}", inner), 0..4).prop_map(Value::Map),
        ]
    });
    nested.prop_filter("a list or map", |value| matches!(value, Value::List(_) | Value::Map(_)))
}

fn pack(value: &Value, to: &mut Vec<u8>) {
    match value {
        Value::Null => rmp::encode::write_nil(to).unwrap(),
        Value::Bool(value) => rmp::encode::write_bool(to, *value).unwrap(),
        Value::I64(value) => drop(rmp::encode::write_sint(to, *value).unwrap()),
        Value::U64(value) => drop(rmp::encode::write_uint(to, *value).unwrap()),
        Value::F64(value) => rmp::encode::write_f64(to, *value).unwrap(),
        Value::Str(value) => rmp::encode::write_str(to, value).unwrap(),
        Value::Bytes(value) => rmp::encode::write_bin(to, value).unwrap(),
        Value::List(values) => {
            rmp::encode::write_array_len(to, u32::try_from(values.len()).unwrap()).unwrap();
            values.iter().for_each(|value| pack(value, to));
        }
        Value::Map(pairs) => {
            rmp::encode::write_map_len(to, u32::try_from(pairs.len()).unwrap()).unwrap();
            for (key, value) in pairs {
                rmp::encode::write_str(to, key).unwrap();
                pack(value, to);
            }
        }
    }
}

fn words() -> impl Strategy<Value = Word> {
    let known = u16::try_from(NAMES.0.len()).unwrap();
    let combined = select(&[names::INPUT, names::LABELS, names::TAGS, names::DEFAULT_INPUT][..]);
    prop_oneof![
        3 => (0..known).prop_map(Word::Known),
        2 => ".{0,6}".prop_map(|text| Word::Inline(text.into())),
        1 => combined.prop_map(|text| Word::Inline(text.into())),
    ]
}

fn givens() -> impl Strategy<Value = Given> {
    prop_oneof![
        6 => (words(), prop_oneof![3 => scalars(), 1 => packed_values()], any::<bool>(), any::<bool>())
            .prop_map(|(key, value, cut, in_event)| Given::Attribute { key, value, cut, in_event }),
        2 => (words(), any::<u64>()).prop_map(|(name, time)| Given::Event { name, time }),
        2 => (0..3_u8, any::<u64>()).prop_map(|(trace, span)| Given::Link { trace, span }),
        1 => any::<u64>().prop_map(Given::Deadline),
        1 => (any::<u64>(), any::<bool>()).prop_map(|(time, by_drop)| Given::Started { time, by_drop }),
        1 => ".{0,10}".prop_map(Given::Message),
    ]
}

fn text_of(word: &Word) -> String {
    match word {
        Word::Known(number) => NAMES.0[usize::from(*number)].into(),
        Word::Inline(text) => String::from_utf8(text.clone()).unwrap(),
    }
}

fn given_spans() -> impl Strategy<Value = GivenSpan> {
    let pushed = select(&[Pushed::Ended, Pushed::Interrupted, Pushed::Open][..]);
    let ids = (0..3_u8, any::<u64>(), any::<u64>());
    let times = (any::<u64>(), any::<u64>());
    let given =
        (pushed, ids, select(Status::ALL), any::<bool>(), times, words(), any::<u16>(), vec(givens(), 0..12));
    given.prop_map(|(pushed, (trace, span, parent), status, is_pending, times, name, left_out, entries)| {
        GivenSpan { pushed, trace, span, parent, status, is_pending, times, name, left_out, entries }
    })
}

fn push(builder: &mut BlockBuilder, given: &GivenSpan, body: &Body<'_>) {
    let end = given.times.1;
    let malformed = match given.pushed {
        Pushed::Ended => builder.push_ended(body, Time::UnixNs(end), &TIMELINE, &NAMES),
        Pushed::Interrupted => builder.push_interrupted(body, end, &TIMELINE, &NAMES),
        Pushed::Open => builder.push_started(body, &TIMELINE, &NAMES),
    };
    assert_eq!(malformed, None);
}

/// The span as it is recorded.
fn written(given: &GivenSpan) -> BodyWriter {
    let mut body = BodyWriter::new(given.trace, given.span, Time::UnixNs(given.times.0), given.name.clone());
    body.parent(given.parent).left_out(given.left_out).status(given.status);
    if given.is_pending {
        body.pending();
    }
    for entry in &given.entries {
        match entry {
            Given::Message(text) => body.entry(STATUS_MESSAGE, 0, 0, text.as_bytes()),
            Given::Event { name, time } => body.entry(EVENT, TRUE, name.clone(), &time.to_le_bytes()),
            Given::Link { trace, span } => body.link(*trace, *span),
            Given::Deadline(ns) => body.deadline(*ns),
            Given::Started { time, by_drop } => body.started(Time::UnixNs(*time), *by_drop),
            Given::Attribute { key, value, cut, in_event } => {
                let mut packed = Vec::new();
                let (tag, content) = match value {
                    Value::Bool(_) => (BOOL, &[][..]),
                    Value::I64(value) => (I64, &value.to_le_bytes()[..]),
                    Value::U64(value) => (U64, &value.to_le_bytes()[..]),
                    Value::F64(value) => (F64, &value.to_le_bytes()[..]),
                    Value::Str(value) => (STR, value.as_bytes()),
                    Value::Bytes(value) => (BYTES, &value[..]),
                    Value::Null | Value::List(_) | Value::Map(_) => {
                        pack(value, &mut packed);
                        (PACKED, &packed[..])
                    }
                };
                let flags = if *cut { CUT } else { 0 }
                    | if *in_event { IN_EVENT } else { 0 }
                    | if *value == Value::Bool(true) { TRUE } else { 0 };
                body.entry(tag, flags, key.clone(), content)
            }
        };
    }
    body
}

/// The span as it should read back.
fn expected(given: &GivenSpan) -> SpanData {
    let mut span = SpanData {
        trace_id: TraceId::from_bytes([given.trace; 16]),
        span_id: BodyWriter::span_id(given.span),
        parent_id: Some(BodyWriter::span_id(given.parent)).filter(|parent| parent.is_valid()),
        name: text_of(&given.name),
        kind: Kind::Llm,
        status: given.status,
        start_unix_ns: given.times.0,
        is_pending: given.is_pending,
        is_open: given.pushed == Pushed::Open,
        interrupted: given.pushed == Pushed::Interrupted,
        cut: given.left_out.into(),
        ..SpanData::default()
    };
    let mut attributes = Vec::new();
    let mut default_inputs = Vec::new();
    let mut by_drop = false;
    let mut deadline = None;
    let mut last_is_link = None;
    for entry in &given.entries {
        match entry {
            Given::Message(text) => span.status_message.clone_from(text),
            Given::Event { name, time } => {
                span.events.push(EventData { name: text_of(name), time_unix_ns: *time, attributes: vec![] });
                last_is_link = Some(false);
            }
            Given::Link { trace, span: id } => {
                let (trace_id, span_id) = (TraceId::from_bytes([*trace; 16]), BodyWriter::span_id(*id));
                span.links.push(LinkData { trace_id, span_id, attributes: vec![] });
                last_is_link = Some(true);
            }
            Given::Deadline(ns) => {
                deadline = Some(*ns);
                attributes.push((names::DEADLINE.into(), Value::U64(*ns)));
            }
            Given::Started { time, by_drop: is_by_drop } => {
                if span.is_pending {
                    span.start_unix_ns = *time;
                    span.is_pending = false;
                }
                by_drop |= given.is_pending && *is_by_drop;
            }
            Given::Attribute { key, value, cut, in_event } => {
                let attribute = (text_of(key), value.clone());
                if attribute.0 == names::DEFAULT_INPUT && !in_event {
                    default_inputs.push((names::INPUT.to_owned(), value.clone(), *cut));
                    continue;
                }
                if attribute.0 == names::DEADLINE && !in_event {
                    deadline = value.as_u64();
                }
                span.cut += u32::from(*cut);
                match last_is_link.filter(|_| *in_event) {
                    Some(true) => span.links.last_mut().unwrap().attributes.push(attribute),
                    Some(false) => span.events.last_mut().unwrap().attributes.push(attribute),
                    None => attributes.push(attribute),
                }
            }
        }
    }
    if by_drop {
        for (key, value, cut) in default_inputs.into_iter().rev() {
            attributes.insert(0, (key, value));
            span.cut += u32::from(cut);
        }
    }
    span.end_unix_ns = if span.is_open { 0 } else { given.times.1 }.max(span.start_unix_ns);
    span.cut += u32::from(matches!(given.pushed, Pushed::Ended) && given.times.1 < span.start_unix_ns);
    let is_late = |ns| u128::from(span.start_unix_ns) + u128::from(ns) < u128::from(span.end_unix_ns);
    let missed = deadline.filter(|&ns| is_late(ns) && !span.is_pending);
    span.status = match (given.status, missed) {
        (Status::Unset | Status::Ok, Some(_)) => Status::TimedOut,
        (Status::TimedOut, Some(_)) => Status::TimedOut,
        (_, _) if span.interrupted => Status::Error,
        (status, _) => status,
    };
    if let Some(ns) = missed.filter(|_| span.status == Status::TimedOut && span.status_message.is_empty()) {
        span.status_message = format!("timed out after {} s", ns as f64 / 1e9);
    }
    if span.interrupted {
        attributes.push((names::ERROR_TYPE.into(), Value::Str("process_exit".into())));
    }
    span.attributes = combined(&attributes);
    span
}

/// The span as a reader sees it who borrows each part.
fn seen(span: &SpanRef<'_>) -> SpanData {
    let attributes = |list: Attributes<'_>| -> Vec<(String, Value)> {
        list.map(|(key, value)| (key.to_owned(), value.to_value())).collect()
    };
    let event = |event: EventRef<'_>| EventData {
        name: event.name().to_owned(),
        time_unix_ns: event.time_unix_ns(),
        attributes: attributes(event.attributes()),
    };
    let link = |link: LinkRef<'_>| LinkData {
        trace_id: link.trace_id(),
        span_id: link.span_id(),
        attributes: attributes(link.attributes()),
    };
    SpanData {
        trace_id: span.trace_id(),
        span_id: span.span_id(),
        parent_id: span.parent_id(),
        name: span.name().to_owned(),
        kind: span.kind(),
        status: span.status(),
        status_message: span.status_message().to_owned(),
        start_unix_ns: span.start_unix_ns(),
        end_unix_ns: span.start_unix_ns() + span.duration_ns(),
        attributes: combined(&attributes(span.attributes())),
        events: span.events().map(event).collect(),
        links: span.links().map(link).collect(),
        is_pending: span.is_pending(),
        is_open: span.is_open(),
        interrupted: span.is_interrupted(),
        cut: span.cut(),
    }
}

/// The attributes of a span, each combined key once.
fn combined(attributes: &[(String, Value)]) -> Vec<(String, Value)> {
    let mut combined: Vec<(String, Value)> = Vec::new();
    for (key, value) in attributes {
        let values = || attributes.iter().filter(|(other, _)| other == key).map(|(_, value)| value);
        let value = match names::combine(key) {
            Combine::Last => value.clone(),
            _ if combined.iter().any(|(other, _)| other == key) => continue,
            Combine::Append => Value::List(
                values()
                    .flat_map(|value| value.as_list().map_or_else(|| vec![value.clone()], <[Value]>::to_vec))
                    .collect(),
            ),
            Combine::Merge => merged(&values().collect::<Vec<_>>()),
        };
        combined.push((key.clone(), value));
    }
    combined
}

fn merged(values: &[&Value]) -> Value {
    let maps = values.rsplit(|value| value.as_map().is_none()).next().unwrap();
    if maps.len() < 2 {
        return values[values.len() - 1].clone();
    }
    let mut merged: Vec<(String, Value)> = Vec::new();
    for (key, value) in maps.iter().flat_map(|map| map.as_map().unwrap()).cloned() {
        match merged.iter_mut().find(|(other, _)| *other == key) {
            Some(pair) => pair.1 = value,
            None => merged.push((key, value)),
        }
    }
    Value::Map(merged)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whatever_is_recorded_reads_back(
        blocks in vec(vec(given_spans(), 0..12), 1..4),
        compression in prop_oneof![Just(Compression::None), (-3..4).prop_map(Compression::Zstd)],
    ) {
        let mut builder = BlockBuilder::new();
        let mut decoder = BlockDecoder::default();
        for spans in &blocks {
            for given in spans {
                push(&mut builder, given, &written(given).body());
            }
            let rows = builder.rows();
            let Payload { bytes, raw_len, codec } = builder.finish(compression).unwrap();
            let seen: Vec<_> = {
                let view = decoder.view(&bytes, codec, raw_len, rows, 0).unwrap();
                view.iter().map(|span| seen(&span)).collect()
            };
            prop_assert_eq!(format!("{seen:?}"), format!("{:?}", spans.iter().map(expected).collect::<Vec<_>>()));
            let decoded = decoder.decode(&bytes, codec, raw_len, rows, 0).unwrap();
            let (starts, spans): (Vec<_>, Vec<_>) = spans.iter().map(expected).partition(|span| span.is_open);
            // As text, in which NaN equals NaN.
            prop_assert_eq!(format!("{:?}", decoded.spans), format!("{spans:?}"));
            prop_assert_eq!(format!("{:?}", decoded.starts), format!("{starts:?}"));
        }
    }

    #[test]
    fn a_payload_with_any_bytes_changed_gives_rows_or_an_error_and_no_panic(
        given in vec(given_spans(), 1..4),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut builder = BlockBuilder::new();
        for given in &given {
            push(&mut builder, given, &written(given).body());
        }
        let rows = builder.rows();
        let mut payload = builder.finish(Compression::None).unwrap();
        for (at, byte) in changes {
            let at = at.index(payload.bytes.len());
            payload.bytes[at] = byte;
        }
        if let Ok(decoded) = decode(&payload, rows) {
            prop_assert_eq!(decoded.spans.len() + decoded.starts.len(), rows as usize);
        }
    }

    #[test]
    fn random_bodies_and_payloads_never_panic(bytes in vec(any::<u8>(), 0..400), zstd in any::<bool>()) {
        if let Ok(body) = Body::parse(&bytes) {
            let mut builder = BlockBuilder::new();
            builder.push_interrupted(&body, 0, &TIMELINE, &NAMES);
            prop_assert!(decode(&builder.finish(Compression::None).unwrap(), 1).is_ok());
        }
        let codec = if zstd { Codec::Zstd } else { Codec::Stored };
        let raw_len = u32::try_from(bytes.len()).unwrap();
        let payload = Payload { bytes, raw_len, codec };
        prop_assert!(decode(&payload, 1).is_err());
    }
}
