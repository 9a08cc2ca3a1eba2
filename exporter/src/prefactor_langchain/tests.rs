use serde_json::{Value as Json, json};
use spanring::{Kind, SpanId, Status, TraceId, names};
use spanring_spool::{EventData, LinkData, SpanData, Value};

use super::*;

fn span(kind: Kind, attributes: &[(&str, Json)]) -> SpanData {
    let attributes = attributes
        .iter()
        .map(|(key, json)| ((*key).to_owned(), serde_json::from_value(json.clone()).unwrap()))
        .collect();
    SpanData { kind, attributes, end_unix_ns: 1, ..SpanData::default() }
}

fn dictionary(span: &SpanData) -> Json {
    serde_json::from_str(&to_dict(span)).unwrap()
}

fn metadata(span: &SpanData) -> Json {
    dictionary(span)["metadata"].clone()
}

#[test]
fn the_class_is_that_of_the_type_or_else_of_the_kind() {
    let cases = [
        (Kind::Agent, None, Class::Agent, "langchain:agent"),
        (Kind::Llm, None, Class::Llm, "langchain:llm"),
        (Kind::Response, None, Class::Llm, "langchain:llm"),
        (Kind::Tool, None, Class::Tool, "langchain:tool"),
        (Kind::Retrieval, None, Class::Tool, "langchain:tool"),
        (Kind::Chain, None, Class::Span, "langchain:node"),
        (Kind::Custom, None, Class::Span, "langchain:node"),
        (Kind::Tool, Some("my:tool"), Class::Tool, "langchain:tool"),
        (Kind::Custom, Some("langchain:llm"), Class::Llm, "langchain:llm"),
        (Kind::Custom, Some("langchain:tool:search"), Class::Tool, "langchain:tool"),
        (Kind::Custom, Some("langchain:tools"), Class::Span, "langchain:tools"),
        (Kind::Agent, Some("langchain:é"), Class::Span, "langchain:é"),
    ];
    for (kind, type_name, class, written) in cases {
        let mut span = span(kind, &[]);
        span.attributes.extend(type_name.map(|name| (names::TYPE.to_owned(), name.into())));
        assert_eq!((Class::of(&span), dictionary(&span)["type"].as_str()), (class, Some(written)));
        let is_told = type_name.is_none_or(|name| name == written);
        assert_eq!(metadata(&span).get(names::TYPE).is_none(), is_told, "{type_name:?}");
    }
}

#[test]
fn a_kind_that_the_type_does_not_tell_is_metadata() {
    for &kind in Kind::ALL {
        let type_name = dictionary(&span(kind, &[]))["type"].as_str().unwrap().to_owned();
        let read = match metadata(&span(kind, &[])).get(names::KIND) {
            Some(told) => Kind::from_name(told.as_str().unwrap()),
            None => Kind::from_name_in(spanring::System::Langchain, &type_name),
        };
        // A span of no kind is a node, and no chain.
        let expected = if kind == Kind::Custom { Kind::Chain } else { kind };
        assert_eq!(read, Some(expected), "{kind:?}");
    }
}

#[test]
fn statuses_are_those_of_the_sdk_and_what_they_do_not_say_is_metadata() {
    let of = |status: Status, change: fn(&mut SpanData)| {
        let mut span = SpanData { status, ..span(Kind::Tool, &[]) };
        change(&mut span);
        let dictionary = dictionary(&span);
        (dictionary["status"].clone(), dictionary["metadata"].clone(), dictionary["end_time"].is_null())
    };
    let said = |word: &'static str| (names::FOREIGN_STATUS.to_owned(), Value::from(word));
    assert_eq!(of(Status::Unset, |_| {}), (json!("completed"), json!({}), false));
    assert_eq!(of(Status::Ok, |_| {}), (json!("completed"), json!({}), false));
    assert_eq!(of(Status::Error, |_| {}), (json!("failed"), json!({}), false));
    assert_eq!(of(Status::Unset, |span| span.is_open = true), (json!("pending"), json!({}), true));
    assert_eq!(of(Status::Unset, |span| span.is_pending = true), (json!("pending"), json!({}), false));
    let cancelled = json!({"spanring.status": "cancelled"});
    assert_eq!(of(Status::Cancelled, |_| {}), (json!("completed"), cancelled, false));
    let timed_out = json!({"spanring.status": "timed_out"});
    assert_eq!(of(Status::TimedOut, |_| {}), (json!("failed"), timed_out, false));
    let interrupted = json!({"spanring.interrupted": true});
    assert_eq!(of(Status::Error, |span| span.interrupted = true), (json!("failed"), interrupted, false));

    for word in ["pending", "running", "completed", "failed"] {
        let mut span = span(Kind::Tool, &[]);
        span.attributes.push(said(word));
        assert_eq!((dictionary(&span)["status"].clone(), metadata(&span)), (json!(word), json!({})));
        span.interrupted = true;
        assert_eq!(dictionary(&span)["status"], "failed");
    }
    let mut other = span(Kind::Tool, &[]);
    other.attributes.push(said("unknown"));
    assert_eq!(dictionary(&other)["status"], "completed");
    assert_eq!(metadata(&other), json!({"spanring.foreign.status": "unknown"}));
}

