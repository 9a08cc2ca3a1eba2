//! One MessagePack value, decoded from bytes that nobody vouches for.
//!
//! The walk keeps its own stack, so that nesting costs heap and no call depth, and allocates as it finds content,
//! never on the word of a length.

use rmp::Marker;

use crate::Value;

/// How deep lists and maps may lie within each other.
pub(crate) const DEPTH_MAX: usize = 64;

/// What [`unpack`] made of some bytes.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Unpacked {
    /// The value, or as much of it as is there: open lists and maps are closed, text ends with a whole character.
    pub(crate) value: Value,
    /// Whether the bytes are one value, no less and no more, within the limits.
    pub(crate) whole: bool,
}

/// Decodes the value that `bytes` hold, using up at most `items` items (a list, map, key or scalar each).
///
/// Integers become [`Value::I64`] where they fit, extension types the bytes of their content, and map keys that
/// are no text become text.
pub(crate) fn unpack(bytes: &[u8], items: &mut usize) -> Unpacked {
    let mut rest = bytes;
    let mut open: Vec<Open> = Vec::new();
    let mut last = None;
    while *items > 0 {
        *items -= 1;
        let mut value = match Item::read(&mut rest) {
            Item::Value(value) => value,
            Item::List(0) => Value::List(Vec::new()),
            Item::Map(0) => Value::Map(Vec::new()),
            Item::List(_) | Item::Map(_) if open.len() == DEPTH_MAX => break,
            Item::List(left) => {
                open.push(Open { content: Content::List(Vec::new()), left });
                continue;
            }
            Item::Map(left) => {
                open.push(Open { content: Content::Map(Vec::new(), None), left });
                continue;
            }
            Item::Cut(value) => {
                last = value;
                break;
            }
        };
        loop {
            let Some(mut innermost) = open.pop() else {
                return Unpacked { value, whole: rest.is_empty() };
            };
            innermost.put(value);
            if innermost.left > 0 {
                open.push(innermost);
                break;
            }
            value = innermost.close();
        }
    }
    while let Some(mut innermost) = open.pop() {
        if let Some(value) = last.take() {
            innermost.put_last(value);
        }
        last = Some(innermost.close());
    }
    Unpacked { value: last.unwrap_or(Value::Null), whole: false }
}

/// Whether these bytes are one value, no less and no more, within the limits: what [`unpack`] finds of them, using up as many
/// items, without making anything of them.
pub(crate) fn is_whole(bytes: &[u8], items: &mut usize) -> bool {
    let mut rest = bytes;
    // For each open list or map, how many values are still to come; a pair is two.
    let mut open = [0_u64; DEPTH_MAX];
    let mut depth = 0;
    while *items > 0 {
        *items -= 1;
        let Some(within) = skip_item(&mut rest) else { return false };
        if within > 0 {
            let Some(innermost) = open.get_mut(depth) else { return false };
            *innermost = within;
            depth += 1;
            continue;
        }
        loop {
            let Some(innermost) = open[..depth].last_mut() else { return rest.is_empty() };
            *innermost -= 1;
            if *innermost > 0 {
                break;
            }
            depth -= 1;
        }
    }
    false
}

