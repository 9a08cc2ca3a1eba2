//! Attributes under the names of OpenInference, which Phoenix and Arize read.
//!
//! The names are those of OpenInference's `spec/semantic_conventions.md` at commit 00e2b51, with the constants of its Python package
//! `openinference-semantic-conventions` 0.1.42. `docs/to/openinference.md` has the whole table; a test compares it with what is done here.
//!
//! # Rules
//!
//! * **O1** An attribute is renamed, or stays as it is under its own key. None is lost, and none is sent under two names.
//! * **O2** What was recorded under a name of OpenInference's wins: an attribute that would have to change it stays as it is.
//! * **O3** An attribute stays as it is where its value is not of the type that the name is for, where its JSON could not be told from
//!   another value's (bytes, NaN, the infinities), and where a list makes more than [`FLATTENED_MAX`] attributes.
//! * **O4** A field of a message, tool call or document that has no name keeps its own behind the prefix: `message.finish_reason`.
//! * **O5** A span of kind `custom` whose operation tells no kind, and of which nothing is renamed, stays as it is, without a kind.
//! * **O6** Renamed attributes stand where the recorded ones stood, and what was renamed once is left alone when it is renamed again.

mod documents;
mod json;
mod kind;
mod messages;
mod renaming;

use spanring::{Kind, names};
use spanring_spool::Value;

use self::renaming::Renaming;

/// At most how many attributes a list comes to.
const FLATTENED_MAX: usize = 1024;

const MODEL: &str = "llm.model_name";
const EMBEDDING_MODEL: &str = "embedding.model_name";
const INPUT: [&str; 2] = ["input.value", "input.mime_type"];
const OUTPUT: [&str; 2] = ["output.value", "output.mime_type"];
const EMBEDDINGS: &str = "embedding.embeddings";
const INPUT_MESSAGES: &str = "llm.input_messages";
const OUTPUT_MESSAGES: &str = "llm.output_messages";
const TOOLS: &str = "llm.tools";
const DOCUMENTS: &str = "retrieval.documents";

/// What a value has to be for a name.
#[derive(Clone, Copy)]
enum Type {
    Text,
    Integer,
    Number,
}

/// What has another name, and nothing else to it.
const RENAMED: [(&str, &str, Type); 11] = [
    (names::USAGE_INPUT_TOKENS, "llm.token_count.prompt", Type::Integer),
    (names::USAGE_OUTPUT_TOKENS, "llm.token_count.completion", Type::Integer),
    (names::USAGE_TOTAL_TOKENS, "llm.token_count.total", Type::Integer),
    (names::USAGE_CACHED_TOKENS, "llm.token_count.prompt_details.cache_read", Type::Integer),
    (names::USAGE_CACHE_CREATION_TOKENS, "llm.token_count.prompt_details.cache_write", Type::Integer),
    (names::USAGE_REASONING_TOKENS, "llm.token_count.completion_details.reasoning", Type::Integer),
    (names::TOOL_NAME, "tool.name", Type::Text),
    (names::TOOL_DESCRIPTION, "tool.description", Type::Text),
    (names::TOOL_CALL_ID, "tool.id", Type::Text),
    (names::AGENT_NAME, "agent.name", Type::Text),
    (names::CONVERSATION_ID, "session.id", Type::Text),
];

/// Costs, which OpenInference has in US dollars only.
const COSTS: [(&str, &str); 4] = [
    (names::COST_INPUT, "llm.cost.prompt"),
    (names::COST_OUTPUT, "llm.cost.completion"),
    (names::COST_TOTAL, "llm.cost.total"),
    (names::COST_REASONING, "llm.cost.completion_details.reasoning"),
];

/// Parameters of a call, and what they are called in the JSON that has them all.
const PARAMETERS: [(&str, &str); 10] = [
    (names::REQUEST_TEMPERATURE, "temperature"),
    (names::REQUEST_TOP_P, "top_p"),
    (names::REQUEST_TOP_K, "top_k"),
    (names::REQUEST_MAX_TOKENS, "max_tokens"),
    (names::REQUEST_STOP_SEQUENCES, "stop_sequences"),
    (names::REQUEST_SEED, "seed"),
    (names::REQUEST_FREQUENCY_PENALTY, "frequency_penalty"),
    (names::REQUEST_PRESENCE_PENALTY, "presence_penalty"),
    (names::REQUEST_CHOICE_COUNT, "n"),
    (names::REQUEST_STREAM, "stream"),
];

