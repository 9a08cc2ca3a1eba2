mod any_span;
mod messages;
mod page;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use spanring::{Kind, names};
use spanring_spool::Value;

use super::{FLATTENED_MAX, attributes};
use crate::demo::runs::AgentRun;

type Attributes = Vec<(String, Value)>;

fn owned(attributes: &[(&str, Value)]) -> Attributes {
    attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn renamed(kind: Kind, recorded: &[(&str, Value)]) -> Attributes {
    attributes(kind, &owned(recorded))
}

/// What a call of a model comes to, but for its kind.
fn of_llm(recorded: &[(&str, Value)]) -> Attributes {
    let mut made = renamed(Kind::Llm, recorded);
    assert_eq!(made.pop(), Some(("openinference.span.kind".into(), "LLM".into())));
    made
}

fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Value::F64(number.as_f64().unwrap()), Value::I64)
        }
        serde_json::Value::String(text) => Value::Str(text.clone()),
        serde_json::Value::Array(values) => Value::List(values.iter().map(value).collect()),
        serde_json::Value::Object(members) => {
            Value::Map(members.iter().map(|(key, member)| (key.clone(), value(member))).collect())
        }
    }
}

#[test]
fn what_was_recorded_under_openinferences_names_wins() {
    let hi = value(&json!([{"role": "user", "content": "hi"}]));
    let recorded = [
        ("openinference.span.kind", "EVALUATOR".into()),
        ("llm.model_name", "theirs".into()),
        (names::REQUEST_MODEL, "ours".into()),
        (names::USAGE_INPUT_TOKENS, 7.into()),
        ("llm.token_count.prompt", 8.into()),
        ("llm.input_messages.0.message.role", "user".into()),
        ("llm.input_messages.0.message.content", "theirs".into()),
        (names::INPUT_MESSAGES, hi.clone()),
        ("input.value", "theirs".into()),
        (names::INPUT, "ours".into()),
    ];
    let mut expected = owned(&recorded);
    expected.push((names::KIND.to_owned(), "llm".into()));
    assert_eq!(renamed(Kind::Llm, &recorded), expected);
    // What says the same is not sent twice.
    let same = [
        ("llm.model_name", "m".into()),
        (names::REQUEST_MODEL, "m".into()),
        ("llm.input_messages.0.message.content", "hi".into()),
        ("llm.input_messages.0.message.role", "user".into()),
        (names::INPUT_MESSAGES, hi),
    ];
    assert_eq!(of_llm(&same), owned(&[same[0].clone(), same[2].clone(), same[3].clone()]));
}

