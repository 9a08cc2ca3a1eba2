//! The kind of a span in OpenInference's words.

use spanring::{Kind, System, names};
use spanring_spool::Value;

use super::renaming::Renaming;

pub(super) const SPAN_KIND: &str = "openinference.span.kind";
pub(super) const EMBEDDING: &str = "EMBEDDING";
pub(super) const RETRIEVER: &str = "RETRIEVER";
const CHAIN: &str = "CHAIN";

/// What a span is said to be: what was recorded, or else what its kind comes to. `None` of one whose kind says nothing.
pub(super) fn said<'a>(kind: Kind, span: &Renaming<'a>) -> Option<&'a str> {
    if let Some(recorded) = span.get(SPAN_KIND) {
        return recorded.as_str();
    }
    let operation = || {
        let name = span.get(names::OPERATION_NAME)?.as_str()?;
        Kind::from_name_in(System::OpenTelemetry, name).filter(|kind| *kind != Kind::Custom)
    };
    match kind {
        Kind::Custom => operation().map(name),
        kind => Some(name(kind)),
    }
}

/// Adds the kind, and spanring's own where that says more.
pub(super) fn tell(span: &mut Renaming<'_>, kind: Kind, said: Option<&str>) {
    let is_recorded = span.get(SPAN_KIND).is_some();
    let said = said.or_else(|| (span.has_changed() && !is_recorded).then_some(CHAIN));
    let told = said.and_then(kind_of);
    if let Some(said) = said
        && !is_recorded
    {
        span.set(SPAN_KIND, Value::from(said));
    }
    if kind != Kind::Custom && told != Some(kind) {
        span.set(names::KIND, Value::from(kind.name()));
    }
}

/// The kind, or the nearest that OpenInference has.
fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Llm | Kind::Response | Kind::Speech | Kind::Transcription => "LLM",
        Kind::Agent => "AGENT",
        Kind::Tool | Kind::McpTools => "TOOL",
        Kind::Retrieval => RETRIEVER,
        Kind::Embedding => EMBEDDING,
        Kind::Guardrail => "GUARDRAIL",
        _ => CHAIN,
    }
}

/// The kind that one of OpenInference's stands for by itself.
fn kind_of(name: &str) -> Option<Kind> {
    Some(match name {
        "LLM" => Kind::Llm,
        "AGENT" => Kind::Agent,
        "TOOL" => Kind::Tool,
        RETRIEVER => Kind::Retrieval,
        EMBEDDING => Kind::Embedding,
        "GUARDRAIL" => Kind::Guardrail,
        CHAIN => Kind::Chain,
        _ => return None,
    })
}
