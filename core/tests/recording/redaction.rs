//! What must not be recorded never reaches a ring or table.

mod content;
mod nested;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use proptest::prelude::*;
use serde::Serialize;
use spanring::recorder::Limits;
use spanring::redaction::{Capture, Redaction, SECRET_KEYS, Value as Given, Verdict};
use spanring::{Ended, Hooks, Span, names, span, span_named};

use crate::flight::{Flight, Plan, Value};

/// A secret that is told by how it begins; no other text of these tests has a Q in it.
const SECRET: &str = "sk-Q7dQx2QnQ0QzpQfQ3gQuQ9Q1Q";
/// How many letters of it give it away.
const TOLD: usize = 6;

pub(super) fn hooks(redaction: Redaction) -> Hooks {
    Hooks { redaction: Some(Arc::new(redaction)), ..Hooks::default() }
}

pub(super) fn plan(redaction: Redaction) -> Plan {
    Plan { hooks: hooks(redaction), ..Plan::default() }
}

/// The text without what begins as the secret does and is as long.
#[expect(clippy::unnecessary_wraps, reason = "it is what a redactor gives")]
fn without_secrets(_: &str, text: &str) -> Option<String> {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("sk-") {
        let (before, from) = rest.split_at(at);
        let len = 3 + from[3..].bytes().take_while(u8::is_ascii_alphanumeric).count();
        shown.push_str(before);
        shown.push_str(if len >= 23 { "[secret]" } else { &from[..len] });
        rest = &from[len..];
    }
    shown.push_str(rest);
    Some(shown)
}

/// Displays its text in pieces of this length, in bytes.
struct Pieces<'a>(&'a str, usize);

impl fmt::Display for Pieces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while !rest.is_empty() {
            let at = (self.1..).find(|&at| rest.is_char_boundary(at.min(rest.len()))).unwrap();
            let (piece, after) = rest.split_at(at.min(rest.len()));
            f.write_str(piece)?;
            rest = after;
        }
        Ok(())
    }
}

impl Serialize for Pieces<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An error whose message and cause are displayed in pieces.
struct Refused<'a>(&'a str, Option<Box<Refused<'static>>>);

impl fmt::Debug for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Refused { .. }")
    }
}

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Pieces(self.0, 5), f)
    }
}

impl Error for Refused<'_> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.1.as_ref().map(|cause| &**cause as _)
    }
}

