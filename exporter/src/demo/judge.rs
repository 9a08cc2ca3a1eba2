//! The judge: compares what was delivered with what the witnesses saw, span by span.
//!
//! | the witness saw       | so there must arrive                                                                     |
//! |-----------------------|------------------------------------------------------------------------------------------|
//! | an end, recorded      | the span as it was meant, once                                                           |
//! | an end, dropped       | nothing                                                                                  |
//! | a start and no end    | the span as it was meant, if the kill came after `end` and before the witness wrote; else the span as interrupted, with a beginning of what was meant that reaches to what the witness saw set |
//! | nothing               | an interrupted span without content, if the kill came after `start` and before the witness wrote: one for each thread at most |

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::Path;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use spanring::names;

use super::content::{Content, Digest, Identity, Part};
use super::script::{Replay, Scene, Script};
use super::tree::Tree;
use super::witness::{self, What};
use crate::otlp::ExportTraceServiceRequest;

/// What an interrupted span is told by stands behind what was recorded on it, and begins with this attribute.
const FIRST_MARK: &str = names::ERROR_TYPE;
/// What may follow: that it was interrupted, and its kind as long as no attribute of its own tells it.
const MARKS: [&str; 3] = [names::INTERRUPTED, names::OPERATION_NAME, names::KIND];
/// How many wrong spans are described.
const FAULTS_MAX: usize = 10;

/// What the witnesses saw, and what arrived of it.
#[derive(Debug)]
pub(super) struct Judge {
    script: Script,
    threads: u64,
    ended: HashMap<[u8; 8], Ended>,
    open: HashMap<[u8; 8], Open>,
    /// Delivered and never seen.
    unseen: HashSet<[u8; 8]>,
    /// How many of them, by agent.
    unseen_by_agent: BTreeMap<Option<u32>, u64>,
    killed: HashSet<u32>,
    trees: BTreeMap<Vec<u8>, Tree>,
    count: Count,
    faults: Vec<String>,
}

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Count {
    /// Starts that the witnesses saw.
    pub(super) seen_started: u64,
    /// Ends that the witnesses saw, dropped spans included.
    pub(super) seen_ended: u64,
    /// Those of them that were dropped.
    pub(super) seen_dropped: u64,
    /// Spans that arrived, again or not.
    pub(super) received: u64,
    /// Different spans that arrived.
    pub(super) delivered: u64,
    /// Those of them that are interrupted.
    pub(super) interrupted: u64,
    /// Spans that arrived otherwise than they must.
    pub(super) wrong: u64,
    /// Spans that arrived complete, whose end the kill kept the witness from seeing.
    pub(super) ends_unseen: u64,
    /// Spans that arrived, whose start the kill kept the witness from seeing.
    pub(super) starts_unseen: u64,
}

/// What the witness saw end.
#[derive(Debug)]
struct Ended {
    content: Content,
    is_dropped: bool,
    is_delivered: bool,
}

/// What the witness saw start and not end.
#[derive(Clone, Copy, Debug)]
struct Open {
    content: Content,
    number: u32,
    replay: Replay,
    attributes_set: u32,
    is_delivered: bool,
}

impl Judge {
    pub(super) fn new(threads: u32) -> Self {
        Judge {
            script: Script::bundled(),
            threads: threads.into(),
            ended: HashMap::new(),
            open: HashMap::new(),
            unseen: HashSet::new(),
            unseen_by_agent: BTreeMap::new(),
            killed: HashSet::new(),
            trees: BTreeMap::new(),
            count: Count::default(),
            faults: Vec::new(),
        }
    }

