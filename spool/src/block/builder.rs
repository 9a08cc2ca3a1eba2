//! Building a block: spans go in as they lie in rings and tables, columns come out.
//!
//! All buffers are kept from block to block, so that a row costs no allocation once they have grown.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use serde::Serialize;
use spanring::clock::Timeline;
use spanring::record::{Body, Entry, Malformed, Scalar, Text, Time};
use spanring::{Status, TraceId};

use super::columns::{Column, Columns, put_bytes, put_number, put_signed};
use super::{
    Codec, Compression, ENTRIES_MAX, NAMES_LEN_MAX, Names, Payload, RAW_LEN_MAX, ROWS_MAX, STATE_INTERRUPTED,
    STATE_STARTED, TAG_BYTES, TAG_CUT, TAG_EVENT, TAG_F64, TAG_FALSE, TAG_I64, TAG_IN_EVENT, TAG_NULL,
    TAG_PACKED, TAG_STR, TAG_TRUE, TAG_U64,
};
use crate::Error;

/// Turns spans into the payload of a block, again and again.
pub(crate) struct BlockBuilder {
    columns: Columns<Column>,
    rows: u32,
    previous_start_ns: u64,
    traces: Traces,
    texts: Texts,
    raw: Vec<u8>,
    compressor: Option<Compressor>,
}

struct Compressor {
    level: i32,
    zstd: zstd::bulk::Compressor<'static>,
}

/// How a row ends.
struct RowEnd {
    end_unix_ns: u64,
    status: Status,
    /// Bits of the state beside the status.
    state: u8,
}

impl BlockBuilder {
    /// A builder of empty blocks.
    pub(crate) fn new() -> Self {
        BlockBuilder {
            columns: Columns::default(),
            rows: 0,
            previous_start_ns: 0,
            traces: Traces::default(),
            texts: Texts::default(),
            raw: Vec::new(),
            compressor: None,
        }
    }

    /// Adds a span that ended.
    ///
    /// Where an entry is malformed, the row has the entries before it and counts one value more as cut; what is
    /// wrong is returned for the caller to count. No span is refused.
    pub(crate) fn push_ended(
        &mut self,
        body: &Body<'_>,
        end: Time,
        timeline: &Timeline,
        names: &impl Names,
    ) -> Option<Malformed> {
        let start_unix_ns = start_unix_ns(body, timeline);
        let end_unix_ns = after_start(body.head.start, start_unix_ns, end, timeline).max(start_unix_ns);
        let end = RowEnd { end_unix_ns, status: body.head.status, state: 0 };
        self.push(body, start_unix_ns, &end, timeline, names)
    }

    /// Adds the announcement of a span that started; otherwise as [`push_ended`](Self::push_ended).
    pub(crate) fn push_started(
        &mut self,
        body: &Body<'_>,
        timeline: &Timeline,
        names: &impl Names,
    ) -> Option<Malformed> {
        let start_unix_ns = start_unix_ns(body, timeline);
        let end = RowEnd { end_unix_ns: start_unix_ns, status: body.head.status, state: STATE_STARTED };
        self.push(body, start_unix_ns, &end, timeline, names)
    }

    /// Adds a span whose process died before it ended, at `end_unix_ns`: its status becomes an error of type
    /// `process_exit`. Otherwise as [`push_ended`](Self::push_ended).
    pub(crate) fn push_interrupted(
        &mut self,
        body: &Body<'_>,
        end_unix_ns: u64,
        timeline: &Timeline,
        names: &impl Names,
    ) -> Option<Malformed> {
        let start_unix_ns = start_unix_ns(body, timeline);
        let end_unix_ns = end_unix_ns.max(start_unix_ns);
        let end = RowEnd { end_unix_ns, status: Status::Error, state: STATE_INTERRUPTED };
        self.push(body, start_unix_ns, &end, timeline, names)
    }

    /// How many rows were pushed since the last [`finish`](Self::finish).
    pub(crate) fn rows(&self) -> u32 {
        self.rows
    }

