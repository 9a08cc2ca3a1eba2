//! What can be set on a span.

use std::fmt;

use serde::Serialize;

use crate::record::{
    ENTRY_CUT, ENTRY_IN_EVENT, ENTRY_TRUE, INLINE, TAG_BOOL, TAG_BYTES, TAG_F64, TAG_I64, TAG_STR, TAG_U64,
};
use crate::slot::{Entry, Slot, floor_char_boundary};
use crate::thread::local;

/// A value that can be set on a span as it is: booleans, integers, floating-point numbers, text, bytes, and options
/// of them, of which `None` sets nothing. For any other type see [`Span::set_value`](crate::Span::set_value).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a value that `set` takes as it is",
    note = "`set_value` takes a reference to anything that implements `serde::Serialize`"
)]
pub trait Attribute: sealed::Sealed {
    #[doc(hidden)]
    fn append(self, to: Destination<'_>);
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

/// Where a value goes: the span, the key, and whether it belongs to an event or link.
#[doc(hidden)]
#[derive(Debug)]
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
    #[inline(always)]
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

    #[inline(always)]
    fn word(self, tag: u8, word: u64) {
        let Some(number) = self.number() else { return };
        if self.in_item {
            self.slot.append_word::<false, false>(tag, ENTRY_IN_EVENT, number, word);
        } else {
            self.slot.append_word::<true, true>(tag, 0, number, word);
        }
    }

    #[inline]
    fn content(self, tag: u8, flags: u8, content: &[u8]) -> bool {
        let Some(key) = self.number() else { return false };
        if self.in_item {
            self.slot.append::<false, false>(Entry { tag, flags: flags | ENTRY_IN_EVENT, key, content })
        } else {
            self.slot.append::<true, true>(Entry { tag, flags, key, content })
        }
    }

    #[inline]
    fn text(self, text: &str) {
        let max = self.slot.value_max();
        if text.len() > max {
            return self.cut(TAG_STR, &text.as_bytes()[..floor_char_boundary(text, max)]);
        }
        _ = self.content(TAG_STR, 0, text.as_bytes());
    }

    #[inline]
    fn bytes(self, bytes: &[u8]) {
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
        let Some(number) = self.number() else { return };
        if self.in_item {
            self.slot.append_packed::<false>(ENTRY_IN_EVENT, number, value);
        } else {
            self.slot.take_attribute();
            self.slot.append_packed::<true>(0, number, value);
        }
    }
}

macro_rules! attribute {
    ($($type:ty),* => |$value:ident, $to:ident| $append:expr) => {$(
        impl sealed::Sealed for $type {}
        impl Attribute for $type {
            #[inline]
            fn append(self, $to: Destination<'_>) {
                let $value = self;
                $append
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
attribute!(bool => |value, to| _ = to.content(TAG_BOOL, if value { ENTRY_TRUE } else { 0 }, &[]));
attribute!(&str => |value, to| to.text(value));
attribute!(String => |value, to| to.text(&value));
attribute!(&String => |value, to| to.text(value));
attribute!(&[u8] => |value, to| to.bytes(value));
attribute!(Vec<u8> => |value, to| to.bytes(&value));
attribute!(&Vec<u8> => |value, to| to.bytes(value));

impl<const N: usize> sealed::Sealed for &[u8; N] {}
impl<const N: usize> Attribute for &[u8; N] {
    #[inline]
    fn append(self, to: Destination<'_>) {
        to.bytes(self);
    }
}

impl<T: Attribute> sealed::Sealed for Option<T> {}
impl<T: Attribute> Attribute for Option<T> {
    #[inline]
    fn append(self, to: Destination<'_>) {
        if let Some(value) = self {
            value.append(to);
        }
    }
}
