//! A row comes back whole, and what is wrong with it is counted.

use spanring::names;
use spanring::record::Time;
use spanring::{Kind, SpanId, Status, TraceId};

use super::{NAMES, TIMELINE, decode, read_back};
use crate::block::{BlockBuilder, BlockDecoder, Compression};
use crate::body_writer::{
    BOOL, BodyWriter, CUT, EVENT, F64, FAILED, I64, IN_EVENT, PACKED, STATUS_MESSAGE, STR, TRUE, U64, Word,
};
use crate::{EventData, LinkData, SpanData, Value};

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
    body.link(7, 3).entry(BOOL, IN_EVENT, "again", &[]).link(8, 1).deadline(5000);

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
            (names::DEADLINE.into(), Value::U64(5000)),
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
        links: vec![
            LinkData {
                trace_id: TraceId::from_bytes([7; 16]),
                span_id: BodyWriter::span_id(3),
                attributes: vec![("again".into(), Value::Bool(false))],
            },
            LinkData {
                trace_id: TraceId::from_bytes([8; 16]),
                span_id: BodyWriter::span_id(1),
                attributes: vec![],
            },
        ],
        is_pending: false,
        is_open: false,
        interrupted: false,
        cut: 5, // two left out, one failed, one packed value cut, one message cut
    };
    assert_eq!(read_back(&body, Time::Ticks(2_002_000)), expected);
}

#[test]
fn attributes_belong_to_the_last_event_or_link_before_them() {
    let mut body = BodyWriter::new(7, 1, Time::UnixNs(0), 0);
    let time = 5_u64.to_le_bytes();
    body.entry(BOOL, IN_EVENT, "a", &[]);
    body.entry(EVENT, TRUE, 4, &time).entry(BOOL, IN_EVENT, "b", &[]);
    body.link(1, 1).entry(BOOL, IN_EVENT, "c", &[]).entry(BOOL, 0, "d", &[]).entry(BOOL, IN_EVENT, "e", &[]);
    body.entry(EVENT, TRUE, 4, &time).entry(BOOL, IN_EVENT, "f", &[]);
    let span = read_back(&body, Time::UnixNs(1));
    let keys = |attributes: &[(String, Value)]| attributes.iter().map(|(key, _)| &**key).collect::<String>();
    assert_eq!(keys(&span.attributes), "ad");
    assert_eq!(span.events.iter().map(|event| keys(&event.attributes)).collect::<Vec<_>>(), ["b", "f"]);
    assert_eq!(span.links.iter().map(|link| keys(&link.attributes)).collect::<Vec<_>>(), ["ce"]);
}

#[test]
fn values_of_one_key_are_combined_in_a_span_and_nowhere_else() {
    let mut body = BodyWriter::new(7, 1, Time::UnixNs(0), 0);
    let (input, tags) = (11, 12);
    body.entry(PACKED, 0, input, b"\x82\xa1a\x01\xa1b\x02").entry(STR, 0, tags, b"x").entry(STR, 0, 1, b"m");
    // Written out, a key is the same key.
    body.entry(PACKED, 0, names::INPUT, b"\x81\xa1a\x03").entry(PACKED, 0, names::TAGS, b"\x92\xa1y\xa1x");
    body.entry(STR, 0, 1, b"n");
    body.link(1, 1).entry(STR, IN_EVENT, tags, b"x").entry(STR, IN_EVENT, tags, b"y");
    let text = |text: &str| Value::Str(text.into());
    let pairs = vec![("a".into(), Value::I64(3)), ("b".into(), Value::I64(2))];
    let expected = [
        (names::INPUT.into(), Value::Map(pairs)),
        (names::TAGS.into(), Value::List(vec![text("x"), text("y"), text("x")])),
        ("model".into(), text("m")),
        ("model".into(), text("n")),
    ];

    // Two rows, so that the second shows what the first leaves behind.
    let mut builder = BlockBuilder::new();
    for end in 1..3 {
        assert_eq!(builder.push_ended(&body.body(), Time::UnixNs(end), &TIMELINE, &NAMES), None);
    }
    for span in decode(&builder.finish(Compression::default()).unwrap(), 2).unwrap().spans {
        assert_eq!(span.attributes, expected);
        let of_link = [(names::TAGS.into(), text("x")), (names::TAGS.into(), text("y"))];
        assert_eq!(span.links[0].attributes, of_link);
    }
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

#[test]
fn a_value_that_failed_takes_nothing_from_what_was_set_before() {
    let mut body = BodyWriter::new(1, 2, Time::UnixNs(3), 0);
    body.entry(PACKED, 0, names::INPUT, &[0x81, 0xa1, b'q', 1]).entry(PACKED, FAILED, names::INPUT, &[]);
    body.entry(STR, 0, names::TAGS, b"prod").entry(PACKED, FAILED, names::TAGS, &[]);
    let span = read_back(&body, Time::UnixNs(4));
    let question = Value::Map(vec![("q".into(), Value::I64(1))]);
    assert_eq!(span.get(names::INPUT), Some(&question));
    assert_eq!(span.get(names::TAGS), Some(&Value::List(vec![Value::Str("prod".into())])));
    assert_eq!(span.cut, 2, "that they failed is counted");
}