/// Goes past one marker and the content of a scalar; returns how many values follow within it. `None` where the bytes end before,
/// or are none.
fn skip_item(rest: &mut &[u8]) -> Option<u64> {
    let (&first, after) = rest.split_first()?;
    *rest = after;
    let (len, within) = match Marker::from_u8(first) {
        Marker::Null | Marker::False | Marker::True | Marker::FixPos(_) | Marker::FixNeg(_) => (0, 0),
        Marker::U8 | Marker::I8 => (1, 0),
        Marker::U16 | Marker::I16 => (2, 0),
        Marker::U32 | Marker::I32 | Marker::F32 => (4, 0),
        Marker::U64 | Marker::I64 | Marker::F64 => (8, 0),
        Marker::FixStr(len) => (len.into(), 0),
        Marker::Str8 | Marker::Bin8 => (big_endian(rest, 1)?, 0),
        Marker::Str16 | Marker::Bin16 => (big_endian(rest, 2)?, 0),
        Marker::Str32 | Marker::Bin32 => (big_endian(rest, 4)?, 0),
        // Before the content of an extension stands a byte for its type.
        Marker::FixExt1 => (2, 0),
        Marker::FixExt2 => (3, 0),
        Marker::FixExt4 => (5, 0),
        Marker::FixExt8 => (9, 0),
        Marker::FixExt16 => (17, 0),
        Marker::Ext8 => (1 + big_endian(rest, 1)?, 0),
        Marker::Ext16 => (1 + big_endian(rest, 2)?, 0),
        Marker::Ext32 => (1 + big_endian(rest, 4)?, 0),
        Marker::FixArray(len) => (0, len.into()),
        Marker::Array16 => (0, big_endian(rest, 2)?),
        Marker::Array32 => (0, big_endian(rest, 4)?),
        Marker::FixMap(len) => (0, 2 * u64::from(len)),
        Marker::Map16 => (0, 2 * big_endian(rest, 2)?),
        Marker::Map32 => (0, 2 * big_endian(rest, 4)?),
        Marker::Reserved => return None,
    };
    *rest = rest.get(usize::try_from(len).ok()?..)?;
    Some(within)
}

/// A list or map that is not complete yet.
struct Open {
    content: Content,
    /// How many values, or pairs, are still to come.
    left: u32,
}

enum Content {
    List(Vec<Value>),
    /// The pairs, and the key whose value comes next.
    Map(Vec<(String, Value)>, Option<String>),
}

impl Open {
    fn put(&mut self, value: Value) {
        match &mut self.content {
            Content::List(values) => values.push(value),
            Content::Map(_, key @ None) => {
                *key = Some(key_text(value));
                return;
            }
            Content::Map(pairs, key) => pairs.extend(key.take().map(|key| (key, value))),
        }
        self.left -= 1;
    }

    /// Puts a value that ends too early: as a key it would be another key, so it is left out there.
    fn put_last(&mut self, value: Value) {
        if !matches!(self.content, Content::Map(_, None)) {
            self.put(value);
        }
    }

    fn close(self) -> Value {
        match self.content {
            Content::List(values) => Value::List(values),
            Content::Map(pairs, _) => Value::Map(pairs),
        }
    }
}

/// What one marker introduces.
enum Item {
    Value(Value),
    List(u32),
    Map(u32),
    /// The bytes end within it, or it is none; with what is there of a text or of bytes.
    Cut(Option<Value>),
}

impl Item {
    fn read(rest: &mut &[u8]) -> Item {
        Item::try_read(rest).unwrap_or(Item::Cut(None))
    }

