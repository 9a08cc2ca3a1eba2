//! The outline of spans as text: how it is written, and how one that is expected is read. The notation is told at the head of the
//! [module](super).

use spanring::{Kind, Status};

use crate::trace::shown::Shown;
use crate::{SpanData, Trace, Value};

/// Blanks by which a span is indented under its parent.
pub(super) const INDENT: usize = 2;
/// What stands before a detail of a span.
const DETAIL: &str = "· ";
const EVENT: &str = "event: ";
/// Any number of spans, or any value.
pub(super) const ANY: &str = "...";
/// How deep an outline may be that is read: comparing recurses.
const DEPTH_MAX: usize = 200;

/// Spans as a forest, each with the lines that stand for it.
pub(super) struct Outline<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) roots: Vec<usize>,
}

/// A recorded span in an outline.
pub(super) struct Node<'a> {
    pub(super) span: &'a SpanData,
    /// Its name, as it is written.
    pub(super) name: String,
    /// All that is known, as it is written.
    pub(super) line: String,
    /// What may be written where something is expected.
    pub(super) accepted: Vec<String>,
    pub(super) children: Vec<usize>,
    /// How many spans it is, with all that stand under it.
    pub(super) spans: usize,
}

impl<'a> Outline<'a> {
    /// The outline of traces; siblings and roots in the order of their text where `in_any_order`, and of their start otherwise.
    pub(super) fn of(traces: &'a [Trace], in_any_order: bool) -> Self {
        let mut outline = Outline { nodes: Vec::new(), roots: Vec::new() };
        for trace in traces {
            let tree = trace.tree();
            let first = outline.nodes.len();
            let mut ancestors: Vec<usize> = Vec::new();
            for (at, node) in (first..).zip(tree.nodes()) {
                ancestors.truncate(node.depth);
                match ancestors.last() {
                    Some(&parent) => outline.nodes[parent].children.push(at),
                    None => outline.roots.push(at),
                }
                ancestors.push(at);
                outline.nodes.push(Node::of(node.span, node.descendants + 1));
            }
        }
        if in_any_order {
            outline.sort();
        }
        outline
    }

    /// Puts siblings into the order of all that is written of them.
    fn sort(&mut self) {
        let mut texts = vec![String::new(); self.nodes.len()];
        // From the back: children stand behind their parents.
        for at in (0..self.nodes.len()).rev() {
            let mut children = std::mem::take(&mut self.nodes[at].children);
            children.sort_by(|a, b| texts[*a].cmp(&texts[*b]));
            let node = &mut self.nodes[at];
            let mut text = format!("{}\n", node.line);
            event_lines(node.span).for_each(|line| text.push_str(&format!("{line}\n")));
            for &child in &children {
                // Brackets, so that what stands under a child is not taken for its sibling.
                text.push_str(&format!("{{\n{}}}\n", std::mem::take(&mut texts[child])));
            }
            node.children = children;
            texts[at] = text;
        }
        self.roots.sort_by(|a, b| texts[*a].cmp(&texts[*b]));
    }

    /// The text of all, with the values of these keys.
    pub(super) fn text(&self, keys: &[&str]) -> String {
        let mut text = String::new();
        let mut rest: Vec<(usize, usize)> = self.roots.iter().rev().map(|&root| (root, 0)).collect();
        while let Some((at, depth)) = rest.pop() {
            let node = &self.nodes[at];
            let mut put = |depth: usize, line: &str| {
                text.push_str(&" ".repeat(depth * INDENT));
                text.push_str(line);
                text.push('\n');
            };
            put(depth, &node.line);
            event_lines(node.span).for_each(|line| put(depth + 1, &line));
            keys.iter()
                .filter_map(|key| attribute_line(node.span, key))
                .for_each(|line| put(depth + 1, &line));
            rest.extend(node.children.iter().rev().map(|&child| (child, depth + 1)));
        }
        text
    }
}

impl<'a> Node<'a> {
    fn of(span: &'a SpanData, spans: usize) -> Self {
        let name = name(&span.name);
        let kind = format!("{name} ({})", span.kind.name());
        let states = states(span);
        let full = if span.kind == Kind::Custom { &name } else { &kind };
        // What is expected is read without blanks at the end of its lines.
        let with = |start: &str, state: &str| format!("{start}{state}").trim_end().to_owned();
        let line = with(full, states.last().map_or("", String::as_str));
        let accepted =
            [&name, &kind].into_iter().flat_map(|start| states.iter().map(|state| with(start, state)));
        Node { span, line, accepted: accepted.collect(), name, children: Vec::new(), spans }
    }
}

/// What may be written behind a span's name and kind, the fullest last.
fn states(span: &SpanData) -> Vec<String> {
    if span.is_open {
        return vec![" open".to_owned()];
    }
    let status = format!(" {}", span.status.name());
    let mut states = match span.status {
        Status::Ok => vec![String::new(), status],
        Status::Unset => vec![status, String::new()],
        _ => vec![status],
    };
    let fullest = format!(" {}", span.status.name());
    if span.is_pending {
        states.push(format!("{fullest}, never started"));
    }
    if !span.status_message.is_empty() {
        let message = one_line(&span.status_message);
        let with_message =
            states.iter().filter(|state| !state.is_empty()).map(|state| format!("{state}: {message}"));
        let with_message: Vec<_> = with_message.collect();
        states.extend(with_message);
    }
    states
}

