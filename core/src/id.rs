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
            pub const fn is_valid(self) -> bool {
                let mut index = 0;
                let mut any = 0;
                while index < self.0.len() {
                    any |= self.0[index];
                    index += 1;
                }
                any != 0
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

impl TraceId {
    /// The identity that stands for one of another system: always the same for the same text.
    ///
    /// 32 hexadecimal digits, with dashes as in a UUID and with a prefix up to an underscore (`trace_…`), are the identity itself.
    /// Of any other text it is a hash (FNV-1a, 128 bits).
    pub fn from_foreign(text: &str) -> Self {
        if let Some((digits, 32)) = hexadecimal(text) {
            let id = Self::from_bytes(digits);
            if id.is_valid() {
                return id;
            }
        }
        let hash = text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d_u128, |hash, byte| {
            (hash ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b)
        });
        Self::from_bytes(hash.max(1).to_le_bytes())
    }
}

impl SpanId {
    /// The identity that stands for one of another system: always the same for the same text.
    ///
    /// Of 16 hexadecimal digits or more, with dashes as in a UUID and with a prefix up to an underscore (`span_…`), the first 16 are
    /// the identity. Of any other text it is a hash (FNV-1a, 64 bits).
    pub fn from_foreign(text: &str) -> Self {
        if let Some((digits, 16..)) = hexadecimal(text) {
            let (first, _) = digits.split_at(8);
            let id = Self::from_bytes(first.try_into().unwrap_or_default());
            if id.is_valid() {
                return id;
            }
        }
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self::from_bytes(hash.max(1).to_le_bytes())
    }
}

/// What a text of hexadecimal digits says, its first 16 bytes, and how many digits there are: behind the last underscore, and
/// whatever dashes are between them. `None` where anything else is in it.
fn hexadecimal(text: &str) -> Option<([u8; 16], usize)> {
    let digits = text.rsplit('_').next().unwrap_or(text);
    let mut bytes = [0; 16];
    let mut count = 0;
    for character in digits.bytes().filter(|character| *character != b'-') {
        let value = digit(character)?;
        if let Some(byte) = bytes.get_mut(count / 2) {
            *byte = *byte << 4 | value;
        }
        count += 1;
    }
    Some((bytes, count))
}

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
    fn identities_of_other_systems_lead_to_one_each() {
        let trace = |text| TraceId::from_foreign(text).to_string();
        assert_eq!(trace("f5a063d0-76e4-4084-ae9b-e3470331de23"), "f5a063d076e44084ae9be3470331de23");
        assert_eq!(trace("trace_3924bfd736564ddfa85118b9a18cc3e9"), "3924bfd736564ddfa85118b9a18cc3e9");
        let span = |text| SpanId::from_foreign(text).to_string();
        assert_eq!(span("2b334ddf-95ba-4f6a-a5f3-7ab0dd6cffc2"), "2b334ddf95ba4f6a");
        assert_eq!(span("span_a15e1fc3d5b548b9af82dabe"), "a15e1fc3d5b548b9");
        for text in
            ["", "run-7", "013xrzp12g3nqk8nzzzzzzzzzzzzzzzz", "00000000000000000000000000000000", "abc"]
        {
            assert!(
                TraceId::from_foreign(text).is_valid() && SpanId::from_foreign(text).is_valid(),
                "{text}"
            );
            assert_eq!(TraceId::from_foreign(text), TraceId::from_foreign(text));
        }
        assert_ne!(SpanId::from_foreign("run-7"), SpanId::from_foreign("run-8"));
        // The published value for FNV-1a of "a".
        assert_eq!(SpanId::from_foreign("a").to_bytes(), 0xaf63_dc4c_8601_ec8c_u64.to_le_bytes());
    }

    #[test]
    fn text_that_is_no_identity_is_refused() {
        for text in ["", "b7ad6b716920333", "b7ad6b71692033311", "b7ad6b716920333g", "b7ad6b71692033\u{e9}"] {
            assert_eq!(SpanId::parse(text), None, "{text:?}");
        }
        assert!(!SpanId::parse("0000000000000000").unwrap().is_valid());
    }
}
