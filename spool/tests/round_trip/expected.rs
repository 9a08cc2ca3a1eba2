//! What must be read back of a span, worked out from its plan in the obvious way: everything that was said, key by key, at the end.

use spanring::names::{self, Combine};
use spanring::{Kind, Status};
use spanring_spool::{EventData, LinkData, SpanData, Value};

use crate::plan::{End, Life, Made, Op, Plan};
use crate::values::encoded;

impl Plan {
    /// The span as it must be, given one that was read: what only the clock knew is taken from there.
    pub(crate) fn expected(&self, read: &SpanData) -> SpanData {
        let (name, kind, made) = self.made();
        let mut span = SpanData {
            trace_id: self.trace_id,
            span_id: self.span_id,
            parent_id: self.parent,
            name,
            kind: self.kind.unwrap_or(kind),
            ..SpanData::default()
        };
        let mut said = made;
        for op in &self.ops {
            match op {
                Op::Field(field) => {
                    said.extend(field.said().into_iter().map(|(key, value)| (key.to_owned(), value)))
                }
                Op::Attribute(attribute) => said.push(attribute.said()),
                Op::Event { name, time_unix_ns, attributes } => {
                    let (name, time_unix_ns) = (name.clone(), *time_unix_ns);
                    let attributes = attributes.iter().map(|attribute| attribute.said()).collect();
                    span.events.push(EventData { name, time_unix_ns, attributes });
                }
                Op::Link { trace_id, span_id, attributes } => {
                    let (trace_id, span_id) = (*trace_id, *span_id);
                    let attributes = attributes.iter().map(|attribute| attribute.said()).collect();
                    span.links.push(LinkData { trace_id, span_id, attributes });
                }
                Op::Status(status) => span.status = *status,
                Op::Message(message) => span.status_message.clone_from(message),
                Op::Rename(name) => span.name.clone_from(name),
            }
        }
        self.conclude(&mut span, &mut said);
        span.start_unix_ns = self.start_unix_ns().unwrap_or(read.start_unix_ns);
        span.end_unix_ns = self.end_unix_ns().unwrap_or(read.end_unix_ns);
        if span.end_unix_ns < span.start_unix_ns {
            span.end_unix_ns = span.start_unix_ns;
            span.cut = 1;
        }
        deadline(&mut span, &said);
        span.attributes = combined(&said);
        span
    }

    /// The name, the kind, and what is said by the way in which the span is made.
    fn made(&self) -> (String, Kind, Vec<(String, Value)>) {
        let named = |operation: &str, name: &str| {
            if name.is_empty() { operation.to_owned() } else { format!("{operation} {name}") }
        };
        let one = |key: &str, value: &str| (key.to_owned(), Value::from(value));
        match &self.made {
            Made::Span(name) => (name.clone(), Kind::Custom, Vec::new()),
            Made::Agent(name) => {
                (named("invoke_agent", name), Kind::Agent, vec![one(names::AGENT_NAME, name)])
            }
            Made::Llm(model) => (named("chat", model), Kind::Llm, vec![one(names::REQUEST_MODEL, model)]),
            Made::Handoff(from, to) => (
                "handoff".to_owned(),
                Kind::Handoff,
                // An empty name is one that is not known yet.
                [one(names::HANDOFF_FROM, from), one(names::HANDOFF_TO, to)]
                    .into_iter()
                    .filter(|(_, name)| name.as_str() != Some(""))
                    .collect(),
            ),
        }
    }

