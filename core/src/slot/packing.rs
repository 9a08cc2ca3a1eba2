//! Values of any type as MessagePack, encoded where they stay, without the heap.
//!
//! A struct is a map with the names of its fields, a newtype struct what it holds, a variant its name, or a map from its name
//! to what it holds; bytes and integers of 128 bits are binary. This is what `rmp_serde` writes with structs as maps, byte for
//! byte, apart from what it needs the heap for, or believes:
//!
//! * A list, map or text whose length is known only at its end has a header of 32 bits, where its length is stored when it ends.
//!   Until then the largest length is there: where the value is cut, that reads as all that there is.
//! * If there are more or fewer elements than a `Serialize` has said, the header is corrected. The value fails if its header has no
//!   room for their number, if a key has no value, or if a `Serialize` goes on after an element has failed.
//! * An extension type is the list that `rmp_serde` makes it from: its number and its bytes.
#![expect(clippy::big_endian_bytes, reason = "the numbers of MessagePack are")]

mod elements;
mod redacting;

use std::fmt::{self, Write as _};
use std::io;

use rmp::Marker;
use rmp::encode::{self, ValueWriteError};
use serde::Serialize;
use serde::ser::{self, Serializer};

use super::chain::{Chain, Mark};
use crate::redaction::{Fate, Value};
use elements::Elements;
pub(crate) use redacting::Redacting;

/// How deep values may lie within each other, options and newtypes included; deeper ones are cut. It ends the recursion of a
/// `Serialize` that knows no end, before the stack does. Readers see 64 lists and maps within each other.
const DEPTH_MAX: u32 = 128;
/// The length of what has not ended yet.
const UNKNOWN: u32 = u32::MAX;

/// Encodes a value into a chain.
pub(super) struct Packing<'a> {
    pub(super) chain: Chain<'a>,
    /// What was encoded is no value, and no beginning of one.
    pub(super) has_failed: bool,
    /// Says what is to be written instead, where something is redacted.
    pub(super) redacting: Option<&'a mut Redacting>,
    depth: u32,
}

impl<'a> Packing<'a> {
    pub(super) fn new(chain: Chain<'a>, redacting: Option<&'a mut Redacting>) -> Self {
        Packing { chain, has_failed: false, redacting, depth: 0 }
    }

    #[inline]
    fn is_redacted(&self) -> bool {
        self.redacting.is_some()
    }

    /// Encodes `value`. `false`: it was cut, or failed.
    #[inline]
    pub(super) fn pack(&mut self, value: &impl Serialize) -> bool {
        value.serialize(&mut *self).is_ok() && !self.has_failed
    }

    /// Encodes a value within another.
    #[inline]
    fn within<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Stopped> {
        if self.depth == DEPTH_MAX {
            self.chain.is_cut = true;
            return Err(Stopped);
        }
        self.depth += 1;
        let encoded = value.serialize(&mut *self);
        self.depth -= 1;
        encoded
    }

    fn is_cut(&self) -> bool {
        self.chain.is_cut || self.chain.is_full
    }

    #[cold]
    fn fail(&mut self) -> Stopped {
        self.has_failed = true;
        Stopped
    }

    /// Writes the header of something whose length is not known.
    fn open(&mut self, marker: Marker) -> Result<Mark, Stopped> {
        let header = self.chain.mark().ok_or(Stopped)?;
        self.chain.put_whole(&header_of_32(marker, UNKNOWN)).then_some(header).ok_or(Stopped)
    }

    /// Begins a variant that holds something, and says whether that is to follow.
    #[inline]
    fn variant(&mut self, name: &str) -> Result<bool, Stopped> {
        let mut fate = Fate::Recorded;
        if self.is_redacted() {
            self.go_within();
            fate = self.enter(name);
            if fate == Fate::LeftOut {
                self.leave_variant_out();
                return Ok(false);
            }
        }
        encode::write_map_len(&mut self.chain, 1)?;
        encode::write_str(&mut self.chain, name)?;
        if fate == Fate::Replaced {
            self.mark()?;
            return Ok(false);
        }
        Ok(true)
    }
}

/// Has redaction look at a value that is no map and no list, and goes on only where it is to be written as it is.
macro_rules! judged {
    ($packing:ident, $value:expr) => {
        if $packing.is_redacted() && $packing.judge($value)? {
            return Ok(());
        }
    };
}

fn header_of_32(marker: Marker, len: u32) -> [u8; 5] {
    let [a, b, c, d] = len.to_be_bytes();
    [marker.to_u8(), a, b, c, d]
}

/// Encoding ends before the value does: it is cut, or its `Serialize` fails. Why is said nowhere, so it is not formatted.
#[derive(Debug)]
pub(super) struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value is cut, or its Serialize fails")
    }
}

