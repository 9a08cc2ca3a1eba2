//! The record format, version 0: how a span lies in an in-flight table and in a ring.
//!
//! All integers are little-endian. Offsets and lengths are in bytes. Every record, body and entry starts at a
//! multiple of 8 and is padded with bytes of no meaning to the next one.
//!
//! ```text
//! record    0        4      5       6    8          16         24
//!           ┌────────┬──────┬───────┬────┬──────────┬──────────┬──────┐
//!           │ len    │ kind │ flags │ 0  │ ordinal  │ end time │ body │
//!           └────────┴──────┴───────┴────┴──────────┴──────────┴──────┘
//!           len      of the whole record, a multiple of 8
//!           kind     1 a span ended, 2 a span started, 3 padding up to the end of the ring (len and kind only)
//!           flags    1 the end time is Unix nanoseconds, else clock ticks
//!           ordinal  how many records of kind 1 the ring has carried, this one included
//!
//! body      0          16        24          32           40     42     43       44      46         48
//!           ┌──────────┬─────────┬───────────┬────────────┬──────┬──────┬────────┬───────┬──────────┬─────────┐
//!           │ trace id │ span id │ parent id │ start time │ name │ kind │ status │ flags │ left out │ entries │
//!           └──────────┴─────────┴───────────┴────────────┴──────┴──────┴────────┴───────┴──────────┴─────────┘
//!           parent id  zeros for a root
//!           name       its number in the dictionary, or 65535: the first entry holds it
//!           flags      1 the start time is Unix nanoseconds, else clock ticks
//!                      2 the span was made pending then; it started when its STARTED says, if that is so
//!           left out   how many values found no room at all, the rest of a cut name among them (65535: or more)
//!
//! entry     0        4     5       6      8
//!           ┌────────┬─────┬───────┬──────┬──────────────┐
//!           │ len    │ tag │ flags │ key  │ len bytes    │
//!           └────────┴─────┴───────┴──────┴──────────────┘
//!           key      its number in the dictionary, or 65535: the entry before, of tag KEY, holds it
//!           flags    1 the value was cut, 2 it belongs to the event or link before it, 4 its encoding failed, 128 true
//! ```
//!
//! | tag | name           | content                                                                    |
//! |-----|----------------|----------------------------------------------------------------------------|
//! | 1   | BOOL           | none: see flag 128                                                         |
//! | 2   | I64            | 8 bytes                                                                    |
//! | 3   | U64            | 8 bytes                                                                    |
//! | 4   | F64            | 8 bytes                                                                    |
//! | 5   | STR            | UTF-8                                                                      |
//! | 6   | BYTES          | any bytes                                                                  |
//! | 7   | PACKED         | one MessagePack value; a prefix of one where it was cut, nothing where it failed |
//! | 8   | EVENT          | its time, 8 bytes: Unix nanoseconds where flag 128 is set, else clock ticks; its name is the key |
//! | 9   | KEY            | UTF-8, the key of the next entry                                           |
//! | 10  | NAME           | UTF-8, the name of the span; where it is not the one that the head asks for, another name |
//! | 11  | STATUS_MESSAGE | UTF-8; the last one counts                                                 |
//! | 12  | LINK           | 24 bytes: the trace id and the span id of a span that this one is linked to |
//! | 13  | DEADLINE       | 8 bytes: how many nanoseconds after its start the span is to end; the last one counts |
//! | 14  | STARTED        | 8 bytes: when a pending span started; Unix nanoseconds where flag 128 is set, else clock ticks; flag 1: only as it was dropped; flag 2: it has not yet |
//!
//! NAME, STATUS_MESSAGE, LINK, DEADLINE and STARTED have no key.
//!
//! A body in an in-flight table has no record header: its length is published apart (see the lane format), so a
//! kill between two bytes leaves all earlier entries whole. A reader of damaged bytes stops at the first record
//! or entry that does not fit what encloses it.

use crate::{Kind, SpanId, Status, TraceId};

