//! What a span says, as a number that both sides come to in ways of their own.
//!
//! The agent computes it from what it gives to the recording interface, the judge from the OTLP that was delivered. Here
//! it is only said what goes into the number, in which order: the identities, the name and whether it is a call of a
//! model; each attribute; each event; the status. Since every step is a number too, a span that was interrupted can be
//! compared with the beginning of what was meant.

use std::hash::{DefaultHasher, Hasher as _};

/// What a span says so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Content(pub(super) u64);

/// One attribute, or one event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part(u64);

/// The identities of a span, in the order in which their text shows them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'a> {
    pub(super) trace_id: &'a [u8],
    pub(super) span_id: &'a [u8],
    /// Empty for the root of a trace.
    pub(super) parent_id: &'a [u8],
}

impl Content {
    /// A span that has just started.
    pub(super) fn start(identity: Identity<'_>, name: &str, is_model_call: bool) -> Self {
        let mut digest = Digest::default();
        digest.bytes(identity.trace_id);
        digest.bytes(identity.span_id);
        digest.bytes(identity.parent_id);
        digest.text(name);
        digest.bool(is_model_call);
        Content(digest.finish())
    }

    /// And then this was said.
    pub(super) fn and(self, part: Part) -> Self {
        let mut digest = Digest::default();
        digest.word(self.0);
        digest.word(part.0);
        Content(digest.finish())
    }

    /// And then it ended with this status, by its number in OTLP.
    pub(super) fn end(self, status: i32, message: &str) -> Self {
        let mut digest = Digest::default();
        digest.integer(status.into());
        digest.text(message);
        self.and(Part(digest.finish()))
    }
}

impl Part {
    /// An attribute, of which `value` says the value.
    pub(super) fn attribute(key: &str, value: impl FnOnce(&mut Digest)) -> Self {
        let mut digest = Digest::default();
        digest.text(key);
        value(&mut digest);
        Part(digest.finish())
    }

    /// An event, of which `attributes` says the attributes as a map.
    pub(super) fn event(name: &str, attributes: impl FnOnce(&mut Digest)) -> Self {
        let mut digest = Digest::default();
        digest.tag(b'e');
        digest.text(name);
        attributes(&mut digest);
        Part(digest.finish())
    }
}

/// Makes a number of values. Values of different types differ, and so does the same text cut at different places.
#[derive(Default)]
pub(super) struct Digest(DefaultHasher);

impl Digest {
    pub(super) fn null(&mut self) {
        self.tag(b'n');
    }

    pub(super) fn bool(&mut self, value: bool) {
        self.tag(if value { b't' } else { b'f' });
    }

    pub(super) fn integer(&mut self, value: i64) {
        self.tag(b'i');
        self.word(value.cast_unsigned());
    }

    pub(super) fn float(&mut self, value: f64) {
        self.tag(b'd');
        self.word(value.to_bits());
    }

    pub(super) fn text(&mut self, value: &str) {
        self.tag(b's');
        self.word(value.len() as u64);
        self.0.write(value.as_bytes());
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.tag(b'b');
        self.word(value.len() as u64);
        self.0.write(value);
    }

    /// A list of this many values, which follow.
    pub(super) fn list(&mut self, len: usize) {
        self.tag(b'l');
        self.word(len as u64);
    }

    /// A map of this many keys, as text, each followed by its value.
    pub(super) fn map(&mut self, len: usize) {
        self.tag(b'm');
        self.word(len as u64);
    }

    fn tag(&mut self, tag: u8) {
        self.0.write_u8(tag);
    }

    fn word(&mut self, word: u64) {
        self.0.write_u64(word);
    }

    fn finish(self) -> u64 {
        self.0.finish()
    }
}
