//! How much a span may hold: what goes beyond is cut or left out, marked and counted.

use std::fmt;

use serde::ser::{Serialize, SerializeSeq, Serializer};
use spanring::recorder::Limits;
use spanring::{Ended, Status, span, span_named};

use crate::flight::{Attribute, Flight, Plan, Value};

const DROPPED_ATTRIBUTES: &str = "spanring.dropped.attributes";
const DROPPED_EVENTS: &str = "spanring.dropped.events";
const DROPPED_LINKS: &str = "spanring.dropped.links";
/// Characters of each length in UTF-8.
const TEXT: &str = "aé€😀zß한🦀";

fn flight(limits: Limits) -> Flight {
    Flight::start(Plan { limits, in_files: true, ..Plan::default() })
}

fn value_bytes(value_bytes: usize) -> Limits {
    Limits { value_bytes, ..Limits::default() }
}

/// The most of `text` that whole characters of it fit into so many bytes.
fn whole_characters(text: &str, bytes: usize) -> &str {
    let end =
        text.char_indices().map(|(at, character)| at + character.len_utf8()).take_while(|&end| end <= bytes);
    &text[..end.last().unwrap_or(0)]
}

/// Displays a text in pieces of so many characters, and does not listen when it is told to stop.
struct Pieces<'a>(&'a str, usize);

impl fmt::Display for Pieces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let characters: Vec<_> = self.0.chars().collect();
        for piece in characters.chunks(self.1) {
            _ = f.write_str(&piece.iter().collect::<String>());
        }
        Ok(())
    }
}

#[test]
fn text_is_cut_between_characters_wherever_the_limit_falls_and_however_it_is_given() {
    for limit in 0..TEXT.len() + 2 {
        let mut flight = flight(value_bytes(limit));
        let span = span("cut").start();
        span.set("str", TEXT).set("string", TEXT.to_owned()).set_named("named", TEXT);
        span.set_display("whole", &TEXT)
            .set_display("one", &Pieces(TEXT, 1))
            .set_display("three", &Pieces(TEXT, 3));
        span.set("empty", "").set_display("empty", &"").set("number", u64::MAX).set("flag", true);
        span.event_with("event", |event| event.set("str", TEXT));
        span.link_with(span.context(), |link| link.set_named("str", TEXT));
        span.status_message(TEXT);
        assert_eq!(span.end(), Ended::Recorded);

        let kept = whole_characters(TEXT, limit);
        let cut = kept.len() < TEXT.len();
        let text = |key: &str| Attribute { key: key.to_owned(), value: Value::text(kept), cut };
        let whole = |key: &str, value| Attribute { key: key.to_owned(), value, cut: false };
        let seen = flight.take_one();
        assert_eq!(seen.attributes[..6], ["str", "string", "named", "whole", "one", "three"].map(text));
        let others = [
            whole("empty", Value::text("")),
            whole("empty", Value::text("")),
            whole("number", Value::U64(u64::MAX)),
            whole("flag", Value::Bool(true)),
        ];
        assert_eq!(seen.attributes[6..], others);
        assert_eq!(seen.events[0].attributes, [text("str")]);
        assert_eq!(seen.links[0].attributes, [text("str")]);
        assert_eq!((seen.message.as_deref(), seen.message_cut), (Some(kept), cut));
        let counters = flight.counters(0);
        assert_eq!((counters.values_cut, counters.values_left_out), (if cut { 9 } else { 0 }, 0));
    }
}

