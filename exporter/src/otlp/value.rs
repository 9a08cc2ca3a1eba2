//! Values of attributes, as `KeyValue` and `AnyValue` have them.

use spanring_spool::{Value, ValueRef};

use super::attributes::{Attributes, Given};
use super::protobuf::{
    DELIMITED, Expected, FIXED_64, Few, VARINT, bytes, fixed_64, integer, message, text, varint_len,
};

/// How many lists and maps may lie within each other. A map within a map is three messages deeper, and
/// protobuf readers stop at 100.
const DEPTH_MAX: usize = 24;

// Fields of `KeyValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;

// Fields of `AnyValue`. It has one of them; of null none.
const STRING: u32 = 1;
const BOOL: u32 = 2;
const INT: u32 = 3;
const DOUBLE: u32 = 4;
const ARRAY: u32 = 5;
const KVLIST: u32 = 6;
const BYTES: u32 = 7;

/// The one field of `ArrayValue` and `KeyValueList`.
const VALUES: u32 = 1;

/// Writes a field with this number that is a `KeyValue` within so many lists and maps.
pub(super) fn pair(out: &mut Vec<u8>, field: u32, key: &str, value: Given<'_>, depth: usize) {
    match value {
        Given::Plain(ValueRef::U64(_) | ValueRef::Packed(_)) | Given::Nested(_) => {
            message(out, field, Expected::Short, |out| key_value(out, key, value, depth));
        }
        Given::Plain(value) => plain_pair(out, field, key, value),
    }
}

/// The same of a value whose length is known at once.
fn plain_pair(out: &mut Vec<u8>, field: u32, key: &str, value: ValueRef<'_>) {
    let text = match value {
        ValueRef::Str(text) => text.as_bytes(),
        ValueRef::Bytes(bytes) => bytes,
        _ => &[],
    };
    let value_len = match value {
        ValueRef::Bool(_) => 2,
        ValueRef::I64(value) => 1 + varint_len(value.cast_unsigned()),
        ValueRef::F64(_) => 9,
        ValueRef::Str(_) | ValueRef::Bytes(_) => 1 + varint_len(text.len() as u64) + text.len(),
        _ => 0,
    };
    let key_len = if key.is_empty() { 0 } else { 1 + varint_len(key.len() as u64) + key.len() };
    let mut few = Few::new();
    few.tag(field, DELIMITED);
    few.varint((key_len + 1 + varint_len(value_len as u64) + value_len) as u64);
    if !key.is_empty() {
        few.tag(KEY, DELIMITED);
        few.varint(key.len() as u64);
    }
    few.write(out);
    out.extend_from_slice(key.as_bytes());

    let mut few = Few::new();
    few.tag(VALUE, DELIMITED);
    few.varint(value_len as u64);
    match value {
        ValueRef::Bool(value) => {
            few.tag(BOOL, VARINT);
            few.varint(value.into());
        }
        ValueRef::I64(value) => {
            few.tag(INT, VARINT);
            few.varint(value.cast_unsigned());
        }
        ValueRef::F64(value) => {
            few.tag(DOUBLE, FIXED_64);
            few.array(value.to_le_bytes());
        }
        ValueRef::Str(_) | ValueRef::Bytes(_) => {
            let is_text = matches!(value, ValueRef::Str(_));
            few.tag(if is_text { STRING } else { BYTES }, DELIMITED);
            few.varint(text.len() as u64);
        }
        _ => {}
    }
    few.write(out);
    out.extend_from_slice(text);
}

/// Writes the fields of a `KeyValue` that lies within so many lists and maps.
fn key_value(out: &mut Vec<u8>, key: &str, value: Given<'_>, depth: usize) {
    text(out, KEY, key);
    message(out, VALUE, Expected::Short, |out| any_value(out, value, depth));
}

/// Writes the fields of an `AnyValue`.
fn any_value(out: &mut Vec<u8>, value: Given<'_>, depth: usize) {
    match value {
        Given::Plain(value) => plain_value(out, value, depth),
        Given::Nested(value) => nested_value(out, value, depth),
    }
}

fn plain_value(out: &mut Vec<u8>, value: ValueRef<'_>, depth: usize) {
    match value {
        ValueRef::Null => {}
        ValueRef::Bool(value) => integer(out, BOOL, value.into()),
        ValueRef::I64(value) => integer(out, INT, value.cast_unsigned()),
        ValueRef::U64(value) => match i64::try_from(value) {
            Ok(_) => integer(out, INT, value),
            Err(_) => bytes(out, STRING, value.to_string().as_bytes()),
        },
        ValueRef::F64(value) => fixed_64(out, DOUBLE, value.to_bits()),
        ValueRef::Str(value) => bytes(out, STRING, value.as_bytes()),
        ValueRef::Bytes(value) => bytes(out, BYTES, value),
        ValueRef::Packed(packed) => any_value(out, Given::of(&packed.to_value()), depth),
    }
}

fn nested_value(out: &mut Vec<u8>, value: &Value, depth: usize) {
    match value {
        Value::List(_) | Value::Map(_) if depth == DEPTH_MAX => {
            // A value with text keys is written to memory without errors.
            bytes(out, STRING, serde_json::to_string(value).unwrap_or_default().as_bytes());
        }
        Value::List(values) => message(out, ARRAY, Expected::Short, |out| {
            for value in values {
                message(out, VALUES, Expected::Short, |out| any_value(out, Given::of(value), depth + 1));
            }
        }),
        Value::Map(pairs) => message(out, KVLIST, Expected::Short, |out| {
            Attributes::of(pairs).write_at(out, VALUES, depth + 1);
        }),
        plain => any_value(out, Given::of(plain), depth),
    }
}
