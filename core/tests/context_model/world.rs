//! What a program does, done twice: by what is tested, and by what is expected of it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use spanring::{Context, Ended, Entered, Span, SpanId, TraceId, span};

use crate::expected::{Begun, Expected};
use crate::program::{Choice, Op, Parent};

/// A panic of the program's, and not of the test's.
struct Planned;

/// Calls `f`, and catches a panic that the program has planned.
pub(crate) fn caught<T>(f: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(panic) if panic.is::<Planned>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

thread_local! {
    /// The guards that the thread keeps, oldest first.
    static KEPT: RefCell<Vec<Guard>> = const { RefCell::new(Vec::new()) };
}

/// All that threads and tasks have in common. They take turns: only one acts at a time.
#[derive(Default)]
pub(crate) struct World {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    expected: Expected,
    started: Vec<Context>,
    open: Vec<Span>,
    /// The trace and parent of each span.
    parents: BTreeMap<SpanId, (TraceId, SpanId)>,
    mismatch: Option<String>,
}

impl World {
    /// Never held while anything is called that comes back here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first thing that was not as expected.
    pub(crate) fn mismatch(&self) -> Option<String> {
        self.state().mismatch.clone()
    }

    pub(crate) fn parents(&self) -> BTreeMap<SpanId, (TraceId, SpanId)> {
        self.state().parents.clone()
    }

    pub(crate) fn out_of_order(&self) -> u64 {
        self.state().expected.out_of_order
    }

    /// Compares this thread's current span with the expected one.
    pub(crate) fn check(&self, after: &str) {
        let mut state = self.state();
        let (current, expected) = (Context::current(), state.expected.current());
        if current != expected && state.mismatch.is_none() {
            state.mismatch = Some(format!("after {after}: current is {current:?}, expected {expected:?}"));
        }
    }

    pub(crate) fn choose(&self, choice: Choice) -> Context {
        let mut state = self.state();
        match choice {
            Choice::This(context) => context,
            Choice::Current => state.expected.current(),
            Choice::Known(index) => match index.index(state.started.len() + 2) {
                0 => Context::NONE,
                1 => Context::remote(TraceId::from_bytes([7; 16]), SpanId::from_bytes([7; 8]), true),
                place => state.started[place - 2],
            },
        }
    }

    pub(crate) fn start(&self, parent: Parent) -> Span {
        let (builder, expected) = match parent {
            Parent::Current => (span("step"), self.state().expected.current()),
            Parent::Root => (span("step").root(), Context::NONE),
            Parent::Explicit(choice) => {
                let parent = self.choose(choice);
                (span("step").parent(parent), parent)
            }
        };
        let span = builder.start();
        let context = span.context();
        let mut state = self.state();
        let trace_id = if expected.is_valid() {
            expected.trace_id()
        } else if state.started.iter().any(|other| other.trace_id() == context.trace_id()) {
            TraceId::INVALID
        } else {
            context.trace_id()
        };
        state.parents.insert(context.span_id(), (trace_id, expected.span_id()));
        state.started.push(context);
        span
    }

    /// Ends all spans that are open.
    pub(crate) fn end_all(&self) {
        let open = std::mem::take(&mut self.state().open);
        drop(open);
    }

    /// Does it, and what follows from it.
    pub(crate) fn perform(self: &Arc<Self>, op: Op) {
        match op {
            Op::Start(parent) => {
                let span = self.start(parent);
                self.state().open.push(span);
            }
            Op::End(index) => {
                let mut state = self.state();
                if !state.open.is_empty() {
                    let at = index.index(state.open.len());
                    let ended = state.open.swap_remove(at).end();
                    if ended != Ended::Recorded {
                        state.mismatch.get_or_insert(format!("{ended:?}"));
                    }
                }
            }
            Op::Enter(choice, times) => {
                for _ in 0..times {
                    let guard = self.enter(choice);
                    KEPT.with_borrow_mut(|kept| kept.push(guard));
                }
            }
            Op::Leave(index) => drop(take_kept(index.index(usize::MAX))),
            Op::Replace(index, choice, times) => {
                for _ in 0..times {
                    let replaced = take_kept(index.index(usize::MAX));
                    let guard = self.enter(choice);
                    drop(replaced);
                    KEPT.with_borrow_mut(|kept| kept.push(guard));
                }
            }
            Op::Forget(index) => std::mem::forget(take_kept(index.index(usize::MAX))),
            Op::InScope { within, ops, catches: true } => {
                caught(|| self.in_scope(within, ops));
            }
            Op::InScope { within, ops, catches: false } => self.in_scope(within, ops),
            Op::Thread { within, ops } => self.on_own_thread(within, ops),
            Op::Panic => resume_unwind(Box::new(Planned)),
        }
        self.check("an operation");
    }

    fn perform_all(self: &Arc<Self>, ops: Vec<Op>) {
        self.check("a scope's beginning");
        ops.into_iter().for_each(|op| self.perform(op));
    }

    fn in_scope(self: &Arc<Self>, within: Choice, ops: Vec<Op>) {
        let context = self.choose(within);
        let _expected = self.begin(context);
        context.in_scope(|| self.perform_all(ops));
    }

    fn on_own_thread(self: &Arc<Self>, within: Option<Choice>, ops: Vec<Op>) {
        let (outer, inner) = (Arc::clone(self), Arc::clone(self));
        let act = move || inner.perform_all(ops);
        let thread = match within.map(|choice| self.choose(choice)) {
            None => thread::spawn(move || {
                caught(act);
                outer.leave_all();
            }),
            Some(context) => {
                let wrapped = context.wrap(act);
                thread::spawn(move || {
                    caught(|| {
                        let _expected = outer.begin(context);
                        wrapped();
                    });
                    outer.leave_all();
                })
            }
        };
        if let Err(panic) = thread.join() {
            resume_unwind(panic);
        }
    }

    /// Enters a context.
    pub(crate) fn enter(self: &Arc<Self>, choice: Choice) -> Guard {
        let context = self.choose(choice);
        let number = self.state().expected.enter(context);
        Guard { entered: Some(context.enter()), number, world: Arc::clone(self) }
    }

    /// Drops the guards that this thread keeps, oldest first.
    pub(crate) fn leave_all(&self) {
        self.check("the thread's work");
        while let Some(guard) = take_kept(0) {
            drop(guard);
            self.check("a guard that was left");
        }
    }

    /// Expects what lies until the drop of what is returned to happen in a scope.
    pub(crate) fn begin(self: &Arc<Self>, context: Context) -> Scope {
        Scope { begun: Some(self.state().expected.begin(context)), world: Arc::clone(self) }
    }
}

/// Takes one of the guards that this thread keeps, if it keeps any.
fn take_kept(number: usize) -> Option<Guard> {
    KEPT.with_borrow_mut(|kept| match kept.len() {
        0 => None,
        len => Some(kept.remove(number % len)),
    })
}

/// A guard, and what is expected of it.
pub(crate) struct Guard {
    entered: Option<Entered>,
    number: u64,
    world: Arc<World>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.entered = None;
        self.world.state().expected.leave(self.number);
        self.world.check("the drop of a guard");
    }
}

/// A scope as it is expected.
pub(crate) struct Scope {
    begun: Option<Begun>,
    world: Arc<World>,
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take() {
            self.world.state().expected.end(begun);
        }
        self.world.check("the end of a scope");
    }
}
