//! Claims about segments: damage costs what it hits, and nothing that was not written is ever read.

use std::io;

use super::frame::Fault;
use super::scan::{Gap, Step};
use super::*;
use crate::block::Codec;

impl Source for [u8] {
    fn len(&self) -> io::Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or(&[]);
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

impl Source for Vec<u8> {
    fn len(&self) -> io::Result<u64> {
        Source::len(&self[..])
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        Source::read_at(&self[..], offset, buffer)
    }
}

const NONCE: u64 = 0x0123_4567_89ab_cdef;

pub(crate) fn header(number: u64, nonce: u64) -> SegmentHeader {
    SegmentHeader { nonce, number, created_unix_ns: 1, boot_id: [7; 16], recorder: "recorder".into() }
}

/// A frame as it was written: where it starts and ends, its block and payload.
#[derive(Clone, PartialEq, Debug)]
struct Written {
    start: usize,
    end: usize,
    block: BlockHeader,
    payload: Vec<u8>,
}

/// A segment of several blocks of different sizes, sealed, with zeros behind; and its blocks.
fn segment() -> (Vec<u8>, Vec<Written>) {
    let mut bytes = header(1, NONCE).encode();
    let mut blocks = Vec::new();
    let mut first_sequence = 0;
    for number in 0..5_u8 {
        let rows = u32::from(number) + 1;
        let rings =
            (0..u16::from(number) % 3).map(|lane| RingPosition { lane, position: 64, ended: 1 }).collect();
        let mut ledger = [0; LEDGER_LEN];
        ledger[0] = number.into();
        let block = BlockHeader { first_sequence, rows, raw_len: 9, codec: Codec::Stored, ledger, rings };
        let payload = vec![number + 1; 5 + 37 * usize::from(number)];
        let start = bytes.len();
        encode_block(&block, &payload, NONCE, start as u64, &mut bytes);
        blocks.push(Written { start, end: bytes.len(), block, payload });
        first_sequence += u64::from(rows);
    }
    let seal = Seal { blocks: 5, rows: 15, first_sequence: 0, next_sequence: first_sequence };
    let offset = bytes.len() as u64;
    encode_seal(&seal, NONCE, offset, &mut bytes);
    bytes.resize(bytes.len() + 200, 0);
    (bytes, blocks)
}

/// What a whole scan gives.
#[derive(Clone, PartialEq, Debug, Default)]
struct Scanned {
    blocks: Vec<(BlockHeader, Vec<u8>)>,
    seals: usize,
    gaps: Vec<Gap>,
}

fn scan_from(mut scanner: Scanner, source: &impl Source) -> Scanned {
    let mut scanned = Scanned::default();
    loop {
        let step = scanner.step(source, true).unwrap();
        scanned.gaps.extend(step.gap);
        match (step.found, scanner.frame()) {
            (Found::Frame, Some(Frame::Block(header, payload))) => {
                scanned.blocks.push((header, payload.into()))
            }
            (Found::Frame, Some(Frame::Seal(_))) => scanned.seals += 1,
            (Found::End, _) => return scanned,
            other => panic!("{other:?} in a segment that is over"),
        }
    }
}

fn scan(source: &impl Source) -> Scanned {
    scan_from(Scanner::new(NONCE, 0), source)
}

fn contents<'a>(blocks: impl IntoIterator<Item = &'a Written>) -> Vec<(BlockHeader, Vec<u8>)> {
    blocks.into_iter().map(|written| (written.block.clone(), written.payload.clone())).collect()
}

#[test]
fn the_checksum_is_crc_32c() {
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    assert_eq!(crc32c::crc32c_append(crc32c::crc32c(b"1234"), b"56789"), 0xe306_9283);
}

#[test]
fn a_whole_segment_gives_all_its_blocks_and_nothing_else() {
    let (bytes, blocks) = segment();
    assert_eq!(scan(&bytes), Scanned { blocks: contents(&blocks), seals: 1, gaps: vec![] });
}

