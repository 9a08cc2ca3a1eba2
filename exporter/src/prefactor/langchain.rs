//! The types of prefactor_langchain, as its SDK registers them.

use serde_json::{Map, Value as Json, json};
use spanring_spool::{SpanData, Value};

/// Those that every one of its instances has.
pub(super) const TYPES: [&str; 4] = ["langchain:agent", "langchain:node", "langchain:llm", "langchain:tool"];

/// The types of single tools.
const ONE_TOOL: &str = "langchain:tool:";

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// The schema of a type; `None` for one that prefactor_langchain does not have. That of a single tool (`langchain:tool:search`) is the tools'.
pub(super) fn schema(name: &str) -> Option<Json> {
    let (title, description, template) = match name {
        "langchain:agent" => ("LangChain Agent", "A LangChain agent execution span", None),
        "langchain:node" => ("LangGraph Node", "A LangGraph graph node execution span", Some("{{node}}")),
        "langchain:llm" => ("LLM Call", "A call to a language model", Some("{{model_name}}")),
        "langchain:tool" => ("Tool Call", "A LangChain tool execution span", Some("{{tool_name}}")),
        _ => return of_tool(name),
    };
    let (params, result) = match name {
        "langchain:agent" => (agent(name), outputs("Agent output data (final messages/results)", &[])),
        "langchain:node" => (node(), node_result()),
        "langchain:llm" => (llm(name), outputs("Output data (model response)", &[("token_usage", usage())])),
        _ => (tool(name), outputs("Tool output data", &[])),
    };
    let mut schema = json!({
        "name": name, "params_schema": params, "result_schema": result,
        "title": title, "description": description,
    });
    if let Some(template) = template {
        schema["template"] = template.into();
    }
    Some(schema)
}

fn of_tool(name: &str) -> Option<Json> {
    let tool_name = name.strip_prefix(ONE_TOOL).filter(|tool_name| !tool_name.is_empty())?;
    Some(json!({
        "name": name, "params_schema": tool(name),
        "result_schema": {"type": "object", "additionalProperties": true},
        "title": format!("Tool Call: {tool_name}"),
        "description": format!("A LangChain tool execution span for {tool_name}"),
        "template": "{{tool_name}}",
    }))
}

/// The arguments of a call, where they are its inputs as they are: of a single tool's type, if they are a map and no inputs were said.
pub(super) fn arguments_as_inputs(span: &SpanData) -> Option<&Value> {
    let is_single_tools =
        span.type_name().and_then(|name| name.strip_prefix(ONE_TOOL)).is_some_and(|tool| !tool.is_empty());
    let arguments = span.arguments().filter(|arguments| arguments.as_map().is_some());
    arguments.filter(|_| is_single_tools && span.input().is_none())
}

fn agent(name: &str) -> Json {
    call(
        name,
        "agent span",
        "Additional agent metadata",
        [
            ("agent_name", text("Name of the agent instance")),
            ("inputs", map("Agent input data (typically messages)")),
            ("iteration_count", described("integer", "Number of agent iterations/steps")),
        ],
    )
}

fn llm(name: &str) -> Json {
    call(
        name,
        "LLM call span",
        "Additional LLM call metadata",
        [
            ("model_name", text("Name of the LLM model (e.g., 'gpt-4')")),
            ("provider", text("Provider of the LLM (e.g., 'openai', 'anthropic')")),
            ("temperature", described("number", "Temperature setting for the model")),
            ("inputs", map("Input data (messages or prompt)")),
            ("token_usage", usage()),
        ],
    )
}

fn tool(name: &str) -> Json {
    call(
        name,
        "tool span",
        "Additional tool execution metadata",
        [
            ("tool_name", text("Name of the tool that was called")),
            ("tool_type", text("Type of tool (e.g., 'function')")),
            ("tool_schema", map("JSON schema of the tool's parameters")),
            ("inputs", map("Tool input arguments")),
        ],
    )
}

fn node() -> Json {
    object([
        ("node", text("Name of the graph node")),
        ("step", described("integer", "Graph step the node ran in")),
    ])
}

fn node_result() -> Json {
    let keys =
        json!({"type": "array", "items": {"type": "string"}, "description": "State keys the node updated"});
    object([("status", status()), ("updated_keys", keys), ("error", error())])
}

