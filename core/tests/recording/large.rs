//! Spans beyond one cell, and beyond what a span may take.

use std::cell::RefCell;

use spanring::{Ended, Kind, Span, span, span_named};

use crate::flight::{Flight, Plan, Seen, Value};

#[test]
fn a_span_of_any_size_up_to_its_limit_arrives_whole_however_its_values_meet_the_cells() {
    let mut flight = Flight::start(Plan { ring_bytes: 1 << 18, ..Plan::default() });
    // Every length near one and two cells, so that headers and contents end on each boundary once.
    for len in (780..1_000).chain(1_740..1_960) {
        let text: String = (b'a'..=b'z').cycle().take(len).map(char::from).collect();
        let span = span("boundary").start();
        span.set("number", 1);
        span.set("text", &text);
        span.set("flag", true);
        span.set_value("packed", &text);
        span.set_named(&text[..len / 8], -1);
        span.event_with("event", |event| event.set("bytes", text.as_bytes()));
        span.set_display("display", &format_args!("{text} and {len}"));
        span.status_message(&text);
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        assert_eq!(seen.get("number"), Some(&Value::I64(1)));
        assert_eq!(seen.get("text"), Some(&Value::Str(text.clone())));
        assert_eq!(seen.get("flag"), Some(&Value::Bool(true)));
        assert_eq!(seen.get("packed"), Some(&Value::Packed(rmp_serde::to_vec(&text).unwrap())));
        assert_eq!(seen.get(&text[..len / 8]), Some(&Value::I64(-1)));
        assert_eq!(seen.events[0].attributes[0].value, Value::Bytes(text.clone().into_bytes()));
        assert_eq!(seen.get("display"), Some(&Value::Str(format!("{text} and {len}"))));
        assert_eq!((seen.message, seen.left_out), (Some(text), 0));
    }
    let counters = flight.counters(0);
    assert_eq!((counters.values_cut, counters.values_left_out), (0, 0));
}

#[test]
fn spans_of_one_mebibyte_arrive_whole_again_and_again() {
    let mut flight = Flight::start(Plan { ring_bytes: 8 << 20, tables: 2, lanes: 2, ..Plan::default() });
    let prompt: String = "größer ".chars().cycle().take(1 << 20).collect();
    let prompt = &prompt[..1 << 20];
    for round in 0..20 {
        let span = span("prompt").kind(Kind::Llm).start();
        span.set("input", prompt);
        span.set("round", round);
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        assert!(seen.get("input") == Some(&Value::Str(prompt.to_owned())));
        assert_eq!(seen.get("round"), Some(&Value::I64(round)));
    }
    let counters = flight.counters(0);
    assert_eq!((counters.values_cut, counters.dropped()), (0, 0));
}

#[test]
fn a_value_beyond_a_quarter_of_the_ring_is_cut_between_characters_marked_and_counted() {
    let mut flight = Flight::start(Plan { ring_bytes: 1 << 16, ..Plan::default() });
    // One byte in front, so that every second cut lies within a character unless it is moved.
    for shift in 0..4 {
        let text = format!("{}{}", "x".repeat(shift), "€".repeat(30_000));
        let span = span("too large").start();
        span.set("before", 1);
        span.set("text", &text);
        span.set("after", 2);
        span.set("flag", true);
        span.event("too late");
        span.error("too late");
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        assert_eq!(seen.attributes.len(), 2);
        let Value::Str(kept) = &seen.attributes[1].value else { panic!("{seen:?}") };
        assert!(seen.attributes[1].cut && text.starts_with(kept.as_str()));
        assert!((16_200..16_384).contains(&kept.len()), "{} bytes were kept", kept.len());
        assert_eq!((seen.left_out, seen.events.len(), seen.message), (4, 0, None));
        assert_eq!(seen.status, spanring::Status::Error, "a status needs no room");
    }
    let counters = flight.counters(0);
    assert_eq!((counters.values_cut, counters.values_left_out, counters.dropped()), (4, 16, 0));
}