#[test]
fn bytes_stand_where_the_picture_says() {
    let (bytes, blocks) = segment();
    let header = &bytes[..128];
    assert_eq!(&header[..12], b"SPANSEG\n\0\0\x08\0");
    assert_eq!(header[16..24], NONCE.to_le_bytes());
    assert_eq!(header[24..40], [1_u64.to_le_bytes(), 1_u64.to_le_bytes()].concat());
    assert_eq!((&header[40..56], &header[56..64]), (&[7; 16][..], &b"recorder"[..]));
    assert_eq!(header[124..], crc32c::crc32c(&header[..124]).to_le_bytes());
    assert_eq!(bytes[4096..4224], *header);

    let block = &blocks[2];
    let frame = &bytes[block.start..block.end];
    let len = (40 + 192 + 2 * 24 + block.payload.len()).next_multiple_of(8);
    assert_eq!(frame.len(), len);
    assert_eq!(frame[..4], u32::try_from(len).unwrap().to_le_bytes());
    assert_eq!(frame[8..16], *b"\xb5SPB\x01\0\x02\0");
    assert_eq!(frame[16..24], 3_u64.to_le_bytes());
    assert_eq!(frame[24..36], [3, 0, 0, 0, 9, 0, 0, 0, 79, 0, 0, 0]);
    assert_eq!(frame[40..48], 2_u64.to_le_bytes());
    assert_eq!(frame[232..256], [[0; 8], 64_u64.to_le_bytes(), 1_u64.to_le_bytes()].concat());
    assert_eq!(frame[280..280 + 79], block.payload);
    let covered =
        [&NONCE.to_le_bytes(), &(block.start as u64).to_le_bytes(), &frame[..4], &frame[8..]].concat();
    assert_eq!(frame[4..8], crc32c::crc32c(&covered).to_le_bytes());
}

#[test]
fn a_segment_cut_at_any_byte_gives_the_blocks_before_the_cut() {
    let (bytes, blocks) = segment();
    for cut in 0..=bytes.len() {
        let bytes = bytes[..cut].to_vec();
        let readable = SegmentHeader::decode(&bytes).is_ok();
        assert_eq!(readable, cut >= HEADER_COPY_LEN, "cut at {cut}");
        let whole = blocks.iter().take_while(|block| block.end <= cut).collect::<Vec<_>>();
        let scanned = scan(&bytes);
        assert_eq!(scanned.blocks, contents(whole.iter().copied()), "cut at {cut}");

        let start = whole.last().map_or(SEGMENT_HEADER_LEN, |block| block.end);
        let rest = bytes.get(start..).unwrap_or(&[]);
        if scanned.seals == 1 || rest.iter().all(|&byte| byte == 0) {
            assert_eq!(scanned.gaps, [], "cut at {cut}");
        } else {
            let content = rest.iter().rposition(|&byte| byte != 0).unwrap() + 1;
            let [gap] = scanned.gaps[..] else { panic!("cut at {cut}: {:?}", scanned.gaps) };
            assert_eq!((gap.offset, gap.len), (start as u64, content as u64), "cut at {cut}");
            assert!(gap.at_end && gap.fault == Fault::Truncated, "cut at {cut}: {gap:?}");
        }
    }
}

#[test]
fn a_segment_with_any_bit_flipped_gives_all_blocks_but_the_one_that_was_hit() {
    let (mut bytes, blocks) = segment();
    let seal_end = bytes.len() - 200;
    let whole = header(1, NONCE);
    for bit in 0..bytes.len() * 8 {
        let (at, mask) = (bit / 8, 1 << (bit % 8));
        bytes[at] ^= mask;
        if at < SEGMENT_HEADER_LEN {
            assert_eq!(SegmentHeader::decode(&bytes).as_ref(), Ok(&whole), "bit {bit}");
        } else {
            let scanned = scan(&bytes);
            let unhit = blocks.iter().filter(|block| !(block.start..block.end).contains(&at));
            assert_eq!(scanned.blocks, contents(unhit), "bit {bit}");
            let skipped = scanned.gaps.iter().map(|gap| gap.len).sum::<u64>();
            assert_eq!(skipped > 0, at < seal_end, "bit {bit}: {:?}", scanned.gaps);
            if let Some(hit) = blocks.iter().find(|block| (block.start..block.end).contains(&at)) {
                assert_eq!(skipped, (hit.end - hit.start) as u64, "bit {bit}");
            }
        }
        bytes[at] ^= mask;
    }
}

