//! Claims about blocks: what goes in comes out, and what nobody put in is refused.

use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use spanring::clock::Timeline;
use spanring::record::{Body, Time};
use spanring::{Kind, SpanId, Status, TraceId};

use super::columns::{Column, Columns, put_number};
use super::{BlockBuilder, BlockDecoder, Codec, Compression, Payload, ROWS_MAX, Undecodable};
use crate::block::decode::Rows;
use crate::body_writer::{
    BOOL, BYTES, BodyWriter, CUT, Dictionary, EVENT, F64, FAILED, I64, IN_EVENT, PACKED, STATUS_MESSAGE, STR,
    TRUE, U64, Word,
};
use crate::{EventData, SpanData, Value};

const NAMES: Dictionary = Dictionary(&[
    "chat",
    "model",
    "tokens",
    "",
    "retry \u{2764}",
    "gen_ai.prompt",
    "output",
    "temperature",
    "stream",
    "id",
    "try",
]);
/// A tick is half a nanosecond.
const TIMELINE: Timeline =
    Timeline { base_ticks: 1_000_000, base_unix_ns: 1_700_000_000_000_000_000, ticks_per_second: 2e9 };

fn decode(payload: &Payload, rows: u32) -> Result<Rows, Undecodable> {
    BlockDecoder::default().decode(&payload.bytes, payload.codec, payload.raw_len, rows, 0)
}

/// What one span that ended at `end` reads back as.
fn read_back(body: &BodyWriter, end: Time) -> SpanData {
    let mut builder = BlockBuilder::new();
    assert_eq!(builder.push_ended(&body.body(), end, &TIMELINE, &NAMES), None);
    let mut rows = decode(&builder.finish(Compression::default()).unwrap(), 1).unwrap();
    rows.spans.pop().unwrap()
}

#[test]
fn a_span_with_everything_comes_back_whole() {
    let mut body = BodyWriter::new(7, 1, Time::Ticks(2_000_000), 0);
    body.parent(9).kind(Kind::Tool).status(Status::Error).left_out(2);
    body.entry(STR, 0, 1, b"opus").entry(I64, 0, "delta", &(-5_i64).to_le_bytes());
    body.entry(EVENT, 0, 4, &2_000_100_u64.to_le_bytes()).entry(BOOL, TRUE | IN_EVENT, "again", &[]);
    body.entry(U64, 0, 2, &u64::MAX.to_le_bytes()).entry(STATUS_MESSAGE, 0, 0, b"first");
    body.entry(EVENT, TRUE, "late", &1_600_000_000_000_000_000_u64.to_le_bytes());
    body.entry(PACKED, IN_EVENT, 1, &[0x92, 1, 0xa1, b'x']).entry(PACKED, FAILED, 2, &[]);
    body.entry(PACKED, CUT, 2, &[0x92, 1]).entry(STATUS_MESSAGE, CUT, 0, b"last");

    let start = 1_700_000_000_000_500_000;
    let expected = SpanData {
        trace_id: TraceId::from_bytes([7; 16]),
        span_id: BodyWriter::span_id(1),
        parent_id: Some(BodyWriter::span_id(9)),
        name: "chat".into(),
        kind: Kind::Tool,
        status: Status::Error,
        status_message: "last".into(),
        start_unix_ns: start,
        end_unix_ns: start + 1000,
        attributes: vec![
            ("model".into(), Value::Str("opus".into())),
            ("delta".into(), Value::I64(-5)),
            ("tokens".into(), Value::U64(u64::MAX)),
            ("tokens".into(), Value::Null),
            ("tokens".into(), Value::List(vec![Value::I64(1)])),
        ],
        events: vec![
            EventData {
                name: "retry \u{2764}".into(),
                time_unix_ns: start + 50,
                attributes: vec![("again".into(), Value::Bool(true))],
            },
            EventData {
                name: "late".into(),
                time_unix_ns: 1_600_000_000_000_000_000,
                attributes: vec![("model".into(), Value::List(vec![Value::I64(1), Value::Str("x".into())]))],
            },
        ],
        interrupted: false,
        cut: 5, // two left out, one failed, one packed value cut, one message cut
    };
    assert_eq!(read_back(&body, Time::Ticks(2_002_000)), expected);
}

