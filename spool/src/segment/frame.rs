//! Frames: blocks and seals as they stand in a segment.

use std::fmt;

use super::{
    CODEC_STORED, CODEC_ZSTD, FRAME_HEADER_LEN, FRAME_LEN_MAX, FRAME_MAGIC, FRAME_START_LEN, KIND_BLOCK,
    KIND_SEAL, LEDGER_LEN, RING_POSITION_LEN, SEAL_BODY_LEN,
};
use crate::block::Codec;

/// What a block says about itself, beside its payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct BlockHeader {
    /// The sequence of its first row.
    pub(crate) first_sequence: u64,
    /// How many rows it has.
    pub(crate) rows: u32,
    /// Length of the payload before compression.
    pub(crate) raw_len: u32,
    /// How the payload is stored.
    pub(crate) codec: Codec,
    /// The recorder's cumulative counters behind this block.
    pub(crate) ledger: [u64; LEDGER_LEN],
    /// How far the rings were consumed; of those that are not named nothing is said.
    pub(crate) rings: Vec<RingPosition>,
}

/// How far a ring was consumed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RingPosition {
    /// The lane whose ring it is.
    pub(crate) lane: u16,
    /// All before this position is in this block or an earlier one.
    pub(crate) position: u64,
    /// How many ended spans that were.
    pub(crate) ended: u64,
}

/// The end of a segment that ended in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seal {
    /// How many blocks the segment has.
    pub(crate) blocks: u64,
    /// How many rows these have.
    pub(crate) rows: u64,
    /// The sequence of the segment's first row.
    pub(crate) first_sequence: u64,
    /// The sequence of the first row of the next segment.
    pub(crate) next_sequence: u64,
}

/// Appends a whole block to `out`. It is for `offset` of the segment with this nonce, a multiple of 8, and for no other
/// place. Its first 4 bytes are the length, which commits it.
///
/// # Panics
///
/// When `offset` is no multiple of 8, or the block is longer than a block can be: a payload that a builder made
/// never is.
pub(crate) fn encode_block(header: &BlockHeader, payload: &[u8], nonce: u64, offset: u64, out: &mut Vec<u8>) {
    let rings = u16::try_from(header.rings.len()).expect("lanes are numbered by 16 bits");
    let payload_len = u32::try_from(payload.len()).expect("a payload is at most 64 MiB");
    let codec = match header.codec {
        Codec::Stored => CODEC_STORED,
        Codec::Zstd => CODEC_ZSTD,
    };
    let start = out.len();
    put_frame_header(
        out,
        [KIND_BLOCK, codec],
        rings,
        header.first_sequence,
        header.rows,
        [header.raw_len, payload_len],
    );
    for counter in header.ledger {
        out.extend(counter.to_le_bytes());
    }
    for ring in &header.rings {
        out.extend(u64::from(ring.lane).to_le_bytes());
        out.extend(ring.position.to_le_bytes());
        out.extend(ring.ended.to_le_bytes());
    }
    out.extend_from_slice(payload);
    close_frame(out, start, nonce, offset);
}

/// Appends a seal to `out`; otherwise as [`encode_block`].
pub(crate) fn encode_seal(seal: &Seal, nonce: u64, offset: u64, out: &mut Vec<u8>) {
    let start = out.len();
    put_frame_header(out, [KIND_SEAL, CODEC_STORED], 0, seal.first_sequence, 0, [0, 0]);
    for number in [seal.blocks, seal.rows, seal.next_sequence] {
        out.extend(number.to_le_bytes());
    }
    close_frame(out, start, nonce, offset);
}

/// Leaves length and checksum open.
fn put_frame_header(
    out: &mut Vec<u8>,
    kind_and_codec: [u8; 2],
    rings: u16,
    first_sequence: u64,
    rows: u32,
    raw_and_payload_len: [u32; 2],
) {
    out.extend([0; 8]);
    out.extend(FRAME_MAGIC.to_le_bytes());
    out.extend(kind_and_codec);
    out.extend(rings.to_le_bytes());
    out.extend(first_sequence.to_le_bytes());
    out.extend(rows.to_le_bytes());
    for len in raw_and_payload_len {
        out.extend(len.to_le_bytes());
    }
    out.extend([0; 4]);
}

