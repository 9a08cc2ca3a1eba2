//! What the options `fields` and `args` record of a call's arguments.

use std::borrow::Cow;
use std::sync::Arc;

use spanring::names;
use spanring::prelude::*;

use crate::flight::{Flight, Plan, Value};

#[derive(Debug, serde::Serialize)]
struct Query {
    text: String,
    top: u32,
}

fn query() -> Query {
    Query { text: "why?".to_owned(), top: 3 }
}

#[test]
fn a_field_is_recorded_as_its_sign_says() {
    #[span(fields(
        model,
        count = query.top,
        text = query.text,
        gen_ai.request.model = model,
        "any key" = query.top * 2,
        shown = %query.text,
        debugged = ?query,
        serialized = #query,
        type = "raw",
    ))]
    fn ask(model: String, query: Query) -> (String, Query) {
        // Nothing was taken from the body.
        (model, query)
    }

    let mut flight = Flight::start(Plan::default());
    ask("mistral-small".to_owned(), query());
    let span = flight.take_one();
    let expected = [
        ("model", Value::text("mistral-small")),
        ("count", Value::U64(3)),
        ("text", Value::text("why?")),
        ("gen_ai.request.model", Value::text("mistral-small")),
        ("any key", Value::U64(6)),
        ("shown", Value::text("why?")),
        ("debugged", Value::text("Query { text: \"why?\", top: 3 }")),
        ("serialized", Value::packed(&query())),
        ("type", Value::text("raw")),
    ];
    assert_eq!(span.keys(), expected.each_ref().map(|(key, _)| *key));
    for (key, value) in expected {
        assert_eq!(span.get(key), Some(&value), "{key}");
    }
}

#[test]
fn a_variable_alone_is_the_key_and_the_value() {
    #[span(fields(plain, %shown, ?debugged, #serialized, r#type))]
    fn of_variables(plain: &u32, shown: &str, debugged: &str, serialized: &[u32], r#type: bool) {}

    let mut flight = Flight::start(Plan::default());
    of_variables(&1, "a", "a", &[1, 2], true);
    let span = flight.take_one();
    assert_eq!(span.get("plain"), Some(&Value::U64(1)));
    assert_eq!(span.get("shown"), Some(&Value::text("a")));
    assert_eq!(span.get("debugged"), Some(&Value::text("\"a\"")));
    assert_eq!(span.get("serialized"), Some(&Value::packed(&[1, 2])));
    assert_eq!(span.get("type"), Some(&Value::Bool(true)));
}

#[test]
fn fields_take_what_can_be_an_attribute_behind_any_pointer() {
    struct Held {
        shared: Arc<str>,
        boxed: Box<i64>,
        maybe: Option<String>,
        none: Option<u8>,
        bytes: Vec<u8>,
    }

    impl Held {
        #[span(fields(
            shared = self.shared, boxed = self.boxed, maybe = self.maybe, none = self.none, bytes = self.bytes,
            cow = Cow::Borrowed("cow"), float = 0.5, array = *b"ab", reference = &&7_u64,
        ))]
        fn all(&self) {}
    }

    let mut flight = Flight::start(Plan::default());
    let held = Held {
        shared: "shared".into(),
        boxed: Box::new(-1),
        maybe: Some("some".to_owned()),
        none: None,
        bytes: vec![1],
    };
    held.all();
    let span = flight.take_one();
    let expected = [
        ("shared", Value::text("shared")),
        ("boxed", Value::I64(-1)),
        ("maybe", Value::text("some")),
        ("bytes", Value::Bytes(vec![1])),
        ("cow", Value::text("cow")),
        ("float", Value::F64(0.5)),
        ("array", Value::Bytes(b"ab".to_vec())),
        ("reference", Value::U64(7)),
    ];
    assert_eq!(span.keys(), expected.each_ref().map(|(key, _)| *key));
    for (key, value) in expected {
        assert_eq!(span.get(key), Some(&value), "{key}");
    }
}

struct Client;

impl Client {
    #[span(args)]
    async fn ask(&self, query: String) -> String {
        query
    }
}

/// In the order in which they are given: a map as the crate `serde_json` would write it.
fn map(entries: &[(&str, serde_json::Value)]) -> Value {
    struct Map<'a>(&'a [(&'a str, serde_json::Value)]);
    impl serde::Serialize for Map<'_> {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
        }
    }
    Value::packed(&Map(entries))
}

#[test]
fn arguments_are_recorded_where_that_is_asked_for_but_those_that_are_skipped() {
    #[span(kind = tool, args, skip(client, secret))]
    fn search(
        client: &Client,
        query: &str,
        (from, to): (u8, u8),
        secret: &str,
        _: Client,
        top: impl serde::Serialize,
    ) {
        _ = (client, query, from, to, secret, top);
    }

    #[span(args)]
    fn nothing() {}

    let mut flight = Flight::start(Plan::default());
    search(&Client, "why?", (1, 2), "key", Client, 3);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(Client.ask("why?".to_owned()));
    nothing();
    let [search, ask, nothing] = flight.take().try_into().unwrap();
    let arguments = [("query", "why?".into()), ("from", 1.into()), ("to", 2.into()), ("top", 3.into())];
    assert_eq!(search.get(names::TOOL_CALL_ARGUMENTS), Some(&map(&arguments)));
    assert_eq!(search.keys(), [names::TOOL_NAME, names::TOOL_CALL_ARGUMENTS]);
    assert_eq!(ask.get(names::INPUT), Some(&map(&[("query", "why?".into())])));
    assert_eq!(nothing.get(names::INPUT), Some(&map(&[])));
}
