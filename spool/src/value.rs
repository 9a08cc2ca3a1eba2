//! The value of an attribute, as it is read back.

/// The value of an attribute. Maps keep the order in which they were recorded, and may repeat a key.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
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
    Str(String),
    /// Bytes that are not text.
    Bytes(Vec<u8>),
    /// A sequence.
    List(Vec<Value>),
    /// A map with text keys; other keys were turned into text.
    Map(Vec<(String, Value)>),
}
