//! The rows of a block, read where they lie: names, keys and values are borrowed from the block, and nothing is allocated for
//! a span.
//!
//! All was checked before ([`BlockDecoder::view`](super::BlockDecoder::view)), so that each row has its places, each entry its
//! key and value, and each text ends with a whole character.

use std::fmt;
use std::ops::Range;

use spanring::{Kind, SpanId, Status, TraceId};

use super::decode::{EntryPlace, Places};
use super::{
    STATE_ANNOUNCEMENT, STATE_INTERRUPTED, STATE_PENDING, STATE_STATUS, TAG_BYTES, TAG_EVENT, TAG_F64,
    TAG_FALSE, TAG_I64, TAG_IN_EVENT, TAG_LINK, TAG_MASK, TAG_PACKED, TAG_STR, TAG_TRUE, TAG_U64,
};
use crate::combine::CombinedKey;
use crate::value_ref::{PackedRef, ValueRef};

/// A name or key.
#[derive(Clone, Copy)]
pub(super) struct TextRef<'a> {
    pub(super) text: &'a str,
    /// Whether it is a key whose values are combined.
    pub(super) combined: Option<CombinedKey>,
}

/// The rows of a block that was checked.
pub(crate) struct RowsRef<'a> {
    /// The first row that is given out.
    pub(super) at: usize,
    /// Behind the last row.
    pub(super) end: usize,
    /// Whether each value of the block is all there is under its key, and none is encoded.
    pub(super) are_flat: bool,
    pub(super) trace_ids: &'a [[u8; 16]],
    pub(super) texts: Vec<TextRef<'a>>,
    pub(super) state: &'a [u8],
    pub(super) kind: &'a [u8],
    pub(super) span_id: &'a [[u8; 8]],
    pub(super) parent_id: &'a [[u8; 8]],
    pub(super) messages: &'a str,
    pub(super) f64: &'a [[u8; 8]],
    pub(super) str: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) packed: &'a [u8],
    pub(super) link_trace: &'a [[u8; 16]],
    pub(super) link_span: &'a [[u8; 8]],
    pub(super) places: &'a Places,
}

impl RowsRef<'_> {
    /// Leaves out the first rows.
    pub(super) fn skip(&mut self, rows: usize) {
        self.at = rows.min(self.end);
    }

    /// How many rows are given out.
    pub(crate) fn len(&self) -> usize {
        self.end - self.at
    }

    /// The rows, in their order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = SpanRef<'_>> + Clone {
        (self.at..self.end).map(|row| SpanRef { rows: self, row })
    }

    /// The name of an event, or the key of an attribute.
    #[inline]
    pub(super) fn text(&self, entry: EntryPlace) -> TextRef<'_> {
        self.texts[entry.key as usize]
    }

    /// The value of an attribute.
    #[inline]
    pub(super) fn value(&self, entry: EntryPlace) -> ValueRef<'_> {
        let places = self.places;
        let of_tag = entry.of_tag as usize;
        match entry.tag & TAG_MASK {
            TAG_FALSE => ValueRef::Bool(false),
            TAG_TRUE => ValueRef::Bool(true),
            TAG_I64 => ValueRef::I64(places.i64[of_tag]),
            TAG_U64 => ValueRef::U64(places.u64[of_tag]),
            TAG_F64 => ValueRef::F64(f64::from_le_bytes(self.f64[of_tag])),
            TAG_STR => ValueRef::Str(&self.str[piece(&places.str_ends, of_tag)]),
            TAG_BYTES => ValueRef::Bytes(&self.bytes[piece(&places.bytes_ends, of_tag)]),
            TAG_PACKED => {
                let bytes = &self.packed[piece(&places.packed_ends, of_tag)];
                ValueRef::Packed(PackedRef { bytes, items: places.packed_items[of_tag] })
            }
            _ => ValueRef::Null,
        }
    }
}

/// The piece with this number of those that end at `ends`.
#[inline]
fn piece(ends: &[u32], number: usize) -> Range<usize> {
    let start = match number.checked_sub(1) {
        Some(before) => ends[before] as usize,
        None => 0,
    };
    start..ends[number] as usize
}

