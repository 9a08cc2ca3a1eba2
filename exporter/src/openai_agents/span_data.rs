//! What a span says as one of the SDK's types.

use spanring::{Kind, System, names};
use spanring_spool::Value;

use super::identity;
use super::json::{plain_pairs, to_text};
use super::object::Object;
use super::reading::Reading;
use super::usage;
use crate::isoformat;

/// What the SDK says of audio whose format nobody told.
const FORMAT: &str = "pcm";

/// In which form a span is written.
pub(super) enum Form {
    /// With the keys of one of the SDK's types. What the span is about by name.
    Of(Object, String),
    /// With all attributes, under a type that is the program's own.
    Own(String),
    /// With all attributes as data.
    Custom,
}

/// Takes what the form has a place for.
pub(super) fn form(reading: &mut Reading<'_>) -> Form {
    let kind = reading.span.kind;
    let typed = Object::default().with("type", kind.name_in(System::OpenAiAgents));
    match kind {
        Kind::Agent => {
            let name = named(reading, names::AGENT_NAME);
            let agent = typed
                .with("name", name.as_str())
                .with("handoffs", list(reading, names::AGENT_HANDOFFS))
                .with("tools", list(reading, names::AGENT_TOOLS))
                .with("output_type", text(reading, names::AGENT_OUTPUT_TYPE));
            Form::Of(agent, name)
        }
        Kind::Task => {
            let name = reading.span.name.clone();
            let data = of_sdk(kind).with("name", name.as_str());
            let data = data.with_some("usage", usage::of_many_calls(reading));
            Form::Of(custom(kind, data), name)
        }
        Kind::Turn => {
            let data = of_sdk(kind)
                .with("turn", reading.unsigned(names::STEP_INDEX))
                .with("agent_name", text(reading, names::AGENT_NAME));
            let data = data.with_some("usage", usage::of_many_calls(reading));
            Form::Of(custom(kind, data), String::new())
        }
        Kind::Tool => {
            let name = named(reading, names::TOOL_NAME);
            let input = [names::TOOL_CALL_ARGUMENTS, names::INPUT];
            let output = [names::TOOL_CALL_RESULT, names::OUTPUT];
            Form::Of(function(typed, reading, &name, input, output), name)
        }
        Kind::Retrieval => {
            let name = named(reading, names::DATA_SOURCE_ID);
            let input = [names::RETRIEVAL_QUERY, names::INPUT];
            let output = [names::RETRIEVAL_DOCUMENTS, names::OUTPUT];
            Form::Of(function(typed, reading, &name, input, output), name)
        }
        Kind::Llm => {
            let input = reading.first(&[names::INPUT_MESSAGES, names::INPUT]);
            let output = reading.first(&[names::OUTPUT_MESSAGES, names::OUTPUT, names::RESPONSE_CONTENT]);
            let typed = typed
                .with("input", input.map(|input| messages(input, "user")))
                .with("output", output.map(|output| messages(output, "assistant")));
            let (asked, model) = of_model(typed, reading);
            Form::Of(asked.with("usage", usage::of_call(reading)), model)
        }
        Kind::Response => {
            let response = typed.with("response_id", text(reading, names::RESPONSE_ID));
            Form::Of(response.with("usage", usage::of_call(reading)), String::new())
        }
        Kind::Handoff => {
            let handoff = typed.with("from_agent", text(reading, names::HANDOFF_FROM));
            Form::Of(handoff.with("to_agent", text(reading, names::HANDOFF_TO)), String::new())
        }
        Kind::Guardrail => {
            let name = named(reading, names::GUARDRAIL_NAME);
            let triggered = reading.take(names::GUARDRAIL_TRIGGERED, Value::as_bool).unwrap_or_default();
            Form::Of(typed.with("name", name.as_str()).with("triggered", triggered), name)
        }
        Kind::Transcription => {
            let typed = typed.with("input", audio(reading, names::INPUT));
            let typed = typed.with("output", in_words(reading.value(names::OUTPUT)));
            let (asked, model) = of_model(typed, reading);
            Form::Of(asked, model)
        }
        Kind::Speech => {
            let typed = typed.with("input", in_words(reading.value(names::INPUT)));
            let typed = typed.with("output", audio(reading, names::OUTPUT));
            let (asked, model) = of_model(typed, reading);
            let first =
                reading.unsigned(names::FIRST_CONTENT).map(|unix_ns| isoformat::in_utc(unix_ns / 1_000));
            Form::Of(asked.with("first_content_at", first), model)
        }
        Kind::SpeechGroup => {
            Form::Of(typed.with("input", in_words(reading.value(names::INPUT))), String::new())
        }
        Kind::McpTools => {
            let server = text(reading, names::MCP_SERVER);
            let result = list(reading, names::TOOL_CALL_RESULT).or_else(|| list(reading, names::OUTPUT));
            let subject = server.clone().unwrap_or_default();
            Form::Of(typed.with("server", server).with("result", result), subject)
        }
        _ => match reading.span.type_name() {
            Some(name)
                if identity::foreign(reading.span, names::FOREIGN_SPAN_ID, identity::SPAN).is_some() =>
            {
                reading.text(names::TYPE);
                Form::Own(name.to_owned())
            }
            _ => Form::Custom,
        },
    }
}

