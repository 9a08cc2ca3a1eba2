//! What a process was, damaged.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring_fuzz::{Damage, closed_spool};
use spanring_spool::{RecorderId, Resource, SpoolDir};

// See the resource format in `spool/src/resource.rs`.
const CRC_AT: usize = 12;
const LEN_AT: usize = 16;
const HEADER_LEN: usize = 24;

struct Template {
    spool: SpoolDir,
    recorder: RecorderId,
    path: PathBuf,
    bytes: Vec<u8>,
    resource: Resource,
}

static TEMPLATE: OnceLock<Template> = OnceLock::new();

#[derive(Arbitrary, Debug)]
enum Input {
    Damaged(Damage),
    /// MessagePack, perhaps, with a header that is right.
    MadeUp(Vec<u8>),
}

fuzz_target!(init: { TEMPLATE.set(template()).ok().expect("made once") }, |input: Input| {
    let Template { spool, recorder, path, bytes, resource } = TEMPLATE.get().expect("it is made first");
    match input {
        Input::Damaged(damage) => {
            let mut damaged = bytes.clone();
            damage.apply(&mut damaged);
            fs::write(path, damaged).expect("the file can be written");
            if let Ok(read) = spool.resource(recorder) {
                assert_eq!(read, *resource, "it is the truth, or an error");
            }
        }
        Input::MadeUp(map) => {
            let mut file = [&bytes[..HEADER_LEN], &map].concat();
            let len = u32::try_from(map.len()).expect("an input is small");
            file[LEN_AT..LEN_AT + 4].copy_from_slice(&len.to_le_bytes());
            let crc = crc32c::crc32c_append(crc32c::crc32c(&file[..CRC_AT]), &file[CRC_AT + 4..]);
            file[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
            fs::write(path, file).expect("the file can be written");
            if let Ok(read) = spool.resource(recorder) {
                assert!(read.attributes.len() <= map.len(), "an attribute takes at least a byte");
            }
        }
    }
});

fn template() -> Template {
    let (spool, recorder) = closed_spool();
    let path = spool.recorder_path(&recorder).join("resource");
    let bytes = fs::read(&path).expect("the resource is there");
    let resource = spool.resource(&recorder).expect("the resource is whole");
    Template { spool, recorder, path, bytes, resource }
}