/// What a call of a type is given.
fn call<const N: usize>(name: &str, what: &str, metadata: &str, own: [(&str, Json); N]) -> Json {
    let moment = || json!({"type": "string", "format": "date-time"});
    let usual = [
        ("name", text(&format!("Name of the {what}"))),
        ("type", json!({"type": "string", "const": name})),
        ("status", status()),
        ("error", error()),
        ("metadata", map(metadata)),
        ("started_at", moment()),
        ("finished_at", moment()),
    ];
    object(usual.into_iter().chain(own))
}

fn outputs(description: &str, further: &[(&str, Json)]) -> Json {
    let usual = [("outputs", map(description)), ("status", status())];
    object(usual.into_iter().chain(further.iter().cloned()))
}

fn object<'a>(properties: impl IntoIterator<Item = (&'a str, Json)>) -> Json {
    let properties: Map<_, _> =
        properties.into_iter().map(|(key, schema)| (key.to_owned(), schema)).collect();
    json!({"$schema": DRAFT, "type": "object", "properties": properties})
}

fn described(type_name: &str, description: &str) -> Json {
    json!({"type": type_name, "description": description})
}

fn text(description: &str) -> Json {
    described("string", description)
}

fn map(description: &str) -> Json {
    described("object", description)
}

fn status() -> Json {
    json!({"type": "string", "enum": ["completed", "error"]})
}

fn error() -> Json {
    let text = || json!({"type": "string"});
    json!({"type": "object", "properties": {"error_type": text(), "message": text(), "stacktrace": text()}})
}

fn usage() -> Json {
    let count = || json!({"type": "integer"});
    let counts = json!({"prompt_tokens": count(), "completion_tokens": count(), "total_tokens": count()});
    json!({"type": "object", "properties": counts})
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use spanring::names;

    use super::*;

    /// What the SDK registered, of which a tool's own schema of its arguments is not known here.
    #[test]
    fn schemas_are_those_that_the_sdk_registers() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/captures/prefactor_langchain/cb/002_POST_api_v1_agent_instance_register.json");
        let mut captured: Json = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let types = captured["body"]["agent_schema_version"]["span_type_schemas"].as_array_mut().unwrap();
        let mut of_tool = types.pop().unwrap();
        let ours: Vec<_> = TYPES.into_iter().map(|name| schema(name).unwrap()).collect();
        assert_eq!(ours, *types);
        of_tool["params_schema"]["properties"]["inputs"] = map("Tool input arguments");
        of_tool["title"] = "Tool Call: web-search".into();
        of_tool["description"] = "A LangChain tool execution span for web-search".into();
        assert_eq!(schema("langchain:tool:web-search"), Some(of_tool));
    }

    #[test]
    fn arguments_of_a_single_tools_type_are_the_inputs_unless_others_were_said() {
        let of = |type_name: &str, key: &str, value: Value| {
            let said =
                [(names::TYPE, type_name.into()), (key, value), (names::TOOL_CALL_ARGUMENTS, map_of_q())];
            let attributes = said.map(|(key, value)| (key.to_owned(), value)).into();
            let span = SpanData { attributes, ..SpanData::default() };
            arguments_as_inputs(&span).cloned()
        };
        let map_of_q = map_of_q();
        assert_eq!(of("langchain:tool:search", "x", Value::Null), Some(map_of_q.clone()));
        for type_name in ["langchain:tool", "langchain:tool:", "langchain:llm", "my:tool"] {
            assert_eq!(of(type_name, "x", Value::Null), None, "{type_name}");
        }
        assert_eq!(of("langchain:tool:search", names::INPUT, Value::Null), None);
        let text = (names::TOOL_CALL_ARGUMENTS.to_owned(), "q".into());
        let of_type = (names::TYPE.to_owned(), "langchain:tool:search".into());
        let span = SpanData { attributes: vec![of_type, text], ..SpanData::default() };
        assert_eq!(arguments_as_inputs(&span), None);
    }

    fn map_of_q() -> Value {
        Value::from_iter([("q", "x")])
    }

    #[test]
    fn what_it_does_not_have_has_no_schema() {
        for name in ["", "langchain:", "langchain:tool:", "langchain:other", "agent:tool"] {
            assert_eq!(schema(name), None, "{name:?}");
        }
    }
}
