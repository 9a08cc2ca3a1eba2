use serde_json::json;
use spanring_spool::Value;

use super::super::payload::Payloads;
use super::super::{Contents, Form};
use super::*;

fn keys(patterns: &[&str]) -> Sensitive {
    patterns.iter().fold(Sensitive::default(), |sensitive, pattern| sensitive.key(pattern))
}

/// Payload and result of a span with these attributes, marked; and whether they say so.
fn marked(sensitive: &Sensitive, form: Form, attributes: &[(&str, Value)]) -> (Json, Json, bool) {
    let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let span = SpanData { attributes, ..SpanData::default() };
    let Payloads { payload, result } = Payloads::of(&span, form, &Contents::default());
    let mut details = Map::from_iter([("payload".to_owned(), Json::Object(payload))]);
    details.extend(result.map(|result| ("result_payload".to_owned(), Json::Object(result))));
    sensitive.mark(&span, &mut details);
    let mut part = |key: &str| details.remove(key).unwrap_or_default();
    (part("payload"), part("result_payload"), part("sensitive_encoding") == true)
}

fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => (*value).into(),
        Json::Number(number) => number.as_i64().unwrap().into(),
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => Value::List(items.iter().map(value).collect()),
        Json::Object(pairs) => Value::Map(pairs.iter().map(|(key, of)| (key.clone(), value(of))).collect()),
    }
}

fn sealed(kind: &str, value: &Json) -> Json {
    json!({"$sensitive": kind, "value": value})
}

#[test]
fn a_marked_value_is_sealed_whole_wherever_it_lies_and_whatever_it_is() {
    let input = value(&json!({
        "user": {"email": "a@b", "name": "Ann"},
        "cards": [{"number": 1, "kind": "visa"}, {"number": 2}],
        "flag": true, "list": [1, [2]], "map": {"k": "v"}, "none": null,
    }));
    let sensitive =
        keys(&["user.email", "inputs.cards.number", "flag", "list", "map", "none", "customer.id"]);
    let (payload, result, is_said) = marked(
        &sensitive,
        Form::Free,
        &[(names::INPUT, input), ("customer.id", 7.into()), ("other", 8.into())],
    );
    assert!(is_said && result.is_null());
    let number = |number: i64| sealed("number", &number.into());
    assert_eq!(
        payload,
        json!({
            "user": {"email": sealed("string", &"a@b".into()), "name": "Ann"},
            "cards": [{"number": number(1), "kind": "visa"}, {"number": number(2)}],
            "flag": sealed("boolean", &true.into()), "list": sealed("array", &json!([1, [2]])),
            "map": sealed("object", &json!({"k": "v"})), "none": null,
            "metadata": {"customer.id": number(7), "other": 8},
        })
    );
}

#[test]
fn what_has_a_place_of_its_own_is_found_by_its_place_and_by_its_key() {
    let (sealed_text, text) = (sealed("string", &"secret".into()), Value::from("secret"));
    for form in [Form::Free, Form::Langchain] {
        for (key, path, of_result) in [
            (names::INPUT_MESSAGES, "inputs.messages", false),
            (names::TOOL_CALL_ARGUMENTS, "inputs.arguments", false),
            (names::TOOL_CALL_RESULT, "outputs.output", true),
            (names::OUTPUT_MESSAGES, "outputs.messages", true),
            (names::REQUEST_MODEL, "model_name", false),
            (names::ERROR_STACKTRACE, "error.stacktrace", true),
        ] {
            for pattern in [key, path] {
                let (payload, result, is_said) = marked(&keys(&[pattern]), form, &[(key, text.clone())]);
                let found =
                    path.split('.').fold(if of_result { &result } else { &payload }, |json, key| &json[key]);
                assert!(is_said, "{pattern}");
                assert_eq!(*found, sealed_text, "{pattern}");
            }
            let nested = Value::from_iter([("deep", text.clone())]);
            if key != names::REQUEST_MODEL && key != names::ERROR_STACKTRACE {
                let pattern = format!("{key}.deep");
                let (payload, result, _) = marked(&keys(&[&pattern]), form, &[(key, nested)]);
                assert!(
                    format!("{payload}{result}").contains(&format!("\"deep\":{sealed_text}")),
                    "{pattern}"
                );
            }
        }
    }
}

#[test]
fn all_of_inputs_or_outputs_can_be_marked_and_metadata_only_where_it_is_of_them() {
    let all = |patterns: &[&str], input: &Json| {
        let said = [(names::INPUT, value(input)), (names::OUTPUT, "done".into()), ("other", 1.into())];
        [Form::Free, Form::Langchain].map(|form| marked(&keys(patterns), form, &said))
    };
    let of_map = json!({"q": "tea"});
    for patterns in [["inputs", "outputs"], [names::INPUT, names::OUTPUT]] {
        let [free, langchain] = all(&patterns, &of_map);
        let outputs = json!({"outputs": sealed("string", &"done".into())});
        let payload = json!({"q": sealed("string", &"tea".into()), "metadata": {"other": 1}});
        assert_eq!(free, (payload, outputs.clone(), true));
        let payload = json!({"inputs": sealed("object", &of_map), "metadata": {"other": 1}});
        assert_eq!(langchain, (payload, outputs, true));
    }
    let [(payload, _, _), _] = all(&["inputs"], &json!({"metadata": {"q": "tea"}}));
    assert_eq!(payload, json!({"metadata": sealed("object", &json!({"q": "tea", "other": 1}))}));
}