#[test]
fn an_error_has_a_type_and_a_message_always_and_a_trace_where_there_is_one() {
    let error = |status, message: &str, attributes: &[(&str, Json)]| {
        let span = SpanData { status, status_message: message.to_owned(), ..span(Kind::Tool, attributes) };
        let dictionary = dictionary(&span);
        (dictionary.get("error").cloned(), dictionary["metadata"].clone())
    };
    let with = |error: Json| (Some(error), json!({}));
    let nothing = || with(json!({"error_type": "error", "message": ""}));
    assert_eq!(error(Status::Error, "", &[]), nothing());
    let said = with(json!({"error_type": "E", "message": "m", "stacktrace": "at f"}));
    let all = [(names::ERROR_TYPE, json!("E")), (names::ERROR_STACKTRACE, json!("at f"))];
    assert_eq!(error(Status::Error, "m", &all), said);
    assert_eq!(error(Status::Ok, "m", &all), said);
    assert_eq!(error(Status::Error, "", &[(names::ERROR_STACKTRACE, json!(""))]), nothing());
    let timed_out = error(Status::TimedOut, "late", &[]).0;
    assert_eq!(timed_out, Some(json!({"error_type": "timed_out", "message": "late"})));
    assert_eq!(error(Status::Ok, "well", &[]), (None, json!({"spanring.status_message": "well"})));
    // What is no text is no type.
    let odd = error(Status::Ok, "", &[(names::ERROR_TYPE, json!(7))]);
    assert_eq!(odd, (None, json!({"error.type": 7})));
}

#[test]
fn what_a_class_has_no_field_for_is_among_inputs_and_outputs_or_metadata() {
    let messages = json!([{"role": "user", "content": "hi"}]);
    let agent = span(
        Kind::Agent,
        &[
            (names::INPUT_MESSAGES, messages.clone()),
            (names::OUTPUT_MESSAGES, messages.clone()),
            (names::SYSTEM_INSTRUCTIONS, json!("be brief")),
            (names::REQUEST_MODEL, json!("gpt-4o")),
        ],
    );
    let written = dictionary(&agent);
    assert_eq!(written["inputs"], json!({"messages": messages, "system": "be brief"}));
    assert_eq!(written["outputs"], json!({"messages": messages}));
    assert_eq!(written["metadata"], json!({"gen_ai.request.model": "gpt-4o"}));

    let taken = span(
        Kind::Tool,
        &[
            (names::INPUT, json!({"query": "mine"})),
            (names::OUTPUT, json!(["no map"])),
            (names::RETRIEVAL_QUERY, json!("asked")),
            (names::TOOL_CALL_RESULT, json!(3)),
        ],
    );
    let written = dictionary(&taken);
    assert_eq!((&written["inputs"], &written["outputs"]), (&json!({"query": "mine"}), &json!(["no map"])));
    let left = json!({"gen_ai.retrieval.query.text": "asked", "gen_ai.tool.call.result": 3});
    assert_eq!(written["metadata"], left);

    // Null is not the same as nothing said.
    let null = span(Kind::Tool, &[(names::INPUT, Json::Null), (names::TOOL_CALL_ARGUMENTS, Json::Null)]);
    assert_eq!((&dictionary(&null)["inputs"], &dictionary(&null)["arguments"]), (&Json::Null, &Json::Null));
}

