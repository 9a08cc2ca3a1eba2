//! Claims about reading: every row once, in order, and whatever is missing is counted.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use spanring::clock::Timeline;
use spanring::record::Time;
use tempfile::TempDir;

use super::recorder::{RecorderReader, last_positions};
use crate::block::{BlockBuilder, Compression};
use crate::body_writer::{BodyWriter, Dictionary, STR};
use crate::segment::{
    BlockHeader, LEDGER_LEN, RingPosition, SEGMENT_HEADER_LEN, Seal, SegmentHeader, encode_block, encode_seal,
};
use crate::{
    Cursor, CursorState, DiskStorage, Position, Reader, RecorderId, SpanRef, SpoolDir, Storage, ValueRef,
    layout,
};

const TIMELINE: Timeline = Timeline { base_ticks: 0, base_unix_ns: 0, ticks_per_second: 1e9 };
const NAMES: Dictionary = Dictionary(&["work", "number"]);

/// A segment that is being written: its bytes, and where its blocks end.
pub(crate) struct Writer {
    number: u64,
    nonce: u64,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Writer {
    pub(crate) fn new(number: u64) -> Self {
        let nonce = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let header = SegmentHeader {
            nonce,
            number,
            created_unix_ns: number,
            boot_id: [0; 16],
            recorder: "recorder".into(),
        };
        Writer { number, nonce, bytes: header.encode(), ends: Vec::new() }
    }

    /// Appends a block of the rows `rows`, each a span of that number.
    pub(crate) fn block(mut self, rows: std::ops::Range<u64>) -> Self {
        let mut builder = BlockBuilder::new();
        for row in rows.clone() {
            let mut body = BodyWriter::new(1, row + 1, Time::UnixNs(row), 0);
            body.entry(STR, 0, 1, row.to_string().as_bytes());
            builder.push_ended(&body.body(), Time::UnixNs(row + 1), &TIMELINE, &NAMES);
        }
        let row_count = builder.rows();
        let payload = builder.finish(Compression::default()).unwrap();
        let mut ledger = [0; LEDGER_LEN];
        ledger[0] = rows.end;
        let lane = u16::try_from(rows.start % 2).unwrap();
        let rings = vec![RingPosition { lane, position: rows.end * 8, ended: rows.end }];
        let header = BlockHeader {
            first_sequence: rows.start,
            rows: row_count,
            raw_len: payload.raw_len,
            codec: payload.codec,
            ledger,
            rings,
        };
        let offset = self.bytes.len() as u64;
        encode_block(&header, &payload.bytes, self.nonce, offset, &mut self.bytes);
        self.ends.push(self.bytes.len());
        self
    }

    fn seal(mut self) -> Self {
        let seal = Seal { blocks: self.ends.len() as u64, rows: 0, first_sequence: 0, next_sequence: 0 };
        let offset = self.bytes.len() as u64;
        encode_seal(&seal, self.nonce, offset, &mut self.bytes);
        self
    }

    fn path(&self, dir: &Path) -> PathBuf {
        dir.join(layout::segment(self.number))
    }

    /// Writes all, with unused space behind.
    pub(crate) fn write(&self, dir: &Path) {
        let mut bytes = self.bytes.clone();
        bytes.resize(bytes.len() + 1000, 0);
        fs::write(self.path(dir), bytes).unwrap();
    }
}

fn recorder(segments: &[Writer]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    segments.iter().for_each(|segment| segment.write(dir.path()));
    dir
}

/// The numbers of all spans that are there to read, and the position behind each block.
fn read(reader: &mut RecorderReader) -> (Vec<u64>, Vec<Position>) {
    let (mut numbers, mut positions) = (Vec::new(), Vec::new());
    while let Some(block) = reader.next_block().unwrap() {
        assert_eq!(block.position.next_sequence - block.first_sequence, block.spans.len() as u64);
        assert!(!block.spans.is_empty(), "a block of nothing new");
        numbers.extend(block.spans.iter().map(|span| span.start_unix_ns));
        positions.push(block.position);
    }
    (numbers, positions)
}

fn read_dead(dir: &TempDir) -> (Vec<u64>, RecorderReader) {
    let mut reader = RecorderReader::open(dir.path(), false).unwrap();
    let (numbers, _) = read(&mut reader);
    let (borrowed, borrowing) = read_borrowed(dir);
    assert_eq!(borrowed.concat(), numbers);
    assert_eq!(borrowing.skipped(), reader.skipped());
    (numbers, reader)
}

/// The numbers of the spans of each block, which are looked at where they lie.
fn read_borrowed(dir: &TempDir) -> (Vec<Vec<u64>>, RecorderReader) {
    let mut reader = RecorderReader::open(dir.path(), false).unwrap();
    let mut numbers = Vec::new();
    while let Some(block) = reader.next_block_ref().unwrap() {
        assert_eq!(block.starts().count(), 0);
        let number = |span: SpanRef<'_>| {
            assert_eq!(span.get("number"), Some(ValueRef::Str(&span.start_unix_ns().to_string())));
            span.start_unix_ns()
        };
        numbers.push(block.spans().map(number).collect());
    }
    (numbers, reader)
}

