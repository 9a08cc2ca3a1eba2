//! A span as it is read back.

use spanring::{Kind, Lifecycle, SpanId, Status, TraceId, names};

use crate::Value;

mod agent;
mod error;
mod identity;
mod model;
mod payload;
mod retrieval;
mod tool;
mod usage;

/// A recorded span, with every name and key as text and every time as nanoseconds since the Unix epoch.
///
/// Most of what has a type when it is recorded has one here too: see the methods, whose names are those of [`spanring::Span`]. Everything else is
/// read by its key: [`get`](SpanData::get) with one of [`names`].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SpanData {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its own identity.
    pub span_id: SpanId,
    /// The span that it was started under.
    pub parent_id: Option<SpanId>,
    /// What it is called.
    pub name: String,
    /// What it stands for.
    pub kind: Kind,
    /// How it ended. An interrupted span's is an error, unless its deadline had passed.
    pub status: Status,
    /// What was said about the status; empty where nothing was.
    pub status_message: String,
    /// When it started, in nanoseconds since the Unix epoch; for a span that never started, when it was made.
    pub start_unix_ns: u64,
    /// When it ended, likewise; for an interrupted span its process's last sign of life. Never before the start.
    pub end_unix_ns: u64,
    /// Attributes in the order in which they were set. A key that was set several times stands several times, and the last
    /// counts, unless [`names`] says that its values are combined: then it stands once.
    pub attributes: Vec<(String, Value)>,
    /// Events in the order in which they were recorded.
    pub events: Vec<EventData>,
    /// The spans that it is linked to, in the order in which that was said.
    pub links: Vec<LinkData>,
    /// Whether it was pending to the end: it was made and never started.
    pub is_pending: bool,
    /// Whether this is the announcement of a span that started, and not yet the span: it ends when it starts.
    pub is_open: bool,
    /// Whether its process died before it ended. Of an announcement: whether it is dead, and was not recovered yet.
    pub interrupted: bool,
    /// How many of its values were cut or left out because they were too large, too many or could not be encoded. An end
    /// that was given and lies before the start counts as one.
    pub cut: u32,
}

/// Something that happened at one moment of a span.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EventData {
    /// What happened.
    pub name: String,
    /// When, in nanoseconds since the Unix epoch.
    pub time_unix_ns: u64,
    /// What is known about it.
    pub attributes: Vec<(String, Value)>,
}

/// A span that another is linked to.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct LinkData {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its identity.
    pub span_id: SpanId,
    /// What is known about the link.
    pub attributes: Vec<(String, Value)>,
}

impl SpanData {
    /// The last attribute with this key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// How long it took, in nanoseconds.
    pub fn duration_ns(&self) -> u64 {
        self.end_unix_ns.saturating_sub(self.start_unix_ns)
    }

    /// Where it is in its life, as it was read.
    pub fn lifecycle(&self) -> Lifecycle {
        match self.status {
            Status::Cancelled => Lifecycle::Cancelled,
            Status::TimedOut => Lifecycle::TimedOut,
            _ if self.interrupted => Lifecycle::Failed,
            _ if self.is_open && self.is_pending => Lifecycle::Pending,
            _ if self.is_open => Lifecycle::Active,
            Status::Error => Lifecycle::Failed,
            _ => Lifecycle::Complete,
        }
    }

    /// Where it is in its life at `now`, in nanoseconds since the Unix epoch: a span that is open has timed out once its
    /// deadline has passed.
    pub fn lifecycle_at(&self, now_unix_ns: u64) -> Lifecycle {
        match (self.lifecycle(), self.deadline_unix_ns()) {
            (Lifecycle::Active, Some(deadline)) if now_unix_ns > deadline => Lifecycle::TimedOut,
            (lifecycle, _) => lifecycle,
        }
    }

    /// By when it was to end, in nanoseconds since the Unix epoch.
    pub fn deadline_unix_ns(&self) -> Option<u64> {
        Some(self.start_unix_ns.saturating_add(self.unsigned(names::DEADLINE)?))
    }