#[test]
fn usage_has_all_three_counts_or_is_not_there() {
    let usage = |attributes: &[(&str, Json)]| {
        let dictionary = dictionary(&span(Kind::Llm, attributes));
        (dictionary.get("token_usage").cloned(), dictionary["metadata"].clone())
    };
    let counts = |input: Json, output: Json, total: Json| json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": total});
    let (input, output) = ((names::USAGE_INPUT_TOKENS, json!(12)), (names::USAGE_OUTPUT_TOKENS, json!(7)));
    assert_eq!(usage(&[]), (None, json!({})));
    let both = [input.clone(), output.clone()];
    assert_eq!(usage(&both), (Some(counts(json!(12), json!(7), json!(19))), json!({})));
    let all = [input.clone(), output, (names::USAGE_TOTAL_TOKENS, json!(20))];
    assert_eq!(usage(&all), (Some(counts(json!(12), json!(7), json!(20))), json!({})));
    assert_eq!(usage(&[input]), (Some(counts(json!(12), Json::Null, Json::Null)), json!({})));
    let huge = [(names::USAGE_INPUT_TOKENS, json!(u64::MAX)), (names::USAGE_OUTPUT_TOKENS, json!(1))];
    assert_eq!(usage(&huge).0.unwrap()["total_tokens"], json!(u64::MAX));
    let odd = [(names::USAGE_INPUT_TOKENS, json!("12")), (names::USAGE_CACHED_TOKENS, json!(3))];
    let left = json!({"gen_ai.usage.input_tokens": "12", "gen_ai.usage.cache_read.input_tokens": 3});
    assert_eq!(usage(&odd), (None, left));
}

#[test]
fn milliseconds_are_whole_where_they_are_whole() {
    for (ms, written) in [(json!(12.0), "12"), (json!(12.5), "12.5"), (json!(1e300), "1e+300")] {
        let span = span(Kind::Tool, &[(names::TOOL_EXECUTION_MS, ms)]);
        assert!(
            to_dict(&span).contains(&format!("\"execution_time_ms\": {written}, ")),
            "{}",
            to_dict(&span)
        );
    }
}

#[test]
fn a_key_of_metadata_that_is_taken_stays_and_nothing_is_lost() {
    let mut span = span(
        Kind::Agent,
        &[
            ("user.id", json!("u0")),
            (names::METADATA, json!({"user.id": "mine", "user.id'": "too"})),
            ("user.id", json!("u1")),
        ],
    );
    span.cut = 2;
    span.events.push(EventData { name: "e".to_owned(), time_unix_ns: 1_500_000_000, attributes: Vec::new() });
    span.links.push(LinkData {
        trace_id: TraceId::from_bytes([1; 16]),
        span_id: SpanId::from_bytes([2; 8]),
        attributes: vec![("n".to_owned(), 1.into())],
    });
    assert_eq!(
        metadata(&span),
        json!({
            "user.id": "mine", "user.id'": "too", "user.id''": "u1", "spanring.cut": 2,
            "spanring.events": [{"name": "e", "time": 1.5, "attributes": {}}],
            "spanring.links": [{"trace_id": "01".repeat(16), "span_id": "02".repeat(8), "attributes": {"n": 1}}],
        })
    );
    let text = self::span(Kind::Agent, &[(names::METADATA, json!("no map"))]);
    assert_eq!(metadata(&text), json!({"spanring.metadata": "no map"}));
}

#[test]
fn what_json_has_not_is_text() {
    let odd =
        [("b", Value::Bytes(vec![0, 255])), ("f", Value::F64(f64::NAN)), ("g", Value::F64(f64::INFINITY))];
    let attributes = vec![(names::TOOL_CALL_ARGUMENTS.to_owned(), Value::from_iter(odd))];
    let span = SpanData { kind: Kind::Tool, attributes, ..SpanData::default() };
    assert_eq!(dictionary(&span)["arguments"], json!({"b": "AP8=", "f": "NaN", "g": "Infinity"}));
}
