//! What can be said about a sink beside its address.

use super::{FileOptions, OpenAiOptions, OtlpOptions, PrelaOptions, SpanForgeOptions};

/// What can be said about a sink beside its address; each kind of sink heeds what is about it. The default is what an
/// address alone stands for.
#[derive(Clone, Debug, Default)]
pub struct SinkOptions {
    /// How an OTLP receiver is asked.
    pub otlp: OtlpOptions,
    /// How a file grows.
    pub file: FileOptions,
    /// As whom OpenAI's traces are filled.
    pub openai: OpenAiOptions,
    /// How Prela is asked, and what it is told.
    pub prela: PrelaOptions,
    /// How SpanForge is asked.
    pub spanforge: SpanForgeOptions,
}
