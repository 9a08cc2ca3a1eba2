//! The record of a trace.

use spanring::names;
use spanring_spool::{SpanData, Value};

use super::identity;
use super::object::Object;
use super::reading::Reading;
use super::span::{take_what_its_trace_says, with_rest};

/// What the SDK calls a workflow that nobody has given a name.
const UNNAMED: &str = "Agent workflow";

/// The record of the trace that `spans` are of, in the form in which the SDK exports a trace; `None` where there are no spans. What their root does
/// not say, being elsewhere, the first of them says that does, or `resource`, the attributes of the recorder's.
pub fn export_trace(spans: &[&SpanData], resource: &[(String, Value)]) -> Option<Value> {
    let first = spans.first()?;
    let root = root(spans);
    let said = |read: fn(&SpanData) -> Option<&str>| {
        root.and_then(read).or_else(|| spans.iter().find_map(|span| read(span)))
    };
    let service = || resource.iter().rev().find(|(key, _)| key == "service.name")?.1.as_str();
    let workflow = match root {
        Some(root) => Some(root.workflow().unwrap_or_else(|| name(root))),
        None => said(SpanData::workflow).or_else(service),
    };
    let workflow = workflow.unwrap_or(UNNAMED);
    let record = Object::default()
        .with("object", "trace")
        .with("id", identity::of_trace(first))
        .with("workflow_name", workflow)
        .with("group_id", said(|span| span.group().or(span.conversation())))
        .with("metadata", root.and_then(|root| metadata(root, workflow)));
    Some(record.into())
}

/// The span that has no parent.
pub(super) fn root<'a>(spans: &[&'a SpanData]) -> Option<&'a SpanData> {
    spans.iter().copied().find(|span| span.parent_id.is_none())
}

fn name(root: &SpanData) -> &str {
    root.agent_name().unwrap_or(&root.name)
}

/// A root that is no item itself has all that is known of it here.
fn metadata(root: &SpanData, workflow: &str) -> Option<Object> {
    let mut reading = Reading::new(root);
    let metadata = take_what_its_trace_says(&mut reading);
    if !identity::stands_for_trace(root) {
        return metadata;
    }
    reading.take_identities();
    if root.agent_name() == Some(workflow) {
        reading.text(names::AGENT_NAME);
    }
    let rest = reading.rest(&[workflow]).some();
    match (metadata, rest) {
        (metadata, None) => metadata,
        (metadata, Some(rest)) => Some(with_rest(metadata.unwrap_or_default(), rest)),
    }
}
