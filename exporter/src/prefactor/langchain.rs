//! The types of prefactor_langchain, as its SDK registers them.

use serde_json::{Map, Value as Json, json};

/// Those that every one of its instances has.
pub(super) const TYPES: [&str; 4] = ["langchain:agent", "langchain:node", "langchain:llm", "langchain:tool"];

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
    let tool_name = name.strip_prefix("langchain:tool:").filter(|tool_name| !tool_name.is_empty())?;
    Some(json!({
        "name": name, "params_schema": tool(name),
        "result_schema": {"type": "object", "additionalProperties": true},
        "title": format!("Tool Call: {tool_name}"),
        "description": format!("A LangChain tool execution span for {tool_name}"),
        "template": "{{tool_name}}",
    }))
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
    fn what_it_does_not_have_has_no_schema() {
        for name in ["", "langchain:", "langchain:tool:", "langchain:other", "agent:tool"] {
            assert_eq!(schema(name), None, "{name:?}");
        }
    }
}
