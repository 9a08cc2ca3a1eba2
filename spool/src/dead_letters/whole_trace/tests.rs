use std::io::Cursor;

use super::*;
use crate::trace::tests::arbitrary;

fn trace(spans: usize) -> DeadTrace {
    DeadTrace {
        sink: "prela+http://localhost:8000/v1/traces".into(),
        reason: "it answered 413: \"too\n\u{1b}large\"".into(),
        set_aside_unix_ns: u64::MAX,
        recorder: RecorderId::from_parts(1, 2).recovery(),
        block: Position { segment: 3, offset: 8192, next_sequence: 77 },
        number: 5,
        resource: Resource { attributes: vec![("a".into(), Value::Bytes(vec![0, 255]))] },
        trace_id: TraceId::from_bytes([7; 16]),
        spans: spans as u64,
    }
}

fn span(name: &str) -> SpanData {
    SpanData { name: name.into(), start_unix_ns: 1, end_unix_ns: 2, ..SpanData::default() }
}

/// The file of a trace, as it is set aside in a spool.
fn written(spans: &[SpanData]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let letters = crate::SpoolDir::open(spool(dir.path())).unwrap().dead_letters();
    let trace = trace(spans.len());
    let mut new = letters.begin_trace(&trace, DeadTrace::len_of(spans).unwrap()).unwrap().unwrap();
    spans.chunks(2).for_each(|chunk| new.add(chunk).unwrap());
    assert!(new.end().unwrap());
    let [name] = letters.names().unwrap().try_into().unwrap();
    assert!(name.is_trace());
    std::fs::read(letters.dir.join(&name.0)).unwrap()
}

fn spool(path: &Path) -> &Path {
    drop(crate::Spool::open(path).start().unwrap());
    path
}

fn decode(bytes: &[u8]) -> Result<(DeadTrace, Vec<SpanData>), String> {
    let read = || {
        let (trace, mut spans) = DeadTrace::decode(Cursor::new(bytes), Path::new("/s/l"))?;
        let mut all = Vec::new();
        while let Some(span) = spans.next_span()? {
            all.push(span);
        }
        spans.rewind()?;
        let mut again = 0;
        while spans.next_span()?.is_some() {
            again += 1;
        }
        assert_eq!(again, all.len());
        Ok((trace, all))
    };
    read().map_err(|error: Error| error.to_string())
}

/// A file whose checksums are right.
fn with_checksums(about: &str, spans: &[&str]) -> Vec<u8> {
    let about = format!("{about}\n");
    let mut checksum = crc32c::crc32c(about.as_bytes());
    let mut file = format!("spanring dead trace 0 {checksum:08x}\n{about}");
    for span in spans {
        let line = format!(" {span}\n");
        checksum = crc32c::crc32c_append(checksum, line.as_bytes());
        file += &format!("{checksum:08x}{line}");
    }
    file.into_bytes()
}

#[test]
fn a_trace_looks_as_the_format_tells() {
    let text = String::from_utf8(written(&[span("one"), span("two")])).unwrap();
    let about = concat!(
        r#"{"sink":"prela+http://localhost:8000/v1/traces","reason":"it answered 413: \"too\n\u001blarge\"","#,
        r#""set_aside_unix_ns":"18446744073709551615","recorder":"0000000000000001-0000000000000002-r","#,
        r#""segment":"3","offset":"8192","next_sequence":"77","number":"5","#,
        r#""resource":{"a":{"$bytes":"AP8="}},"trace_id":"07070707070707070707070707070707","spans":"2"}"#,
    );
    let of = |name: &str| {
        format!(
            r#"{{"trace_id":"00000000000000000000000000000000","span_id":"0000000000000000","name":"{name}","start_unix_ns":"1","end_unix_ns":"2"}}"#
        )
    };
    assert_eq!(text.as_bytes(), with_checksums(about, &[&of("one"), &of("two")]), "{text}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn a_trace_is_read_as_it_was_written(spans in proptest::collection::vec(arbitrary::span(), 1..5)) {
        let read = decode(&written(&spans)).unwrap();
        // NaN is equal to nothing, but looks alike.
        proptest::prop_assert_eq!(format!("{read:?}"), format!("{:?}", (trace(spans.len()), spans)));
    }
}

#[test]
fn a_trace_that_was_cut_or_has_one_bit_changed_is_refused() {
    let bytes = written(&[span("one"), span("two")]);
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "cut to {len} bytes");
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&changed).is_err(), "bit {bit}");
    }
    // Lines that are whole, and in another place.
    let mut lines: Vec<_> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    lines.swap(2, 3);
    assert!(decode(&lines.concat()).unwrap_err().ends_with("the checksum does not fit"));
}

#[test]
fn what_is_no_trace_is_said_to_be_none_without_showing_it() {
    let whole = String::from_utf8(written(&[span("one")])).unwrap();
    let (about, line) = (whole.lines().nth(1).unwrap(), &whole.lines().nth(2).unwrap()[9..]);
    let behind = |reason: &str, lines: &[&str]| {
        let at = with_checksums(about, lines).len();
        format!("/s/l is damaged at byte {at}: {reason}")
    };
    for (bytes, expected) in [
        (Vec::new(), "/s/l is damaged at byte 0: it does not begin as a dead trace does".to_owned()),
        (
            b"spanring dead letter 0 12345678\n{}\n".to_vec(),
            "/s/l is damaged at byte 0: it does not begin as a dead trace does".into(),
        ),
        (b"spanring dead trace 0 ".to_vec(), "/s/l is damaged at byte 22: the checksum does not fit".into()),
        (
            with_checksums("secret", &[]),
            "/s/l is damaged at byte 31: what the checksum fits is nothing that is said of a trace".into(),
        ),
        (
            b"spanring dead trace 1 x".to_vec(),
            "/s/l was written by a later version of spanring, and is left alone".into(),
        ),
        (with_checksums(about, &[]), behind("there are fewer spans than it says", &[])),
        (with_checksums(about, &[line, line]), behind("there is more than it says", &[line])),
        (with_checksums(about, &["secret"]), behind("what the checksum fits is no span in JSON", &[])),
        (with_checksums(about, &[""]), behind("what the checksum fits is no span in JSON", &[])),
    ] {
        assert_eq!(decode(&bytes).unwrap_err(), expected);
    }
}

#[test]
fn a_value_that_is_nested_too_deep_is_not_set_aside() {
    let deep = (0..200).fold(Value::Null, |value, _| Value::List(vec![value]));
    let deep = SpanData { attributes: vec![("deep".into(), deep)], ..span("deep") };
    assert!(matches!(DeadTrace::len_of(&[deep]), Err(Error::NoForm { .. })));
}
