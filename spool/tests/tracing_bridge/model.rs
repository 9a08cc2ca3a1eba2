//! Random programs against the obvious model.
//!
//! Three threads do, one call after another, what the program says, so that the model knows at any moment what is entered where, and
//! what is open.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::thread;

use proptest::prelude::*;
use spanring::bridge::tracing::{context_of, layer};
use spanring::{Context, SpanId};
use spanring_spool::{SpanData, Spool};
use tracing::{Dispatch, Span, field, info, info_span};
use tracing_subscriber::prelude::*;

use crate::Place;

const THREADS: usize = 3;

/// What a thread does; numbers pick among what there is.
#[derive(Clone, Debug)]
enum Op {
    New,
    NewRoot,
    NewUnder(usize),
    Clone(usize),
    Drop(usize),
    Enter(usize),
    /// Leaves the span that was entered as the how-manieth of the thread.
    Exit(usize),
    Record(usize, u64),
    Event(u64),
    EventOf(usize, u64),
    Follows(usize, usize),
    /// Starts and ends a span of spanring's own.
    Native,
}

fn op() -> impl Strategy<Value = (usize, Op)> {
    let some = || 0..100_usize;
    let op = prop_oneof![
        4 => Just(Op::New),
        1 => Just(Op::NewRoot),
        2 => some().prop_map(Op::NewUnder),
        2 => some().prop_map(Op::Clone),
        5 => some().prop_map(Op::Drop),
        6 => some().prop_map(Op::Enter),
        6 => some().prop_map(Op::Exit),
        2 => (some(), any::<u64>()).prop_map(|(span, value)| Op::Record(span, value)),
        2 => any::<u64>().prop_map(Op::Event),
        1 => (some(), any::<u64>()).prop_map(|(span, value)| Op::EventOf(span, value)),
        1 => (some(), some()).prop_map(|(span, other)| Op::Follows(span, other)),
        2 => Just(Op::Native),
    ];
    (0..THREADS, op)
}

/// A span as it should be.
#[derive(Debug, Default)]
struct Expected {
    parent: Option<usize>,
    recorded: Option<u64>,
    events: Vec<u64>,
    links: Vec<usize>,
    /// Handles, entered places and open children, each of which keeps it open; none for a span of spanring's own.
    held_by: usize,
}

/// A handle of the program's, or that of a place where a span is entered.
struct Handle {
    span: Span,
    number: usize,
}

#[derive(Default)]
struct Model {
    spans: Vec<Expected>,
    handles: Vec<Handle>,
    entered: [Vec<Handle>; THREADS],
    identities: Vec<SpanId>,
    open: usize,
}

impl Model {
    /// What is current on a thread: what was entered last, and was not entered before that.
    fn current(&self, thread: usize) -> Option<&Handle> {
        let entered = &self.entered[thread];
        let is_first = |&at: &usize| entered[..at].iter().all(|before| before.number != entered[at].number);
        (0..entered.len()).rev().find(is_first).map(|at| &entered[at])
    }

    fn add(&mut self, span: Span, parent: Option<usize>) {
        let number = self.spans.len();
        if let Some(parent) = parent {
            self.spans[parent].held_by += 1;
        }
        self.identities.push(context_of(&span).span_id());
        self.spans.push(Expected { parent, held_by: 1, ..Expected::default() });
        self.handles.push(Handle { span, number });
        self.open += 1;
    }

    fn release(&mut self, number: usize) {
        let span = &mut self.spans[number];
        span.held_by -= 1;
        if span.held_by == 0 {
            self.open -= 1;
            if let Some(parent) = span.parent {
                self.release(parent);
            }
        }
    }
}

fn picked(from: &[Handle], pick: usize) -> Option<&Handle> {
    from.get(pick % from.len().max(1))
}

/// A thread that does what it is told, one thing after another.
struct Worker {
    work: mpsc::Sender<Box<dyn FnOnce() + Send>>,
    thread: thread::JoinHandle<()>,
}

impl Worker {
    fn start(dispatch: Dispatch) -> Self {
        let (work, todo) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let thread = thread::spawn(move || {
            tracing::dispatcher::with_default(&dispatch, || todo.into_iter().for_each(|work| work()));
        });
        Worker { work, thread }
    }

    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        self.work.send(Box::new(move || done.send(work()).unwrap())).unwrap();
        result.recv().unwrap()
    }
}

fn new_span(number: usize) -> Span {
    info_span!("span", otel.name = format!("span {number}"), value = field::Empty)
}