/// A span as it lies in a block: the same as a [`SpanData`](crate::SpanData), which [`to_data`](Self::to_data) makes of it, and borrowed.
///
/// Only attributes differ: here the values of a key that are combined ([`spanring::names`]) stand as they were recorded, one by
/// one.
#[derive(Clone, Copy)]
pub struct SpanRef<'a> {
    pub(super) rows: &'a RowsRef<'a>,
    pub(super) row: usize,
}

impl<'a> SpanRef<'a> {
    /// The trace it belongs to.
    #[inline]
    pub fn trace_id(&self) -> TraceId {
        TraceId::from_bytes(self.rows.trace_ids[self.rows.places.trace[self.row] as usize])
    }

    /// Its own identity.
    #[inline]
    pub fn span_id(&self) -> SpanId {
        SpanId::from_bytes(self.rows.span_id[self.row])
    }

    /// The span that it was started under.
    #[inline]
    pub fn parent_id(&self) -> Option<SpanId> {
        Some(SpanId::from_bytes(self.rows.parent_id[self.row])).filter(|parent| parent.is_valid())
    }

    /// What it is called.
    #[inline]
    pub fn name(&self) -> &'a str {
        self.rows.texts[self.rows.places.name[self.row] as usize].text
    }

    /// What it stands for.
    #[inline]
    pub fn kind(&self) -> Kind {
        Kind::from_number(self.rows.kind[self.row])
    }

    /// How it ended. An interrupted span's is an error, unless its deadline had passed.
    #[inline]
    pub fn status(&self) -> Status {
        Status::from_number(self.rows.state[self.row] & STATE_STATUS)
    }

    /// What was said about the status; empty where nothing was.
    #[inline]
    pub fn status_message(&self) -> &'a str {
        &self.rows.messages[piece(&self.rows.places.message_ends, self.row)]
    }

    /// When it started, in nanoseconds since the Unix epoch; for a span that never started, when it was made.
    #[inline]
    pub fn start_unix_ns(&self) -> u64 {
        self.rows.places.start_unix_ns[self.row]
    }

    /// When it ended, likewise; for an interrupted span its process's last sign of life. Never before the start.
    #[inline]
    pub fn end_unix_ns(&self) -> u64 {
        self.rows.places.end_unix_ns[self.row]
    }

    /// How long it took, in nanoseconds.
    pub fn duration_ns(&self) -> u64 {
        self.end_unix_ns() - self.start_unix_ns()
    }

    /// Whether it was pending to the end: it was made and never started.
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.rows.state[self.row] & STATE_PENDING != 0
    }

    /// Whether this is the announcement of a span that started, and not yet the span: it ends when it starts.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.rows.state[self.row] & STATE_ANNOUNCEMENT != 0
    }

    /// Whether its process died before it ended.
    #[inline]
    pub fn is_interrupted(&self) -> bool {
        self.rows.state[self.row] & STATE_INTERRUPTED != 0
    }

    /// How many of its values were cut or left out.
    #[inline]
    pub fn cut(&self) -> u32 {
        self.rows.places.cut[self.row]
    }

    /// Whether its attributes, and those of its events and links, are what [`to_data`](Self::to_data) makes of them, one by one: none has a key
    /// whose values are combined, and none is [encoded](ValueRef::Packed).
    #[inline]
    pub fn is_flat(&self) -> bool {
        let is_flat = |entry: &EntryPlace| match entry.tag & TAG_MASK {
            TAG_PACKED => false,
            TAG_EVENT | TAG_LINK => true,
            _ => self.rows.text(*entry).combined.is_none(),
        };
        self.rows.are_flat || self.entries().iter().all(is_flat)
    }

    /// Its attributes, key and value, in the order in which they were set. A key that was set several times stands several times.
    #[inline]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { rows: self.rows, entries: self.entries().iter(), of: Owner::Span, has_other: false }
    }

    /// The last attribute with this key.
    pub fn get(&self, key: &str) -> Option<ValueRef<'a>> {
        self.attributes().filter(|(name, _)| *name == key).last().map(|(_, value)| value)
    }

    /// Its events, in the order in which they were recorded.
    #[inline]
    pub fn events(&self) -> impl Iterator<Item = EventRef<'a>> + use<'a> {
        let span = *self;
        self.entries_of(TAG_EVENT, span.rows.places.event_time.len()).map(move |(entry, behind)| EventRef {
            span,
            entry,
            behind,
        })
    }

    /// The spans that it is linked to, in the order in which that was said.
    #[inline]
    pub fn links(&self) -> impl Iterator<Item = LinkRef<'a>> + use<'a> {
        let span = *self;
        self.entries_of(TAG_LINK, span.rows.link_span.len()).map(move |(entry, behind)| LinkRef {
            rows: span.rows,
            number: entry.of_tag as usize,
            behind,
        })
    }

    #[inline]
    pub(super) fn entries(&self) -> &'a [EntryPlace] {
        &self.rows.places.entries[piece(&self.rows.places.entry_ends, self.row)]
    }

    /// The entries of this tag, and those behind each. Most blocks have no events and no links at all.
    fn entries_of(
        &self,
        tag: u8,
        in_block: usize,
    ) -> impl Iterator<Item = (EntryPlace, &'a [EntryPlace])> + use<'a> {
        let mut entries = if in_block == 0 { &[] } else { self.entries() };
        std::iter::from_fn(move || {
            while let Some((&entry, behind)) = entries.split_first() {
                entries = behind;
                if entry.tag & TAG_MASK == tag {
                    return Some((entry, behind));
                }
            }
            None
        })
    }
}

