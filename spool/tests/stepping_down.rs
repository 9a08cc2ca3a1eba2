//! A drain that is behind spends less on its blocks, and drops nothing as long as the disk takes them.

mod storage;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use spanring::Ended;
use spanring_spool::{Level, Reader, Spool};
use storage::{ENOSPC, FaultyStorage, Kind};

const TIMEOUT: Duration = Duration::from_secs(60);
const RING_LEN: usize = 1 << 20;
/// The text of a span; with it, a record is less than 100 bytes longer.
const TEXT_LEN: usize = 4000;
// See the segment format in `src/segment.rs`.
const BLOCKS_AT: usize = 8192;
const KIND_AT: usize = 12;
const CODEC_AT: usize = 13;

/// How each block is stored, in order: 0 as it is, 1 compressed.
fn codecs(recorder: &Path) -> Vec<u8> {
    let mut segments: Vec<_> = fs::read_dir(recorder).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    segments.sort();
    let mut codecs = Vec::new();
    for bytes in segments.iter().map(|path| fs::read(path).unwrap()) {
        let mut frames = bytes.get(BLOCKS_AT..).unwrap_or_default();
        while let Some(len) = frames.first_chunk().map(|&len| u32::from_le_bytes(len) as usize)
            && len > 0
        {
            codecs.extend((frames[KIND_AT] == 1).then_some(frames[CODEC_AT]));
            frames = &frames[len..];
        }
    }
    codecs
}

fn record(spans: usize) {
    for _ in 0..spans {
        let span = spanring::span("chat").start();
        span.set("text", "word ".repeat(TEXT_LEN / 5));
        assert_eq!(span.end(), Ended::Recorded);
    }
}

#[test]
fn a_drain_that_is_behind_stores_blocks_rather_than_dropping_spans_and_compresses_again_afterwards() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let storage = FaultyStorage::new(dir.path());
    let path = dir.path().join("spool");
    let spool = Spool::open(&path).ring_bytes(RING_LEN).rings(1, 1).storage(Arc::new(storage.clone()));
    let spool = spool.start().unwrap();
    let recorder = path.join(spool.id().to_string());

    // The drain has a block in hand that the disk does not take, while more than four fifths of the ring are filled.
    storage.fail_from(Kind::Write, 1, ENOSPC);
    let before = storage.count(Kind::Write);
    record(1);
    let began = Instant::now();
    while storage.count(Kind::Write) == before {
        assert!(began.elapsed() < TIMEOUT, "the drain writes what was recorded");
        thread::sleep(Duration::from_millis(1));
    }
    let spans = RING_LEN * 9 / 10 / (TEXT_LEN + 100);
    record(spans);
    storage.heal();
    spool.flush(Level::Spooled, TIMEOUT).unwrap();
    let behind = codecs(&recorder);
    assert!(behind.contains(&0), "{behind:?}");

    // Now that the ring is empty, a block is compressed again.
    record(1);
    spool.flush(Level::Spooled, TIMEOUT).unwrap();
    let after = codecs(&recorder);
    assert!(after.len() > behind.len() && after.ends_with(&[1]), "{after:?}");

    assert_eq!(spool.ledger().dropped.total(), 0);
    let report = spool.stop(TIMEOUT);
    assert!(report.is_complete, "{report}");
    assert_eq!(Reader::open(&path).unwrap().map(Result::unwrap).count(), spans + 2);
}
