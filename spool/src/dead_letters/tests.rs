use std::path::Path;

use super::*;
use crate::trace::tests::arbitrary;

fn letter(span: SpanData) -> DeadLetter {
    DeadLetter {
        sink: "otlp+http://localhost:4318".into(),
        reason: "it answered 400 Bad Request: \"no\n\u{1b}name\"".into(),
        set_aside_unix_ns: u64::MAX,
        recorder: RecorderId::from_parts(1, 2).recovery(),
        block: Position { segment: 3, offset: 8192, next_sequence: 77 },
        number: 5,
        resource: Resource {
            attributes: vec![("a".into(), Value::Bytes(vec![0, 255])), ("a".into(), Value::Null)],
        },
        span,
        known: Vec::new(),
    }
}

fn decode(bytes: &[u8]) -> Result<DeadLetter, String> {
    DeadLetter::decode(bytes, Path::new("/s/l")).map_err(|error| error.to_string())
}

proptest::proptest! {
    #[test]
    fn a_letter_is_read_as_it_was_written(span in arbitrary::span()) {
        // Whatever values a span has can be known of it.
        let written = DeadLetter { known: span.attributes.clone(), ..letter(span) };
        let read = decode(&written.encode().unwrap()).unwrap();
        // NaN is equal to nothing, but looks alike.
        proptest::prop_assert_eq!(format!("{read:?}"), format!("{written:?}"));
    }
}

#[test]
fn a_letter_looks_as_the_format_tells() {
    let span = SpanData { name: "step".into(), start_unix_ns: 1, end_unix_ns: 2, ..SpanData::default() };
    let written = letter(span);
    let text = String::from_utf8(written.encode().unwrap()).unwrap();
    let (head, body) = text.split_once('\n').unwrap();
    assert_eq!(head, format!("spanring dead letter 0 {:08x}", crc32c::crc32c(body.as_bytes())));
    let expected = concat!(
        r#"{"sink":"otlp+http://localhost:4318","reason":"it answered 400 Bad Request: \"no\n\u001bname\"","#,
        r#""set_aside_unix_ns":"18446744073709551615","recorder":"0000000000000001-0000000000000002-r","#,
        r#""segment":"3","offset":"8192","next_sequence":"77","number":"5","#,
        r#""resource":[["a",{"$bytes":"AP8="}],["a",null]],"#,
        r#""span":{"trace_id":"00000000000000000000000000000000","span_id":"0000000000000000","name":"step","#,
        r#""start_unix_ns":"1","end_unix_ns":"2"}}"#,
        "\n",
    );
    assert_eq!(body, expected);
    let known = DeadLetter { known: vec![("totals".into(), Value::U64(7))], ..written.clone() };
    let text = String::from_utf8(known.encode().unwrap()).unwrap();
    assert!(text.ends_with("\"end_unix_ns\":\"2\"},\"known\":{\"totals\":7}}\n"), "{text}");
    assert!(layout::is_letter(&written.file_name()), "{}", written.file_name());
}

#[test]
fn a_letter_that_was_cut_or_has_one_bit_changed_is_refused() {
    let bytes = letter(SpanData { name: "step".into(), ..SpanData::default() }).encode().unwrap();
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "cut to {len} bytes");
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&changed).is_err(), "bit {bit}");
    }
}

#[test]
fn what_is_no_letter_is_said_to_be_none_without_showing_it() {
    let with_body =
        |body: &str| format!("spanring dead letter 0 {:08x}\n{body}", crc32c::crc32c(body.as_bytes()));
    for (bytes, expected) in [
        (String::new(), "/s/l is damaged at byte 0: it does not begin as a dead letter does"),
        ("spanring dead letter 0 ".into(), "/s/l is damaged at byte 23: the checksum does not fit"),
        (
            with_body("{\"secret\":1}"),
            "/s/l is damaged at byte 32: what the checksum fits is no dead letter in JSON",
        ),
        (with_body("secret"), "/s/l is damaged at byte 32: what the checksum fits is no dead letter in JSON"),
        (
            "spanring dead letter 1 x".into(),
            "/s/l was written by a later version of spanring, and is left alone",
        ),
    ] {
        assert_eq!(decode(bytes.as_bytes()).unwrap_err(), expected);
    }
}