/// What is under the key, else the span's own name.
fn named(reading: &mut Reading<'_>, key: &'static str) -> String {
    reading.text(key).unwrap_or(&reading.span.name).to_owned()
}

fn text(reading: &mut Reading<'_>, key: &'static str) -> Option<String> {
    reading.text_or_null(key).map(str::to_owned)
}

fn list(reading: &mut Reading<'_>, key: &'static str) -> Option<Value> {
    reading.list_or_null(key)
}

/// Tasks and turns are custom spans on the wire.
fn custom(kind: Kind, data: Object) -> Object {
    let name = kind.name_in(System::OpenAiAgents);
    Object::default().with("type", "custom").with("name", name).with("data", data)
}

fn of_sdk(kind: Kind) -> Object {
    Object::default().with("sdk_span_type", kind.name_in(System::OpenAiAgents))
}

fn function(
    typed: Object,
    reading: &mut Reading<'_>,
    name: &str,
    input: [&'static str; 2],
    output: [&'static str; 2],
) -> Object {
    typed
        .with("name", name)
        .with("input", in_words(reading.first(&input)))
        .with("output", in_words(reading.first(&output)))
        .with("mcp_data", reading.map_or_null(names::MCP_DATA))
}

/// With the model and how it was asked; the model.
fn of_model(typed: Object, reading: &mut Reading<'_>) -> (Object, String) {
    let model = text(reading, names::REQUEST_MODEL);
    let subject = model.clone().unwrap_or_default();
    (typed.with("model", model).with("model_config", usage::model_config(reading)), subject)
}

/// What must be text or nothing there.
fn in_words(value: Option<Value>) -> Option<String> {
    value.filter(|value| !value.is_null()).map(to_text)
}

/// What must be a list of messages or nothing there.
fn messages(value: Value, role: &str) -> Value {
    match value {
        Value::Null | Value::List(_) => value,
        value => vec![Object::default().with("role", role).with("content", to_text(value))].into(),
    }
}

/// Audio with its format. What is no audio stays.
fn audio(reading: &mut Reading<'_>, key: &'static str) -> Object {
    let of = |data: &str, format: Value| Object::default().with("data", data).with("format", format);
    let read = |value: &Value| match value {
        Value::Null => Some(of("", FORMAT.into())),
        Value::Str(data) => Some(of(data, FORMAT.into())),
        Value::Map(pairs) => {
            let is_part = |(key, value): &(String, Value)| match key.as_str() {
                "data" | "format" => value.is_null() || value.as_str().is_some(),
                _ => false,
            };
            let parts = plain_pairs(pairs);
            let data = parts.get("data").and_then(Value::as_str).unwrap_or_default();
            let format = parts.get("format").cloned().unwrap_or(FORMAT.into());
            pairs.iter().all(is_part).then(|| of(data, format))
        }
        _ => None,
    };
    reading.take(key, read).unwrap_or_else(|| of("", FORMAT.into()))
}
