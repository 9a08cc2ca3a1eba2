//! Agent runs, to be recorded as live spans: real ones here, made ones in [`synthetic`].

mod synthetic;

use std::collections::BTreeMap;

use serde_json::Value;
use spanring::{Context, Kind, Status};

/// 19 runs, 334 spans: see the note beside the file.
const LINES: &str = include_str!("../../exporter/data/agent-runs.otlp.jsonl");

/// One run of an agent.
#[derive(Debug)]
pub struct AgentRun {
    /// Parents before their children.
    spans: Vec<Recorded>,
}

#[derive(Debug)]
struct Recorded {
    /// The index of its parent.
    parent: Option<usize>,
    name: &'static str,
    kind: Kind,
    failed: bool,
    attributes: Vec<(&'static str, Attribute)>,
    events: Vec<(&'static str, Vec<(&'static str, Attribute)>)>,
}

#[derive(Debug)]
enum Attribute {
    Bool(bool),
    I64(i64),
    F64(f64),
    Str(String),
}

impl AgentRun {
    /// The runs that come with the exporter.
    ///
    /// # Panics
    ///
    /// When the file is not what it was.
    pub fn all() -> Vec<AgentRun> {
        let mut texts = Texts::default();
        let lines = LINES.lines().map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
        lines.map(|request| AgentRun::read(&request, &mut texts)).collect()
    }

    fn read(request: &Value, texts: &mut Texts) -> Self {
        let mut spans: Vec<&Value> = Vec::new();
        for resource in array(&request["resourceSpans"]) {
            array(&resource["scopeSpans"]).iter().for_each(|scope| spans.extend(array(&scope["spans"])));
        }
        // A span stands in the file when it ended; it is recorded when it started.
        // The root goes before a child of the same moment.
        spans.sort_by_key(|span| {
            let start = span["startTimeUnixNano"].as_str().and_then(|ns| ns.parse::<u64>().ok());
            (start, span["parentSpanId"].as_str().is_some_and(|id| !id.is_empty()))
        });
        let index: BTreeMap<&str, usize> =
            spans.iter().enumerate().filter_map(|(at, span)| Some((span["spanId"].as_str()?, at))).collect();
        let spans = spans.iter().enumerate().map(|(at, span)| Recorded {
            parent: span["parentSpanId"]
                .as_str()
                .and_then(|id| index.get(id).copied())
                .filter(|&parent| parent < at),
            name: texts.leak(span["name"].as_str().unwrap_or_default()),
            kind: if span["kind"] == 3 { Kind::Llm } else { Kind::Tool },
            failed: span["status"]["code"] == 2,
            attributes: attributes(&span["attributes"], texts),
            events: array(&span["events"])
                .iter()
                .map(|event| {
                    let name = texts.leak(event["name"].as_str().unwrap_or_default());
                    (name, attributes(&event["attributes"], texts))
                })
                .collect(),
        });
        AgentRun { spans: spans.collect() }
    }

    /// As many runs as have at least `spans` spans of about 411 logical bytes each: see the head of `agent_runs/synthetic.rs`.
    pub fn synthetic(seed: u64, spans: u64) -> Vec<AgentRun> {
        synthetic::runs(seed, spans)
    }

    /// How many bytes of information it is: for each span its trace id, span id and parent's id (32 bytes), start and
    /// end (16), kind and status (2), and its name; for each attribute its key and its value, a number 8, a truth value
    /// 1, a text its length; for each event its name, its time (8), and its attributes likewise.
    pub fn logical_len(&self) -> u64 {
        let attributes = |list: &[(&str, Attribute)]| {
            list.iter().map(|(key, value)| key.len() + value.logical_len()).sum::<usize>()
        };
        let len = |span: &Recorded| {
            let events =
                span.events.iter().map(|(name, list)| name.len() + 8 + attributes(list)).sum::<usize>();
            32 + 16 + 2 + span.name.len() + attributes(&span.attributes) + events
        };
        self.spans.iter().map(|span| len(span) as u64).sum()
    }

    /// How many spans it has.
    pub fn len(&self) -> u64 {
        self.spans.len() as u64
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Records the run: each span is started under its parent, and ends before the next one that is not below it starts.
    pub fn record(&self) {
        let mut contexts: Vec<Context> = Vec::with_capacity(self.spans.len());
        let mut open: Vec<(usize, spanring::Span)> = Vec::new();
        for (at, recorded) in self.spans.iter().enumerate() {
            if recorded.parent.is_none_or(|parent| open.iter().any(|&(at, _)| at == parent)) {
                while open.last().is_some_and(|&(at, _)| Some(at) != recorded.parent) {
                    open.pop();
                }
            }
            let parent = recorded.parent.map_or(Context::NONE, |parent| contexts[parent]);
            let span = spanring::span(recorded.name).kind(recorded.kind).parent(parent).start();
            for (key, value) in &recorded.attributes {
                _ = match value {
                    Attribute::Bool(value) => span.set(key, *value),
                    Attribute::I64(value) => span.set(key, *value),
                    Attribute::F64(value) => span.set(key, *value),
                    Attribute::Str(value) => span.set(key, value),
                };
            }
            for (name, attributes) in &recorded.events {
                span.event_with(name, |event| {
                    for (key, value) in attributes {
                        match value {
                            Attribute::Bool(value) => event.set(key, *value),
                            Attribute::I64(value) => event.set(key, *value),
                            Attribute::F64(value) => event.set(key, *value),
                            Attribute::Str(value) => event.set(key, value),
                        }
                    }
                });
            }
            span.set_status(if recorded.failed { Status::Error } else { Status::Ok });
            contexts.push(span.context());
            open.push((at, span));
        }
        while open.pop().is_some() {}
    }
}

impl Attribute {
    fn logical_len(&self) -> usize {
        match self {
            Attribute::Bool(_) => 1,
            Attribute::I64(_) | Attribute::F64(_) => 8,
            Attribute::Str(text) => text.len(),
        }
    }
}

/// The names and keys of a program are literals; here each is read once, and kept for ever.
#[derive(Default)]
struct Texts(BTreeMap<String, &'static str>);

impl Texts {
    fn leak(&mut self, text: &str) -> &'static str {
        self.0.entry(text.to_owned()).or_insert_with(|| text.to_owned().leak())
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn attributes(list: &Value, texts: &mut Texts) -> Vec<(&'static str, Attribute)> {
    let read = |pair: &Value| {
        let value = &pair["value"];
        let value = if let Some(text) = value["stringValue"].as_str() {
            Attribute::Str(text.to_owned())
        } else if let Some(flag) = value["boolValue"].as_bool() {
            Attribute::Bool(flag)
        } else if let Some(number) = value["doubleValue"].as_f64() {
            Attribute::F64(number)
        } else if let Some(number) = value["intValue"].as_str().and_then(|digits| digits.parse().ok()) {
            Attribute::I64(number)
        } else if let Some(number) = value["intValue"].as_i64() {
            Attribute::I64(number)
        } else {
            Attribute::Str(value.to_string())
        };
        (texts.leak(pair["key"].as_str().unwrap_or_default()), value)
    };
    array(list).iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_are_whole() {
        let runs = AgentRun::all();
        assert_eq!(runs.len(), 19);
        assert_eq!(runs.iter().map(AgentRun::len).sum::<u64>(), 334);
        for run in &runs {
            assert_eq!(run.spans.iter().filter(|span| span.parent.is_none()).count(), 1);
        }
    }
}
