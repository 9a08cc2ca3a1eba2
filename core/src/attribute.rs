//! What can be set on a span.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;

use crate::control::Counter;
use crate::names::Class;
use crate::record::{
    ENTRY_CUT, ENTRY_IN_EVENT, ENTRY_TRUE, INLINE, TAG_BOOL, TAG_BYTES, TAG_F64, TAG_I64, TAG_STR, TAG_U64,
};
use crate::redaction::{End, Judged, Value, gather};
use crate::slot::{Entry, Redacting, Slot, floor_char_boundary};
use crate::thread::local;

/// A value that can be set on a span as it is: booleans, integers, floating-point numbers, text, bytes, and options
/// of them, of which `None` sets nothing. For any other type see [`Span::set_value`](crate::Span::set_value).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a value that `set` takes as it is",
    note = "`set_value` takes a reference to anything that implements `serde::Serialize`"
)]
pub trait Attribute: sealed::Sealed {
    /// Sets it on a span: the short way, or where that is not open the long one.
    #[doc(hidden)]
    fn set_on(self, to: OpenSpan<'_>);

    /// Appends it where it belongs: the long way.
    #[doc(hidden)]
    fn append(self, to: Destination<'_>);
}

/// Where a value goes whose key is a literal, and which is the span's own.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct OpenSpan<'a> {
    pub(crate) slot: &'a Slot,
    pub(crate) key: &'static str,
}

impl OpenSpan<'_> {
    #[inline(always)]
    fn word(self, tag: u8, word: u64) {
        if !self.slot.set_word(self.key, tag, word) {
            word_on_long_way(self.slot, self.key, tag, word);
        }
    }

    #[inline(always)]
    fn boolean(self, value: bool) {
        if !self.slot.set_flags(self.key, TAG_BOOL, if value { ENTRY_TRUE } else { 0 }) {
            boolean_on_long_way(self.slot, self.key, value);
        }
    }

    #[inline(always)]
    fn text(self, text: &str) {
        if !self.slot.set_content(self.key, TAG_STR, text.as_bytes()) {
            text_on_long_way(self.slot, self.key, text);
        }
    }

    #[inline(always)]
    fn bytes(self, bytes: &[u8]) {
        if !self.slot.set_content(self.key, TAG_BYTES, bytes) {
            bytes_on_long_way(self.slot, self.key, bytes);
        }
    }
}

// The long ways are handed what lies in registers: a `Destination` would be written to memory before it is known to be needed.

#[cold]
#[inline(never)]
fn word_on_long_way(slot: &Slot, key: &'static str, tag: u8, word: u64) {
    Destination::span(slot, Key::Static(key)).word(tag, word);
}

#[cold]
#[inline(never)]
fn boolean_on_long_way(slot: &Slot, key: &'static str, value: bool) {
    Destination::span(slot, Key::Static(key)).boolean(value);
}

#[cold]
#[inline(never)]
fn text_on_long_way(slot: &Slot, key: &'static str, text: &str) {
    Destination::span(slot, Key::Static(key)).text(text);
}

#[cold]
#[inline(never)]
fn bytes_on_long_way(slot: &Slot, key: &'static str, bytes: &[u8]) {
    Destination::span(slot, Key::Static(key)).bytes(bytes);
}

mod sealed {
    pub trait Sealed {}
}

/// A key: a literal, which costs a few bits in the ring, or text made at run time, which is recorded in full.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    Static(&'static str),
    Dynamic(&'a str),
}

impl<'a> Key<'a> {
    fn text(self) -> &'a str {
        match self {
            Key::Static(text) | Key::Dynamic(text) => text,
        }
    }
}

/// Where a value goes: the span, the key, and whether it belongs to an event or link.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    slot: &'a Slot,
    key: Key<'a>,
    in_item: bool,
}

impl<'a> Destination<'a> {
    #[inline]
    pub(crate) fn span(slot: &'a Slot, key: Key<'a>) -> Self {
        Destination { slot, key, in_item: false }
    }

    /// Of an event or link: nothing is published before it is complete.
    pub(crate) fn item(slot: &'a Slot, key: Key<'a>) -> Self {
        Destination { slot, key, in_item: true }
    }

    /// The key's number, after the key itself was written if it has none. `None` if it found no room, or the span may have no
    /// more attributes: then the value must not follow.
    fn number(&self) -> Option<u16> {
        if self.in_item && !self.slot.take_item_attribute() {
            return None;
        }
        match self.key {
            Key::Static(text) => match local().number_of(text) {
                INLINE => self.write_key(text),
                number => Some(number),
            },
            Key::Dynamic(text) => self.write_key(text),
        }
    }

