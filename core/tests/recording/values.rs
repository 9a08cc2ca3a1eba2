//! What is set on a span arrives as it was set.

use std::sync::Arc;

use serde::Serialize;
use spanring::record::Time;
use spanring::{Context, DropReason, Ended, Kind, SpanId, Status, TraceId, span, span_named};

use crate::flight::{Attribute, Flight, Plan, Value, alone};

fn attribute(key: &str, value: Value) -> Attribute {
    Attribute { key: key.to_owned(), value, cut: false }
}

#[test]
fn every_type_of_value_arrives_as_it_was_set() {
    let mut flight = Flight::start(Plan::default());
    let span = span("values").start();
    span.set("i8", -8_i8);
    span.set("i64", i64::MIN);
    span.set("isize", -1_isize);
    span.set("u16", 16_u16);
    span.set("u64", u64::MAX);
    span.set("usize", 7_usize);
    span.set("f32", 1.5_f32);
    span.set("f64", f64::MIN_POSITIVE);
    span.set("yes", true);
    span.set("no", false);
    span.set("text", "héllo");
    span.set("empty", "");
    span.set("string", String::from("owned"));
    let borrowed = String::from("borrowed");
    span.set("borrowed", &borrowed);
    span.set("bytes", &[1_u8, 2, 3][..]);
    span.set("array", b"four");
    span.set("vec", vec![0_u8; 9]);
    span.set("some", Some(5_u8));
    span.set("none", None::<&str>);
    assert_eq!(span.end(), Ended::Recorded);

    let seen = flight.take_one();
    let text = |text: &str| Value::Str(text.to_owned());
    let expected = [
        ("i8", Value::I64(-8)),
        ("i64", Value::I64(i64::MIN)),
        ("isize", Value::I64(-1)),
        ("u16", Value::U64(16)),
        ("u64", Value::U64(u64::MAX)),
        ("usize", Value::U64(7)),
        ("f32", Value::F64(1.5)),
        ("f64", Value::F64(f64::MIN_POSITIVE)),
        ("yes", Value::Bool(true)),
        ("no", Value::Bool(false)),
        ("text", text("héllo")),
        ("empty", text("")),
        ("string", text("owned")),
        ("borrowed", text("borrowed")),
        ("bytes", Value::Bytes(vec![1, 2, 3])),
        ("array", Value::Bytes(b"four".to_vec())),
        ("vec", Value::Bytes(vec![0; 9])),
        ("some", Value::U64(5)),
    ];
    assert_eq!(seen.attributes, expected.map(|(key, value)| attribute(key, value)));
    assert_eq!((seen.name.as_str(), seen.kind, seen.status), ("values", Kind::Custom, Status::Unset));
    assert_eq!((seen.left_out, seen.message), (0, None));
    flight.counters(0);
}

#[test]
fn a_value_that_serializes_arrives_as_messagepack_with_structs_as_maps() {
    #[derive(Serialize)]
    struct Usage<'a> {
        input: u32,
        model: &'a str,
        stops: Vec<Option<bool>>,
    }
    let mut flight = Flight::start(Plan::default());
    let usage = Usage { input: 812, model: "small", stops: vec![Some(true), None] };
    let span = span("packed").start();
    span.set_value("usage", &usage);
    span.set_value("text", "not sized");
    span.set_value_named(&format!("run{}", 1), &[1, 2]);
    span.event_with("in event", |event| event.set_value("usage", &usage));
    assert_eq!(span.end(), Ended::Recorded);

    let seen = flight.take_one();
    let packed = |bytes: Vec<u8>| Value::Packed(bytes);
    let whole = packed(rmp_serde::to_vec_named(&usage).unwrap());
    assert_eq!(
        seen.attributes,
        [
            attribute("usage", whole.clone()),
            attribute("text", packed(rmp_serde::to_vec("not sized").unwrap())),
            attribute("run1", packed(rmp_serde::to_vec(&[1, 2]).unwrap())),
        ]
    );
    assert_eq!(seen.events[0].attributes, [attribute("usage", whole)]);
}

#[test]
fn names_and_keys_made_at_run_time_arrive() {
    let mut flight = Flight::start(Plan::default());
    let long = "k".repeat(500);
    for round in 0..3 {
        let span = span_named(&format!("tool {round}")).kind(Kind::Tool).start();
        span.set_named(&format!("arg {round}"), round);
        span.set_named(&long, true);
        span.set_named("", "no key at all");
        span.event_at(&format!("event {round}"), 99, |event| event.set_named(&long, 1.5));
        assert_eq!(span.end(), Ended::Recorded);
    }
    for (round, seen) in flight.take().into_iter().enumerate() {
        assert_eq!((seen.name, seen.kind), (format!("tool {round}"), Kind::Tool));
        assert_eq!(
            seen.attributes,
            [
                attribute(&format!("arg {round}"), Value::I64(i64::try_from(round).unwrap())),
                attribute(&long, Value::Bool(true)),
                attribute("", Value::Str("no key at all".to_owned())),
            ]
        );
        assert_eq!(seen.events[0].name, format!("event {round}"));
        assert_eq!(seen.events[0].time, Time::UnixNs(99));
        assert_eq!(seen.events[0].attributes, [attribute(&long, Value::F64(1.5))]);
    }
}

