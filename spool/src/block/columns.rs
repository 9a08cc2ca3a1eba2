//! The columns of a block: their names, how values are appended to them, and how they are taken off again.

use serde::{Deserialize, Serialize};

use super::Undecodable;

macro_rules! columns {
    ($($name:ident)*) => {
        /// One field for each column; `B` is a growing buffer when a block is built, a slice when it is read.
        #[derive(Serialize, Deserialize, Default)]
        pub(super) struct Columns<B> {
            $(pub(super) $name: B,)*
        }

        impl<B: AsRef<[u8]>> Columns<B> {
            /// The bytes of all columns together.
            pub(super) fn len(&self) -> usize {
                0 $(+ self.$name.as_ref().len())*
            }
        }

        impl Columns<Column> {
            pub(super) fn clear(&mut self) {
                $(self.$name.clear();)*
            }
        }

        impl<'a> Columns<&'a serde_bytes::Bytes> {
            /// The same columns, to be taken off value by value.
            pub(super) fn taken(&self) -> Columns<Taken<'a>> {
                Columns { $($name: Taken { name: stringify!($name), rest: self.$name },)* }
            }
        }

        impl Columns<Taken<'_>> {
            /// Makes sure that nothing is left in any column.
            pub(super) fn finish(&self) -> Result<(), Undecodable> {
                $(self.$name.finish()?;)*
                Ok(())
            }
        }
    };
}

columns! {
    trace_ids text_lens texts
    state kind trace span_id parent_id name start duration message_len messages cut entries
    tag key i64 u64 f64 str_len str bytes_len bytes packed_len packed event_time link_trace link_span
}

/// A column that is being written.
pub(super) type Column = serde_bytes::ByteBuf;

/// Appends a LEB128 number.
#[inline]
pub(super) fn put_number(column: &mut Column, number: u64) {
    // Most are short, and one look at the column's room is enough for all bytes of a number.
    match number {
        0..0x80 => column.push(number.to_le_bytes()[0]),
        0x80..0x4000 => {
            column.extend_from_slice(&[number.to_le_bytes()[0] | 0x80, (number >> 7).to_le_bytes()[0]]);
        }
        _ => put_long(column, number),
    }
}

fn put_long(column: &mut Column, mut number: u64) {
    let (mut bytes, mut len) = ([0; 10], 0);
    loop {
        bytes[len] = number.to_le_bytes()[0] | 0x80;
        len += 1;
        number >>= 7;
        if number == 0 {
            break;
        }
    }
    bytes[len - 1] &= 0x7f;
    column.extend_from_slice(&bytes[..len]);
}

/// Appends a signed number, folded.
#[inline]
pub(super) fn put_signed(column: &mut Column, number: i64) {
    put_number(column, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// Appends bytes, which may be text.
#[inline]
pub(super) fn put_bytes(lens: &mut Column, content: &mut Column, bytes: &[u8]) {
    put_number(lens, bytes.len() as u64);
    content.extend_from_slice(bytes);
}

/// A column that is being read.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    name: &'static str,
    rest: &'a [u8],
}

impl<'a> Taken<'a> {
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The error for a value that was taken off this column.
    pub(super) fn refuse(&self) -> Undecodable {
        Undecodable::Value(self.name)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Undecodable> {
        let (&byte, rest) = self.rest.split_first().ok_or(Undecodable::TooShort(self.name))?;
        self.rest = rest;
        Ok(byte)
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Undecodable> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Undecodable::TooShort(self.name))?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Undecodable> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Undecodable::TooShort(self.name))?;
        self.rest = rest;
        Ok(*array)
    }

    pub(super) fn number(&mut self) -> Result<u64, Undecodable> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
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

    pub(super) fn signed(&mut self) -> Result<i64, Undecodable> {
        let folded = self.number()?;
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    /// A number that counts or points at something in memory.
    pub(super) fn size(&mut self) -> Result<usize, Undecodable> {
        usize::try_from(self.number()?).map_err(|_| self.refuse())
    }

    /// The whole column as text, of which [`TakenText`] then takes pieces.
    pub(super) fn text(&mut self) -> Result<TakenText<'a>, Undecodable> {
        let rest = std::str::from_utf8(self.rest).map_err(|_| self.refuse())?;
        self.rest = &[];
        Ok(TakenText { name: self.name, rest })
    }

    fn finish(&self) -> Result<(), Undecodable> {
        if self.rest.is_empty() { Ok(()) } else { Err(Undecodable::TooLong(self.name)) }
    }
}

/// A column of text that is being read.
#[derive(Clone, Copy)]
pub(super) struct TakenText<'a> {
    name: &'static str,
    rest: &'a str,
}

impl<'a> TakenText<'a> {
    pub(super) fn text(&mut self, len: usize) -> Result<&'a str, Undecodable> {
        if len > self.rest.len() {
            return Err(Undecodable::TooShort(self.name));
        }
        let (text, rest) = self.rest.split_at_checked(len).ok_or(Undecodable::Value(self.name))?;
        self.rest = rest;
        Ok(text)
    }

    pub(super) fn finish(&self) -> Result<(), Undecodable> {
        if self.rest.is_empty() { Ok(()) } else { Err(Undecodable::TooLong(self.name)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bytes: &[u8]) -> Taken<'_> {
        Taken { name: "test", rest: bytes }
    }

    #[test]
    fn numbers_of_every_length_come_back() {
        for shift in 0..64 {
            for number in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift] {
                let mut column = Column::new();
                put_number(&mut column, number);
                put_signed(&mut column, number.cast_signed());
                put_signed(&mut column, number.cast_signed().wrapping_neg());
                let mut taken = taken(&column);
                assert_eq!(taken.number(), Ok(number));
                assert_eq!(taken.signed(), Ok(number.cast_signed()));
                assert_eq!(taken.signed(), Ok(number.cast_signed().wrapping_neg()));
                assert_eq!(taken.finish(), Ok(()));
            }
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        assert_eq!(taken(&[0xff; 10]).number(), Err(Undecodable::Value("test")));
        let mut highest = [0x80; 10];
        highest[9] = 2;
        assert_eq!(taken(&highest).number(), Err(Undecodable::Value("test")));
        highest[9] = 1;
        assert_eq!(taken(&highest).number(), Ok(1 << 63));
        assert_eq!(taken(&[0x80]).number(), Err(Undecodable::TooShort("test")));
    }
}