fn numbers(range: std::ops::Range<u64>) -> Vec<u64> {
    range.collect()
}

#[test]
fn segments_are_read_in_order_and_a_standby_counts_for_nothing() {
    let dir = recorder(&[
        Writer::new(1).block(0..3).block(3..4).seal(),
        Writer::new(2).block(4..9),
        Writer::new(3), // with its header
    ]);
    fs::write(dir.path().join(layout::segment(4)), vec![0; 20_000]).unwrap();
    fs::write(dir.path().join(layout::segment(5)), b"").unwrap();
    fs::write(dir.path().join("unrelated"), b"garbage").unwrap();
    let (read, reader) = read_dead(&dir);
    assert_eq!(read, numbers(0..9));
    assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
}

#[test]
fn a_reader_continues_behind_any_block() {
    let dir =
        recorder(&[Writer::new(1).block(0..3).block(3..4).seal(), Writer::new(2).block(4..9).block(9..12)]);
    let (_, positions) = read(&mut RecorderReader::open(dir.path(), false).unwrap());
    for position in positions {
        let mut reader = RecorderReader::open(dir.path(), false).unwrap();
        reader.seek(position);
        assert_eq!(read(&mut reader).0, numbers(position.next_sequence..12));
        assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
    }
}

#[test]
fn a_cursor_survives_the_removal_of_what_it_has_read() {
    let dir = recorder(&[Writer::new(1).block(0..3).seal(), Writer::new(2).block(3..5).seal()]);
    let mut reader = RecorderReader::open(dir.path(), false).unwrap();
    let (_, positions) = read(&mut reader);
    fs::remove_file(dir.path().join(layout::segment(1))).unwrap();
    fs::remove_file(dir.path().join(layout::segment(2))).unwrap();
    Writer::new(3).block(5..6).write(dir.path());
    assert_eq!(read(&mut reader).0, [5]);
    let mut reopened = RecorderReader::open(dir.path(), false).unwrap();
    reopened.seek(positions[1]);
    assert_eq!(read(&mut reopened).0, [5]);
    // The segment that the cursor stands in is behind it altogether, so nothing of it is missing.
    assert_eq!(reopened.skipped().missing_rows, 0);
}

#[test]
fn rows_that_were_written_again_after_a_failed_sync_are_read_once() {
    let dir = recorder(&[
        Writer::new(1).block(0..3).block(3..6),
        Writer::new(2).block(3..6).block(6..8),
        Writer::new(3).block(5..10), // partly known
    ]);
    let (read, reader) = read_dead(&dir);
    assert_eq!(read, numbers(0..10));
    assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
}

