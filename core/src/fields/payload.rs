//! What goes in, what comes out, and what is known beside.

use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::fields;
use crate::Attribute;

/// A map of one entry.
pub(super) struct Entry<'a, V: ?Sized>(pub(super) &'a str, pub(super) &'a V);

impl<V: Serialize + ?Sized> Serialize for Entry<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

/// Audio, as base64 text, and its format.
#[derive(serde::Serialize)]
struct Audio<'a> {
    data: &'a str,
    format: &'a str,
}

fields! {
    "Payloads, and what is known beside." : {
        /// What the span was given. Given several times, maps are merged, not deeply: a key's last value counts. What is never set,
        /// what is null and what is empty stay three things.
        input: value => INPUT;
        /// What came of the span. Given several times, maps are merged as those of [`input`](Self::input) are.
        output: value => OUTPUT;
        /// What the user wants to know about the span later. Given several times, maps are merged as those of [`input`](Self::input) are.
        metadata: value => METADATA;
        /// A word to find the span by. Each call adds one.
        tag: &str => TAGS;
        /// A pair of words to find the span by: `env`, `staging`. The last value for a name counts.
        label(name: &str, value: &str) |span| {
            span.set_value(crate::names::LABELS, &Entry(name, value));
        }
        /// The input is audio: base64 text, and its format, such as `pcm`.
        audio_input(data: &str, format: &str) |span| {
            span.input(&Audio { data, format });
        }
        /// The output is audio: base64 text, and its format, such as `pcm`.
        audio_output(data: &str, format: &str) |span| {
            span.output(&Audio { data, format });
        }
        /// When the first audio came, in nanoseconds since the Unix epoch.
        first_content_unix_ns: u64 => FIRST_CONTENT;
    }
}

/// Attributes of any name. See the methods of the same names on [`Span`](crate::Span).
impl<'a, F: crate::builder::Fill> crate::SpanBuilder<'a, F> {
    /// Sets an attribute.
    #[inline]
    pub fn set(
        self,
        key: &'static str,
        value: impl Attribute,
    ) -> crate::SpanBuilder<'a, impl crate::builder::Fill> {
        self.then(move |span| _ = span.set(key, value))
    }

    /// Sets an attribute whose key is made at run time.
    #[inline]
    pub fn set_named(
        self,
        key: &str,
        value: impl Attribute,
    ) -> crate::SpanBuilder<'a, impl crate::builder::Fill> {
        self.then(move |span| _ = span.set_named(key, value))
    }

    /// Sets an attribute to a value of any type that serializes.
    #[inline]
    pub fn set_value<T: Serialize + ?Sized>(
        self,
        key: &'static str,
        value: &T,
    ) -> crate::SpanBuilder<'a, impl crate::builder::Fill> {
        self.then(move |span| _ = span.set_value(key, value))
    }

    /// Sets an attribute to a value of any type that serializes, under a key made at run time.
    #[inline]
    pub fn set_value_named<T: Serialize + ?Sized>(
        self,
        key: &str,
        value: &T,
    ) -> crate::SpanBuilder<'a, impl crate::builder::Fill> {
        self.then(move |span| _ = span.set_value_named(key, value))
    }

    /// By when the span is to end, counted from its start.
    #[inline]
    pub fn deadline(self, deadline: Duration) -> crate::SpanBuilder<'a, impl crate::builder::Fill> {
        self.then(move |span| _ = span.deadline(deadline))
    }
}
