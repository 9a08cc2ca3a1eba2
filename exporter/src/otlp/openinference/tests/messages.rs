//! Lists of messages, flattened field by field.

use super::*;

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
fn a_list_is_not_mixed_with_one_that_was_recorded() {
    let hi = value(&json!([{"role": "user", "content": "hi"}]));
    let recorded = [("llm.input_messages.7.message.role", "user".into()), (names::INPUT_MESSAGES, hi)];
    assert_eq!(of_llm(&recorded), owned(&recorded));
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
