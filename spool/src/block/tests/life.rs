//! How a span stands when its row is written: pending, open, interrupted or ended, and whether that was in time.

use spanring::names;
use spanring::record::Time;
use spanring::{Lifecycle, Status};

use super::{NAMES, TIMELINE, decode, read_back};
use crate::block::{BlockBuilder, Compression};
use crate::body_writer::{BodyWriter, EVENT, I64, IN_EVENT, PACKED, STATUS_MESSAGE, STR};
use crate::{SpanData, Value};

const START: u64 = 1_700_000_000_000_000_000;
const DEFAULT_INPUT: u16 = 13;
const INPUT: u16 = 11;

fn body() -> BodyWriter {
    BodyWriter::new(7, 1, Time::UnixNs(START), "work")
}

/// A span that was made at `START`, and has not started.
fn pending() -> BodyWriter {
    let mut body = body();
    body.pending().status(Status::Unset);
    body
}

fn ended(body: &BodyWriter, after_ns: u64) -> SpanData {
    read_back(body, Time::UnixNs(START + after_ns))
}

/// What one span whose process died reads back as.
fn interrupted(body: &BodyWriter, after_ns: u64) -> SpanData {
    let mut builder = BlockBuilder::new();
    assert_eq!(builder.push_interrupted(&body.body(), START + after_ns, &TIMELINE, &NAMES), None);
    decode(&builder.finish(Compression::None).unwrap(), 1).unwrap().spans.pop().unwrap()
}

/// What the announcement of one span reads back as.
fn announced(body: &BodyWriter) -> SpanData {
    let mut builder = BlockBuilder::new();
    assert_eq!(builder.push_started(&body.body(), &TIMELINE, &NAMES), None);
    decode(&builder.finish(Compression::None).unwrap(), 1).unwrap().starts.pop().unwrap()
}

#[test]
fn an_interrupted_span_is_an_error_of_its_process() {
    let mut body = body();
    body.entry(STR, 0, 1, b"opus");
    let span = interrupted(&body, 1000);
    assert!(span.interrupted);
    assert_eq!((span.status, span.start_unix_ns, span.end_unix_ns), (Status::Error, START, START + 1000));
    let error = (names::ERROR_TYPE.to_owned(), Value::Str("process_exit".into()));
    assert_eq!(span.attributes, [("model".into(), Value::Str("opus".into())), error]);

    let announced = announced(&body);
    assert_eq!(
        (announced.interrupted, announced.start_unix_ns, announced.end_unix_ns),
        (false, START, START)
    );
}

#[test]
fn a_span_whose_end_lies_before_its_start_ends_as_it_starts() {
    let mut body = body();
    body.deadline(0);
    let mut builder = BlockBuilder::new();
    assert_eq!(builder.push_interrupted(&body.body(), START - 1000, &TIMELINE, &NAMES), None);
    assert_eq!(builder.push_ended(&body.body(), Time::UnixNs(0), &TIMELINE, &NAMES), None);
    for span in decode(&builder.finish(Compression::None).unwrap(), 2).unwrap().spans {
        assert_eq!((span.start_unix_ns, span.duration_ns()), (START, 0));
        assert_ne!(span.status, Status::TimedOut);
    }
}

#[test]
fn every_status_comes_back_from_every_kind_of_row() {
    for &status in Status::ALL {
        for is_pending in [false, true] {
            let mut body = body();
            body.status(status);
            if is_pending {
                body.pending();
            }
            let life = |span: SpanData| {
                assert_eq!(span.is_pending, is_pending);
                (span.status, span.interrupted, span.is_open)
            };
            assert_eq!(life(ended(&body, 5)), (status, false, false));
            assert_eq!(life(announced(&body)), (status, false, true));
            assert_eq!(life(interrupted(&body, 5)), (Status::Error, true, false));
        }
    }
}