/// Providers as OpenTelemetry calls them, where OpenInference has another name or one for the product too: its `llm.provider`, `llm.system`.
const PROVIDERS: [(&str, &str, Option<&str>); 10] = [
    ("openai", "openai", Some("openai")),
    ("anthropic", "anthropic", Some("anthropic")),
    ("cohere", "cohere", Some("cohere")),
    ("deepseek", "deepseek", Some("deepseek")),
    ("mistral_ai", "mistralai", Some("mistralai")),
    ("x_ai", "xai", Some("xai")),
    ("azure.ai.openai", "azure", Some("openai")),
    ("gcp.vertex_ai", "google", Some("vertexai")),
    ("gcp.gemini", "google", Some("gemini")),
    ("aws.bedrock", "aws", None),
];

/// The attributes of a span of this kind under OpenInference's names, and its kind.
pub(super) fn attributes(kind: Kind, recorded: &[(String, Value)]) -> Vec<(String, Value)> {
    let mut span = Renaming::of(recorded);
    let said = kind::said(kind, &span);
    for (key, name, wanted) in RENAMED {
        if span.get(key).is_some_and(|value| wanted.fits(value)) {
            span.rename(key, name);
        }
    }
    costs(&mut span);
    models(&mut span, said);
    provider(&mut span, said);
    parameters(&mut span, said);
    finish_reason(&mut span);
    payloads(&mut span, said);
    lists(&mut span);
    about(&mut span);
    kind::tell(&mut span, kind, said);
    span.into_attributes()
}

impl Type {
    fn fits(self, value: &Value) -> bool {
        match self {
            Type::Text => value.as_str().is_some(),
            Type::Integer => value.as_i64().is_some(),
            Type::Number => value.as_f64().is_some(),
        }
    }
}

fn costs(span: &mut Renaming<'_>) {
    let currency = span.get(names::COST_CURRENCY);
    if currency.is_some_and(|currency| currency.as_str() != Some(spanring::Cost::CURRENCY)) {
        return;
    }
    for (key, name) in COSTS {
        if span.get(key).is_some_and(|value| Type::Number.fits(value)) {
            span.rename(key, name);
        }
    }
}

/// The model's name is that of the model which answered, where that is known.
fn models(span: &mut Renaming<'_>, said: Option<&str>) {
    let is_text = |key| span.get(key).is_some_and(|model| Type::Text.fits(model));
    let (requested, answered) = (is_text(names::REQUEST_MODEL), is_text(names::RESPONSE_MODEL));
    let is_embedding = said == Some(kind::EMBEDDING);
    let name = if is_embedding { EMBEDDING_MODEL } else { MODEL };
    match (requested, answered) {
        (true, false) => span.rename(names::REQUEST_MODEL, name),
        (_, true) => {
            span.rename(names::RESPONSE_MODEL, name);
            if requested && !is_embedding {
                span.rename(names::REQUEST_MODEL, "llm.request.model_name");
            }
        }
        (false, false) => {}
    }
}

/// OpenInference has no provider of embeddings.
fn provider(span: &mut Renaming<'_>, said: Option<&str>) {
    let Some(Value::Str(recorded)) = span.get(names::PROVIDER_NAME) else { return };
    if said == Some(kind::EMBEDDING) {
        return;
    }
    let known = PROVIDERS.iter().find(|(name, ..)| name == recorded);
    let (provider, system) =
        known.map_or((recorded.as_str(), None), |&(_, provider, system)| (provider, system));
    let mut made = vec![("llm.provider".to_owned(), Value::from(provider))];
    made.extend(system.map(|system| ("llm.system".to_owned(), Value::from(system))));
    span.replace(&[names::PROVIDER_NAME], made);
}

/// All parameters in one JSON object. What a look-up is asked is no call of a model.
fn parameters(span: &mut Renaming<'_>, said: Option<&str>) {
    let name = match said {
        Some(kind::RETRIEVER) => return,
        Some(kind::EMBEDDING) => "embedding.invocation_parameters",
        _ => "llm.invocation_parameters",
    };
    let (mut keys, mut object) = (Vec::new(), Vec::new());
    for (key, parameter) in PARAMETERS {
        if let Some(value) = span.get(key).filter(|value| json::is_exact(value)) {
            keys.push(key);
            object.push((parameter.to_owned(), value.clone()));
        }
    }
    if let Some(others @ Value::Map(pairs)) = span.get(names::MODEL_PARAMETERS)
        && json::is_exact(others)
        && !pairs.iter().any(|(other, _)| object.iter().any(|(name, _)| name == other))
    {
        keys.push(names::MODEL_PARAMETERS);
        object.extend(pairs.iter().cloned());
    }
    if let Some(text) = json::text(&Value::Map(object)) {
        span.replace(&keys, vec![(name.to_owned(), Value::Str(text))]);
    }
}

