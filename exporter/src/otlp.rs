//! Spans as OTLP, the OpenTelemetry protocol: requests of `opentelemetry-proto`'s types, and their JSON.
//!
//! What becomes of a span:
//!
//! | spanring | OTLP |
//! |---|---|
//! | kind `llm`, `embedding` | span kind CLIENT |
//! | every other kind | span kind INTERNAL |
//! | a kind other than `custom`, and no `gen_ai.operation.name` that would tell it | attribute `spanring.kind` |
//! | interrupted | status ERROR, attribute `spanring.interrupted` = true (`error.type` is in the span already) |
//! | values that were cut or left out | attribute `spanring.cut` = how many |
//! | a key that was set twice | its last value, at its first place |
//! | an unsigned integer above 2^63 - 1 | its decimal text |
//! | null | an empty value |
//! | a value nested deeper than 24 lists or maps | the rest as JSON text, since receivers refuse what nests deeper than 100 messages |

mod json;
mod span;
mod value;

pub use json::to_json;
pub use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use spanring_spool::{SpanData, Value};

/// The request that delivers `spans` of one recorder, whose resource has the attributes `resource`.
pub fn request(resource: &[(String, Value)], spans: &[SpanData]) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope {
        name: "spanring".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: value::attributes(resource), ..Default::default() }),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans: spans.iter().map(span::span).collect(),
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

#[cfg(test)]
mod tests;
