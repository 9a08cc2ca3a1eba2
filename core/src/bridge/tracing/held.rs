//! The span that stands for one of `tracing`'s, as long as that is open.
//!
//! The registry asks of what it keeps with a span that several threads may look at it at once, which a [`Span`] does not allow: so
//! it lies behind a lock. The registry's own lock would not do. Other layers hold it while they format values, and whatever a `Debug`
//! or a hook does while we hold it, be it to log, would wait for itself.
//!
//! * **H1** What is locked is used for calls that set what was formatted before. Should a hook, or what
//!   [`with_span`](super::with_span) calls, come back to the same span, on the same thread, it finds the thread in `owner` and is turned away.
//! * **H2** The context is not behind the lock: new spans, entering and leaving never wait.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::context::Context;
use crate::control::Counter;
use crate::recorder;
use crate::span::Span;

/// What the registry keeps with each of its spans.
pub(super) type Kept = Arc<Held>;

/// A span, behind a lock.
#[derive(Debug)]
pub(super) struct Held {
    context: Context,
    is_recording: bool,
    /// `None` once it has ended.
    span: Mutex<Option<Span>>,
    /// The thread that has it locked; 0 for none. A thread asks only whether it is itself, so nothing is ordered by it.
    owner: AtomicUsize,
    timings: Option<Mutex<Timings>>,
}

thread_local! {
    /// Whose address is that of no other thread.
    static HERE: u8 = const { 0 };
}

fn this_thread() -> usize {
    HERE.with(|here| ptr::from_ref(here).addr())
}

impl Held {
    pub(super) fn new(span: Span, is_timed: bool) -> Kept {
        let is_recording = span.is_recording();
        let timings = (is_timed && is_recording).then(|| Mutex::new(Timings::new()));
        let context = span.context();
        Arc::new(Held {
            context,
            is_recording,
            span: Mutex::new(Some(span)),
            owner: AtomicUsize::new(0),
            timings,
        })
    }

    pub(super) fn context(&self) -> Context {
        self.context
    }

    pub(super) fn is_recording(&self) -> bool {
        self.is_recording
    }

    /// Calls `f` with the span. `None` once it has ended, and from within such a call; that is counted.
    pub(super) fn with<T>(&self, f: impl FnOnce(&Span) -> T) -> Option<T> {
        self.locked(|span| span.as_ref().map(f)).flatten()
    }

    /// Ends the span, outside the lock, after `conclude` has said more.
    pub(super) fn end(&self, conclude: impl FnOnce(&Span)) {
        if let Some(span) = self.locked(Option::take).flatten() {
            conclude(&span);
            // As any span that is dropped: it has failed if a panic is unwinding.
            drop(span);
        }
    }

    fn locked<T>(&self, f: impl FnOnce(&mut Option<Span>) -> T) -> Option<T> {
        if self.owner.load(Ordering::Relaxed) == this_thread() {
            if let Some(recorder) = recorder::current() {
                recorder.control().count(Counter::Reentered);
            }
            return None;
        }
        // A call that panicked has left the span as it is between two calls.
        let mut span = self.span.lock().unwrap_or_else(PoisonError::into_inner);
        let _owned = Owned::by_this_thread(&self.owner);
        Some(f(&mut span))
    }

    pub(super) fn count_enter(&self) {
        self.timed(Timings::enter);
    }

    pub(super) fn count_exit(&self) {
        self.timed(Timings::exit);
    }

    /// For how long it was entered so far, by whichever threads, and for how long not.
    pub(super) fn busy_and_idle(&self) -> Option<[Duration; 2]> {
        self.timed(|timings| {
            timings.lap();
            [timings.busy, timings.idle]
        })
    }

    fn timed<T>(&self, f: impl FnOnce(&mut Timings) -> T) -> Option<T> {
        Some(f(&mut self.timings.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

struct Owned<'a>(&'a AtomicUsize);

impl<'a> Owned<'a> {
    fn by_this_thread(owner: &'a AtomicUsize) -> Self {
        owner.store(this_thread(), Ordering::Relaxed);
        Owned(owner)
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// For how long a span was entered.
#[derive(Debug)]
struct Timings {
    entered: u32,
    since: Instant,
    busy: Duration,
    idle: Duration,
}

impl Timings {
    fn new() -> Self {
        Timings { entered: 0, since: Instant::now(), busy: Duration::ZERO, idle: Duration::ZERO }
    }

    /// Counts the time since something changed last.
    fn lap(&mut self) {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.since);
        self.since = now;
        *(if self.entered > 0 { &mut self.busy } else { &mut self.idle }) += passed;
    }

    fn enter(&mut self) {
        self.lap();
        self.entered = self.entered.saturating_add(1);
    }

    fn exit(&mut self) {
        self.lap();
        self.entered = self.entered.saturating_sub(1);
    }
}
