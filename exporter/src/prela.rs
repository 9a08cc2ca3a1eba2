//! Spans as Prela writes them: a line of its files, and the document of a trace.
//!
//! ```
//! use spanring_exporter::prela::{Span, TraceSummary, TraceWriter};
//! use spanring_spool::SpanData;
//!
//! # fn main() -> std::io::Result<()> {
//! let recorded = [SpanData { name: "answer".to_owned(), ..SpanData::default() }];
//! let spans = recorded.iter().map(|span| Span::of(span, Some("my-agent")));
//!
//! // What `Span.to_dict` has, and back.
//! for span in spans.clone() {
//!     assert_eq!(Span::from_dict(&span.to_dict()).unwrap(), span);
//! }
//!
//! // A trace, of which never more than one span is in memory: once through its spans for the summary, and once to write them.
//! let summary = TraceSummary::of(spans.clone()).expect("there is a span");
//! let mut trace = TraceWriter::begin(Vec::new(), &summary)?;
//! for span in spans {
//!     trace.span(&span)?;
//! }
//! let document = trace.end()?;
//! assert!(document.starts_with(b"{\"trace_id\": \"00000000-0000-0000-0000-000000000000\", \"service_name\": \"my-agent\", "));
//! # Ok(())
//! # }
//! ```
//!
//! What becomes of a span:
//!
//! | spanring | Prela |
//! |---|---|
//! | attributes `spanring.foreign.span_id`, `.trace_id`, `.parent_id` | `span_id`, `trace_id`, `parent_span_id`, verbatim |
//! | else the identity of the trace | `trace_id`: the same digits, written as a UUID |
//! | else the identity of the span, or of its parent | `span_id`, `parent_span_id`: its 16 digits, and behind them the first 16 of the trace's, written as a UUID. Its first 16 digits are what Prela's own OTLP exporter sends of a UUID |
//! | attribute `spanring.type`, if it is one of the six types | `span_type` |
//! | else the kind | `span_type`: the nearest that there is; attribute `spanring.kind` where that is another one |
//! | times | microseconds in UTC: what is below them is cut off |
//! | attribute `spanring.foreign.status`, if it is one of the three statuses | `status` |
//! | else status ok, unset, cancelled | `status` success, as the SDK has it of what ends without an exception; attribute `spanring.status` = `cancelled` |
//! | else status error, timed out; interrupted | `status` error; attribute `spanring.status` = `timed_out`, and `error.type` = `timeout` unless it is set; attribute `spanring.interrupted` = true |
//! | else open | `status` pending, and no `ended_at` |
//! | the message of the status | `status_message`; with `error.type`, of what failed, attribute `error.message` too, as the SDK sets both |
//! | attribute `spanring.replay` | `replay_snapshot`, in a file. What the SDK's own reader would stop at (a key that is none of the eighteen slots, a time of a request that is none) stays under its own key. Without a value for `has_side_effects` that is left out |
//! | attributes that Prela has words for | attributes under those: [`WORDS`], and the rows below |
//! | the model | attribute `llm.model`; `embedding.model` of an embedding |
//! | `top_k` | attribute `retrieval.top_k`, but of a model's call, where it is another thing |
//! | the one finish reason; the time to the first token; `status_code` of an error's data | attributes `llm.stop_reason`; `llm.time_to_first_token_ms`; `error.status_code` |
//! | every other attribute | attribute under its own key |
//! | the service, of a span without an attribute `service.name` | attribute `service.name`, the first |
//! | events | `events` |
//! | links | attribute `spanring.links`: a list of `trace_id`, `span_id` and `attributes` |
//! | never started; values that were cut | attributes `spanring.pending` = true; `spanring.cut` = how many |
//!
//! A span knows of identities elsewhere only what was said on it. Where a span has one of its own there, each of its children says it too, by
//! `foreign_parent_id`; and where a trace has one that is no UUID, each span of it does, by `foreign_trace_id`.
//!
//! JSON is written as Python's `json.dumps` does: the same separators, everything but ASCII escaped, and numbers as `repr` has them. Two
//! things it cannot write, or nobody but Python can read: bytes are base64, and what is no number or infinite is the text `NaN`, `Infinity` or
//! `-Infinity`. A key that was set twice has its last value, at its first place.

mod attributes;
mod reading;
mod span;
mod trace;

pub use attributes::WORDS;
pub use reading::DocumentError;
pub use span::{Event, Form, Span, SpanStatus, SpanType};
pub use trace::{TraceSummary, TraceWriter};

#[cfg(test)]
mod tests;
