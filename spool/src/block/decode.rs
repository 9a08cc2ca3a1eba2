//! Reading a block back, from bytes whose checksum is right and whose author may still be anybody.

use serde::Deserialize;
use serde_bytes::Bytes;
use spanring::{Kind, SpanId, Status, TraceId};

use super::columns::{Columns, Taken, TakenText};
use super::{
    Codec, ENTRIES_MAX, ITEMS_MAX, NAMES_LEN_MAX, RATIO_MAX, RAW_LEN_MAX, ROWS_MAX, STATE_ANNOUNCEMENT,
    STATE_INTERRUPTED, STATE_PENDING, STATE_STATUS, TAG_BYTES, TAG_CUT, TAG_EVENT, TAG_F64, TAG_FALSE,
    TAG_I64, TAG_IN_EVENT, TAG_LINK, TAG_MASK, TAG_NULL, TAG_PACKED, TAG_STR, TAG_TRUE, TAG_U64, Undecodable,
};
use crate::combine::{Combinations, CombinedKey};
use crate::packed::unpack;
use crate::{EventData, LinkData, SpanData, Value};

/// For how many attributes a span has room from the beginning, if it has so many entries.
const ATTRIBUTES_USUAL: usize = 16;

/// Decodes payloads, one after another, in memory that it keeps.
#[derive(Default)]
pub(crate) struct BlockDecoder {
    raw: Vec<u8>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

/// The rows of a block.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Rows {
    /// Spans that ended or were interrupted.
    pub(crate) spans: Vec<SpanData>,
    /// Announcements of spans that are open; each ends when it starts.
    pub(crate) starts: Vec<SpanData>,
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
        let ratio_is_possible = u64::from(raw_len) <= RATIO_MAX.saturating_mul(payload.len() as u64);
        if raw_len > RAW_LEN_MAX || rows > ROWS_MAX || !ratio_is_possible {
            return Err(Undecodable::TooLarge);
        }
        let raw = match codec {
            Codec::Stored => payload,
            Codec::Zstd => self.decompress(payload, raw_len)?,
        };
        if raw.len() != raw_len as usize {
            return Err(Undecodable::Compression);
        }
        let mut deserializer = rmp_serde::Deserializer::from_read_ref(raw);
        // The map and its columns; a column of a later version may hold something deeper, but not much.
        deserializer.set_max_depth(16);
        let columns = Columns::<&Bytes>::deserialize(&mut deserializer).map_err(|_| Undecodable::Columns)?;
        RowReader::new(&columns, rows)?.read(rows, skip)
    }

    /// At most `raw_len` bytes, whatever the frame says: straight into memory of that size, with no window beside it.
    fn decompress(&mut self, payload: &[u8], raw_len: u32) -> Result<&[u8], Undecodable> {
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Decompressor::new().ok();
        }
        let zstd = self.zstd.as_mut().ok_or(Undecodable::Compression)?;
        self.raw.clear();
        self.raw.reserve_exact(raw_len as usize);
        match zstd.decompress_to_buffer(payload, &mut self.raw) {
            Ok(_) => Ok(&self.raw),
            Err(_) => Err(Undecodable::Compression),
        }
    }
}

struct RowReader<'a> {
    columns: Columns<Taken<'a>>,
    trace_ids: Vec<TraceId>,
    /// The names and keys, and which of them are keys whose values are combined.
    texts: Vec<(&'a str, Option<CombinedKey>)>,
    strs: TakenText<'a>,
    messages: TakenText<'a>,
    /// Those of the row that is being read.
    combinations: Combinations,
    /// How many bytes names and keys may still take.
    names_len: usize,
    /// How many items packed values may still have.
    items: usize,
}

impl<'a> RowReader<'a> {
    fn new(columns: &Columns<&'a Bytes>, rows: u32) -> Result<Self, Undecodable> {
        let mut columns = columns.taken();
        let (rows, entries) = (rows as usize, columns.tag.len());
        if columns.state.len() != rows {
            return Err(columns.state.refuse());
        }
        if entries > ENTRIES_MAX {
            return Err(Undecodable::TooLarge);
        }
        let mut trace_ids = Vec::new();
        while !columns.trace_ids.is_empty() {
            if trace_ids.len() == rows {
                return Err(columns.trace_ids.refuse());
            }
            trace_ids.push(TraceId::from_bytes(columns.trace_ids.array()?));
        }
        let mut column = columns.texts.text()?;
        let mut texts = Vec::new();
        while !columns.text_lens.is_empty() {
            if texts.len() == rows + entries {
                return Err(columns.text_lens.refuse());
            }
            let text = column.text(columns.text_lens.size()?)?;
            texts.push((text, CombinedKey::of(text)));
        }
        column.finish()?;
        let (strs, messages) = (columns.str.text()?, columns.messages.text()?);
        Ok(RowReader {
            columns,
            trace_ids,
            texts,
            strs,
            messages,
            combinations: Combinations::default(),
            names_len: NAMES_LEN_MAX,
            items: ITEMS_MAX,
        })
    }

    fn read(mut self, rows: u32, skip: u32) -> Result<Rows, Undecodable> {
        let mut decoded = Rows::default();
        let mut previous_start_ns = 0;
        for row in 0..rows {
            let state = self.columns.state.byte()?;
            let span = self.row(state, previous_start_ns)?;
            previous_start_ns = span.start_unix_ns;
            if row < skip {
                continue;
            }
            if span.is_open {
                decoded.starts.push(span);
            } else {
                decoded.spans.push(span);
            }
        }
        self.strs.finish()?;
        self.messages.finish()?;
        self.columns.finish()?;
        Ok(decoded)
    }

