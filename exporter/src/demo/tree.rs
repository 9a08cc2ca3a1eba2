//! One run as indented text.

use std::fmt;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;

/// How wide a name is shown, with what stands before it.
const NAME_WIDTH: usize = 44;
/// How many characters of a value are shown.
const VALUE_LEN_MAX: usize = 48;
/// How many attributes of an interrupted span are shown.
const ATTRIBUTES_MAX: usize = 4;
/// A run with more spans takes more than a glance.
const SPANS_AT_A_GLANCE: usize = 16;

/// The spans of one trace, as they arrived.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    spans: Vec<Branch>,
}

#[derive(Clone, Debug)]
struct Branch {
    id: Vec<u8>,
    parent_id: Vec<u8>,
    name: String,
    kind: String,
    start_unix_ns: u64,
    end_unix_ns: u64,
    /// What had been set on it, if it was interrupted.
    interrupted: Option<Vec<String>>,
}

impl Tree {
    pub(super) fn add(&mut self, span: &Span, is_interrupted: bool) {
        self.spans.push(Branch {
            id: span.span_id.clone(),
            parent_id: span.parent_span_id.clone(),
            name: span.name.clone(),
            kind: kind(span).to_owned(),
            start_unix_ns: span.start_time_unix_nano,
            end_unix_ns: span.end_time_unix_nano,
            interrupted: is_interrupted.then(|| span.attributes.iter().filter_map(shown).collect()),
        });
    }

    /// Whether its root arrived, and the parent of every span.
    pub(super) fn is_whole(&self) -> bool {
        let is_there = |id: &Vec<u8>| self.spans.iter().any(|span| span.id == *id);
        let roots = self.spans.iter().filter(|span| span.parent_id.is_empty()).count();
        roots == 1 && self.spans.iter().all(|span| span.parent_id.is_empty() || is_there(&span.parent_id))
    }

    /// How well it shows what happens: a run that was cut short within a call, with some that had ended, at a glance.
    pub(super) fn worth(&self) -> (bool, bool, usize) {
        let interrupted = self.spans.iter().filter(|span| span.interrupted.is_some()).count();
        let is_short = self.spans.len() <= SPANS_AT_A_GLANCE;
        (interrupted > 1, is_short, self.spans.len())
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, parent_id: &[u8], indent: &str) -> fmt::Result {
        let mut branches: Vec<&Branch> =
            self.spans.iter().filter(|span| span.parent_id == parent_id).collect();
        branches.sort_by_key(|span| span.start_unix_ns);
        let is_root = parent_id.is_empty();
        for (index, span) in branches.iter().enumerate() {
            let is_last = index + 1 == branches.len();
            let (fork, below) = match (is_root, is_last) {
                (true, _) => ("", ""),
                (false, false) => ("├─ ", "│  "),
                (false, true) => ("└─ ", "   "),
            };
            let below = format!("{indent}{below}");
            let name = shortened(&format!("{indent}{fork}{}", span.name), NAME_WIDTH);
            let duration = Duration(span.end_unix_ns.saturating_sub(span.start_unix_ns));
            write!(f, "{name:NAME_WIDTH$}  {:6} {:>8}", span.kind, duration.to_string())?;
            let has_children = self.spans.iter().any(|other| other.parent_id == span.id);
            if let Some(attributes) = &span.interrupted {
                write!(f, "  << interrupted")?;
                let bar = if has_children { "│" } else { " " };
                for attribute in attributes.iter().take(ATTRIBUTES_MAX) {
                    write!(f, "\n{below}{bar}     {attribute}")?;
                }
            }
            writeln!(f)?;
            if has_children {
                self.write(f, &span.id, &below)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &[], "")
    }
}

/// What the span stands for, as its attributes tell.
fn kind(span: &Span) -> &'static str {
    let name = span.attributes.iter().find(|attribute| attribute.key == "gen_ai.operation.name");
    let name = name.and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match name {
        Some(any_value::Value::StringValue(name)) => match name.as_str() {
            "invoke_agent" => "agent",
            "execute_tool" => "tool",
            _ => "llm",
        },
        _ => "",
    }
}

/// An attribute as a line of text, if it is one that is easy to read.
fn shown(attribute: &KeyValue) -> Option<String> {
    let value = match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        any_value::Value::IntValue(number) => number.to_string(),
        any_value::Value::DoubleValue(number) => number.to_string(),
        _ => return None,
    };
    let is_mark = attribute.key == "error.type" || attribute.key == "gen_ai.operation.name";
    let is_own = attribute.key.starts_with("replay.");
    (!is_mark && !is_own).then(|| format!("{} = {}", attribute.key, shortened(&value, VALUE_LEN_MAX)))
}

fn shortened(text: &str, len_max: usize) -> String {
    if text.chars().count() <= len_max {
        return text.to_owned();
    }
    text.chars().take(len_max - 1).chain(['…']).collect()
}

/// Nanoseconds in the unit that keeps them short.
struct Duration(u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ns @ ..1_000 => write!(f, "{ns} ns"),
            ns @ ..1_000_000 => write!(f, "{}.{} µs", ns / 1_000, ns / 100 % 10),
            ns @ ..1_000_000_000 => write!(f, "{}.{} ms", ns / 1_000_000, ns / 100_000 % 10),
            ns => write!(f, "{}.{} s", ns / 1_000_000_000, ns / 100_000_000 % 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u8, parent: u8, name: &str, start: u64, end: u64) -> Span {
        let operation = match name.split(' ').next() {
            Some("execute_tool") => "execute_tool",
            Some("invoke_agent") => "invoke_agent",
            _ => "chat",
        };
        let attribute = |key: &str, text: &str| {
            let value = any_value::Value::StringValue(text.to_owned());
            let value = opentelemetry_proto::tonic::common::v1::AnyValue { value: Some(value) };
            KeyValue { key: key.to_owned(), value: Some(value), ..Default::default() }
        };
        Span {
            span_id: vec![id],
            parent_span_id: if parent == 0 { vec![] } else { vec![parent] },
            name: name.to_owned(),
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes: vec![
                attribute("gen_ai.operation.name", operation),
                attribute("gen_ai.request.model", "gpt-4"),
            ],
            ..Default::default()
        }
    }

    #[test]
    fn a_run_that_was_cut_short_is_shown_with_what_had_been_set() {
        let mut tree = Tree::default();
        tree.add(&span(4, 1, "chat gpt-4", 4_000_000, 4_000_900), true);
        tree.add(&span(2, 1, "chat gpt-4", 1_000, 2_500_000), false);
        assert!(!tree.is_whole());
        tree.add(&span(1, 0, "invoke_agent swe", 0, 4_000_900), true);
        tree.add(&span(3, 1, "execute_tool open", 2_600_000, 2_612_345), false);
        assert!(tree.is_whole());
        let shown = "\
invoke_agent swe                              agent    4.0 ms  << interrupted
│     gen_ai.request.model = gpt-4
├─ chat gpt-4                                 llm      2.4 ms
├─ execute_tool open                          tool    12.3 µs
└─ chat gpt-4                                 llm      900 ns  << interrupted
         gen_ai.request.model = gpt-4
";
        assert_eq!(tree.to_string(), shown);
    }
}
