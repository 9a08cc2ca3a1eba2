//! Values whose `Serialize` misbehaves harm neither the host nor the span.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde::Serialize;
use serde::ser::{Error, SerializeSeq, Serializer};
use spanring::{Ended, Span, span};

use crate::flight::{Flight, Plan, Value};

/// Serializes as its function says.
struct Misbehaving<F>(F);

impl<F: Fn()> Serialize for Misbehaving<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(2))?;
        seq.serialize_element("some text before it happens")?;
        (self.0)();
        seq.serialize_element(&2)?;
        seq.end()
    }
}

struct Errs;

impl Serialize for Errs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(2))?;
        seq.serialize_element(&"x".repeat(3_000))?;
        Err(S::Error::custom("on purpose"))
    }
}

#[test]
fn an_error_leaves_a_marked_null_and_the_span_goes_on() {
    let mut flight = Flight::start(Plan::default());
    let span = span("errs").start();
    span.set("before", 1);
    span.set_value("value", &Errs);
    span.set("after", 2);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    let keys: Vec<_> = seen.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    assert_eq!(keys, ["before", "value", "after"]);
    assert_eq!(seen.get("value"), Some(&Value::Failed));
    assert_eq!(flight.counters(0).values_failed, 1);
}

#[test]
fn a_panic_goes_no_further() {
    let mut flight = Flight::start(Plan::default());
    let span = span("panics").start();
    span.set_value("value", &Misbehaving(|| std::panic::resume_unwind(Box::new("on purpose"))));
    span.set_value_named("named", &Misbehaving(|| std::panic::resume_unwind(Box::new("on purpose"))));
    span.event_with("event", |event| {
        event.set_value("value", &Misbehaving(|| std::panic::resume_unwind(Box::new("on purpose"))));
    });
    span.set_value("good", &[1]);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!(seen.get("value"), Some(&Value::Failed));
    assert_eq!(seen.get("named"), Some(&Value::Failed));
    assert_eq!(seen.events[0].attributes[0].value, Value::Failed);
    assert_eq!(seen.get("good"), Some(&Value::Packed(vec![0x91, 1])));
    assert_eq!(flight.counters(0).values_failed, 3);
}

#[test]
fn a_value_may_record_spans_of_its_own() {
    let mut flight = Flight::start(Plan::default());
    let outer = span("outer").start();
    let context = outer.context();
    let inner = Misbehaving(move || {
        let inner = span("inner").parent(context).start();
        inner.set_value("nested", &Misbehaving(|| drop(span("innermost").start())));
        inner.set("long", "y".repeat(5_000));
        assert_eq!(inner.end(), Ended::Recorded);
    });
    outer.set("before", "x".repeat(850));
    outer.set_value("value", &inner);
    outer.set("after", 1);
    assert_eq!(outer.end(), Ended::Recorded);
    let spans = flight.take();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["innermost", "inner", "outer"]);
    let expected = rmp_serde::to_vec(&("some text before it happens", 2)).unwrap();
    assert_eq!(spans[2].get("value"), Some(&Value::Packed(expected)));
    assert_eq!(spans[2].get("after"), Some(&Value::I64(1)));
    assert_eq!(flight.counters(0).reentered, 0);
}

#[test]
fn what_a_value_sets_on_its_own_span_is_ignored_and_counted() {
    let mut flight = Flight::start(Plan { in_files: true, ..Plan::default() });
    let shared = Rc::new(span("same").start());
    let again = shared.clone();
    let value = Misbehaving(move || {
        again.set("number", 1);
        again.set("text", "text");
        again.set("flag", true);
        again.set_named("dynamic", 1);
        again.set_value("value", &1);
        again.event("event");
        again.error("message");
    });
    shared.set_value("value", &value);
    drop(value);
    shared.set("after", 1);
    assert_eq!(flight.files().in_flight().len(), 1, "and the table stays readable");
    let span = Rc::into_inner(shared).unwrap();
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    let keys: Vec<_> = seen.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    assert_eq!(keys, ["value", "after"]);
    assert_eq!((seen.events.len(), seen.message), (0, None));
    assert_eq!(flight.counters(0).reentered, 7);
}

#[test]
fn a_huge_value_stops_being_serialized_once_it_is_cut() {
    struct Endless<'a>(&'a RefCell<u64>);
    impl Serialize for Endless<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(Some(1 << 30))?;
            for index in 0..1_u64 << 30 {
                *self.0.borrow_mut() = index;
                seq.serialize_element(&index)?;
            }
            seq.end()
        }
    }
    let mut flight = Flight::start(Plan { ring_bytes: 1 << 16, ..Plan::default() });
    let written = RefCell::new(0);
    let span = span("endless").start();
    span.set_value("value", &Endless(&written));
    assert_eq!(span.end(), Ended::Recorded);
    assert!(*written.borrow() < 20_000, "{} elements were asked for", written.borrow());
    let seen = flight.take_one();
    assert!(seen.attributes[0].cut);
    assert_eq!(flight.counters(0).values_cut, 1);
}

/// Where the length is not known before, too.
#[test]
fn a_huge_value_of_unknown_length_stops_being_serialized_once_it_is_cut() {
    struct Unknown<'a>(&'a Cell<u64>);
    impl Serialize for Unknown<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut seq = serializer.serialize_seq(None)?;
            for index in 0..1_000_000_u64 {
                self.0.set(index);
                seq.serialize_element(&index)?;
            }
            seq.end()
        }
    }
    let mut flight = Flight::start(Plan { ring_bytes: 1 << 16, ..Plan::default() });
    let written = Cell::new(0);
    let span = span("unknown length").start();
    span.set_value("value", &Unknown(&written));
    assert_eq!(span.end(), Ended::Recorded);
    assert!(flight.take_one().attributes[0].cut);
    assert!(written.get() < 20_000, "{} elements were asked for", written.get());
}

#[test]
fn a_value_that_fails_while_its_thread_panics_does_not_abort() {
    struct Guard<'a>(&'a Span);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.set_value("last", &Misbehaving(|| std::panic::resume_unwind(Box::new("again"))));
        }
    }
    let mut flight = Flight::start(Plan::default());
    let span = span("unwinds").start();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _guard = Guard(&span);
        std::panic::resume_unwind(Box::new("on purpose"));
    }));
    assert!(panicked.is_err());
    assert_eq!(span.end(), Ended::Recorded);
    assert_eq!(flight.take_one().get("last"), Some(&Value::Failed));
}