#[test]
fn bytes_and_serialized_values_are_cut_too() {
    let mut flight = Flight::start(Plan { ring_bytes: 1 << 16, ..Plan::default() });
    let bytes: Vec<u8> = (0..=255).cycle().take(40_000).collect();
    let numbers: Vec<u32> = (0..20_000).collect();
    let first = span("bytes").start();
    first.set("bytes", &bytes);
    assert_eq!(first.end(), Ended::Recorded);
    let second = span("packed").start();
    second.set_value("numbers", &numbers);
    second.set_value("after", &1);
    assert_eq!(second.end(), Ended::Recorded);

    let spans = flight.take();
    let Value::Bytes(kept) = &spans[0].attributes[0].value else { panic!("{spans:?}") };
    assert!(spans[0].attributes[0].cut && bytes.starts_with(kept) && kept.len() > 16_000);
    let Value::Packed(kept) = &spans[1].attributes[0].value else { panic!("{spans:?}") };
    assert!(rmp_serde::to_vec(&numbers).unwrap().starts_with(kept) && kept.len() > 16_000);
    assert!(spans[1].attributes[0].cut);
    assert_eq!(spans[1].left_out, 1);
}

#[test]
fn a_value_is_cut_where_no_cell_is_left_for_it() {
    let mut flight = Flight::start(Plan { ring_bytes: 8 << 20, lanes: 2, ..Plan::default() });
    let text = "z".repeat(1 << 20);
    let span = span("more than 256 cells").start();
    span.set("text", &text);
    span.set("after", 1);
    assert!(flight.recorder.take_starved(), "the spool is told that tables are needed");
    assert!(!spanring::span("no cell").start().is_recording());
    assert_eq!(span.end(), Ended::Recorded);
    assert!(spanring::span("cells again").start().is_recording());
    let spans = flight.take();
    let Value::Str(kept) = &spans[0].attributes[0].value else { panic!("{spans:?}") };
    assert_eq!(kept.len(), 256 * 960 - 48 - 8);
    assert_eq!(spans[0].left_out, 1);
    flight.counters(0);
}

#[test]
fn small_values_fill_a_span_up_to_its_limit_and_never_beyond_it() {
    let mut flight = Flight::start(Plan { ring_bytes: 4 << 10, in_files: true, ..Plan::default() });
    // 48 bytes of head and 59 entries of 16 bytes are 992; the limit of a quarter is 1,000 with its header's 24.
    for (count, kept) in [(58, 58), (59, 59), (60, 59), (300, 59)] {
        let span = span("full").start();
        for index in 0..count {
            span.set("index", index);
        }
        // Eight bytes are left in some cases: enough for a flag, not for a key and its value.
        span.set_named("dynamic", true);
        span.set("flag", true);
        let in_flight = flight.files().in_flight();
        let seen = in_flight.get(&span.context().span_id()).expect("what is in flight is recovered");
        assert_eq!(seen.attributes.iter().filter(|attribute| attribute.key == "index").count(), kept);
        assert_eq!(span.end(), Ended::Recorded);
        assert_eq!(&flight.take_one(), seen);
    }
    flight.counters(0);
}

#[test]
fn a_key_without_room_takes_its_value_along_and_leaves_the_rest_readable() {
    let mut flight = Flight::start(Plan { ring_bytes: 4 << 10, ..Plan::default() });
    for filled in 0..60 {
        let span = span("keys").start();
        for index in 0..filled {
            span.set("index", index);
        }
        for key in ["", "k", "a longer key", &"very long key ".repeat(5)] {
            span.set_named(key, 1);
            span.set_named(key, true);
            span.set_named(key, "text");
            span.set_value_named(key, &1);
            span.event_at(key, 5, |event| event.set("in", true));
        }
        assert_eq!(span.end(), Ended::Recorded);
        // Decoding checks that nothing is malformed.
        let seen = flight.take_one();
        assert!(seen.attributes.len() >= usize::try_from(filled).unwrap().min(59));
        assert!(seen.events.iter().all(|event| event.time == spanring::record::Time::UnixNs(5)));
    }
    flight.counters(0);
}

