//! The place of a sink, damaged.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring_fuzz::{Damage, directory, files};
use spanring_spool::{Cursor, CursorState, Position};

const SINK: &str = "otlp+http://localhost:4318";

struct Template {
    dir: PathBuf,
    path: PathBuf,
    bytes: Vec<u8>,
}

static TEMPLATE: OnceLock<Template> = OnceLock::new();

#[derive(Arbitrary, Debug)]
enum Input {
    Damaged(Damage, Option<Damage>),
    MadeUp(Vec<u8>),
}

fuzz_target!(init: { TEMPLATE.set(template()).ok().expect("made once") }, |input: Input| {
    let Template { dir, path, bytes } = TEMPLATE.get().expect("it is made first");
    let bytes = match &input {
        Input::Damaged(first, second) => {
            let mut bytes = bytes.clone();
            first.apply(&mut bytes);
            second.iter().for_each(|second| second.apply(&mut bytes));
            bytes
        }
        Input::MadeUp(bytes) => bytes.clone(),
    };
    fs::write(path, bytes).expect("the cursor can be written");
    if let Ok(seen) = Cursor::peek(dir, SINK)
        && let Input::Damaged(..) = input
    {
        assert!([CursorState::default(), state(1), state(2)].contains(&seen), "{seen:?} was never stored");
    }
    if let Ok(mut cursor) = Cursor::open(dir, SINK) {
        cursor.store(state(3)).expect("there is room for it");
        drop(cursor);
        assert_eq!(Cursor::peek(dir, SINK).expect("it was just stored"), state(3));
    }
});

fn state(number: u64) -> CursorState {
    let position = Position { segment: number, offset: 8192 * number, next_sequence: 100 * number };
    let ahead = Position { segment: 2 * number, ..position };
    CursorState {
        position,
        ahead,
        settled: number % 3,
        clock: 5 * number,
        endless: 11 * number,
        delivered: 90 * number,
        dead_lettered: 7 * number,
        dropped: 3 * number,
    }
}

fn template() -> Template {
    let dir = directory();
    let mut cursor = Cursor::open(&dir, SINK).expect("a cursor can be made");
    cursor.store(state(1)).expect("there is room for it");
    cursor.store(state(2)).expect("there is room for it");
    drop(cursor);
    let (path, bytes) = files(&dir, "cursor-").remove(0);
    Template { dir, path, bytes }
}
