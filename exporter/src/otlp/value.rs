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
    if let Given::Plain(value) = value
        && let Some((few, text)) = as_few(value)
    {
        return plain_pair(out, field, key, few.as_slice(), text);
    }
    message(out, field, Expected::Short, |out| key_value(out, key, value, depth));
}

/// The fields of the `AnyValue`, the last of which ends with a text or bytes; `None` where that is not known so simply.
fn as_few(value: ValueRef<'_>) -> Option<(Few, &[u8])> {
    let few = Few::new();
    Some(match value {
        ValueRef::Null => (few, &[]),
        ValueRef::Bool(value) => (few.tag(BOOL, VARINT).varint(value.into()), &[]),
        ValueRef::I64(value) => (few.tag(INT, VARINT).varint(value.cast_unsigned()), &[]),
        ValueRef::F64(value) => (few.tag(DOUBLE, FIXED_64).bytes(&value.to_le_bytes()), &[]),
        ValueRef::Str(value) => (few.tag(STRING, DELIMITED).varint(value.len() as u64), value.as_bytes()),
        ValueRef::Bytes(value) => (few.tag(BYTES, DELIMITED).varint(value.len() as u64), value),
        ValueRef::U64(_) | ValueRef::Packed(_) => return None,
    })
}

fn plain_pair(out: &mut Vec<u8>, field: u32, key: &str, few: &[u8], text: &[u8]) {
    let (key_len, value_len) = (key.len() as u64, few.len() + text.len());
    let mut len = 1 + varint_len(value_len as u64) + value_len;
    let mut head = Few::new().tag(field, DELIMITED);
    if key.is_empty() {
        head = head.varint(len as u64);
    } else {
        len += 1 + varint_len(key_len) + key.len();
        head = head.varint(len as u64).tag(KEY, DELIMITED).varint(key_len);
    }
    out.extend_from_slice(head.as_slice());
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(Few::new().tag(VALUE, DELIMITED).varint(value_len as u64).bytes(few).as_slice());
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
