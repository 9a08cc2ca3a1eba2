//! The content of a block whose checksum is right: as a later version, or somebody hostile, would write it.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring_fuzz::{closed_spool, files};
use spanring_spool::{RecorderId, SpoolDir};

// See the segment format in `spool/src/segment.rs`.
const NONCE_AT: usize = 16;
const BLOCKS_AT: usize = 8192;
const FRAME_HEADER_LEN: usize = 40;
const LEDGER_LEN: usize = 192;
const CODEC_AT: usize = 13;
const RINGS_AT: usize = 14;
const ROWS_AT: usize = 24;
const RAW_LEN_AT: usize = 28;
const PAYLOAD_LEN_AT: usize = 32;
const STORED: u8 = 0;

struct Template {
    spool: SpoolDir,
    recorder: RecorderId,
    path: PathBuf,
    /// The segment's headers.
    headers: Vec<u8>,
    /// A block's header and ledger, without rings.
    frame: Vec<u8>,
    /// Its content before compression.
    payload: Vec<u8>,
    rows: u32,
}

static TEMPLATE: OnceLock<Template> = OnceLock::new();

#[derive(Arbitrary, Debug)]
struct Input {
    edits: Vec<Edit>,
    rows: Option<u32>,
    raw_len: Option<u32>,
    codec: Option<u8>,
    rings: Option<u16>,
}

#[derive(Arbitrary, Debug)]
struct Edit {
    at: u32,
    removed: u8,
    inserted: Vec<u8>,
}

fuzz_target!(init: { TEMPLATE.set(template()).ok().expect("made once") }, |input: Input| {
    let template = TEMPLATE.get().expect("it is made first");
    let mut payload = template.payload.clone();
    for edit in input.edits.iter().take(16) {
        let at = edit.at as usize % (payload.len() + 1);
        let end = payload.len().min(at + usize::from(edit.removed));
        payload.splice(at..end, edit.inserted.iter().copied());
    }
    let rows = input.rows.unwrap_or(template.rows);
    let raw_len = input.raw_len.unwrap_or(u32::try_from(payload.len()).expect("an input is small"));
    template.write(&payload, rows, raw_len, input.codec.unwrap_or(STORED), input.rings.unwrap_or(0));

    let mut reader = template.spool.reader(&template.recorder).expect("the recorder is there");
    let mut read = 0;
    while let Some(block) = reader.next_block().expect("damage is no error") {
        read += block.spans.len() + block.starts.len();
    }
    assert!(read == 0 || read == rows as usize, "{read} of {rows} rows are read");
    let is_untouched = input.edits.iter().all(|edit| edit.removed == 0 && edit.inserted.is_empty());
    if is_untouched && (input.rows, input.raw_len, input.codec, input.rings) == (None, None, None, None) {
        assert_eq!(read, template.rows as usize, "what is right is read");
    }
    assert!(read > 0 || rows == 0 || reader.skipped().is_damage(), "what is not read is counted");
});

impl Template {
    fn write(&self, payload: &[u8], rows: u32, raw_len: u32, codec: u8, rings: u16) {
        let mut frame = self.frame.clone();
        frame[CODEC_AT] = codec;
        put(&mut frame, RINGS_AT, &rings.to_le_bytes());
        put(&mut frame, ROWS_AT, &rows.to_le_bytes());
        put(&mut frame, RAW_LEN_AT, &raw_len.to_le_bytes());
        put(
            &mut frame,
            PAYLOAD_LEN_AT,
            &u32::try_from(payload.len()).expect("an input is small").to_le_bytes(),
        );
        frame.extend_from_slice(payload);
        frame.resize(frame.len().next_multiple_of(8), 0);
        let len = u32::try_from(frame.len()).expect("an input is small").to_le_bytes();
        put(&mut frame, 0, &len);
        let mut place = self.headers[NONCE_AT..NONCE_AT + 8].to_vec();
        place.extend(u64::try_from(BLOCKS_AT).expect("it is small").to_le_bytes());
        place.extend(len);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&place), &frame[8..]);
        put(&mut frame, 4, &crc.to_le_bytes());
        fs::write(&self.path, [&self.headers[..], &frame].concat()).expect("the segment can be written");
    }
}

fn put(bytes: &mut [u8], at: usize, word: &[u8]) {
    bytes[at..at + word.len()].copy_from_slice(word);
}

fn template() -> Template {
    let (spool, recorder) = closed_spool();
    let (path, bytes) = files(&spool.recorder_path(&recorder), "0").remove(0);
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    let (rows, raw_len) = (word(BLOCKS_AT + ROWS_AT), word(BLOCKS_AT + RAW_LEN_AT) as usize);
    let rings =
        usize::from(u16::from_le_bytes([bytes[BLOCKS_AT + RINGS_AT], bytes[BLOCKS_AT + RINGS_AT + 1]]));
    let payload_at = BLOCKS_AT + FRAME_HEADER_LEN + LEDGER_LEN + 24 * rings;
    let payload = &bytes[payload_at..payload_at + word(BLOCKS_AT + PAYLOAD_LEN_AT) as usize];
    let payload = match bytes[BLOCKS_AT + CODEC_AT] {
        STORED => payload.to_vec(),
        _ => zstd::bulk::decompress(payload, raw_len).expect("the block is whole"),
    };
    Template {
        headers: bytes[..BLOCKS_AT].to_vec(),
        frame: bytes[BLOCKS_AT..BLOCKS_AT + FRAME_HEADER_LEN + LEDGER_LEN].to_vec(),
        spool,
        recorder,
        path,
        payload,
        rows,
    }
}