    /// Takes what an agent's witness saw, and returns how many spans that were.
    pub(super) fn hear(&mut self, agent: u32, was_killed: bool, dir: &Path) -> io::Result<u64> {
        if was_killed {
            self.killed.insert(agent);
        }
        let (mut started, mut ended) = (0, 0);
        let mut open = HashMap::new();
        witness::read(dir, |record| {
            let id = record.span_id.to_bytes();
            match record.what {
                What::Started { number } => {
                    started += 1;
                    // Perhaps another thread ended it, whose records were read before.
                    if !self.ended.contains_key(&id) {
                        let replay = Replay::of_number(record.replay);
                        let content = record.content;
                        open.insert(
                            id,
                            Open { content, number, replay, attributes_set: 0, is_delivered: false },
                        );
                    }
                }
                What::Set { attributes } => {
                    if let Some(open) = open.get_mut(&id) {
                        open.attributes_set = attributes;
                    }
                }
                What::Recorded | What::Dropped => {
                    ended += 1;
                    open.remove(&id);
                    let is_dropped = record.what == What::Dropped;
                    self.count.seen_dropped += u64::from(is_dropped);
                    let content = record.content;
                    self.ended.insert(id, Ended { content, is_dropped, is_delivered: false });
                }
            }
        })?;
        if started != ended + open.len() as u64 {
            let reason = format!("the witness saw {started} starts, {ended} ends and {} open", open.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        self.count.seen_started += started;
        self.count.seen_ended += ended;
        self.open.extend(open);
        Ok(started)
    }

    /// Keeps the spans of this trace that arrive, to show them.
    pub(super) fn keep(&mut self, trace_id: &[u8]) {
        self.trees.entry(trace_id.to_owned()).or_default();
    }

    /// Takes what arrived.
    pub(super) fn receive(&mut self, request: &ExportTraceServiceRequest) {
        for resource_spans in &request.resource_spans {
            let agent = agent_number(resource_spans);
            for span in resource_spans.scope_spans.iter().flat_map(|scope_spans| &scope_spans.spans) {
                self.count.received += 1;
                let delivered = Delivered(span);
                if let Err(fault) = self.judge(agent, delivered) {
                    self.count.wrong += 1;
                    if self.faults.len() < FAULTS_MAX {
                        self.faults.push(format!("{delivered} {fault}"));
                    }
                }
            }
        }
    }

    fn judge(&mut self, agent: Option<u32>, delivered: Delivered<'_>) -> Result<(), &'static str> {
        let id = delivered.id()?;
        let is_first = match (self.ended.get_mut(&id), self.open.get_mut(&id)) {
            (Some(ended), _) => !std::mem::replace(&mut ended.is_delivered, true),
            (None, Some(open)) => !std::mem::replace(&mut open.is_delivered, true),
            (None, None) => self.unseen.insert(id),
        };
        if is_first {
            self.count.delivered += 1;
            self.count.interrupted += u64::from(delivered.is_interrupted());
            if let Some(tree) = self.trees.get_mut(&delivered.0.trace_id) {
                tree.add(delivered.0, delivered.is_interrupted());
            }
        }
        delivered.check_form()?;
        if let Some(ended) = self.ended.get(&id) {
            return match () {
                () if ended.is_dropped => Err("was dropped, as its end said, and is delivered"),
                () if delivered.is_interrupted() => Err("had ended and is delivered as interrupted"),
                () if delivered.content() != ended.content => Err("had ended with another content"),
                () => Ok(()),
            };
        }
        if let Some(open) = self.open.get(&id) {
            let scene = self.script.scene(open.number).ok_or("is not in the script")?;
            if delivered.is_interrupted() {
                return delivered.check_beginning(scene, open);
            }
            self.count.ends_unseen += u64::from(is_first);
            let meant = parts(scene, open.replay).fold(open.content, Content::and);
            return match delivered.content() == scene.end(meant) {
                true => Ok(()),
                false => Err("ended just before the kill with another content"),
            };
        }
        if is_first {
            self.count.starts_unseen += 1;
            *self.unseen_by_agent.entry(agent).or_default() += 1;
        }
        if !delivered.is_interrupted() || delivered.parts().next().is_some() {
            return Err("was never seen to start, and has content");
        }
        Ok(())
    }

    /// What was counted.
    pub(super) fn count(&self) -> Count {
        self.count
    }

    /// What is wrong with the first of the wrong spans.
    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// How many spans were seen to be recorded and did not arrive, or seen to start and arrived in no form. A kill may have
    /// kept the witness from seeing that a span was dropped: the account says of how many that may be true at most.
    pub(super) fn lost(&self, dropped: u64) -> u64 {
        let of_ended =
            self.ended.values().filter(|ended| !ended.is_dropped && !ended.is_delivered).count() as u64;
        let of_open = self.open.values().filter(|open| !open.is_delivered).count() as u64;
        of_ended + of_open.saturating_sub(dropped.saturating_sub(self.count.seen_dropped))
    }

    /// How many spans arrived that no witness saw start, beyond the one that each thread of a killed agent may have had no
    /// time to witness.
    pub(super) fn phantoms(&self) -> u64 {
        let beyond = |(agent, unseen): (&Option<u32>, &u64)| {
            let was_killed = agent.is_some_and(|agent| self.killed.contains(&agent));
            unseen.saturating_sub(if was_killed { self.threads } else { 0 })
        };
        self.unseen_by_agent.iter().map(beyond).sum()
    }

    /// The interrupted run that shows best what happens.
    pub(super) fn best_tree(&self) -> Option<&Tree> {
        self.trees.values().filter(|tree| tree.is_whole()).max_by_key(|tree| tree.worth())
    }
}

/// All that a span says in a replay, one after the other.
fn parts(scene: &Scene, replay: Replay) -> impl Iterator<Item = Part> {
    scene.attributes(replay).map(|said| said.part).chain(scene.events.iter().map(|event| event.part))
}

/// The agent that a resource belongs to.
fn agent_number(resource_spans: &ResourceSpans) -> Option<u32> {
    let attributes = &resource_spans.resource.as_ref()?.attributes;
    let id = attributes.iter().find(|attribute| attribute.key == "service.instance.id")?;
    text(id.value.as_ref())?.parse().ok()
}

/// A span as it arrived.
#[derive(Clone, Copy)]
struct Delivered<'a>(&'a Span);

impl<'a> Delivered<'a> {
    fn id(self) -> Result<[u8; 8], &'static str> {
        self.0.span_id.as_slice().try_into().map_err(|_| "has no span id of 8 bytes")
    }

    fn is_interrupted(self) -> bool {
        let mark = self.0.attributes.iter().find(|attribute| attribute.key == names::INTERRUPTED);
        mark.is_some_and(|mark| {
            let value = mark.value.as_ref().and_then(|value| value.value.as_ref());
            value == Some(&any_value::Value::BoolValue(true))
        })
    }

    /// What is true of every span.
    fn check_form(self) -> Result<(), &'static str> {
        let Delivered(span) = self;
        if span.end_time_unix_nano < span.start_time_unix_nano {
            return Err("ends before it starts");
        }
        let kind = SpanKind::try_from(span.kind);
        if !matches!(kind, Ok(SpanKind::Client | SpanKind::Internal)) {
            return Err("is of a kind that no span of the script has");
        }
        if self.is_interrupted() {
            let error_type = span.attributes.iter().find(|attribute| attribute.key == FIRST_MARK);
            if error_type.and_then(|attribute| text(attribute.value.as_ref())) != Some("process_exit") {
                return Err("is interrupted and does not say by what");
            }
            if span.status.as_ref().map(|status| status.code()) != Some(StatusCode::Error) {
                return Err("is interrupted without the status of an error");
            }
        }
        Ok(())
    }

