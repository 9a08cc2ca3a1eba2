//! Whatever was recorded, nothing of it is lost or sent twice.

use super::*;

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
