//! The value of an attribute, borrowed from the block that it lies in.

use crate::Value;
use crate::packed::unpack;

/// The value of an attribute, as it lies in a block.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ValueRef<'a> {
    /// Nothing: MessagePack nil, `None`, `()`.
    Null,
    /// True or false.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A floating-point number, NaN and the infinities included.
    F64(f64),
    /// Text.
    Str(&'a str),
    /// Bytes that are not text.
    Bytes(&'a [u8]),
    /// A sequence, a map, or any other value of any type, encoded.
    Packed(PackedRef<'a>),
}

impl ValueRef<'_> {
    /// A copy of it, decoded.
    pub fn to_value(&self) -> Value {
        match *self {
            ValueRef::Null => Value::Null,
            ValueRef::Bool(value) => Value::Bool(value),
            ValueRef::I64(value) => Value::I64(value),
            ValueRef::U64(value) => Value::U64(value),
            ValueRef::F64(value) => Value::F64(value),
            ValueRef::Str(value) => Value::Str(value.to_owned()),
            ValueRef::Bytes(value) => Value::Bytes(value.to_owned()),
            ValueRef::Packed(packed) => packed.to_value(),
        }
    }
}

/// An encoded value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PackedRef<'a> {
    pub(crate) bytes: &'a [u8],
    /// How many items it may have; those beyond are cut.
    pub(crate) items: u32,
}

impl<'a> PackedRef<'a> {
    /// One value in MessagePack, or a prefix of one where it was cut: its span's [`cut`](crate::SpanRef::cut) is above 0 then.
    /// Nobody has looked at whether it is anything else.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The value, as far as it is there.
    pub fn to_value(&self) -> Value {
        let mut items = self.items as usize;
        unpack(self.bytes, &mut items).value
    }
}
