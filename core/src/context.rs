//! Where new spans belong: the identities that are handed on, and the current span of each thread.

use std::marker::PhantomData;

use crate::thread::LOCAL;
use crate::{SpanId, TraceId};

/// The identities of a span, to start others under it: on this thread, on another, in another process.
///
/// A context is a small copy. It keeps nothing alive and cannot change the span.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Context {
    trace_id: TraceId,
    span_id: SpanId,
}

const _: () = assert!(size_of::<Context>() <= 32);

impl Context {
    /// The context of no span: what is started under it is a root.
    pub const NONE: Context = Context { trace_id: TraceId::INVALID, span_id: SpanId::INVALID };

    /// The context of a span that was started elsewhere.
    pub const fn new(trace_id: TraceId, span_id: SpanId) -> Self {
        Context { trace_id, span_id }
    }

    /// The context of this thread's current span; [`Context::NONE`] outside of all.
    pub fn current() -> Self {
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
        self.span_id.is_valid() && self.trace_id.is_valid()
    }

    /// Makes the span current on this thread until the guard is dropped.
    pub fn enter(&self) -> Entered {
        Entered { depth: LOCAL.with(|local| local.enter(*self)), on_this_thread: PhantomData }
    }
}

/// Keeps a span current on the thread that entered it. Guards may be dropped in any order; each takes away what it made.
///
/// Up to 64 spans can be entered at once on a thread. Those beyond are not made current.
#[must_use = "the span is current only until the guard is dropped"]
#[derive(Debug)]
pub struct Entered {
    depth: u32,
    on_this_thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        LOCAL.with(|local| local.leave(self.depth));
    }
}
