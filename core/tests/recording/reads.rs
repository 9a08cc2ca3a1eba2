//! What can be asked about a span while it is open.

use spanring::clock::{Anchor, Timeline};
use spanring::record::Time;
use spanring::{Context, Ended, Kind, Span, SpanId, Status, TraceId, span};

use crate::flight::{Flight, Plan, alone};

fn context(number: u8) -> Context {
    Context::new(TraceId::from_bytes([number; 16]), SpanId::from_bytes([number; 8]))
}

#[test]
fn an_open_span_tells_what_it_was_started_with() {
    let mut flight = Flight::start(Plan::default());
    let parent = context(7);
    for kind in Kind::ALL {
        let open =
            span("asked").kind(*kind).parent(parent).span_id(context(9).span_id()).start_unix_ns(5).start();
        assert!(open.is_recording());
        assert_eq!(
            (open.parent_id(), open.kind(), open.status()),
            (Some(parent.span_id()), *kind, Status::Unset)
        );
        assert_eq!(open.context(), Context::new(parent.trace_id(), context(9).span_id()));
        assert_eq!((open.start_unix_ns(), open.error_message()), (Some(5), None));
    }
    for root in
        [span("root").root().start(), span("root").start(), span("root").parent(Context::NONE).start()]
    {
        assert_eq!(root.parent_id(), None);
    }
    assert_eq!(flight.take().len(), Kind::ALL.len() + 3);
}

#[test]
fn an_open_span_tells_the_last_status_and_message_however_much_is_set_between() {
    let mut flight = Flight::start(Plan::default());
    let open = span("asked").start();
    for status in Status::ALL {
        assert_eq!(open.set_status(*status).status(), *status);
    }
    assert_eq!(open.error_message(), None);
    for round in 0..60 {
        let message = format!("größer {round}");
        open.error(&message);
        assert_eq!((open.status(), open.error_message()), (Status::Error, Some(message)));
        open.set_named("key", "x".repeat(round * 40));
        open.event_with("event", |event| event.set_value("value", &round));
    }
    open.status_message("");
    assert_eq!(open.error_message().as_deref(), Some(""));
    assert_eq!(open.end(), Ended::Recorded);
    assert_eq!(flight.take_one().message.as_deref(), Some(""));
}

#[test]
fn a_body_that_ends_with_a_cell_is_read_like_any_other() {
    let mut flight = Flight::start(Plan { ring_bytes: 4 << 10, ..Plan::default() });
    for filled in 100..130 {
        let open = span("asked").start();
        open.status_message("message");
        (0..filled).for_each(|_| _ = open.set("flag", true));
        assert_eq!(open.error_message().as_deref(), Some("message"));
        assert_eq!(open.end(), Ended::Recorded);
        assert_eq!(flight.take_one().attributes.len(), usize::from(filled.min(117_u8)));
    }
}

#[test]
fn the_start_is_what_the_clock_makes_of_it() {
    let mut flight = Flight::start(Plan::default());
    let open = span("asked").start();
    assert_eq!(open.start_unix_ns(), None, "before the clock was looked at first");
    let timeline = Timeline { base_ticks: 1_000, base_unix_ns: 5_000_000, ticks_per_second: 2e9 };
    flight
        .consumer
        .store_anchor(&Anchor { ticks: 1_000, realtime_ns: 5_000_000, ..Anchor::default() }, &timeline);
    let start = open.start_unix_ns().unwrap();
    assert_eq!(open.end(), Ended::Recorded);
    let Time::Ticks(ticks) = flight.take_one().start else { panic!("no moment was given") };
    assert_eq!(start, timeline.unix_ns(ticks));
}

/// Until then it is the moment when it was made.
#[test]
fn the_start_of_a_span_that_was_pending_is_when_it_started() {
    let _flight = Flight::start(Plan::default());
    let pending = span("asked").start_unix_ns(1_000).prepare();
    assert_eq!(pending.start_unix_ns(), Some(1_000));
    let open = pending.start_at_unix_ns(5_000);
    assert_eq!(open.start_unix_ns(), Some(5_000));
}

#[test]
fn where_nothing_is_recorded_nothing_is_known() {
    fn unknown(span: &Span) {
        span.set_status(Status::Error).status_message("message");
        assert!(!span.is_recording());
        assert_eq!((span.parent_id(), span.kind(), span.status()), (None, Kind::Custom, Status::Unset));
        assert_eq!((span.start_unix_ns(), span.error_message()), (None, None));
    }
    let alone = alone();
    let off = span("off").kind(Kind::Tool).parent(context(7)).start_unix_ns(5).start();
    unknown(&off);
    unknown(&span("off").parent(context(7)).prepare());
    assert_eq!(off.context(), context(7));
    drop(off);

    let flight = Flight::start_with(alone, Plan { lanes: 0, ..Plan::default() });
    let unslotted = span("nowhere").kind(Kind::Tool).parent(context(7)).start_unix_ns(5).start();
    unknown(&unslotted);
    unknown(&unslotted.child("below").prepare());
    assert_eq!(unslotted.context().trace_id(), context(7).trace_id());
    assert_ne!(unslotted.context().span_id(), context(7).span_id(), "it counts, so it has an identity");
    drop(unslotted);
    flight.counters(0);
}

#[test]
fn a_span_of_a_recorder_that_was_uninstalled_can_still_be_asked() {
    let flight = Flight::start(Plan::default());
    let open = span("asked").kind(Kind::Llm).start_unix_ns(5).start();
    flight.recorder.uninstall();
    open.error("message");
    assert!(open.is_recording());
    assert_eq!((open.kind(), open.start_unix_ns(), open.status()), (Kind::Llm, Some(5), Status::Error));
    assert_eq!(open.error_message().as_deref(), Some("message"));
    assert_eq!(open.end(), Ended::Recorded);
}
