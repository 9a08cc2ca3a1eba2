//! Spans as OTLP, the OpenTelemetry protocol: requests of `opentelemetry-proto`'s types, and their JSON.
//!
//! What becomes of a span:
//!
//! | spanring | OTLP |
//! |---|---|
//! | attribute `spanring.span_kind`: `internal`, `server`, `client`, `producer`, `consumer` | span kind |
//! | else kind `llm`, `embedding`, `retrieval`, `response`, `mcp_tools`, `speech`, `transcription` | span kind CLIENT: they ask over a connection, and OpenTelemetry's GenAI conventions have them so |
//! | every other kind | span kind INTERNAL |
//! | kind `agent`, `llm`, `tool`, `retrieval`, `embedding`, `chain` without `gen_ai.operation.name` | attribute `gen_ai.operation.name`, as the conventions call the kind |
//! | a kind other than `custom` that `gen_ai.operation.name` does not tell | attribute `spanring.kind` |
//! | status ok, error, unset | status OK, ERROR, UNSET |
//! | status timed out | status ERROR, attribute `spanring.status` = `timed_out`, attribute `error.type` = `timeout` unless it is set |
//! | status cancelled | status UNSET, since to give something up is no error; attribute `spanring.status` = `cancelled` |
//! | interrupted | status ERROR, attribute `spanring.interrupted` = true (`error.type` is in the span already) |
//! | a message about an error | message of the status |
//! | a message about a status that is no error | attribute `spanring.status_message`, as OTLP has a place only for what is said about errors |
//! | never started | attribute `spanring.pending` = true; it starts when it was made |
//! | attributes `spanring.trace_state` and `spanring.trace_flags`, of a span or of a link | trace state and flags |
//! | links | links |
//! | attributes `spanring.dropped.attributes`, of a span, event or link; `.events` and `.links`, of a span | counts of what was dropped |
//! | attribute `spanring.scope.name`, and `spanring.scope.version` with it | instrumentation scope; spans of one scope keep their order. Without it the scope is `spanring` |
//! | values that were cut or left out | attribute `spanring.cut` = how many |
//! | every other attribute, maps within maps too | attribute under its own key |
//! | a key that was set twice | its last value, at its first place |
//! | an unsigned integer above 2^63 - 1 | its decimal text |
//! | null | an empty value |
//! | a value nested deeper than 24 lists or maps | the rest as JSON text, since receivers refuse what nests deeper than 100 messages |
//!
//! What has a place of its own in OTLP does not stand among the attributes too. An attribute that is to go to such a place and
//! does not fit there, as it is no text or no number of 32 bits, stays an attribute. OTLP has only spans that ended, so the
//! announcement of one that is open is not delivered.

mod json;
mod scope;
mod span;
mod value;

pub use json::to_json;
pub use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use spanring_spool::{SpanData, Value};

/// The request that delivers `spans` of one recorder, whose resource has the attributes `resource`.
pub fn request(resource: &[(String, Value)], spans: &[SpanData]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: value::attributes(resource), ..Default::default() }),
            scope_spans: scope::by_scope(spans.iter().map(span::span)),
            schema_url: String::new(),
        }],
    }
}

#[cfg(test)]
pub(crate) mod tests;
