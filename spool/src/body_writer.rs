//! Writes bodies for tests, from the picture in `spanring::record` alone.

use spanring::record::{Body, INLINE, Time};
use spanring::{Kind, SpanId, Status, TraceId};

use crate::block::Names;

pub(crate) const BOOL: u8 = 1;
pub(crate) const I64: u8 = 2;
pub(crate) const U64: u8 = 3;
pub(crate) const F64: u8 = 4;
pub(crate) const STR: u8 = 5;
pub(crate) const BYTES: u8 = 6;
pub(crate) const PACKED: u8 = 7;
pub(crate) const EVENT: u8 = 8;
const KEY: u8 = 9;
const NAME: u8 = 10;
pub(crate) const STATUS_MESSAGE: u8 = 11;
const LINK: u8 = 12;
const DEADLINE: u8 = 13;
const STARTED: u8 = 14;

pub(crate) const CUT: u8 = 1;
pub(crate) const IN_EVENT: u8 = 2;
pub(crate) const FAILED: u8 = 4;
pub(crate) const TRUE: u8 = 128;

/// A dictionary of a few names.
pub(crate) struct Dictionary(pub(crate) &'static [&'static str]);

impl Names for Dictionary {
    fn text(&self, number: u16) -> Option<&str> {
        self.0.get(usize::from(number)).copied()
    }
}

/// A name or key of a body that is being written.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Word {
    Known(u16),
    Inline(Vec<u8>),
}

impl From<u16> for Word {
    fn from(number: u16) -> Self {
        Word::Known(number)
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Word::Inline(text.into())
    }
}

/// A body that is being written.
#[derive(Clone)]
pub(crate) struct BodyWriter {
    bytes: Vec<u8>,
}

impl BodyWriter {
    /// A body that started at `start`, with ids made of `trace` and `span`.
    pub(crate) fn new(trace: u8, span: u64, start: Time, name: impl Into<Word>) -> Self {
        let (flags, start) = match start {
            Time::Ticks(ticks) => (0, ticks),
            Time::UnixNs(ns) => (1, ns),
        };
        let name = name.into();
        let mut bytes = TraceId::from_bytes([trace; 16]).to_bytes().to_vec();
        bytes.extend(span.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(start.to_le_bytes());
        bytes.extend(if let Word::Known(number) = name { number } else { INLINE }.to_le_bytes());
        bytes.extend([Kind::Llm as u8, Status::Ok as u8, flags, 0, 0, 0]);
        let mut body = BodyWriter { bytes };
        if let Word::Inline(name) = name {
            body.raw_entry(NAME, 0, 0, &name);
        }
        body
    }

    pub(crate) fn parent(&mut self, parent: u64) -> &mut Self {
        self.bytes[24..32].copy_from_slice(&parent.to_le_bytes());
        self
    }

    pub(crate) fn kind(&mut self, kind: Kind) -> &mut Self {
        self.bytes[42] = kind as u8;
        self
    }

    pub(crate) fn status(&mut self, status: Status) -> &mut Self {
        self.bytes[43] = status as u8;
        self
    }

    /// Makes it the body of a span that was made pending at its start.
    pub(crate) fn pending(&mut self) -> &mut Self {
        self.bytes[44] |= 2;
        self
    }

    pub(crate) fn started(&mut self, time: Time, by_drop: bool) -> &mut Self {
        let (unix, time) = match time {
            Time::Ticks(ticks) => (0, ticks),
            Time::UnixNs(ns) => (TRUE, ns),
        };
        self.raw_entry(STARTED, unix | u8::from(by_drop), INLINE, &time.to_le_bytes())
    }

    pub(crate) fn deadline(&mut self, ns: u64) -> &mut Self {
        self.raw_entry(DEADLINE, 0, INLINE, &ns.to_le_bytes())
    }

    /// A link to the span that a body of these numbers has.
    pub(crate) fn link(&mut self, trace: u8, span: u64) -> &mut Self {
        self.raw_entry(LINK, 0, INLINE, &[&[trace; 16][..], &span.to_le_bytes()].concat())
    }

    pub(crate) fn left_out(&mut self, left_out: u16) -> &mut Self {
        self.bytes[46..48].copy_from_slice(&left_out.to_le_bytes());
        self
    }

    pub(crate) fn entry(&mut self, tag: u8, flags: u8, key: impl Into<Word>, content: &[u8]) -> &mut Self {
        let number = match key.into() {
            Word::Known(number) => number,
            Word::Inline(text) => {
                self.raw_entry(KEY, 0, 0, &text);
                INLINE
            }
        };
        self.raw_entry(tag, flags, number, content)
    }

    fn raw_entry(&mut self, tag: u8, flags: u8, key: u16, content: &[u8]) -> &mut Self {
        self.bytes.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        self.bytes.extend([tag, flags]);
        self.bytes.extend(key.to_le_bytes());
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0xee);
        self
    }

    /// The bytes, for tests that damage them.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn body(&self) -> Body<'_> {
        Body::parse(&self.bytes).unwrap()
    }

    /// The id that a span made with this number has.
    pub(crate) fn span_id(span: u64) -> SpanId {
        SpanId::from_bytes(span.to_le_bytes())
    }
}
