//! What each assertion accepts, and what it says when it fails.

use std::collections::BTreeMap;

use serde_json::json;
use spanring::{Kind, Status, names};
use spanring_spool::Value;
use spanring_spool::memory::{MemoryRecorder, Spans};

use super::{complaint, start};

/// A run of an agent with a bit of everything.
fn recorded() -> Spans {
    let recorder = start();
    let run = spanring::trace("research").start();
    let call = run.llm("gpt-4o").start();
    call.event("retry");
    call.event("first token");
    call.set("attempt", 2);
    call.complete();
    let call = run.tool("search").start();
    call.child("resolve").start().cancel();
    call.fail("rate limited");
    drop(run);
    recorder.stop()
}

const TREE: &str = "\
research (agent)
  chat gpt-4o (llm) ok
    · event: retry
    · event: first token
  execute_tool search (tool) error: rate limited
    resolve cancelled
";

#[test]
fn the_tree_is_text_without_times_and_identities() {
    assert_eq!((recorded().tree().as_str(), recorded().tree()), (TREE, TREE.to_owned()));
    let with = recorded().tree_with(&["attempt", "gen_ai.request.model"]);
    assert!(with.contains("    · attempt = 2\n    · gen_ai.request.model = \"gpt-4o\"\n"), "{with}");
}

#[test]
fn what_is_not_asked_for_is_not_compared() {
    let spans = recorded();
    for expected in [
        TREE,
        "research\n  chat gpt-4o\n  execute_tool search error\n    resolve cancelled",
        "research\n  ...\n  execute_tool search error\n    ...",
        "research\n  ...",
        "...",
        "...\nresearch\n  ...\n...",
        "
        research (agent)
          chat gpt-4o (llm)
            · event: first token
            · attempt = 2

          ...
          ",
        "research\n  chat gpt-4o\n    · attempt = ...\n    · event: retry\n  ...",
    ] {
        spans.assert_tree(expected);
    }
}

#[test]
fn a_difference_is_told_line_by_line() {
    let spans = recorded();
    let message = complaint(|| {
        spans.assert_tree(
            "
            research (agent)
              plan
                ...
              chat gpt-4o (llm) ok
                · event: first token
                · event: retry
                · attempt = 3
                · tries = 1
              execute_tool search (tool) ok
            ",
        )
    });
    let expected = format!(
        "what was recorded is not what was expected (- expected, + recorded):

  research (agent)
-   plan
      ...
    chat gpt-4o (llm) ok
      · event: first token
-     · event: retry
-     · attempt = 3
+     · attempt = 2
-     · tries = 1
+     · event: retry
-   execute_tool search (tool) ok
+   execute_tool search (tool) error: rate limited
+     resolve cancelled

recorded is
{TREE}"
    );
    assert_eq!(message, expected);
}

#[test]
fn another_kind_status_message_name_or_place_is_not_accepted() {
    let spans = recorded();
    for (from, to) in [
        ("research (agent)", "research (task)"),
        ("research (agent)", "research (agent) ok"),
        ("chat gpt-4o", "chat gpt-4"),
        (") ok", ") error"),
        ("rate limited", "rate"),
        ("error: rate limited", "cancelled"),
        ("error: rate limited", "open"),
        ("(tool) error: rate limited", "(tool)"),
        ("    resolve", "  resolve"),
        ("    resolve cancelled\n", ""),
        ("event: retry", "event: other"),
    ] {
        let expected = TREE.replacen(from, to, 1);
        assert_ne!(expected, TREE);
        let message = complaint(|| spans.assert_tree(&expected));
        assert!(message.starts_with("what was recorded is not what was expected"), "{message}");
    }
    assert!(complaint(|| spans.assert_tree("")).contains("+     resolve cancelled"));
    assert!(complaint(|| spans.assert_tree("a\n   b")).starts_with("line 2 of what is expected is indented"));
}

#[test]
fn one_span_is_found_or_what_there_is_is_told() {
    let spans = recorded();
    assert_eq!(spans.one("resolve").kind, Kind::Custom);
    assert_eq!(
        complaint(|| spans.one("plan").span()),
        format!("there are 0 spans \"plan\" where one is expected; recorded is\n{TREE}")
    );
    let recorder = start();
    for _ in 0..2 {
        drop(spanring::span("twice").start());
    }
    assert_eq!(
        complaint(|| recorder.spans().one("twice").span().clone()),
        "there are 2 spans \"twice\" where one is expected; recorded is\ntwice\ntwice\n"
    );
    assert_eq!(recorder.spans().named("twice").len(), 2);
}