#[test]
fn who_has_read_all_stands_behind_what_was_written_again_too() {
    let dir = recorder(&[Writer::new(1).block(0..3).block(3..6), Writer::new(2).block(0..3).block(3..6)]);
    let mut reader = RecorderReader::open(dir.path(), false).unwrap();
    let (_, positions) = self::read(&mut reader);
    assert_eq!(positions.last().unwrap().segment, 1);
    assert_eq!((reader.position().segment, reader.position().next_sequence), (2, 6));
    let mut reopened = RecorderReader::open(dir.path(), false).unwrap();
    reopened.seek(reader.position());
    assert_eq!(self::read(&mut reopened).0, [0; 0]);
    reopened.seek(positions[1]);
    assert!(reopened.next_block().unwrap().is_some(), "it is not known there that they were read");
}

#[test]
fn a_missing_segment_is_counted_with_its_rows() {
    let dir = recorder(&[Writer::new(1).block(0..3).seal(), Writer::new(3).block(7..9).seal()]);
    let (read, reader) = read_dead(&dir);
    assert_eq!(read, [0, 1, 2, 7, 8]);
    assert_eq!((reader.skipped().missing_segments, reader.skipped().missing_rows), (1, 4));
}

#[test]
fn rows_of_before_the_place_where_reading_began_make_up_for_none_that_are_missing() {
    let dir =
        recorder(&[Writer::new(1).block(0..10), Writer::new(2).block(20..30), Writer::new(3).block(0..10)]);
    let mut reader = RecorderReader::open(dir.path(), false).unwrap();
    let first = reader.next_block().unwrap().unwrap().position;
    let mut reader = RecorderReader::open(dir.path(), false).unwrap();
    reader.seek(first);
    let mut found = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        found.push((block.first_sequence, reader.skipped().missing_rows));
    }
    assert_eq!(found, [(20, 10), (0, 10)]);
}

#[test]
fn what_was_delivered_and_removed_is_not_missing_to_who_only_looks() {
    let at = |segment| Position { segment, ..Position::default() };
    for (cursors, expected) in [
        // Nobody has had them; a sink has had one of them; all of them; another one lags behind, whose exporter may be gone.
        (&[][..], (2, 7)),
        (&[2][..], (2, 7)),
        (&[3][..], (0, 0)),
        (&[1, 5][..], (0, 0)),
    ] {
        let dir = recorder(&[Writer::new(3).block(7..9).seal(), Writer::new(5).block(12..13).seal()]);
        for segment in cursors {
            let mut cursor = Cursor::open(dir.path(), &format!("file:{segment}")).unwrap();
            cursor.store(CursorState { position: at(*segment), ..CursorState::default() }).unwrap();
        }
        let mut reader = RecorderReader::of_bystander(dir.path(), false).unwrap();
        assert_eq!(self::read(&mut reader).0, [7, 8, 12]);
        // The fourth is missing but where somebody has had it.
        let lost = if cursors.contains(&5) { (0, 0) } else { (1, 3) };
        let skipped = reader.skipped();
        let counted = (skipped.missing_segments, skipped.missing_rows);
        assert_eq!(counted, (expected.0 + lost.0, expected.1 + lost.1), "{cursors:?}");
        // Who delivers has to know.
        let (_, reader) = read_dead(&dir);
        assert_eq!((reader.skipped().missing_segments, reader.skipped().missing_rows), (3, 10));
    }
}

#[test]
fn garbage_is_skipped_counted_and_named() {
    let dir = recorder(&[Writer::new(1).block(0..3).seal(), Writer::new(3).block(3..9).seal()]);
    let garbage = dir.path().join(layout::segment(2));
    fs::write(&garbage, [0x5a; 10_000]).unwrap();
    let (read, reader) = read_dead(&dir);
    assert_eq!(read, numbers(0..9));
    let skipped = reader.skipped();
    assert_eq!(
        (skipped.files, skipped.bytes, skipped.missing_segments, skipped.missing_rows),
        (1, 10_000, 0, 0)
    );
    let text = skipped.to_string();
    assert!(text.contains(garbage.to_str().unwrap()) && text.contains("header"), "{text}");
}

