//! What was recorded, to be asked and to be asserted about.

use std::collections::HashSet;
use std::ops::Deref;

use serde::Serialize;
use spanring::{Status, TraceId};

use super::compare;
use super::outline::{Expected, Outline, attribute_line, name, written};
use crate::packed::unpack;
use crate::{SpanData, Trace, Value};

/// What was recorded, in the order in which it started. A slice of [`SpanData`], with questions and assertions.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Spans {
    spans: Vec<SpanData>,
    in_any_order: bool,
}

/// A span among those recorded. What is asserted about it gives it back, so that the next assertion can follow.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    span: &'a SpanData,
    among: &'a [SpanData],
}

impl Spans {
    pub(super) fn new(spans: Vec<SpanData>) -> Self {
        Spans { spans, in_any_order: false }
    }

    /// The only span of this name.
    ///
    /// # Panics
    ///
    /// When there is none, or there are several; with the tree of what there is.
    #[track_caller]
    pub fn one(&self, name: &str) -> Found<'_> {
        match self.named(name)[..] {
            [found] => found,
            ref found => {
                panic!(
                    "there are {} spans {name:?} where one is expected; recorded is\n{}",
                    found.len(),
                    self.tree()
                )
            }
        }
    }

    /// The spans of this name; none where there are none.
    pub fn named(&self, name: &str) -> Vec<Found<'_>> {
        self.select(|span| span.name == name)
    }

    /// The spans that stand under no other of these: those without a parent, and those whose parent is another process's or not among them.
    pub fn roots(&self) -> Vec<Found<'_>> {
        let identities: HashSet<_> = self.spans.iter().map(|span| (span.trace_id, span.span_id)).collect();
        let has_parent =
            |span: &SpanData| span.parent_id.is_some_and(|id| identities.contains(&(span.trace_id, id)));
        self.select(|span| !has_parent(span))
    }

    /// The spans that stand directly under this one.
    pub fn children_of(&self, span: &SpanData) -> Vec<Found<'_>> {
        self.select(|child| is_under(child, span))
    }

    /// The spans that have not ended.
    pub fn open(&self) -> Vec<Found<'_>> {
        self.select(|span| span.is_open)
    }

    /// Only those of one trace.
    pub fn of_trace(mut self, trace_id: TraceId) -> Self {
        self.spans.retain(|span| span.trace_id == trace_id);
        self
    }

    /// Has the tree list siblings in the order of what is written of them, and not of their start: for work that runs on several threads at
    /// the same time. What [`assert_tree`](Self::assert_tree) is given must be written in that order too, which the order of the bytes is.
    pub fn in_any_order(mut self) -> Self {
        self.in_any_order = true;
        self
    }

    /// The outline of all traces, one after another, without times and identities: the same for the same work. Attributes are not in it.
    pub fn tree(&self) -> String {
        self.tree_with(&[])
    }

    /// The outline, with these attributes of each span that has them.
    pub fn tree_with(&self, keys: &[&str]) -> String {
        Outline::of(&self.traces(), self.in_any_order).text(keys)
    }

    /// Compares with an outline as [the module](super) tells it. It may be indented as a whole.
    ///
    /// # Panics
    ///
    /// When it is not as expected, with the lines that differ and the whole tree; and when what is expected is no outline.
    #[track_caller]
    pub fn assert_tree(&self, expected: &str) {
        let expected = match Expected::read(expected) {
            Ok(expected) => expected,
            Err(error) => panic!("{error}"),
        };
        let traces = self.traces();
        let recorded = Outline::of(&traces, self.in_any_order);
        if let Some(difference) = compare::difference(&expected, &recorded) {
            let tree = recorded.text(&[]);
            panic!(
                "what was recorded is not what was expected (- expected, + recorded):\n\n{difference}\nrecorded is\n{tree}"
            );
        }
    }

    /// That all of them have ended.
    ///
    /// # Panics
    ///
    /// When one has not, with the tree.
    #[track_caller]
    pub fn assert_no_open_spans(&self) {
        let open = self.open();
        let names: Vec<String> = open.iter().map(|span| name(&span.name)).collect();
        assert!(open.is_empty(), "still open: {}; recorded is\n{}", names.join(", "), self.tree());
    }

    /// The spans.
    pub fn into_vec(self) -> Vec<SpanData> {
        self.spans
    }

    fn select(&self, is_wanted: impl Fn(&SpanData) -> bool) -> Vec<Found<'_>> {
        let wanted = self.spans.iter().filter(|span| is_wanted(span));
        wanted.map(|span| Found { span, among: &self.spans }).collect()
    }

    fn traces(&self) -> Vec<Trace> {
        Trace::collect(self.spans.iter().cloned())
    }
}

impl Deref for Spans {
    type Target = [SpanData];

    fn deref(&self) -> &[SpanData] {
        &self.spans
    }
}

impl IntoIterator for Spans {
    type Item = SpanData;
    type IntoIter = std::vec::IntoIter<SpanData>;

    fn into_iter(self) -> Self::IntoIter {
        self.spans.into_iter()
    }
}

impl<'a> IntoIterator for &'a Spans {
    type Item = &'a SpanData;
    type IntoIter = std::slice::Iter<'a, SpanData>;