fn step(model: &mut Model, worker: &Worker, thread: usize, op: Op) {
    let number = model.spans.len();
    let current = model.current(thread).map(|handle| handle.number);
    match op {
        Op::New => model.add(worker.run(move || new_span(number)), current),
        Op::NewRoot => {
            let new = || info_span!(parent: None, "span", otel.name = field::Empty, value = field::Empty);
            let span = worker.run(new);
            span.record("otel.name", format!("span {number}"));
            model.add(span, None);
        }
        Op::NewUnder(pick) => {
            let Some(parent) = picked(&model.handles, pick) else { return };
            let (id, parent) = (parent.span.id(), parent.number);
            let new = move || info_span!(parent: id, "span", otel.name = format!("span {number}"), value = field::Empty);
            model.add(worker.run(new), Some(parent));
        }
        Op::Clone(pick) => {
            let Some(handle) = picked(&model.handles, pick) else { return };
            let (span, number) = (handle.span.clone(), handle.number);
            model.spans[number].held_by += 1;
            model.handles.push(Handle { span, number });
        }
        Op::Drop(pick) => {
            if model.handles.is_empty() {
                return;
            }
            let Handle { span, number } = model.handles.swap_remove(pick % model.handles.len());
            worker.run(move || drop(span));
            model.release(number);
        }
        Op::Enter(pick) => {
            let Some(handle) = picked(&model.handles, pick) else { return };
            let (span, number) = (handle.span.clone(), handle.number);
            let entering = span.clone();
            worker.run(move || entering.with_subscriber(|(id, dispatch)| dispatch.enter(id)));
            model.spans[number].held_by += 1;
            model.entered[thread].push(Handle { span, number });
        }
        Op::Exit(pick) => {
            let entered = &mut model.entered[thread];
            let Some(handle) = picked(entered, pick) else { return };
            // A span is left as it was entered last.
            let number = handle.number;
            let at = entered.iter().rposition(|other| other.number == number).unwrap();
            let Handle { span, .. } = entered.remove(at);
            worker.run(move || {
                span.with_subscriber(|(id, dispatch)| dispatch.exit(id));
                drop(span);
            });
            model.release(number);
        }
        Op::Record(pick, value) => {
            let Some(handle) = picked(&model.handles, pick) else { return };
            let (span, number) = (handle.span.clone(), handle.number);
            worker.run(move || _ = span.record("value", value));
            model.spans[number].recorded = Some(value);
        }
        Op::Event(value) => {
            worker.run(move || info!(value, "event"));
            if let Some(current) = current {
                model.spans[current].events.push(value);
            }
        }
        Op::EventOf(pick, value) => {
            let Some(handle) = picked(&model.handles, pick) else { return };
            let (id, number) = (handle.span.id(), handle.number);
            worker.run(move || info!(parent: id, value, "event"));
            model.spans[number].events.push(value);
        }
        Op::Follows(pick, other) => {
            let (Some(handle), Some(other)) = (picked(&model.handles, pick), picked(&model.handles, other))
            else {
                return;
            };
            let (span, id, numbers) = (handle.span.clone(), other.span.id(), (handle.number, other.number));
            worker.run(move || _ = span.follows_from(id));
            model.spans[numbers.0].links.push(numbers.1);
        }
        Op::Native => {
            let identity = worker.run(move || {
                let span = spanring::span_named(&format!("span {number}")).start();
                span.context().span_id()
            });
            model.identities.push(identity);
            model.spans.push(Expected { parent: current, ..Expected::default() });
        }
    }
}

/// What is current on the thread is what the model says, and as much is open.
fn check(model: &Model, worker: &Worker, thread: usize, spool: &Spool) {
    let current = worker.run(|| Context::current().span_id());
    let expected = model.current(thread).map_or(SpanId::INVALID, |handle| model.identities[handle.number]);
    assert_eq!(current, expected);
    let ledger = spool.ledger();
    assert_eq!((ledger.started, ledger.in_flight), (model.spans.len() as u64, model.open as u64));
}

fn run(ops: Vec<(usize, Op)>) {
    let place = Place::new();
    let spool = place.spool().start().unwrap();
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer()));
    let workers: Vec<_> = (0..THREADS).map(|_| Worker::start(dispatch.clone())).collect();
    let mut model = Model::default();
    for (thread, op) in ops {
        step(&mut model, &workers[thread], thread, op);
        check(&model, &workers[thread], thread, &spool);
    }
    for (thread, worker) in workers.iter().enumerate() {
        while !model.entered[thread].is_empty() {
            step(&mut model, worker, thread, Op::Exit(0));
            check(&model, worker, thread, &spool);
        }
    }
    while !model.handles.is_empty() {
        step(&mut model, &workers[0], 0, Op::Drop(0));
    }
    for (thread, worker) in workers.into_iter().enumerate() {
        check(&model, &worker, thread, &spool);
        drop(worker.work);
        worker.thread.join().unwrap();
    }
    assert_eq!(model.open, 0);
    compare(&model, &place.stop(spool).spans);
}

fn compare(model: &Model, spans: &[SpanData]) {
    let read: BTreeMap<_, _> = spans.iter().map(|span| (&span.name[..], span)).collect();
    assert_eq!((read.len(), spans.len()), (model.spans.len(), model.spans.len()));
    for (number, expected) in model.spans.iter().enumerate() {
        let span = read[&format!("span {number}")[..]];
        let identity = |number: &usize| model.identities[*number];
        assert_eq!(
            (span.span_id, span.parent_id),
            (identity(&number), expected.parent.as_ref().map(identity))
        );
        let root = std::iter::successors(Some(number), |number| model.spans[*number].parent).last().unwrap();
        assert_eq!(span.trace_id, read[&format!("span {root}")[..]].trace_id);
        assert_eq!(span.get("value").and_then(spanring_spool::Value::as_u64), expected.recorded);
        let events = span.events.iter().map(|event| {
            let value = event.attributes.iter().find(|(key, _)| key == "value").unwrap();
            value.1.as_u64().unwrap()
        });
        assert!(events.eq(expected.events.iter().copied()), "{span:?} {expected:?}");
        assert!(span.links.iter().map(|link| link.span_id).eq(expected.links.iter().map(identity)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_a_program_does_is_recorded(ops in prop::collection::vec(op(), 1..120)) {
        run(ops);
    }
}
