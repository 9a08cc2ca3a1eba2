//! The segment format, version 0. All integers are little-endian; offsets and lengths are in bytes.
//!
//! ```text
//! segment   0        4096     8192
//!           ┌────────┬────────┬─────────┬─────────┬ ─ ─ ┬──────┬────────────────┐
//!           │ header │ header │ block 0 │ block 1 │     │ seal │ zeros (unused) │
//!           └────────┴────────┴─────────┴─────────┴ ─ ─ ┴──────┴────────────────┘
//!            the header stands twice, in two pages, with zeros up to the next page
//!
//! header    0       8         10       11  12         16      24       32        40        56         120  124   128
//!           ┌───────┬─────────┬────────┬───┬──────────┬───────┬────────┬─────────┬─────────┬──────────┬────┬─────┐
//!           │ magic │ version │ id len │ 0 │ incompat │ nonce │ number │ created │ boot id │ recorder │ 0  │ crc │
//!           └───────┴─────────┴────────┴───┴──────────┴───────┴────────┴─────────┴─────────┴──────────┴────┴─────┘
//!           incompat  bits; a reader that does not know one that is set cannot read the segment
//!           nonce     random, another one for every segment
//!           number    counts a recorder's segments from 1, as the file's name does
//!           created   Unix nanoseconds
//!           recorder  the recorder's id, of which `id len` bytes are used
//!           crc       CRC-32C over the 124 bytes before
//!
//! frame     0     4     8       12     13      14      16         24     28        32            36  40
//!           ┌─────┬─────┬───────┬──────┬───────┬───────┬──────────┬──────┬─────────┬─────────────┬───┬──────┐
//!           │ len │ crc │ magic │ kind │ codec │ rings │ sequence │ rows │ raw len │ payload len │ 0 │ body │
//!           └─────┴─────┴───────┴──────┴───────┴───────┴──────────┴──────┴─────────┴─────────────┴───┴──────┘
//!           len          of the whole frame, a multiple of 8: the next one follows; 0 until the frame is committed
//!           crc          CRC-32C over the segment's nonce, the frame's offset in the segment (8 bytes each), and
//!                        all bytes of the frame but these 4
//!           kind         1 a block, 2 a seal
//!           codec        of the payload: 0 stored, 1 zstd
//!           rings        how many ring positions the block has
//!           sequence     of the first row; rows are numbered from 0 through all segments of a recorder
//!           raw len      length of the payload before compression
//!
//! block     a frame whose body is
//!           0        192              192 + 24 * rings
//!           ┌────────┬────────────────┬─────────┬──────────────────────────┐
//!           │ ledger │ ring positions │ payload │ zeros to a multiple of 8 │
//!           └────────┴────────────────┴─────────┴──────────────────────────┘
//!           ledger         24 counters of 8 bytes, cumulative, as they stood behind the block
//!           ring position  lane (2), zeros (6), up to which position the lane's ring was consumed (8), how many
//!                          ended spans that were (8)
//!
//! seal      a frame without rows whose body is
//!           0        8      16              24
//!           ┌────────┬──────┬───────────────┐
//!           │ blocks │ rows │ next sequence │
//!           └────────┴──────┴───────────────┘
//!           the segment ended in order, and nothing follows; its sequence is that of the segment's first row
//! ```
//!
//! A writer writes a frame's bytes behind its length, and then the length. After a kill the length therefore is the
//! commit; after a power cut only the checksum is.
//!
//! A reader takes a frame only if its length is possible, its checksum is right, and its fields fit. Where that fails in
//! a segment that is still written to, the frame is not there *yet*. Else the reader looks for the next frame that
//! is whole, at every multiple of 8, and counts what lies between. Because the checksum covers nonce and offset, neither
//! a frame of an earlier life of the disk's space nor one within a payload is ever taken.

mod frame;
mod header;
mod scan;
#[cfg(test)]
mod tests;

pub(crate) use frame::{BlockHeader, Frame, RingPosition, Seal, encode_block, encode_seal};
pub(crate) use header::{HeaderFault, SegmentHeader};
pub(crate) use scan::{Found, Scanner, Source};

use crate::block::RAW_LEN_MAX;

/// Where the first frame starts.
pub(crate) const SEGMENT_HEADER_LEN: usize = 8192;
/// How many counters a ledger has.
pub(crate) const LEDGER_LEN: usize = 24;

/// Where the second copy of the header starts: in another page, since a power cut may keep any page from the disk.
const HEADER_COPY_OFFSET: usize = 4096;
const HEADER_COPY_LEN: usize = 128;
const HEADER_MAGIC: [u8; 8] = *b"SPANSEG\n";
const VERSION: u16 = 0;
/// The longest text of a recorder's id.
const RECORDER_LEN_MAX: usize = 64;

const FRAME_HEADER_LEN: usize = 40;
/// How many bytes of a frame tell whether it can be one, and how long it is.
const FRAME_START_LEN: usize = 16;
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"\xb5SPB");
const KIND_BLOCK: u8 = 1;
const KIND_SEAL: u8 = 2;
const CODEC_STORED: u8 = 0;
const CODEC_ZSTD: u8 = 1;
const RING_POSITION_LEN: usize = 24;
const SEAL_BODY_LEN: usize = 24;
/// A frame longer than this is damage: no block's payload and no number of rings make one.
const FRAME_LEN_MAX: u32 = RAW_LEN_MAX + (2 << 20);

const _: () = {
    assert!(SEGMENT_HEADER_LEN == 2 * HEADER_COPY_OFFSET && HEADER_COPY_LEN <= HEADER_COPY_OFFSET);
    assert!(SEGMENT_HEADER_LEN.is_multiple_of(8), "frames stay 8-byte aligned");
    assert!(FRAME_HEADER_LEN + 8 * LEDGER_LEN + RING_POSITION_LEN * u16::MAX as usize + 8 <= 2 << 20);
};