/// Length of a record's header.
pub const RECORD_HEADER_LEN: usize = 24;
/// Length of a body before its entries.
pub const HEAD_LEN: usize = 48;
/// Length of an entry before its content.
pub const ENTRY_HEADER_LEN: usize = 8;
/// The number that stands for a name or key that is not in the dictionary.
pub const INLINE: u16 = u16::MAX;

pub(crate) const KIND_ENDED: u8 = 1;
pub(crate) const KIND_STARTED: u8 = 2;
pub(crate) const KIND_PADDING: u8 = 3;

pub(crate) const RECORD_END_IS_UNIX: u8 = 1;
pub(crate) const HEAD_START_IS_UNIX: u16 = 1;
pub(crate) const HEAD_IS_PENDING: u16 = 2;
/// The span's parent was started by another process.
pub(crate) const HEAD_PARENT_IS_REMOTE: u16 = 4;

pub(crate) const TAG_BOOL: u8 = 1;
pub(crate) const TAG_I64: u8 = 2;
pub(crate) const TAG_U64: u8 = 3;
pub(crate) const TAG_F64: u8 = 4;
pub(crate) const TAG_STR: u8 = 5;
pub(crate) const TAG_BYTES: u8 = 6;
pub(crate) const TAG_PACKED: u8 = 7;
pub(crate) const TAG_EVENT: u8 = 8;
pub(crate) const TAG_KEY: u8 = 9;
pub(crate) const TAG_NAME: u8 = 10;
pub(crate) const TAG_STATUS_MESSAGE: u8 = 11;
pub(crate) const TAG_LINK: u8 = 12;
pub(crate) const TAG_DEADLINE: u8 = 13;
pub(crate) const TAG_STARTED: u8 = 14;

pub(crate) const ENTRY_CUT: u8 = 1;
pub(crate) const ENTRY_STARTED_BY_DROP: u8 = 1;
pub(crate) const ENTRY_NOT_STARTED: u8 = 2;
pub(crate) const ENTRY_IN_EVENT: u8 = 2;
pub(crate) const ENTRY_FAILED: u8 = 4;
pub(crate) const ENTRY_TRUE: u8 = 128;

const _: () = assert!(RECORD_HEADER_LEN.is_multiple_of(8) && HEAD_LEN.is_multiple_of(8));

/// `len` rounded up to where the next record or entry starts.
#[inline]
pub(crate) const fn padded(len: usize) -> usize {
    (len + 7) & !7
}

/// The first word of a record.
#[inline]
pub(crate) const fn record_word(len: u32, kind: u8, flags: u8) -> u64 {
    len as u64 | (kind as u64) << 32 | (flags as u64) << 40
}

/// The first word of an entry.
#[inline]
pub(crate) const fn entry_word(len: u32, tag: u8, flags: u8, key: u16) -> u64 {
    len as u64 | (tag as u64) << 32 | (flags as u64) << 40 | key_word(key)
}

/// Where in the first word of an entry the number of its key lies.
const KEY_SHIFT: u32 = 48;

/// What the number of a key adds to the first word of an entry.
#[inline]
pub(crate) const fn key_word(number: u16) -> u64 {
    (number as u64) << KEY_SHIFT
}

/// The number of the key in the first word of an entry.
#[inline]
pub(crate) const fn key_in(word: u64) -> u16 {
    (word >> KEY_SHIFT) as u16
}

/// The word of a head that follows its start time.
#[inline]
pub(crate) const fn head_word(name: u16, kind: Kind, status: Status, flags: u16, left_out: u16) -> u64 {
    name as u64 | (kind as u64) << 16 | (status as u64) << 24 | (flags as u64) << 32 | (left_out as u64) << 48
}

/// Bytes that are no record: they end before it does, or say what no record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// Where, counted from the start of the bytes that were given.
    pub offset: usize,
    /// What is wrong there.
    pub reason: &'static str,
}

/// A moment, as it was recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Time {
    /// Ticks of the recorder's clock.
    Ticks(u64),
    /// Nanoseconds since the Unix epoch, given by the caller.
    UnixNs(u64),
}