    /// About how large the block is before compression, in bytes: what to close a block by.
    pub(crate) fn raw_len(&self) -> usize {
        // Rows that are few bytes and name long names count for more, so that NAMES_LEN_MAX stays out of reach.
        self.columns.len().max(self.texts.spread_len / 16)
    }

    /// The payload of all rows pushed, after which the builder is empty.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] where a reader would refuse the block, which a caller that minds
    /// [`raw_len`](Self::raw_len) never sees. The rows are gone.
    pub(crate) fn finish(&mut self, compression: Compression) -> Result<Payload, Error> {
        self.raw.clear();
        let mut serializer = rmp_serde::Serializer::new(&mut self.raw).with_struct_map();
        self.columns.serialize(&mut serializer).expect("columns of bytes can be written to memory");
        let rows = std::mem::take(&mut self.rows);
        let entries = self.columns.tag.len();
        let spread_len = self.texts.spread_len;
        self.columns.clear();
        self.traces.clear();
        self.texts.clear();

        let raw_len = match u32::try_from(self.raw.len()) {
            Ok(raw_len) if raw_len <= RAW_LEN_MAX => raw_len,
            _ => return Err(too_large("a block", self.raw.len(), RAW_LEN_MAX as usize)),
        };
        if rows > ROWS_MAX {
            return Err(too_large("a block's number of rows", rows as usize, ROWS_MAX as usize));
        }
        if entries > ENTRIES_MAX {
            return Err(too_large("a block's number of entries", entries, ENTRIES_MAX));
        }
        if spread_len > NAMES_LEN_MAX {
            return Err(too_large("a block's names and keys", spread_len, NAMES_LEN_MAX));
        }
        if let Compression::Zstd(level) = compression
            && let Some(bytes) = self.compress(level)
        {
            return Ok(Payload { bytes, raw_len, codec: Codec::Zstd });
        }
        Ok(Payload { bytes: self.raw.clone(), raw_len, codec: Codec::Stored })
    }

    /// `None` where that gains nothing, or memory for it is short.
    fn compress(&mut self, level: i32) -> Option<Vec<u8>> {
        if self.compressor.as_ref().is_none_or(|compressor| compressor.level != level) {
            let zstd = zstd::bulk::Compressor::new(level).ok();
            self.compressor = zstd.map(|zstd| Compressor { level, zstd });
        }
        let bytes = self.compressor.as_mut()?.zstd.compress(&self.raw).ok()?;
        (bytes.len() < self.raw.len()).then_some(bytes)
    }

    fn push(
        &mut self,
        body: &Body<'_>,
        start_unix_ns: u64,
        end: &RowEnd,
        timeline: &Timeline,
        names: &impl Names,
    ) -> Option<Malformed> {
        let head = &body.head;
        let mut row =
            Row { columns: &mut self.columns, texts: &mut self.texts, entries: 0, cut: head.left_out.into() };

        let name = row.text(head.name, names);
        put_number(&mut row.columns.name, name);
        let mut message = &[][..];
        let mut malformed = None;
        for entry in body.entries() {
            match entry {
                Ok(Entry::Attribute { key, value, cut, in_event }) => {
                    let key = row.text(key, names);
                    row.attribute(key, value, cut, in_event);
                }
                Ok(Entry::Event { name, time }) => {
                    let name = row.text(name, names);
                    let time = after_start(head.start, start_unix_ns, time, timeline);
                    row.entry(TAG_EVENT, name);
                    put_signed(&mut row.columns.event_time, time.wrapping_sub(start_unix_ns).cast_signed());
                }
                Ok(Entry::StatusMessage { text, cut }) => {
                    message = text;
                    row.cut += u32::from(cut);
                }
                Err(error) => {
                    malformed = Some(error);
                    row.cut += 1;
                }
            }
        }
        if end.state & STATE_INTERRUPTED != 0 {
            let key = row.texts.inline("error.type", row.columns);
            row.attribute(key, Scalar::Str(b"process_exit"), false, false);
        }
        row.message(message);

        let Row { columns, entries, cut, .. } = row;
        put_number(&mut columns.entries, entries.into());
        put_number(&mut columns.cut, cut.into());
        columns.state.push(end.status as u8 | end.state);
        columns.kind.push(head.kind as u8);
        put_number(&mut columns.trace, self.traces.index(head.trace_id, &mut columns.trace_ids));
        columns.span_id.extend_from_slice(&head.span_id.to_bytes());
        columns.parent_id.extend_from_slice(&head.parent_id.to_bytes());
        let previous_start_ns = if self.rows == 0 { 0 } else { self.previous_start_ns };
        put_signed(&mut columns.start, start_unix_ns.wrapping_sub(previous_start_ns).cast_signed());
        put_number(&mut columns.duration, end.end_unix_ns - start_unix_ns);
        self.previous_start_ns = start_unix_ns;
        self.rows += 1;
        malformed
    }
}