#[test]
fn an_event_without_room_takes_its_attributes_along() {
    let mut flight = Flight::start(Plan { ring_bytes: 4 << 10, ..Plan::default() });
    let span = span("events").start();
    span.event("first");
    for index in 0..58 {
        span.set("index", index);
    }
    span.event_with("no room", |event| event.set("would belong to the first", true));
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!((seen.events.len(), seen.left_out), (1, 1));
    assert_eq!(seen.events[0].attributes, []);
}

#[test]
fn values_left_out_for_want_of_cells_do_not_lose_those_that_follow() {
    let mut flight = Flight::start(Plan { lanes: 2, ..Plan::default() });
    let span = span("starved").start();
    let others: Vec<_> = (0..255).map(|_| spanring::span("other").start()).collect();
    let mut kept = 0;
    while span.is_recording() && kept < 57 {
        span.set("index", kept);
        kept += 1;
    }
    for _ in 0..3 {
        span.set_named("", 1);
        span.set_named("dynamic", 2);
        span.set("static", 3);
    }
    drop(others);
    span.set_named("dynamic", 4);
    span.set("static", 5);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take().pop().unwrap();
    assert_eq!(seen.get("dynamic"), Some(&Value::I64(4)));
    assert_eq!(seen.get("static"), Some(&Value::I64(5)));
    assert!(seen.left_out > 0);
    flight.counters(0);
}