#[test]
fn bytes_and_encoded_values_keep_as_many_bytes_as_the_limit_says() {
    let value = (TEXT, [1_u16, 300], Some(false));
    let whole = rmp_serde::to_vec_named(&value).unwrap();
    for limit in 0..whole.len() + 2 {
        let mut flight = flight(value_bytes(limit));
        let span = span("cut").start();
        span.set("bytes", &whole).set_value("packed", &value).set_value_named("named", &value);
        span.event_with("event", |event| event.set_value("packed", &value));
        span.set_value("after", &());
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        let kept = &whole[..limit.min(whole.len())];
        let cut = kept.len() < whole.len();
        let arrived: Vec<_> =
            seen.attributes.iter().map(|attribute| (&attribute.value, attribute.cut)).collect();
        let packed = Value::Packed(kept.to_vec());
        let nothing = Value::Packed(vec![0xc0; limit.min(1)]);
        let expected =
            [(&Value::Bytes(kept.to_vec()), cut), (&packed, cut), (&packed, cut), (&nothing, limit == 0)];
        assert_eq!(arrived, expected);
        assert_eq!((&seen.events[0].attributes[0].value, seen.events[0].attributes[0].cut), (&packed, cut));
        let counters = flight.counters(0);
        assert_eq!(counters.values_cut, u64::from(cut) * 4 + u64::from(limit == 0));
        assert_eq!(counters.values_failed, 0);
    }
}

#[test]
fn a_value_is_cut_the_same_wherever_in_a_cell_it_lies() {
    // A cell takes 960 bytes of a span, the first 48 of them its head's.
    for limit in [0, 1, 7, 8, 9, 100, 904, 911, 912, 913, 960, 1_000] {
        let mut flight = flight(value_bytes(limit));
        let text: String = TEXT.chars().cycle().take(1_000).collect();
        let kept = whole_characters(&text, limit);
        for filled in 0..121 {
            let span = span("cells").start();
            for _ in 0..filled {
                span.set("flag", true);
            }
            span.set_display("display", &Pieces(&text, 2));
            span.set_value("packed", &text);
            span.set("text", &text);
            span.set("after", 1);
            assert_eq!(span.end(), Ended::Recorded);
            let seen = flight.take_one();
            assert_eq!(seen.get("display"), Some(&Value::text(kept)), "{limit} {filled}");
            let packed = &rmp_serde::to_vec(&text).unwrap()[..limit];
            assert_eq!(seen.get("packed"), Some(&Value::Packed(packed.to_vec())), "{limit} {filled}");
            assert_eq!(seen.get("text"), Some(&Value::text(kept)));
            assert_eq!(seen.get("after"), Some(&Value::I64(1)));
            assert_eq!((seen.left_out, seen.attributes.len()), (0, filled + 4));
        }
        assert_eq!(flight.counters(0).values_cut, 3 * 121);
    }
}

#[test]
fn what_is_beyond_a_number_is_left_out_and_counted_in_the_span_at_once() {
    let mut flight = flight(Limits { attributes: 3, events: 2, links: 1, ..Limits::default() });
    let span = span("limited").start();
    let in_flight = || flight.files().in_flight().remove(&span.context().span_id()).unwrap();
    for number in 0..5_u64 {
        span.set("number", number);
        let dropped = number.saturating_sub(2);
        let counted = (dropped > 0).then_some(Value::U64(dropped));
        assert_eq!(in_flight().get(DROPPED_ATTRIBUTES), counted.as_ref());
    }
    span.set("none", None::<u8>).set_named("named", 1).set_value("value", &1).set_display("display", &1);
    span.input(&1).tokens(spanring::Tokens::new(1, 2)).error("message");
    for _ in 0..5 {
        span.event_with("event", |event| event.set("in", 1));
        span.event_at("named", 7, |event| event.set("in", 1));
        span.link_with(span.context(), |link| link.set("in", 1));
    }
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!(
        seen.keys(),
        ["number", "number", "number", DROPPED_ATTRIBUTES, DROPPED_EVENTS, DROPPED_LINKS]
    );
    assert_eq!(seen.get(DROPPED_ATTRIBUTES), Some(&Value::U64(2 + 3 + 3)));
    assert_eq!(seen.get(DROPPED_EVENTS), Some(&Value::U64(8)));
    assert_eq!(seen.get(DROPPED_LINKS), Some(&Value::U64(4)));
    assert_eq!((seen.events.len(), seen.links.len()), (2, 1));
    assert!(seen.events.iter().all(|event| event.attributes.len() == 1));
    assert_eq!((seen.status, seen.message.as_deref()), (Status::Error, Some("message")));
    assert_eq!((seen.left_out, flight.counters(0).values_left_out), (20, 20));
}