    /// Not without looking whether there may be a value: else keys alone would fill the span.
    #[cold]
    #[inline(never)]
    fn write_key(&self, text: &str) -> Option<u16> {
        let may_follow = self.in_item || self.slot.has_attribute_left();
        (may_follow && self.slot.append_key(text)).then_some(INLINE)
    }

    fn word(self, tag: u8, word: u64) {
        if self.slot.is_redacted() {
            return self.judge_word(tag, word);
        }
        self.put_word(tag, word);
    }

    fn put_word(self, tag: u8, word: u64) {
        let Some(number) = self.number() else { return };
        if self.in_item {
            self.slot.append_word::<false, false>(tag, ENTRY_IN_EVENT, number, word);
        } else {
            self.slot.append_word::<true, true>(tag, 0, number, word);
        }
    }

    fn boolean(self, value: bool) {
        if self.slot.is_redacted() {
            return self.judge(Value::Bool(value));
        }
        _ = self.content(TAG_BOOL, if value { ENTRY_TRUE } else { 0 }, &[]);
    }

    fn content(self, tag: u8, flags: u8, content: &[u8]) -> bool {
        let Some(key) = self.number() else { return false };
        if self.in_item {
            self.slot.append::<false, false>(Entry { tag, flags: flags | ENTRY_IN_EVENT, key, content })
        } else {
            self.slot.append::<true, true>(Entry { tag, flags, key, content })
        }
    }

    fn text(self, text: &str) {
        if self.slot.is_redacted() {
            return self.judge(Value::Text(text));
        }
        self.put_text(text);
    }

    fn put_text(self, text: &str) {
        let max = self.slot.value_max();
        if text.len() > max {
            return self.cut(TAG_STR, &text.as_bytes()[..floor_char_boundary(text, max)]);
        }
        _ = self.content(TAG_STR, 0, text.as_bytes());
    }

    fn bytes(self, bytes: &[u8]) {
        if self.slot.is_redacted() {
            return self.judge(Value::Bytes(bytes));
        }
        self.put_bytes(bytes);
    }

    fn put_bytes(self, bytes: &[u8]) {
        let max = self.slot.value_max();
        if bytes.len() > max {
            return self.cut(TAG_BYTES, &bytes[..max]);
        }
        _ = self.content(TAG_BYTES, 0, bytes);
    }

    /// Writes what the limit leaves of a value.
    #[cold]
    #[inline(never)]
    fn cut(self, tag: u8, content: &[u8]) {
        let slot = self.slot;
        if self.content(tag, ENTRY_CUT, content) {
            slot.count_cut();
        }
    }

    /// Writes what `value` displays.
    pub(crate) fn display(self, value: &dyn fmt::Display) {
        if self.slot.is_redacted() {
            return self.judge_display(value);
        }
        self.put_display(value);
    }

    fn put_display(self, value: &dyn fmt::Display) {
        if self.slot.has_attribute_left()
            && let Some(number) = self.number()
        {
            self.slot.take_attribute();
            self.slot.append_display(TAG_STR, 0, number, value);
        }
    }

    pub(crate) fn packed(self, value: &impl Serialize) {
        if !self.in_item && !self.slot.has_attribute_left() {
            return;
        }
        let mut redacting = None;
        if self.slot.is_redacted() {
            redacting = self.judge_packed();
            if redacting.is_none() {
                return;
            }
        }
        let Some(number) = self.number() else { return };
        if self.in_item {
            self.slot.append_packed::<false>(ENTRY_IN_EVENT, number, value, redacting.as_mut());
        } else {
            self.slot.take_attribute();
            if !self.slot.append_packed::<true>(0, number, value, redacting.as_mut()) {
                self.slot.give_attribute_back();
            }
        }
    }
}

