//! Spans as OTLP, the OpenTelemetry protocol: requests in protobuf, the same as `opentelemetry-proto`'s types, and their JSON.
//!
//! Spans are written to protobuf as they are, or as they lie in a block, with nothing in between; the other two are made of that.
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
//! | attribute `spanring.scope.name`, and `.version`, `.attributes` (a map) and `.schema_url` with it | instrumentation scope; spans of one scope keep their order. Without it the scope is `spanring` |
//! | attribute `spanring.schema_url` of the resource | schema URL of the resource |
//! | values that were cut or left out | attribute `spanring.cut` = how many |
//! | every other attribute, maps within maps too | attribute under its own key |
//! | a key that was set twice | its last value, at its first place |
//! | an unsigned integer above 2^63 - 1 | its decimal text |
//! | null | an empty value |
//! | a value nested deeper than 24 lists or maps | the rest as JSON text, since receivers refuse what nests deeper than 100 messages |
//!
//! Where a sink is asked for [OpenInference's names](Names::OpenInference), attributes that have such are renamed and flattened, and the kind is
//! told by `openinference.span.kind` in place of an operation that nobody recorded; all else is as above.
//!
//! What has a place of its own in OTLP does not stand among the attributes too. An attribute that is to go to such a place and
//! does not fit there, as it is no text or no number of 32 bits, stays an attribute. OTLP has only spans that ended, so the
//! announcement of one that is open is not delivered.

mod attributes;
mod json;
mod openinference;
mod protobuf;
mod scope;
mod span;
mod value;

pub use json::to_json;
pub use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use prost::Message as _;
use spanring::names;
use spanring_spool::{SpanData, Value};

use self::attributes::Attributes;
use self::protobuf::{Expected, message, text};
use self::scope::Scopes;
use crate::sink::Spans;

/// The one field of a request: each is a `ResourceSpans`.
const RESOURCE_SPANS: u32 = 1;

// Fields of `ResourceSpans`.
const RESOURCE: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const SCHEMA_URL: u32 = 3;

/// The one field of `Resource` that is used.
const RESOURCE_ATTRIBUTES: u32 = 1;

/// Whose names the attributes of spans have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Names {
    /// OpenTelemetry's, its conventions on generative AI included, and `spanring.` for the rest.
    #[default]
    GenAi,
    /// OpenInference's, where it has any: see `docs/to/openinference.md`.
    OpenInference,
}

impl Names {
    /// All of them.
    pub(crate) const ALL: [Names; 2] = [Names::GenAi, Names::OpenInference];

    /// What they are called: `gen-ai`, `openinference`.
    pub fn name(self) -> &'static str {
        match self {
            Names::GenAi => "gen-ai",
            Names::OpenInference => "openinference",
        }
    }

    /// Those that are called so; `None` for a name that is none.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|names| names.name() == name)
    }
}

/// The request that delivers `spans` of one recorder, whose resource has the attributes `resource`, in protobuf. The attributes of spans have these
/// names; those of resources, events and links have the same names in both.
pub fn to_protobuf(names: Names, resource: &[(String, Value)], spans: &[SpanData]) -> Vec<u8> {
    let mut scopes = Scopes::default();
    spans.iter().for_each(|span| span::span(&mut scopes, span, names));
    whole(resource, &scopes)
}

/// The same request, of the spans of a batch, which may lie in a block.
pub(crate) fn spans_to_protobuf(names: Names, resource: &[(String, Value)], spans: Spans<'_>) -> Vec<u8> {
    match spans.in_block().filter(|_| names == Names::GenAi) {
        Some(rows) => {
            let mut scopes = Scopes::default();
            let mut room = Vec::new();
            rows.iter().for_each(|row| span::row(&mut scopes, *row, &mut room));
            whole(resource, &scopes)
        }
        None => to_protobuf(names, resource, spans.as_slice()),
    }
}

fn whole(resource: &[(String, Value)], scopes: &Scopes) -> Vec<u8> {
    let mut out = Vec::with_capacity(scopes.len() + 1024);
    let mut resource = Attributes::of(resource);
    let schema_url = resource.take_text(names::SCHEMA_URL).unwrap_or_default();
    message(&mut out, RESOURCE_SPANS, Expected::Long, |out| {
        message(out, RESOURCE, Expected::Short, |out| resource.write(out, RESOURCE_ATTRIBUTES));
        scopes.write(out, SCOPE_SPANS);
        text(out, SCHEMA_URL, schema_url);
    });
    out
}

/// The same request under [OpenTelemetry's names](Names::GenAi).
pub fn request(resource: &[(String, Value)], spans: &[SpanData]) -> ExportTraceServiceRequest {
    request_with(Names::default(), resource, spans)
}

/// The same request.
pub fn request_with(
    names: Names,
    resource: &[(String, Value)],
    spans: &[SpanData],
) -> ExportTraceServiceRequest {
    decoded(&to_protobuf(names, resource, spans))
}

/// What was written, to be read.
pub(crate) fn decoded(request: &[u8]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(request)
        .expect("fields have the types that they are written with, texts are UTF-8, and nothing lies deeper than may be read")
}

#[cfg(test)]
pub(crate) mod tests;