#[test]
fn a_span_instrumented_with_openinference_passes_unharmed() {
    let recorded = [
        ("openinference.span.kind", "LLM".into()),
        ("llm.system", "openai".into()),
        ("llm.invocation_parameters", r#"{"temperature": 0.5}"#.into()),
        ("llm.output_messages.0.message.tool_calls.0.tool_call.function.name", "f".into()),
        ("input.mime_type", "text/plain".into()),
        ("metadata", "{}".into()),
        ("tag.tags", Value::from(vec!["a"])),
    ];
    for kind in [Kind::Custom, Kind::Llm] {
        assert_eq!(renamed(kind, &recorded), owned(&recorded));
    }
}

#[test]
fn one_name_is_given_once_and_the_first_has_it() {
    let input = [
        (names::TOOL_CALL_ARGUMENTS, value(&json!({"q": 1}))),
        (names::RETRIEVAL_QUERY, "rings".into()),
        (names::INPUT, "all of it".into()),
    ];
    let made = of_llm(&input);
    let expected = [
        input[0].clone(),
        input[1].clone(),
        ("input.value", "all of it".into()),
        ("input.mime_type", "text/plain".into()),
    ];
    assert_eq!(made, owned(&expected));
    let arguments = of_llm(&input[..1]);
    let expected = [("input.value", r#"{"q":1}"#.into()), ("input.mime_type", "application/json".into())];
    assert_eq!(arguments, owned(&expected));
}

#[test]
fn parameters_are_one_object_that_tells_all_of_them() {
    let others = value(&json!({"logit_bias": {"7": -1}}));
    let recorded = [
        (names::REQUEST_TEMPERATURE, 0.5.into()),
        (names::REQUEST_TOP_P, f64::NAN.into()),
        (names::MODEL_PARAMETERS, others),
        (names::REQUEST_CHOICE_COUNT, 2.into()),
    ];
    let made = of_llm(&recorded);
    let text = r#"{"temperature":0.5,"n":2,"logit_bias":{"7":-1}}"#;
    assert_eq!(made[0], ("llm.invocation_parameters".to_owned(), text.into()));
    assert_eq!((made.len(), made[1].0.as_str()), (2, names::REQUEST_TOP_P));
    let twice = [
        (names::REQUEST_TEMPERATURE, 0.5.into()),
        (names::MODEL_PARAMETERS, value(&json!({"temperature": 1}))),
    ];
    assert_eq!(of_llm(&twice)[1], owned(&twice)[1]);
    let made = renamed(Kind::Retrieval, &recorded[..1]);
    assert_eq!(made[0], owned(&recorded)[0]);
}

#[test]
fn costs_in_another_currency_and_values_of_another_type_stay() {
    let cost = |currency: &str| {
        let of = [(names::COST_TOTAL, 0.5.into()), (names::COST_CURRENCY, currency.into())];
        of_llm(&of)[0].0.clone()
    };
    assert_eq!((cost("USD").as_str(), cost("EUR").as_str()), ("llm.cost.total", names::COST_TOTAL));
    let recorded = [
        (names::USAGE_INPUT_TOKENS, "7".into()),
        (names::USAGE_OUTPUT_TOKENS, Value::Null),
        (names::USAGE_TOTAL_TOKENS, u64::MAX.into()),
        (names::RESPONSE_FINISH_REASONS, Value::from(vec!["stop", "length"])),
        (names::TAGS, Value::from(vec![1])),
        (names::METADATA, Value::Bytes(vec![1])),
        (names::TOOL_NAME, true.into()),
        (names::INPUT, Value::Bytes(vec![1])),
        (names::RETRIEVAL_DOCUMENTS, Value::from(vec![1])),
        (names::TOOL_DEFINITIONS, Value::List(Vec::new())),
    ];
    assert_eq!(of_llm(&recorded), owned(&recorded));
}

#[test]
fn an_embedding_has_its_own_names() {
    let recorded = [
        (names::REQUEST_MODEL, "e5".into()),
        (names::PROVIDER_NAME, "openai".into()),
        (names::INPUT, Value::from(vec!["a", "b"])),
        (names::OUTPUT, Value::from(vec![vec![0.5, 1.0], vec![0.25, 2.0]])),
    ];
    let expected = [
        ("embedding.model_name", "e5".into()),
        (names::PROVIDER_NAME, "openai".into()),
        ("embedding.embeddings.0.embedding.text", "a".into()),
        ("embedding.embeddings.1.embedding.text", "b".into()),
        ("embedding.embeddings.0.embedding.vector", Value::from(vec![0.5, 1.0])),
        ("embedding.embeddings.1.embedding.vector", Value::from(vec![0.25, 2.0])),
        ("openinference.span.kind", "EMBEDDING".into()),
    ];
    assert_eq!(renamed(Kind::Embedding, &recorded), owned(&expected));
}

#[test]
fn documents_have_their_scores() {
    let documents = json!([{"id": 7, "text": "a", "source": {"page": 1}}, "b"]);
    let recorded = [
        (names::RETRIEVAL_SCORES, Value::from(vec![0.5, 0.25])),
        (names::RETRIEVAL_DOCUMENTS, value(&documents)),
    ];
    let made = renamed(Kind::Retrieval, &recorded);
    let expected = [
        ("retrieval.documents.0.document.id", 7.into()),
        ("retrieval.documents.0.document.source", r#"{"page":1}"#.into()),
        ("retrieval.documents.0.document.content", "a".into()),
        ("retrieval.documents.0.document.score", 0.5.into()),
        ("retrieval.documents.1.document.content", "b".into()),
        ("retrieval.documents.1.document.score", 0.25.into()),
        ("openinference.span.kind", "RETRIEVER".into()),
    ];
    assert_eq!(made, owned(&expected));
    let fewer = [(names::RETRIEVAL_SCORES, Value::from(vec![0.5])), recorded[1].clone()];
    assert_eq!(renamed(Kind::Retrieval, &fewer)[0], owned(&fewer)[0]);
}

#[test]
fn a_custom_span_has_the_kind_that_its_operation_tells_or_that_of_a_step() {
    let kind = |recorded: &[(&str, Value)]| {
        let made = renamed(Kind::Custom, recorded);
        made.into_iter().find(|(key, _)| key == "openinference.span.kind").map(|(_, kind)| kind)
    };
    assert_eq!(kind(&[(names::OPERATION_NAME, "text_completion".into())]), Some("LLM".into()));
    assert_eq!(kind(&[(names::OPERATION_NAME, "plan".into())]), None);
    assert_eq!(kind(&[(names::INPUT, "x".into())]), Some("CHAIN".into()));
    assert_eq!(kind(&[(names::SESSION_ID, "s".into()), ("http.route", "/".into())]), None);
}