#[test]
fn an_interrupted_span_is_an_error_of_its_process() {
    let mut body = BodyWriter::new(7, 1, Time::UnixNs(5000), "work");
    body.entry(STR, 0, 1, b"opus");
    let mut builder = BlockBuilder::new();
    assert_eq!(builder.push_interrupted(&body.body(), 6000, &TIMELINE, &NAMES), None);
    assert_eq!(builder.push_interrupted(&body.body(), 4000, &TIMELINE, &NAMES), None);
    assert_eq!(builder.push_started(&body.body(), &TIMELINE, &NAMES), None);
    assert_eq!(builder.rows(), 3);
    let rows = decode(&builder.finish(Compression::None).unwrap(), 3).unwrap();

    let [span, clock_set_back] = &rows.spans[..] else { panic!("{rows:?}") };
    assert!(span.interrupted);
    assert_eq!((span.status, span.start_unix_ns, span.end_unix_ns), (Status::Error, 5000, 6000));
    let error = ("error.type".to_owned(), Value::Str("process_exit".into()));
    assert_eq!(span.attributes, [("model".into(), Value::Str("opus".into())), error]);
    assert_eq!(clock_set_back.end_unix_ns, 5000);
    let [start] = &rows.starts[..] else { panic!("{rows:?}") };
    assert_eq!((start.interrupted, start.start_unix_ns, start.end_unix_ns), (false, 5000, 5000));
}

#[test]
fn a_name_that_the_dictionary_lost_shows_its_number_and_is_counted() {
    let mut body = BodyWriter::new(7, 1, Time::UnixNs(0), 777);
    body.entry(BOOL, 0, 65000, &[]);
    let span = read_back(&body, Time::UnixNs(1));
    assert_eq!((&*span.name, &*span.attributes[0].0, span.cut), ("?777", "?65000", 2));
}

#[test]
fn text_that_is_no_utf8_is_repaired_and_counted() {
    let mut body = BodyWriter::new(7, 1, Time::UnixNs(0), Word::Inline(b"n\xff".into()));
    body.entry(STR, 0, Word::Inline(b"k\xff".into()), b"v\xff").entry(STATUS_MESSAGE, 0, 0, b"m\xff");
    let span = read_back(&body, Time::UnixNs(1));
    assert_eq!((&*span.name, &*span.status_message, span.cut), ("n\u{fffd}", "m\u{fffd}", 4));
    assert_eq!(span.attributes, [("k\u{fffd}".into(), Value::Str("v\u{fffd}".into()))]);
}

#[test]
fn a_malformed_entry_costs_what_follows_it_and_no_span() {
    let mut body = BodyWriter::new(7, 1, Time::UnixNs(0), 0);
    body.entry(BOOL, TRUE, 1, &[]).entry(99, 0, 1, &[]).entry(BOOL, TRUE, 2, &[]);
    let mut builder = BlockBuilder::new();
    assert!(builder.push_ended(&body.body(), Time::UnixNs(1), &TIMELINE, &NAMES).is_some());
    let rows = decode(&builder.finish(Compression::default()).unwrap(), 1).unwrap();
    assert_eq!(
        (&rows.spans[0].attributes[..], rows.spans[0].cut),
        (&[("model".into(), Value::Bool(true))][..], 1)
    );
}

#[test]
fn a_packed_value_that_is_none_is_read_as_far_as_it_goes_and_counted() {
    let mut body = BodyWriter::new(7, 1, Time::UnixNs(0), 0);
    body.entry(PACKED, 0, 1, &[0x92, 1, 0xc1]).entry(PACKED, 0, 1, &[0x91; 100_000]).entry(PACKED, 0, 1, &[]);
    let span = read_back(&body, Time::UnixNs(1));
    assert_eq!((&span.attributes[0].1, span.cut), (&Value::List(vec![Value::I64(1)]), 3));
}

#[test]
fn a_builder_is_empty_after_finish_and_keeps_nothing_of_the_block_before() {
    let mut builder = BlockBuilder::new();
    let push = |builder: &mut BlockBuilder, trace, name: Word| {
        let mut body = BodyWriter::new(trace, u64::from(trace), Time::UnixNs(1000), name);
        body.entry(STR, 0, 1, b"v");
        assert_eq!(builder.push_ended(&body.body(), Time::UnixNs(2000), &TIMELINE, &NAMES), None);
    };
    push(&mut builder, 1, 0.into());
    push(&mut builder, 2, "inline".into());
    let first = builder.finish(Compression::default()).unwrap();
    assert_eq!((builder.rows(), builder.raw_len()), (0, 0));
    push(&mut builder, 2, "inline".into());
    let second = builder.finish(Compression::default()).unwrap();
    assert_eq!(decode(&second, 1).unwrap().spans[0], decode(&first, 2).unwrap().spans[1]);
}

