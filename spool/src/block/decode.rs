//! Reading a block back, from bytes whose checksum is right and whose author may still be anybody.
//!
//! A block is checked as a whole, column by column, before any of its rows is given out: what is wrong anywhere refuses it. What is
//! kept of each column is where its values are, in memory that serves block after block; the values themselves stay where they
//! were decompressed, and [`RowsRef`] gives them out from there.

use serde::Deserialize;
use serde_bytes::Bytes;

use super::columns::Columns;
use super::taken::{Taken, Whole, unfold};
use super::view::{RowsRef, TextRef};
use super::{
    Codec, ENTRIES_MAX, ITEMS_MAX, NAMES_LEN_MAX, RATIO_MAX, RAW_LEN_MAX, ROWS_MAX, TAG_BYTES, TAG_CUT,
    TAG_EVENT, TAG_F64, TAG_I64, TAG_LINK, TAG_MASK, TAG_PACKED, TAG_STR, TAG_U64, Undecodable,
};
use crate::SpanData;
use crate::combine::CombinedKey;
use crate::packed::is_whole;

/// Decodes payloads, one after another, in memory that it keeps.
#[derive(Default)]
pub(crate) struct BlockDecoder {
    raw: Vec<u8>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    places: Places,
}

/// The rows of a block.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Rows {
    /// Spans that ended or were interrupted.
    pub(crate) spans: Vec<SpanData>,
    /// Announcements of spans that are open; each ends when it starts.
    pub(crate) starts: Vec<SpanData>,
}

/// What a block's numbers say: the values of numeric columns, and where in the other columns values are. An end is where a
/// piece ends, and the next begins.
#[derive(Default)]
pub(super) struct Places {
    text_ends: Vec<u32>,
    // For each row.
    pub(super) trace: Vec<u32>,
    pub(super) name: Vec<u32>,
    pub(super) start_unix_ns: Vec<u64>,
    pub(super) end_unix_ns: Vec<u64>,
    pub(super) message_ends: Vec<u32>,
    pub(super) cut: Vec<u32>,
    pub(super) entry_ends: Vec<u32>,
    pub(super) entries: Vec<EntryPlace>,
    keys: Vec<u32>,
    // For each entry of a tag.
    pub(super) i64: Vec<i64>,
    pub(super) u64: Vec<u64>,
    pub(super) str_ends: Vec<u32>,
    pub(super) bytes_ends: Vec<u32>,
    pub(super) packed_ends: Vec<u32>,
    /// How many items it may have, since the block's are limited.
    pub(super) packed_items: Vec<u32>,
    /// Less the start of its row.
    pub(super) event_time: Vec<i64>,
}

/// Where an entry has its parts.
#[derive(Clone, Copy)]
pub(super) struct EntryPlace {
    pub(super) tag: u8,
    /// The text that is its key or name; 0 for a link.
    pub(super) key: u32,
    /// Which of its tag it is.
    pub(super) of_tag: u32,
}

impl BlockDecoder {
    /// Decodes the `rows` rows of a payload, and leaves out the first `skip` of them.
    pub(crate) fn decode(
        &mut self,
        payload: &[u8],
        codec: Codec,
        raw_len: u32,
        rows: u32,
        skip: u32,
    ) -> Result<Rows, Undecodable> {
        self.view(payload, codec, raw_len, rows, skip).map(|rows| rows.to_rows())
    }

    /// Likewise, without a copy of any value.
    pub(crate) fn view<'a>(
        &'a mut self,
        payload: &'a [u8],
        codec: Codec,
        raw_len: u32,
        rows: u32,
        skip: u32,
    ) -> Result<RowsRef<'a>, Undecodable> {
        is_possible(payload, raw_len, rows)?;
        let BlockDecoder { raw, zstd, places } = self;
        let raw = match codec {
            Codec::Stored => payload,
            Codec::Zstd => {
                decompress(zstd, payload, raw_len, raw)?;
                raw
            }
        };
        places.view(raw, raw_len, rows, skip)
    }

    /// Likewise, of a payload that need not stay where it is.
    pub(crate) fn view_apart(
        &mut self,
        payload: &[u8],
        codec: Codec,
        raw_len: u32,
        rows: u32,
        skip: u32,
    ) -> Result<RowsRef<'_>, Undecodable> {
        is_possible(payload, raw_len, rows)?;
        let BlockDecoder { raw, zstd, places } = self;
        match codec {
            Codec::Stored => {
                raw.clear();
                raw.extend_from_slice(payload);
            }
            Codec::Zstd => decompress(zstd, payload, raw_len, raw)?,
        }
        places.view(raw, raw_len, rows, skip)
    }

    /// How many bytes its memory has for what is decompressed. What it keeps besides is no more than a few times that.
    pub(crate) fn capacity(&self) -> usize {
        self.raw.capacity()
    }
}

