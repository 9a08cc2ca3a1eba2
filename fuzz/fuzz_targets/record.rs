//! One record of a ring, made up altogether.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanring::record::{Body, Entry, Record, Scalar, Text};

fuzz_target!(|bytes: &[u8]| {
    let Ok((record, len)) = Record::parse(bytes) else { return };
    assert!(len <= bytes.len() && len.is_multiple_of(8) && len > 0);
    let (again, _) = Record::parse(&bytes[..len]).expect("what is behind a record does not matter");
    assert_eq!(format!("{record:?}"), format!("{again:?}"));
    if let Record::Ended { body, .. } | Record::Started { body } = record {
        assert!(content_len(&body) <= len, "what is read lies within the record");
    }
});

fn content_len(body: &Body<'_>) -> usize {
    let text_len = |text: &Text<'_>| if let Text::Inline(text) = text { text.len() } else { 0 };
    let entries = body.entries().map_while(Result::ok).map(|entry| match entry {
        Entry::Attribute { key, value, .. } => {
            text_len(&key)
                + match value {
                    Scalar::Str(content) | Scalar::Bytes(content) | Scalar::Packed(content) => content.len(),
                    Scalar::Bool(_) | Scalar::I64(_) | Scalar::U64(_) | Scalar::F64(_) | Scalar::Failed => 0,
                }
        }
        Entry::Event { name, .. } => text_len(&name),
        Entry::Link { .. } => 24,
        Entry::Deadline { .. } | Entry::Started { .. } => 8,
        Entry::Name { text } | Entry::StatusMessage { text, .. } => text.len(),
    });
    text_len(&body.head.name) + entries.sum::<usize>()
}