#[test]
fn rows_that_were_read_before_can_be_left_out() {
    let mut builder = BlockBuilder::new();
    for span in 0..5 {
        let body = BodyWriter::new(1, span, Time::UnixNs(1000 + span), 0).body().head.start;
        let body = BodyWriter::new(1, span, body, 0);
        if span == 3 {
            builder.push_started(&body.body(), &TIMELINE, &NAMES);
        } else {
            builder.push_ended(&body.body(), Time::UnixNs(5000), &TIMELINE, &NAMES);
        }
    }
    let payload = builder.finish(Compression::default()).unwrap();
    let rows = BlockDecoder::default().decode(&payload.bytes, payload.codec, payload.raw_len, 5, 2).unwrap();
    let ids = |spans: &[SpanData]| spans.iter().map(|span| span.span_id).collect::<Vec<SpanId>>();
    assert_eq!(ids(&rows.spans), [BodyWriter::span_id(2), BodyWriter::span_id(4)]);
    assert_eq!(ids(&rows.starts), [BodyWriter::span_id(3)]);
    assert_eq!(rows.spans[0].start_unix_ns, 1002);
}

#[test]
fn columns_under_zstd_are_well_below_rows_under_zstd() {
    let mut builder = BlockBuilder::new();
    let mut by_rows = Vec::new();
    for span in 0..2000_u64 {
        let body = llm_span(span);
        by_rows.extend_from_slice(body.clone().bytes());
        builder.push_ended(&body.body(), Time::Ticks(2_000_000 + span * 9000), &TIMELINE, &NAMES);
    }
    let columns = builder.finish(Compression::Zstd(1)).unwrap().bytes.len();
    let by_rows = zstd::bulk::compress(&by_rows, 1).unwrap().len();
    assert!(columns * 10 < by_rows * 8, "{columns} and {by_rows} bytes");
}

/// A span of a language model: 8 attributes, one of 200 bytes, and an event; about 400 bytes.
pub(super) fn llm_span(span: u64) -> BodyWriter {
    // Ids and numbers that look random, as they are in life.
    let noise = |salt: u64| (span * 31 + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut body =
        BodyWriter::new((span / 50).to_le_bytes()[0], noise(1), Time::Ticks(1_000_000 + span * 7919), 0);
    body.parent(noise(1) ^ (span % 7)).kind(Kind::Llm);
    let text = (0..20).map(|at| ["the ", "spans ", "of an agent ", "are kept "][(noise(at) >> 62) as usize]);
    let text = text.collect::<String>() + &format!("{:016x}{:016x}", noise(2), noise(3));
    body.entry(STR, 0, 1, b"claude-opus").entry(STR, 0, 5, text.as_bytes());
    body.entry(I64, 0, 2, &(noise(4) >> 50).to_le_bytes()).entry(I64, 0, 6, &(noise(5) >> 52).to_le_bytes());
    body.entry(F64, 0, 7, &0.7_f64.to_le_bytes()).entry(BOOL, TRUE, 8, &[]);
    body.entry(STR, 0, 9, format!("req_{:016x}", noise(6)).as_bytes()).entry(
        U64,
        0,
        10,
        &1_u64.to_le_bytes(),
    );
    body.entry(EVENT, 0, 4, &(1_000_100 + span * 7919).to_le_bytes());
    body.entry(I64, IN_EVENT, 2, &(span % 30).to_le_bytes());
    body
}

// Hostile payloads: the bytes are ours to choose, checksum and all.

fn stored(columns: &Columns<Column>) -> Payload {
    let mut bytes = Vec::new();
    columns.serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map()).unwrap();
    Payload { raw_len: u32::try_from(bytes.len()).unwrap(), bytes, codec: Codec::Stored }
}

/// Columns of one row with one attribute `a = null`.
fn one_row() -> Columns<Column> {
    let mut columns = Columns::<Column>::default();
    columns.trace_ids.extend([1; 16]);
    columns.text_lens.push(1);
    columns.texts.push(b'a');
    columns.span_id.extend([2; 8]);
    columns.parent_id.extend([0; 8]);
    for column in
        [&mut columns.state, &mut columns.kind, &mut columns.trace, &mut columns.name, &mut columns.start]
    {
        column.push(0);
    }
    for column in [&mut columns.duration, &mut columns.message_len, &mut columns.cut, &mut columns.tag] {
        column.push(0);
    }
    columns.key.push(0);
    columns.entries.push(1);
    columns
}

fn refused(change: impl Fn(&mut Columns<Column>)) -> Undecodable {
    let mut columns = one_row();
    assert!(decode(&stored(&columns), 1).is_ok());
    change(&mut columns);
    decode(&stored(&columns), 1).unwrap_err()
}

