//! Values of attributes, as `KeyValue` and `AnyValue` have them.

use spanring_spool::Value;

use super::attributes::{Attributes, Given};
use super::protobuf::{Expected, bytes, fixed_64, integer, message, text};

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

/// Writes the fields of a `KeyValue` that lies within so many lists and maps.
pub(super) fn key_value(out: &mut Vec<u8>, key: &str, value: Given<'_>, depth: usize) {
    text(out, KEY, key);
    message(out, VALUE, Expected::Short, |out| match value {
        Given::Recorded(value) => any_value(out, value, depth),
        Given::Text(value) => bytes(out, STRING, value.as_bytes()),
        Given::Integer(value) => integer(out, INT, value.cast_unsigned()),
        Given::Bool(value) => integer(out, BOOL, value.into()),
    });
}

/// Writes the fields of an `AnyValue`.
fn any_value(out: &mut Vec<u8>, value: &Value, depth: usize) {
    match value {
        Value::Null => {}
        Value::Bool(value) => integer(out, BOOL, (*value).into()),
        Value::I64(value) => integer(out, INT, value.cast_unsigned()),
        Value::U64(value) => match i64::try_from(*value) {
            Ok(_) => integer(out, INT, *value),
            Err(_) => bytes(out, STRING, value.to_string().as_bytes()),
        },
        Value::F64(value) => fixed_64(out, DOUBLE, value.to_bits()),
        Value::Str(value) => bytes(out, STRING, value.as_bytes()),
        Value::Bytes(value) => bytes(out, BYTES, value),
        Value::List(_) | Value::Map(_) if depth == DEPTH_MAX => {
            // A value with text keys is written to memory without errors.
            bytes(out, STRING, serde_json::to_string(value).unwrap_or_default().as_bytes());
        }
        Value::List(values) => message(out, ARRAY, Expected::Short, |out| {
            for value in values {
                message(out, VALUES, Expected::Short, |out| any_value(out, value, depth + 1));
            }
        }),
        Value::Map(pairs) => message(out, KVLIST, Expected::Short, |out| {
            Attributes::of(pairs).write_at(out, VALUES, depth + 1);
        }),
    }
}