    fn row(&mut self, state: u8, previous_start_ns: u64) -> Result<SpanData, Undecodable> {
        let columns = &mut self.columns;
        let trace = columns.trace.size()?;
        let trace_id = *self.trace_ids.get(trace).ok_or(columns.trace.refuse())?;
        let span_id = SpanId::from_bytes(columns.span_id.array()?);
        let parent_id = SpanId::from_bytes(columns.parent_id.array()?);
        let kind = Kind::from_number(columns.kind.byte()?);
        let start_unix_ns = previous_start_ns.wrapping_add(columns.start.signed()?.cast_unsigned());
        let duration = columns.duration.number()?;
        let end_unix_ns = start_unix_ns.checked_add(duration).ok_or(columns.duration.refuse())?;
        let message_len = columns.message_len.size()?;
        let cut = u32::try_from(columns.cut.number()?).map_err(|_| columns.cut.refuse())?;
        let entries = columns.entries.size()?;
        let name = columns.name.size()?;
        let mut span = SpanData {
            trace_id,
            span_id,
            parent_id: parent_id.is_valid().then_some(parent_id),
            name: self.text(name).ok_or(self.columns.name.refuse())?.0.to_owned(),
            kind,
            status: Status::from_number(state & STATE_STATUS),
            status_message: self.messages.text(message_len)?.to_owned(),
            start_unix_ns,
            end_unix_ns,
            attributes: Vec::with_capacity(entries.min(ATTRIBUTES_USUAL)),
            events: Vec::new(),
            links: Vec::new(),
            is_pending: state & STATE_PENDING != 0,
            is_open: state & STATE_ANNOUNCEMENT != 0,
            interrupted: state & STATE_INTERRUPTED != 0,
            cut,
        };
        let mut owner = Owner::Span;
        for _ in 0..entries {
            self.entry(&mut span, &mut owner)?;
        }
        self.combinations.finish(&mut span.attributes);
        Ok(span)
    }

    fn entry(&mut self, span: &mut SpanData, owner: &mut Owner) -> Result<(), Undecodable> {
        let tag = self.columns.tag.byte()?;
        if tag & TAG_MASK == TAG_LINK {
            let trace_id = TraceId::from_bytes(self.columns.link_trace.array()?);
            let span_id = SpanId::from_bytes(self.columns.link_span.array()?);
            span.links.push(LinkData { trace_id, span_id, attributes: Vec::new() });
            *owner = Owner::Link;
            return Ok(());
        }
        let index = self.columns.key.size()?;
        let (key, combined) = self.text(index).ok_or(self.columns.key.refuse())?;
        let columns = &mut self.columns;
        let value = match tag & TAG_MASK {
            TAG_NULL => Value::Null,
            TAG_FALSE => Value::Bool(false),
            TAG_TRUE => Value::Bool(true),
            TAG_I64 => Value::I64(columns.i64.signed()?),
            TAG_U64 => Value::U64(columns.u64.number()?),
            TAG_F64 => Value::F64(f64::from_le_bytes(columns.f64.array()?)),
            TAG_STR => Value::Str(self.strs.text(columns.str_len.size()?)?.to_owned()),
            TAG_BYTES => Value::Bytes(columns.bytes.bytes(columns.bytes_len.size()?)?.to_owned()),
            TAG_PACKED => {
                let unpacked = unpack(columns.packed.bytes(columns.packed_len.size()?)?, &mut self.items);
                if !unpacked.whole && tag & TAG_CUT == 0 {
                    span.cut = span.cut.saturating_add(1);
                }
                unpacked.value
            }
            TAG_EVENT => {
                let since_start = columns.event_time.signed()?.cast_unsigned();
                let time_unix_ns = span.start_unix_ns.wrapping_add(since_start);
                span.events.push(EventData { name: key.to_owned(), time_unix_ns, attributes: Vec::new() });
                *owner = Owner::Event;
                return Ok(());
            }
            _ => return Err(columns.tag.refuse()),
        };
        let owned = match owner {
            Owner::Event => span.events.last_mut().map(|event| &mut event.attributes),
            Owner::Link => span.links.last_mut().map(|link| &mut link.attributes),
            Owner::Span => None,
        };
        match (owned, combined) {
            (Some(attributes), _) if tag & TAG_IN_EVENT != 0 => attributes.push((key.to_owned(), value)),
            (_, None) => span.attributes.push((key.to_owned(), value)),
            // Of a value that failed, or was cut to nothing, only the count is left: what stands there is worth more.
            (_, Some(combined))
                if tag & TAG_CUT != 0 && value == Value::Null && self.combinations.has(combined) => {}
            (_, Some(combined)) => {
                let first = self.combinations.add(combined, value, &mut span.attributes);
                span.attributes.extend(first.map(|value| (key.to_owned(), value)));
            }
        }
        Ok(())
    }

    /// `None` for an index that points nowhere, and when names and keys have taken all they may.
    fn text(&mut self, index: usize) -> Option<(&'a str, Option<CombinedKey>)> {
        let text = *self.texts.get(index)?;
        self.names_len = self.names_len.checked_sub(text.0.len())?;
        Some(text)
    }
}

/// What an attribute belongs to that says it belongs to what stands before it.
enum Owner {
    Span,
    Event,
    Link,
}