#[test]
fn a_damaged_block_costs_its_rows_and_no_others() {
    let segment = Writer::new(1).block(0..3).block(3..7).block(7..9).seal();
    let dir = recorder(&[]);
    let mut bytes = segment.bytes.clone();
    bytes[segment.ends[0] + 300] ^= 0x10;
    fs::write(segment.path(dir.path()), bytes).unwrap();
    let (read, reader) = read_dead(&dir);
    assert_eq!(read, [0, 1, 2, 7, 8]);
    let skipped = reader.skipped();
    let block_len = (segment.ends[1] - segment.ends[0]) as u64;
    assert_eq!((skipped.holes, skipped.bytes, skipped.missing_rows), (1, block_len, 4));
    assert_eq!(skipped.last.as_ref().unwrap().offset, segment.ends[0] as u64);
}

#[test]
fn a_block_whose_payload_makes_no_sense_is_counted() {
    let mut segment = Writer::new(1).block(0..3);
    let header = BlockHeader {
        first_sequence: 3,
        rows: 5,
        raw_len: 4,
        codec: crate::block::Codec::Stored,
        ledger: [0; LEDGER_LEN],
        rings: vec![],
    };
    let offset = segment.bytes.len() as u64;
    encode_block(&header, b"junk", segment.nonce, offset, &mut segment.bytes);
    let dir = recorder(&[segment.block(8..9)]);
    let (read, reader) = read_dead(&dir);
    assert_eq!(read, [0, 1, 2, 8]);
    assert_eq!((reader.skipped().holes, reader.skipped().missing_rows), (1, 5));
    let (blocks, _) = read_borrowed(&dir);
    assert_eq!(blocks, [vec![0, 1, 2], vec![], vec![8]], "it is a block of no spans");
}

#[test]
fn links_and_pipes_under_a_segments_name_are_not_opened() {
    let dir = recorder(&[Writer::new(1).block(0..3).seal(), Writer::new(5).block(3..4)]);
    let elsewhere = recorder(&[Writer::new(2).block(3..9)]);
    std::os::unix::fs::symlink(Writer::new(2).path(elsewhere.path()), Writer::new(2).path(dir.path()))
        .unwrap();
    fs::create_dir(dir.path().join(layout::segment(3))).unwrap();
    let pipe = dir.path().join(layout::segment(4));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
        .unwrap();
    let (read, reader) = read_dead(&dir);
    assert_eq!(read, numbers(0..4));
    assert_eq!(reader.skipped().files, 3);
}

#[test]
fn a_renamed_segment_is_not_read_in_anothers_place() {
    let dir = recorder(&[Writer::new(1).block(0..3).seal()]);
    fs::write(dir.path().join(layout::segment(2)), Writer::new(7).block(3..5).bytes).unwrap();
    let (read, reader) = read_dead(&dir);
    assert_eq!(read, numbers(0..3));
    assert_eq!(reader.skipped().files, 1);
}

#[test]
fn a_live_recorder_is_followed_and_its_incomplete_tail_is_not_damage() {
    let segment = Writer::new(1).block(0..3).block(3..7);
    let first_end = segment.ends[0];
    let dir = tempfile::tempdir().unwrap();
    let mut reader = RecorderReader::open(dir.path(), true).unwrap();
    assert_eq!(reader.next_block().unwrap(), None);

    // The file appears, is extended, gets its header, and then block after block, the length of each last.
    let file = fs::File::create(segment.path(dir.path())).unwrap();
    assert_eq!(reader.next_block().unwrap(), None);
    file.set_len(100_000).unwrap();
    assert_eq!(reader.next_block().unwrap(), None);
    file.write_all_at(&segment.bytes[..SEGMENT_HEADER_LEN], 0).unwrap();
    assert_eq!(reader.next_block().unwrap(), None);
    file.write_all_at(&segment.bytes[SEGMENT_HEADER_LEN..first_end], SEGMENT_HEADER_LEN as u64).unwrap();
    assert_eq!(read(&mut reader).0, numbers(0..3));
    file.write_all_at(&segment.bytes[first_end + 4..], first_end as u64 + 4).unwrap();
    assert_eq!(reader.next_block().unwrap(), None);
    // A length that is there before all of its block can be seen.
    file.write_all_at(&[0], first_end as u64 + 260).unwrap();
    file.write_all_at(&segment.bytes[first_end..first_end + 4], first_end as u64).unwrap();
    assert_eq!(reader.next_block().unwrap(), None);
    assert_eq!(reader.next_block().unwrap(), None);
    assert_eq!(*reader.skipped(), crate::Skipped::default());
    file.write_all_at(&segment.bytes[first_end + 260..=first_end + 260], first_end as u64 + 260).unwrap();
    assert_eq!(read(&mut reader).0, numbers(3..7));
    assert_eq!(*reader.skipped(), crate::Skipped::default());
}