    fn start(self) -> Content {
        let Delivered(span) = self;
        let identity =
            Identity { trace_id: &span.trace_id, span_id: &span.span_id, parent_id: &span.parent_span_id };
        Content::start(identity, &span.name, span.kind == i32::from(SpanKind::Client))
    }

    /// What it says, one after the other, without the marks that an interrupted span gets.
    fn parts(self) -> impl Iterator<Item = Part> + use<'a> {
        let mut is_marked = false;
        let is_interrupted = self.is_interrupted();
        let set = self.0.attributes.iter().filter(move |attribute| {
            let is_first = is_interrupted && attribute.key == FIRST_MARK;
            is_marked |= is_first;
            !(is_first || is_marked && MARKS.contains(&attribute.key.as_str()))
        });
        set.map(attribute).chain(
            self.0
                .events
                .iter()
                .map(|event| Part::event(&event.name, |digest| digest_map(digest, &event.attributes))),
        )
    }

    /// All that it says.
    fn content(self) -> Content {
        let said = self.parts().fold(self.start(), Content::and);
        let status = self.0.status.clone().unwrap_or_default();
        said.end(status.code, &status.message)
    }

    /// Whether it says the beginning of what it was to say, and at least what was seen to be set.
    fn check_beginning(self, scene: &Scene, open: &Open) -> Result<(), &'static str> {
        if self.start() != open.content {
            return Err("was interrupted and started otherwise");
        }
        let mut meant = parts(scene, open.replay);
        let mut count = 0;
        for part in self.parts() {
            if meant.next() != Some(part) {
                return Err("was interrupted and says what was not set");
            }
            count += 1;
        }
        if count < open.attributes_set {
            return Err("was interrupted and lacks what had been set");
        }
        Ok(())
    }
}

impl fmt::Display for Delivered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("span ")?;
        self.0.span_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, " ({})", self.0.name)
    }
}

fn text(value: Option<&AnyValue>) -> Option<&str> {
    match value?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn attribute(attribute: &KeyValue) -> Part {
    Part::attribute(&attribute.key, |digest| digest_value(digest, attribute.value.as_ref()))
}

fn digest_value(digest: &mut Digest, value: Option<&AnyValue>) {
    match value.and_then(|value| value.value.as_ref()) {
        // The script holds no index into a table, which only profiles have.
        None | Some(any_value::Value::StringValueStrindex(_)) => digest.null(),
        Some(any_value::Value::BoolValue(value)) => digest.bool(*value),
        Some(any_value::Value::IntValue(value)) => digest.integer(*value),
        Some(any_value::Value::DoubleValue(value)) => digest.float(*value),
        Some(any_value::Value::StringValue(value)) => digest.text(value),
        Some(any_value::Value::BytesValue(value)) => digest.bytes(value),
        Some(any_value::Value::ArrayValue(array)) => {
            digest.list(array.values.len());
            array.values.iter().for_each(|value| digest_value(digest, Some(value)));
        }
        Some(any_value::Value::KvlistValue(map)) => digest_map(digest, &map.values),
    }
}

fn digest_map(digest: &mut Digest, pairs: &[KeyValue]) {
    digest.map(pairs.len());
    for pair in pairs {
        digest.text(&pair.key);
        digest_value(digest, pair.value.as_ref());
    }
}

#[cfg(test)]
mod tests;