fn too_large(what: &'static str, len: usize, max: usize) -> Error {
    Error::TooLarge { what, len: len as u64, max: max as u64 }
}

fn start_unix_ns(body: &Body<'_>, timeline: &Timeline) -> u64 {
    match body.head.start {
        Time::Ticks(ticks) => timeline.unix_ns(ticks),
        Time::UnixNs(ns) => ns,
    }
}

/// A moment of a span in Unix nanoseconds: the span's start and the ticks since, so that a clock that was set
/// meanwhile does not show.
fn after_start(start: Time, start_unix_ns: u64, time: Time, timeline: &Timeline) -> u64 {
    match (start, time) {
        (Time::Ticks(start), Time::Ticks(ticks)) => {
            start_unix_ns.saturating_add(timeline.elapsed_ns(start, ticks))
        }
        (Time::UnixNs(_), Time::Ticks(ticks)) => timeline.unix_ns(ticks),
        (_, Time::UnixNs(ns)) => ns,
    }
}

/// A row whose entries are being written.
struct Row<'a> {
    columns: &'a mut Columns<Column>,
    texts: &'a mut Texts,
    entries: u32,
    cut: u32,
}

impl Row<'_> {
    /// The index of a name or key; one that is not in the dictionary becomes its number with a question mark.
    #[inline]
    fn text(&mut self, text: Text<'_>, names: &impl Names) -> u64 {
        let number = match text {
            Text::Known(number) => number,
            Text::Inline(text) => return self.inline(text),
        };
        if let Some(index) = self.texts.known(number) {
            return index;
        }
        match names.text(number) {
            Some(text) => self.texts.learn(number, text, self.columns),
            None => {
                self.cut += 1;
                self.texts.inline(&format!("?{number}"), self.columns)
            }
        }
    }

    fn inline(&mut self, text: &[u8]) -> u64 {
        match std::str::from_utf8(text) {
            Ok(text) => self.texts.inline(text, self.columns),
            Err(_) => {
                self.cut += 1;
                self.texts.inline(&String::from_utf8_lossy(text), self.columns)
            }
        }
    }

    #[inline]
    fn entry(&mut self, tag: u8, key: u64) {
        self.columns.tag.push(tag);
        put_number(&mut self.columns.key, key);
        self.entries += 1;
    }

    #[inline]
    fn attribute(&mut self, key: u64, value: Scalar<'_>, mut cut: bool, in_event: bool) {
        let columns = &mut *self.columns;
        let tag = match value {
            Scalar::Bool(false) => TAG_FALSE,
            Scalar::Bool(true) => TAG_TRUE,
            Scalar::I64(value) => {
                put_signed(&mut columns.i64, value);
                TAG_I64
            }
            Scalar::U64(value) => {
                put_number(&mut columns.u64, value);
                TAG_U64
            }
            Scalar::F64(value) => {
                columns.f64.extend_from_slice(&value.to_le_bytes());
                TAG_F64
            }
            Scalar::Str(text) => {
                cut |= put_text(&mut columns.str_len, &mut columns.str, text);
                TAG_STR
            }
            Scalar::Bytes(bytes) => {
                put_bytes(&mut columns.bytes_len, &mut columns.bytes, bytes);
                TAG_BYTES
            }
            Scalar::Packed(bytes) => {
                put_bytes(&mut columns.packed_len, &mut columns.packed, bytes);
                TAG_PACKED
            }
            Scalar::Failed => {
                cut = true;
                TAG_NULL
            }
        };
        self.cut += u32::from(cut);
        let cut = if cut { TAG_CUT } else { 0 };
        let in_event = if in_event { TAG_IN_EVENT } else { 0 };
        self.entry(tag | cut | in_event, key);
    }

    fn message(&mut self, text: &[u8]) {
        let damaged = put_text(&mut self.columns.message_len, &mut self.columns.messages, text);
        self.cut += u32::from(damaged);
    }
}