#[test]
fn an_incomplete_tail_is_given_up_once_a_later_segment_is_in_use() {
    let first = Writer::new(1).block(0..3).block(3..7);
    let dir = tempfile::tempdir().unwrap();
    let mut torn = first.bytes.clone();
    torn[first.ends[0] + 300] ^= 1;
    fs::write(first.path(dir.path()), torn).unwrap();
    let mut reader = RecorderReader::open(dir.path(), true).unwrap();
    assert_eq!(read(&mut reader).0, numbers(0..3));
    Writer::new(2).write(dir.path());
    assert_eq!(reader.next_block().unwrap(), None, "a standby ends nothing");
    assert!(!reader.skipped().is_damage());
    Writer::new(2).block(3..8).write(dir.path());
    assert_eq!(read(&mut reader).0, numbers(3..8));
    assert_eq!((reader.skipped().holes, reader.skipped().missing_rows), (1, 0));
}

#[test]
fn an_incomplete_tail_is_given_up_once_its_recorder_is_dead() {
    let segment = Writer::new(1).block(0..3).block(3..7);
    let dir = tempfile::tempdir().unwrap();
    let mut uncommitted = segment.bytes.clone();
    uncommitted[segment.ends[0]..][..4].fill(0);
    fs::write(segment.path(dir.path()), uncommitted).unwrap();
    let mut reader = RecorderReader::open(dir.path(), true).unwrap();
    assert_eq!(read(&mut reader).0, numbers(0..3));
    reader.set_dead();
    assert_eq!(reader.next_block().unwrap(), None);
    assert!(
        !reader.skipped().is_damage() && reader.skipped().uncommitted_bytes > 200,
        "{:?}",
        reader.skipped()
    );
}

#[test]
fn the_last_positions_are_those_of_the_newest_whole_blocks() {
    let last = Writer::new(2).block(7..8).block(8..10);
    let dir = recorder(&[Writer::new(1).block(0..3).block(3..7).seal(), Writer::new(2).block(7..8)]);
    let mut torn = last.bytes.clone();
    torn[last.ends[0] + 300] ^= 1;
    fs::write(last.path(dir.path()), torn).unwrap();

    let positions = last_positions(dir.path()).unwrap();
    assert_eq!((positions.ledger[0], positions.next_sequence), (8, 8));
    let rings =
        positions.rings.values().map(|ring| (ring.lane, ring.position, ring.ended)).collect::<Vec<_>>();
    assert_eq!(rings, [(0, 24, 3), (1, 64, 8)]);
    assert_eq!(positions.skipped.holes, 1);

    let empty = last_positions(tempfile::tempdir().unwrap().path()).unwrap();
    assert_eq!((empty.rings.len(), empty.ledger, empty.next_sequence), (0, [0; LEDGER_LEN], 0));
}

#[test]
fn a_recorder_that_is_not_there_is_an_error_that_names_it() {
    let error = RecorderReader::open(Path::new("/nonexistent/recorder"), false).err().unwrap();
    assert!(error.to_string().starts_with("cannot list /nonexistent/recorder"), "{error}");
}

// A whole spool.

