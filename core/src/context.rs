//! Where new spans belong: the identities that are handed on, and the current span of each thread.

use std::marker::PhantomData;

use crate::compiled::IS_COMPILED_OUT;
use crate::thread::LOCAL;
use crate::{SpanId, TraceId};

/// The trace was decided against: nothing of it is recorded.
const SAMPLED_OUT: u64 = 1;
/// The span was started by another process.
const REMOTE: u64 = 2;
/// There is no span: its identities are none. Without this flag and the others the span is one of this process, and recorded as far as
/// that was decided, which one comparison tells.
const NO_SPAN: u64 = 4;

/// The identities of a span, to start others under it: on this thread, on another, in another process.
///
/// A context is a small copy. It keeps nothing alive and cannot change the span.
///
/// ```
/// let run = spanring::trace("research").start();
/// let context = run.context();
/// std::thread::spawn(move || context.in_scope(|| drop(spanring::tool("search").start()))).join().unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Context {
    trace_id: TraceId,
    span_id: SpanId,
    flags: u64,
}

const _: () = assert!(size_of::<Context>() <= 32);

impl Context {
    /// The context of no span: what is started under it is a root.
    pub const NONE: Context = Context::new(TraceId::INVALID, SpanId::INVALID);

    /// The context of a span that was started elsewhere in this process.
    pub const fn new(trace_id: TraceId, span_id: SpanId) -> Self {
        let flags = if trace_id.is_valid() && span_id.is_valid() { 0 } else { NO_SPAN };
        Context { trace_id, span_id, flags }
    }

    /// The context of a span that was just started in this process, whose identities are valid.
    #[inline(always)]
    pub(crate) const fn of_started(trace_id: TraceId, span_id: SpanId) -> Self {
        Context { trace_id, span_id, flags: 0 }
    }

    /// The context of a span that another process has started. Whether it is sampled says whether that process records it: see
    /// [`sampling`](crate::sampling) for what this one makes of it.
    pub const fn remote(trace_id: TraceId, span_id: SpanId, is_sampled: bool) -> Self {
        let new = Self::new(trace_id, span_id);
        Context { flags: new.flags | REMOTE, ..new }.sampled(is_sampled)
    }

    /// The same, of a trace that is recorded, or not.
    pub(crate) const fn sampled(self, is_sampled: bool) -> Self {
        let flags = if is_sampled { self.flags & !SAMPLED_OUT } else { self.flags | SAMPLED_OUT };
        Context { flags, ..self }
    }

    /// The context of this thread's current span; [`Context::NONE`] outside of all.
    pub fn current() -> Self {
        if IS_COMPILED_OUT {
            return Context::NONE;
        }
        LOCAL.with(|local| local.current())
    }

    /// The trace.
    #[inline]
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span.
    #[inline]
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Whether there is a span at all.
    #[inline]
    pub fn is_valid(&self) -> bool {
        self.flags & NO_SPAN == 0
    }

    /// Whether the trace is recorded, as far as anybody has decided: `false` only where it was decided against.
    #[inline]
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED_OUT == 0
    }

    /// Whether the trace was decided against in this process.
    #[inline]
    pub(crate) fn is_sampled_out_here(&self) -> bool {
        self.flags & !NO_SPAN == SAMPLED_OUT
    }

    /// Whether it is of a span of this process that nobody has decided against.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.flags == 0
    }

    /// Whether a span that is started under it is the first of its trace in this process.
    pub(crate) fn is_root_below(&self) -> bool {
        !self.is_valid() || self.is_remote()
    }

    /// Whether another process has started the span.
    #[inline]
    pub fn is_remote(&self) -> bool {
        self.flags & REMOTE != 0
    }

    /// Makes the span current on this thread until the guard is dropped.
    ///
    /// For a piece of code without a function of its own, and never across an `.await`: the guard would make the span current for
    /// whatever else the thread does meanwhile. It is not [`Send`], so what holds one cannot be spawned on a runtime with several threads.
    /// Elsewhere prefer [`in_scope`](Context::in_scope), and for futures [`in_span`](crate::InSpan::in_span).
    pub fn enter(&self) -> Entered {
        Entered { serial: enter(*self), on_this_thread: PhantomData }
    }

    /// Calls `f` with the span current on this thread.
    #[inline]
    pub fn in_scope<T>(&self, f: impl FnOnce() -> T) -> T {
        let _scope = Scope::enter(*self);
        f()
    }

    /// A function that calls `f` with the span current on whichever thread it is called: for threads, pools and callbacks.
    ///
    /// ```
    /// let run = spanring::trace("research").start();
    /// let search = run.context().wrap(|| drop(spanring::tool("search").start()));
    /// std::thread::spawn(search).join().unwrap();
    /// ```
    pub fn wrap<T>(self, f: impl FnOnce() -> T) -> impl FnOnce() -> T {
        move || self.in_scope(f)
    }
}

impl Default for Context {
    fn default() -> Self {
        Context::NONE
    }
}

/// Makes a context current, and says under which serial.
#[inline]
fn enter(context: Context) -> u64 {
    if IS_COMPILED_OUT { 0 } else { LOCAL.with(|local| local.enter(context)) }
}

/// Keeps a span current on the thread that entered it. Guards may be dropped in any order; each takes away what it made. One that is
/// not dropped as the last of what was entered is counted: see [`Counters`](crate::recorder::Counters::guards_out_of_order).
///
/// Up to 64 spans can be entered at once on a thread. Those beyond are not made current.
#[must_use = "the span is current only until the guard is dropped"]
#[derive(Debug)]
pub struct Entered {
    serial: u64,
    on_this_thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        if !IS_COMPILED_OUT {
            LOCAL.with(|local| local.leave(self.serial));
        }
    }
}

/// The length of a call, for which a span is current. What was entered within and not left by its end is left then: a guard that
/// is still held, across an `.await` perhaps, changes nothing for those outside.
pub(crate) struct Scope {
    serial: u64,
    on_this_thread: PhantomData<*const ()>,
}

impl Scope {
    #[inline]
    pub(crate) fn enter(context: Context) -> Self {
        Scope { serial: enter(context), on_this_thread: PhantomData }
    }
}

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        if !IS_COMPILED_OUT {
            LOCAL.with(|local| local.leave_scope(self.serial));
        }
    }
}
