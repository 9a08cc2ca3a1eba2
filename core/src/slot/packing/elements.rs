//! Lists and maps while they are encoded, whose headers are made to say what there is.
#![expect(clippy::big_endian_bytes, reason = "the numbers of MessagePack are")]

use rmp::Marker;
use rmp::encode;
use serde::Serialize;
use serde::ser;

use super::{Packing, Stopped, UNKNOWN, header_of_32};
use crate::redaction::Fate;
use crate::slot::chain::Mark;

/// A list or map that has begun.
pub(in crate::slot) struct Elements<'p, 'a> {
    packing: &'p mut Packing<'a>,
    header: Mark,
    is_map: bool,
    /// What the header says, and the most that it can.
    said: u32,
    most: u32,
    /// How many elements or keys have begun.
    count: u32,
    /// A key has no value yet.
    is_between: bool,
    /// Its number in what is redacted.
    frame: usize,
}

impl<'p, 'a> Elements<'p, 'a> {
    #[inline]
    pub(super) fn begin(
        packing: &'p mut Packing<'a>,
        len: Option<usize>,
        is_map: bool,
    ) -> Result<Self, Stopped> {
        let frame = if packing.is_redacted() { packing.begin_frame(false) } else { 0 };
        // A length beyond 32 bits is none: that much never fits.
        let said = len.and_then(|len| u32::try_from(len).ok()).unwrap_or(UNKNOWN);
        let header = if said == UNKNOWN {
            packing.open(if is_map { Marker::Map32 } else { Marker::Array32 })?
        } else {
            let header = packing.chain.mark().ok_or(Stopped)?;
            let write = if is_map { encode::write_map_len } else { encode::write_array_len };
            write(&mut packing.chain, said)?;
            header
        };
        let most = match said {
            0..16 => 15,
            16..=0xffff => 0xffff,
            _ => UNKNOWN,
        };
        Ok(Elements { packing, header, is_map, said, most, count: 0, is_between: false, frame })
    }

    /// What something else stands for, or nothing.
    #[cold]
    pub(super) fn none(packing: &'p mut Packing<'a>) -> Result<Self, Stopped> {
        let header = packing.chain.mark().ok_or(Stopped)?;
        let frame = packing.begin_frame(true);
        Ok(Elements { packing, header, is_map: false, said: 0, most: 0, count: 0, is_between: false, frame })
    }

    #[inline]
    fn next(&mut self) -> Result<(), Stopped> {
        self.count = self.count.saturating_add(1);
        if self.count > self.said { self.correct() } else { Ok(()) }
    }

    #[inline]
    fn element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Stopped> {
        if self.packing.is_redacted() && !self.enter_element() {
            return Ok(());
        }
        self.next()?;
        self.value(value)
    }

    #[inline]
    fn field<T: ?Sized + Serialize>(&mut self, name: &str, value: &T) -> Result<(), Stopped> {
        if self.packing.is_redacted() {
            return if self.enter_field(name)? { self.value(value) } else { Ok(()) };
        }
        self.next()?;
        encode::write_str(&mut self.packing.chain, name)?;
        self.value(value)
    }

    #[inline]
    fn value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Stopped> {
        self.packing.within(value).map_err(|Stopped| self.stop())?;
        if self.packing.is_redacted() {
            self.leave();
        }
        Ok(())
    }

    /// Notes where an element begins, and says whether it is to be encoded.
    #[cold]
    #[inline(never)]
    fn enter_element(&mut self) -> bool {
        let before = self.packing.chain.mark();
        match self.packing.frame(self.frame) {
            Some(frame) if frame.is_none => false,
            Some(frame) => {
                frame.before = before;
                true
            }
            None => true,
        }
    }

    /// Goes back from an element, and takes it away if nothing was written for its value.
    #[cold]
    #[inline(never)]
    fn leave(&mut self) {
        if let Some(before) = self.packing.leave(self.frame) {
            self.packing.chain.back_to(&before);
            self.count -= 1;
        }
    }

    /// Writes a field's name, or what stands for the whole field, and says whether its value is to follow.
    #[cold]
    #[inline(never)]
    fn enter_field(&mut self, name: &str) -> Result<bool, Stopped> {
        if !self.enter_element() {
            return Ok(false);
        }
        let fate = self.packing.enter(name);
        if fate != Fate::LeftOut {
            self.next()?;
            encode::write_str(&mut self.packing.chain, name)?;
        }
        self.enter_value(fate)
    }

