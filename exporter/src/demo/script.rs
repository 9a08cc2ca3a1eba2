//! The script that the agents play: the bundled runs, span by span, with what each of them says.

use std::borrow::Cow;
use std::collections::HashMap;

use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use spanring::{Kind, SpanId, Status};
use spanring_spool::{SpanData, Value};

use super::content::{Content, Digest, Identity, Part};
use super::runs::AgentRun;

/// All runs, as a list of spans that are numbered throughout.
#[derive(Debug)]
pub(super) struct Script {
    spans: Vec<Scene>,
    /// The number of each run's root.
    roots: Vec<u32>,
}

/// A span of the script.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Started under it, in the order of time.
    pub(super) children: Vec<u32>,
    pub(super) events: Vec<Happening>,
    pub(super) status: Status,
    pub(super) status_message: String,
    attributes: Vec<Said<'static>>,
    is_root: bool,
}

/// An attribute.
#[derive(Clone, Debug)]
pub(super) struct Said<'a> {
    pub(super) key: &'static str,
    pub(super) value: Cow<'a, Value>,
    pub(super) part: Part,
}

/// An event.
#[derive(Debug)]
pub(super) struct Happening {
    pub(super) name: &'static str,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) part: Part,
}

/// Which replay of a run it is. No other has the same number, in any agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Replay {
    pub(super) agent: u32,
    pub(super) thread: u32,
    pub(super) round: u32,
}

impl Script {
    /// The script of the bundled runs. Names and keys stay in memory until the process ends, as literals would.
    pub(super) fn bundled() -> Self {
        Script::of(&AgentRun::bundled())
    }

    fn of(runs: &[AgentRun]) -> Self {
        let mut literals = Literals::default();
        let mut script = Script { spans: Vec::new(), roots: Vec::new() };
        for run in runs {
            let first = u32::try_from(script.spans.len()).expect("the runs are few");
            let numbers: HashMap<SpanId, u32> =
                run.spans.iter().map(|span| span.span_id).zip(first..).collect();
            for (span, number) in run.spans.iter().zip(first..) {
                let mut children: Vec<&SpanData> =
                    run.spans.iter().filter(|child| child.parent_id == Some(span.span_id)).collect();
                children.sort_by_key(|child| child.start_unix_ns);
                let children = children.iter().map(|child| numbers[&child.span_id]).collect();
                if span.parent_id.is_none() {
                    script.roots.push(number);
                }
                script.spans.push(Scene::of(span, number, children, &mut literals));
            }
        }
        script
    }

    /// The numbers of the spans that the runs begin with.
    pub(super) fn roots(&self) -> &[u32] {
        &self.roots
    }

    /// The span with this number, if there is one.
    pub(super) fn scene(&self, number: u32) -> Option<&Scene> {
        self.spans.get(usize::try_from(number).ok()?)
    }
}

impl Scene {
    fn of(span: &SpanData, number: u32, children: Vec<u32>, literals: &mut Literals) -> Self {
        let attributes = span.attributes.iter().map(|(key, value)| {
            let value = Cow::Owned(value.clone());
            said(literals.of(key), value)
        });
        let attributes = attributes.collect();
        let events = span.events.iter().map(|event| Happening {
            name: literals.of(&event.name),
            attributes: event
                .attributes
                .iter()
                .map(|(key, value)| (literals.of(key), value.clone()))
                .collect(),
            part: Part::event(&event.name, |digest| map(digest, &event.attributes)),
        });
        let events = events.collect();
        Scene {
            number,
            name: literals.of(&span.name),
            kind: span.kind,
            children,
            events,
            status: span.status,
            status_message: span.status_message.clone(),
            attributes,
            is_root: span.parent_id.is_none(),
        }
    }

    /// What the span says before anything is set on it.
    pub(super) fn start(&self, identity: Identity<'_>) -> Content {
        Content::start(identity, self.name, self.kind == Kind::Llm)
    }

