//! What of a span has not found its place yet.

use std::collections::HashMap;

use spanring_spool::{SpanData, Value};

/// Attributes, each once, with its last value, in the order in which they were first set.
pub(super) struct Unplaced<'a>(Vec<(&'a str, &'a Value)>);

impl<'a> Unplaced<'a> {
    pub(super) fn of(span: &'a SpanData) -> Self {
        let mut attributes: Vec<(&str, &Value)> = Vec::with_capacity(span.attributes.len());
        let mut places = HashMap::with_capacity(span.attributes.len());
        for (key, value) in &span.attributes {
            let place = *places.entry(key.as_str()).or_insert(attributes.len());
            match attributes.get_mut(place) {
                Some(earlier) => earlier.1 = value,
                None => attributes.push((key, value)),
            }
        }
        Unplaced(attributes)
    }

    /// Takes what stands under the key.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.take_if(key, |_| true)
    }

    pub(super) fn take_if(&mut self, key: &str, is_such: impl Fn(&Value) -> bool) -> Option<Value> {
        let at = self.0.iter().position(|(known, value)| *known == key && is_such(value))?;
        Some(self.0.remove(at).1.clone())
    }

    /// Takes a map, and puts into it under these words what stands under their keys. Where it is no map, or has the word, that is left.
    pub(super) fn take_within(&mut self, key: &str, words: &[(&str, &str)]) -> Option<Value> {
        let mut whole = self.take(key);
        for (word, key) in words {
            let has_room = match &whole {
                None => true,
                Some(whole) => whole.as_map().is_some() && whole.get(word).is_none(),
            };
            if let Some(value) = has_room.then(|| self.take(key)).flatten()
                && let Value::Map(pairs) = whole.get_or_insert(Value::Map(Vec::new()))
            {
                pairs.push(((*word).to_owned(), value));
            }
        }
        whole
    }

    pub(super) fn rest(self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.0.into_iter()
    }
}