#[test]
fn each_event_and_link_may_have_as_many_attributes_as_a_span() {
    let mut flight = flight(Limits { attributes: 3, ..Limits::default() });
    let span = span("items").start();
    for _ in 0..3 {
        span.event_with("event", |event| (0..5).for_each(|number| event.set("number", number)));
        span.link_with(span.context(), |link| (0..4).for_each(|number| link.set_value("number", &number)));
    }
    (0..3).for_each(|number| _ = span.set("number", number));
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert!(seen.events.iter().all(|event| event.attributes.len() == 3));
    assert!(seen.links.iter().all(|link| link.attributes.len() == 3));
    assert_eq!(seen.keys(), ["number"; 3]);
    assert_eq!((seen.left_out, flight.counters(0).values_left_out), (9, 9));
}

#[test]
fn a_limit_of_nothing_leaves_everything_out_but_what_is_not_limited() {
    let none = Limits { attributes: 0, events: 0, links: 0, value_bytes: 0 };
    let mut flight = flight(none);
    let pending = span_named("nothing").set("early", 1).prepare().default_input("q");
    let span = pending.start();
    span.set("text", TEXT).event("event").link(span.context());
    span.deadline(std::time::Duration::from_nanos(5));
    assert_eq!(span.fail("message"), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!(seen.keys(), [DROPPED_ATTRIBUTES, DROPPED_EVENTS, DROPPED_LINKS]);
    assert_eq!(seen.get(DROPPED_ATTRIBUTES), Some(&Value::U64(3)));
    assert_eq!((seen.name.as_str(), seen.status, seen.deadline_ns), ("nothing", Status::Error, Some(5)));
    assert_eq!((seen.message.as_deref(), seen.message_cut), (Some(""), true));
    assert!(seen.started.is_some());
    assert_eq!(flight.counters(0).values_left_out, 5);
}

#[test]
fn the_count_of_what_was_left_out_is_kept_wherever_in_a_cell_it_lies() {
    for attributes in (110..125).chain(230..245) {
        let mut flight = flight(Limits { attributes, ..Limits::default() });
        let span = span("counted").start();
        for _ in 0..attributes + 1 {
            span.set("flag", true);
        }
        // What comes behind the count does not disturb it.
        span.event_with("event", |event| event.set("long", "x".repeat(2_000)));
        for _ in 0..6 {
            span.set("flag", true);
        }
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        assert_eq!(seen.get(DROPPED_ATTRIBUTES), Some(&Value::U64(7)));
        assert_eq!(seen.attributes.len(), usize::try_from(attributes).unwrap() + 1);
        assert_eq!(seen.events[0].attributes[0].value, Value::text(&"x".repeat(2_000)));
    }
}

#[test]
fn of_a_million_attributes_events_and_links_a_span_keeps_1024_each() {
    const MILLION: u64 = 1_000_000;
    let mut flight = flight(Limits::default());
    let span = span("a million").start();
    for number in 0..MILLION / 2 {
        span.set("number", number);
        span.set_named("named", number);
        span.event("event").event_at("named", number, |event| event.set("in", 1));
        span.link(span.context()).link(span.context());
    }
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!((seen.events.len(), seen.links.len()), (1024, 1024));
    assert_eq!(seen.attributes.len(), 1024 + 3);
    for key in [DROPPED_ATTRIBUTES, DROPPED_EVENTS, DROPPED_LINKS] {
        assert_eq!(seen.get(key), Some(&Value::U64(MILLION - 1024)), "{key}");
    }
    assert_eq!(seen.left_out, u16::MAX);
    assert_eq!(flight.counters(0).values_left_out, 3 * (MILLION - 1024));
}

#[test]
fn what_is_left_out_for_two_reasons_is_counted_once() {
    let limits = Limits { attributes: 5, ..Limits::default() };
    let mut flight = Flight::start(Plan { ring_bytes: 4 << 10, limits, ..Plan::default() });
    let span = span("full").start();
    span.set("fills the span", "x".repeat(10_000));
    // Four find no room, and six would not be taken if there were any.
    for number in 0..10 {
        span.set("number", number);
    }
    assert_eq!(span.end(), Ended::Recorded);
    assert_eq!(flight.take_one().left_out, 10);
    assert_eq!(flight.counters(0).values_left_out, 10);
}

#[test]
fn what_is_cut_for_two_reasons_is_counted_once() {
    let mut flight =
        Flight::start(Plan { ring_bytes: 4 << 10, limits: value_bytes(5_000), ..Plan::default() });
    let long = "x".repeat(10_000);
    let set: [&dyn Fn(&spanring::Span); 5] = [
        &|span| _ = span.set("text", &long),
        &|span| _ = span.set("bytes", long.as_bytes()),
        &|span| _ = span.set_value("packed", &long),
        &|span| _ = span.set_display("display", &long),
        &|span| _ = span.status_message(&long),
    ];
    for (count, set) in (1..).zip(set) {
        let span = span("cut").start();
        set(&span);
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        assert!(seen.message_cut || seen.attributes[0].cut);
        assert_eq!(flight.counters(0).values_cut, count);
    }
}

/// A value that is not recorded is not cut.
#[test]
fn what_is_left_out_does_not_count_as_cut_too() {
    let limits = Limits { attributes: 1, value_bytes: 3, ..Limits::default() };
    let mut flight = flight(limits);
    let span = span("left out").start();
    span.set("kept", 1).set("text", TEXT).set("bytes", &[0; 9]).set_value("packed", TEXT);
    assert_eq!(span.end(), Ended::Recorded);
    assert_eq!(flight.take_one().left_out, 3);
    let counters = flight.counters(0);
    assert_eq!((counters.values_left_out, counters.values_cut), (3, 0));
}

#[test]
fn a_message_that_finds_no_room_does_not_count_as_cut_too() {
    let mut flight =
        Flight::start(Plan { ring_bytes: 4 << 10, limits: value_bytes(5_000), ..Plan::default() });
    let span = span("full").start();
    span.set_value("fills the span", &"x".repeat(4_000)).status_message(&"x".repeat(6_000));
    assert_eq!(span.end(), Ended::Recorded);
    assert_eq!(flight.take_one().left_out, 1);
    let counters = flight.counters(0);
    assert_eq!((counters.values_left_out, counters.values_cut), (1, 1));
}

#[test]
fn a_key_and_the_name_of_an_event_keep_904_bytes_cut_between_characters() {
    let mut flight = flight(value_bytes(10));
    for (shift, kept) in [(0, 904), (1, 903), (2, 904), (3, 903)] {
        let long = format!("{}{}", "x".repeat(shift), "é".repeat(1_000));
        let literal: &'static str = long.clone().leak();
        let span = span_named(&long).start();
        span.set_named(&long, 1).set_value_named(&long, &2).set(literal, 3);
        span.event_at(&long, 5, |event| event.set_named(&long, 4));
        span.event(literal);
        span.set_named(&long[..kept], "whole");
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        assert_eq!((seen.name.as_str(), seen.left_out), (&long[..kept], 7));
        assert_eq!(seen.keys(), [&long[..kept]; 4]);
        assert_eq!(seen.attributes[3].value, Value::text("whole"));
        assert!(seen.events.iter().all(|event| event.name == long[..kept]));
        assert_eq!(seen.events[0].attributes[0].key, long[..kept]);
    }
}

#[test]
fn another_name_keeps_904_bytes_too_and_the_last_one_counts() {
    let mut flight = flight(value_bytes(10));
    for first in [span("literal").start(), span_named("named").start()] {
        let long = format!("x{}", "é".repeat(1_000));
        first.rename("second").set("number", 1).rename(&long).set("number", 2);
        assert_eq!(first.end(), Ended::Recorded);
        let seen = flight.take_one();
        assert_eq!((seen.name.as_str(), seen.left_out), (&long[..903], 1));
        assert_eq!(seen.keys(), ["number", "number"]);
    }
    span("first").start().rename("");
    assert_eq!(flight.take_one().name, "");
}

#[test]
fn names_and_keys_may_be_empty() {
    let mut flight = flight(Limits::default());
    for name in [span("").start(), span_named("").start(), span("given").named("").start()] {
        name.set("", 1).set_named("", 2).set_value_named("", &3);
        name.event("").event_at("", 5, |event| event.set("", 4));
        assert_eq!(name.end(), Ended::Recorded);
        let seen = flight.take_one();
        assert_eq!((seen.name.as_str(), seen.keys(), seen.left_out), ("", vec![""; 3], 0));
        assert_eq!((seen.events[0].name.as_str(), seen.events[1].attributes[0].key.as_str()), ("", ""));
    }
    drop(spanring::llm("").start());
    assert_eq!(flight.take_one().name, "chat");
}

/// A list within a list, and so on.
struct Deep(u32);

impl Serialize for Deep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(usize::from(self.0 > 0)))?;
        if self.0 > 0 {
            seq.serialize_element(&Deep(self.0 - 1))?;
        }
        seq.end()
    }
}

