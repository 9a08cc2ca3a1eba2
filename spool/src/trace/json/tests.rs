use proptest::prelude::*;

use super::super::tests::{Made, arbitrary, trace};
use super::*;

fn line(span: &SpanData) -> String {
    serde_json::to_string(&Json(span)).unwrap()
}

/// Without NaN, which is equal to nothing.
fn shown(span: &SpanData) -> String {
    format!("{span:?}")
}

fn bits(value: &Value) -> Vec<u64> {
    match value {
        Value::F64(value) => vec![value.to_bits()],
        Value::List(values) => values.iter().flat_map(bits).collect(),
        Value::Map(pairs) => pairs.iter().flat_map(|(_, value)| bits(value)).collect(),
        _ => Vec::new(),
    }
}

fn read_back(value: Value) -> Value {
    let span = Made::new(1).with("key", value).span();
    let read = read_span(line(&span).as_bytes()).unwrap();
    assert_eq!(read.attributes.len(), 1);
    read.attributes.into_iter().next().unwrap().1
}

fn nested(depth: usize, wrap: impl Fn(Value) -> Value) -> Value {
    (0..depth).fold(Value::Null, |value, _| wrap(value))
}

proptest! {
    #[test]
    fn a_span_is_read_back_as_it_was(span in arbitrary::span()) {
        let read = read_span(line(&span).as_bytes()).unwrap();
        prop_assert_eq!(shown(&read), shown(&span));
        let of = |span: &SpanData| span.attributes.iter().flat_map(|(_, value)| bits(value)).collect::<Vec<_>>();
        prop_assert_eq!(of(&read), of(&span));
    }

    #[test]
    fn whatever_is_read_is_refused_or_read_back_as_it_was_read(text in "\\{(\"(\\$map|\\$int|a)\":)?[\\[\\]{},0-9\"a:-]{0,20}\\}") {
        let line_with = format!(r#"{{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331",
            "name":"","start_unix_ns":1,"end_unix_ns":"2","attributes":{{"a":{text}}}}}"#);
        if let Ok(span) = read_span(line_with.as_bytes()) {
            prop_assert_eq!(shown(&read_span(line(&span).as_bytes()).unwrap()), shown(&span));
        }
    }
}

#[test]
fn a_span_looks_as_it_is_told_here() {
    let span = Made::new(7).under(3).kind(Kind::Llm).status(Status::Error, "too late").tokens(12, 7).span();
    let expected = concat!(
        r#"{"trace_id":"30313233343536373839616263646566","span_id":"0700000000000000","#,
        r#""parent_id":"0300000000000000","name":"span 7","kind":"llm","status":"error","status_message":"too late","#,
        r#""start_unix_ns":"7000","end_unix_ns":"8000","#,
        r#""attributes":{"gen_ai.usage.input_tokens":12,"gen_ai.usage.output_tokens":7}}"#,
    );
    assert_eq!(line(&span), expected);
}