#[test]
fn a_literal_too_long_for_the_dictionary_is_written_out() {
    const LONG: &str = concat!(
        "a literal of more than one hundred and twelve bytes, which the dictionary does not take, ",
        "so that it is written out wherever it is used, as a name or as a key"
    );
    let mut flight = Flight::start(Plan::default());
    let span = span(LONG).start();
    span.set(LONG, 1);
    span.event(LONG);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!((seen.name.as_str(), seen.events[0].name.as_str()), (LONG, LONG));
    assert_eq!(seen.attributes, [attribute(LONG, Value::I64(1))]);
}

#[test]
fn a_name_of_any_length_keeps_904_bytes_cut_between_characters() {
    let mut flight = Flight::start(Plan::default());
    let name = format!("x{}", "é".repeat(1000));
    let span = span_named(&name).start();
    span.set("after", 1);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!(seen.name, name[..903]);
    assert_eq!(seen.left_out, 1);
    assert_eq!(seen.attributes, [attribute("after", Value::I64(1))]);
    assert_eq!(flight.counters(0).values_left_out, 1);
}

#[test]
fn an_event_has_its_time_and_its_own_attributes() {
    let mut flight = Flight::start(Plan::default());
    let span = span("events").start();
    span.event("first token");
    span.event_with("chunk", |event| {
        event.set("size", 17);
        event.set_named("at run time", "yes");
    });
    span.set("between", 1);
    span.event_at("imported", 1_000, |_| ());
    assert_eq!(span.end(), Ended::Recorded);

    let seen = flight.take_one();
    let names: Vec<_> = seen.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["first token", "chunk", "imported"]);
    let chunk = [attribute("size", Value::I64(17)), attribute("at run time", Value::Str("yes".to_owned()))];
    assert_eq!(seen.events[1].attributes, chunk);
    assert_eq!(seen.attributes, [attribute("between", Value::I64(1))]);
    let (Time::Ticks(start), Time::Ticks(first), Time::Ticks(second)) =
        (seen.start, seen.events[0].time, seen.events[1].time)
    else {
        panic!("the clock's times are ticks: {seen:?}");
    };
    assert!(start <= first && first <= second);
    assert_eq!(seen.events[2].time, Time::UnixNs(1_000));
}

#[test]
fn the_last_status_and_message_count() {
    let mut flight = Flight::start(Plan::default());
    let span = span("status").start();
    span.error("first reason");
    span.error("second reason");
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!((seen.status, seen.message.as_deref()), (Status::Error, Some("second reason")));

    let span = spanring::span("status").start();
    span.set_status(Status::Error);
    span.set_status(Status::Ok);
    assert_eq!(span.end(), Ended::Recorded);
    assert_eq!(flight.take_one().status, Status::Ok);
}

#[test]
fn identities_and_times_that_the_caller_gives_are_kept() {
    let mut flight = Flight::start(Plan::default());
    let trace_id = TraceId::parse("0af7651916cd43dd8448eb211c80319c").unwrap();
    let span_id = SpanId::parse("b7ad6b7169203331").unwrap();
    let parent = Context::new(trace_id, SpanId::parse("00f067aa0ba902b7").unwrap());
    let span =
        span("imported").parent(parent).trace_id(trace_id).span_id(span_id).start_unix_ns(1_000).start();
    assert_eq!(span.context(), Context::new(trace_id, span_id));
    assert_eq!(span.end_at_unix_ns(3_000), Ended::Recorded);

    flight.drain();
    let landed = flight.landed.remove(0);
    assert_eq!((landed.span.trace_id, landed.span.span_id), (trace_id, span_id));
    assert_eq!(landed.span.parent_id, parent.span_id());
    assert_eq!((landed.span.start, landed.end), (Time::UnixNs(1_000), Time::UnixNs(3_000)));
}

#[test]
fn every_span_has_identities_of_its_own() {
    let mut flight = Flight::start(Plan { ring_bytes: 4 << 20, ..Plan::default() });
    for _ in 0..10_000 {
        assert_eq!(span("root").root().start().end(), Ended::Recorded);
    }
    let spans = flight.take();
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|span| span.span_id).collect();
    let traces: std::collections::BTreeSet<_> = spans.iter().map(|span| span.trace_id).collect();
    assert_eq!((spans.len(), ids.len(), traces.len()), (10_000, 10_000, 10_000));
}

#[test]
fn a_span_that_is_dropped_ends() {
    let mut flight = Flight::start(Plan::default());
    drop(span("dropped").start());
    flight.counters(0);
    assert_eq!(flight.take_one().name, "dropped");
}

#[test]
fn a_span_ends_when_its_scope_panics() {
    let mut flight = Flight::start(Plan::default());
    let panicked = std::panic::catch_unwind(|| {
        let span = span("panics").start();
        span.set("before", 1);
        span.event_with("event", |_| std::panic::resume_unwind(Box::new("on purpose")));
    });
    assert!(panicked.is_err());
    flight.counters(0);
    let seen = flight.take_one();
    assert_eq!(seen.get("before"), Some(&Value::I64(1)));
}

