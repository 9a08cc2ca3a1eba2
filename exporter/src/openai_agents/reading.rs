//! What of a span has found its place in an item, and what has not.
//!
//! Attributes are taken one by one. What nobody took is the rest, so that nothing can be forgotten.

use spanring::{Status, System, names};
use spanring_spool::{EventData, LinkData, SpanData, Value};

use super::identity;
use super::json::{plain, plain_pairs};
use super::object::Object;
use crate::isoformat;

/// A name that nothing else tells.
const NAME: &str = "spanring.name";
/// What happened meanwhile.
const EVENTS: &str = "spanring.events";
/// The spans that it is linked to.
const LINKS: &str = "spanring.links";

pub(super) struct Reading<'a> {
    pub(super) span: &'a SpanData,
    taken: Vec<&'static str>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(span: &'a SpanData) -> Self {
        Reading { span, taken: Vec::new() }
    }

    /// What is under the key, if `read` makes something of it and it was not taken before. If it does not, it stays.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        if self.taken.contains(&key) {
            return None;
        }
        let read = read(self.span.get(key)?)?;
        self.taken.push(key);
        Some(read)
    }

    pub(super) fn value(&mut self, key: &'static str) -> Option<Value> {
        self.take(key, plain)
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<&'a str> {
        self.take(key, Value::as_str)
    }

    pub(super) fn unsigned(&mut self, key: &'static str) -> Option<u64> {
        self.take(key, Value::as_u64)
    }

    /// A null says as much as what is not there, here and below.
    pub(super) fn text_or_null(&mut self, key: &'static str) -> Option<&'a str> {
        self.take(key, |value| if value.is_null() { Some(None) } else { value.as_str().map(Some) }).flatten()
    }

    pub(super) fn list_or_null(&mut self, key: &'static str) -> Option<Value> {
        let is_such = |value: &Value| value.is_null() || value.as_list().is_some();
        self.take(key, |value| plain(value).filter(|_| is_such(value)))
    }

    pub(super) fn map_or_null(&mut self, key: &'static str) -> Option<Value> {
        let is_such = |value: &Value| value.is_null() || value.as_map().is_some();
        self.take(key, |value| plain(value).filter(|_| is_such(value)))
    }

    pub(super) fn map(&mut self, key: &'static str) -> Option<Object> {
        self.take(key, |value| Some(plain_pairs(value.as_map()?)))
    }

    /// What is under the first of the keys that is there.
    pub(super) fn first(&mut self, keys: &[&'static str]) -> Option<Value> {
        keys.iter().find_map(|key| self.value(key))
    }

    /// Takes the identities that the item shows as they are.
    pub(super) fn take_identities(&mut self) {
        for (key, prefix) in [
            (names::FOREIGN_SPAN_ID, identity::SPAN),
            (names::FOREIGN_TRACE_ID, identity::TRACE),
            (names::FOREIGN_PARENT_ID, identity::SPAN),
        ] {
            let is_shown = identity::foreign(self.span, key, prefix).is_some();
            self.take(key, |_| is_shown.then_some(()));
        }
    }

    /// All that was not taken. An item that has `subjects` tells the names that are made of them too.
    pub(super) fn rest(self, subjects: &[&str]) -> Object {
        let SpanData { kind, status, status_message, is_pending, interrupted, cut, .. } = self.span;
        let mut rest = plain_pairs(&self.span.attributes).without(|key| self.taken.contains(&key));
        let message = (!status_message.is_empty() && !failed(self.span)).then_some(status_message.as_str());
        let word = matches!(status, Status::Cancelled | Status::TimedOut).then(|| status.name());
        let beside: [(&str, Option<Value>); 9] = [
            (NAME, (!is_told(self.span, subjects)).then(|| self.span.name.as_str().into())),
            (names::KIND, (!kind.is_known_in(System::OpenAiAgents)).then(|| kind.name().into())),
            (names::STATUS, word.map(Value::from)),
            (names::STATUS_MESSAGE, message.map(Value::from)),
            (names::PENDING, is_pending.then_some(true.into())),
            (names::INTERRUPTED, interrupted.then_some(true.into())),
            (names::CUT, (*cut > 0).then(|| (*cut).into())),
            (EVENTS, listed(&self.span.events, event)),
            (LINKS, listed(&self.span.links, link)),
        ];
        for (key, value) in beside {
            if let Some(value) = value {
                rest.set_beside(key, value);
            }
        }
        rest
    }
}

/// Whether the span is an error in the SDK's eyes.
pub(super) fn failed(span: &SpanData) -> bool {
    span.interrupted || matches!(span.status, Status::Error | Status::TimedOut)
}

/// Whether the name is one that spanring gives such a span by itself.
fn is_told(span: &SpanData, subjects: &[&str]) -> bool {
    let word = span.kind.name_in(System::OpenTelemetry);
    let of = |subject: &&str| {
        let rest = span.name.strip_suffix(subject);
        rest.is_some_and(|rest| rest.is_empty() || rest.strip_suffix(' ') == Some(word))
    };
    span.name.is_empty() || span.name == word || subjects.iter().any(of)
}

fn listed<T>(things: &[T], write: impl Fn(&T) -> Object) -> Option<Value> {
    (!things.is_empty())
        .then(|| things.iter().map(|thing| write(thing).into()).collect::<Vec<Value>>().into())
}

fn event(event: &EventData) -> Object {
    Object::default()
        .with("name", event.name.as_str())
        .with("time", isoformat::in_utc(event.time_unix_ns / 1_000))
        .with_some("attributes", plain_pairs(&event.attributes).some())
}

fn link(link: &LinkData) -> Object {
    Object::default()
        .with("trace_id", format!("{}{}", identity::TRACE, link.trace_id))
        .with("span_id", identity::derived(link.trace_id, link.span_id))
        .with_some("attributes", plain_pairs(&link.attributes).some())
}