#[test]
fn values_that_json_does_not_have_are_escaped() {
    let pairs = |keys: [&str; 2]| Value::from_iter(keys.map(|key| (key, 1)));
    for (value, text) in [
        (Value::from(1_i64 << 53), r#"9007199254740992"#),
        (Value::from((1_i64 << 53) + 1), r#"{"$int":"9007199254740993"}"#),
        (Value::from(i64::MIN), r#"{"$int":"-9223372036854775808"}"#),
        (Value::from(u64::MAX), r#"{"$int":"18446744073709551615"}"#),
        (Value::from(5.0), "5.0"),
        (Value::from(f64::NEG_INFINITY), r#"{"$f64":"-Infinity"}"#),
        (Value::from(f64::from_bits(0x7ff8_0000_0000_0001)), r#"{"$f64":"0x7ff8000000000001"}"#),
        (Value::Bytes(vec![0, 255]), r#"{"$bytes":"AP8="}"#),
        (pairs(["b", "a"]), r#"{"b":1,"a":1}"#),
        (pairs(["a", "a"]), r#"{"$map":[["a",1],["a",1]]}"#),
        (pairs(["a", "$int"]), r#"{"$map":[["a",1],["$int",1]]}"#),
        (pairs(["$ref", "a"]), r#"{"$ref":1,"a":1}"#),
    ] {
        assert_eq!(serde_json::to_string(&Nested { value: &value, depth: 0 }).unwrap(), text);
        assert_eq!(format!("{:?}", read_back(value.clone())), format!("{value:?}"));
    }
}

#[test]
fn an_integer_is_read_back_as_signed_if_it_fits() {
    assert_eq!(read_back(Value::U64(5)), Value::I64(5));
    assert_eq!(read_back(Value::U64(i64::MAX as u64)), Value::I64(i64::MAX));
    assert_eq!(read_back(Value::U64(u64::MAX)), Value::U64(u64::MAX));
}

#[test]
fn nesting_is_kept_up_to_the_limit() {
    let list = |value| Value::List(vec![value]);
    let map = |value: Value| Value::Map(vec![("a".into(), Value::Null), ("a".into(), value)]);
    for value in [nested(DEPTH_MAX, list), nested(DEPTH_MAX, map)] {
        assert_eq!(read_back(value.clone()), value);
    }
    for value in [nested(DEPTH_MAX + 1, list), nested(DEPTH_MAX + 1, map)] {
        let span = Made::new(1).with("key", value).span();
        assert!(is_too_deep(&span));
        let within = trace(vec![span]).to_json().to_string();
        assert_eq!(within.matches('[').count(), within.matches(']').count());
    }
}

#[test]
fn what_is_wrong_is_said_without_showing_what_stands_there() {
    let good = line(&Made::new(1).span());
    let with = |member: &str| good.replace("{\"trace_id\"", &format!("{{{member},\"trace_id\""));
    let deep = format!(r#""attributes":{{"a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let bomb = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (text, reason) in [
        (String::new(), "column 0: EOF while parsing a value"),
        ("{}".to_owned(), "the span has no `trace_id`"),
        ("[]".to_owned(), "the span is no object"),
        (format!("{good}{good}"), "column 137: trailing characters"),
        (good.replace("\"30", "\"3x"), "`trace_id` is not 32 hexadecimal digits"),
        (good.replace("\"1000\"", "\"+1000\""), "`start_unix_ns` is no decimal number of 64 bits"),
        (good.replace("\"1000\"", "-1"), "`start_unix_ns` is no decimal number of 64 bits"),
        (good.replace("\"1000\"", "1.5"), "`start_unix_ns` is no decimal number of 64 bits"),
        (
            good.replace("\"1000\"", "\"99999999999999999999\""),
            "`start_unix_ns` is no decimal number of 64 bits",
        ),
        (with(r#""kind":"secret""#), "`kind` names no kind"),
        (with(r#""status":7"#), "`status` names no status"),
        (with(r#""is_open":"secret""#), "`is_open` is neither true nor false"),
        (with(r#""cut":4294967296"#), "`cut` is no whole number of 32 bits"),
        (with(r#""trase_id":"secret""#), "the span has a member `trase_id` that is unknown, or stands twice"),
        (with(r#""name":"secret""#), "the span has a member `name` that is unknown, or stands twice"),
        (
            with(r#""events":[{"name":"a","time_unix_ns":1},{"name":"a"}]"#),
            "`events` at 1: an event has no `time_unix_ns`",
        ),
        (with(r#""links":{}"#), "`links` is no list"),
        (with(r#""attributes":[["secret"]]"#), "`attributes` is no list of pairs of a text and a value"),
        (
            with(r#""attributes":{"secret":{"$bytes":"secret"}}"#),
            "`attributes` `$bytes` holds nothing that belongs there",
        ),
        (with(r#""attributes":{"secret":{"$int":5}}"#), "`attributes` `$int` is no text"),
        (
            with(r#""attributes":{"secret":{"$f64":"5"}}"#),
            "`attributes` `$f64` holds nothing that belongs there",
        ),
        (
            with(r#""attributes":{"secret":{"$map":[["secret",{"$int":""}]]}}"#),
            "`attributes` `$map` `$int` holds nothing that belongs there",
        ),
        (
            with(r#""attributes":{"secret":{"$int":"5","secret":1}}"#),
            "`attributes` `$int` has members beside it",
        ),
        (with(&deep), "a value is nested deeper than 128 lists and maps"),
        (bomb, "column 393: more than 392 lists and objects in each other"),
    ] {
        assert_eq!(read_span(text.as_bytes()).unwrap_err(), reason, "{text:.200}");
    }
}

#[test]
fn numbers_of_arbitrary_precision_are_numbers() {
    let number = |text: &str| {
        let number = format!(r#"{{"$serde_json::private::Number":"{text}"}}"#);
        let good = line(&Made::new(1).with("key", 7).span());
        read_span(good.replace(":7}", &format!(":{number}}}")).as_bytes()).unwrap().attributes.remove(0).1
    };
    assert_eq!([number("-3"), number("1.5")], [Value::I64(-3), Value::F64(1.5)]);
}
