//! What a span was given, what came of it, and what is known beside.

use spanring::names;

use crate::{SpanData, Value};

impl SpanData {
    /// What it was given. Absent, null and empty are three things: `None`, [`Value::Null`] and an empty map.
    pub fn input(&self) -> Option<&Value> {
        self.get(names::INPUT)
    }

    /// What came of it.
    pub fn output(&self) -> Option<&Value> {
        self.get(names::OUTPUT)
    }

    /// What its user wants to know about it later.
    pub fn metadata(&self) -> Option<&Value> {
        self.get(names::METADATA)
    }

    /// Words to find it by, in the order in which they were set.
    pub fn tags(&self) -> Vec<&str> {
        self.list(names::TAGS).iter().filter_map(Value::as_str).collect()
    }

    /// Pairs of words to find it by, in the order in which they were first set.
    pub fn labels(&self) -> Vec<(&str, &str)> {
        let pairs = self.get(names::LABELS).and_then(Value::as_map).unwrap_or_default();
        pairs.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(attributes: Vec<(&str, Value)>) -> SpanData {
        let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        SpanData { attributes, ..SpanData::default() }
    }

    #[test]
    fn absent_null_and_empty_payloads_are_three_things() {
        assert_eq!(SpanData::default().input(), None);
        let span = span(vec![(names::INPUT, Value::Null), (names::OUTPUT, Value::Map(Vec::new()))]);
        assert_eq!((span.input(), span.output()), (Some(&Value::Null), Some(&Value::Map(Vec::new()))));
    }

    #[test]
    fn tags_and_labels_that_are_no_words_are_passed_over() {
        let tags = Value::List(vec!["urgent".into(), 7.into(), Value::Null, "paid".into()]);
        let labels = Value::Map(vec![("env".into(), "prod".into()), ("n".into(), 1.into())]);
        let mut span = span(vec![(names::TAGS, tags), (names::LABELS, labels)]);
        assert_eq!((span.tags(), span.labels()), (vec!["urgent", "paid"], vec![("env", "prod")]));
        span.attributes = vec![(names::TAGS.into(), 1.into()), (names::LABELS.into(), "a".into())];
        assert_eq!((span.tags(), span.labels()), (vec![], vec![]));
    }
}