/// A name or key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Text<'a> {
    /// Its number in the dictionary.
    Known(u16),
    /// Itself: UTF-8, unless the bytes were damaged.
    Inline(&'a [u8]),
}

/// A value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scalar<'a> {
    /// True or false.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A floating-point number.
    F64(f64),
    /// UTF-8, unless the bytes were damaged.
    Str(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// One MessagePack value; a prefix of one if it was cut.
    Packed(&'a [u8]),
    /// A value whose `Serialize` failed or panicked.
    Failed,
}

/// One entry of a body.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Entry<'a> {
    /// An attribute of the span, or of the event or link before it.
    Attribute {
        /// What it is called.
        key: Text<'a>,
        /// What it is.
        value: Scalar<'a>,
        /// Whether only its beginning was kept.
        cut: bool,
        /// Whether it belongs to the last event or link before it.
        in_event: bool,
    },
    /// Something that happened.
    Event {
        /// What it is called.
        name: Text<'a>,
        /// When it happened.
        time: Time,
    },
    /// Another name for the span.
    Name {
        /// UTF-8, unless the bytes were damaged.
        text: &'a [u8],
    },
    /// A span that this one is linked to.
    Link {
        /// Its trace.
        trace_id: TraceId,
        /// Its identity.
        span_id: SpanId,
    },
    /// By when the span is to end.
    Deadline {
        /// In nanoseconds after its start.
        ns: u64,
    },
    /// A pending span started.
    Started {
        /// When it did.
        time: Time,
        /// Whether nobody started it, and it did so as it was dropped.
        by_drop: bool,
    },
    /// What was said about the status.
    StatusMessage {
        /// UTF-8, unless the bytes were damaged.
        text: &'a [u8],
        /// Whether only its beginning was kept.
        cut: bool,
    },
}

/// The fixed part of a body, with the span's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head<'a> {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// The span that it was started under; invalid for a root.
    pub parent_id: SpanId,
    /// When it started; for one that was made pending, when that was.
    pub start: Time,
    /// Whether it was made pending: it started where an [`Entry::Started`] says so.
    pub is_pending: bool,
    /// What it is called.
    pub name: Text<'a>,
    /// What it stands for.
    pub kind: Kind,
    /// How it stands.
    pub status: Status,
    /// How many values found no room.
    pub left_out: u16,
}

/// A span as it lies in a table, or within a record.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    /// The fixed part.
    pub head: Head<'a>,
    entries: &'a [u8],
}

impl<'a> Body<'a> {
    /// Reads a body that takes all of `bytes`.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() < HEAD_LEN {
            return Err(Malformed { offset: bytes.len(), reason: "a span ends within its head" });
        }
        let [name_low, name_high, kind, status, flags, _, left_low, left_high] = array::<8>(bytes, 40);
        let start = u64::from_le_bytes(array(bytes, 32));
        let mut entries = &bytes[HEAD_LEN..];
        let name = match u16::from_le_bytes([name_low, name_high]) {
            INLINE => {
                let (entry, rest) = RawEntry::split(entries, HEAD_LEN)?;
                if entry.tag != TAG_NAME {
                    return Err(Malformed { offset: HEAD_LEN, reason: "a span's name is missing" });
                }
                entries = rest;
                Text::Inline(entry.content)
            }
            number => Text::Known(number),
        };
        let head = Head {
            trace_id: TraceId::from_bytes(array(bytes, 0)),
            span_id: SpanId::from_bytes(array(bytes, 16)),
            parent_id: SpanId::from_bytes(array(bytes, 24)),
            start: if u16::from(flags) & HEAD_START_IS_UNIX != 0 {
                Time::UnixNs(start)
            } else {
                Time::Ticks(start)
            },
            is_pending: u16::from(flags) & HEAD_IS_PENDING != 0,
            name,
            kind: Kind::from_number(kind),
            status: Status::from_number(status),
            left_out: u16::from_le_bytes([left_low, left_high]),
        };
        Ok(Body { head, entries })
    }

    /// When the span started; `None` for a pending one that has not.
    #[inline]
    pub fn started(&self) -> Option<Time> {
        if !self.head.is_pending {
            return Some(self.head.start);
        }
        self.entries().find_map(|entry| match entry {
            Ok(Entry::Started { time, .. }) => Some(time),
            _ => None,
        })
    }

    /// The entries, in the order in which they were recorded, up to the first that is malformed.
    #[inline]
    pub fn entries(&self) -> Entries<'a> {
        Entries { rest: self.entries }
    }
}