#[test]
fn the_macro_sets_what_it_is_given() {
    let mut flight = Flight::start(Plan::default());
    let span = spanring::span!("checkout", items = 3, gen_ai.request.model = "small",);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!(
        seen.attributes,
        [
            attribute("items", Value::I64(3)),
            attribute("gen_ai.request.model", Value::Str("small".to_owned())),
        ]
    );
}

#[test]
fn roots_are_announced_with_what_they_start_with() {
    let mut flight = Flight::start(Plan::default());
    let root = span("run").set("group", "g1").start();
    root.set("later", 1);
    let child = root.child("step").start();
    flight.drain();
    assert_eq!(flight.announced.len(), 1, "{:?}", flight.announced);
    assert_eq!(flight.announced[0].name, "run");
    assert_eq!(flight.announced[0].attributes, [attribute("group", Value::Str("g1".to_owned()))]);
    assert_eq!(flight.landed, []);
    assert_eq!((child.end(), root.end()), (Ended::Recorded, Ended::Recorded));
    let names: Vec<_> = flight.take().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["step", "run"]);
}

#[test]
fn every_span_is_announced_where_live_is_on() {
    let mut flight = Flight::start(Plan { live: true, ..Plan::default() });
    let root = span("run").start();
    let child = root.child("step").set("n", 1).start();
    flight.drain();
    let names: Vec<_> = flight.announced.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["run", "step"]);
    assert_eq!(flight.announced[1].get("n"), Some(&Value::I64(1)));
    drop((child, root));
    assert_eq!(flight.take().len(), 2);
}

#[test]
fn without_a_recorder_nothing_is_recorded_and_contexts_are_passed_on() {
    let _alone = alone();
    let parent = Context::new(TraceId::from_bytes([1; 16]), SpanId::from_bytes([2; 8]));
    let span = span("off").parent(parent).set("key", 1).start();
    assert!(!span.is_recording());
    span.set_value("value", &[1]);
    span.event_with("event", |_| unreachable!("nobody asks what an event says that is not recorded"));
    span.error("unheard");
    assert_eq!(span.context(), parent);
    assert_eq!(span.child("below").start().context(), parent);
    assert_eq!(span.end(), Ended::NotRecording);
}

#[test]
fn a_span_that_was_open_when_its_recorder_was_uninstalled_still_ends_into_it() {
    let mut flight = Flight::start(Plan::default());
    let open = span("open").start();
    flight.recorder.uninstall();
    assert!(!span("late").start().is_recording());
    open.set("after", 1);
    assert_eq!(open.end(), Ended::Recorded);
    assert_eq!(flight.take_one().get("after"), Some(&Value::I64(1)));
    flight.counters(0);
    assert!(flight.recorder.close(), "nothing is open any more");
}

#[test]
fn a_recorder_that_was_closed_and_reopened_records_again_with_other_hooks() {
    let mut flight = Flight::start(Plan::default());
    drop(spanring::span!("before"));
    flight.recorder.uninstall();
    assert!(flight.recorder.close());
    let filter = |callsite: &spanring::Callsite| callsite.name() != "disabled";
    let hooks = spanring::Hooks { filter: Some(Arc::new(filter)), ..spanring::Hooks::default() };
    flight.recorder.reopen(hooks);
    flight.recorder.install().unwrap();
    drop(spanring::span!("disabled"));
    drop(spanring::span!("after"));
    let names: Vec<String> = flight.take().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["before", "after"]);
    assert_eq!(flight.counters(0).started, 2);
}

#[test]
fn a_recorder_that_is_installed_again_goes_on_and_keeps_its_numbers() {
    let mut flight = Flight::start(Plan { in_files: true, ..Plan::default() });
    drop(span("before").start());
    flight.recorder.uninstall();
    flight.recorder.install().unwrap();
    let open = span("entered after it was installed again").start();
    open.set("so was this", 1);
    let in_flight = flight.files().in_flight();
    assert_eq!(in_flight[&open.context().span_id()].name, "entered after it was installed again");
    assert_eq!(in_flight[&open.context().span_id()].get("so was this"), Some(&Value::I64(1)));
    drop(open);
    assert_eq!(flight.take().len(), 2);
}

#[test]
fn two_recorders_in_one_process_are_refused() {
    let flight = Flight::start(Plan::default());
    assert_eq!(flight.recorder.install(), Err(spanring::recorder::RecorderError::AlreadyInstalled));
    assert!(flight.recorder.consumer().is_none(), "there is one consumer");
}

#[test]
fn a_recorder_without_lanes_drops_and_counts() {
    let flight = Flight::start(Plan { lanes: 0, ..Plan::default() });
    let span = span("nowhere").start();
    assert_eq!(flight.counters(1).started, 1);
    assert_eq!(span.end(), Ended::Dropped(DropReason::NoLane));
    assert_eq!(flight.counters(0).dropped_no_lane, 1);
}