    /// Writes what stands for a value of this fate, and says whether the value itself is to follow.
    fn enter_value(&mut self, fate: Fate) -> Result<bool, Stopped> {
        match fate {
            Fate::Recorded => return Ok(true),
            Fate::Replaced => self.packing.mark()?,
            Fate::LeftOut => {}
        }
        self.packing.leave(self.frame);
        Ok(false)
    }

    /// [`enter_value`](Self::enter_value) for the value of the key that was encoded last.
    #[cold]
    #[inline(never)]
    fn enter_value_of_key(&mut self) -> Result<bool, Stopped> {
        let fate = self.packing.frame(self.frame).map(|frame| frame.fate).unwrap_or_default();
        self.enter_value(fate)
    }

    /// Encodes a map's key while something is redacted.
    fn key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Stopped> {
        self.enter_element();
        self.next()?;
        let begins = self.packing.begin_key();
        self.packing.within(key).map_err(|Stopped| self.stop())?;
        self.end_key(begins)
    }

    /// Takes a key away whose value is left out with it.
    #[cold]
    #[inline(never)]
    fn end_key(&mut self, begins: bool) -> Result<(), Stopped> {
        let fate = if begins { self.packing.end_key()? } else { Fate::Recorded };
        let Some(frame) = self.packing.frame(self.frame) else { return Ok(()) };
        frame.fate = fate;
        if fate == Fate::LeftOut
            && let Some(before) = frame.before
        {
            self.packing.chain.back_to(&before);
            self.count -= 1;
        }
        Ok(())
    }

    /// An element has ended too early: if it was not cut it has failed, whatever is made of the error.
    #[cold]
    fn stop(&mut self) -> Stopped {
        self.packing.has_failed |= !self.packing.is_cut();
        Stopped
    }

    #[inline]
    fn finish(mut self) -> Result<(), Stopped> {
        if self.is_between {
            return Err(self.packing.fail());
        }
        if self.count == self.said { Ok(()) } else { self.correct() }
    }

    /// Makes the header say how many elements there are.
    #[inline(never)]
    fn correct(&mut self) -> Result<(), Stopped> {
        if self.count > self.most {
            return Err(self.packing.fail());
        }
        self.said = self.count;
        let (chain, header) = (&self.packing.chain, &self.header);
        let [_, _, high, low] = self.count.to_be_bytes();
        match (self.most, self.is_map) {
            (15, false) => chain.overwrite(header, &[Marker::FixArray(low).to_u8()]),
            (15, true) => chain.overwrite(header, &[Marker::FixMap(low).to_u8()]),
            (0xffff, false) => chain.overwrite(header, &[Marker::Array16.to_u8(), high, low]),
            (0xffff, true) => chain.overwrite(header, &[Marker::Map16.to_u8(), high, low]),
            (_, false) => chain.overwrite(header, &header_of_32(Marker::Array32, self.count)),
            (_, true) => chain.overwrite(header, &header_of_32(Marker::Map32, self.count)),
        }
        Ok(())
    }
}

macro_rules! elements {
    ($($trait:ident: $method:ident($($name:ident)?) => $as:ident;)*) => {$(
        impl ser::$trait for Elements<'_, '_> {
            type Ok = ();
            type Error = Stopped;

            #[inline]
            fn $method<T: ?Sized + Serialize>(
                &mut self,
                $($name: &'static str,)?
                value: &T,
            ) -> Result<(), Stopped> {
                self.$as($($name,)? value)
            }

            #[inline]
            fn end(self) -> Result<(), Stopped> {
                self.finish()
            }
        }
    )*};
}

elements! {
    SerializeSeq: serialize_element() => element;
    SerializeTuple: serialize_element() => element;
    SerializeTupleStruct: serialize_field() => element;
    SerializeTupleVariant: serialize_field() => element;
    SerializeStruct: serialize_field(name) => field;
    SerializeStructVariant: serialize_field(name) => field;
}

impl ser::SerializeMap for Elements<'_, '_> {
    type Ok = ();
    type Error = Stopped;

    #[inline]
    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Stopped> {
        if std::mem::replace(&mut self.is_between, true) {
            return Err(self.packing.fail());
        }
        if self.packing.is_redacted() { self.key(key) } else { self.element(key) }
    }

    #[inline]
    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Stopped> {
        if !std::mem::replace(&mut self.is_between, false) {
            return Err(self.packing.fail());
        }
        if self.packing.is_redacted() && !self.enter_value_of_key()? {
            return Ok(());
        }
        self.value(value)
    }

    #[inline]
    fn end(self) -> Result<(), Stopped> {
        self.finish()
    }
}