#[test]
fn texts_are_sealed_in_which_something_is_found_that_is_looked_for() {
    let said = [
        (names::INPUT, value(&json!({"a": ["write to ann@example.com", "no"], "b": "4111 1111 1111 1111"}))),
        (names::OUTPUT, value(&json!({"token": "Bearer abcdef0123456789abcdef0123456789"}))),
    ];
    let of = |texts: &[SensitiveTexts]| {
        marked(&texts.iter().fold(Sensitive::default(), |all, one| all.texts(*one)), Form::Free, &said)
    };
    let text = |of: &str| sealed("string", &of.into());
    let (payload, result, is_said) = of(&[SensitiveTexts::Emails]);
    assert_eq!(payload["a"], json!([text("write to ann@example.com"), "no"]));
    assert!(is_said && payload["b"] == "4111 1111 1111 1111" && result["token"].is_string());
    let (payload, result, _) = of(&[SensitiveTexts::CardNumbers, SensitiveTexts::Secrets]);
    assert!(payload["a"][0].is_string());
    assert_eq!(payload["b"], text("4111 1111 1111 1111"));
    assert_eq!(result["token"], text("Bearer abcdef0123456789abcdef0123456789"));
}

#[test]
fn without_a_mark_nothing_changes_and_with_one_no_key_of_a_program_is_taken_for_it() {
    let own = json!({"x": {"$sensitive": "string", "value": "mine", "$$sensitive": 1, "$other": 2, "sensitive": 3}});
    let said = [(names::INPUT, value(&own))];
    for sensitive in [Sensitive::default(), keys(&["elsewhere"]).texts(SensitiveTexts::Secrets)] {
        assert_eq!(marked(&sensitive, Form::Free, &said), (own.clone(), Json::Null, false));
    }
    let escaped =
        json!({"$$sensitive": "string", "value": "mine", "$$$sensitive": 1, "$other": 2, "sensitive": 3});
    let with = |key: &str, pattern: &str| {
        let said = [said[0].clone(), (key, 1.into())];
        marked(&keys(&[pattern]), Form::Free, &said)
    };
    let (payload, _, is_said) = with("k", "k");
    assert_eq!((&payload["x"], is_said), (&escaped, true));
    let (payload, _, _) = with("k", "inputs.x");
    assert_eq!(payload["x"], sealed("object", &escaped));
}

fn without_sealed(json: Json) -> Json {
    match json {
        Json::Object(pairs) if pairs.contains_key("$sensitive") => Json::Null,
        Json::Object(pairs) => pairs.into_iter().map(|(key, value)| (key, without_sealed(value))).collect(),
        Json::Array(items) => items.into_iter().map(without_sealed).collect(),
        other => other,
    }
}

#[test]
fn every_attribute_with_a_place_is_known_by_it() {
    for (key, _) in names::ALL {
        let text = Value::from("secret");
        for (form, type_name) in [(Form::Free, "my:type"), (Form::Langchain, "langchain:node")] {
            let said = [(names::TYPE, type_name.into()), (*key, text.clone())];
            let (payload, result, _) = marked(&keys(&[key]), form, &said);
            let open = [payload, result].map(without_sealed);
            assert!(!format!("{open:?}").contains("secret"), "{key}: {open:?}");
        }
    }
}

#[test]
fn content_is_sealed_as_well_where_it_found_no_place() {
    let messages = || (names::INPUT_MESSAGES, value(&json!(["hi"])));
    for pattern in ["inputs", "inputs.messages", "gen_ai.input.messages"] {
        let attributes = [(names::INPUT, "text".into()), messages()];
        let (payload, _, is_said) = marked(&keys(&[pattern]), Form::Free, &attributes);
        let displaced = &payload["metadata"][names::INPUT_MESSAGES];
        assert!(is_said && *displaced == sealed("array", &json!(["hi"])), "{pattern}: {payload}");
    }
}

#[test]
fn keys_and_texts_are_replaced_each_by_itself() {
    let both = keys(&["a"]).texts(SensitiveTexts::Emails);
    let replaced = both.clone().replacing(Some(&["b".to_owned()]), None);
    assert_eq!(replaced, keys(&["b"]).texts(SensitiveTexts::Emails));
    assert_eq!(both.clone().replacing(None, Some(&[])), keys(&["a"]));
    assert_eq!(both.clone().replacing(None, None), both);
}