#[derive(Serialize)]
enum Login<'a> {
    Token { text: &'a str },
    Basic(&'a str, &'a str),
    Key(&'a str),
}

/// Puts a text somewhere into a span.
type Plant = fn(&Span, &str);

/// All places where text made at run time can go.
const PLACES: &[(&str, Plant)] = &[
    ("an attribute", |span, text| _ = span.set("text", text)),
    ("a string", |span, text| _ = span.set("text", text.to_owned())),
    ("a key", |span, text| _ = span.set_named(text, 1)),
    ("a named attribute", |span, text| _ = span.set_named("text", text)),
    ("a displayed attribute", |span, text| _ = span.set_display("text", &Pieces(text, 7))),
    ("a value", |span, text| _ = span.set_value("value", text)),
    ("a value's key", |span, text| _ = span.set_value_named(text, &1)),
    ("a list", |span, text| _ = span.set_value("value", &(1, [text]))),
    ("a map", |span, text| _ = span.set_value("value", &BTreeMap::from([("a", Some(text))]))),
    ("a map's key", |span, text| _ = span.set_value("value", &BTreeMap::from([(text, 1)]))),
    ("a key of parts", |span, text| _ = span.set_value("value", &BTreeMap::from([((1, text), 1)]))),
    ("a displayed value", |span, text| _ = span.set_value("value", &[Pieces(text, 3)])),
    ("a struct's variant", |span, text| _ = span.set_value("value", &Login::Token { text })),
    ("a tuple's variant", |span, text| _ = span.set_value("value", &Login::Basic("u", text))),
    ("a variant", |span, text| _ = span.set_value("value", &Login::Key(text))),
    ("another name", |span, text| _ = span.rename(text)),
    ("a child's name", |span, text| drop(span.tool(text).start())),
    ("a pending child's name", |_, text| drop(span_named(text).prepare())),
    ("a message", |span, text| _ = span.status_message(text)),
    ("an error that is text", |span, text| _ = span.error(text)),
    ("an error", |span, text| _ = span.error(Refused(text, None))),
    ("a cause", |span, text| {
        let cause = Refused(Box::leak(text.to_owned().into_boxed_str()), None);
        span.error(Refused("refused", Some(Box::new(cause))));
    }),
    ("a displayed error", |_, text| {
        drop(span("failed").start().finish_display(Err::<(), _>(Pieces(text, 2))))
    }),
    ("an event's name", |span, text| _ = span.event_at(text, 1, |_| ())),
    ("an event's attribute", |span, text| _ = span.event_with("event", |event| event.set("text", text))),
    ("an event's key", |span, text| _ = span.event_with("event", |event| event.set_named(text, true))),
    ("an event's value", |span, text| {
        span.event_with("event", |event| event.set_value("value", &[text]));
    }),
    ("a link's attribute", |span, text| {
        span.link_with(span.context(), |link| link.set("text", text));
    }),
    ("a link's value", |span, text| {
        span.link_with(span.context(), |link| link.set_value_named("value", &(text, 1)));
    }),
    ("a label", |span, text| _ = span.label("a", text)),
    ("a tag", |span, text| _ = span.tag(text)),
    ("an output", |span, text| _ = span.output(text)),
    ("a default input", |span, text| {
        drop(span.child("pending").prepare().default_input(&[text]));
    }),
    ("a shared span", |span, text| {
        let shared = span.child("shared").start().shared();
        shared.with(|span| _ = span.set("text", text));
        assert_eq!(shared.fail(text), Ended::Recorded);
    }),
];

/// Whether the files of a flight have as much of the secret in them as gives it away.
fn is_told(flight: &Flight) -> bool {
    let files = flight.files();
    let parts: Vec<&[u8]> = SECRET.as_bytes()[3..].windows(TOLD).filter(|part| part[0] == b'Q').collect();
    let told = |file: &[u8]| {
        // Most pages were never written; a part may begin in one and end in the next.
        let pages = file.chunks(4096).enumerate().filter(|(_, page)| **page != [0; 4096][..page.len()]);
        let starts = pages.flat_map(|(number, page)| (0..page.len()).map(move |at| 4096 * number + at));
        starts.filter(|&at| file[at] == b'Q').any(|at| parts.iter().any(|part| file[at..].starts_with(part)))
    };
    let files = [&files.control, &files.dictionary].into_iter().chain(&files.lanes).chain(&files.tables);
    files.into_iter().any(|file| told(file))
}

/// Whether the secret is in the files after it was put into this place of a span.
fn tells(plant: Plant, text: &str, limits: Limits, redaction: Option<Redaction>) -> bool {
    let hooks = redaction.map(hooks).unwrap_or_default();
    let small = Plan { ring_bytes: 16 << 10, lanes: 2, in_files: true, limits, hooks, ..Plan::default() };
    let flight = Flight::start(small);
    let span = span("span").start();
    plant(&span, text);
    assert_eq!(span.end(), Ended::Recorded);
    is_told(&flight)
}

#[test]
fn a_secret_in_any_place_is_in_the_files_unless_it_is_redacted() {
    for (place, plant) in PLACES {
        let text = format!("before {SECRET} after");
        assert!(tells(*plant, &text, Limits::default(), None), "{place}: the test sees nothing");
        let redaction = Redaction::new().texts(without_secrets);
        assert!(!tells(*plant, &text, Limits::default(), Some(redaction)), "{place}");
        let verdicts = [Verdict::Replace("other".to_owned()), Verdict::LeaveOut];
        for verdict in verdicts {
            let redaction = Redaction::new().values(move |_, value| match value {
                Given::Text(text) if text.contains(SECRET) => verdict.clone(),
                _ => Verdict::Keep,
            });
            assert!(!tells(*plant, &text, Limits::default(), Some(redaction)), "{place}, by value");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_secret_at_any_position_is_not_in_the_files_whatever_is_cut(
        place in prop::sample::select(PLACES),
        before in prop_oneof!["[a-z]{0,40}", "[a-z é€]{700,1200}", "[a-z]{3900,4400}"],
        after in "[a-z]{0,8}",
        value_bytes in prop_oneof![Just(usize::MAX), 1_usize..80, 900_usize..1300],
    ) {
        let limits = Limits { value_bytes, ..Limits::default() };
        let text = format!("{before} {SECRET} {after}");
        let redaction = Redaction::new().texts(without_secrets);
        prop_assert!(!tells(place.1, &text, limits, Some(redaction)), "{}", place.0);
    }
}

#[test]
fn values_are_replaced_or_left_out_by_their_keys_whatever_their_type() {
    let redaction = Redaction::new().keys(SECRET_KEYS).leave_out("gone").leave_out("gone.*");
    let mut flight = Flight::start(plan(redaction));
    let span = span("keys").start();
    span.set("password", 7).set("db.password", true).set("API-Key", 1.5).set("x.Authorization", "Basic x");
    span.set("my.secret", &b"bytes"[..]).set_named("refreshToken", "r").set_value("cookie", &[1, 2]);
    span.set_display("token", &Pieces("displayed", 2));
    span.set("gone", 1).set_named("also.gone", "x").set_value("gone", &[1]).set_display("gone", &"x");
    span.set("gone.too", "x").set("usage.tokens", 12).set("kept", "text");
    span.event_with("event", |event| {
        event.set("password", "p");
        event.set("gone", "x");
        event.set_value("gone", &1);
        event.set_named("kept", 1);
    });
    span.link_with(span.context(), |link| link.set_value("secret_key", &1));
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    let marker = Value::text("[redacted]");
    for key in [
        "password",
        "db.password",
        "API-Key",
        "x.Authorization",
        "my.secret",
        "refreshToken",
        "cookie",
        "token",
    ] {
        assert_eq!(seen.get(key), Some(&marker), "{key}");
    }
    assert_eq!((seen.attributes.len(), seen.left_out), (10, 0), "{:?}", seen.keys());
    assert_eq!(seen.get("usage.tokens"), Some(&Value::I64(12)));
    assert_eq!(seen.get("kept"), Some(&Value::text("text")));
    let event = &seen.events[0].attributes;
    assert_eq!((event.len(), &event[0].value, &event[1].value), (2, &marker, &Value::I64(1)));
    assert_eq!(seen.links[0].attributes[0].value, marker);
    assert_eq!(flight.counters(0).redacted, 8 + 5 + 3 + 1);
    assert_eq!(flight.counters(0).hooks_failed, 0);
}

#[test]
fn what_has_a_type_keeps_it_where_nothing_is_to_be_redacted() {
    let redaction = Redaction::new().key("secret").texts(without_secrets).values(|_, _| Verdict::Keep);
    let mut flight = Flight::start(plan(redaction));
    let span = span_named("typed").start();
    span.set("bool", true)
        .set("i64", -1_i64)
        .set("u64", u64::MAX)
        .set("f64", 0.5)
        .set("text", "t")
        .set("none", None::<i64>);
    span.set("bytes", &b"sk-"[..])
        .set_value("value", &(1, "t", [1.5], Some(false), ()))
        .status_message("message");
    span.set_display("displayed", &Pieces("d\u{e9}", 1)).rename("renamed");
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    let expected = [
        ("bool", Value::Bool(true)),
        ("i64", Value::I64(-1)),
        ("u64", Value::U64(u64::MAX)),
        ("f64", Value::F64(0.5)),
        ("text", Value::text("t")),
        ("bytes", Value::Bytes(b"sk-".to_vec())),
        ("value", Value::packed(&(1, "t", [1.5], Some(false), ()))),
        ("displayed", Value::text("d\u{e9}")),
    ];
    assert_eq!(seen.keys(), expected.each_ref().map(|(key, _)| *key));
    for (key, value) in &expected {
        assert_eq!(seen.get(key), Some(value), "{key}");
    }
    assert_eq!((&*seen.name, seen.message.as_deref()), ("renamed", Some("message")));
    assert!(seen.attributes.iter().all(|attribute| !attribute.cut) && !seen.message_cut);
    assert_eq!(flight.counters(0).redacted, 0);
}

#[test]
fn a_redactor_that_panics_has_kept_the_value_out() {
    let panics = |_: &str, text: &str| -> Option<String> {
        if text.contains(SECRET) { std::panic::resume_unwind(Box::new("on purpose")) } else { None }
    };
    for (place, plant) in PLACES {
        assert!(!tells(*plant, SECRET, Limits::default(), Some(Redaction::new().texts(panics))), "{place}");
    }
    let mut flight = Flight::start(plan(Redaction::new().texts(panics)));
    let span = span_named(SECRET).start();
    span.set("text", SECRET)
        .set_named(SECRET, 1)
        .set_value("list", &["a", SECRET, "b"])
        .set_value("gone", SECRET);
    span.status_message(SECRET).event_at(SECRET, 1, |_| ());
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!((&*seen.name, seen.message), ("[redacted]", None));
    assert_eq!(seen.events[0].name, "[redacted]");
    assert_eq!(
        seen.attributes.iter().map(|of| (&*of.key, of.value.clone())).collect::<Vec<_>>(),
        [("[redacted]", Value::I64(1)), ("list", Value::packed(&["a", "b"])),]
    );
    let counters = flight.counters(0);
    assert_eq!((counters.hooks_failed, counters.redacted, counters.values_failed), (7, 7, 0));
}

/// Panics when it is dropped, as what a panic carries may.
struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

fn panic_twice() -> ! {
    std::panic::resume_unwind(Box::new(PanicsAgain))
}

impl fmt::Display for PanicsAgain {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic_twice()
    }
}

impl Serialize for PanicsAgain {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic_twice()
    }
}

#[test]
fn what_a_panic_carries_may_panic_too_and_it_goes_no_further() {
    let value = std::mem::ManuallyDrop::new(PanicsAgain);
    let redaction = || {
        Redaction::new().texts(|_: &str, text: &str| -> Option<String> {
            if text == SECRET { panic_twice() } else { None }
        })
    };
    for redaction in [None, Some(redaction())] {
        let is_redacted = redaction.is_some();
        let mut flight = Flight::start(Plan {
            hooks: Hooks { redaction: redaction.map(Arc::new), ..Hooks::default() },
            ..Plan::default()
        });
        let span = span("span").start();
        span.set("text", SECRET).set_display("shown", &*value).set_value("packed", &*value).set("last", 1);
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        assert_eq!(seen.get("last"), Some(&Value::I64(1)));
        assert_eq!(seen.get("text").is_none(), is_redacted);
        assert_eq!(flight.counters(0).hooks_failed, u64::from(is_redacted));
    }
}

#[test]
fn an_input_by_default_is_an_input_to_the_keys_that_are_redacted() {
    let own = serde_json::json!({"password": SECRET, "path": "/tmp"});
    for (redaction, expected) in [
        (Redaction::new().key(names::INPUT), Some(Value::text("[redacted]"))),
        (Redaction::new().leave_out(names::INPUT), None),
        (Redaction::new().leave_out(names::DEFAULT_INPUT), None),
        (
            Redaction::new().leave_out("input.password"),
            Some(Value::packed(&serde_json::json!({"path": "/tmp"}))),
        ),
        (Redaction::new().capture(Capture::NoContent), None),
    ] {
        let mut flight = Flight::start(plan(redaction));
        drop(span("pending").prepare().default_input(&own));
        assert_eq!(flight.take_one().get(names::DEFAULT_INPUT), expected.as_ref());
    }
}

#[test]
fn what_a_redactor_sets_itself_is_left_out_and_not_redacted_for_ever() {
    let redaction = Redaction::new().texts(|_: &str, text: &str| {
        let own = span("redactor").start();
        own.set("text", text).set("number", 1);
        None
    });
    let mut flight = Flight::start(plan(redaction));
    let span = span("span").start();
    span.set("text", SECRET);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take();
    assert_eq!(
        seen.iter().map(|span| (&*span.name, span.keys())).collect::<Vec<_>>(),
        [("redactor", vec!["number"]), ("span", vec!["text"]),]
    );
    assert_eq!(flight.counters(0).hooks_failed, 0);
}

#[test]
fn redactors_are_told_the_key_and_those_before_it() {
    let redaction = Redaction::new().values(|key, value| match value {
        Given::Text(_) => Verdict::Replace(key.to_owned()),
        _ => Verdict::Keep,
    });
    let mut flight = Flight::start(plan(redaction));
    let span = span_named("name").start();
    span.set("attribute", "a").status_message("m").set_value("value", &BTreeMap::from([("k", [("a", 1)])]));
    span.set_named("named", "n");
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!(
        (&*seen.name, seen.message.as_deref()),
        (spanring::redaction::SPAN_NAME, Some(names::STATUS_MESSAGE))
    );
    assert_eq!(seen.get("attribute"), Some(&Value::text("attribute")));
    let nested = BTreeMap::from([(spanring::redaction::KEY, [("value.k", 1)])]);
    assert_eq!(seen.get("value"), Some(&Value::packed(&nested)));
    assert_eq!(seen.get(spanring::redaction::KEY), Some(&Value::text("named")));
}

/// Displays text without end, of which this comes first.
struct Endless(&'static str);

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        loop {
            // Longer than what is left of it, wherever looking ends.
            f.write_str(&format!("{SECRET} and more of it, "))?;
        }
    }
}