#[test]
fn holes_are_searched_across_the_borders_of_the_window() {
    let (mut bytes, blocks) = segment();
    bytes[blocks[1].start + 100] ^= 1;
    bytes[blocks[3].start] ^= 1;
    let expected = scan(&bytes);
    assert_eq!(expected.gaps.len(), 2);
    for window_len in (8..600).step_by(8) {
        assert_eq!(scan_from(Scanner::new(NONCE, 0).with_window_len(window_len), &bytes), expected);
    }
}

#[test]
fn a_block_of_another_place_or_another_segment_is_refused() {
    let (bytes, blocks) = segment();
    // The whole of the space, recycled: every frame is where it was, and of an earlier life.
    let stale = scan_from(Scanner::new(NONCE + 1, 0), &bytes);
    assert_eq!((stale.blocks.len(), stale.seals, stale.gaps.len()), (0, 0, 1));

    // Frames of this segment at other offsets, as a payload that was recorded from a segment holds them.
    for shift in (8..400).step_by(8) {
        let mut moved = bytes[..SEGMENT_HEADER_LEN].to_vec();
        moved.resize(SEGMENT_HEADER_LEN + shift, 1);
        moved.extend(&bytes[SEGMENT_HEADER_LEN..]);
        let scanned = scan(&moved);
        assert_eq!((scanned.blocks.len(), scanned.seals, scanned.gaps.len()), (0, 0, 1), "moved by {shift}");
    }

    // One block in another's place.
    let mut swapped = bytes.clone();
    let (from, to) = (&blocks[1], &blocks[3]);
    swapped.copy_within(from.start..from.end, to.start);
    let others = blocks.iter().filter(|block| block.start != to.start);
    assert_eq!(scan(&swapped).blocks, contents(others));
}

#[test]
fn a_page_that_the_disk_lost_costs_the_blocks_in_it() {
    let mut bytes = header(1, NONCE).encode();
    let mut written = Vec::new();
    for first_sequence in 0..40 {
        let (ledger, rings) = ([0; LEDGER_LEN], vec![]);
        let block = BlockHeader { first_sequence, rows: 1, raw_len: 9, codec: Codec::Stored, ledger, rings };
        let (start, payload) = (bytes.len(), vec![9; 700]);
        encode_block(&block, &payload, NONCE, start as u64, &mut bytes);
        written.push(Written { start, end: bytes.len(), block, payload });
    }
    for page in SEGMENT_HEADER_LEN / 4096..bytes.len() / 4096 {
        let mut lossy = bytes.clone();
        let lost = page * 4096..(page + 1) * 4096;
        lossy[lost.clone()].fill(0);
        let scanned = scan(&lossy);
        let kept = written.iter().filter(|block| block.end <= lost.start || block.start >= lost.end);
        assert_eq!(scanned.blocks, contents(kept), "page {page}");
        assert!(scanned.gaps.iter().all(|gap| !gap.is_uncommitted()), "page {page}: {:?}", scanned.gaps);
    }
}

#[test]
fn a_block_without_its_length_is_uncommitted_and_no_damage() {
    let (mut bytes, blocks) = segment();
    bytes.truncate(blocks[4].end);
    bytes.resize(bytes.len() + 500, 0);
    bytes[blocks[4].start..][..4].fill(0);
    let scanned = scan(&bytes);
    assert_eq!(scanned.blocks, contents(&blocks[..4]));
    assert!(scanned.gaps.len() == 1 && scanned.gaps[0].is_uncommitted(), "{:?}", scanned.gaps);
}

#[test]
fn a_live_segment_is_followed_block_by_block_as_its_lengths_appear() {
    let (bytes, blocks) = segment();
    let mut live = bytes[..SEGMENT_HEADER_LEN].to_vec();
    live.resize(bytes.len(), 0);
    let mut scanner = Scanner::new(NONCE, 0);
    for block in &blocks {
        let frame = &bytes[block.start..block.end];
        for filled in [0, 5, 200, frame.len()] {
            live[block.start + 4..block.start + frame.len().min(4 + filled)]
                .copy_from_slice(&frame[4..frame.len().min(4 + filled)]);
            assert_eq!(scanner.step(&live, false).unwrap(), Step { gap: None, found: Found::NotYet });
        }
        live[block.start..block.start + 4].copy_from_slice(&frame[..4]);
        assert_eq!(scanner.step(&live, false).unwrap(), Step { gap: None, found: Found::Frame });
        assert_eq!(scanner.frame(), Some(Frame::Block(block.block.clone(), &block.payload)));
        assert_eq!(scanner.offset(), block.end as u64);
    }
}