fn close_frame(out: &mut Vec<u8>, start: usize, nonce: u64, offset: u64) {
    assert!(offset.is_multiple_of(8), "a frame starts at a multiple of 8");
    let frame_len = (out.len() - start).next_multiple_of(8);
    out.resize(start + frame_len, 0);
    let frame = &mut out[start..];
    let len =
        u32::try_from(frame_len).ok().filter(|&len| len <= FRAME_LEN_MAX).expect("a block is at most 66 MiB");
    frame[..4].copy_from_slice(&len.to_le_bytes());
    let crc = checksum(frame, nonce, offset);
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// CRC-32C over where the frame belongs and all of it but the checksum itself.
fn checksum(frame: &[u8], nonce: u64, offset: u64) -> u32 {
    let mut place = [0; 20];
    place[..8].copy_from_slice(&nonce.to_le_bytes());
    place[8..16].copy_from_slice(&offset.to_le_bytes());
    place[16..].copy_from_slice(&frame[..4]);
    crc32c::crc32c_append(crc32c::crc32c(&place), &frame[8..])
}

/// Why there is no frame at some place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Its length is 0.
    Uncommitted,
    /// No frame has such a length or beginning.
    NoFrame,
    /// The segment ends before it does.
    Truncated,
    /// The checksum is wrong: it was damaged, is not complete, or belongs to another place.
    Checksum,
    /// The checksum is right, and what it covers makes no sense: a later version wrote it.
    Unknown,
    /// So much of the segment is damaged that the rest was not searched.
    SearchEnded,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Uncommitted => "a block has no length",
            Fault::NoFrame => "there is no block where one must start",
            Fault::Truncated => "the file ends within a block",
            Fault::Checksum => "the checksum of a block is wrong",
            Fault::Unknown => "a block is of a kind that only a later version knows",
            Fault::SearchEnded => "too much is damaged to search for further blocks",
        })
    }
}

/// A frame whose checksum is right.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and nearly all are blocks")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Frame<'a> {
    /// A block, and its payload.
    Block(BlockHeader, &'a [u8]),
    /// The end of the segment.
    Seal(Seal),
}

impl<'a> Frame<'a> {
    /// The length of the frame that starts with `start`, if it can be one.
    pub(super) fn len(start: &[u8; FRAME_START_LEN]) -> Result<u32, Fault> {
        let [l0, l1, l2, l3, _, _, _, _, m0, m1, m2, m3, ..] = *start;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        if len == 0 {
            return Err(Fault::Uncommitted);
        }
        let is_possible = len as usize >= FRAME_HEADER_LEN && len <= FRAME_LEN_MAX && len.is_multiple_of(8);
        if is_possible && u32::from_le_bytes([m0, m1, m2, m3]) == FRAME_MAGIC {
            Ok(len)
        } else {
            Err(Fault::NoFrame)
        }
    }

    /// Checks the checksum of a frame of a possible length.
    pub(super) fn check(frame: &[u8], nonce: u64, offset: u64) -> Result<(), Fault> {
        let written = frame.get(4..8).ok_or(Fault::Truncated)?;
        if checksum(frame, nonce, offset).to_le_bytes() == written { Ok(()) } else { Err(Fault::Checksum) }
    }

    /// Reads a frame whose checksum is right.
    pub(super) fn read(frame: &'a [u8]) -> Result<Self, Fault> {
        Self::fields(frame).ok_or(Fault::Unknown)
    }

    fn fields(frame: &'a [u8]) -> Option<Self> {
        let mut fields = Fields { rest: frame.get(12..)? };
        let [kind, codec] = fields.array()?;
        let rings = u16::from_le_bytes(fields.array()?);
        let first_sequence = fields.u64()?;
        let rows = u32::from_le_bytes(fields.array()?);
        let raw_len = u32::from_le_bytes(fields.array()?);
        let payload_len = u32::from_le_bytes(fields.array()?);
        let _reserved: [u8; 4] = fields.array()?;
        match kind {
            KIND_BLOCK => {
                let codec = match codec {
                    CODEC_STORED => Codec::Stored,
                    CODEC_ZSTD => Codec::Zstd,
                    _ => return None,
                };
                let mut ledger = [0; LEDGER_LEN];
                for counter in &mut ledger {
                    *counter = fields.u64()?;
                }
                let rings = fields.bytes(usize::from(rings) * RING_POSITION_LEN)?;
                let rings =
                    rings.chunks_exact(RING_POSITION_LEN).map(RingPosition::read).collect::<Option<_>>()?;
                let payload = fields.bytes(payload_len as usize)?;
                first_sequence.checked_add(rows.into())?;
                let header = BlockHeader { first_sequence, rows, raw_len, codec, ledger, rings };
                (fields.rest.len() < 8).then_some(Frame::Block(header, payload))
            }
            KIND_SEAL => {
                let (blocks, rows, next_sequence) = (fields.u64()?, fields.u64()?, fields.u64()?);
                let is_possible = frame.len() == FRAME_HEADER_LEN + SEAL_BODY_LEN;
                is_possible.then_some(Frame::Seal(Seal { blocks, rows, first_sequence, next_sequence }))
            }
            _ => None,
        }
    }
}

impl RingPosition {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields { rest: bytes };
        let lane = u16::from_le_bytes(fields.array()?);
        let _zeros: [u8; 6] = fields.array()?;
        Some(RingPosition { lane, position: fields.u64()?, ended: fields.u64()? })
    }
}

struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(bytes)
    }
}
