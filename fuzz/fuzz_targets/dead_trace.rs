//! Traces that a sink refused as a whole, damaged, and in JSON that nobody wrote.
#![no_main]

use std::io::Cursor;
use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring::TraceId;
use spanring_fuzz::{Damage, closed_spool};
use spanring_spool::{DeadTrace, Error, Letter, Position, Reader, Resource, SpanData, SpoolDir};

struct Template {
    bytes: Vec<u8>,
    read: String,
}

static TEMPLATE: OnceLock<Template> = OnceLock::new();

#[derive(Arbitrary, Debug)]
enum Input {
    Damaged(Damage),
    /// Lines, perhaps of JSON, behind checksums that are right.
    MadeUp(Vec<Vec<u8>>),
}

fuzz_target!(init: { TEMPLATE.set(template()).ok().expect("made once") }, |input: Input| {
    let Template { bytes, read } = TEMPLATE.get().expect("it is made first");
    match input {
        Input::Damaged(damage) => {
            let mut damaged = bytes.clone();
            damage.apply(&mut damaged);
            if let Ok(damaged) = decode(&damaged) {
                assert_eq!(format!("{damaged:?}"), *read, "it is the truth, or an error");
            }
        }
        Input::MadeUp(lines) => {
            if let Ok((trace, spans)) = decode(&file(&lines)) {
                assert_eq!(trace.spans, spans.len() as u64, "it has as many spans as it says");
            }
        }
    }
});

fn decode(bytes: &[u8]) -> Result<(DeadTrace, Vec<SpanData>), Error> {
    let (trace, mut spans) = DeadTrace::decode(Cursor::new(bytes), Path::new("letter"))?;
    let mut all = Vec::new();
    while let Some(span) = spans.next_span()? {
        all.push(span);
    }
    Ok((trace, all))
}

// See the dead letter format in `spool/src/dead_letters.rs`.
fn file(lines: &[Vec<u8>]) -> Vec<u8> {
    let about = [lines.first().map_or(&[][..], Vec::as_slice), b"\n"].concat();
    let mut checksum = crc32c::crc32c(&about);
    let mut file = format!("spanring dead trace 0 {checksum:08x}\n").into_bytes();
    file.extend(about);
    for line in lines.iter().skip(1) {
        let line = [b" ", line.as_slice(), b"\n"].concat();
        checksum = crc32c::crc32c_append(checksum, &line);
        file.extend(format!("{checksum:08x}").into_bytes());
        file.extend(line);
    }
    file
}

fn template() -> Template {
    let (spool, recorder) = closed_spool();
    let spans: Vec<_> = Reader::open(spool.path())
        .expect("the spool is there")
        .map(|span| span.expect("it can be read"))
        .collect();
    let trace = DeadTrace {
        sink: "prela+http://localhost:8000/v1/traces".into(),
        reason: "it answered 413 Payload Too Large".into(),
        set_aside_unix_ns: 1,
        recorder,
        block: Position::default(),
        number: 0,
        resource: Resource::named("fuzz"),
        trace_id: TraceId::from_bytes([7; 16]),
        spans: spans.len() as u64,
    };
    let letters = SpoolDir::open(spool.path()).expect("the spool is there").dead_letters();
    let len = DeadTrace::len_of(&spans).expect("they have a form");
    let mut new = letters.begin_trace(&trace, len).expect("there is room").expect("there is none yet");
    new.add(&spans).expect("there is room");
    new.end().expect("all are there");
    let [name] = letters.names().expect("they are there").try_into().expect("there is one");
    assert!(matches!(letters.open(&name), Ok(Some(Letter::Trace(..)))));
    let bytes = std::fs::read(spool.path().join(format!("dead-letters/{name}"))).expect("it is there");
    Template { read: format!("{:?}", decode(&bytes).expect("the letter is whole")), bytes }
}
