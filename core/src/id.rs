//! Identities of traces and spans, as W3C trace context has them.

use std::cmp::Ordering;
use std::fmt;

/// A trace: 16 bytes, not all zero. Text is 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TraceId([u64; 2]);

/// A span: 8 bytes, not all zero. Text is 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SpanId([u64; 1]);

macro_rules! id {
    ($name:ident, $len:literal) => {
        impl $name {
            /// The identity that no trace or span has.
            pub const INVALID: Self = Self([0; $len / 8]);

            /// The identity with these bytes, in the order in which its text shows them.
            #[inline]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                let (words, _) = bytes.as_chunks::<8>();
                let mut id = Self::INVALID;
                let mut index = 0;
                while index < words.len() {
                    id.0[index] = u64::from_le_bytes(words[index]);
                    index += 1;
                }
                id
            }

            /// The bytes, in the order in which the text shows them.
            #[inline]
            pub const fn to_bytes(self) -> [u8; $len] {
                let mut bytes = [0; $len];
                let (chunks, _) = bytes.as_chunks_mut::<8>();
                let mut index = 0;
                while index < chunks.len() {
                    chunks[index] = self.0[index].to_le_bytes();
                    index += 1;
                }
                bytes
            }

            /// The words whose little-endian bytes are the identity's: what the recording thread works with.
            #[inline]
            pub(crate) const fn to_words(self) -> [u64; $len / 8] {
                self.0
            }

            #[inline]
            pub(crate) const fn from_words(words: [u64; $len / 8]) -> Self {
                Self(words)
            }

            /// Whether any byte differs from zero.
            #[inline]
            pub fn is_valid(self) -> bool {
                self != Self::INVALID
            }

            /// Reads the hexadecimal text of either case; `None` unless it is exactly as long as an identity.
            pub fn parse(text: &str) -> Option<Self> {
                let text = text.as_bytes();
                if text.len() != 2 * $len {
                    return None;
                }
                let mut bytes = [0; $len];
                for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
                    *byte = digit(digits[0])? << 4 | digit(digits[1])?;
                }
                Some(Self::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl Ord for $name {
            /// As their bytes and their text are ordered.
            fn cmp(&self, other: &Self) -> Ordering {
                self.to_bytes().cmp(&other.to_bytes())
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id!(TraceId, 16);
id!(SpanId, 8);

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_are_the_same_identity() {
        let id = TraceId::parse("0af7651916cd43dd8448eb211c80319c").unwrap();
        assert_eq!(id.to_bytes()[..2], [0x0a, 0xf7]);
        assert_eq!(id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(SpanId::parse("B7AD6B7169203331").unwrap().to_string(), "b7ad6b7169203331");
    }

    #[test]
    fn identities_are_ordered_as_their_text_is() {
        let texts = ["00000000000000ff", "0000000000000100", "0100000000000000", "ff00000000000000"];
        let ids = texts.map(|text| SpanId::parse(text).unwrap());
        assert!(ids.is_sorted());
        assert_eq!(ids.map(|id| id.to_string()), texts);
    }

    #[test]
    fn text_that_is_no_identity_is_refused() {
        for text in ["", "b7ad6b716920333", "b7ad6b71692033311", "b7ad6b716920333g", "b7ad6b71692033\u{e9}"] {
            assert_eq!(SpanId::parse(text), None, "{text:?}");
        }
        assert!(!SpanId::parse("0000000000000000").unwrap().is_valid());
    }
}
