//! Building a block: spans go in as they lie in rings and tables, columns come out.
//!
//! All buffers are kept from block to block, so that a row costs no allocation once they have grown.

use std::io;

use serde::Serialize;
use spanring::clock::Timeline;
use spanring::names::{DEADLINE, ERROR_TYPE, INPUT};
use spanring::record::{Body, Entry, Malformed, Scalar, Text, Time};
use spanring::{SpanId, Status, TraceId};
use zstd::zstd_safe::{self, CParameter};

use super::columns::{Column, Columns, put_bytes, put_number, put_signed};
use super::life::{Report, Start, whole_number};
use super::tables::{Role, Texts, Traces};
use super::{
    Codec, Compression, ENTRIES_MAX, NAMES_LEN_MAX, Names, Payload, RAW_LEN_MAX, ROWS_MAX, STATE_PENDING,
    TAG_BYTES, TAG_CUT, TAG_EVENT, TAG_F64, TAG_FALSE, TAG_I64, TAG_IN_EVENT, TAG_LINK, TAG_NULL, TAG_PACKED,
    TAG_STR, TAG_TRUE, TAG_U64,
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
    compressed: Vec<u8>,
    compressor: Option<zstd::bulk::Compressor<'static>>,
    /// Payloads that nobody needs any more, whose memory is used again.
    spent: Vec<Vec<u8>>,
}

/// A compressor whose memory is used for every level, and grows to what the highest needs.
fn compressor() -> io::Result<zstd::bulk::Compressor<'static>> {
    let mut zstd = zstd::bulk::Compressor::new(0)?;
    zstd.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    Ok(zstd)
}