/// Refuses what no block can be, before anything is made room for.
fn is_possible(payload: &[u8], raw_len: u32, rows: u32) -> Result<(), Undecodable> {
    let ratio_is_possible = u64::from(raw_len) <= RATIO_MAX.saturating_mul(payload.len() as u64);
    if raw_len > RAW_LEN_MAX || rows > ROWS_MAX || !ratio_is_possible {
        return Err(Undecodable::TooLarge);
    }
    Ok(())
}

/// At most `raw_len` bytes, whatever the frame says: straight into memory of that size, with no window beside it.
fn decompress(
    zstd: &mut Option<zstd::bulk::Decompressor<'static>>,
    payload: &[u8],
    raw_len: u32,
    raw: &mut Vec<u8>,
) -> Result<(), Undecodable> {
    if zstd.is_none() {
        *zstd = zstd::bulk::Decompressor::new().ok();
    }
    let zstd = zstd.as_mut().ok_or(Undecodable::Compression)?;
    raw.clear();
    // The capacity is the limit, and may be larger from an earlier block; the caller compares the length.
    raw.reserve_exact(raw_len as usize);
    zstd.decompress_to_buffer(payload, raw).map(drop).map_err(|_| Undecodable::Compression)
}

impl Places {
    /// The rows that these bytes hold, but for the first `skip` of them.
    fn view<'a>(
        &'a mut self,
        raw: &'a [u8],
        raw_len: u32,
        rows: u32,
        skip: u32,
    ) -> Result<RowsRef<'a>, Undecodable> {
        if raw.len() != raw_len as usize {
            return Err(Undecodable::Compression);
        }
        let mut deserializer = rmp_serde::Deserializer::from_read_ref(raw);
        // The map and its columns; a column of a later version may hold something deeper, but not much.
        deserializer.set_max_depth(16);
        let columns = Columns::<&Bytes>::deserialize(&mut deserializer).map_err(|_| Undecodable::Columns)?;
        let mut view = self.check(&columns.taken(), rows as usize)?;
        view.skip(skip as usize);
        Ok(view)
    }

    /// Goes through all columns, and refuses what is not as the format says.
    fn check<'a>(
        &'a mut self,
        columns: &Columns<Taken<'a>>,
        rows: usize,
    ) -> Result<RowsRef<'a>, Undecodable> {
        let Ok(state) = columns.state.bytes(rows) else { return Err(columns.state.refuse()) };
        let entries = columns.tag.len();
        if entries > ENTRIES_MAX {
            return Err(Undecodable::TooLarge);
        }
        let trace_ids = columns.trace_ids.arrays(columns.trace_ids.len().div_ceil(16))?;
        if trace_ids.len() > rows {
            return Err(columns.trace_ids.refuse());
        }
        let (texts, longest) = self.check_texts(columns, rows + entries)?;
        let messages = self.check_rows(columns, rows, trace_ids.len(), texts.len())?;
        let counts = self.check_entries(columns, texts.len())?;
        if longest.saturating_mul(rows + entries) > NAMES_LEN_MAX {
            self.check_names_len(columns, &texts)?;
        }
        let of_tag = |tag: u8| counts[usize::from(tag)] as usize;
        columns.i64.numbers(of_tag(TAG_I64), &mut self.i64, unfold)?;
        columns.u64.numbers(of_tag(TAG_U64), &mut self.u64, |number| number)?;
        let f64 = columns.f64.arrays(of_tag(TAG_F64))?;
        let str = columns.str.text()?;
        columns.str_len.ends(of_tag(TAG_STR), Whole::of_text(columns.str, str), &mut self.str_ends)?;
        let (bytes, packed) = (Whole::of_bytes(columns.bytes), Whole::of_bytes(columns.packed));
        columns.bytes_len.ends(of_tag(TAG_BYTES), bytes, &mut self.bytes_ends)?;
        columns.packed_len.ends(of_tag(TAG_PACKED), packed, &mut self.packed_ends)?;
        columns.event_time.numbers(of_tag(TAG_EVENT), &mut self.event_time, unfold)?;
        let link_trace = columns.link_trace.arrays(of_tag(TAG_LINK))?;
        let link_span = columns.link_span.arrays(of_tag(TAG_LINK))?;
        let packed = columns.packed.bytes(columns.packed.len())?;
        self.count_packed(packed);
        Ok(RowsRef {
            at: 0,
            end: rows,
            are_flat: self.packed_ends.is_empty() && texts.iter().all(|text| text.combined.is_none()),
            trace_ids,
            texts,
            state,
            kind: columns.kind.bytes(rows)?,
            span_id: columns.span_id.arrays(rows)?,
            parent_id: columns.parent_id.arrays(rows)?,
            messages,
            f64,
            str,
            bytes: columns.bytes.bytes(columns.bytes.len())?,
            packed,
            link_trace,
            link_span,
            places: self,
        })
    }

    /// The names and keys, no more than `most`, and the length of the longest.
    fn check_texts<'a>(
        &mut self,
        columns: &Columns<Taken<'a>>,
        most: usize,
    ) -> Result<(Vec<TextRef<'a>>, usize), Undecodable> {
        let count = columns.text_lens.count();
        if count > most {
            return Err(columns.text_lens.refuse());
        }
        let whole = columns.texts.text()?;
        columns.text_lens.ends(count, Whole::of_text(columns.texts, whole), &mut self.text_ends)?;
        let mut texts = Vec::with_capacity(count);
        let (mut start, mut longest) = (0, 0);
        for &end in &self.text_ends {
            let end = end as usize;
            let text = whole.get(start..end).ok_or(columns.texts.refuse())?;
            texts.push(TextRef { text, combined: CombinedKey::of(text) });
            longest = longest.max(text.len());
            start = end;
        }
        Ok((texts, longest))
    }

    /// All that there is for each row and is a number; returns the status messages.
    fn check_rows<'a>(
        &mut self,
        columns: &Columns<Taken<'a>>,
        rows: usize,
        traces: usize,
        texts: usize,
    ) -> Result<&'a str, Undecodable> {
        columns.trace.indexes(rows, traces, &mut self.trace)?;
        columns.name.indexes(rows, texts, &mut self.name)?;
        let mut previous = 0_u64;
        columns.start.numbers(rows, &mut self.start_unix_ns, |folded| {
            previous = previous.wrapping_add(unfold(folded).cast_unsigned());
            previous
        })?;
        columns.duration.numbers(rows, &mut self.end_unix_ns, |duration| duration)?;
        let mut ends_too_late = false;
        for (end, start) in self.end_unix_ns.iter_mut().zip(&self.start_unix_ns) {
            let (sum, is_too_late) = start.overflowing_add(*end);
            *end = sum;
            ends_too_late |= is_too_late;
        }
        if ends_too_late {
            return Err(columns.duration.refuse());
        }
        let messages = columns.messages.text()?;
        columns.message_len.ends(rows, Whole::of_text(columns.messages, messages), &mut self.message_ends)?;
        let mut is_too_large = false;
        columns.cut.numbers(rows, &mut self.cut, |cut| {
            u32::try_from(cut).unwrap_or_else(|_| {
                is_too_large = true;
                0
            })
        })?;
        if is_too_large {
            return Err(columns.cut.refuse());
        }
        columns.entries.ends(rows, Whole::of_bytes(columns.tag), &mut self.entry_ends)?;
        Ok(messages)
    }

    /// The tags and keys; returns how many entries there are of each tag.
    fn check_entries(
        &mut self,
        columns: &Columns<Taken<'_>>,
        texts: usize,
    ) -> Result<[u32; 16], Undecodable> {
        let tags = columns.tag.bytes(columns.tag.len())?;
        let links = tags.iter().filter(|&tag| tag & TAG_MASK == TAG_LINK).count();
        columns.key.indexes(tags.len() - links, texts, &mut self.keys)?;
        let mut keys = self.keys.iter();
        let mut counts = [0_u32; 16];
        self.entries.clear();
        self.entries.extend(tags.iter().map(|&tag| {
            let count = &mut counts[usize::from(tag & TAG_MASK)];
            let of_tag = *count;
            *count += 1;
            let key = if tag & TAG_MASK == TAG_LINK { 0 } else { keys.next().copied().unwrap_or(0) };
            EntryPlace { tag, key, of_tag }
        }));
        if counts[usize::from(TAG_LINK) + 1..].iter().any(|&count| count > 0) {
            return Err(columns.tag.refuse());
        }
        Ok(counts)
    }

    /// Makes sure that names and keys do not take too much once each row has its own.
    fn check_names_len(
        &self,
        columns: &Columns<Taken<'_>>,
        texts: &[TextRef<'_>],
    ) -> Result<(), Undecodable> {
        let len = |text: &u32| texts.get(*text as usize).map_or(0, |text| text.text.len());
        let names: usize = self.name.iter().map(len).sum();
        if names > NAMES_LEN_MAX {
            return Err(columns.name.refuse());
        }
        let keys: usize = self.keys.iter().map(len).sum();
        if names + keys > NAMES_LEN_MAX { Err(columns.key.refuse()) } else { Ok(()) }
    }

    /// Counts packed values that are no MessagePack, or too much of it, as cut in their rows.
    fn count_packed(&mut self, packed: &[u8]) {
        self.packed_items.clear();
        if self.packed_ends.is_empty() {
            return;
        }
        let mut items = ITEMS_MAX;
        let mut start = 0;
        let of_packed =
            self.entries.iter().enumerate().filter(|(_, place)| place.tag & TAG_MASK == TAG_PACKED);
        for ((entry, place), &end) in of_packed.zip(&self.packed_ends) {
            let bytes = packed.get(start..end as usize).unwrap_or_default();
            start = end as usize;
            self.packed_items.push(u32::try_from(items).unwrap_or(u32::MAX));
            if !is_whole(bytes, &mut items) && place.tag & TAG_CUT == 0 {
                let row = self.entry_ends.partition_point(|&end| end as usize <= entry);
                if let Some(cut) = self.cut.get_mut(row) {
                    *cut = cut.saturating_add(1);
                }
            }
        }
    }
}
