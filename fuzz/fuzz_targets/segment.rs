//! A segment, damaged as disks and power cuts do it.
#![no_main]

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring_fuzz::{Damage, closed_spool, files};
use spanring_spool::{RecorderId, SpanData, SpoolDir};

/// The two copies of a segment's header.
const HEADERS: [Range<usize>; 2] = [0..128, 4096..4224];
/// Where the first block starts.
const BLOCKS_AT: u64 = 8192;

struct Template {
    spool: SpoolDir,
    recorder: RecorderId,
    path: PathBuf,
    bytes: Vec<u8>,
    blocks: Vec<(Range<usize>, Vec<SpanData>)>,
}

static TEMPLATE: OnceLock<Template> = OnceLock::new();

#[derive(Arbitrary, Debug)]
struct Input {
    first: Damage,
    second: Option<Damage>,
}

fuzz_target!(init: { TEMPLATE.set(template()).ok().expect("made once") }, |input: Input| {
    let Template { spool, recorder, path, bytes, blocks } = TEMPLATE.get().expect("it is made first");
    let mut damaged = bytes.clone();
    input.first.apply(&mut damaged);
    if let Some(second) = input.second {
        second.apply(&mut damaged);
    }
    fs::write(path, &damaged).expect("the segment can be written");

    let mut reader = spool.reader(recorder).expect("the recorder is there");
    let mut read = Vec::new();
    while let Some(block) = reader.next_block().expect("damage is no error") {
        read.extend(block.spans);
    }
    let is_whole = |range: &Range<usize>| damaged.get(range.clone()) == bytes.get(range.clone());
    let mut rest = &read[..];
    for (range, written) in blocks {
        match rest.strip_prefix(&written[..]) {
            Some(behind) => rest = behind,
            None => assert!(!is_whole(range) || !HEADERS.iter().any(is_whole), "a whole block is read"),
        }
    }
    assert!(rest.is_empty(), "nothing is read that was not written, and nothing twice");
    if read.len() == blocks.iter().map(|(_, spans)| spans.len()).sum::<usize>() {
        return;
    }
    assert!(damaged != *bytes, "nothing is left out without a cause");
});

fn template() -> Template {
    let (spool, recorder) = closed_spool();
    let (path, bytes) = files(&spool.recorder_path(&recorder), "0").remove(0);
    let mut reader = spool.reader(&recorder).expect("the recorder is there");
    let (mut blocks, mut start) = (Vec::new(), BLOCKS_AT);
    while let Some(block) = reader.next_block().expect("the segment is whole") {
        assert_eq!(block.position.segment, 1, "all fits one segment");
        let at = |offset: u64| usize::try_from(offset).expect("a segment fits memory");
        blocks.push((at(start)..at(block.position.offset), block.spans));
        start = block.position.offset;
    }
    assert!(blocks.len() > 3);
    Template { spool, recorder, path, bytes, blocks }
}
