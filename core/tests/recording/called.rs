//! Code of the program's that is called while it records: samplers, redactors, processors, `Serialize`, `Display` and errors, at their worst.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::{Arc, Mutex};

use serde::{Serialize, Serializer};
use spanring::processor::Processor;
use spanring::recorder::Recorder;
use spanring::redaction::{Redaction, Value, Verdict};
use spanring::sampling::{Root, Sampler};
use spanring::{Ended, Hooks, Span, Status, span, span_named, tool};

use crate::flight::{Flight, Plan};

/// What a panic carries that panics again when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("what the panic carried");
    }
}

fn explode() -> ! {
    panic_any(Bomb)
}

/// Panics so, whatever it is asked.
struct Explosive;

impl fmt::Display for Explosive {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        explode()
    }
}

impl fmt::Debug for Explosive {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        explode()
    }
}

impl Error for Explosive {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        explode()
    }
}

impl AsRef<dyn Error> for Explosive {
    fn as_ref(&self) -> &(dyn Error + 'static) {
        explode()
    }
}

impl Serialize for Explosive {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        explode()
    }
}

impl Processor for Explosive {
    fn on_end(&self, _: &Span) {
        explode()
    }
}

/// Calls what panics.
type Call = fn(&Span);

/// Everything that calls it.
const CALLS: &[(&str, Call)] = &[
    ("a displayed attribute", |span| _ = span.set_display("text", &Explosive)),
    ("a value", |span| _ = span.set_value("value", &Explosive)),
    ("an error", |span| _ = span.error(&Explosive as &dyn Error)),
    ("a boxed error", |span| _ = span.error(Box::new(Explosive) as Box<dyn Error + Send + Sync>)),
    ("a text", |span| _ = span.set("text", "explode")),
    ("a number", |span| _ = span.set("number", 1)),
    ("a key", |span| _ = span.set_named("explode", true)),
    ("a name", |span| _ = span.rename("explode")),
];

#[test]
fn what_a_panic_carries_does_not_reach_the_host_either() {
    let texts = |_: &str, text: &str| if text == "explode" { explode() } else { None };
    let values = |_: &str, value: Value<'_>| match value {
        Value::Text(_) => Verdict::Keep,
        _ => explode(),
    };
    let redaction = Some(Arc::new(Redaction::new().texts(texts).values(values)));
    for hooks in [
        Hooks::default(),
        Hooks { redaction, ..Hooks::default() },
        Hooks { processors: vec![Arc::new(Explosive)], ..Hooks::default() },
    ] {
        let mut flight = Flight::hooked(hooks);
        for (place, call) in CALLS {
            let span = span("work").start();
            let called = catch_unwind(AssertUnwindSafe(|| call(&span)));
            assert!(called.map_err(std::mem::forget).is_ok(), "{place}");
            assert_eq!(span.end(), Ended::Recorded, "{place}");
        }
        assert_eq!(flight.take().len(), CALLS.len());
    }
}

#[test]
fn a_hook_that_panics_while_a_panic_unwinds_changes_nothing() {
    let mut flight = Flight::hooked(Hooks { processors: vec![Arc::new(Explosive)], ..Hooks::default() });
    let unwound = catch_unwind(|| {
        let _span = span("work").start();
        panic!("the program's own");
    });
    assert_eq!(unwound.unwrap_err().downcast_ref(), Some(&"the program's own"));
    assert_eq!(flight.take_one().status, Status::Error);
}

/// Ends recording when it is asked.
struct Ending(Arc<Mutex<Option<&'static Recorder>>>);

impl Ending {
    fn end_recording(&self) {
        if let Some(recorder) = self.0.lock().unwrap().take() {
            recorder.uninstall();
        }
    }
}

impl Sampler for Ending {
    fn is_sampled(&self, _: &Root<'_>) -> bool {
        self.end_recording();
        true
    }
}

#[test]
fn a_span_whose_sampler_or_redactor_ends_recording_does_not_use_the_lane_that_was_given_back() {
    let recorder = Arc::new(Mutex::new(None));
    let (sampler, redactor) = (Ending(recorder.clone()), Ending(recorder.clone()));
    let texts = move |_: &str, _: &str| {
        redactor.end_recording();
        None
    };
    for hooks in [
        Hooks { sampler: Some(Arc::new(sampler)), ..Hooks::default() },
        Hooks { redaction: Some(Arc::new(Redaction::new().texts(texts))), ..Hooks::default() },
    ] {
        let flight = Flight::hooked(hooks);
        // So that the thread holds a lane.
        span("before").start().end();
        assert_eq!(flight.recorder.attached_count(), 1);
        *recorder.lock().unwrap() = Some(flight.recorder);
        let span = span_named("work").start();
        // What is recorded then is recorded on a lane that this thread holds.
        assert_eq!(span.is_recording(), flight.recorder.attached_count() == 1);
        drop(span);
        flight.counters(0);
    }
}

#[test]
fn a_redactor_that_is_asked_about_a_name_finds_the_shared_lane_free() {
    let texts = |_: &str, _: &str| {
        span("inner").start().end();
        None
    };
    let redaction = Some(Arc::new(Redaction::new().texts(texts)));
    // Only the shared lane.
    let hooks = Hooks { redaction, ..Hooks::default() };
    let mut flight = Flight::start(Plan { lanes: 1, hooks, ..Plan::default() });
    drop(span_named("outer").start());
    let names: Vec<_> = flight.take().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["inner", "outer"]);
}

#[test]
fn a_span_that_a_redactor_starts_does_not_count_the_span_whose_name_is_being_redacted() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let recorder = Arc::new(Mutex::new(None::<&'static Recorder>));
    let (noted, counted) = (seen.clone(), recorder.clone());
    let texts = move |_: &str, _: &str| {
        span("inner").start().end();
        if let Some(recorder) = *counted.lock().unwrap() {
            noted.lock().unwrap().push(recorder.counters().in_flight());
        }
        None
    };
    let hooks = Hooks { redaction: Some(Arc::new(Redaction::new().texts(texts))), ..Hooks::default() };
    let flight = Flight::hooked(hooks);
    span("before").start().end();
    *recorder.lock().unwrap() = Some(flight.recorder);
    drop(span_named("outer").start());
    drop(tool("outer").start());
    let seen = seen.lock().unwrap();
    // Killed there, the process would leave nothing in its table: so nothing must be said to be open but what is.
    assert_eq!(seen.first(), Some(&0), "{seen:?}");
}
