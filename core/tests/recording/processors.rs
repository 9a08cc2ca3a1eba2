//! Who is told of spans and traces as they start and end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use spanring::processor::Processor;
use spanring::sampling::AlwaysOff;
use spanring::{Context, Ended, Hooks, Span, SpanId, Status, TraceId, span};

use crate::flight::{Flight, Plan, Value};

/// Writes down what it is told, and does what it was made for.
#[derive(Default)]
struct Witness {
    told: Mutex<Vec<String>>,
    names: Mutex<Vec<(SpanId, &'static str)>>,
}

impl Witness {
    fn tell(&self, what: &str, span: &Span) {
        let id = span.context().span_id();
        let names = self.names.lock().unwrap();
        let name = names.iter().find(|(of, _)| *of == id).map_or("?", |(_, name)| *name);
        self.told.lock().unwrap().push(format!("{what} {name}"));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    /// An identity for a span with this name.
    fn id(&self, name: &'static str) -> SpanId {
        let mut names = self.names.lock().unwrap();
        let id = SpanId::from_bytes((names.len() as u64 + 1).to_le_bytes());
        names.push((id, name));
        id
    }
}

/// What the recorder holds.
struct Told(Arc<Witness>);

impl Processor for Told {
    fn on_trace_start(&self, first: &Span) {
        self.0.tell("trace", first);
    }

    fn on_start(&self, span: &Span) {
        self.0.tell("start", span);
        span.set("zone", "eu");
    }

    fn on_end(&self, span: &Span) {
        self.0.tell("end", span);
        span.set("seen.status", span.status().name());
    }

    fn on_trace_end(&self, first: &Span) {
        self.0.tell("trace end", first);
    }

    fn flush(&self, timeout: Duration) -> bool {
        self.0.told.lock().unwrap().push("flush".to_owned());
        timeout > Duration::ZERO
    }

    fn shut_down(&self) {
        self.0.told.lock().unwrap().push("shut down".to_owned());
    }
}

fn processed_by(processors: Vec<Arc<dyn Processor>>) -> Hooks {
    Hooks { processors, ..Hooks::default() }
}

fn witnessed() -> (Flight, Arc<Witness>) {
    let witness = Arc::new(Witness::default());
    (Flight::hooked(processed_by(vec![Arc::new(Told(witness.clone()))])), witness)
}

#[test]
fn processors_are_told_of_starts_and_ends_in_order_and_what_they_set_is_recorded() {
    let (mut flight, witness) = witnessed();
    let run = span("run").span_id(witness.id("run")).set("own", 1).start();
    let remote = Context::remote(TraceId::from_bytes([1; 16]), SpanId::from_bytes([99; 8]), true);
    let far = span("far").span_id(witness.id("far")).parent(remote).start();
    let call = run.child("call").span_id(witness.id("call")).start();
    assert_eq!(call.complete(), Ended::Recorded);
    thread::spawn(move || drop(run)).join().unwrap();
    far.fail("why");
    let expected = [
        "trace run",
        "start run",
        "trace far",
        "start far",
        "start call",
        "end call",
        "end run",
        "trace end run",
        "end far",
        "trace end far",
    ];
    assert_eq!(witness.take(), expected);
    flight.drain();
    // Announced with what was set at the start, and only that.
    assert_eq!(flight.announced.len(), 2);
    assert_eq!(flight.announced[0].keys(), ["own", "zone"]);
    let spans = flight.take();
    let of = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    assert_eq!(of("call").keys(), ["zone", "seen.status"]);
    assert_eq!(of("call").get("seen.status"), Some(&Value::text("ok")));
    assert_eq!(of("far").get("seen.status"), Some(&Value::text("error")));

    assert!(flight.recorder.flush_processors(Duration::from_secs(1)));
    assert!(!flight.recorder.flush_processors(Duration::ZERO));
    flight.recorder.shut_processors_down();
    assert_eq!(witness.take(), ["flush", "flush", "shut down"]);
}

#[test]
fn a_pending_span_is_told_of_when_it_starts_and_one_that_never_does_only_ends() {
    let (mut flight, witness) = witnessed();
    let started = span("started").span_id(witness.id("started")).prepare();
    let dropped = span("dropped").span_id(witness.id("dropped")).prepare();
    let cancelled = span("cancelled").span_id(witness.id("cancelled")).prepare();
    assert_eq!(witness.take(), [""; 0]);
    drop(started.start());
    drop(dropped);
    cancelled.cancel();
    let expected = [
        "trace started",
        "start started",
        "end started",
        "trace end started",
        "trace dropped",
        "start dropped",
        "end dropped",
        "trace end dropped",
        "end cancelled",
        "trace end cancelled",
    ];
    assert_eq!(witness.take(), expected);
    assert_eq!(flight.take().len(), 3);
}

/// Panics whenever it is called.
struct Panics;

impl Processor for Panics {
    fn on_trace_start(&self, _: &Span) {
        panic!("on_trace_start");
    }