impl fmt::Debug for SpanRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_data().fmt(f)
    }
}

/// An event of a [`SpanRef`].
#[derive(Clone, Copy)]
pub struct EventRef<'a> {
    span: SpanRef<'a>,
    entry: EntryPlace,
    behind: &'a [EntryPlace],
}

impl<'a> EventRef<'a> {
    /// What happened.
    #[inline]
    pub fn name(&self) -> &'a str {
        self.span.rows.text(self.entry).text
    }

    /// When, in nanoseconds since the Unix epoch.
    #[inline]
    pub fn time_unix_ns(&self) -> u64 {
        let places = self.span.rows.places;
        let since_start = places.event_time[self.entry.of_tag as usize];
        self.span.start_unix_ns().wrapping_add_signed(since_start)
    }

    /// What is known about it.
    #[inline]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { rows: self.span.rows, entries: self.behind.iter(), of: Owner::Other, has_other: true }
    }
}

impl fmt::Debug for EventRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_data().fmt(f)
    }
}

/// A span that another is linked to: a link of a [`SpanRef`].
#[derive(Clone, Copy)]
pub struct LinkRef<'a> {
    rows: &'a RowsRef<'a>,
    number: usize,
    behind: &'a [EntryPlace],
}

impl<'a> LinkRef<'a> {
    /// Its trace.
    #[inline]
    pub fn trace_id(&self) -> TraceId {
        TraceId::from_bytes(self.rows.link_trace[self.number])
    }

    /// Its identity.
    #[inline]
    pub fn span_id(&self) -> SpanId {
        SpanId::from_bytes(self.rows.link_span[self.number])
    }

    /// What is known about the link.
    #[inline]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { rows: self.rows, entries: self.behind.iter(), of: Owner::Other, has_other: true }
    }
}

impl fmt::Debug for LinkRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_data().fmt(f)
    }
}

/// The attributes of a span, an event or a link: keys and values.
#[derive(Clone)]
pub struct Attributes<'a> {
    rows: &'a RowsRef<'a>,
    entries: std::slice::Iter<'a, EntryPlace>,
    of: Owner,
    /// Whether an event or a link was passed, to which an attribute may belong.
    has_other: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Span,
    /// The event or link right before the entries.
    Other,
}

impl Attributes<'_> {
    /// Where the next attribute is.
    #[inline]
    pub(super) fn next_entry(&mut self) -> Option<EntryPlace> {
        while let Some(&entry) = self.entries.next() {
            if matches!(entry.tag & TAG_MASK, TAG_EVENT | TAG_LINK) {
                if self.of == Owner::Other {
                    self.entries = [].iter();
                    return None;
                }
                self.has_other = true;
                continue;
            }
            let is_of_other = self.has_other && entry.tag & TAG_IN_EVENT != 0;
            if is_of_other == (self.of == Owner::Other) {
                return Some(entry);
            }
        }
        None
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a str, ValueRef<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.next_entry()?;
        Some((self.rows.text(entry).text, self.rows.value(entry)))
    }
}

impl fmt::Debug for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}
