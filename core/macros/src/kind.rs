//! The kinds of spans by their names, and what a function's name becomes with each.

use proc_macro2::Ident;
use syn::{Error, Result};

use crate::nearest::nearest;

/// What a span stands for, as in `spanring::Kind`.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// As it is written in `kind = …`.
    name: &'static str,
    pub(crate) variant: &'static str,
    /// What comes before the function's name in that of the span.
    operation: &'static str,
    /// The method that keeps the name by itself, where a function of this kind has a name that means something.
    pub(crate) setter: Option<&'static str>,
}

const fn kind(name: &'static str, variant: &'static str) -> Kind {
    Kind { name, variant, operation: "", setter: None }
}

/// In the order of their numbers. Only where a function's name is that of the thing does it get a setter: what calls a model is not
/// called as the model is.
const KINDS: [Kind; 18] = [
    kind("custom", "Custom"),
    Kind { operation: "invoke_agent ", setter: Some("agent_name"), ..kind("agent", "Agent") },
    kind("llm", "Llm"),
    Kind { operation: "execute_tool ", setter: Some("tool_name"), ..kind("tool", "Tool") },
    kind("retrieval", "Retrieval"),
    kind("embedding", "Embedding"),
    kind("chain", "Chain"),
    Kind { setter: Some("guardrail_name"), ..kind("guardrail", "Guardrail") },
    kind("handoff", "Handoff"),
    kind("reasoning", "Reasoning"),
    kind("decision", "Decision"),
    kind("response", "Response"),
    kind("mcp_tools", "McpTools"),
    kind("speech", "Speech"),
    kind("transcription", "Transcription"),
    kind("speech_group", "SpeechGroup"),
    kind("task", "Task"),
    kind("turn", "Turn"),
];

impl Kind {
    pub(crate) const CUSTOM: Kind = KINDS[0];

    /// The kind with this name.
    pub(crate) fn parse(ident: &Ident) -> Result<Self> {
        let name = ident.to_string();
        KINDS.iter().copied().find(|kind| kind.name == name).ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            Error::new(ident.span(), format!("there is no kind `{name}`{}", nearest(&name, &names)))
        })
    }

    pub(crate) fn is_tool(self) -> bool {
        self.name == "tool"
    }

    /// What a span is called that stands for the call of a function with this name.
    pub(crate) fn span_name(self, function: &str) -> String {
        format!("{}{function}", self.operation)
    }
}
