//! Reading columns: a whole column at a time, into memory that is kept from block to block.
//!
//! Most numbers are below 128, and stand in one byte: eight of those are taken at once. Longer ones are put together from a word
//! without a branch for each byte.

use super::Undecodable;

/// A column that is being read.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    name: &'static str,
    bytes: &'a [u8],
}

/// The highest bit of each byte, which a number's last byte does not have.
const GOES_ON: u64 = 0x8080_8080_8080_8080;

impl<'a> Taken<'a> {
    pub(super) fn new(name: &'static str, bytes: &'a [u8]) -> Self {
        Taken { name, bytes }
    }

    pub(super) fn len(self) -> usize {
        self.bytes.len()
    }

    /// The error for a value of this column.
    pub(super) fn refuse(self) -> Undecodable {
        Undecodable::Value(self.name)
    }

    /// The whole column, which is to be so long.
    pub(super) fn bytes(self, len: usize) -> Result<&'a [u8], Undecodable> {
        if self.len() < len {
            Err(Undecodable::TooShort(self.name))
        } else if self.len() > len {
            Err(Undecodable::TooLong(self.name))
        } else {
            Ok(self.bytes)
        }
    }

    /// The whole column as values of `N` bytes, `count` of them.
    pub(super) fn arrays<const N: usize>(self, count: usize) -> Result<&'a [[u8; N]], Undecodable> {
        self.bytes(count.saturating_mul(N)).map(|bytes| bytes.as_chunks().0)
    }

    /// The whole column as text.
    pub(super) fn text(self) -> Result<&'a str, Undecodable> {
        std::str::from_utf8(self.bytes).map_err(|_| self.refuse())
    }

    /// How many numbers the column has: bytes that are the last of one.
    pub(super) fn count(self) -> usize {
        self.bytes.iter().filter(|&&byte| byte & 0x80 == 0).count()
    }

    /// The whole column as `count` numbers, each turned into what is kept of it. A caller has made sure that some column is as
    /// long as that.
    pub(super) fn numbers<T>(
        self,
        count: usize,
        kept: &mut Vec<T>,
        mut keep: impl FnMut(u64) -> T,
    ) -> Result<(), Undecodable> {
        kept.clear();
        kept.reserve(count);
        let mut rest = self.bytes;
        while kept.len() < count {
            if let Some((chunk, after)) = rest.split_first_chunk::<8>() {
                let word = u64::from_le_bytes(*chunk);
                if word & GOES_ON == 0 && count - kept.len() >= 8 {
                    kept.extend(chunk.iter().map(|&byte| keep(byte.into())));
                    rest = after;
                    continue;
                }
                if let Some((number, len)) = number_in_word(word) {
                    kept.push(keep(number));
                    rest = rest.get(len..).unwrap_or_default();
                    continue;
                }
            }
            kept.push(keep(self.number(&mut rest)?));
        }
        if rest.is_empty() { Ok(()) } else { Err(Undecodable::TooLong(self.name)) }
    }

    /// Likewise, as numbers that point at something, or measure it. What is larger than all that can be in a block becomes
    /// the largest number.
    pub(super) fn sizes(self, count: usize, kept: &mut Vec<u32>) -> Result<(), Undecodable> {
        self.numbers(count, kept, |number| u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// Likewise, as numbers below `end`: places in a table.
    pub(super) fn indexes(self, count: usize, end: usize, kept: &mut Vec<u32>) -> Result<(), Undecodable> {
        self.sizes(count, kept)?;
        let is_in_table = kept.iter().max().is_none_or(|&highest| (highest as usize) < end);
        if is_in_table { Ok(()) } else { Err(self.refuse()) }
    }

    /// Likewise, as the lengths of the `count` pieces that make up `whole`; what is kept is where each piece ends.
    pub(super) fn ends(self, count: usize, whole: Whole<'_>, kept: &mut Vec<u32>) -> Result<(), Undecodable> {
        self.sizes(count, kept)?;
        let mut end = 0_u32;
        for len in &mut *kept {
            end = end.saturating_add(*len);
            *len = end;
        }
        if end as usize > whole.len {
            return Err(Undecodable::TooShort(whole.name));
        }
        if let Some(text) = whole.text.filter(|text| !text.is_ascii())
            && !kept.iter().all(|&end| text.is_char_boundary(end as usize))
        {
            return Err(Undecodable::Value(whole.name));
        }
        if (end as usize) < whole.len { Err(Undecodable::TooLong(whole.name)) } else { Ok(()) }
    }

    /// One number, byte by byte: a long one, or one of the last of the column.
    #[inline(never)]
    fn number(self, rest: &mut &[u8]) -> Result<u64, Undecodable> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, after) = rest.split_first().ok_or(Undecodable::TooShort(self.name))?;
            *rest = after;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.refuse())
    }
}

