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

/// What messages come to, recorded as a list and as its JSON, without what all of them begin with.
#[track_caller]
fn flattened(messages: serde_json::Value) -> Vec<(String, serde_json::Value)> {
    let as_list = of_llm(&[(names::INPUT_MESSAGES, value(&messages))]);
    let as_text = of_llm(&[(names::INPUT_MESSAGES, messages.to_string().into())]);
    assert_eq!(as_list, as_text);
    let short = |(key, value): (String, Value)| {
        let rest = key.strip_prefix("llm.input_messages.").unwrap_or(&key);
        (rest.to_owned(), serde_json::to_value(&value).unwrap())
    };
    as_list.into_iter().map(short).collect()
}

fn pairs<const N: usize>(expected: [(&str, serde_json::Value); N]) -> Vec<(String, serde_json::Value)> {
    expected.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[test]
fn messages_with_parts_are_flattened_field_by_field() {
    let made = flattened(json!([
        {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
        {"role": "assistant", "parts": [
            {"type": "reasoning", "content": "hm"},
            {"type": "text", "content": "let me see"},
            {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": "sky"}},
        ], "finish_reason": "tool_call"},
        {"role": "tool", "parts": [
            {"type": "tool_call_response", "id": "c1", "response": "blue"},
            {"type": "tool_call_response", "id": "c2", "result": {"is": 1}},
        ]},
    ]));
    let expected = pairs([
        ("0.message.content", json!("hi")),
        ("0.message.role", json!("user")),
        ("1.message.finish_reason", json!("tool_call")),
        ("1.message.contents.0.message_content.text", json!("hm")),
        ("1.message.contents.0.message_content.type", json!("reasoning")),
        ("1.message.contents.1.message_content.text", json!("let me see")),
        ("1.message.contents.1.message_content.type", json!("text")),
        ("1.message.tool_calls.0.tool_call.function.arguments", json!(r#"{"at":"sky"}"#)),
        ("1.message.tool_calls.0.tool_call.id", json!("c1")),
        ("1.message.tool_calls.0.tool_call.function.name", json!("look")),
        ("1.message.role", json!("assistant")),
        ("2.message.tool_call_id", json!("c1")),
        ("2.message.content", json!("blue")),
        ("3.message.role", json!("tool")),
        ("3.message.tool_call_id", json!("c2")),
        ("3.message.content", json!(r#"{"is":1}"#)),
        ("2.message.role", json!("tool")),
    ]);
    assert_eq!(made, expected);
}

#[test]
fn messages_of_chat_apis_are_flattened_field_by_field() {
    let made = flattened(json!([
        {"role": "user", "content": [
            {"type": "text", "text": "what is it?"},
            {"type": "image_url", "image_url": {"url": "https://h/i.png", "detail": "low"}},
        ]},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"a\": 1}"}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "name": "look", "content": "a ring", "cached": true},
    ]));
    let expected = pairs([
        ("0.message.contents.0.message_content.text", json!("what is it?")),
        ("0.message.contents.0.message_content.type", json!("text")),
        ("0.message.contents.1.message_content.image.image.url", json!("https://h/i.png")),
        ("0.message.contents.1.message_content.image.detail", json!("low")),
        ("0.message.contents.1.message_content.type", json!("image")),
        ("0.message.role", json!("user")),
        ("1.message.content", json!(null)),
        ("1.message.role", json!("assistant")),
        ("1.message.tool_calls.0.tool_call.function.arguments", json!("{\"a\": 1}")),
        ("1.message.tool_calls.0.tool_call.function.name", json!("look")),
        ("1.message.tool_calls.0.tool_call.id", json!("c1")),
        ("2.message.cached", json!(true)),
        ("2.message.content", json!("a ring")),
        ("2.message.name", json!("look")),
        ("2.message.role", json!("tool")),
        ("2.message.tool_call_id", json!("c1")),
    ]);
    assert_eq!(made, expected);
}

#[test]
fn messages_that_cannot_be_told_apart_any_more_stay_as_they_are() {
    let text = json!({"type": "text", "content": "a"});
    let call = json!({"type": "tool_call", "name": "n"});
    let answer = json!({"type": "tool_call_response", "response": "r"});
    for messages in [
        json!([]),
        json!(["hi"]),
        json!({"role": "user"}),
        json!([{"content": "nobody's"}]),
        json!([{"role": "user", "content.x": "a"}]),
        json!([{"role": "user", "content": "a", "parts": [text]}]),
        json!([{"role": "a", "parts": [call, text]}]),
        json!([{"role": "a", "parts": [text, answer]}]),
        json!([{"role": "a", "parts": [{"type": "tool_call"}]}]),
        json!([{"role": "a", "content": ["text"]}]),
        json!([{"role": "a", "tool_calls": [{"name": "n", "function": {"name": "m"}}]}]),
    ] {
        let recorded = [(names::INPUT_MESSAGES, value(&messages))];
        assert_eq!(of_llm(&recorded), owned(&recorded), "{messages}");
    }
    for text in ["", "[", "hi", r#"[{"role":"a","n":123456789012345678901234567890}]"#] {
        let recorded = [(names::INPUT_MESSAGES, text.into())];
        assert_eq!(of_llm(&recorded), owned(&recorded), "{text}");
    }
    let bytes =
        Value::from_iter([("role", Value::from("user")), ("x", Value::List(vec![Value::Bytes(vec![1])]))]);
    let recorded = [(names::INPUT_MESSAGES, Value::List(vec![bytes]))];
    assert_eq!(of_llm(&recorded), owned(&recorded));
}

#[test]
fn a_list_is_flattened_up_to_its_limit_and_not_beyond() {
    for (count, is_flat) in [(FLATTENED_MAX / 2, true), (FLATTENED_MAX / 2 + 1, false)] {
        let messages = json!(vec![json!({"role": "user", "content": "hi"}); count]);
        let made = of_llm(&[(names::OUTPUT_MESSAGES, value(&messages))]);
        assert_eq!(made.len(), if is_flat { FLATTENED_MAX } else { 1 });
        assert_eq!(made[0].0.starts_with("llm.output_messages.0."), is_flat);
    }
}

#[test]
fn instructions_are_the_first_message_and_stay_where_the_others_do() {
    let hi = value(&json!([{"role": "user", "content": "hi"}]));
    let keys = |instructions: Value, messages: Value| -> Vec<String> {
        let made = of_llm(&[(names::INPUT_MESSAGES, messages), (names::SYSTEM_INSTRUCTIONS, instructions)]);
        made.into_iter().map(|(key, _)| key.replace("llm.input_messages.", "")).collect()
    };
    let both = ["0.message.role", "0.message.content", "1.message.content", "1.message.role"];
    assert_eq!(keys("be kind".into(), hi.clone()), both);
    assert_eq!(keys(value(&json!([{"type": "text", "content": "be kind"}])), hi.clone()), both);
    let none = [names::INPUT_MESSAGES, names::SYSTEM_INSTRUCTIONS];
    assert_eq!(keys("be kind".into(), Value::Null), none);
    assert_eq!(keys("be kind".into(), Value::List(Vec::new())), none);
    let messages_only = ["0.message.content", "0.message.role", names::SYSTEM_INSTRUCTIONS];
    assert_eq!(keys(Value::Null, hi), messages_only);
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
fn a_list_is_not_mixed_with_one_that_was_recorded() {
    let hi = value(&json!([{"role": "user", "content": "hi"}]));
    let recorded = [("llm.input_messages.7.message.role", "user".into()), (names::INPUT_MESSAGES, hi)];
    assert_eq!(of_llm(&recorded), owned(&recorded));
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
fn the_messages_of_real_agent_runs_are_flattened_all_of_them() {
    let mut roles = 0;
    for span in AgentRun::bundled().into_iter().flat_map(|run| run.spans) {
        let made = attributes(span.kind, &span.attributes);
        let stayed = made
            .iter()
            .find(|(key, _)| [names::INPUT_MESSAGES, names::OUTPUT_MESSAGES].contains(&key.as_str()));
        assert_eq!(stayed, None);
        roles += made.iter().filter(|(key, _)| key.ends_with(".message.role")).count();
        let kept = |key: &str| made.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        assert_eq!(kept(names::OPERATION_NAME), span.get(names::OPERATION_NAME), "it was recorded");
    }
    assert!(roles >= 160, "{roles} messages of 160 attributes");
}

const PAGE: &str = include_str!("../../../../docs/to/openinference.md");

/// The rows of the page's table below this heading: what stands in backquotes in the first two columns.
fn documented(heading: &str) -> BTreeMap<String, BTreeSet<String>> {
    let section = PAGE.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let quoted =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').collect();
        (quoted(cells[1]).remove(0), quoted(cells[2]).into_iter().collect())
    })
    .collect()
}

/// A key with `{i}` and `{j}` in place of its numbers.
fn pattern(key: &str) -> String {
    let mut letters = ["{i}", "{j}"].into_iter();
    let parts = key.split('.').map(|part| match part.parse::<usize>() {
        Ok(_) => letters.next().unwrap(),
        Err(_) => part,
    });
    parts.collect::<Vec<_>>().join(".")
}

#[test]
fn the_page_says_what_each_attribute_becomes() {
    let messages = json!([
        {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": "u"}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "i", "name": "n", "arguments": {}}]},
        {"role": "tool", "content": "c", "tool_call_id": "i", "name": "n"},
    ]);
    let samples = [
        json!("openai"),
        json!(7),
        json!(0.5),
        json!(["text"]),
        json!([[0.5]]),
        json!({"key": "text"}),
        json!([{"type": "text", "content": "a"}, {"type": "text", "content": "b"}]),
        json!([{"id": 1, "content": "c", "score": 0.5, "metadata": {"k": 1}}]),
        messages,
    ];
    let new = |kind, recorded: &[(&str, Value)]| -> BTreeSet<String> {
        let made = renamed(kind, recorded).into_iter().map(|(key, _)| key);
        let is_new = |key: &String| {
            !recorded.iter().any(|(other, _)| other == key)
                && ![names::KIND, "openinference.span.kind"].contains(&key.as_str())
        };
        made.filter(is_new).map(|key| pattern(&key)).collect()
    };
    let mut observed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for &kind in Kind::ALL {
        for (name, _) in names::ALL {
            // A field of a document that has no name keeps its own.
            let is_document =
                |sample: &&serde_json::Value| sample[0]["role"].is_null() && sample[0]["type"].is_null();
            let fits =
                |sample: &&serde_json::Value| *name != names::RETRIEVAL_DOCUMENTS || is_document(sample);
            for sample in samples.iter().filter(fits) {
                let of_name = observed.entry((*name).to_owned()).or_default();
                of_name.extend(new(kind, &[(name, value(sample))]));
                // With what decides about it, less what that comes to by itself.
                for (other, sample_of_other) in
                    [(names::RESPONSE_MODEL, json!("m")), (names::RETRIEVAL_DOCUMENTS, json!(["d"]))]
                {
                    let companion = (other, value(&sample_of_other));
                    if let (names::REQUEST_MODEL | names::RETRIEVAL_SCORES, true) = (*name, other != *name) {
                        let sample =
                            if *name == names::RETRIEVAL_SCORES { json!([0.5]) } else { sample.clone() };
                        let both = new(kind, &[(name, value(&sample)), companion.clone()]);
                        of_name.extend(both.difference(&new(kind, &[companion])).cloned());
                    }
                }
            }
        }
    }
    observed.retain(|_, made| !made.is_empty());
    assert_eq!(observed, documented("Attributes"));
}

#[test]
fn the_page_says_what_each_kind_is_called() {
    let mut observed = BTreeMap::new();
    for &kind in Kind::ALL {
        let made: BTreeMap<_, _> = renamed(kind, &[]).into_iter().collect();
        let Some(said) = made.get("openinference.span.kind") else { continue };
        observed.insert(kind.name().to_owned(), BTreeSet::from([said.as_str().unwrap().to_owned()]));
        let is_told = matches!(
            kind,
            Kind::Agent
                | Kind::Llm
                | Kind::Tool
                | Kind::Retrieval
                | Kind::Embedding
                | Kind::Chain
                | Kind::Guardrail
        );
        assert_eq!(made.get(names::KIND), (!is_told).then_some(&kind.name().into()));
    }
    assert_eq!(observed.len(), Kind::ALL.len() - 1, "custom is none by itself");
    assert_eq!(observed, documented("Kinds"));
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

/// Values whose texts and integers are to be numbered.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => Just(Value::Str(String::new())),
        3 => Just(Value::I64(0)),
        1 => Just(Value::Null),
        1 => Just(Value::Bool(true)),
        1 => Just(Value::F64(f64::INFINITY)),
        1 => Just(Value::Bytes(vec![1, 2])),
        1 => select(vec!["text", "tool_call", "tool_call_response", "image_url", "function"]).prop_map(Value::from),
    ];
    let keys = select(vec![
        "role",
        "content",
        "parts",
        "type",
        "text",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "image_url",
        "url",
        "response",
        "metadata",
        "score",
        "other",
        "a.b",
        "0",
    ]);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::vec((keys.clone(), inner), 0..5).prop_map(Value::from_iter),
        ]
    })
}

/// Messages that are often such.
fn any_messages() -> impl Strategy<Value = Value> {
    let message =
        (any_value(), select(vec!["content", "parts", "tool_calls", "name"]), any_value(), any::<bool>());
    let message = message.prop_map(|(field, key, part, is_part)| {
        let of_type = if key == "tool_calls" { "function" } else { "text" };
        let part = Value::from_iter([("type", of_type.into()), ("content", part)]);
        let field = if is_part { Value::List(vec![part]) } else { field };
        Value::from_iter([("role", Value::from("user")), (key, field)])
    });
    prop::collection::vec(message, 0..4).prop_map(Value::List)
}

fn any_attributes() -> impl Strategy<Value = Attributes> {
    let ours: Vec<&str> = names::ALL.iter().map(|(name, _)| *name).collect();
    let ours: Vec<&str> = ours.into_iter().filter(|name| *name != names::KIND).collect();
    let theirs = vec![
        "openinference.span.kind",
        "llm.model_name",
        "llm.provider",
        "llm.input_messages.0.message.role",
        "llm.output_messages.3.message.content",
        "input.value",
        "output.mime_type",
        "llm.invocation_parameters",
        "metadata",
        "tool.name",
        "http.route",
    ];
    let lists = select(vec![
        names::INPUT_MESSAGES,
        names::OUTPUT_MESSAGES,
        names::SYSTEM_INSTRUCTIONS,
        names::RETRIEVAL_DOCUMENTS,
        names::TOOL_DEFINITIONS,
    ]);
    let any = prop_oneof![
        5 => (select(ours), any_value()),
        1 => (select(theirs), any_value()),
        3 => (lists, any_messages()),
    ];
    prop::collection::vec(any, 0..12).prop_map(|recorded| {
        let mut next = 0;
        let mut known = HashSet::new();
        let once = recorded.into_iter().filter(|(key, _)| known.insert(*key));
        once.map(|(key, mut value)| {
            number(&mut value, &mut next);
            (key.to_owned(), value)
        })
        .collect()
    })
}

/// Makes each text and each integer one that there is once.
fn number(value: &mut Value, next: &mut i64) {
    *next += 1;
    match value {
        Value::Str(text) if text.is_empty() => *text = format!("leaf{next}x"),
        Value::I64(number) => *number = 7_000_000 + *next,
        Value::List(values) => values.iter_mut().for_each(|value| number(value, next)),
        Value::Map(pairs) => pairs.iter_mut().for_each(|(_, value)| number(value, next)),
        _ => {}
    }
}

/// What was numbered.
fn marks(value: &Value, marks: &mut Vec<String>) {
    match value {
        Value::Str(text) if text.starts_with("leaf") => marks.push(text.clone()),
        Value::I64(number) => marks.push(number.to_string()),
        Value::List(values) => values.iter().for_each(|value| self::marks(value, marks)),
        // Of a key that is there twice the last counts.
        Value::Map(pairs) => {
            let last: BTreeMap<_, _> = pairs.iter().map(|(key, value)| (key, value)).collect();
            last.into_values().for_each(|value| self::marks(value, marks));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn nothing_is_lost_or_sent_twice_and_what_was_said_in_openinferences_words_wins(
        kind in select(Kind::ALL),
        recorded in any_attributes(),
    ) {
        let made = attributes(kind, &recorded);
        let keys: HashSet<_> = made.iter().map(|(key, _)| key).collect();
        prop_assert_eq!(keys.len(), made.len(), "each key once");
        let shown = format!("{made:?}");
        for (key, value) in &recorded {
            let mut marks = Vec::new();
            self::marks(value, &mut marks);
            for mark in marks {
                prop_assert_eq!(shown.matches(&mark).count(), 1, "{} of {} in {}", mark, key, shown);
            }
            let is_ours = names::ALL.iter().any(|(name, _)| name == key);
            let stays = made.iter().any(|pair| pair.0 == *key && pair.1 == *value);
            prop_assert!(stays || is_ours && !keys.contains(key), "{key}");
        }
        prop_assert_eq!(attributes(kind, &made), made.clone(), "renamed again, it stays");
    }

    #[test]
    fn a_span_without_any_such_attribute_stays_as_it_is(
        values in prop::collection::vec(any_value(), 0..6),
    ) {
        let recorded: Attributes =
            values.into_iter().enumerate().map(|(n, value)| (format!("shop.{n}"), value)).collect();
        prop_assert_eq!(attributes(Kind::Custom, &recorded), recorded);
    }
}
