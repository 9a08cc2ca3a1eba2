//! What the five systems really sent, taken apart into their models.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;

pub(crate) const PREFACTOR: &str = "Prefactor";
pub(crate) const LANGCHAIN: &str = "prefactor_langchain";
pub(crate) const OPENAI: &str = "OpenAI Agents SDK";
pub(crate) const PRELA: &str = "Prela";
pub(crate) const SPANFORGE: &str = "SpanForge";
pub(crate) const OTLP: &str = "OpenTelemetry";

/// What every HTTP client says, whatever it sends.
const HTTP_HEADERS: [&str; 8] = [
    "Accept",
    "Accept-Encoding",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Host",
    "User-Agent",
];

/// Where the content is the user's: no key of it is a field of the system.
pub(crate) const FREE: [(&str, &str); 41] = [
    (PREFACTOR, "Register.agent_schema_version.span_schemas.*"),
    (PREFACTOR, "Register.agent_schema_version.span_result_schemas.*"),
    (PREFACTOR, "Register.agent_schema_version.span_type_schemas[].params_schema"),
    (PREFACTOR, "Register.agent_schema_version.span_type_schemas[].result_schema"),
    (PREFACTOR, "Register.agent_schema_version.quality_schemas[].schema"),
    (PREFACTOR, "RecordQuality.payload"),
    (PREFACTOR, "CreateSpan.details.payload"),
    (PREFACTOR, "FinishSpan.result_payload"),
    (PREFACTOR, "Bulk.items[].result_payload"),
    (PREFACTOR, "AgentSpan.payload"),
    (PREFACTOR, "AgentSpan.result_payload"),
    (PREFACTOR, "AgentInstance.quality_payloads.*"),
    (LANGCHAIN, "LangChainSpan.inputs"),
    (LANGCHAIN, "LangChainSpan.outputs"),
    (LANGCHAIN, "LangChainSpan.metadata"),
    (LANGCHAIN, "AgentSpan.agent_config"),
    (LANGCHAIN, "ToolSpan.tool_schema"),
    (LANGCHAIN, "ToolSpan.arguments"),
    (LANGCHAIN, "ToolSpan.retriever_metadata"),
    (LANGCHAIN, "AgentPayload.inputs.messages"),
    (LANGCHAIN, "AgentResult.outputs.messages"),
    (LANGCHAIN, "LLMPayload.inputs.messages[].tool_calls[].args"),
    (LANGCHAIN, "LLMResult.outputs.messages[].tool_calls[].args"),
    (LANGCHAIN, "ToolPayload.inputs.arguments"),
    (LANGCHAIN, "OwnToolPayload.inputs"),
    (OPENAI, "Trace.metadata"),
    (OPENAI, "Span.error.data"),
    (OPENAI, "Span.metadata"),
    (OPENAI, "function.mcp_data"),
    (OPENAI, "custom.data"),
    (OPENAI, "speech.model_config"),
    (OPENAI, "transcription.model_config"),
    (PRELA, "Span.attributes.flags"),
    (PRELA, "Span.attributes.user_id"),
    (PRELA, "Span.attributes.tool.input"),
    (PRELA, "Span.events[].attributes"),
    (PRELA, "Span.replay_snapshot.llm_request"),
    (PRELA, "Span.replay_snapshot.llm_response"),
    (SPANFORGE, "SpanPayload.attributes"),
    (SPANFORGE, "SpanPayload.events[].metadata"),
    (SPANFORGE, "Trace.attributes"),
];

/// Models that have the fields of another beside their own.
const BASES: [(&str, &str, &str); 7] = [
    (LANGCHAIN, "AgentSpan", "LangChainSpan"),
    (LANGCHAIN, "LLMSpan", "LangChainSpan"),
    (LANGCHAIN, "ToolSpan", "LangChainSpan"),
    (LANGCHAIN, "AgentResult", "Result"),
    (LANGCHAIN, "NodeResult", "Result"),
    (LANGCHAIN, "LLMResult", "Result"),
    (LANGCHAIN, "ToolResult", "Result"),
];

/// An instance of a model.
pub(crate) struct Part {
    pub(crate) system: &'static str,
    pub(crate) model: String,
    pub(crate) value: Json,
    /// Where it was found.
    pub(crate) file: String,
}

