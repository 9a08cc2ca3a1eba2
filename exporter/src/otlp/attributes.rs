//! The attributes of a span, event, link or resource before they are written: what has a place of its own in OTLP is taken out, and what has none is
//! added.

use std::collections::HashMap;

use spanring_spool::Value;

use super::protobuf::{Expected, message};
use super::value;

/// Up to how many attributes a repeated key is looked for by comparing each with each.
const COMPARED_MAX: usize = 24;

/// What the keys of attributes begin with that have a place of their own.
const OWN: &str = "spanring.";

/// Attributes, each key once.
pub(super) struct Attributes<'a> {
    pairs: Vec<(&'a str, Given<'a>)>,
    /// Whether any key may be one that has a place of its own.
    has_own: bool,
}

/// The value of an attribute.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    Recorded(&'a Value),
    Text(&'a str),
    Integer(i64),
    Bool(bool),
}

impl<'a> Attributes<'a> {
    /// These, each key once: the last value at the first place.
    pub(super) fn of(pairs: &'a [(String, Value)]) -> Self {
        // A few are added.
        let mut attributes = Attributes { pairs: Vec::with_capacity(pairs.len() + 4), has_own: false };
        let mut places = HashMap::new();
        for (key, value) in pairs {
            let (key, value) = (key.as_str(), Given::Recorded(value));
            let place = if pairs.len() <= COMPARED_MAX {
                attributes.place(key)
            } else {
                places.insert(key, attributes.pairs.len()).inspect(|&place| {
                    places.insert(key, place);
                })
            };
            match place {
                Some(place) => attributes.pairs[place].1 = value,
                None => attributes.pairs.push((key, value)),
            }
            attributes.has_own |= key.starts_with(OWN);
        }
        attributes
    }

    /// Sets one attribute, in place of what was set under its key before.
    pub(super) fn set(&mut self, key: &'a str, value: Given<'a>) {
        match self.place(key) {
            Some(place) => self.pairs[place].1 = value,
            None => self.pairs.push((key, value)),
        }
    }

    /// The value of an attribute.
    pub(super) fn get(&self, key: &str) -> Option<Given<'a>> {
        self.place(key).map(|place| self.pairs[place].1)
    }

    /// Takes an attribute out, of which `read` makes something. If it does not, the attribute stays.
    pub(super) fn take<T>(&mut self, key: &str, read: impl FnOnce(Given<'a>) -> Option<T>) -> Option<T> {
        debug_assert!(key.starts_with(OWN), "{key}");
        if !self.has_own {
            return None;
        }
        let place = self.place(key)?;
        let taken = read(self.pairs[place].1)?;
        self.pairs.remove(place);
        Some(taken)
    }

    /// Takes out an attribute that is a text.
    pub(super) fn take_text(&mut self, key: &str) -> Option<&'a str> {
        self.take(key, Given::as_str)
    }

    /// Takes out an attribute that is a number of 32 bits; 0 where there is none.
    pub(super) fn take_number(&mut self, key: &str) -> u32 {
        let read = |value| match value {
            Given::Recorded(value @ (Value::I64(_) | Value::U64(_))) => u32::try_from(value.as_u64()?).ok(),
            _ => None,
        };
        self.take(key, read).unwrap_or(0)
    }

    /// Writes each as a field with this number.
    pub(super) fn write(&self, out: &mut Vec<u8>, field: u32) {
        self.write_at(out, field, 0);
    }

    /// Writes what lies within so many lists and maps.
    pub(super) fn write_at(&self, out: &mut Vec<u8>, field: u32, depth: usize) {
        for (key, value) in &self.pairs {
            message(out, field, Expected::Short, |out| value::key_value(out, key, *value, depth));
        }
    }

    fn place(&self, key: &str) -> Option<usize> {
        self.pairs.iter().position(|(earlier, _)| *earlier == key)
    }
}

impl<'a> Given<'a> {
    /// The text, if it is one.
    pub(super) fn as_str(self) -> Option<&'a str> {
        match self {
            Given::Recorded(value) => value.as_str(),
            Given::Text(text) => Some(text),
            Given::Integer(_) | Given::Bool(_) => None,
        }
    }
}