/// The binary logarithm of how far back in a block compression looks for repetitions: all of it. Agents send the same texts to
/// a model again and again, and fast levels would look back half as far. It costs neither time nor memory.
const WINDOW_LOG: u32 = 20;
/// How many spent payloads are kept: what is committed and not durable yet is many small blocks or few large ones.
const SPENT_MAX: usize = 8;

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
            compressed: Vec::new(),
            compressor: None,
            spent: Vec::new(),
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
        let start = Start::of(body, timeline);
        let end_unix_ns = start.moment(end, timeline);
        // Ticks may be a little behind where threads changed processors; a caller's word is not.
        let is_reversed = end_unix_ns < start.unix_ns && matches!(end, Time::UnixNs(_));
        let report = if is_reversed { Report::EndedBeforeStart } else { Report::Ended };
        self.push(body, &start, end_unix_ns, report, timeline, names)
    }

    /// Adds the announcement of a span that started, or is pending; otherwise as [`push_ended`](Self::push_ended).
    pub(crate) fn push_started(
        &mut self,
        body: &Body<'_>,
        timeline: &Timeline,
        names: &impl Names,
    ) -> Option<Malformed> {
        let start = Start::of(body, timeline);
        self.push(body, &start, start.unix_ns, Report::Open, timeline, names)
    }

    /// Adds a span whose process died before it ended, at `end_unix_ns`: it gets the error type `process_exit`, and its
    /// status becomes an error, unless its deadline had passed. Otherwise as [`push_ended`](Self::push_ended).
    pub(crate) fn push_interrupted(
        &mut self,
        body: &Body<'_>,
        end_unix_ns: u64,
        timeline: &Timeline,
        names: &impl Names,
    ) -> Option<Malformed> {
        let start = Start::of(body, timeline);
        self.push(body, &start, end_unix_ns, Report::Interrupted, timeline, names)
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
        let is_smaller = match compression {
            Compression::Zstd(level) => self.compress(level),
            Compression::None => false,
        };
        let (made, codec) =
            if is_smaller { (&self.compressed, Codec::Zstd) } else { (&self.raw, Codec::Stored) };
        let mut bytes = self.spent.pop().unwrap_or_default();
        bytes.clear();
        bytes.extend_from_slice(made);
        Ok(Payload { bytes, raw_len, codec })
    }

    /// Takes a payload's memory back, for the payloads to come.
    pub(crate) fn take_back(&mut self, payload: Payload) {
        if self.spent.len() < SPENT_MAX {
            self.spent.push(payload.bytes);
        }
    }

    /// Compresses the map, and says whether that gained anything; where memory for it is short, it does not.
    fn compress(&mut self, level: i32) -> bool {
        if self.compressor.is_none() {
            self.compressor = compressor().ok();
        }
        let Some(zstd) = &mut self.compressor else { return false };
        if zstd.set_parameter(CParameter::CompressionLevel(level)).is_err() {
            return false;
        }
        // The buffer grows to the largest that was needed, and its memory is the builder's from then on.
        self.compressed.clear();
        self.compressed.reserve(zstd_safe::compress_bound(self.raw.len()));
        zstd.compress_to_buffer(&self.raw, &mut self.compressed).is_ok_and(|len| len < self.raw.len())
    }

    /// Adds a row; one that would end before it starts ends when it starts.
    fn push(
        &mut self,
        body: &Body<'_>,
        start: &Start,
        end_unix_ns: u64,
        report: Report,
        timeline: &Timeline,
        names: &impl Names,
    ) -> Option<Malformed> {
        let head = &body.head;
        let mut row =
            Row { columns: &mut self.columns, texts: &mut self.texts, entries: 0, cut: head.left_out.into() };

        let mut name = head.name;
        if start.by_drop {
            row.default_input(body, names);
        }
        let mut message = &[][..];
        let mut deadline_ns = None;
        let mut malformed = None;
        for entry in body.entries() {
            match entry {
                Ok(Entry::Attribute { key, value, cut, in_event }) => {
                    match row.role(key, names) {
                        Role::None => {}
                        _ if in_event => {}
                        // It has been dealt with, or nobody needs it.
                        Role::DefaultInput => continue,
                        Role::Deadline => deadline_ns = whole_number(value),
                    }
                    let key = row.text(key, names);
                    row.attribute(key, value, cut, in_event);
                }
                Ok(Entry::Event { name, time }) => {
                    let name = row.text(name, names);
                    let since_start = start.moment(time, timeline).wrapping_sub(start.unix_ns);
                    row.entry(TAG_EVENT, name);
                    put_signed(&mut row.columns.event_time, since_start.cast_signed());
                }
                Ok(Entry::Name { text }) => name = Text::Inline(text),
                Ok(Entry::Link { trace_id, span_id }) => row.link(trace_id, span_id),
                Ok(Entry::Deadline { ns }) => {
                    deadline_ns = Some(ns);
                    let key = row.texts.inline(DEADLINE, row.columns);
                    row.attribute(key, Scalar::U64(ns), false, false);
                }
                // What it says is in the row's start and state.
                Ok(Entry::Started { .. }) => {}
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
        if report == Report::Interrupted {
            let key = row.texts.inline(ERROR_TYPE, row.columns);
            row.attribute(key, Scalar::Str(b"process_exit"), false, false);
        }
        row.cut += u32::from(report == Report::EndedBeforeStart);
        let duration_ns = end_unix_ns.saturating_sub(start.unix_ns);
        let missed_ns = deadline_ns.filter(|&ns| duration_ns > ns && !start.is_pending);
        let status = report.status(head.status, missed_ns.is_some());
        match missed_ns {
            Some(ns) if status == Status::TimedOut && message.is_empty() => {
                row.message(format!("timed out after {} s", ns as f64 / 1e9).as_bytes());
            }
            _ => row.message(message),
        }

        let name = row.text(name, names);
        let Row { columns, entries, cut, .. } = row;
        put_number(&mut columns.name, name);
        put_number(&mut columns.entries, entries.into());
        put_number(&mut columns.cut, cut.into());
        let pending = if start.is_pending { STATE_PENDING } else { 0 };
        columns.state.push(status as u8 | report.state() | pending);
        columns.kind.push(head.kind as u8);
        put_number(&mut columns.trace, self.traces.index(head.trace_id, &mut columns.trace_ids));
        columns.span_id.extend_from_slice(&head.span_id.to_bytes());
        columns.parent_id.extend_from_slice(&head.parent_id.to_bytes());
        let previous_start_ns = if self.rows == 0 { 0 } else { self.previous_start_ns };
        put_signed(&mut columns.start, start.unix_ns.wrapping_sub(previous_start_ns).cast_signed());
        put_number(&mut columns.duration, duration_ns);
        self.previous_start_ns = start.unix_ns;
        self.rows += 1;
        malformed
    }
}

fn too_large(what: &'static str, len: usize, max: usize) -> Error {
    Error::TooLarge { what, len: len as u64, max: max as u64 }
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
        match self.texts.known(number) {
            Some(known) => self.texts.used(known),
            None => self.learn(number, names),
        }
    }

    #[cold]
    fn learn(&mut self, number: u16, names: &impl Names) -> u64 {
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

    /// What a key means; it need not be among the names and keys of the block yet.
    #[inline]
    fn role(&self, key: Text<'_>, names: &impl Names) -> Role {
        match key {
            Text::Known(number) => match self.texts.known(number) {
                Some(known) => known.role,
                None => Role::of(names.text(number).unwrap_or_default().as_bytes()),
            },
            Text::Inline(text) => Role::of(text),
        }
    }

    /// The default input, as input: before all else, so that the input that was given is merged over it.
    fn default_input(&mut self, body: &Body<'_>, names: &impl Names) {
        for entry in body.entries() {
            if let Ok(Entry::Attribute { key, value, cut, in_event: false }) = entry
                && self.role(key, names) == Role::DefaultInput
            {
                let key = self.texts.inline(INPUT, self.columns);
                self.attribute(key, value, cut, false);
            }
        }
    }

    fn link(&mut self, trace_id: TraceId, span_id: SpanId) {
        self.columns.tag.push(TAG_LINK);
        self.columns.link_trace.extend_from_slice(&trace_id.to_bytes());
        self.columns.link_span.extend_from_slice(&span_id.to_bytes());
        self.entries += 1;
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