#[test]
fn a_scan_continues_behind_a_block_that_was_read_earlier() {
    let (bytes, blocks) = segment();
    for (read, block) in blocks.iter().enumerate() {
        let scanned = scan_from(Scanner::new(NONCE, block.end as u64), &bytes);
        assert_eq!(scanned, Scanned { blocks: contents(&blocks[read + 1..]), seals: 1, gaps: vec![] });
    }
    assert_eq!(scan_from(Scanner::new(NONCE, u64::MAX / 2), &bytes), Scanned::default());
}

#[test]
fn a_frame_of_a_later_version_is_skipped_whole() {
    let (bytes, blocks) = segment();
    for (field, value) in [(12, 9), (13, 9), (14, 0xff)] {
        let mut later = bytes.clone();
        let (start, end) = (blocks[1].start, blocks[1].end);
        later[start + field] = value;
        let covered = [
            &NONCE.to_le_bytes(),
            &(start as u64).to_le_bytes(),
            &later[start..start + 4],
            &later[start + 8..end],
        ];
        let crc = crc32c::crc32c(&covered.concat());
        later[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        let scanned = scan(&later);
        assert_eq!(scanned.blocks, contents(blocks.iter().filter(|block| block.start != start)));
        let gap =
            Gap { offset: start as u64, len: (end - start) as u64, fault: Fault::Unknown, at_end: false };
        assert_eq!(scanned.gaps, [gap]);
    }
}

#[test]
fn a_header_of_a_later_version_is_told_from_a_damaged_one() {
    for (at, value) in [(8, 1), (12, 1)] {
        let mut bytes = header(1, NONCE).encode();
        for copy in [0, HEADER_COPY_OFFSET] {
            bytes[copy + at] = value;
            let crc = crc32c::crc32c(&bytes[copy..copy + HEADER_COPY_LEN - 4]);
            bytes[copy + HEADER_COPY_LEN - 4..][..4].copy_from_slice(&crc.to_le_bytes());
        }
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::LaterVersion));
    }
    assert_eq!(SegmentHeader::decode(&[0; SEGMENT_HEADER_LEN]), Err(HeaderFault::Unused));
    assert_eq!(SegmentHeader::decode(&[]), Err(HeaderFault::Unused));
    assert_eq!(SegmentHeader::decode(&[1; SEGMENT_HEADER_LEN]), Err(HeaderFault::Damaged));
}

#[test]
fn a_file_made_to_be_searched_for_ever_is_given_up_and_counted() {
    // Every 16 bytes the start of a frame as long as what is left.
    let len = 2 << 20;
    let mut bytes = header(1, NONCE).encode();
    while bytes.len() < len {
        let frame_len = u32::try_from((len - bytes.len()).next_multiple_of(8)).unwrap();
        bytes.extend(frame_len.to_le_bytes());
        bytes.extend([1; 4]);
        bytes.extend(FRAME_MAGIC.to_le_bytes());
        bytes.extend([1; 4]);
    }
    let scanned = scan(&bytes);
    assert_eq!(scanned.blocks, []);
    let [gap] = scanned.gaps[..] else { panic!("{:?}", scanned.gaps) };
    assert_eq!((gap.fault, gap.len), (Fault::SearchEnded, (bytes.len() - SEGMENT_HEADER_LEN) as u64));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    #[test]
    fn random_bytes_are_no_frames_and_no_panic(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2000),
        starts in proptest::collection::vec((0..250_usize, 0..3000_u32), 0..8),
    ) {
        let mut bytes = [header(1, NONCE).encode(), bytes].concat();
        for (at, len) in starts {
            let at = SEGMENT_HEADER_LEN + at * 8;
            if at + 16 <= bytes.len() {
                bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
                bytes[at + 8..at + 12].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
            }
        }
        let scanned = scan(&bytes);
        proptest::prop_assert_eq!(scanned.blocks, vec![]);
        proptest::prop_assert!(scanned.gaps.len() <= 1);
    }
}