impl std::error::Error for Stopped {}

impl ser::Error for Stopped {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Stopped
    }
}

impl From<ValueWriteError<io::Error>> for Stopped {
    fn from(_: ValueWriteError<io::Error>) -> Self {
        Stopped
    }
}

impl From<io::Error> for Stopped {
    fn from(_: io::Error) -> Self {
        Stopped
    }
}

macro_rules! scalars {
    ($($name:ident($type:ty) => $as:ident as $wider:ty;)*) => {$(
        #[inline]
        fn $name(self, value: $type) -> Result<(), Stopped> {
            self.$as(<$wider>::from(value))
        }
    )*};
}

impl<'p, 'a> Serializer for &'p mut Packing<'a> {
    type Ok = ();
    type Error = Stopped;
    type SerializeSeq = Elements<'p, 'a>;
    type SerializeTuple = Elements<'p, 'a>;
    type SerializeTupleStruct = Elements<'p, 'a>;
    type SerializeTupleVariant = Elements<'p, 'a>;
    type SerializeMap = Elements<'p, 'a>;
    type SerializeStruct = Elements<'p, 'a>;
    type SerializeStructVariant = Elements<'p, 'a>;

    scalars! {
        serialize_i8(i8) => serialize_i64 as i64;
        serialize_i16(i16) => serialize_i64 as i64;
        serialize_i32(i32) => serialize_i64 as i64;
        serialize_u8(u8) => serialize_u64 as u64;
        serialize_u16(u16) => serialize_u64 as u64;
        serialize_u32(u32) => serialize_u64 as u64;
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), Stopped> {
        judged!(self, Value::Bool(value));
        Ok(encode::write_bool(&mut self.chain, value)?)
    }

    fn serialize_i64(self, value: i64) -> Result<(), Stopped> {
        judged!(self, Value::I64(value));
        encode::write_sint(&mut self.chain, value)?;
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), Stopped> {
        self.serialize_bytes(&value.to_be_bytes())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Stopped> {
        judged!(self, Value::U64(value));
        encode::write_uint(&mut self.chain, value)?;
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Stopped> {
        self.serialize_bytes(&value.to_be_bytes())
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<(), Stopped> {
        judged!(self, Value::F64(f64::from(value)));
        Ok(encode::write_f32(&mut self.chain, value)?)
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<(), Stopped> {
        judged!(self, Value::F64(value));
        Ok(encode::write_f64(&mut self.chain, value)?)
    }

    fn serialize_char(self, value: char) -> Result<(), Stopped> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Stopped> {
        judged!(self, Value::Text(value));
        Ok(encode::write_str(&mut self.chain, value)?)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Stopped> {
        judged!(self, Value::Bytes(value));
        Ok(encode::write_bin(&mut self.chain, value)?)
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Stopped> {
        self.serialize_unit()
    }

    #[inline]
    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Stopped> {
        self.within(value)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), Stopped> {
        Ok(encode::write_nil(&mut self.chain)?)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Stopped> {
        encode::write_array_len(&mut self.chain, 0)?;
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Stopped> {
        self.serialize_str(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Stopped> {
        self.within(value)
    }

    #[inline]
    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Stopped> {
        if self.variant(variant)? { self.within(value) } else { Ok(()) }
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'p, 'a>, Stopped> {
        Elements::begin(self, len, false)
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Elements<'p, 'a>, Stopped> {
        Elements::begin(self, Some(len), false)
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Elements<'p, 'a>, Stopped> {
        Elements::begin(self, Some(len), false)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Elements<'p, 'a>, Stopped> {
        if self.variant(variant)? { Elements::begin(self, Some(len), false) } else { Elements::none(self) }
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Elements<'p, 'a>, Stopped> {
        Elements::begin(self, len, true)
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Elements<'p, 'a>, Stopped> {
        Elements::begin(self, Some(len), true)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Elements<'p, 'a>, Stopped> {
        if self.variant(variant)? { Elements::begin(self, Some(len), true) } else { Elements::none(self) }
    }

    fn collect_str<T: ?Sized + fmt::Display>(self, value: &T) -> Result<(), Stopped> {
        if self.is_redacted()
            && let Some(displayed) = self.judge_displayed(&format_args!("{value}"))
        {
            return displayed;
        }
        let header = self.open(Marker::Str32)?;
        let mut text = self.chain.text();
        let displayed = write!(text, "{value}");
        let len = u32::try_from(text.kept()).unwrap_or(UNKNOWN);
        if self.is_cut() {
            return Err(Stopped);
        }
        displayed.map_err(|_| self.fail())?;
        self.chain.overwrite(&header, &header_of_32(Marker::Str32, len));
        Ok(())
    }
}