    fn into_iter(self) -> Self::IntoIter {
        self.spans.iter()
    }
}

impl<'a> Found<'a> {
    /// The span, for as long as what it was found in.
    pub fn span(self) -> &'a SpanData {
        self.span
    }

    /// The span that it stands directly under, if that is among those recorded.
    pub fn parent(self) -> Option<Found<'a>> {
        let parent = self.among.iter().find(|parent| is_under(self.span, parent))?;
        Some(Found { span: parent, among: self.among })
    }

    /// The spans that stand directly under it.
    pub fn children(self) -> Vec<Found<'a>> {
        let children = self.among.iter().filter(|child| is_under(child, self.span));
        children.map(|span| Found { span, among: self.among }).collect()
    }

    /// That it has an attribute of this value: anything that implements `Serialize`, as when it is recorded. Numbers are compared as integers
    /// or as floating-point numbers, of whatever length; pairs of maps may stand in any order. What [`spanring::names`] combines
    /// is combined.
    ///
    /// # Panics
    ///
    /// When it has another value or none, or the value that is expected cannot be encoded.
    #[track_caller]
    pub fn assert_attribute(self, key: &str, value: impl Serialize) -> Self {
        let mut items = usize::MAX;
        let expected = match rmp_serde::to_vec_named(&value) {
            Ok(bytes) => unpack(&bytes, &mut items).value,
            Err(error) => panic!("the value that is expected of {key:?} cannot be encoded: {error}"),
        };
        let Some(actual) = self.span.get(key) else {
            panic!("{} has no attribute {key:?}, but {}", self.title(), self.attributes());
        };
        assert!(
            is_same(actual, &expected),
            "of {}, attribute {key:?} is\n  {}\nand not\n  {}",
            self.title(),
            written(actual),
            written(&expected)
        );
        self
    }

    /// That it has no such attribute.
    ///
    /// # Panics
    ///
    /// When it has.
    #[track_caller]
    pub fn assert_no_attribute(self, key: &str) -> Self {
        if let Some(actual) = self.span.get(key) {
            panic!("{} has an attribute {key:?}: {}", self.title(), written(actual));
        }
        self
    }

    /// That this is its status, and that it has ended.
    ///
    /// # Panics
    ///
    /// When its status is another, or it is open.
    #[track_caller]
    pub fn assert_status(self, status: Status) -> Self {
        let SpanData { is_open, status: actual, status_message, .. } = self.span;
        assert!(!is_open, "{} is open, so its status is not {} yet", self.title(), status.name());
        let said = if status_message.is_empty() { "" } else { ": " };
        assert!(
            *actual == status,
            "the status of {} is {}{said}{status_message}, and not {}",
            self.title(),
            actual.name(),
            status.name()
        );
        self
    }

    /// That it has an event of this name.
    ///
    /// # Panics
    ///
    /// When it has none.
    #[track_caller]
    pub fn assert_event(self, event: &str) -> Self {
        let names: Vec<&str> = self.span.events.iter().map(|event| event.name.as_str()).collect();
        assert!(names.contains(&event), "{} has no event {event:?}, but {names:?}", self.title());
        self
    }

    /// That it stands directly under this span.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn assert_under(self, parent: &SpanData) -> Self {
        if !is_under(self.span, parent) {
            let actual = match (self.parent(), self.span.parent_id) {
                (Some(actual), _) => format!("under {}", actual.title()),
                (None, Some(id)) => format!("under {id}, which is not among them"),
                (None, None) => "a root".to_owned(),
            };
            panic!("{} is not under {:?}, but {actual}", self.title(), parent.name);
        }
        self
    }

    fn title(&self) -> String {
        format!("span {:?}", self.span.name)
    }

    fn attributes(&self) -> String {
        let lines = self.span.attributes.iter().filter_map(|(key, _)| attribute_line(self.span, key));
        let lines: Vec<String> = lines.map(|line| format!("\n  {line}")).collect();
        if lines.is_empty() { "none at all".to_owned() } else { lines.concat() }
    }
}

impl Deref for Found<'_> {
    type Target = SpanData;

    fn deref(&self) -> &SpanData {
        self.span
    }
}

fn is_under(child: &SpanData, parent: &SpanData) -> bool {
    child.trace_id == parent.trace_id && child.parent_id == Some(parent.span_id)
}

/// Whether two values are the same to whoever has recorded one of them.
fn is_same(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::List(actual), Value::List(expected)) => {
            let pairs = actual.iter().zip(expected);
            actual.len() == expected.len()
                && pairs.into_iter().all(|(actual, expected)| is_same(actual, expected))
        }
        (Value::Map(actual), Value::Map(pairs)) => {
            let has = |(key, value): &(String, Value)| {
                expected.get(key).is_some_and(|expected| is_same(value, expected))
            };
            actual.len() == pairs.len() && actual.iter().all(has)
        }
        // NaN is what was expected where it was.
        (Value::F64(actual), Value::F64(expected)) => {
            actual == expected || (actual.is_nan() && expected.is_nan())
        }
        (Value::I64(_) | Value::U64(_), Value::I64(_) | Value::U64(_)) => {
            (actual.as_i64(), actual.as_u64()) == (expected.as_i64(), expected.as_u64())
        }
        _ => actual == expected,
    }
}