#[test]
fn spans_are_asked_for_by_where_they_stand() {
    let spans = recorded();
    let names = |found: Vec<spanring_spool::memory::Found<'_>>| {
        found.iter().map(|found| found.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(spans.roots()), ["research"]);
    assert_eq!(names(spans.one("research").children()), ["chat gpt-4o", "execute_tool search"]);
    assert_eq!(names(spans.children_of(&spans.one("execute_tool search"))), ["resolve"]);
    assert_eq!(spans.one("resolve").parent().unwrap().name, "execute_tool search");
    assert!(spans.one("research").parent().is_none() && spans.open().is_empty());

    let (run, resolve) = (spans.one("research"), spans.one("resolve"));
    resolve.assert_under(&spans.one("execute_tool search"));
    assert_eq!(
        complaint(|| resolve.assert_under(&run)),
        "span \"resolve\" is not under \"research\", but under span \"execute_tool search\""
    );
    assert_eq!(
        complaint(|| run.assert_under(&resolve)),
        "span \"research\" is not under \"resolve\", but a root"
    );
    let only = Spans::clone(&spans).into_vec().pop().unwrap();
    assert_eq!(only.name, "resolve");
}

#[test]
fn an_attribute_is_compared_as_what_was_recorded() {
    let recorder = start();
    let span = spanring::span("all").start();
    let map = BTreeMap::from([("a", 1), ("b", 2)]);
    span.set("bool", true);
    span.set("int", -1);
    span.set("long", u64::MAX);
    span.set("float", 1.5);
    span.set("text", "text");
    span.set_value("list", &[1, 2]);
    span.set_value("map", &map);
    span.set_value("null", &None::<u8>);
    span.set("twice", 1);
    span.set("twice", 2);
    drop(span);
    let spans = recorder.spans();
    let span = spans.one("all");
    span.assert_attribute("bool", true)
        .assert_attribute("int", -1_i64)
        .assert_attribute("int", -1_i8)
        .assert_attribute("long", u64::MAX)
        .assert_attribute("float", 1.5)
        .assert_attribute("text", "text")
        .assert_attribute("text", String::from("text"))
        .assert_attribute("list", vec![1, 2])
        .assert_attribute("map", &map)
        .assert_attribute("map", json!({"b": 2, "a": 1}))
        .assert_attribute("map", Value::from_iter([("b", 2), ("a", 1)]))
        .assert_attribute("null", None::<u8>)
        .assert_attribute("null", json!(null))
        .assert_attribute("twice", 2)
        .assert_no_attribute("absent");
    for (key, wrong) in [
        ("bool", json!(1)),
        ("int", json!(1)),
        ("long", json!(-1)),
        ("float", json!(1)),
        ("text", json!("tex")),
        ("list", json!([1])),
        ("list", json!([2, 1])),
        ("map", json!({"a": 1})),
        ("map", json!({"a": 1, "b": 2, "c": 3})),
        ("map", json!({"a": 1, "c": 2})),
        ("null", json!("")),
        ("twice", json!(1)),
    ] {
        let message = complaint(|| span.assert_attribute(key, &wrong));
        assert!(message.starts_with(&format!("of span \"all\", attribute {key:?} is\n  ")), "{message}");
    }
    assert_eq!(
        complaint(|| span.assert_attribute("list", "text")),
        "of span \"all\", attribute \"list\" is\n  [1, 2]\nand not\n  \"text\""
    );
    assert_eq!(
        complaint(|| span.assert_no_attribute("map")),
        "span \"all\" has an attribute \"map\": {\"a\": 1, \"b\": 2}"
    );
    drop(recorder);
    let chat = recorded();
    let message = complaint(|| chat.one("chat gpt-4o").assert_attribute("absent", 1));
    assert!(message.starts_with("span \"chat gpt-4o\" has no attribute \"absent\", but"), "{message}");
    assert!(message.contains("\n  · attempt = 2"), "{message}");
}

#[test]
fn status_and_events_are_asserted() {
    let spans = recorded();
    spans.one("chat gpt-4o").assert_status(Status::Ok).assert_event("retry").assert_event("first token");
    assert_eq!(
        complaint(|| spans.one("execute_tool search").assert_status(Status::Ok)),
        "the status of span \"execute_tool search\" is error: rate limited, and not ok"
    );
    assert_eq!(
        complaint(|| spans.one("chat gpt-4o").assert_event("done")),
        "span \"chat gpt-4o\" has no event \"done\", but [\"retry\", \"first token\"]"
    );
    let recorder = start();
    let _open = spanring::span("open").start();
    assert_eq!(
        complaint(|| drop(recorder.spans().one("open").assert_status(Status::Unset).span().clone())),
        "span \"open\" is open, so its status is not unset yet"
    );
}

#[test]
fn what_several_threads_do_at_once_is_written_in_any_order() {
    let recorder = start();
    let run = spanring::trace("run").start();
    std::thread::scope(|scope| {
        for name in ["c", "a", "b"] {
            let context = run.context();
            scope.spawn(move || context.in_scope(|| drop(spanring::span(name).start())));
        }
    });
    drop(run);
    recorder.spans().in_any_order().assert_tree("run (agent)\n  a\n  b\n  c");
}

#[test]
fn a_value_that_is_combined_is_asserted_as_it_is_read() {
    let recorder = MemoryRecorder::start().unwrap();
    let span = spanring::span("tagged").start();
    span.tag("a");
    span.tag("b");
    drop(span);
    recorder.spans().one("tagged").assert_attribute(names::TAGS, ["a", "b"]);
}
