//! The value of an attribute, as it is read back.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

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

impl Value {
    /// Whether it is null, which is not the same as empty or absent.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::I64(value) => Some(*value),
            Value::U64(value) => i64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The integer, if it is one and fits.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::U64(value) => Some(*value),
            Value::I64(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The number, if it is one. An integer above 2^53 becomes the nearest floating-point number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::F64(value) => Some(*value),
            Value::I64(value) => Some(*value as f64),
            Value::U64(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(value) => Some(value),
            _ => None,
        }
    }

    /// The bytes, if they are no text.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(value) => Some(value),
            _ => None,
        }
    }

    /// The items, if it is a sequence.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(values) => Some(values),
            _ => None,
        }
    }

    /// The pairs, if it is a map, in the order in which they were recorded.
    pub fn as_map(&self) -> Option<&[(String, Value)]> {
        match self {
            Value::Map(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// What a map holds under `key`: the last such pair. `None` for anything but a map.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_map()?.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $made:expr,)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $made
            }
        }
    )*};
}

from! {
    bool => |value| Value::Bool(value),
    i8 => |value| Value::I64(value.into()),
    i16 => |value| Value::I64(value.into()),
    i32 => |value| Value::I64(value.into()),
    i64 => |value| Value::I64(value),
    isize => |value| Value::I64(value as i64),
    u8 => |value| Value::U64(value.into()),
    u16 => |value| Value::U64(value.into()),
    u32 => |value| Value::U64(value.into()),
    u64 => |value| Value::U64(value),
    usize => |value| Value::U64(value as u64),
    f32 => |value| Value::F64(value.into()),
    f64 => |value| Value::F64(value),
    &str => |value| Value::Str(value.to_owned()),
    String => |value| Value::Str(value),
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    /// `None` is [`Value::Null`].
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// Pairs make a map.
impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Value {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Value::Map(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I64(value) => serializer.serialize_i64(*value),
            Value::U64(value) => serializer.serialize_u64(*value),
            Value::F64(value) => serializer.serialize_f64(*value),
            Value::Str(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.serialize_bytes(value),
            Value::List(values) => serializer.collect_seq(values),
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

/// What the format says of itself: JSON's integers are unsigned unless they are negative. How deeply lists and maps may lie in each other
/// is for the format's deserializer to limit, as `serde_json`'s does.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::I64(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::U64(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::F64(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Str(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Str(value))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = entries.next_entry()? {
            pairs.push(pair);
        }
        Ok(Value::Map(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_read_as_whichever_type_it_fits() {
        let cases = [
            (Value::I64(7), Some(7), Some(7)),
            (Value::U64(7), Some(7), Some(7)),
            (Value::I64(-1), Some(-1), None),
            (Value::I64(i64::MIN), Some(i64::MIN), None),
            (Value::U64(u64::MAX), None, Some(u64::MAX)),
            (Value::F64(7.0), None, None),
            (Value::from("7"), None, None),
        ];
        for (value, signed, unsigned) in cases {
            assert_eq!((value.as_i64(), value.as_u64()), (signed, unsigned), "{value:?}");
        }
        assert_eq!(Value::I64(-3).as_f64(), Some(-3.0));
        assert_eq!(Value::U64(u64::MAX).as_f64(), Some(18_446_744_073_709_551_615.0));
    }

    #[test]
    fn a_value_of_another_type_is_none() {
        let all = [
            Value::Null,
            Value::from(true),
            Value::from(1),
            Value::from(1_u8),
            Value::from(1.0),
            Value::from("text"),
            Value::Bytes(vec![1]),
            Value::from(vec![1]),
            Value::from_iter([("key", 1)]),
        ];
        for value in &all {
            let views = [
                value.is_null(),
                value.as_bool().is_some(),
                value.as_f64().is_some(),
                value.as_str().is_some(),
                value.as_bytes().is_some(),
                value.as_list().is_some(),
                value.as_map().is_some(),
            ];
            assert_eq!(views.iter().filter(|&&is_there| is_there).count(), 1, "{value:?}");
            assert_eq!(value.get("key").is_some(), value.as_map().is_some());
        }
    }

    #[test]
    fn the_last_of_equal_keys_counts() {
        let map = Value::from_iter([("a", 1), ("b", 2), ("a", 3)]);
        assert_eq!((map.get("a"), map.get("b"), map.get("c")), (Some(&3.into()), Some(&2.into()), None));
    }

    #[test]
    fn nothing_empty_and_null_are_three_things() {
        assert_eq!(Value::from(None::<&str>), Value::Null);
        assert_eq!(Value::from(Some("")), Value::Str(String::new()));
        assert_eq!(Value::from(Vec::<i64>::new()), Value::List(Vec::new()));
        assert_eq!(Value::from_iter::<[(&str, i64); 0]>([]).get("a"), None);
    }

    #[test]
    fn json_is_read_as_it_stands_there() {
        let json = r#"{"b":[null,true,-1,18446744073709551615,0.5,"text"],"a":{},"b":1}"#;
        let value: Value = serde_json::from_str(json).unwrap();
        assert_eq!(value.as_map().unwrap().len(), 3, "{value:?}");
        assert_eq!(value.get("b"), Some(&Value::U64(1)));
        assert_eq!(serde_json::to_string(&value).unwrap(), json);
        assert!(serde_json::from_str::<Value>(&"[".repeat(100_000)).is_err(), "no stack is used up");
    }
}
