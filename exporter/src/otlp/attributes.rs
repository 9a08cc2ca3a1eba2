//! The attributes of a span, event, link or resource before they are written: what has a place of its own in OTLP is taken out, and what has none is
//! added.

use std::collections::HashMap;

use spanring_spool::{Value, ValueRef};

use super::value;

/// Up to how many attributes a repeated key is looked for by comparing each with each.
const COMPARED_MAX: usize = 24;
/// For how many attributes there is room from the beginning, those that are added included.
const ROOM: usize = 12;

/// What the keys of attributes begin with that have a place of their own.
const OWN: &str = "spanring.";

/// An attribute: its key and its value.
pub(super) type Pair<'a> = (&'a str, Given<'a>);

/// Attributes, each key once.
pub(super) struct Attributes<'a> {
    pairs: Vec<Pair<'a>>,
    /// Whether any key may be one that has a place of its own.
    has_own: bool,
}

/// The value of an attribute.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// One that is not made up of others, wherever it lies.
    Plain(ValueRef<'a>),
    /// A list or a map.
    Nested(&'a Value),
}

impl<'a> Attributes<'a> {
    /// These, each key once: the last value at the first place.
    pub(super) fn of(pairs: &'a [(String, Value)]) -> Self {
        let room = Vec::with_capacity(ROOM);
        Self::from_pairs(room, pairs.iter().map(|(key, value)| (key.as_str(), Given::of(value))))
    }

    /// These of a span that is [flat](spanring_spool::SpanRef::is_flat), of its events or of its links, in memory that others
    /// [had](Self::into_room).
    pub(super) fn of_flat(room: Vec<Pair<'a>>, pairs: spanring_spool::Attributes<'a>) -> Self {
        Self::from_pairs(room, pairs.map(|(key, value)| (key, Given::Plain(value))))
    }

    /// The memory, for others.
    pub(super) fn into_room(mut self) -> Vec<Pair<'a>> {
        self.pairs.clear();
        self.pairs
    }

    fn from_pairs(room: Vec<Pair<'a>>, pairs: impl Iterator<Item = Pair<'a>>) -> Self {
        let mut attributes = Attributes { pairs: room, has_own: false };
        let mut places = HashMap::new();
        for (key, value) in pairs {
            let next = attributes.pairs.len();
            if next == COMPARED_MAX && places.is_empty() {
                places.extend(attributes.pairs.iter().enumerate().map(|(place, (key, _))| (*key, place)));
            }
            let place = match places.is_empty() {
                true => attributes.place(key).unwrap_or(next),
                false => *places.entry(key).or_insert(next),
            };
            match attributes.pairs.get_mut(place) {
                Some(pair) => pair.1 = value,
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
            Given::Plain(ValueRef::I64(number)) => u32::try_from(number).ok(),
            Given::Plain(ValueRef::U64(number)) => u32::try_from(number).ok(),
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
            value::pair(out, field, key, *value, depth);
        }
    }

    fn place(&self, key: &str) -> Option<usize> {
        self.pairs.iter().position(|(earlier, _)| *earlier == key)
    }
}

impl<'a> Given<'a> {
    /// A value that was recorded.
    pub(super) fn of(value: &'a Value) -> Self {
        Given::Plain(match value {
            Value::Null => ValueRef::Null,
            Value::Bool(value) => ValueRef::Bool(*value),
            Value::I64(value) => ValueRef::I64(*value),
            Value::U64(value) => ValueRef::U64(*value),
            Value::F64(value) => ValueRef::F64(*value),
            Value::Str(value) => ValueRef::Str(value),
            Value::Bytes(value) => ValueRef::Bytes(value),
            Value::List(_) | Value::Map(_) => return Given::Nested(value),
        })
    }

    pub(super) fn text(text: &'a str) -> Self {
        Given::Plain(ValueRef::Str(text))
    }

    /// The text, if it is one.
    pub(super) fn as_str(self) -> Option<&'a str> {
        match self {
            Given::Plain(ValueRef::Str(text)) => Some(text),
            _ => None,
        }
    }
}
