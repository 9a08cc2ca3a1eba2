//! Hostile payloads: the bytes are ours to choose, checksum and all.

use serde::Serialize;
use spanring::Status;
use spanring::names;
use spanring::record::Time;

use super::{NAMES, TIMELINE, decode};
use crate::Value;
use crate::block::columns::{Column, Columns, put_bytes, put_number};
use crate::block::{
    BlockBuilder, Codec, Compression, Payload, ROWS_MAX, TAG_IN_EVENT, TAG_LINK, TAG_PACKED, TAG_TRUE,
    Undecodable,
};
use crate::body_writer::{BOOL, BodyWriter, EVENT, IN_EVENT, PACKED, STATUS_MESSAGE, STR, TRUE};

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
    assert_eq!(refused(|columns| columns.tag[0] = 11), Undecodable::Value("tag"));
    assert_eq!(refused(|columns| columns.tag[0] = 5), Undecodable::TooShort("f64"));
    assert_eq!(refused(|columns| columns.link_trace.extend([0; 16])), Undecodable::TooLong("link_trace"));
    assert_eq!(refused(|columns| columns.link_span.extend([0; 8])), Undecodable::TooLong("link_span"));
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
fn a_link_is_its_two_ids_and_no_key() {
    let link = |columns: &mut Columns<Column>| {
        columns.tag[0] = TAG_LINK | TAG_IN_EVENT;
        columns.key.clear();
        columns.link_trace.extend([0; 16]);
        columns.link_span.extend([0; 8]);
    };
    let mut columns = one_row();
    link(&mut columns);
    let span = decode(&stored(&columns), 1).unwrap().spans.pop().unwrap();
    assert_eq!((span.links.len(), span.attributes.len()), (1, 0));

    let refused_link = |change: fn(&mut Columns<Column>)| {
        refused(|columns| {
            link(columns);
            change(columns);
        })
    };
    assert_eq!(refused_link(|columns| columns.key.push(0)), Undecodable::TooLong("key"));
    assert_eq!(refused_link(|columns| columns.link_trace.clear()), Undecodable::TooShort("link_trace"));
    assert_eq!(refused_link(|columns| columns.link_span.truncate(7)), Undecodable::TooShort("link_span"));
}

#[test]
fn a_status_of_a_later_version_is_unset_and_each_flag_is_read() {
    let mut columns = one_row();
    for state in 0..=u8::MAX {
        columns.state[0] = state;
        let rows = decode(&stored(&columns), 1).unwrap();
        let span = rows.spans.first().or(rows.starts.first()).unwrap();
        assert_eq!(span.status, Status::from_number(state & 7));
        assert_eq!(
            (span.interrupted, span.is_open, span.is_pending),
            (state & 8 != 0, state & 16 != 0, state & 32 != 0)
        );
    }
}

/// Spans with some of everything, stored as they are.
fn some_of_everything() -> Payload {
    let mut builder = BlockBuilder::new();
    for span in 0..3 {
        let mut body = BodyWriter::new(1, span, Time::UnixNs(1000), "work");
        body.pending().link(2, 5).entry(STR, IN_EVENT, 1, b"of the link").entry(BOOL, TRUE, 2, &[]);
        body.entry(PACKED, 0, names::INPUT, b"\x81\xa1a\x01").started(Time::UnixNs(2000), span == 1);
        body.entry(PACKED, 0, names::INPUT, b"\x81\xa1b\x02").entry(STR, 0, names::TAGS, b"x").deadline(5);
        body.entry(EVENT, TRUE, 4, &1500_u64.to_le_bytes()).entry(BOOL, IN_EVENT, 2, &[]);
        body.entry(STR, 0, names::DEFAULT_INPUT, b"y").entry(STATUS_MESSAGE, 0, 0, b"so it is");
        assert_eq!(builder.push_ended(&body.body(), Time::UnixNs(3000), &TIMELINE, &NAMES), None);
    }
    builder.finish(Compression::None).unwrap()
}

#[test]
fn a_payload_cut_anywhere_is_refused() {
    let whole = some_of_everything();
    assert!(decode(&whole, 3).is_ok());
    for cut in 0..whole.bytes.len() {
        let bytes = whole.bytes[..cut].to_vec();
        let raw_len = u32::try_from(cut).unwrap();
        assert!(decode(&Payload { bytes, raw_len, codec: Codec::Stored }, 3).is_err(), "cut at {cut}");
    }
}

#[test]
fn a_payload_with_any_bit_flipped_gives_as_many_rows_or_an_error() {
    let whole = some_of_everything();
    for bit in 0..8 * whole.bytes.len() {
        let mut payload = whole.clone();
        payload.bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(rows) = decode(&payload, 3) {
            assert_eq!(rows.spans.len() + rows.starts.len(), 3, "bit {bit}");
        }
    }
}

/// It would take minutes if a value took longer for those before it.
#[test]
fn a_million_values_of_one_key_cost_no_more_than_they_are() {
    const VALUES: u32 = 1_000_000;
    let row_of = |key: &str, tag: u8| {
        let mut columns = one_row();
        columns.texts.clear();
        columns.text_lens.clear();
        put_bytes(&mut columns.text_lens, &mut columns.texts, key.as_bytes());
        columns.entries.clear();
        put_number(&mut columns.entries, VALUES.into());
        columns.tag.resize(VALUES as usize, 0);
        columns.tag.fill(tag);
        columns.key.resize(VALUES as usize, 0);
        columns
    };
    let tags = decode(&stored(&row_of(names::TAGS, TAG_TRUE)), 1).unwrap();
    let [(_, Value::List(items))] = &tags.spans[0].attributes[..] else { panic!("{tags:?}") };
    assert_eq!(items.len(), VALUES as usize);

    let mut labels = row_of(names::LABELS, TAG_PACKED);
    for number in 0..VALUES {
        // A map of one pair, whose key is a number and whose value is null.
        let [a, b, c, d] = number.to_le_bytes();
        put_bytes(&mut labels.packed_len, &mut labels.packed, &[0x81, 0xce, d, c, b, a, 0xc0]);
    }
    let labels = decode(&stored(&labels), 1).unwrap();
    let [(_, Value::Map(pairs))] = &labels.spans[0].attributes[..] else { panic!() };
    assert_eq!((pairs.len(), &*pairs[999_999].0), (VALUES as usize, "999999"));
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
    assert_eq!(payload.bytes[..3], [0xde, 0, 29]);
    payload.bytes[2] += 1;
    payload.bytes.extend(b"\xa5later\x93\x01\xc0\x91\xa1x");
    payload.raw_len = u32::try_from(payload.bytes.len()).unwrap();
    assert!(decode(&payload, 1).is_ok());
}