/// The lines of a span's events.
pub(super) fn event_lines(span: &SpanData) -> impl Iterator<Item = String> {
    span.events.iter().map(|event| format!("{DETAIL}{EVENT}{}", one_line(&event.name)).trim_end().to_owned())
}

/// The line of a span's attribute, if it has that.
pub(super) fn attribute_line(span: &SpanData, key: &str) -> Option<String> {
    span.get(key).map(|value| with_value(key, &written(value)))
}

/// Whether the line of an attribute is true of a span.
pub(super) fn has_attribute(span: &SpanData, line: &str) -> bool {
    span.attributes.iter().any(|(key, _)| {
        line == with_value(key, ANY) || attribute_line(span, key).is_some_and(|actual| actual == line)
    })
}

fn with_value(key: &str, value: &str) -> String {
    format!("{DETAIL}{} = {value}", one_line(key))
}

/// A name as it is written: in quotes where it could be mistaken for something else.
pub(super) fn name(name: &str) -> String {
    let is_plain = name.trim() == name && !name.is_empty() && name != ANY;
    if is_plain && !name.starts_with(['"', '·']) { one_line(name) } else { format!("{name:?}") }
}

fn one_line(text: &str) -> String {
    Shown { text, chars_max: usize::MAX }.to_string()
}

/// A value as it is written.
pub(super) fn written(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F64(value) => format!("{value:?}"),
        Value::Str(value) => format!("{value:?}"),
        Value::Bytes(value) => format!("b\"{}\"", value.escape_ascii()),
        Value::List(values) => {
            format!("[{}]", values.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        Value::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{key:?}: {}", written(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// An outline that is expected.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) nodes: Vec<ExpectedNode>,
    pub(super) roots: Vec<usize>,
}

/// What is expected of one span.
pub(super) struct ExpectedNode {
    /// [`ANY`], or what is written for a span.
    pub(super) line: String,
    pub(super) details: Vec<Detail>,
    pub(super) children: Vec<usize>,
    /// How many spans are written, with all that stand under it.
    pub(super) spans: usize,
}

/// What is expected of a span beside its line.
pub(super) enum Detail {
    /// The line of an event.
    Event(String),
    /// The line of an attribute, and its key as it is written there.
    Attribute(String, String),
}

impl Expected {
    /// Reads an outline, as it is indented by its least indented line; blank lines mean nothing.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.trim_end()));
        let lines: Vec<(usize, &str)> = lines.filter(|(_, line)| !line.is_empty()).collect();
        let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
        let least = lines.iter().map(|(_, line)| indent(line)).min().unwrap_or(0);
        let mut expected = Expected::default();
        let mut ancestors: Vec<usize> = Vec::new();
        for (number, line) in lines {
            let (blanks, line) = (indent(line) - least, line.trim_start_matches(' '));
            let depth = blanks / INDENT;
            if !blanks.is_multiple_of(INDENT) || depth > ancestors.len() || depth > DEPTH_MAX {
                return Err(format!(
                    "line {number} of what is expected is indented by {blanks} blanks: {line}"
                ));
            }
            ancestors.truncate(depth);
            let parent = ancestors.last().copied();
            if let Some(detail) = line.strip_prefix(DETAIL) {
                let detail = Detail::read(line, detail).ok_or_else(|| {
                    format!("line {number} of what is expected is neither an event nor `key = value`: {line}")
                })?;
                match parent.map(|parent| &mut expected.nodes[parent]).filter(|node| node.line != ANY) {
                    Some(node) => node.details.push(detail),
                    None => {
                        return Err(format!("line {number} of what is expected belongs to no span: {line}"));
                    }
                }
                continue;
            }
            let at = expected.nodes.len();
            match parent.map(|parent| &mut expected.nodes[parent]) {
                Some(node) if node.line == ANY => {
                    return Err(format!("line {number} of what is expected stands under `...`: {line}"));
                }
                Some(node) => node.children.push(at),
                None => expected.roots.push(at),
            }
            let (line, details) = (line.to_owned(), Vec::new());
            expected.nodes.push(ExpectedNode { line, details, children: Vec::new(), spans: 1 });
            ancestors.push(at);
        }
        for at in (0..expected.nodes.len()).rev() {
            let under: usize =
                expected.nodes[at].children.iter().map(|&child| expected.nodes[child].spans).sum();
            let is_any = expected.nodes[at].line == ANY;
            expected.nodes[at].spans = if is_any { 0 } else { under + 1 };
        }
        Ok(expected)
    }
}

impl Detail {
    fn read(line: &str, detail: &str) -> Option<Self> {
        if detail.starts_with(EVENT) || detail == EVENT.trim_end() {
            return Some(Detail::Event(line.to_owned()));
        }
        let (key, _) = detail.split_once(" = ")?;
        Some(Detail::Attribute(line.to_owned(), key.to_owned()))
    }

    pub(super) fn line(&self) -> &str {
        match self {
            Detail::Event(line) | Detail::Attribute(line, _) => line,
        }
    }
}
