//! MessagePack, read whole or up to where it is cut.

use rmp::Marker;

/// What MessagePack says.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Decoded {
    Nil,
    Bool(bool),
    Int(i128),
    Float(u64),
    Str(String),
    Bytes(Vec<u8>),
    List(Vec<Decoded>),
    Map(Vec<(Decoded, Decoded)>),
}

impl Decoded {
    /// The value, or what there is of it, and whether it ends.
    pub(crate) fn read(rest: &mut &[u8]) -> (Option<Decoded>, bool) {
        let Some((&first, after)) = rest.split_first() else { return (None, false) };
        *rest = after;
        let ended = |value| (Some(value), true);
        match Marker::from_u8(first) {
            Marker::Null => ended(Decoded::Nil),
            Marker::True => ended(Decoded::Bool(true)),
            Marker::False => ended(Decoded::Bool(false)),
            Marker::FixPos(value) => ended(Decoded::Int(value.into())),
            Marker::FixNeg(value) => ended(Decoded::Int(value.into())),
            Marker::U8 => Self::number(rest, 1, Decoded::Int),
            Marker::U16 => Self::number(rest, 2, Decoded::Int),
            Marker::U32 => Self::number(rest, 4, Decoded::Int),
            Marker::U64 => Self::number(rest, 8, Decoded::Int),
            Marker::I8 => Self::number(rest, 1, |bits| Decoded::Int(bits - (1 << 8))),
            Marker::I16 => Self::number(rest, 2, |bits| Decoded::Int(bits - (1 << 16))),
            Marker::I32 => Self::number(rest, 4, |bits| Decoded::Int(bits - (1 << 32))),
            Marker::I64 => Self::number(rest, 8, |bits| Decoded::Int(bits - (1 << 64))),
            Marker::F32 => Self::number(rest, 4, |bits| Decoded::Float(bits.try_into().unwrap())),
            Marker::F64 => Self::number(rest, 8, |bits| Decoded::Float(bits.try_into().unwrap())),
            Marker::FixStr(len) => Self::text(rest, len.into()),
            Marker::Str8 => Self::with_length(rest, 1, Self::text),
            Marker::Str16 => Self::with_length(rest, 2, Self::text),
            Marker::Str32 => Self::with_length(rest, 4, Self::text),
            Marker::Bin8 => Self::with_length(rest, 1, Self::bytes),
            Marker::Bin16 => Self::with_length(rest, 2, Self::bytes),
            Marker::Bin32 => Self::with_length(rest, 4, Self::bytes),
            Marker::FixArray(len) => Self::list(rest, len.into()),
            Marker::Array16 => Self::with_length(rest, 2, Self::list),
            Marker::Array32 => Self::with_length(rest, 4, Self::list),
            Marker::FixMap(len) => Self::map(rest, len.into()),
            Marker::Map16 => Self::with_length(rest, 2, Self::map),
            Marker::Map32 => Self::with_length(rest, 4, Self::map),
            marker => panic!("{marker:?} is never written"),
        }
    }

    fn number(rest: &mut &[u8], width: usize, of: impl Fn(i128) -> Decoded) -> (Option<Decoded>, bool) {
        let Some((bytes, after)) = rest.split_at_checked(width) else {
            *rest = &[];
            return (None, false);
        };
        *rest = after;
        (Some(of(bytes.iter().fold(0, |number, &byte| number << 8 | i128::from(byte)))), true)
    }

    fn with_length(
        rest: &mut &[u8],
        width: usize,
        read: impl Fn(&mut &[u8], usize) -> (Option<Decoded>, bool),
    ) -> (Option<Decoded>, bool) {
        match Self::number(rest, width, Decoded::Int) {
            (Some(Decoded::Int(len)), _) => read(rest, usize::try_from(len).unwrap()),
            cut => cut,
        }
    }

    fn bytes(rest: &mut &[u8], len: usize) -> (Option<Decoded>, bool) {
        let (bytes, after) = rest.split_at(len.min(rest.len()));
        *rest = after;
        (Some(Decoded::Bytes(bytes.to_vec())), bytes.len() == len)
    }

    fn text(rest: &mut &[u8], len: usize) -> (Option<Decoded>, bool) {
        let (bytes, after) = rest.split_at(len.min(rest.len()));
        *rest = after;
        let is_whole = bytes.len() == len;
        let text = match std::str::from_utf8(bytes) {
            Err(error) if !is_whole => std::str::from_utf8(&bytes[..error.valid_up_to()]),
            text => text,
        };
        (Some(Decoded::Str(text.expect("whole text is UTF-8").to_owned())), is_whole)
    }

    fn list(rest: &mut &[u8], len: usize) -> (Option<Decoded>, bool) {
        let mut list = Vec::new();
        for _ in 0..len {
            let (value, is_whole) = Self::read(rest);
            list.extend(value);
            if !is_whole {
                return (Some(Decoded::List(list)), false);
            }
        }
        (Some(Decoded::List(list)), true)
    }

    fn map(rest: &mut &[u8], len: usize) -> (Option<Decoded>, bool) {
        let mut map = Vec::new();
        for _ in 0..len {
            let (Some(key), true) = Self::read(rest) else { return (Some(Decoded::Map(map)), false) };
            let (value, is_whole) = Self::read(rest);
            map.extend(value.map(|value| (key, value)));
            if !is_whole {
                return (Some(Decoded::Map(map)), false);
            }
        }
        (Some(Decoded::Map(map)), true)
    }

    /// The value that these bytes are.
    #[track_caller]
    pub(crate) fn whole(mut bytes: &[u8]) -> Decoded {
        let (Some(value), true) = Decoded::read(&mut bytes) else { panic!("{bytes:02x?} end too early") };
        assert!(bytes.is_empty(), "{bytes:02x?} are behind the value");
        value
    }

    /// Whether this is what there is of `whole` up to some byte.
    pub(crate) fn begins(&self, whole: &Decoded) -> bool {
        match (self, whole) {
            (Decoded::Str(part), Decoded::Str(whole)) => whole.starts_with(part),
            (Decoded::Bytes(part), Decoded::Bytes(whole)) => whole.starts_with(part),
            (Decoded::List(part), Decoded::List(whole)) => match part.split_last() {
                Some((last, part)) => {
                    whole.starts_with(part) && whole.get(part.len()).is_some_and(|whole| last.begins(whole))
                }
                None => true,
            },
            (Decoded::Map(part), Decoded::Map(whole)) => match part.split_last() {
                Some((last, part)) => {
                    whole.starts_with(part)
                        && whole
                            .get(part.len())
                            .is_some_and(|whole| last.0 == whole.0 && last.1.begins(&whole.1))
                }
                None => true,
            },
            (part, whole) => part == whole,
        }
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> usize {
        match self {
            Decoded::List(values) => 1 + values.iter().map(Decoded::count).sum::<usize>(),
            Decoded::Map(pairs) => 1 + pairs.iter().map(|(_, value)| value.count()).sum::<usize>(),
            Decoded::Str(text) => 1 + text.len(),
            _ => 1,
        }
    }
}