/// The number that stands first in these 8 bytes, and how many of them it takes; `None` if it is longer.
#[inline]
fn number_in_word(word: u64) -> Option<(u64, usize)> {
    let ends = !word & GOES_ON;
    if ends == 0 {
        return None;
    }
    let len = ends.trailing_zeros() as usize / 8 + 1;
    // All bits up to the first byte that is a last one, then seven bits a byte moved together: by pairs, fours, eights.
    let sevens = word & (ends ^ (ends - 1)) & !GOES_ON;
    let pairs = sevens & 0x007f_007f_007f_007f | (sevens & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    Some((fours & 0x0000_0000_0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4, len))
}

/// The signed number that was folded to this one.
#[inline]
pub(super) fn unfold(folded: u64) -> i64 {
    (folded >> 1).cast_signed() ^ -(folded & 1).cast_signed()
}

/// A column that is made up of pieces, whose lengths are another column.
#[derive(Clone, Copy)]
pub(super) struct Whole<'a> {
    name: &'static str,
    len: usize,
    /// Where each piece is text, and so must end with a whole character.
    text: Option<&'a str>,
}

impl<'a> Whole<'a> {
    pub(super) fn of_text(column: Taken<'a>, text: &'a str) -> Self {
        Whole { name: column.name, len: text.len(), text: Some(text) }
    }

    pub(super) fn of_bytes(column: Taken<'a>) -> Self {
        Whole { name: column.name, len: column.len(), text: None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::columns::{Column, put_number, put_signed};
    use super::*;

    fn taken(bytes: &[u8]) -> Taken<'_> {
        Taken::new("test", bytes)
    }

    fn numbers(bytes: &[u8], count: usize) -> Result<Vec<u64>, Undecodable> {
        let mut kept = vec![7; 3];
        taken(bytes).numbers(count, &mut kept, |number| number).map(|()| kept)
    }

    /// One number after another, byte by byte, as the format tells it.
    fn one_by_one(mut bytes: &[u8], count: usize) -> Result<Vec<u64>, Undecodable> {
        let numbers = (0..count).map(|_| taken(&[]).number(&mut bytes)).collect::<Result<Vec<_>, _>>()?;
        if bytes.is_empty() { Ok(numbers) } else { Err(Undecodable::TooLong("test")) }
    }

    #[test]
    fn numbers_of_every_length_come_back() {
        for shift in 0..64 {
            for number in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                // With nothing behind it, and with enough for a word.
                for following in [0, 9] {
                    let mut column = Column::new();
                    put_number(&mut column, number);
                    put_signed(&mut column, number.cast_signed());
                    put_signed(&mut column, number.cast_signed().wrapping_neg());
                    column.extend(vec![0; following]);
                    let read = numbers(&column, 3 + following).unwrap();
                    assert_eq!(read[0], number);
                    assert_eq!(unfold(read[1]), number.cast_signed());
                    assert_eq!(unfold(read[2]), number.cast_signed().wrapping_neg());
                }
            }
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        assert_eq!(numbers(&[0xff; 10], 1), Err(Undecodable::Value("test")));
        let mut highest = [0x80; 10];
        highest[9] = 2;
        assert_eq!(numbers(&highest, 1), Err(Undecodable::Value("test")));
        highest[9] = 1;
        assert_eq!(numbers(&highest, 1), Ok(vec![1 << 63]));
        assert_eq!(numbers(&[0x80], 1), Err(Undecodable::TooShort("test")));
    }

    #[test]
    fn pieces_make_up_the_whole_and_end_with_a_whole_character() {
        let ends = |lens: &[u8], content: &str| {
            let mut kept = Vec::new();
            let whole = Whole::of_text(Taken::new("content", content.as_bytes()), content);
            taken(lens).ends(lens.len(), whole, &mut kept).map(|()| kept)
        };
        assert_eq!(ends(&[], ""), Ok(vec![]));
        assert_eq!(ends(&[0, 1, 0, 2], "abc"), Ok(vec![0, 1, 1, 3]));
        assert_eq!(ends(&[2, 1], "\u{e9}b"), Ok(vec![2, 3]));
        assert_eq!(ends(&[1, 2], "\u{e9}b"), Err(Undecodable::Value("content")));
        assert_eq!(ends(&[2], "abc"), Err(Undecodable::TooLong("content")));
        assert_eq!(ends(&[2, 2], "abc"), Err(Undecodable::TooShort("content")));
    }

    #[test]
    fn a_place_behind_the_table_is_refused() {
        let indexes = |bytes: &[u8], count, end| taken(bytes).indexes(count, end, &mut Vec::new());
        assert_eq!(indexes(&[], 0, 0), Ok(()));
        assert_eq!(indexes(&[0, 4], 2, 5), Ok(()));
        assert_eq!(indexes(&[5, 0], 2, 5), Err(Undecodable::Value("test")));
        assert_eq!(indexes(&[0x80, 0x80, 0x80, 0x80, 0x10], 1, 5), Err(Undecodable::Value("test")));
    }

    proptest! {
        #[test]
        fn a_column_is_read_as_one_number_after_another_is(
            bytes in prop::collection::vec(
                prop_oneof![4 => 0..0x80_u8, 2 => any::<u8>(), 1 => Just(0x80), 1 => Just(0xff)], 0..60,
            ),
            count in 0..40_usize,
        ) {
            prop_assert_eq!(numbers(&bytes, count), one_by_one(&bytes, count));
            let whole = (0..=bytes.len()).find(|&count| one_by_one(&bytes, count).is_ok());
            if let Some(count) = whole {
                prop_assert_eq!(numbers(&bytes, count), one_by_one(&bytes, count));
            }
        }
    }
}