fn spool_with(recorders: &[(u64, Writer)]) -> (TempDir, Vec<RecorderId>) {
    let dir = tempfile::tempdir().unwrap();
    SpoolDir::create(Arc::new(DiskStorage), dir.path()).unwrap();
    let ids = recorders.iter().map(|(created, segment)| {
        let id = RecorderId::from_parts(*created, 7);
        add_recorder(dir.path(), &id, segment);
        id
    });
    let ids = ids.collect();
    (dir, ids)
}

/// Adds a recorder that stopped in order.
fn add_recorder(spool: &Path, id: &RecorderId, segment: &Writer) {
    let recorder = spool.join(id.as_str());
    DiskStorage.create_dir(&recorder).unwrap();
    segment.write(&recorder);
    drop(DiskStorage.create(&recorder.join(layout::CLOSED), 0).unwrap());
}

fn spans_of(reader: &mut Reader) -> Vec<u64> {
    reader.map(|span| span.unwrap().start_unix_ns).collect()
}

#[test]
fn a_spool_is_read_recorder_by_recorder_and_new_ones_are_found() {
    let (dir, ids) = spool_with(&[(2, Writer::new(1).block(0..3)), (1, Writer::new(1).block(0..2))]);
    let mut reader = Reader::open(dir.path()).unwrap();
    assert_eq!(spans_of(&mut reader), [0, 1, 0, 1, 2]);
    assert_eq!(spans_of(&mut reader), [0_u64; 0]);
    let mut borrowing = Reader::open(dir.path()).unwrap();
    for expected in [2, 3] {
        let block = borrowing.next_block_ref().unwrap().unwrap();
        assert_eq!(block.spans().count(), expected);
    }
    assert!(borrowing.next_block_ref().unwrap().is_none());
    add_recorder(dir.path(), &RecorderId::from_parts(3, 7), &Writer::new(1).block(0..1));
    Writer::new(2).block(2..5).write(&dir.path().join(ids[1].as_str()));
    assert_eq!(spans_of(&mut reader), [2, 3, 4, 0]);
    fs::remove_dir_all(dir.path().join(ids[0].as_str())).unwrap();
    Writer::new(3).block(7..8).write(&dir.path().join(ids[1].as_str()));
    assert_eq!(spans_of(&mut reader), [7]);
    assert_eq!(reader.skipped().missing_rows, 2);
}

#[test]
fn an_error_concerns_one_recorder_and_is_not_repeated_for_ever() {
    let (dir, ids) = spool_with(&[(1, Writer::new(1).block(0..3)), (2, Writer::new(1).block(3..4))]);
    let mut reader = Reader::open(dir.path()).unwrap();
    assert_eq!(spans_of(&mut reader).len(), 4);
    // What cannot be listed, whoever asks.
    let broken = dir.path().join(ids[0].as_str());
    fs::remove_dir_all(&broken).unwrap();
    fs::write(&broken, b"no directory").unwrap();
    Writer::new(2).block(4..6).write(&dir.path().join(ids[1].as_str()));
    let read =
        reader.by_ref().take(10).map(|span| span.map(|span| span.start_unix_ns).ok()).collect::<Vec<_>>();
    assert_eq!(read, [None, Some(4), Some(5)]);

    fs::remove_dir_all(dir.path().join(ids[1].as_str())).unwrap();
    fs::remove_file(&broken).unwrap();
    fs::remove_dir_all(dir.path()).unwrap();
    let errors = reader.by_ref().take(10).filter(Result::is_err).count();
    assert!((1..4).contains(&errors), "{errors}");
}

#[test]
fn what_follows_a_place_was_spooled_after_the_first_segment_was_made_that_may_hold_it() {
    let dir = recorder(&[Writer::new(3).block(0..3).seal(), Writer::new(4).block(3..5)]);
    fs::write(dir.path().join(layout::segment(6)), vec![0; 20_000]).unwrap();
    let reader = RecorderReader::open(dir.path(), true).unwrap();
    let made = |segment| reader.segment_created_unix_ns(Position { segment, ..Position::default() }).unwrap();
    assert_eq!([0, 3, 4, 5, 7].map(made), [Some(3), Some(3), Some(4), None, None]);
}