    /// How it ended, and what became of its default input.
    fn conclude(&self, span: &mut SpanData, said: &mut Vec<(String, Value)>) {
        let is_default = |(key, _): &(String, Value)| key == names::DEFAULT_INPUT;
        match &self.life {
            Life::Dropped { default_input } => {
                let set = said.iter().filter(|said| is_default(said)).map(|(_, value)| value.clone());
                let default = default_input.iter().map(encoded).chain(set);
                let default: Vec<_> = default.map(|value| (names::INPUT.to_owned(), value)).collect();
                said.retain(|said| !is_default(said));
                said.splice(..0, default);
                return;
            }
            Life::CancelledUnstarted { .. } => {
                said.retain(|said| !is_default(said));
                span.status = Status::Cancelled;
                span.is_pending = true;
                return;
            }
            Life::Started | Life::Prepared { .. } => said.retain(|said| !is_default(said)),
        }
        match &self.end {
            End::Dropped | End::At(_) | End::Plainly => {}
            End::Complete => span.status = Status::Ok,
            End::CompleteWith(payload) => {
                span.status = Status::Ok;
                said.push((names::OUTPUT.to_owned(), encoded(payload)));
            }
            End::Cancel => span.status = Status::Cancelled,
            End::Fail(text) => {
                span.status = Status::Error;
                span.status_message.clone_from(text);
            }
            End::FailWith(payload) => {
                span.status = Status::Error;
                said.push((names::OUTPUT.to_owned(), encoded(payload)));
            }
        }
    }

    /// When it starts, if the caller says so.
    pub(crate) fn start_unix_ns(&self) -> Option<u64> {
        match &self.life {
            Life::Started | Life::CancelledUnstarted { .. } => self.start_unix_ns,
            Life::Prepared { starts_unix_ns } => *starts_unix_ns,
            Life::Dropped { .. } => None,
        }
    }

    /// When it ends, if the caller says so.
    pub(crate) fn end_unix_ns(&self) -> Option<u64> {
        match (&self.life, &self.end) {
            (Life::Started | Life::Prepared { .. }, End::At(end)) => Some(*end),
            (Life::CancelledUnstarted { ends_unix_ns }, _) => *ends_unix_ns,
            _ => None,
        }
    }
}

/// A span that took longer than its last deadline allowed has timed out, unless something worse was said.
fn deadline(span: &mut SpanData, said: &[(String, Value)]) {
    let last = said.iter().rev().find(|(key, _)| key == names::DEADLINE);
    let Some(deadline_ns) = last.and_then(|(_, value)| value.as_u64()) else { return };
    let is_late = !span.is_pending && span.end_unix_ns - span.start_unix_ns > deadline_ns;
    if is_late && matches!(span.status, Status::Unset | Status::Ok) {
        span.status = Status::TimedOut;
    }
    if is_late && span.status == Status::TimedOut && span.status_message.is_empty() {
        span.status_message = format!("timed out after {} s", deadline_ns as f64 / 1e9);
    }
}

/// Keys whose values are combined stand once, where they were said first; all else stands as it was said.
fn combined(said: &[(String, Value)]) -> Vec<(String, Value)> {
    let values =
        |key: &str| said.iter().filter(|(other, _)| other == key).map(|(_, value)| value).collect::<Vec<_>>();
    let mut attributes: Vec<(String, Value)> = Vec::new();
    for (key, value) in said {
        let value = match names::combine(key) {
            Combine::Last => value.clone(),
            _ if attributes.iter().any(|(other, _)| other == key) => continue,
            Combine::Merge => merged(&values(key)),
            Combine::Append => appended(&values(key)),
        };
        attributes.push((key.clone(), value));
    }
    attributes
}

fn appended(values: &[&Value]) -> Value {
    let items = values.iter().flat_map(|value| match value {
        Value::List(items) => items.clone(),
        value => vec![(*value).clone()],
    });
    Value::List(items.collect())
}

/// What is no map ends what was before it; the maps after it are united.
fn merged(values: &[&Value]) -> Value {
    let maps: Vec<_> = values.iter().rev().map_while(|value| value.as_map()).collect();
    match maps[..] {
        [] => values[values.len() - 1].clone(),
        [only] => Value::Map(only.to_vec()),
        _ => {
            let pairs: Vec<_> = maps.into_iter().rev().flatten().collect();
            let is_first = |at: usize| pairs[..at].iter().all(|(key, _)| *key != pairs[at].0);
            let last = |key: &str| pairs.iter().rev().find(|(other, _)| other == key).unwrap().1.clone();
            let keys = (0..pairs.len()).filter(|&at| is_first(at)).map(|at| &pairs[at].0);
            Value::Map(keys.map(|key| (key.clone(), last(key))).collect())
        }
    }
}
