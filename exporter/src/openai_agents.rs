//! Spans as the OpenAI Agents SDK sends them to OpenAI's traces: items, and requests of such.
//!
//! An item is the record of a trace or a span. Item for item and key for key it is what the SDK's `export()` makes; what it says, by kind:
//!
//! | spanring | `span_data` |
//! |---|---|
//! | kind `agent` | `agent`: name, handoffs, tools, output_type |
//! | kind `llm` | `generation`: input, output, model, model_config, usage |
//! | kind `response` | `response`: response_id, usage |
//! | kind `tool` | `function`: name, input, output, mcp_data |
//! | kind `retrieval` | `function`: the source is its name, the query its input, the documents are its output |
//! | kind `handoff`, `guardrail`, `mcp_tools`, `transcription`, `speech`, `speech_group` | what the SDK has under that name |
//! | kind `task`, `turn` | `custom`, as the SDK does it |
//! | a span with an identity of the SDK's and a free type name | that type, with its attributes |
//! | every other span | `custom`: its name, and as `data` all its attributes |
//!
//! Nothing that was recorded is left out. What has no place above, nor in the rest of an item, goes under its own key into `metadata`, as text, or
//! into the `data` of a `custom` span, as it is:
//!
//! | spanring | item |
//! |---|---|
//! | an identity that begins with `span_` or `trace_`, said by `foreign_span_id` and the like | that identity |
//! | every other identity | `trace_` and the trace's 32 digits; `span_`, the span's 16 digits and the first 8 of its trace: always the same |
//! | a root whose own identity follows from its trace's, [`SpanId::from_foreign`](spanring::SpanId::from_foreign) | no span: it stands for the trace, which has no times here, and its children have no parent |
//! | times | of microseconds, as the SDK has them |
//! | status error, timed out; interrupted | `error`: the message, else the type of error, else the word for the status; as its `data` all else about it |
//! | status cancelled, timed out; a status that is no error and has a message | `spanring.status`, `spanring.status_message` |
//! | never started, interrupted, cut | `spanring.pending`, `spanring.interrupted`, `spanring.cut` |
//! | a name that the kind and the rest of the item do not tell | `spanring.name` |
//! | a kind that the SDK does not know | `spanring.kind` |
//! | events, links | `spanring.events`, `spanring.links` |
//! | `metadata` of a root | that of the trace; of it, the spans of the same request have `agent_harness_id` alone, if they do not say it themselves |
//! | bytes | base64 text |
//! | NaN and the infinities | nothing: the SDK leaves them out, since JSON has none |
//! | a key that was set twice | its last value, at its first place |
//!
//! The record of a trace is in each request that has a span of it, before the first. What it says is what its root says if that is in the same
//! request; before, it is named by what its spans say, or the service, as nobody knows more yet. The SDK sends it once, when a trace starts.
//!
//! What goes to OpenAI itself is [`sanitized`] besides.

mod identity;
mod json;
mod object;
mod reading;
mod sanitize;
mod span;
mod span_data;
mod trace;
mod usage;

pub use json::to_json;
pub use sanitize::sanitized;
pub use span::export_span;
pub use trace::export_trace;

use spanring_spool::{SpanData, Value};

use self::object::Object;

/// The items that deliver `spans` of one recorder, whose resource has the attributes `resource`: at most twice as many.
pub fn items(resource: &[(String, Value)], spans: &[SpanData]) -> Vec<Value> {
    let mut traces: Vec<(String, Vec<&SpanData>)> = Vec::new();
    for span in spans {
        let id = identity::of_trace(span);
        match traces.iter_mut().find(|(known, _)| *known == id) {
            Some((_, spans)) => spans.push(span),
            None => traces.push((id, vec![span])),
        }
    }
    let mut items = Vec::new();
    for span in spans {
        let id = identity::of_trace(span);
        let of_trace = traces.iter().find(|(known, _)| *known == id).map_or(&[][..], |(_, spans)| spans);
        if of_trace.first().is_some_and(|first| std::ptr::eq(*first, span)) {
            items.extend(export_trace(of_trace, resource));
        }
        items.extend(export_span(span, trace::root(of_trace)));
    }
    items
}

/// The body of a request.
pub fn request(items: Vec<Value>) -> Value {
    Object::default().with("data", items).into()
}

#[cfg(test)]
mod tests;
