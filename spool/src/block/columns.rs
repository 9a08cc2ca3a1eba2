//! The columns of a block: their names, and how values are appended to them.

use serde::{Deserialize, Serialize};

use super::taken::Taken;

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
            /// The same columns, to be read.
            pub(super) fn taken(&self) -> Columns<Taken<'a>> {
                Columns { $($name: Taken::new(stringify!($name), self.$name),)* }
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