#[test]
fn columns_that_do_not_fit_the_rows_are_refused() {
    assert_eq!(refused(|columns| columns.state.push(0)), Undecodable::Value("state"));
    assert_eq!(refused(|columns| columns.kind.clear()), Undecodable::TooShort("kind"));
    assert_eq!(refused(|columns| columns.cut.push(0)), Undecodable::TooLong("cut"));
    assert_eq!(refused(|columns| columns.span_id.push(0)), Undecodable::TooLong("span_id"));
    assert_eq!(refused(|columns| columns.str.push(b'x')), Undecodable::TooLong("str"));
    assert_eq!(refused(|columns| columns.texts.push(b'x')), Undecodable::TooLong("texts"));
    assert_eq!(refused(|columns| columns.texts.clear()), Undecodable::TooShort("texts"));
    assert_eq!(refused(|columns| columns.texts[0] = 0xff), Undecodable::Value("texts"));
    assert_eq!(refused(|columns| columns.trace[0] = 1), Undecodable::Value("trace"));
    assert_eq!(refused(|columns| columns.trace_ids.extend([1; 16])), Undecodable::Value("trace_ids"));
    assert_eq!(refused(|columns| columns.name[0] = 9), Undecodable::Value("name"));
    assert_eq!(refused(|columns| columns.key[0] = 9), Undecodable::Value("key"));
    assert_eq!(refused(|columns| columns.tag[0] = 15), Undecodable::Value("tag"));
    assert_eq!(refused(|columns| columns.tag[0] = 5), Undecodable::TooShort("f64"));
    assert_eq!(refused(|columns| columns.text_lens.extend([0; 9])), Undecodable::Value("text_lens"));
    assert_eq!(
        refused(|columns| {
            columns.start[0] = 1; // -1: the last nanosecond there is
            columns.duration[0] = 1;
        }),
        Undecodable::Value("duration")
    );
    assert_eq!(
        refused(|columns| {
            columns.entries.clear();
            put_number(&mut columns.entries, u64::MAX);
        }),
        Undecodable::TooShort("tag")
    );
    assert_eq!(
        refused(|columns| {
            columns.tag[0] = 6;
            put_number(&mut columns.str_len, u64::MAX);
        }),
        Undecodable::TooShort("str")
    );
    assert_eq!(
        refused(|columns| {
            columns.tag[0] = 6;
            columns.str.extend("\u{e9}".bytes());
            columns.str_len.push(1);
        }),
        Undecodable::Value("str")
    );
}

#[test]
fn a_long_name_that_many_rows_share_cannot_fill_the_memory() {
    let mut columns = one_row();
    columns.texts.resize(1 << 20, b'a');
    columns.text_lens.clear();
    put_number(&mut columns.text_lens, 1 << 20);
    columns.entries.clear();
    put_number(&mut columns.entries, 1000);
    columns.tag.resize(1000, 0);
    columns.key.resize(1000, 0);
    assert_eq!(decode(&stored(&columns), 1), Err(Undecodable::Value("key")));
}

#[test]
fn a_payload_that_decompresses_to_more_than_it_claims_is_refused() {
    let zeros = zstd::bulk::compress(&vec![0; (8 << 20) + 1], 1).unwrap();
    let payload = |raw_len| Payload { bytes: zeros.clone(), raw_len, codec: Codec::Zstd };
    assert_eq!(decode(&payload(1 << 20), 1), Err(Undecodable::Compression));
    assert_eq!(decode(&payload((8 << 20) + 2), 1), Err(Undecodable::Compression));
    assert_eq!(decode(&payload((8 << 20) + 1), 1), Err(Undecodable::Columns));
    assert_eq!(decode(&payload(u32::MAX), 1), Err(Undecodable::TooLarge));
    assert_eq!(decode(&payload(8 << 20), ROWS_MAX + 1), Err(Undecodable::TooLarge));
    let few = Payload { bytes: zeros[..20].into(), ..payload(8 << 20) };
    assert_eq!(decode(&few, 1), Err(Undecodable::TooLarge));
}

#[test]
fn a_map_of_anything_else_is_refused() {
    for bytes in [&[0xc0][..], &[0x80], &[0xdf, 255, 255, 255, 255], &[0x91; 100_000], &[0x81; 100_000], &[]]
    {
        let payload = Payload {
            bytes: bytes.into(),
            raw_len: u32::try_from(bytes.len()).unwrap(),
            codec: Codec::Stored,
        };
        assert_eq!(decode(&payload, 0), Err(Undecodable::Columns));
    }
}