    fn on_start(&self, _: &Span) {
        panic!("on_start");
    }

    fn on_end(&self, span: &Span) {
        span.set("before the panic", true);
        std::panic::panic_any(PanicsAgain);
    }

    fn on_trace_end(&self, _: &Span) {
        panic!("on_trace_end");
    }

    fn flush(&self, _: Duration) -> bool {
        panic!("flush");
    }

    fn shut_down(&self) {
        panic!("shut_down");
    }
}

/// Panics when it is dropped.
struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_processor_that_panics_is_counted_and_nobody_else_notices_even_in_unwinding() {
    let witness = Arc::new(Witness::default());
    let mut flight = Flight::hooked(processed_by(vec![
        Arc::new(Panics),
        Arc::new(Told(witness.clone())),
        Arc::new(Panics),
    ]));
    let id = witness.id("run");
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _run = span("run").span_id(id).start();
        panic!("the program's own");
    }));
    assert_eq!(*unwound.unwrap_err().downcast::<&str>().unwrap(), "the program's own");
    assert_eq!(witness.take(), ["trace run", "start run", "end run", "trace end run"]);
    let run = flight.take_one();
    assert_eq!(run.status, Status::Error);
    assert_eq!(run.get("before the panic"), Some(&Value::Bool(true)));
    assert_eq!(flight.counters(0).hooks_failed, 8);
    assert!(!flight.recorder.flush_processors(Duration::from_secs(1)));
    flight.recorder.shut_processors_down();
    assert_eq!(witness.take(), ["flush", "shut down"]);
    assert_eq!(flight.counters(0).hooks_failed, 12);
}

/// Records spans of its own.
struct Records;

impl Processor for Records {
    fn on_start(&self, span: &Span) {
        drop(span.child("of the processor").start());
    }
}

#[test]
fn spans_that_a_processor_starts_are_recorded_and_no_processor_is_told_of_them() {
    let witness = Arc::new(Witness::default());
    let mut flight = Flight::hooked(processed_by(vec![Arc::new(Records), Arc::new(Told(witness.clone()))]));
    drop(span("run").span_id(witness.id("run")).start());
    assert_eq!(witness.take(), ["trace run", "start run", "end run", "trace end run"]);
    let names: Vec<_> = flight.take().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["of the processor", "run"]);
}

#[test]
fn processors_are_not_told_of_what_is_not_recorded() {
    let witness = Arc::new(Witness::default());
    let mut hooks = processed_by(vec![Arc::new(Told(witness.clone()))]);
    let flight =
        Flight::start(Plan { lanes: 2, ring_bytes: 4 << 10, hooks: hooks.clone(), ..Plan::default() });
    let open: Vec<_> = (0..300).map(|_| span("many").root().start()).collect();
    assert_eq!(witness.take().len(), 2 * 256);
    drop(open);
    assert_eq!(witness.take().len(), 2 * 256);
    let counters = flight.counters(0);
    assert_eq!(counters.dropped_no_cell, 44);
    drop(flight);

    hooks.sampler = Some(Arc::new(AlwaysOff));
    let flight = Flight::hooked(hooks);
    drop(span("out").start());
    assert_eq!(witness.take(), [""; 0]);
    assert_eq!(flight.counters(0).sampled_out, 1);
}