/// What redaction makes of values before they are written.
impl Destination<'_> {
    #[cold]
    #[inline(never)]
    fn judge_word(self, tag: u8, word: u64) {
        self.judge(match tag {
            TAG_I64 => Value::I64(word.cast_signed()),
            TAG_F64 => Value::F64(f64::from_bits(word)),
            _ => Value::U64(word),
        });
    }

    #[cold]
    #[inline(never)]
    fn judge(self, value: Value<'_>) {
        let Some(redaction) = self.slot.redaction() else { return };
        let (control, max) = (self.slot.recorder().control(), self.slot.text_max());
        self.put_judged(redaction.attribute(control, self.key.text(), value, max), |to| match value {
            Value::Bool(value) => _ = to.content(TAG_BOOL, if value { ENTRY_TRUE } else { 0 }, &[]),
            Value::I64(value) => to.put_word(TAG_I64, value.cast_unsigned()),
            Value::U64(value) => to.put_word(TAG_U64, value),
            Value::F64(value) => to.put_word(TAG_F64, value.to_bits()),
            Value::Text(value) => to.put_text(value),
            Value::Bytes(value) => to.put_bytes(value),
        });
    }

    /// Writes a value that was judged, in place of that which `put` writes.
    fn put_judged(self, judged: Judged<'_>, put: impl FnOnce(Self)) {
        match judged {
            Judged::Kept => put(self),
            Judged::Text(text, true) => {
                let max = self.slot.value_max();
                self.cut(TAG_STR, &text.as_bytes()[..floor_char_boundary(&text, max)]);
            }
            Judged::Text(text, false) => self.put_text(&text),
            Judged::LeftOut => {}
        }
    }

    /// What is displayed is gathered, as a secret may be written in pieces.
    #[cold]
    #[inline(never)]
    fn judge_display(self, value: &dyn fmt::Display) {
        let Some(redaction) = self.slot.redaction() else { return };
        let (control, key, max) = (self.slot.recorder().control(), self.key.text(), self.slot.text_max());
        let judged = redaction.by_key(control, key).unwrap_or_else(|| {
            if !redaction.looks_at_values() {
                return Judged::Kept;
            }
            let (text, end) = gather(value, max);
            redaction.text(control, key, Cow::Owned(text), end != End::Whole, max)
        });
        self.put_judged(judged, |to| to.put_display(value));
    }

    /// How a value of any type is to be looked at while it is encoded; `None` where it is not to be, and what stands for it is written.
    #[cold]
    #[inline(never)]
    fn judge_packed(self) -> Option<Redacting> {
        let (redaction, control) = (self.slot.redaction()?, self.slot.recorder().control());
        let parts = match redaction.class(self.key.text()) {
            Class::About => None,
            Class::Mixed(parts) => Some(parts),
            Class::Content => {
                control.count(Counter::Redacted);
                return None;
            }
        };
        match redaction.judged(control, redaction.fate(self.key.text())) {
            None => Some(Redacting::new(redaction, self.slot, self.key.text(), parts)),
            Some(judged) => {
                self.put_judged(judged, |_| ());
                None
            }
        }
    }
}

macro_rules! attribute {
    ($($type:ty),* => |$value:ident, $to:ident| $set:expr) => {$(
        impl sealed::Sealed for $type {}
        impl Attribute for $type {
            #[inline(always)]
            fn set_on(self, $to: OpenSpan<'_>) {
                let $value = self;
                $set
            }

            fn append(self, $to: Destination<'_>) {
                let $value = self;
                $set
            }
        }
    )*};
}

attribute!(i8, i16, i32 => |value, to| to.word(TAG_I64, i64::from(value).cast_unsigned()));
attribute!(i64 => |value, to| to.word(TAG_I64, value.cast_unsigned()));
attribute!(isize => |value, to| to.word(TAG_I64, (value as i64).cast_unsigned()));
attribute!(u8, u16, u32 => |value, to| to.word(TAG_U64, u64::from(value)));
attribute!(u64 => |value, to| to.word(TAG_U64, value));
attribute!(usize => |value, to| to.word(TAG_U64, value as u64));
attribute!(f32 => |value, to| to.word(TAG_F64, f64::from(value).to_bits()));
attribute!(f64 => |value, to| to.word(TAG_F64, value.to_bits()));
attribute!(bool => |value, to| to.boolean(value));
attribute!(&str => |value, to| to.text(value));
attribute!(String => |value, to| to.text(&value));
attribute!(&String => |value, to| to.text(value));
attribute!(&[u8] => |value, to| to.bytes(value));
attribute!(Vec<u8> => |value, to| to.bytes(&value));
attribute!(&Vec<u8> => |value, to| to.bytes(value));

impl<const N: usize> sealed::Sealed for &[u8; N] {}
impl<const N: usize> Attribute for &[u8; N] {
    #[inline(always)]
    fn set_on(self, to: OpenSpan<'_>) {
        to.bytes(self);
    }

    fn append(self, to: Destination<'_>) {
        to.bytes(self);
    }
}

impl<T: Attribute> sealed::Sealed for Option<T> {}
impl<T: Attribute> Attribute for Option<T> {
    #[inline(always)]
    fn set_on(self, to: OpenSpan<'_>) {
        if let Some(value) = self {
            value.set_on(to);
        }
    }

    fn append(self, to: Destination<'_>) {
        if let Some(value) = self {
            value.append(to);
        }
    }
}