/// Not a test of its own: see [`a_value_of_any_depth_harms_nobody`].
#[test]
#[ignore = "another test runs it as a program of its own"]
fn a_program_that_sets_a_depth_bomb() {
    let _flight = flight(Limits::default());
    let span = span("bomb").start();
    span.set_value("deep", &Deep(100_000));
    assert_eq!(span.end(), Ended::Recorded);
}

#[test]
fn a_value_of_any_depth_harms_nobody() {
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program)
        .args(["--exact", "limits::a_program_that_sets_a_depth_bomb", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Some within some, and so on, which takes no byte.
struct Hollow;

impl Serialize for Hollow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_some(&Hollow)
    }
}

#[test]
fn a_value_is_cut_where_it_is_too_deep() {
    let mut flight = flight(Limits::default());
    for (depth, kept) in [(32, 32), (128, 128), (129, 129), (130, 129), (u32::MAX, 129)] {
        let span = span("deep").start();
        span.set_value("deep", &Deep(depth)).set_value("hollow", &Hollow).set("after", 1);
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        let mut expected = vec![0x91; kept];
        if depth <= 128 {
            expected.push(0x90);
        }
        assert_eq!(seen.attributes[0].value, Value::Packed(expected), "{depth}");
        assert_eq!(seen.attributes[0].cut, depth > 128);
        assert_eq!((&seen.attributes[1].value, seen.attributes[1].cut), (&Value::Packed(Vec::new()), true));
        assert_eq!(seen.get("after"), Some(&Value::I64(1)), "the span goes on");
    }
}

