//! A block as a reader gives it out: copied, or where it was decompressed.

use std::fmt;
use std::path::Path;

use crate::block::{BlockDecoder, Rows, RowsRef, SpanRef, Undecodable};
use crate::segment::BlockHeader;
use crate::{Ledger, Position, Skipped, SpanData};

/// The spans of one block.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Block {
    /// The place right behind it: whoever continues there reads the next block.
    pub position: Position,
    /// The sequence of its first row that was not read before.
    pub first_sequence: u64,
    /// Spans that ended or were interrupted.
    pub spans: Vec<SpanData>,
    /// Announcements of spans that had started; each ends when it starts.
    pub starts: Vec<SpanData>,
    /// The recorder's account when it was written.
    pub ledger: Ledger,
}

/// One block, whose spans lie where they were decompressed: what is read of them is borrowed, and nothing is copied.
///
/// A block that cannot be decoded has no spans; it is counted in [`skipped`](crate::RecorderReader::skipped).
pub struct BlockRef<'a> {
    position: Position,
    first_sequence: u64,
    ledger: Ledger,
    raw_len: usize,
    rows: Option<RowsRef<'a>>,
}

/// Memory that a block is decompressed to, and used for one after the other.
///
/// A [`RecorderReader`](crate::RecorderReader) has one of its own. Who looks at several blocks at once brings as many.
#[derive(Default)]
pub struct BlockBuffer(BlockDecoder);

impl BlockBuffer {
    /// How many bytes it holds, used or not: as many as the largest block that it was used for, decompressed.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl fmt::Debug for BlockBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockBuffer").field("capacity", &self.capacity()).finish()
    }
}

impl BlockRef<'_> {
    /// The place right behind it: whoever continues there reads the next block.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The sequence of its first row that was not read before.
    pub fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// The recorder's account when it was written.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Spans that ended or were interrupted, in the order of their sequence.
    pub fn spans(&self) -> impl Iterator<Item = SpanRef<'_>> + Clone {
        self.rows().filter(|span| !span.is_open())
    }

    /// Announcements of spans that had started, likewise; each ends when it starts.
    pub fn starts(&self) -> impl Iterator<Item = SpanRef<'_>> + Clone {
        self.rows().filter(SpanRef::is_open)
    }

    /// Whether it could be decoded.
    pub fn is_decoded(&self) -> bool {
        self.rows.is_some()
    }

    /// How many rows it has, spans and announcements.
    pub fn rows_len(&self) -> usize {
        self.rows.as_ref().map_or(0, RowsRef::len)
    }

    /// How many bytes it has, decompressed.
    pub fn raw_len(&self) -> usize {
        self.raw_len
    }

    /// A copy of it; `None` if it cannot be decoded.
    pub(super) fn to_block(&self) -> Option<Block> {
        let BlockRef { position, first_sequence, ledger, ref rows, .. } = *self;
        let Rows { spans, starts } = rows.as_ref()?.to_rows();
        Some(Block { position, first_sequence, spans, starts, ledger })
    }

    fn rows(&self) -> impl Iterator<Item = SpanRef<'_>> + Clone {
        self.rows.iter().flat_map(RowsRef::iter)
    }
}

impl fmt::Debug for BlockRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BlockRef { position, first_sequence, ledger, .. } = self;
        let rows: Vec<_> = self.rows().collect();
        f.debug_struct("BlockRef")
            .field("position", position)
            .field("first_sequence", first_sequence)
            .field("ledger", ledger)
            .field("rows", &rows)
            .finish()
    }
}

/// The block that a reader found last.
pub(super) struct FoundBlock<'a> {
    /// Its segment.
    pub(super) path: &'a Path,
    /// The place right behind it.
    pub(super) position: Position,
    pub(super) header: BlockHeader,
    pub(super) payload: &'a [u8],
    /// The sequence of its first row that was not read before.
    pub(super) first_unread: u64,
}

impl<'a> FoundBlock<'a> {
    /// Decompressed to the memory of `decoder`, unless it is not compressed.
    pub(super) fn decoded(&self, decoder: &'a mut BlockDecoder, skipped: &mut Skipped) -> BlockRef<'a> {
        let BlockHeader { codec, raw_len, rows, .. } = self.header;
        self.with_rows(decoder.view(self.payload, codec, raw_len, rows, self.read_before()), skipped)
    }

    /// In the memory of `buffer`, all of it.
    pub(super) fn decoded_in<'b>(&self, buffer: &'b mut BlockBuffer, skipped: &mut Skipped) -> BlockRef<'b> {
        let BlockHeader { codec, raw_len, rows, .. } = self.header;
        let BlockBuffer(decoder) = buffer;
        self.with_rows(decoder.view_apart(self.payload, codec, raw_len, rows, self.read_before()), skipped)
    }

    /// How many of its rows were read before.
    fn read_before(&self) -> u32 {
        u32::try_from(self.first_unread - self.header.first_sequence).unwrap_or(self.header.rows)
    }

    /// The block with these rows. Where there are none, it is skipped.
    fn with_rows<'b>(&self, rows: Result<RowsRef<'b>, Undecodable>, skipped: &mut Skipped) -> BlockRef<'b> {
        let FoundBlock { path, position, ref header, payload, first_unread } = *self;
        let rows = rows.inspect_err(|error| {
            skipped.hole(path.to_owned(), position.offset, payload.len() as u64, error.to_string());
            let unread = header.rows - self.read_before();
            skipped.missing_rows = skipped.missing_rows.saturating_add(unread.into());
        });
        let (ledger, raw_len) = (Ledger::decode(&header.ledger), header.raw_len as usize);
        BlockRef { position, first_sequence: first_unread, ledger, raw_len, rows: rows.ok() }
    }
}