/// The entries of a body. After an error there are no more.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        loop {
            let (entry, rest) = match Entry::split(self.rest) {
                Ok((entry, rest)) => (entry.map(Ok), rest),
                Err(malformed) => (Some(Err(malformed)), &[][..]),
            };
            self.rest = rest;
            if entry.is_some() || rest.is_empty() {
                return entry;
            }
        }
    }
}

impl<'a> Entry<'a> {
    /// The first entry and the bytes behind it; no entry where one says nothing: a key whose value found no room, at the end,
    /// or the start of a span that has not started.
    #[inline]
    fn split(bytes: &'a [u8]) -> Result<(Option<Self>, &'a [u8]), Malformed> {
        let (mut raw, mut rest) = RawEntry::split(bytes, 0)?;
        let mut inline = None;
        // A key whose value found no room has another entry behind it, perhaps another key.
        while raw.tag == TAG_KEY {
            if rest.is_empty() {
                return Ok((None, rest));
            }
            inline = Some(raw.content);
            (raw, rest) = RawEntry::split(rest, bytes.len() - rest.len())?;
        }
        let at = bytes.len() - rest.len();
        let key = match (raw.key, inline) {
            (INLINE, Some(text)) => Text::Inline(text),
            (INLINE, None) if !matches!(raw.tag, TAG_NAME..=TAG_STARTED) => {
                return Err(Malformed { offset: at, reason: "an entry's key is missing" });
            }
            (number, _) => Text::Known(number),
        };
        let number = || match raw.content {
            &[a, b, c, d, e, f, g, h] => Ok([a, b, c, d, e, f, g, h]),
            _ => Err(Malformed { offset: at, reason: "a number is not 8 bytes long" }),
        };
        let value = match raw.tag {
            TAG_BOOL => Scalar::Bool(raw.flags & ENTRY_TRUE != 0),
            TAG_I64 => Scalar::I64(i64::from_le_bytes(number()?)),
            TAG_U64 => Scalar::U64(u64::from_le_bytes(number()?)),
            TAG_F64 => Scalar::F64(f64::from_le_bytes(number()?)),
            TAG_STR => Scalar::Str(raw.content),
            TAG_BYTES => Scalar::Bytes(raw.content),
            TAG_PACKED if raw.flags & ENTRY_FAILED != 0 => Scalar::Failed,
            TAG_PACKED => Scalar::Packed(raw.content),
            TAG_EVENT => {
                let time = u64::from_le_bytes(number()?);
                let time = if raw.flags & ENTRY_TRUE != 0 { Time::UnixNs(time) } else { Time::Ticks(time) };
                return Ok((Some(Entry::Event { name: key, time }), rest));
            }
            TAG_NAME => return Ok((Some(Entry::Name { text: raw.content }), rest)),
            TAG_LINK => {
                if raw.content.len() != 24 {
                    return Err(Malformed { offset: at, reason: "a link is not 24 bytes long" });
                }
                let (trace_id, span_id) = (array(raw.content, 0), array(raw.content, 16));
                let (trace_id, span_id) = (TraceId::from_bytes(trace_id), SpanId::from_bytes(span_id));
                return Ok((Some(Entry::Link { trace_id, span_id }), rest));
            }
            TAG_DEADLINE => {
                return Ok((Some(Entry::Deadline { ns: u64::from_le_bytes(number()?) }), rest));
            }
            TAG_STARTED if raw.flags & ENTRY_NOT_STARTED != 0 => return Ok((None, rest)),
            TAG_STARTED => {
                let time = u64::from_le_bytes(number()?);
                let time = if raw.flags & ENTRY_TRUE != 0 { Time::UnixNs(time) } else { Time::Ticks(time) };
                let by_drop = raw.flags & ENTRY_STARTED_BY_DROP != 0;
                return Ok((Some(Entry::Started { time, by_drop }), rest));
            }
            TAG_STATUS_MESSAGE => {
                let cut = raw.flags & ENTRY_CUT != 0;
                return Ok((Some(Entry::StatusMessage { text: raw.content, cut }), rest));
            }
            _ => return Err(Malformed { offset: at, reason: "an entry has an unknown tag" }),
        };
        let (cut, in_event) = (raw.flags & ENTRY_CUT != 0, raw.flags & ENTRY_IN_EVENT != 0);
        Ok((Some(Entry::Attribute { key, value, cut, in_event }), rest))
    }
}