#[test]
fn a_text_without_end_is_looked_at_as_far_as_it_is_recorded_and_further() {
    for first in ["", "a", "abcdefghijklmnopqrs", "abcdefghijklmnopqrstuvwxyzabcdef"] {
        let redaction = Redaction::new().texts(without_secrets);
        let plan = Plan {
            ring_bytes: 64 << 10,
            in_files: true,
            limits: Limits { value_bytes: 3_000, ..Limits::default() },
            ..plan(redaction)
        };
        let mut flight = Flight::start(plan);
        let span = span("endless").start();
        span.set_display("displayed", &Endless(first)).set_value("value", &[Pieces(first, 1)]);
        span.set("text", "x".repeat(9 << 20) + SECRET);
        assert_eq!(span.finish_display(Err::<(), _>(Endless(first))).map_err(|_| ()), Err(()));
        assert!(!is_told(&flight));
        let seen = flight.take_one();
        assert!(seen.message_cut && seen.message.is_some_and(|message| message.len() > 2_990));
        for (attribute, cut) in seen.attributes.iter().zip([true, false, true]) {
            assert_eq!(attribute.cut, cut, "{}", attribute.key);
        }
    }
}

#[test]
fn the_beginning_of_a_secret_where_looking_ends_is_not_recorded() {
    let limits = Limits { value_bytes: 3_000, ..Limits::default() };
    // So long that looking ends within the second secret, and so much shorter once the first is replaced.
    for looked_at in 3_000 + (128 << 10) - 30..3_000 + (128 << 10) + 2 {
        let text = format!("sk-{} {SECRET} and more", "a".repeat(looked_at - 4));
        let redaction = || Some(Redaction::new().texts(without_secrets));
        let places: [Plant; 3] = [
            |span, text| _ = span.set("text", text),
            |span, text| _ = span.set_display("text", &Pieces(text, 1 << 10)),
            |span, text| _ = span.set_value("text", &[Pieces(text, 1 << 10)]),
        ];
        // One place for each length: it is the same code for all.
        assert!(!tells(places[looked_at % 3], &text, limits, redaction()), "{looked_at}");
    }
}