#[test]
fn a_pending_span_starts_when_it_was_started() {
    let mut body = BodyWriter::new(7, 1, Time::Ticks(2_000_000), "work");
    body.pending().entry(EVENT, 0, 4, &2_000_500_u64.to_le_bytes());
    let made = 1_700_000_000_000_500_000;
    assert_eq!(announced(&body).lifecycle(), Lifecycle::Pending);
    assert_eq!(announced(&body).start_unix_ns, made);

    body.started(Time::Ticks(2_001_000), false).entry(EVENT, 0, 4, &2_001_500_u64.to_le_bytes());
    assert_eq!(announced(&body).lifecycle(), Lifecycle::Active);
    let span = read_back(&body, Time::Ticks(2_003_000));
    assert!(!span.is_pending);
    assert_eq!((span.start_unix_ns, span.end_unix_ns), (made + 500, made + 1500));
    let events: Vec<u64> = span.events.iter().map(|event| event.time_unix_ns - made).collect();
    assert_eq!(events, [250, 750], "what happened before the start keeps its time");

    let mut body = pending();
    body.started(Time::UnixNs(START + 70), false);
    assert_eq!((ended(&body, 100).start_unix_ns, ended(&body, 100).duration_ns()), (START + 70, 30));
}

#[test]
fn a_span_that_was_cancelled_before_it_started_stays_pending_from_when_it_was_made() {
    let mut body = pending();
    body.status(Status::Cancelled).deadline(10);
    let span = ended(&body, 1000);
    assert_eq!(
        (span.is_pending, span.status, span.lifecycle()),
        (true, Status::Cancelled, Lifecycle::Cancelled)
    );
    assert_eq!((span.start_unix_ns, span.end_unix_ns), (START, START + 1000));
}

#[test]
fn a_span_that_ended_after_its_deadline_has_timed_out_unless_it_failed_or_was_cancelled() {
    let outcome = |status, after_ns, message: &[u8]| {
        let mut body = body();
        body.status(status).deadline(10_000_000).entry(STATUS_MESSAGE, 0, 0, message);
        let span = ended(&body, after_ns);
        assert_eq!(span.get(names::DEADLINE), Some(&Value::U64(10_000_000)));
        (span.status, span.status_message)
    };
    for status in [Status::Unset, Status::Ok] {
        assert_eq!(outcome(status, 10_000_000, b""), (status, String::new()));
        assert_eq!(outcome(status, 10_000_001, b""), (Status::TimedOut, "timed out after 0.01 s".into()));
        assert_eq!(outcome(status, 10_000_001, b"slow"), (Status::TimedOut, "slow".into()));
    }
    for status in [Status::Error, Status::Cancelled] {
        assert_eq!(outcome(status, 10_000_001, b""), (status, String::new()));
    }
    assert_eq!(outcome(Status::TimedOut, 5, b""), (Status::TimedOut, String::new()));
}

#[test]
fn an_interrupted_span_has_timed_out_if_its_process_outlived_the_deadline() {
    let outcome = |status, after_ns| {
        let mut body = body();
        body.status(status).deadline(2_000_000_000);
        let span = interrupted(&body, after_ns);
        assert!(span.interrupted);
        assert_eq!(span.get(names::ERROR_TYPE), Some(&Value::Str("process_exit".into())));
        (span.status, span.status_message)
    };
    for status in [Status::Unset, Status::Ok, Status::TimedOut] {
        assert_eq!(outcome(status, 2_000_000_000), (Status::Error, String::new()));
        assert_eq!(outcome(status, 2_000_000_001), (Status::TimedOut, "timed out after 2 s".into()));
    }
    for status in [Status::Error, Status::Cancelled] {
        assert_eq!(outcome(status, 2_000_000_001), (Status::Error, String::new()));
    }
}