/// Appends text, and says whether it was damaged: what is no UTF-8 becomes U+FFFD.
#[inline]
fn put_text(lens: &mut Column, content: &mut Column, text: &[u8]) -> bool {
    let damaged = std::str::from_utf8(text).is_err();
    if damaged {
        put_bytes(lens, content, String::from_utf8_lossy(text).as_bytes());
    } else {
        put_bytes(lens, content, text);
    }
    damaged
}

/// The traces of the block.
#[derive(Default)]
struct Traces {
    indices: HashMap<TraceId, u64>,
    last: Option<(TraceId, u64)>,
}

impl Traces {
    #[inline]
    fn index(&mut self, id: TraceId, ids: &mut Column) -> u64 {
        match self.last {
            Some((last, index)) if last == id => index,
            _ => {
                let next = self.indices.len() as u64;
                let index = *self.indices.entry(id).or_insert(next);
                if index == next {
                    ids.extend_from_slice(&id.to_bytes());
                }
                self.last = Some((id, index));
                index
            }
        }
    }

    fn clear(&mut self) {
        self.indices.clear();
        self.last = None;
    }
}

/// The names and keys of the block.
#[derive(Default)]
struct Texts {
    /// By their number in the dictionary.
    known: Vec<Option<u32>>,
    /// By the hash of the text, for those that are in no dictionary.
    inline: HashMap<u64, u32>,
    hasher: RandomState,
    /// Where each one lies in the column.
    ranges: Vec<(usize, usize)>,
    /// How many bytes they take where each is written out.
    spread_len: usize,
}

impl Texts {
    #[inline]
    fn known(&mut self, number: u16) -> Option<u64> {
        let index = (*self.known.get(usize::from(number))?)?;
        let (start, end) = self.ranges[index as usize];
        self.spread_len += end - start;
        Some(index.into())
    }

    fn learn(&mut self, number: u16, text: &str, columns: &mut Columns<Column>) -> u64 {
        let index = self.add(text, columns);
        let number = usize::from(number);
        if number >= self.known.len() {
            self.known.resize(number + 1, None);
        }
        self.known[number] = Some(index);
        index.into()
    }

    /// Two texts of the same hash are rare, and the later one then simply stands there as often as it is used.
    fn inline(&mut self, text: &str, columns: &mut Columns<Column>) -> u64 {
        let hash = self.hasher.hash_one(text);
        if let Some(&index) = self.inline.get(&hash) {
            let (start, end) = self.ranges[index as usize];
            if columns.texts[start..end] == *text.as_bytes() {
                self.spread_len += text.len();
                return index.into();
            }
        }
        let index = self.add(text, columns);
        self.inline.insert(hash, index);
        index.into()
    }

    fn add(&mut self, text: &str, columns: &mut Columns<Column>) -> u32 {
        let start = columns.texts.len();
        put_bytes(&mut columns.text_lens, &mut columns.texts, text.as_bytes());
        let index = u32::try_from(self.ranges.len()).expect("memory holds no 4 billion texts");
        self.ranges.push((start, columns.texts.len()));
        self.spread_len += text.len();
        index
    }

    fn clear(&mut self) {
        self.known.fill(None);
        self.inline.clear();
        self.ranges.clear();
        self.spread_len = 0;
    }
}
