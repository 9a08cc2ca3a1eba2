//! prefactor_langchain: Prefactor's requests, with payloads of four schemas.

use serde_json::{Value as Json, json};
use spanring::{Span, System, Tokens};
use spanring_exporter::prefactor;

use crate::json::{if_some, pairs, text, whole};
use crate::prefactor::{RULES, arranged, document, rebuild};
use crate::rules::HTTP;
use crate::{Form, any_other, folder};

pub(crate) const REQUESTS: Form = Form {
    rebuild: |capture, recording| rebuild(capture, recording, System::Langchain, &fill),
    document: |spans| document(spans, System::Langchain, prefactor::Form::Langchain),
    rules: &[RULES, HTTP],
    others: |path, value| match path.last().map(String::as_str) {
        // A payload that was lost on the way to the server: what it could hold is not free.
        Some("payload") => Some(vec![json!({"tool_name": "search", "inputs": {}}), json!({"inputs": null})]),
        _ => any_other(path, value),
    },
    list: Some("/spans"),
    captures: || {
        let folders = [
            "prefactor_langchain/cb",
            "prefactor_langchain/cb_sync_tools_lossy",
            "prefactor_langchain/mw",
            "prefactor_langchain/mw_ok",
        ];
        folders.map(|name| folder(name).map(arranged)).into()
    },
};

pub(crate) fn fill(span: &Span, payload: &Json, result: Option<&Json>) {
    for (key, value) in pairs(payload) {
        match key {
            "inputs" => span.input(value),
            "agent_name" => span.agent_name(value.as_str().unwrap()),
            "node" => span.step_name(value.as_str().unwrap()),
            "step" => span.step_index(value.as_u64().unwrap()),
            "model_name" => span.model(value.as_str().unwrap()),
            "provider" => span.provider(value.as_str().unwrap()),
            "temperature" => span.temperature(value.as_f64().unwrap()),
            "tool_name" => span.tool_name(value.as_str().unwrap()),
            _ => panic!("a payload has no {key}"),
        };
    }
    for (key, value) in result.into_iter().flat_map(pairs) {
        match key {
            "outputs" => span.output(value),
            // What a node has done has no key around it.
            "status" | "updated_keys" => span.output(&json!({ key: value })),
            "token_usage" => span.tokens(tokens(value)),
            "error" => say_error(span, value),
            _ => panic!("a result has no {key}"),
        };
    }
}

pub(crate) fn tokens(usage: &Json) -> Tokens {
    Tokens {
        input: whole(usage, "prompt_tokens"),
        output: whole(usage, "completion_tokens"),
        total: whole(usage, "total_tokens"),
        ..Tokens::default()
    }
}

pub(crate) fn say_error<'a>(span: &'a Span, error: &Json) -> &'a Span {
    span.error(text(error, "message").unwrap());
    if_some(text(error, "error_type"), |class| span.error_type(class));
    if_some(text(error, "stacktrace"), |trace| span.stack_trace(trace));
    span
}
