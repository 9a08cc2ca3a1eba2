//! Whether content is recorded: what passes through the work, and not what is said about it.

use crate::names::{self, Class};

/// Whether content is recorded: prompts, messages, instructions, completions, reasoning, arguments and results of tools, documents, and
/// payloads that go in and come out. [`names::class`] says which keys hold content.
///
/// Without it there still are names, kinds, times, tokens, costs, models, identities, finish reasons, tags, labels, metadata, and errors
/// with their messages. Its values are left out before their `Serialize` is called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Capture {
    /// All that is set is recorded.
    #[default]
    Full,
    /// Content is left out.
    NoContent,
}

impl Capture {
    /// What a value of OpenTelemetry's variable `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` asks for, in whatever case: content
    /// with `true`, `SPAN_ONLY` and `SPAN_AND_EVENT`; none with `false`, `NO_CONTENT`, and `EVENT_ONLY`, as content is recorded on spans.
    ///
    /// # Errors
    ///
    /// What is wrong with any other value. Whoever wrote it may have meant to keep content out, so it should count as
    /// [`Capture::NoContent`].
    pub fn from_otel_variable(value: &str) -> Result<Self, &'static str> {
        let is = |name: &&str| value.eq_ignore_ascii_case(name);
        if ["true", "SPAN_ONLY", "SPAN_AND_EVENT"].iter().any(is) {
            Ok(Capture::Full)
        } else if ["false", "NO_CONTENT", "EVENT_ONLY"].iter().any(is) {
            Ok(Capture::NoContent)
        } else {
            Err(
                "it is none of true, false, NO_CONTENT, SPAN_ONLY, EVENT_ONLY and SPAN_AND_EVENT, and counts as NO_CONTENT",
            )
        }
    }

    /// What a value of the variable `SPANRING_CAPTURE_CONTENT` asks for: `true` or `1`, `false` or `0`, in whatever case.
    ///
    /// # Errors
    ///
    /// What is wrong with any other value. It should count as [`Capture::NoContent`].
    pub fn from_variable(value: &str) -> Result<Self, &'static str> {
        if value.eq_ignore_ascii_case("true") || value == "1" {
            Ok(Capture::Full)
        } else if value.eq_ignore_ascii_case("false") || value == "0" {
            Ok(Capture::NoContent)
        } else {
            Err("it is neither true nor false, and counts as false")
        }
    }

    /// How much of what is set under `key` is recorded: all, these parts of maps, or nothing.
    pub(super) fn class(self, key: &str) -> Class {
        match self {
            Capture::Full => Class::About,
            Capture::NoContent => names::class(key).unwrap_or(if is_foreign_content(key) {
                Class::Content
            } else {
                Class::About
            }),
        }
    }
}

/// Keys that other instrumentations put content under, of which a star is the end.
const FOREIGN_CONTENT: [&str; 34] = [
    "ai.prompt*",
    "ai.response.object",
    "ai.response.reasoning*",
    "ai.response.text",
    "ai.response.toolCalls",
    "ai.toolCall.args",
    "ai.toolCall.result",
    "ai.value*",
    "document.content",
    "embedding.embeddings*",
    "embedding.text",
    "gen_ai.completion*",
    "gen_ai.event.content",
    "gen_ai.prompt*",
    "input.value",
    "langfuse.observation.input",
    "langfuse.observation.output",
    "langfuse.trace.input",
    "langfuse.trace.output",
    "llm.completions*",
    "llm.function_call",
    "llm.input_messages*",
    "llm.output_messages*",
    "llm.prompt*",
    "mlflow.spanInputs",
    "mlflow.spanOutputs",
    "output.value",
    "reranker.input_documents*",
    "reranker.output_documents*",
    "reranker.query",
    "retrieval.documents*",
    "tool.parameters",
    "traceloop.entity.input",
    "traceloop.entity.output",
];

fn is_foreign_content(key: &str) -> bool {
    FOREIGN_CONTENT.iter().any(|name| match name.strip_suffix('*') {
        Some(beginning) => key.starts_with(beginning),
        None => key == *name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_say_whether_content_is_recorded() {
        for value in ["true", "True", "TRUE", "span_only", "SPAN_ONLY", "Span_And_Event"] {
            assert_eq!(Capture::from_otel_variable(value), Ok(Capture::Full), "{value}");
        }
        for value in ["false", "FALSE", "no_content", "NO_CONTENT", "EVENT_ONLY", "event_only"] {
            assert_eq!(Capture::from_otel_variable(value), Ok(Capture::NoContent), "{value}");
        }
        for value in ["", "1", "0", "yes", " true", "NO CONTENT", "SPAN"] {
            assert!(Capture::from_otel_variable(value).is_err(), "{value}");
        }
        assert_eq!(Capture::from_variable("True"), Ok(Capture::Full));
        assert_eq!(Capture::from_variable("1"), Ok(Capture::Full));
        assert_eq!(Capture::from_variable("FALSE"), Ok(Capture::NoContent));
        assert_eq!(Capture::from_variable("0"), Ok(Capture::NoContent));
        for value in ["", "00", "off", "NO_CONTENT", "truetrue"] {
            assert!(Capture::from_variable(value).is_err(), "{value}");
        }
    }

    #[test]
    fn the_stricter_level_is_the_greater() {
        assert!(Capture::NoContent > Capture::Full);
        assert_eq!(Capture::default(), Capture::Full);
    }

    #[test]
    fn content_of_other_instrumentations_is_known_by_its_keys() {
        for key in [
            "gen_ai.prompt",
            "gen_ai.prompt.0.content",
            "input.value",
            "llm.input_messages.0.message.content",
            "reranker.input_documents.0.document.content",
            "reranker.query",
            "ai.response.reasoning",
        ] {
            assert_eq!(Capture::NoContent.class(key), Class::Content, "{key}");
            assert_eq!(Capture::Full.class(key), Class::About, "{key}");
        }
        for key in [
            "input.values",
            "llm.model_name",
            "answer.chars",
            "llm.token_count.prompt",
            "reranker.top_k",
            "http.route",
        ] {
            assert_eq!(Capture::NoContent.class(key), Class::About, "{key}");
        }
    }
}
