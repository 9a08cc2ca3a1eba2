//! What other systems call the kinds of spans.

use crate::Kind;

/// A system whose users' spans spanring carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum System {
    /// Prefactor, whose span types are free names; these are the usual ones.
    Prefactor = 0,
    /// prefactor_langchain.
    Langchain = 1,
    /// The OpenAI Agents SDK.
    OpenAiAgents = 2,
    /// Prela.
    Prela = 3,
    /// SpanForge, whose operations are free names; these are the usual ones.
    SpanForge = 4,
    /// OpenTelemetry's `gen_ai.operation.name`.
    OpenTelemetry = 5,
}

impl System {
    /// All of them.
    pub const ALL: [System; 6] = [
        System::Prefactor,
        System::Langchain,
        System::OpenAiAgents,
        System::Prela,
        System::SpanForge,
        System::OpenTelemetry,
    ];

    /// The name in text.
    pub const fn name(self) -> &'static str {
        match self {
            System::Prefactor => "Prefactor",
            System::Langchain => "prefactor_langchain",
            System::OpenAiAgents => "OpenAI Agents SDK",
            System::Prela => "Prela",
            System::SpanForge => "SpanForge",
            System::OpenTelemetry => "OpenTelemetry",
        }
    }
}

/// For each kind what the systems call it, in the order of [`System`]. A name in parentheses is the nearest that the system has:
/// it leads to another kind on the way back.
#[rustfmt::skip]
const NAMES: [(Kind, [&str; 6]); 18] = [
    //                    Prefactor             langchain             OpenAI           Prela          SpanForge         OpenTelemetry
    (Kind::Custom,        ["agent:custom",        "(langchain:node)",  "custom",        "custom",      "custom",         "custom"]),
    (Kind::Agent,         ["agent:agent",         "langchain:agent",   "agent",         "agent",       "invoke_agent",   "invoke_agent"]),
    (Kind::Llm,           ["agent:llm",           "langchain:llm",     "generation",    "llm",         "chat",           "chat"]),
    (Kind::Tool,          ["agent:tool",          "langchain:tool",    "function",      "tool",        "execute_tool",   "execute_tool"]),
    (Kind::Retrieval,     ["agent:retrieval",     "(langchain:tool)",  "(function)",    "retrieval",   "retrieval",      "retrieval"]),
    (Kind::Embedding,     ["agent:embedding",     "(langchain:node)",  "(custom)",      "embedding",   "embeddings",     "embeddings"]),
    (Kind::Chain,         ["agent:chain",         "langchain:node",    "(custom)",      "(custom)",    "chain",          "invoke_workflow"]),
    (Kind::Guardrail,     ["agent:guardrail",     "(langchain:node)",  "guardrail",     "(custom)",    "guardrail",      "guardrail"]),
    (Kind::Handoff,       ["agent:handoff",       "(langchain:node)",  "handoff",       "(custom)",    "handoff",        "handoff"]),
    (Kind::Reasoning,     ["agent:reasoning",     "(langchain:node)",  "(custom)",      "(custom)",    "reasoning",      "reasoning"]),
    (Kind::Decision,      ["agent:decision",      "(langchain:node)",  "(custom)",      "(custom)",    "decision",       "decision"]),
    (Kind::Response,      ["agent:response",      "(langchain:llm)",   "response",      "(llm)",       "response",       "response"]),
    (Kind::McpTools,      ["agent:mcp_tools",     "(langchain:tool)",  "mcp_tools",     "(tool)",      "mcp_tools",      "mcp_tools"]),
    (Kind::Speech,        ["agent:speech",        "(langchain:llm)",   "speech",        "(llm)",       "speech",         "speech"]),
    (Kind::Transcription, ["agent:transcription", "(langchain:llm)",   "transcription", "(llm)",       "transcription",  "transcription"]),
    (Kind::SpeechGroup,   ["agent:speech_group",  "(langchain:node)",  "speech_group",  "(custom)",    "speech_group",   "speech_group"]),
    (Kind::Task,          ["agent:task",          "(langchain:node)",  "task",          "(custom)",    "task",           "task"]),
    (Kind::Turn,          ["agent:turn",          "(langchain:node)",  "turn",          "(custom)",    "turn",           "turn"]),
];

/// Further names that lead to a kind.
const ALIASES: [(System, &str, Kind); 8] = [
    (System::Prefactor, "agent:root", Kind::Agent),
    (System::Prefactor, "agent:llm_call", Kind::Llm),
    (System::SpanForge, "tool", Kind::Tool),
    (System::SpanForge, "text_completion", Kind::Llm),
    (System::SpanForge, "create_agent", Kind::Agent),
    (System::OpenTelemetry, "text_completion", Kind::Llm),
    (System::OpenTelemetry, "generate_content", Kind::Llm),
    (System::OpenTelemetry, "create_agent", Kind::Agent),
];

impl Kind {
    /// What `system` calls this kind; the nearest that it has where it does not know the kind.
    pub fn name_in(self, system: System) -> &'static str {
        let name = NAMES[usize::from(self as u8)].1[system as usize];
        name.strip_prefix('(').and_then(|name| name.strip_suffix(')')).unwrap_or(name)
    }

    /// Whether `system` has a name for this very kind.
    pub fn is_known_in(self, system: System) -> bool {
        Kind::from_name_in(system, self.name_in(system)) == Some(self)
    }

    /// The kind that `system` calls so; `None` for a name that is not in the table. The types of single tools
    /// (`langchain:tool:search`) are tools.
    pub fn from_name_in(system: System, name: &str) -> Option<Kind> {
        if system == System::Langchain && name.starts_with("langchain:tool:") {
            return Some(Kind::Tool);
        }
        let is_own =
            |(_, names): &&(Kind, [&str; 6])| names[system as usize] == name && !name.starts_with('(');
        NAMES.iter().find(is_own).map(|&(kind, _)| kind).or_else(|| {
            ALIASES.iter().find(|alias| (alias.0, alias.1) == (system, name)).map(|&(_, _, kind)| kind)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_name_in_each_system_that_leads_back_to_it_or_to_the_nearest() {
        for (index, &kind) in Kind::ALL.iter().enumerate() {
            assert_eq!(NAMES[index].0, kind, "the table is in the order of the kinds");
            for system in System::ALL {
                let back =
                    Kind::from_name_in(system, kind.name_in(system)).expect("every name leads somewhere");
                let is_nearest = NAMES[index].1[system as usize].starts_with('(');
                assert_eq!(back == kind, !is_nearest, "{kind:?} in {system:?}");
                assert_eq!(kind.is_known_in(system), !is_nearest);
            }
        }
    }

    #[test]
    fn other_names_of_a_system_are_known_too() {
        assert_eq!(Kind::from_name_in(System::Langchain, "langchain:tool:search"), Some(Kind::Tool));
        assert_eq!(Kind::from_name_in(System::SpanForge, "tool"), Some(Kind::Tool));
        assert_eq!(Kind::from_name_in(System::SpanForge, "something else"), None);
        assert_eq!(Kind::from_name_in(System::Prela, "(custom)"), None);
    }
}