    /// The attributes in one replay: those of the run, between others that no other replay has.
    pub(super) fn attributes(&self, replay: Replay) -> impl ExactSizeIterator<Item = Said<'_>> {
        (0..self.attributes.len() + 3).map(move |index| match index.checked_sub(1) {
            None => said("replay.number", Cow::Owned(Value::U64(replay.number()))),
            Some(index) if index < self.attributes.len() => {
                let Said { key, value, part } = &self.attributes[index];
                Said { key, value: Cow::Borrowed(value), part: *part }
            }
            Some(index) if index == self.attributes.len() => {
                said("replay.is_root", Cow::Owned(Value::Bool(self.is_root)))
            }
            Some(_) => {
                let place = [replay.agent, replay.thread, replay.round].map(|part| Value::I64(part.into()));
                said("replay.place", Cow::Owned(Value::List(place.into())))
            }
        })
    }

    /// What the span says when it ends, after all that was set on it.
    pub(super) fn end(&self, content: Content) -> Content {
        let status = match self.status {
            Status::Ok => StatusCode::Ok,
            Status::Error | Status::TimedOut => StatusCode::Error,
            _ => StatusCode::Unset,
        };
        content.end(status.into(), &self.status_message)
    }
}

impl Replay {
    /// The replay as a number.
    pub(super) fn number(self) -> u64 {
        u64::from(self.agent) << 48 | u64::from(self.thread) << 32 | u64::from(self.round)
    }

    /// The replay with this number.
    pub(super) fn of_number(number: u64) -> Self {
        let part = |shift: u32, mask: u64| u32::try_from(number >> shift & mask).unwrap_or(0);
        Replay { agent: part(48, 0xffff), thread: part(32, 0xffff), round: part(0, 0xffff_ffff) }
    }
}

fn said<'a>(key: &'static str, value: Cow<'a, Value>) -> Said<'a> {
    let part = Part::attribute(key, |digest| digest_value(digest, &value));
    Said { key, value, part }
}

fn digest_value(digest: &mut Digest, value: &Value) {
    match value {
        Value::Null => digest.null(),
        Value::Bool(value) => digest.bool(*value),
        Value::I64(value) => digest.integer(*value),
        Value::U64(value) => match i64::try_from(*value) {
            Ok(value) => digest.integer(value),
            // OTLP has no such numbers.
            Err(_) => digest.text(&value.to_string()),
        },
        Value::F64(value) => digest.float(*value),
        Value::Str(value) => digest.text(value),
        Value::Bytes(value) => digest.bytes(value),
        Value::List(values) => {
            digest.list(values.len());
            values.iter().for_each(|value| digest_value(digest, value));
        }
        Value::Map(pairs) => map(digest, pairs),
    }
}

fn map(digest: &mut Digest, pairs: &[(String, Value)]) {
    digest.map(pairs.len());
    for (key, value) in pairs {
        digest.text(key);
        digest_value(digest, value);
    }
}

/// Texts as a program has them that is instrumented by hand: each is there once, and for ever.
#[derive(Default)]
struct Literals(HashMap<String, &'static str>);

impl Literals {
    fn of(&mut self, text: &str) -> &'static str {
        if let Some(literal) = self.0.get(text) {
            return literal;
        }
        let literal: &'static str = Box::leak(text.into());
        self.0.insert(text.to_owned(), literal);
        literal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_span_of_the_runs_is_played_once_under_its_run() {
        let script = Script::bundled();
        let mut played = vec![0; 334];
        let mut next = script.roots().to_vec();
        while let Some(number) = next.pop() {
            let scene = script.scene(number).unwrap();
            assert_eq!(scene.number, number);
            played[usize::try_from(number).unwrap()] += 1;
            next.extend(&scene.children);
        }
        assert!(script.scene(334).is_none());
        assert_eq!((script.roots().len(), played), (19, vec![1; 334]));
    }

    #[test]
    fn two_replays_differ_in_what_their_spans_say() {
        let script = Script::bundled();
        let scene = script.scene(0).unwrap();
        let parts = |round| {
            let replay = Replay { agent: 3, thread: 2, round };
            assert_eq!(Replay::of_number(replay.number()), replay);
            scene.attributes(replay).map(|said| said.part).collect::<Vec<_>>()
        };
        assert_eq!(parts(1), parts(1));
        assert_ne!(parts(1)[0], parts(2)[0]);
        assert_ne!(parts(1).last(), parts(2).last());
    }
}