    /// The attribute with this key, if it is text. What has the wrong type is as good as absent, here and below.
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()
    }

    fn unsigned(&self, key: &str) -> Option<u64> {
        self.get(key)?.as_u64()
    }

    fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.as_f64()
    }

    fn boolean(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    /// The items of a list; none where there is no such list.
    fn list(&self, key: &str) -> &[Value] {
        self.get(key).and_then(Value::as_list).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use spanring::ReplaySlot;

    use super::*;

    /// A span each of whose attributes that have a meaning has this value.
    fn all_are(value: &Value) -> SpanData {
        let attributes = names::ALL.iter().map(|(name, _)| ((*name).to_owned(), value.clone())).collect();
        SpanData { attributes, links: vec![LinkData::default()], ..SpanData::default() }
    }

    fn one_of_each_type() -> Vec<Value> {
        let list = vec![Value::Null, Value::from("a"), Value::from(vec![1]), Value::from(f64::NAN)];
        let map =
            Value::from_iter([("a", Value::from("b")), ("llm_request", Value::Null), ("n", Value::from(1))]);
        let numbers = [Value::I64(i64::MIN), Value::I64(3), Value::U64(u64::MAX), Value::F64(0.5)];
        let others =
            [Value::Null, true.into(), "".into(), "a".into(), Value::Bytes(vec![0xff]), list.into(), map];
        others.into_iter().chain(numbers).collect()
    }

    #[test]
    fn what_has_another_type_is_as_good_as_absent() {
        for value in one_of_each_type() {
            let span = all_are(&value);
            for text in [
                span.model(),
                span.session(),
                span.tool_name(),
                span.query(),
                span.agent_name(),
                span.error_type(),
            ] {
                assert_eq!(text, value.as_str());
            }
            for number in [span.top_k(), span.iterations(), span.dimensions(), span.step_index()] {
                assert_eq!(number, value.as_u64());
            }
            assert_eq!((span.temperature(), span.triggered()), (value.as_f64(), value.as_bool()));
            assert_eq!(span.deadline_unix_ns(), value.as_u64());
            let items = value.as_list().unwrap_or_default();
            for list in [span.tool_calls(), span.reasoning_steps(), span.decision_points(), span.quality()] {
                assert_eq!(format!("{list:?}"), format!("{items:?}"), "NaN differs from itself");
            }
            let texts: Vec<_> = items.iter().filter_map(Value::as_str).collect();
            for list in [span.tags(), span.finish_reasons(), span.stop_sequences(), span.error_causes()] {
                assert_eq!(list, texts);
            }
            assert_eq!(span.tokens().is_some(), value.as_u64().is_some());
            assert_eq!(span.cost().is_some(), value.as_f64().is_some() || value.as_str().is_some());
            assert_eq!(span.labels().len(), value.as_map().map_or(0, |_| 1));
            assert_eq!(span.replay(ReplaySlot::LlmRequest), value.as_map().map(|_| &Value::Null));
            assert_eq!(span.links[0].trace_state(), None);
        }
    }

    #[test]
    fn the_last_value_of_a_key_counts_even_if_it_has_the_wrong_type() {
        let set = |values: [Value; 2]| {
            let attributes = values.map(|value| (names::REQUEST_MODEL.to_owned(), value)).into();
            SpanData { attributes, ..SpanData::default() }
        };
        assert_eq!(set(["a".into(), "b".into()]).model(), Some("b"));
        assert_eq!(set(["a".into(), 1.into()]).model(), None);
    }

    #[test]
    fn documents_are_counted_where_nobody_said_how_many_there_are() {
        let documents = (names::RETRIEVAL_DOCUMENTS.to_owned(), Value::from(vec!["a", "b"]));
        let mut span = SpanData { attributes: vec![documents], ..SpanData::default() };
        assert_eq!(span.document_count(), Some(2));
        span.attributes.push((names::RETRIEVAL_DOCUMENT_COUNT.to_owned(), 20.into()));
        assert_eq!(span.document_count(), Some(20));
    }

    #[test]
    fn only_a_span_that_failed_has_an_error_message() {
        let messages = Status::ALL.iter().map(|&status| {
            let span = SpanData { status, status_message: "all good".to_owned(), ..SpanData::default() };
            span.error_message().map(str::to_owned)
        });
        let said = Some("all good".to_owned());
        assert!(messages.eq([None, None, said.clone(), None, said]));
        assert_eq!(SpanData { status: Status::Error, ..SpanData::default() }.error_message(), None);
    }
}