/// A way to set a text on a span, and what arrived of it.
type Way = (&'static str, fn(&Span, &str), fn(&Seen) -> Option<(Vec<u8>, bool)>);

const WAYS: [Way; 5] = [
    ("text", |span, text| _ = span.set("value", text), value),
    ("bytes", |span, text| _ = span.set("value", text.as_bytes()), value),
    ("packed", |span, text| _ = span.set_value("value", text), value),
    (
        "display",
        |span, text| _ = span.set_display("value", &format_args!("{}{}", &text[..3], &text[3..])),
        value,
    ),
    (
        "message",
        |span, text| _ = span.status_message(text),
        |seen| seen.message.as_ref().map(|message| (message.clone().into_bytes(), seen.message_cut)),
    ),
];

fn value(seen: &Seen) -> Option<(Vec<u8>, bool)> {
    let value = seen.attributes.iter().find(|attribute| attribute.key == "value")?;
    let bytes = match &value.value {
        Value::Str(text) => text.clone().into_bytes(),
        Value::Bytes(bytes) | Value::Packed(bytes) => bytes.clone(),
        other => panic!("{other:?} is no text"),
    };
    Some((bytes, value.cut))
}

/// What a text is where there is room.
fn whole(way: &str, text: &str) -> Vec<u8> {
    if way == "packed" { rmp_serde::to_vec(text).unwrap() } else { text.as_bytes().to_vec() }
}

#[test]
fn whatever_gets_the_last_bytes_of_a_span_keeps_its_beginning_and_its_characters() {
    let mut flight = Flight::start(Plan { ring_bytes: 4 << 10, ..Plan::default() });
    let text = "xyz€ß🦀".repeat(40);
    for (way, set, get) in WAYS {
        // 1,000 bytes less the head are 119 flags.
        for filled in 0..=119 {
            let span = span("last bytes").start();
            (0..filled).for_each(|_| _ = span.set("flag", true));
            set(&span, &text);
            // A flag fits where a character was given away.
            span.set("after", 1).set("flag", true);
            assert_eq!(span.end(), Ended::Recorded);
            let seen = flight.take_one();
            let flags = seen.keys().iter().filter(|key| **key == "flag").count();
            let (whole, room) = (whole(way, &text), (119 - filled) * 8);
            if room == 0 {
                assert_eq!((get(&seen), seen.left_out), (None, 3), "{way} {filled}");
                continue;
            }
            let (kept, cut) = get(&seen).unwrap();
            assert!(whole.starts_with(&kept), "{way} {filled}: {kept:?}");
            assert_eq!(cut, whole.len() > room - 8, "{way} {filled}");
            assert!(flags == filled || !cut, "{way} {filled}: nothing follows what was cut");
            // At most three bytes of a character that did not fit are given away.
            assert!(kept.len() + 4 > whole.len().min(room - 8), "{way} {filled}: {}", kept.len());
        }
    }
    flight.counters(0);
}

#[test]
fn a_value_of_any_sort_is_cut_between_characters_where_no_cell_is_left_for_it() {
    for shift in 0..3 {
        let text = format!("xyz{}{}", "x".repeat(shift), "€".repeat(100_000));
        for (way, set, get) in WAYS {
            let mut flight = Flight::start(Plan { ring_bytes: 8 << 20, lanes: 2, ..Plan::default() });
            let others: Vec<_> = (0..56).map(|_| span("other").start()).collect();
            let open = span("more than 200 cells").start();
            set(&open, &text);
            // Cells come back, and the span stays as it is: its last cell is not full where a character was given away.
            drop(others);
            open.set("after", 1).set("flag", true).set("text", &text);
            assert_eq!(open.end(), Ended::Recorded);
            let seen = flight.take().pop().unwrap();
            let (kept, cut) = get(&seen).unwrap();
            assert!(cut && whole(way, &text).starts_with(&kept));
            assert!(kept.len() + 4 > 200 * 960 - 48 - 8, "{way}: {}", kept.len());
            assert_eq!(seen.left_out, 3);
            let cells: Vec<_> = (0..256).map(|_| span("cells again").start()).collect();
            assert!(cells.iter().all(Span::is_recording), "{way}: all cells came back");
        }
    }
}

/// Once it is cut, nothing may be added to it: what is kept is the beginning of a value.
#[test]
fn a_value_that_goes_on_after_it_was_cut_adds_nothing_when_cells_come_back() {
    /// Writes on whatever it is told, and lets other spans end in between.
    struct Stubborn(RefCell<Vec<Span>>);
    impl serde::Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeTuple;
            let mut tuple = serializer.serialize_tuple(2_000)?;
            for number in 0..2_000_u32 {
                if tuple.serialize_element(&(number + 1_000_000)).is_err() {
                    self.0.borrow_mut().clear();
                }
            }
            tuple.end()
        }
    }
    let mut flight = Flight::start(Plan { lanes: 2, ..Plan::default() });
    let others = (0..253).map(|_| span("other").start()).collect();
    let open = span("stubborn").start();
    open.set_value("value", &Stubborn(RefCell::new(others)));
    open.set("after", 1);
    assert_eq!(open.end(), Ended::Recorded);
    let seen = flight.take().pop().unwrap();
    let (kept, cut) = value(&seen).unwrap();
    let numbers: Vec<u32> = (0..2_000).map(|number| number + 1_000_000).collect();
    assert!(cut && rmp_serde::to_vec(&numbers).unwrap().starts_with(&kept), "{} bytes", kept.len());
}

#[test]
fn cells_of_a_value_that_was_given_up_come_back() {
    let mut flight = Flight::start(Plan { ring_bytes: 1 << 16, lanes: 2, ..Plan::default() });
    for round in 0..2_000 {
        let span = span_named("given up").start();
        for index in 0..56 + round % 4 {
            span.set("index", index);
        }
        span.set_value("failed", &Fails("x".repeat(5_000)));
        for index in 0..100 {
            span.set("after", index);
        }
        assert_eq!(span.end(), Ended::Recorded);
        assert_eq!(flight.take_one().left_out, 0);
    }
    assert_eq!(flight.counters(0).values_failed, 2_000);
}

/// Writes text, then fails.
struct Fails(String);

impl serde::Serialize for Fails {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&self.0)?;
        Err(serde::ser::Error::custom("on purpose"))
    }
}
