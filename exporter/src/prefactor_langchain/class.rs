//! The SDK's classes of spans, and their fields.

use spanring::{System, names};
use spanring_spool::{SpanData, Value};

use super::unplaced::Unplaced;

/// A class of spans. What class a span was of is not recorded: [`of`](Class::of) tells it by type and kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// `LangChainSpan`, whose fields all others have too.
    Span,
    /// `AgentSpan`.
    Agent,
    /// `LLMSpan`.
    Llm,
    /// `ToolSpan`, of which retrievers are too.
    Tool,
}

const AGENT: &str = "langchain:agent";
const LLM: &str = "langchain:llm";
const TOOL: &str = "langchain:tool";

/// What a field is that was not said.
enum Otherwise {
    Null,
    Zero,
    List,
    Map,
    /// Not there, as it is not where what was said is null or empty.
    Absent,
}
use Otherwise::{Absent, List, Map, Null, Zero};

const AGENT_FIELDS: &[(&str, &str, Otherwise)] = &[
    ("agent_name", names::AGENT_NAME, Null),
    ("agent_config", names::AGENT_CONFIG, Map),
    ("initial_messages", names::INITIAL_MESSAGES, List),
    ("final_messages", names::FINAL_MESSAGES, List),
    ("iteration_count", names::AGENT_ITERATIONS, Zero),
];

const LLM_FIELDS: &[(&str, &str, Otherwise)] = &[
    ("model_name", names::REQUEST_MODEL, Null),
    ("provider", names::PROVIDER_NAME, Null),
    ("temperature", names::REQUEST_TEMPERATURE, Null),
    ("max_tokens", names::REQUEST_MAX_TOKENS, Null),
    ("top_p", names::REQUEST_TOP_P, Null),
    ("stop_sequences", names::REQUEST_STOP_SEQUENCES, List),
    ("messages", names::INPUT_MESSAGES, List),
    ("response_content", names::RESPONSE_CONTENT, Null),
];

const TOOL_FIELDS: &[(&str, &str, Otherwise)] = &[
    ("tool_name", names::TOOL_NAME, Null),
    ("tool_schema", names::TOOL_SCHEMA, Null),
    ("arguments", names::TOOL_CALL_ARGUMENTS, Map),
    (EXECUTION, names::TOOL_EXECUTION_MS, Null),
    ("tool_type", names::TOOL_TYPE, Null),
    ("retriever_metadata", names::RETRIEVAL_METADATA, Absent),
];

/// Whole milliseconds in the SDK, where they are that.
const EXECUTION: &str = "execution_time_ms";

impl Class {
    /// The class of a span: by the type that was said if it begins with `langchain:`, or else by the kind.
    pub fn of(span: &SpanData) -> Self {
        match own_type(span) {
            AGENT => Class::Agent,
            LLM => Class::Llm,
            name if name.split_at_checked(TOOL.len()).is_some_and(is_tool) => Class::Tool,
            _ => Class::Span,
        }
    }

    /// What `type` is of a span that is written as this class.
    pub fn type_of(self, span: &SpanData) -> &str {
        match self {
            Class::Span => own_type(span),
            Class::Agent => AGENT,
            Class::Llm => LLM,
            Class::Tool => TOOL,
        }
    }

    /// The fields that this class has beside those of all.
    pub(super) fn take_fields(self, unplaced: &mut Unplaced<'_>) -> Vec<(&'static str, Value)> {
        let fields = match self {
            Class::Span => &[],
            Class::Agent => AGENT_FIELDS,
            Class::Llm => LLM_FIELDS,
            Class::Tool => TOOL_FIELDS,
        };
        let field = |(word, key, otherwise): &(&'static str, &str, Otherwise)| {
            let said = unplaced.take(key);
            let value = match otherwise {
                Absent => said.filter(|said| !is_nothing(said))?,
                _ if *word == EXECUTION => said.map_or(Value::Null, in_whole_ms),
                Null => said.unwrap_or(Value::Null),
                Zero => said.unwrap_or(Value::U64(0)),
                List => said.unwrap_or(Value::List(Vec::new())),
                Map => said.unwrap_or(Value::Map(Vec::new())),
            };
            Some((*word, value))
        };
        let mut fields: Vec<_> = fields.iter().filter_map(field).collect();
        if self == Class::Llm {
            fields.extend(take_usage(unplaced).map(|usage| ("token_usage", usage)));
        }
        fields
    }
}

/// The type that was said if it is one of prefactor_langchain's, or else what the kind is called there.
fn own_type(span: &SpanData) -> &str {
    let said = span.type_name().filter(|name| name.starts_with("langchain:"));
    said.unwrap_or(span.kind.name_in(System::Langchain))
}

/// Whether it is the type of tools, or that of a single one.
fn is_tool((common, own): (&str, &str)) -> bool {
    common == TOOL && (own.is_empty() || own.starts_with(':'))
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_map().is_some_and(<[_]>::is_empty)
}

fn in_whole_ms(value: Value) -> Value {
    match value {
        #[expect(clippy::cast_possible_truncation, reason = "it is whole, and in this range")]
        Value::F64(ms) if ms.fract() == 0.0 && ms.abs() < 9e15 => Value::I64(ms as i64),
        value => value,
    }
}

/// The SDK's `TokenUsage`, which has all three counts.
fn take_usage(unplaced: &mut Unplaced<'_>) -> Option<Value> {
    let mut take = |key| unplaced.take_if(key, |value| value.as_u64().is_some());
    let input = take(names::USAGE_INPUT_TOKENS);
    let output = take(names::USAGE_OUTPUT_TOKENS);
    let count = |value: &Option<Value>| value.as_ref().and_then(Value::as_u64);
    let sum = || Some(count(&input)?.saturating_add(count(&output)?).into());
    let total = take(names::USAGE_TOTAL_TOKENS).or_else(sum);
    let counts = [("prompt_tokens", input), ("completion_tokens", output), ("total_tokens", total)];
    counts.iter().any(|(_, count)| count.is_some()).then(|| Value::from_iter(counts))
}