#[test]
fn a_limit_on_bytes_stops_a_value_that_is_deeper_than_it() {
    let mut flight = flight(value_bytes(100));
    let span = span("deep").start();
    span.set_value("deep", &Deep(u32::MAX));
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!(seen.attributes[0].value, Value::Packed(vec![0x91; 100]));
    assert!(seen.attributes[0].cut);
}

/// An error that was caused by another, and so on.
#[derive(Debug)]
struct Caused(Option<Box<Caused>>);

impl std::fmt::Display for Caused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("caused")
    }
}

impl std::error::Error for Caused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.as_deref().map(|cause| cause as _)
    }
}

#[test]
fn an_error_is_recorded_beyond_the_limit_of_attributes_and_its_causes_up_to_theirs() {
    let caused_by = |causes| (0..causes).fold(Caused(None), |cause, _| Caused(Some(Box::new(cause))));
    let mut flight = flight(Limits { attributes: 2, ..Limits::default() });
    for (causes, kept, left_out) in [(3, 3, 0), (16, 16, 0), (17, 16, 1)] {
        let span = span("failed").start();
        span.set("first", 1).set("second", 2).error(caused_by(causes));
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        assert!(seen.get("error.type").is_some(), "the limit does not keep it out");
        let recorded = seen.attributes.iter().filter(|set| set.key == "spanring.error.causes").count();
        assert_eq!((recorded, seen.left_out), (kept, left_out));
    }
    let span = span("full").start();
    span.error("reason").set("first", 1).set("second", 2).set("third", 3);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!((seen.get("third"), seen.left_out), (None, 1), "the limit is what it was");
}
