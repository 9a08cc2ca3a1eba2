//! Events and links: what is said about one stays with it, and it is recorded as a whole.

use std::panic::{AssertUnwindSafe, catch_unwind};

use spanring::{Context, Ended, Span, SpanId, TraceId, span};

use crate::flight::{Attribute, Flight, Link, Plan, Seen, Value};

fn context(number: u8) -> Context {
    Context::new(TraceId::from_bytes([number; 16]), SpanId::from_bytes([number; 8]))
}

fn keys(attributes: &[Attribute]) -> Vec<&str> {
    attributes.iter().map(|attribute| attribute.key.as_str()).collect()
}

fn in_flight(flight: &Flight, span: &Span) -> Seen {
    flight.files().in_flight().remove(&span.context().span_id()).unwrap()
}

#[test]
fn a_link_arrives_with_whatever_is_said_about_it() {
    let mut flight = Flight::start(Plan::default());
    let span = span("links").start();
    span.link(context(1)).link_with(context(2), |link| {
        link.set("literal", 1);
        link.set_named("named", true);
        link.set_value("value", &[1, 2]);
        link.set_value_named("named value", &());
    });
    span.set("between", 1).link(Context::NONE);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    let attribute = |key: &str, value| Attribute { key: key.to_owned(), value, cut: false };
    let link = |context: Context, attributes| Link {
        trace_id: context.trace_id(),
        span_id: context.span_id(),
        attributes,
    };
    let said = vec![
        attribute("literal", Value::I64(1)),
        attribute("named", Value::Bool(true)),
        attribute("value", Value::packed(&[1, 2])),
        attribute("named value", Value::packed(&())),
    ];
    let expected = [link(context(1), vec![]), link(context(2), said), link(Context::NONE, vec![])];
    assert_eq!(seen.links, expected);
    assert_eq!(keys(&seen.attributes), ["between"]);
}

#[test]
fn a_link_and_an_event_arrive_wherever_in_a_cell_they_lie() {
    let mut flight = Flight::start(Plan::default());
    for filled in 100..125 {
        let span = span("cells").start();
        (0..filled).for_each(|_| _ = span.set("flag", true));
        span.link_with(context(1), |link| link.set("n", 1)).event_with("event", |event| event.set("n", 2));
        span.link(context(2)).deadline(std::time::Duration::from_nanos(7));
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        let ids: Vec<_> = seen.links.iter().map(|link| Context::new(link.trace_id, link.span_id)).collect();
        assert_eq!(ids, [context(1), context(2)]);
        assert_eq!(seen.links[0].attributes[0].value, Value::I64(1));
        assert_eq!(seen.events[0].attributes[0].value, Value::I64(2));
        assert_eq!((seen.attributes.len(), seen.deadline_ns), (filled, Some(7)));
    }
}

#[test]
fn a_link_without_room_takes_what_is_said_about_it_along() {
    let mut flight = Flight::start(Plan { ring_bytes: 4 << 10, ..Plan::default() });
    let span = span("full").start();
    span.link(context(1));
    (0..56).for_each(|number| _ = span.set("number", number));
    // 1,000 bytes less the head, a link of 32 and 56 numbers: 24 are left.
    span.link_with(context(2), |_| unreachable!("nobody asks what to say about it"));
    span.event_with("event", |event| event.set("flag", true));
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!((seen.links.len(), seen.links[0].attributes.len(), seen.left_out), (1, 0, 1));
    assert_eq!(keys(&seen.events[0].attributes), ["flag"]);
}

#[test]
fn an_event_and_a_link_count_as_a_whole_once_they_are_filled() {
    let flight = Flight::start(Plan { in_files: true, ..Plan::default() });
    let open = span("whole").start();
    open.link_with(context(1), |link| {
        link.set("n", 1);
        link.set("long", "x".repeat(2_000));
        assert_eq!(in_flight(&flight, &open).links, []);
    });
    assert_eq!(in_flight(&flight, &open).links[0].attributes.len(), 2);
    open.event_with("event", |event| {
        event.set("n", 1);
        assert_eq!(in_flight(&flight, &open).events, []);
    });
    assert_eq!(in_flight(&flight, &open).events[0].attributes.len(), 1);
}

/// The span can be used while one of its events is filled. What is set on it counts at once, and so does what the event has by then.
#[test]
fn an_event_counts_before_it_is_whole_only_where_its_span_is_set_meanwhile() {
    let flight = Flight::start(Plan { in_files: true, ..Plan::default() });
    let open = span("whole").start();
    open.event_with("event", |event| {
        event.set("first", 1);
        assert_eq!(in_flight(&flight, &open).events, []);
        open.set("meanwhile", 1);
        let seen = in_flight(&flight, &open);
        assert_eq!(
            (keys(&seen.attributes), keys(&seen.events[0].attributes)),
            (vec!["meanwhile"], vec!["first"])
        );
        event.set("second", 2);
    });
    let seen = in_flight(&flight, &open);
    assert_eq!(keys(&seen.events[0].attributes), ["first", "second"]);
}

#[test]
fn what_is_set_on_a_span_while_its_event_is_filled_is_the_spans() {
    let mut flight = Flight::start(Plan::default());
    let open = span("mixed").start();
    open.event_with("event", |event| {
        event.set("first", 1);
        open.set("of the span", 1).set_value("its value", &1).status_message("message");
        event.set("second", 2);
    });
    assert_eq!(open.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!(keys(&seen.events[0].attributes), ["first", "second"]);
    assert_eq!(keys(&seen.attributes), ["of the span", "its value"]);
    assert_eq!(seen.message.as_deref(), Some("message"));
}

/// Another event or link can begin while one is filled. Whatever becomes of it, nothing may end up where it was not said.
#[test]
fn an_event_or_link_within_another_takes_nothing_of_it() {
    let mut flight = Flight::start(Plan::default());
    let open = span("nested").start();
    open.event_with("outer", |event| {
        event.set("outer 1", 1);
        open.event_with("inner", |event| event.set("inner", 1));
        event.set("outer 2", 2);
    });
    open.event_with("outer", |event| {
        open.link_with(context(1), |link| link.set("inner", 1));
        event.set("outer 2", 2);
    });
    open.link_with(context(2), |link| {
        open.event("inner");
        link.set("outer 2", 2);
    });
    assert_eq!(open.end(), Ended::Recorded);
    let seen = flight.take_one();
    for event in &seen.events {
        let within = keys(&event.attributes);
        assert!(within.iter().all(|key| key.starts_with(&event.name)), "{}: {within:?}", event.name);
    }
    for link in &seen.links {
        let name = if link.span_id == context(1).span_id() { "inner" } else { "outer" };
        let within = keys(&link.attributes);
        assert!(within.iter().all(|key| key.starts_with(name)), "{name}: {within:?}");
    }
}

#[test]
fn an_event_whose_filling_panics_keeps_what_was_said_and_the_span_goes_on() {
    let mut flight = Flight::start(Plan::default());
    let open = span("panics").start();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        open.event_with("event", |event| {
            event.set("before", 1);
            std::panic::resume_unwind(Box::new("on purpose"));
        });
    }));
    assert!(panicked.is_err());
    open.set("after", 1).event("later");
    assert_eq!(open.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!((keys(&seen.attributes), seen.events.len()), (vec!["after"], 2));
    assert_eq!(keys(&seen.events[0].attributes), ["before"]);
}