/// There is a name for one reason only.
fn finish_reason(span: &mut Renaming<'_>) {
    let reason = match span.get(names::RESPONSE_FINISH_REASONS) {
        Some(reason @ Value::Str(_)) => reason,
        Some(Value::List(reasons)) if matches!(reasons.as_slice(), [Value::Str(_)]) => &reasons[0],
        _ => return,
    };
    let made = vec![("llm.finish_reason".to_owned(), reason.clone())];
    span.replace(&[names::RESPONSE_FINISH_REASONS], made);
}

/// What went in and what came out. The first that is recorded has the place.
fn payloads(span: &mut Renaming<'_>, said: Option<&str>) {
    if said == Some(kind::EMBEDDING) {
        for (key, list) in [
            (names::INPUT, span.get(names::INPUT).and_then(|value| documents::texts(EMBEDDINGS, value))),
            (names::OUTPUT, span.get(names::OUTPUT).and_then(|value| documents::vectors(EMBEDDINGS, value))),
        ] {
            if let Some(list) = list {
                span.replace_by_list(&[key], EMBEDDINGS, list);
            }
        }
    }
    for key in [names::INPUT, names::TOOL_CALL_ARGUMENTS, names::RETRIEVAL_QUERY] {
        payload(span, key, INPUT);
    }
    for key in [names::OUTPUT, names::TOOL_CALL_RESULT, names::RESPONSE_CONTENT] {
        payload(span, key, OUTPUT);
    }
}

/// A text as it is, and anything else as JSON.
fn payload(span: &mut Renaming<'_>, key: &str, [name, media_type]: [&str; 2]) {
    let (text, is_json) = match span.get(key) {
        Some(Value::Str(text)) => (text.clone(), json::is_structure(text)),
        Some(value) => match json::text(value) {
            Some(text) => (text, true),
            None => return,
        },
        None => return,
    };
    let media = if is_json { "application/json" } else { "text/plain" };
    span.replace(
        &[key],
        vec![(name.to_owned(), Value::Str(text)), (media_type.to_owned(), Value::from(media))],
    );
}

/// Lists, each field of each item an attribute.
fn lists(span: &mut Renaming<'_>) {
    let (instructions, given) = (span.get(names::SYSTEM_INSTRUCTIONS), span.get(names::INPUT_MESSAGES));
    let both = messages::with_instructions(INPUT_MESSAGES, instructions, given);
    let alone = || messages::flattened(INPUT_MESSAGES, given?);
    if let Some(made) = both {
        let sources = [names::SYSTEM_INSTRUCTIONS, names::INPUT_MESSAGES];
        span.replace_by_list(&sources, INPUT_MESSAGES, made);
    } else if let Some(made) = alone() {
        span.replace_by_list(&[names::INPUT_MESSAGES], INPUT_MESSAGES, made);
    }
    let made = span.get(names::OUTPUT_MESSAGES).and_then(|said| messages::flattened(OUTPUT_MESSAGES, said));
    if let Some(made) = made {
        span.replace_by_list(&[names::OUTPUT_MESSAGES], OUTPUT_MESSAGES, made);
    }
    if let Some(made) = span.get(names::TOOL_DEFINITIONS).and_then(|tools| documents::tools(TOOLS, tools)) {
        span.replace_by_list(&[names::TOOL_DEFINITIONS], TOOLS, made);
    }
    if let Some(found) = span.get(names::RETRIEVAL_DOCUMENTS) {
        let scored = span.get(names::RETRIEVAL_SCORES).and_then(|scores| {
            let sources: &[&str] = &[names::RETRIEVAL_DOCUMENTS, names::RETRIEVAL_SCORES];
            Some((sources, documents::scored(DOCUMENTS, found, scores)?))
        });
        let plain = || {
            let sources: &[&str] = &[names::RETRIEVAL_DOCUMENTS];
            Some((sources, documents::flattened(DOCUMENTS, found)?))
        };
        if let Some((sources, made)) = scored.or_else(plain) {
            span.replace_by_list(sources, DOCUMENTS, made);
        }
    }
}

/// What is known beside.
fn about(span: &mut Renaming<'_>) {
    for (key, name) in [(names::METADATA, "metadata"), (names::TOOL_SCHEMA, "tool.parameters")] {
        let text = match span.get(key) {
            Some(Value::Str(text)) => Some(text.clone()),
            Some(map @ Value::Map(_)) => json::text(map),
            _ => None,
        };
        if let Some(text) = text {
            span.replace(&[key], vec![(name.to_owned(), Value::Str(text))]);
        }
    }
    let tags = span.get(names::TAGS).and_then(Value::as_list);
    if tags.is_some_and(|tags| tags.iter().all(|tag| tag.as_str().is_some())) {
        span.rename(names::TAGS, "tag.tags");
    }
}

#[cfg(test)]
mod tests;