    fn try_read(rest: &mut &[u8]) -> Option<Item> {
        let (&first, after) = rest.split_first()?;
        *rest = after;
        Some(match Marker::from_u8(first) {
            Marker::Null => Item::Value(Value::Null),
            Marker::False => Item::Value(Value::Bool(false)),
            Marker::True => Item::Value(Value::Bool(true)),
            Marker::FixPos(number) => Item::Value(Value::I64(number.into())),
            Marker::FixNeg(number) => Item::Value(Value::I64(number.into())),
            Marker::U8 => unsigned(big_endian(rest, 1)?),
            Marker::U16 => unsigned(big_endian(rest, 2)?),
            Marker::U32 => unsigned(big_endian(rest, 4)?),
            Marker::U64 => unsigned(big_endian(rest, 8)?),
            Marker::I8 => signed(big_endian(rest, 1)?, 1),
            Marker::I16 => signed(big_endian(rest, 2)?, 2),
            Marker::I32 => signed(big_endian(rest, 4)?, 4),
            Marker::I64 => signed(big_endian(rest, 8)?, 8),
            Marker::F32 => {
                let bits = u32::try_from(big_endian(rest, 4)?).ok()?;
                Item::Value(Value::F64(f32::from_bits(bits).into()))
            }
            Marker::F64 => Item::Value(Value::F64(f64::from_bits(big_endian(rest, 8)?))),
            Marker::FixStr(len) => text(rest, len.into()),
            Marker::Str8 => {
                let len = big_endian(rest, 1)?;
                text(rest, len)
            }
            Marker::Str16 => {
                let len = big_endian(rest, 2)?;
                text(rest, len)
            }
            Marker::Str32 => {
                let len = big_endian(rest, 4)?;
                text(rest, len)
            }
            Marker::Bin8 => {
                let len = big_endian(rest, 1)?;
                binary(rest, len)
            }
            Marker::Bin16 => {
                let len = big_endian(rest, 2)?;
                binary(rest, len)
            }
            Marker::Bin32 => {
                let len = big_endian(rest, 4)?;
                binary(rest, len)
            }
            Marker::FixExt1 => extension(rest, 1)?,
            Marker::FixExt2 => extension(rest, 2)?,
            Marker::FixExt4 => extension(rest, 4)?,
            Marker::FixExt8 => extension(rest, 8)?,
            Marker::FixExt16 => extension(rest, 16)?,
            Marker::Ext8 => {
                let len = big_endian(rest, 1)?;
                extension(rest, len)?
            }
            Marker::Ext16 => {
                let len = big_endian(rest, 2)?;
                extension(rest, len)?
            }
            Marker::Ext32 => {
                let len = big_endian(rest, 4)?;
                extension(rest, len)?
            }
            Marker::FixArray(len) => Item::List(len.into()),
            Marker::Array16 | Marker::Array32 => {
                let width = if first == 0xdc { 2 } else { 4 };
                Item::List(u32::try_from(big_endian(rest, width)?).ok()?)
            }
            Marker::FixMap(len) => Item::Map(len.into()),
            Marker::Map16 | Marker::Map32 => {
                let width = if first == 0xde { 2 } else { 4 };
                Item::Map(u32::try_from(big_endian(rest, width)?).ok()?)
            }
            Marker::Reserved => return None,
        })
    }
}