struct RawEntry<'a> {
    tag: u8,
    flags: u8,
    key: u16,
    content: &'a [u8],
}

impl<'a> RawEntry<'a> {
    #[inline]
    fn split(bytes: &'a [u8], at: usize) -> Result<(Self, &'a [u8]), Malformed> {
        if bytes.len() < ENTRY_HEADER_LEN {
            return Err(Malformed { offset: at, reason: "an entry ends within its header" });
        }
        let [l0, l1, l2, l3, tag, flags, k0, k1] = array::<8>(bytes, 0);
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let after = &bytes[ENTRY_HEADER_LEN..];
        if len > after.len() {
            return Err(Malformed { offset: at, reason: "an entry is longer than what encloses it" });
        }
        let rest = after.get(padded(len)..).unwrap_or(&[]);
        Ok((RawEntry { tag, flags, key: u16::from_le_bytes([k0, k1]), content: &after[..len] }, rest))
    }
}

/// A record of a ring.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A span that ended.
    Ended {
        /// How many ended spans the ring has carried, this one included.
        ordinal: u64,
        /// When it ended.
        end: Time,
        /// The span.
        body: Body<'a>,
    },
    /// A span that started, announced before its end.
    Started {
        /// The span, as far as it was known then.
        body: Body<'a>,
    },
    /// Nothing, up to the end of the ring.
    Padding,
}

impl<'a> Record<'a> {
    /// Reads the record at the start of `bytes`, and how long it is.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<(Self, usize), Malformed> {
        if bytes.len() < 8 {
            return Err(Malformed { offset: 0, reason: "a record ends within its header" });
        }
        let [l0, l1, l2, l3, kind, flags, _, _] = array::<8>(bytes, 0);
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if len > bytes.len() || len < 8 || !len.is_multiple_of(8) {
            return Err(Malformed { offset: 0, reason: "a record has an impossible length" });
        }
        if kind == KIND_PADDING {
            return Ok((Record::Padding, len));
        }
        if len < RECORD_HEADER_LEN {
            return Err(Malformed { offset: 0, reason: "a record is shorter than its header" });
        }
        let body = Body::parse(&bytes[RECORD_HEADER_LEN..len])
            .map_err(|malformed| Malformed { offset: RECORD_HEADER_LEN + malformed.offset, ..malformed })?;
        let end = u64::from_le_bytes(array(bytes, 16));
        let record = match kind {
            KIND_ENDED => Record::Ended {
                ordinal: u64::from_le_bytes(array(bytes, 8)),
                end: if flags & RECORD_END_IS_UNIX != 0 { Time::UnixNs(end) } else { Time::Ticks(end) },
                body,
            },
            KIND_STARTED => Record::Started { body },
            _ => return Err(Malformed { offset: 0, reason: "a record has an unknown kind" }),
        };
        Ok((record, len))
    }
}

/// The `N` bytes at `offset`, which the caller has checked to be there.
#[inline]
fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[offset..offset + N]);
    array
}