/// The model whose fields this one has too.
pub(crate) fn base(system: &str, model: &str) -> Option<&'static str> {
    // Types of span data are written in lower case.
    if system == OPENAI && model.starts_with(|first: char| first.is_lowercase()) {
        return Some("Span.span_data");
    }
    BASES.iter().find(|base| (base.0, base.1) == (system, model)).map(|base| base.2)
}

/// The model that begins at this field, if one does.
pub(crate) fn model_at(system: &str, field: &str, value: &Json) -> Option<String> {
    let model = match (system, field) {
        (PREFACTOR, "Answer.details" | "Answer.outputs.*.details") => match value["type"].as_str()? {
            "agent_span" => "AgentSpan",
            "agent_instance" => "AgentInstance",
            other => return Some(format!("an answer of type {other}")),
        },
        (OPENAI, "Request.data[]") => match value["object"].as_str()? {
            "trace" => "Trace",
            _ => "Span",
        },
        (OPENAI, "Span.span_data") => match value["type"].as_str()? {
            "custom" => value["data"]["sdk_span_type"].as_str().unwrap_or("custom"),
            other => other,
        },
        (PRELA, "Trace.spans[]") => "Span",
        (SPANFORGE, "CloudRequest._ndjson[]") => "Event",
        (SPANFORGE, "Trace.spans[]") => "SpanPayload",
        (SPANFORGE, "Event.payload") if value.get("total_steps").is_some() => "AgentRun",
        (SPANFORGE, "Event.payload") if value.get("step_index").is_some() => "AgentStep",
        (SPANFORGE, "Event.payload") => "SpanPayload",
        (SPANFORGE, "SpanPayload.tool_calls[]" | "AgentStep.tool_calls[]") => "ToolCall",
        (SPANFORGE, "SpanPayload.reasoning_steps[]" | "AgentStep.reasoning_steps[]") => "ReasoningStep",
        (SPANFORGE, "AgentStep.decision_points[]") => "DecisionPoint",
        (OTLP, field) if field.ends_with("attributes[].value") => "AnyValue",
        (OTLP, "AnyValue.arrayValue.values[]") => "AnyValue",
        _ => return None,
    };
    Some(model.to_owned())
}

/// Every capture, taken apart.
pub(crate) fn parts() -> Vec<Part> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../exporter/tests/captures");
    let mut files = Vec::new();
    list(&root, "", &mut files);
    files.sort();
    let mut parts = Vec::new();
    for file in files {
        let text = fs::read_to_string(root.join(&file)).unwrap();
        let json =
            |text: &str| -> Json { serde_json::from_str(text).unwrap_or_else(|e| panic!("{file}: {e}")) };
        let mut into = Parts { file: &file, parts: &mut parts };
        match file.rsplit('.').next() {
            Some("jsonl" | "ndjson") => text.lines().for_each(|line| into.take_apart(&json(line))),
            Some("json") => into.take_apart(&json(&text)),
            // Nothing to take apart, and the tests that rebuild the spans of the captures.
            Some("txt" | "rs") => {}
            _ => panic!("{file} is no capture"),
        }
    }
    parts
}

fn list(root: &Path, folder: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if entry.file_type().unwrap().is_dir() {
            list(root, &path, files);
        } else {
            files.push(path);
        }
    }
}

struct Parts<'a> {
    file: &'a str,
    parts: &'a mut Vec<Part>,
}