fn big_endian(rest: &mut &[u8], width: usize) -> Option<u64> {
    let (bytes, after) = rest.split_at_checked(width)?;
    *rest = after;
    Some(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn unsigned(number: u64) -> Item {
    Item::Value(i64::try_from(number).map_or(Value::U64(number), Value::I64))
}

/// The two's complement number in the lowest `width` bytes.
fn signed(bits: u64, width: u32) -> Item {
    let unused = 64 - 8 * width;
    Item::Value(Value::I64((bits << unused).cast_signed() >> unused))
}

fn text(rest: &mut &[u8], len: u64) -> Item {
    let (content, whole) = content(rest, len);
    match std::str::from_utf8(content) {
        Ok(text) if whole => Item::Value(Value::Str(text.into())),
        // Old encoders knew no type for bytes and wrote them as text.
        Err(_) if whole => Item::Value(Value::Bytes(content.into())),
        Ok(text) => Item::Cut(Some(Value::Str(text.into()))),
        Err(error) => {
            let text = String::from_utf8_lossy(&content[..error.valid_up_to()]);
            Item::Cut(Some(Value::Str(text.into())))
        }
    }
}

fn binary(rest: &mut &[u8], len: u64) -> Item {
    let (content, whole) = content(rest, len);
    let value = Value::Bytes(content.into());
    if whole { Item::Value(value) } else { Item::Cut(Some(value)) }
}

fn extension(rest: &mut &[u8], len: u64) -> Option<Item> {
    let (_type, after) = rest.split_first()?;
    *rest = after;
    Some(binary(rest, len))
}

/// The next `len` bytes, or those that are there.
fn content<'a>(rest: &mut &'a [u8], len: u64) -> (&'a [u8], bool) {
    let there = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
    let (content, after) = rest.split_at(there);
    *rest = after;
    (content, content.len() as u64 == len)
}

/// A map key as text: what a person would write for it.
fn key_text(key: Value) -> String {
    match key {
        Value::Str(text) => text,
        other => {
            let mut text = String::new();
            write_text(&mut text, &other);
            text
        }
    }
}

/// Recursive, and safe to be: no value of this file is deeper than [`DEPTH_MAX`].
fn write_text(to: &mut String, value: &Value) {
    use std::fmt::Write as _;
    let written = match value {
        Value::Null => write!(to, "null"),
        Value::Bool(value) => write!(to, "{value}"),
        Value::I64(value) => write!(to, "{value}"),
        Value::U64(value) => write!(to, "{value}"),
        Value::F64(value) => write!(to, "{value:?}"),
        Value::Str(value) => write!(to, "{value}"),
        Value::Bytes(value) => value.iter().try_for_each(|byte| write!(to, "{byte:02x}")),
        Value::List(values) => {
            to.push('[');
            for (at, value) in values.iter().enumerate() {
                to.push_str(if at == 0 { "" } else { ", " });
                write_text(to, value);
            }
            write!(to, "]")
        }
        Value::Map(pairs) => {
            to.push('{');
            for (at, (key, value)) in pairs.iter().enumerate() {
                to.push_str(if at == 0 { "" } else { ", " });
                to.push_str(key);
                to.push_str(": ");
                write_text(to, value);
            }
            write!(to, "}}")
        }
    };
    written.expect("a String takes whatever is written to it");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Value {
        let unpacked = unpack(bytes, &mut 1000);
        assert!(is_whole(bytes, &mut 1000));
        assert!(unpacked.whole, "{bytes:02x?} is {unpacked:?}");
        unpacked.value
    }

    fn part(bytes: &[u8]) -> Value {
        let unpacked = unpack(bytes, &mut 1_000_000);
        assert!(!is_whole(bytes, &mut 1_000_000));
        assert!(!unpacked.whole, "{unpacked:?}");
        unpacked.value
    }

    fn depth(mut value: &Value) -> usize {
        let mut depth = 0;
        while let Value::List(values) = value {
            depth += 1;
            let Some(first) = values.first() else { break };
            value = first;
        }
        depth
    }

    #[test]
    fn numbers_of_every_width_keep_their_value() {
        for (bytes, number) in [
            (&[0x7f][..], 127),
            (&[0xe0], -32),
            (&[0xcc, 0xff], 255),
            (&[0xcd, 0xff, 0xfe], 65534),
            (&[0xce, 0x80, 0, 0, 0], 1 << 31),
            (&[0xd0, 0x80], -128),
            (&[0xd1, 0xff, 0xfe], -2),
            (&[0xd2, 0x80, 0, 0, 0], -(1 << 31)),
            (&[0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], i64::MIN),
        ] {
            assert_eq!(whole(bytes), Value::I64(number));
        }
        assert_eq!(whole(&[0xcf, 255, 255, 255, 255, 255, 255, 255, 255]), Value::U64(u64::MAX));
        assert_eq!(whole(&[0xca, 0x3f, 0xc0, 0, 0]), Value::F64(1.5));
        assert_eq!(whole(&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]), Value::F64(1.5));
    }

    #[test]
    fn what_serde_writes_is_read() {
        let value = (None::<u8>, true, "a", vec![1, 300], serde_bytes::Bytes::new(b"xyz"));
        let bytes = rmp_serde::to_vec_named(&value).unwrap();
        let list = Value::List(vec![Value::I64(1), Value::I64(300)]);
        let fields =
            [Value::Null, Value::Bool(true), Value::Str("a".into()), list, Value::Bytes(b"xyz".into())];
        assert_eq!(whole(&bytes), Value::List(fields.into()));
    }

    #[test]
    fn keys_that_are_no_text_become_text() {
        let bytes = [0x85, 0x01, 0xc0, 0xc3, 0xc0, 0xc4, 1, 0xab, 0xc0, 0x92, 0xa1, b'x', 0x02, 0xc0, 0xcb]
            .into_iter()
            .chain([0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0])
            .collect::<Vec<_>>();
        let keys = ["1", "true", "ab", "[x, 2]", "1.5"].map(|key| (key.to_owned(), Value::Null));
        assert_eq!(whole(&bytes), Value::Map(keys.into()));
    }

    #[test]
    fn an_extension_becomes_its_bytes() {
        assert_eq!(whole(&[0xd6, 0xff, 1, 2, 3, 4]), Value::Bytes(vec![1, 2, 3, 4]));
        assert_eq!(whole(&[0xc7, 2, 9, 7, 8]), Value::Bytes(vec![7, 8]));
    }

    #[test]
    fn a_value_cut_at_any_byte_gives_what_is_whole_of_it() {
        let bytes = rmp_serde::to_vec_named(&("ab\u{e9}", [("k", vec![1, 2])], 3)).unwrap();
        assert!(unpack(&bytes, &mut 1000).whole);
        let mut seen = Vec::new();
        for cut in 0..bytes.len() {
            let value = part(&bytes[..cut]);
            if seen.last() != Some(&value) {
                seen.push(value);
            }
        }
        let seen = seen.iter().map(|value| key_text(value.clone())).collect::<Vec<_>>();
        let expected = [
            "null",
            "[]",
            "[]", // of an empty text, which shows as nothing
            "[a]",
            "[ab]",
            "[ab\u{e9}]",
            "[ab\u{e9}, []]",
            "[ab\u{e9}, [[]]]",
            "[ab\u{e9}, [[]]]",
            "[ab\u{e9}, [[k]]]",
            "[ab\u{e9}, [[k, []]]]",
            "[ab\u{e9}, [[k, [1]]]]",
            "[ab\u{e9}, [[k, [1, 2]]]]",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_map_cut_after_a_key_or_within_one_leaves_the_key_out() {
        let bytes = [0x82, 0xa1, b'a', 0x01, 0xa2, b'b', b'c', 0x02];
        let first = Value::Map(vec![("a".into(), Value::I64(1))]);
        for cut in 4..bytes.len() {
            assert_eq!(part(&bytes[..cut]), first, "cut at {cut}");
        }
    }

    #[test]
    fn a_value_nested_too_deep_is_closed_at_the_limit() {
        assert_eq!(depth(&whole(&[&[0x91; DEPTH_MAX][..], &[0xc0]].concat())), DEPTH_MAX);
        assert_eq!(depth(&part(&[0x91; 1_000_000])), DEPTH_MAX);
        assert_eq!(depth(&part(&[0xdd; 1_000_000])), DEPTH_MAX);
    }

    #[test]
    fn a_length_without_content_allocates_nothing() {
        for bytes in [[0xdd, 255, 255, 255, 255], [0xdf, 255, 255, 255, 255]] {
            let empty = part(&bytes);
            assert!(empty == Value::List(vec![]) || empty == Value::Map(vec![]));
        }
        assert_eq!(part(&[0xc6, 255, 255, 255, 255, 1]), Value::Bytes(vec![1]));
        assert_eq!(part(&[0xdb, 255, 255, 255, 255, b'a', 0xc3]), Value::Str("a".into()));
        assert_eq!(part(&[0xc1]), Value::Null);
        assert_eq!(part(&[]), Value::Null);
        assert_eq!(part(&[1, 2]), Value::I64(1));
    }

    #[test]
    fn items_are_rationed() {
        let bytes = [&[0xdc, 0x03, 0xe8][..], &[0xc0; 1000]].concat();
        let mut items = 501;
        let unpacked = unpack(&bytes, &mut items);
        assert_eq!((unpacked.value, unpacked.whole), (Value::List(vec![Value::Null; 500]), false));
        assert_eq!(items, 0);
        assert!(unpack(&bytes, &mut 1001).whole);
    }

    proptest::proptest! {
        #[test]
        fn what_is_whole_is_known_without_unpacking_it(
            // Markers of every sort, and lengths that may fit.
            bytes in proptest::collection::vec(
                proptest::prop_oneof![0..6_u8, 0x80..0x84_u8, 0x90..0x94_u8, 0xa0..0xa4_u8, 0xc0..0xe1_u8], 0..40,
            ),
            limit in 0..40_usize,
        ) {
            for cut in 0..=bytes.len() {
                let (mut left, mut left_of_unpacked) = (limit, limit);
                let whole = is_whole(&bytes[..cut], &mut left);
                proptest::prop_assert_eq!(whole, unpack(&bytes[..cut], &mut left_of_unpacked).whole);
                proptest::prop_assert_eq!(left, left_of_unpacked);
            }
        }

        #[test]
        fn random_bytes_give_a_value_and_no_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut items = 1000;
            let unpacked = unpack(&bytes, &mut items);
            proptest::prop_assert!(1000 - items <= bytes.len() + 1, "{unpacked:?}");
        }
    }
}
