//! Spans that a sink refused, damaged, and in JSON that nobody wrote.
#![no_main]

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring_fuzz::{Damage, closed_spool};
use spanring_spool::{DeadLetter, Error, Position, Reader, Resource};

struct Template {
    bytes: Vec<u8>,
    letter: DeadLetter,
}

static TEMPLATE: OnceLock<Template> = OnceLock::new();

#[derive(Arbitrary, Debug)]
enum Input {
    Damaged(Damage),
    /// A letter's JSON, damaged, behind a checksum that is right.
    Forged(Damage),
    /// JSON, perhaps, behind a checksum that is right.
    MadeUp(Vec<u8>),
}

fuzz_target!(init: { TEMPLATE.set(template()).ok().expect("made once") }, |input: Input| {
    let Template { bytes, letter } = TEMPLATE.get().expect("it is made first");
    match input {
        Input::Damaged(damage) => {
            let mut damaged = bytes.clone();
            damage.apply(&mut damaged);
            if let Ok(read) = decode(&damaged) {
                assert_eq!(format!("{read:?}"), format!("{letter:?}"), "it is the truth, or an error");
            }
        }
        Input::Forged(damage) => {
            let head_len = bytes.iter().position(|&byte| byte == b'\n').expect("a letter has lines") + 1;
            let mut json = bytes[head_len..].to_vec();
            damage.apply(&mut json);
            read_again(&json);
        }
        Input::MadeUp(json) => read_again(&json),
    }
});

fn read_again(json: &[u8]) {
    if let Ok(read) = decode(&file(json)) {
        let json = serde_json::to_vec(&read).expect("what was read can be written");
        let again = decode(&file(&json)).expect("what was written can be read");
        assert_eq!(format!("{again:?}"), format!("{read:?}"), "it is read as it was written");
    }
}

fn decode(bytes: &[u8]) -> Result<DeadLetter, Error> {
    DeadLetter::decode(bytes, Path::new("letter"))
}

// See the dead letter format in `spool/src/dead_letters.rs`.
fn file(json: &[u8]) -> Vec<u8> {
    [format!("spanring dead letter 0 {:08x}\n", crc32c::crc32c(json)).as_bytes(), json].concat()
}

fn template() -> Template {
    let (spool, recorder) = closed_spool();
    let span = Reader::open(spool.path()).expect("the spool is there").next().expect("it holds a span");
    let letter = DeadLetter {
        sink: "otlp+http://localhost:4318".into(),
        reason: "it answered 400 Bad Request".into(),
        set_aside_unix_ns: 1,
        recorder,
        block: Position::default(),
        number: 0,
        resource: Resource::named("fuzz"),
        span: span.expect("it can be read"),
        known: vec![("totals".into(), 7_u64.into())],
    };
    let bytes = file(&serde_json::to_vec(&letter).expect("it can be written"));
    Template { letter: decode(&bytes).expect("the letter is whole"), bytes }
}
