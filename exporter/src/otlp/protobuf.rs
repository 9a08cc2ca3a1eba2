//! Protobuf, as far as OTLP needs it: fields of a message, one after the other, into bytes.
//!
//! What is written is what a generated encoder makes: fields in the order of their numbers, none that has its default value, lengths and
//! numbers in as few bytes as they need. Tests compare it with one.

/// How a field's value lies: the lower three bits of its tag.
pub(super) const VARINT: u32 = 0;
pub(super) const FIXED_64: u32 = 1;
pub(super) const DELIMITED: u32 = 2;
const FIXED_32: u32 = 5;

/// About how long a message will be, which decides how many bytes are left free for its length. Where it comes to another length, it is moved.
#[derive(Clone, Copy)]
pub(super) enum Expected {
    /// Below 128 bytes.
    Short,
    /// Below 16 KiB.
    Long,
}

/// A field that is a message, which `write` writes.
pub(super) fn message(out: &mut Vec<u8>, field: u32, expected: Expected, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, DELIMITED);
    let expected: &[u8] = match expected {
        Expected::Short => &[0],
        Expected::Long => &[0, 0],
    };
    let place = out.len();
    out.extend_from_slice(expected);
    let start = out.len();
    write(out);
    let len = out.len() - start;
    let needed = varint_len(len as u64);
    if needed != expected.len() {
        let moved = place + needed;
        out.resize(out.len().max(moved + len), 0);
        out.copy_within(start..start + len, moved);
        out.truncate(moved + len);
    }
    let mut rest = len as u64;
    for (at, byte) in out[place..place + needed].iter_mut().enumerate() {
        let more = if at + 1 < needed { 0x80 } else { 0 };
        *byte = (rest & 0x7f) as u8 | more;
        rest >>= 7;
    }
}

/// Bytes, or a message that is encoded already, also if there are none.
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    tag(out, field, DELIMITED);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A text, unless it is empty.
pub(super) fn text(out: &mut Vec<u8>, field: u32, text: &str) {
    if !text.is_empty() {
        bytes(out, field, text.as_bytes());
    }
}

/// A number, unless it is 0.
pub(super) fn number(out: &mut Vec<u8>, field: u32, number: u32) {
    if number != 0 {
        integer(out, field, number.into());
    }
}

/// An integer, also if it is 0; a negative one in two's complement.
pub(super) fn integer(out: &mut Vec<u8>, field: u32, integer: u64) {
    tag(out, field, VARINT);
    varint(out, integer);
}

/// Four bytes, unless they are 0.
pub(super) fn fixed_32(out: &mut Vec<u8>, field: u32, number: u32) {
    if number != 0 {
        tag(out, field, FIXED_32);
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// Eight bytes, also if they are 0.
pub(super) fn fixed_64(out: &mut Vec<u8>, field: u32, number: u64) {
    tag(out, field, FIXED_64);
    out.extend_from_slice(&number.to_le_bytes());
}

fn tag(out: &mut Vec<u8>, field: u32, lies: u32) {
    varint(out, (field << 3 | lies).into());
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
}

/// A few small fields, put together to be written at once: most of what a span has is smaller than a look at the room for it costs.
pub(super) struct Few {
    bytes: [u8; FEW_LEN],
    len: usize,
}

/// Two identities with their tags and lengths. All else that is put together is shorter.
const FEW_LEN: usize = 32;

impl Few {
    #[inline]
    pub(super) fn new() -> Self {
        Few { bytes: [0; FEW_LEN], len: 0 }
    }

    /// Begins a field whose number is below 16.
    #[inline]
    pub(super) fn tag(&mut self, field: u32, lies: u32) {
        self.push(((field << 3 | lies) & 0x7f) as u8);
    }

    #[inline]
    pub(super) fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.push((number & 0x7f) as u8);
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.len..][..N].copy_from_slice(&bytes);
        self.len += N;
    }

    #[inline]
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.len]);
    }

    #[inline]
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }
}

/// In how many bytes of seven bits a number fits.
pub(super) fn varint_len(number: u64) -> usize {
    (64 - (number | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use prost::encoding::{decode_key, decode_varint, encode_varint, encoded_len_varint};

    use super::*;

    #[test]
    fn numbers_are_as_prost_has_them() {
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1]);
        for number in edges.chain([u64::MAX]) {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            varint(&mut ours, number);
            encode_varint(number, &mut theirs);
            assert_eq!(ours, theirs, "{number}");
            assert_eq!(varint_len(number), encoded_len_varint(number), "{number}");
        }
    }

    #[test]
    fn a_message_has_its_length_before_it_whatever_was_expected() {
        let edges = [7, 14, 21].into_iter().flat_map(|bits| [(1 << bits) - 1, 1 << bits]);
        for len in edges.chain([0, 1]) {
            for expected in [Expected::Short, Expected::Long] {
                let content: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
                let mut out = vec![1, 2, 3];
                message(&mut out, 9, expected, |out| out.extend_from_slice(&content));
                let (before, mut rest) = out.split_at(3);
                assert_eq!(before, [1, 2, 3]);
                assert_eq!(decode_key(&mut rest).unwrap().0, 9);
                assert_eq!(decode_varint(&mut rest).unwrap(), len as u64);
                assert_eq!(rest, content, "{len}");
            }
        }
    }
}