#[test]
fn a_deadline_counts_from_the_start_and_the_last_one_counts() {
    let mut late = pending();
    late.deadline(100).started(Time::UnixNs(START + 1000), false);
    assert_eq!(ended(&late, 1100).status, Status::Unset);
    assert_eq!(ended(&late, 1101).status, Status::TimedOut);
    late.deadline(500);
    assert_eq!(ended(&late, 1101).status, Status::Unset);
    assert_eq!(ended(&late, 1501).status, Status::TimedOut);

    let mut never_started = pending();
    never_started.deadline(100);
    assert_eq!(ended(&never_started, 101).status, Status::Unset);
    assert_eq!(interrupted(&never_started, 101).status, Status::Error);
}

#[test]
fn a_deadline_that_was_set_as_an_attribute_is_a_deadline_too() {
    let of = |tag, flags, content: &[u8]| {
        let mut body = body();
        body.link(1, 1).deadline(1000).entry(tag, flags, names::DEADLINE, content);
        ended(&body, 101).status
    };
    assert_eq!(of(I64, 0, &100_i64.to_le_bytes()), Status::TimedOut);
    assert_eq!(of(I64, 0, &200_i64.to_le_bytes()), Status::Ok);
    assert_eq!(of(I64, 0, &(-1_i64).to_le_bytes()), Status::Ok);
    assert_eq!(of(STR, 0, b"100"), Status::Ok);
    assert_eq!(of(I64, IN_EVENT, &100_i64.to_le_bytes()), Status::Ok, "it is the link's");
}

#[test]
fn a_default_input_is_the_input_of_a_span_that_was_started_by_its_drop() {
    let by_drop = |is_by_drop| {
        let mut body = pending();
        body.entry(PACKED, 0, DEFAULT_INPUT, b"\x82\xa1a\x01\xa1b\x02");
        body.entry(PACKED, 0, names::DEFAULT_INPUT, b"\x81\xa1b\x03");
        body.started(Time::UnixNs(START + 10), is_by_drop);
        body
    };
    let pairs = vec![("a".into(), Value::I64(1)), ("b".into(), Value::I64(3))];
    let input = [(names::INPUT.into(), Value::Map(pairs))];
    assert_eq!(ended(&by_drop(true), 10).attributes, input);
    assert_eq!(ended(&by_drop(false), 10).attributes, []);
}

#[test]
fn a_default_input_lies_under_the_input_whichever_was_given_first() {
    for is_first in [true, false] {
        let mut body = pending();
        if is_first {
            body.entry(PACKED, 0, DEFAULT_INPUT, b"\x82\xa1a\x01\xa1b\x02");
        }
        body.entry(STR, 0, 1, b"opus").entry(PACKED, 0, INPUT, b"\x82\xa1c\x09\xa1b\x08");
        if !is_first {
            body.entry(PACKED, 0, DEFAULT_INPUT, b"\x82\xa1a\x01\xa1b\x02");
        }
        body.started(Time::UnixNs(START + 10), true);
        let pairs = [("a", 1), ("b", 8), ("c", 9)].map(|(key, value)| (key.into(), Value::I64(value)));
        let input = (names::INPUT.into(), Value::Map(pairs.into()));
        assert_eq!(ended(&body, 10).attributes, [input, ("model".into(), Value::Str("opus".into()))]);
    }
}

#[test]
fn a_default_input_of_any_other_span_is_left_out() {
    let mut started_at_once = body();
    started_at_once.entry(STR, 0, DEFAULT_INPUT, b"x").entry(STR, 0, names::DEFAULT_INPUT, b"x");
    assert_eq!((ended(&started_at_once, 1).attributes, ended(&started_at_once, 1).cut), (vec![], 0));

    let mut pending = pending();
    pending.entry(STR, 0, DEFAULT_INPUT, b"x");
    assert_eq!(announced(&pending).attributes, []);
    let error = (names::ERROR_TYPE.into(), Value::Str("process_exit".into()));
    assert_eq!(interrupted(&pending, 1).attributes, [error]);
    assert_eq!(ended(pending.status(Status::Cancelled), 1).attributes, []);
}
