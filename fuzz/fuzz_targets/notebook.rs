//! What a sink has noted, damaged.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring_fuzz::{Damage, directory, files};
use spanring_spool::{Note, Notebook};

const SINK: &str = "prefactor+http://localhost:8000";

struct Template {
    dir: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    notes: Vec<Note>,
}

static TEMPLATE: OnceLock<Template> = OnceLock::new();

#[derive(Arbitrary, Debug)]
enum Input {
    /// Which file, and how.
    Damaged(bool, Damage, Option<Damage>),
    MadeUp(Vec<u8>),
}

fuzz_target!(init: { TEMPLATE.set(template()).ok().expect("made once") }, |input: Input| {
    let Template { dir, files: whole, notes } = TEMPLATE.get().expect("it is made first");
    for (path, _) in files(dir, "notes-") {
        fs::remove_file(path).expect("the last round has left it");
    }
    for (nth, (path, bytes)) in whole.iter().enumerate() {
        let mut bytes = bytes.clone();
        match &input {
            Input::Damaged(is_first, first, second) if *is_first == (nth == 0) => {
                first.apply(&mut bytes);
                second.iter().for_each(|second| second.apply(&mut bytes));
            }
            Input::MadeUp(made_up) if nth == 0 => bytes.clone_from(made_up),
            Input::Damaged(..) | Input::MadeUp(_) => {}
        }
        fs::write(path, bytes).expect("the file can be written");
    }
    let Ok((mut notebook, noted)) = Notebook::open(dir, SINK) else { return };
    if let Input::Damaged(..) = input {
        let mut written = notes.iter();
        let are_in_order = noted.notes.iter().all(|note| written.any(|written| written == note));
        assert!(are_in_order, "what is read was written, in that order");
        assert!(noted.damage.len() < 2, "one file is damaged: {:?}", noted.damage);
    }
    let more = [note(1_000), note(1_001)];
    notebook.append(&more).expect("there is room for it");
    drop(notebook);
    let (_, again) = Notebook::open(dir, SINK).expect("it was open just now");
    assert_eq!(again.notes, [&noted.notes[..], &more].concat(), "what was there is there, and the new behind it");
});

fn note(number: u64) -> Note {
    let len = usize::try_from(number % 200).expect("a small number");
    Note { key: number.to_le_bytes().to_vec(), value: vec![b'v'; len] }
}

fn template() -> Template {
    let dir = directory();
    let (mut notebook, _) = Notebook::open(&dir, SINK).expect("a notebook can be made");
    let notes: Vec<_> = (0..200).map(note).collect();
    notebook.append(&notes).expect("there is room for it");
    drop(notebook);
    let files = files(&dir, "notes-");
    assert_eq!(files.len(), 2, "it has turned to another file");
    Template { dir, files, notes }
}