impl Parts<'_> {
    fn add(&mut self, system: &'static str, model: &str, value: &Json) {
        let (model, value) = (model.to_owned(), value.clone());
        self.parts.push(Part { system, model, value, file: self.file.to_owned() });
    }

    fn take_apart(&mut self, json: &Json) {
        let (folder, name) = self.file.rsplit_once('/').unwrap();
        let name = name.split_once('.').unwrap().0;
        match (folder, name) {
            ("openai_agents/raw" | "openai_agents/sanitize", _) => self.exchange(OPENAI, "Request", json),
            ("prela", "to_dict") => {
                json.as_array().unwrap().iter().for_each(|span| self.add(PRELA, "Span", span))
            }
            ("prela/file_export", _) => self.add(PRELA, "Span", json),
            ("prela/http" | "prela/http_gzip", _) => self.exchange(PRELA, "Trace", json),
            ("prela/otlp", _) => self.exchange(OTLP, "", json),
            ("spanforge", "events" | "events_signed") => self.add(SPANFORGE, "Event", json),
            ("spanforge", "trace_save") => self.add(SPANFORGE, "SpanPayload", json),
            ("spanforge", "trace_to_json" | "trace_child_to_json") => self.add(SPANFORGE, "Trace", json),
            ("spanforge", "summary_parent" | "summary_child") => self.add(SPANFORGE, "Summary", json),
            ("spanforge/net", "001_POST_v1_traces") => self.exchange(OTLP, "", json),
            ("spanforge/net", "002_POST_hook" | "003_POST_hook") => self.exchange(SPANFORGE, "Event", json),
            ("spanforge/net", "004_POST_v1_events") => self.exchange(SPANFORGE, "CloudRequest", json),
            ("spanforge/net", "005_POST_v0_3_traces") => self.exchange(SPANFORGE, "DatadogSpan", json),
            ("spanforge/net", "006_POST_loki_api_v1_push") => self.exchange(SPANFORGE, "LokiPush", json),
            ("prefactor_core" | "prefactor_core_terminate", _) => self.prefactor(json),
            ("prefactor_langchain", "to_dict") => {
                for (name, span) in json.as_object().unwrap() {
                    self.add(LANGCHAIN, name.split('_').next().unwrap(), span);
                }
            }
            (folder, _) if folder.starts_with("prefactor_langchain/") => {
                self.prefactor(json);
                self.langchain(json);
            }
            _ => panic!("nobody knows what {} is", self.file),
        }
    }

    /// A request that was written down with its headers. Its body is one instance of the model, or lists of them.
    fn exchange(&mut self, system: &'static str, model: &str, json: &Json) {
        let mut headers = json["headers"].clone();
        headers.as_object_mut().unwrap().retain(|name, _| !HTTP_HEADERS.contains(&name.as_str()));
        // A header of the sender, whatever it sends: some send OTLP.
        let sender = match self.file.split('/').next().unwrap() {
            "prela" => PRELA,
            "spanforge" => SPANFORGE,
            _ => system,
        };
        self.add(sender, "Header", &headers);
        let mut bodies = vec![&json["body"]];
        while let Some(body) = bodies.pop() {
            match body {
                Json::Array(items) => bodies.extend(items),
                Json::Null => {}
                _ => self.add(system, model, body),
            }
        }
    }

    fn prefactor(&mut self, json: &Json) {
        let path = json["path"].as_str().unwrap();
        let segments: Vec<&str> = path.trim_start_matches("/api/v1/").split('/').collect();
        let model = match segments[..] {
            ["ping"] => "",
            ["agent_instance", "register"] => "Register",
            ["agent_instance", _, "start"] => "StartInstance",
            ["agent_instance", _, "finish"] => "FinishInstance",
            ["agent_instance", _, "record_quality"] => "RecordQuality",
            ["agent_spans"] => "CreateSpan",
            ["agent_spans", _, "finish"] => "FinishSpan",
            ["bulk"] => "Bulk",
            _ => panic!("{}: {path}", self.file),
        };
        self.exchange(PREFACTOR, model, json);
        if model.is_empty() {
            assert!(json["body"].is_null(), "{}", self.file);
        } else {
            self.add(PREFACTOR, "Answer", &json["response_body"]);
        }
    }

    fn langchain(&mut self, json: &Json) {
        let schema = json["response_body"]["details"]["schema_name"].as_str().unwrap_or_default();
        let kind = match schema {
            "langchain:agent" => "Agent",
            "langchain:node" => "Node",
            "langchain:llm" => "LLM",
            "langchain:tool" => "Tool",
            own if own.starts_with("langchain:tool:") => "OwnTool",
            _ => return,
        };
        let body = &json["body"];
        if let Some(payload) = body["details"].get("payload") {
            self.add(LANGCHAIN, &format!("{kind}Payload"), payload);
        }
        if let Some(result) = body.get("result_payload") {
            self.add(LANGCHAIN, &format!("{}Result", kind.trim_start_matches("Own")), result);
        }
    }
}