#[test]
fn a_column_of_a_later_version_is_ignored() {
    let mut payload = stored(&one_row());
    assert_eq!(payload.bytes[..3], [0xde, 0, 27]);
    payload.bytes[2] += 1;
    payload.bytes.extend(b"\xa5later\x93\x01\xc0\x91\xa1x");
    payload.raw_len = u32::try_from(payload.bytes.len()).unwrap();
    assert!(decode(&payload, 1).is_ok());
}

// The real thing against the obvious thing.

#[derive(Clone, Debug)]
enum Given {
    Attribute { key: Word, value: Value, cut: bool, in_event: bool },
    Event { name: Word, time: u64 },
    Message(String),
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
    prop_oneof![(0..known).prop_map(Word::Known), ".{0,6}".prop_map(|text| Word::Inline(text.into()))]
}

fn givens() -> impl Strategy<Value = Given> {
    prop_oneof![
        6 => (words(), prop_oneof![3 => scalars(), 1 => packed_values()], any::<bool>(), any::<bool>())
            .prop_map(|(key, value, cut, in_event)| Given::Attribute { key, value, cut, in_event }),
        2 => (words(), any::<u64>()).prop_map(|(name, time)| Given::Event { name, time }),
        1 => ".{0,10}".prop_map(Given::Message),
    ]
}

fn text_of(word: &Word) -> String {
    match word {
        Word::Known(number) => NAMES.0[usize::from(*number)].into(),
        Word::Inline(text) => String::from_utf8(text.clone()).unwrap(),
    }
}

type GivenSpan = (u8, u64, u64, (u64, u64), Word, u16, Vec<Given>);

fn given_spans() -> impl Strategy<Value = GivenSpan> {
    let times = (any::<u64>(), any::<u64>());
    (0..3_u8, any::<u64>(), any::<u64>(), times, words(), any::<u16>(), vec(givens(), 0..8))
}

/// The body of a span as it is recorded, and the span as it should read back.
fn both((trace, span, parent, (start, end), name, left_out, givens): &GivenSpan) -> (BodyWriter, SpanData) {
    let mut body = BodyWriter::new(*trace, *span, Time::UnixNs(*start), name.clone());
    body.parent(*parent).left_out(*left_out);
    let parent_id = BodyWriter::span_id(*parent);
    let mut data = SpanData {
        trace_id: TraceId::from_bytes([*trace; 16]),
        span_id: BodyWriter::span_id(*span),
        parent_id: parent_id.is_valid().then_some(parent_id),
        name: text_of(name),
        kind: Kind::Llm,
        status: Status::Ok,
        status_message: String::new(),
        start_unix_ns: *start,
        end_unix_ns: *start.max(end),
        attributes: Vec::new(),
        events: Vec::new(),
        interrupted: false,
        cut: (*left_out).into(),
    };
    for given in givens {
        match given {
            Given::Message(text) => {
                body.entry(STATUS_MESSAGE, 0, 0, text.as_bytes());
                data.status_message.clone_from(text);
            }
            Given::Event { name, time } => {
                body.entry(EVENT, TRUE, name.clone(), &time.to_le_bytes());
                data.events.push(EventData { name: text_of(name), time_unix_ns: *time, attributes: vec![] });
            }
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
                body.entry(tag, flags, key.clone(), content);
                data.cut += u32::from(*cut);
                let attributes = match data.events.last_mut() {
                    Some(event) if *in_event => &mut event.attributes,
                    _ => &mut data.attributes,
                };
                attributes.push((text_of(key), value.clone()));
            }
        }
    }
    (body, data)
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
            let mut expected = Vec::new();
            for given in spans {
                let (body, data) = both(given);
                prop_assert_eq!(builder.push_ended(&body.body(), Time::UnixNs(given.3.1), &TIMELINE, &NAMES), None);
                expected.push(data);
            }
            let rows = builder.rows();
            let Payload { bytes, raw_len, codec } = builder.finish(compression).unwrap();
            let decoded = decoder.decode(&bytes, codec, raw_len, rows, 0).unwrap();
            // As text, in which NaN equals NaN.
            prop_assert_eq!(format!("{:?}", decoded.spans), format!("{expected:?}"));
            prop_assert_eq!(decoded.starts, vec![]);
        }
    }

    #[test]
    fn a_payload_with_any_bytes_changed_gives_rows_or_an_error_and_no_panic(
        given in vec(given_spans(), 1..4),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut builder = BlockBuilder::new();
        for given in &given {
            builder.push_ended(&both(given).0.body(), Time::UnixNs(given.3.1), &TIMELINE, &NAMES);
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
