//! Traces that go on in another process: W3C trace context and baggage, in HTTP headers and in the environment.
//!
//! ```
//! use std::collections::HashMap;
//! use spanring::propagation::Propagated;
//!
//! # let request = HashMap::from([("traceparent".to_owned(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned())]);
//! // A request comes in: what this process records belongs to the caller's trace.
//! let incoming = Propagated::extract(&request);
//! let run = spanring::trace("research-agent").parent(incoming.context).start();
//!
//! // A request goes out, from within a span.
//! let mut headers = HashMap::new();
//! run.context().inject(&mut headers);
//!
//! // The same, with what other systems had said about the trace, and with the baggage.
//! incoming.with_context(run.context()).inject(&mut headers);
//! assert!(headers["traceparent"].starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
//! ```
//!
//! Between a process and its children the same texts stand in variables of the environment. What a shell, a scheduler or `spanring exec`
//! starts joins their trace so; where there is none, it starts one:
//!
//! ```
//! use std::process::Command;
//! use spanring::Context;
//! use spanring::propagation::Propagated;
//!
//! let run = spanring::trace("agent").parent(Context::from_environment()).start();
//! let mut command = Command::new("make");
//! Propagated::from_environment().with_context(run.context()).set_in(&mut command);
//! ```
//!
//! | header | variable | holds | what makes no sense |
//! |---|---|---|---|
//! | `traceparent` | `TRACEPARENT` | a span's [`Context`]: [`Traceparent`] | there is no context, and no trace state |
//! | `tracestate` | `TRACESTATE` | what each system says about the trace: [`TraceState`] | there is no trace state |
//! | `baggage` | `BAGGAGE` | what the application hands on: [`Baggage`] | the member is left out |
//!
//! Nothing that arrives can make reading fail: a trace that cannot be joined is started anew.
//!
//! # What it does not do
//!
//! It is not known to any span what trace state and baggage it came with: who wants to pass them on keeps the [`Propagated`]. Of the flags
//! only `sampled` is read and written. Level 2's `random` tells how a trace's identity was made, and leaving it out only says that
//! nobody vouches for that.

mod baggage;
mod environment;
mod headers;
mod traceparent;
mod tracestate;

pub use baggage::{Baggage, BaggageError, Member};
pub use headers::{Headers, HeadersMut};
pub use traceparent::{Traceparent, TraceparentError};
pub use tracestate::{TraceState, TraceStateError};

use crate::builder::{Fill, SpanBuilder};
use crate::context::Context;
use crate::names;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";

/// What HTTP calls optional whitespace.
const OWS: [char; 2] = [' ', '\t'];

/// What one process tells another about the work that it hands on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Propagated {
    /// The span that the work belongs to; [`Context::NONE`] for work of its own.
    pub context: Context,
    /// What tracing systems say about the trace. Never passed on without a valid context.
    pub trace_state: TraceState,
    /// What the application hands on.
    pub baggage: Baggage,
}

impl Propagated {
    /// What a request came with. What is missing or makes no sense is as if it were not there, each header by itself, except that there
    /// is no trace state without a valid `traceparent`. More than one `traceparent` is as none.
    pub fn extract(headers: &(impl Headers + ?Sized)) -> Self {
        let context = Context::extract(headers);
        let mut trace_state = Ok(TraceState::default());
        if context.is_valid() {
            headers.each_value(TRACESTATE, &mut |value| {
                if let Ok(state) = &mut trace_state
                    && let Err(error) = state.add_header(value)
                {
                    trace_state = Err(error);
                }
            });
        }
        let mut baggage = Baggage::default();
        headers.each_value(BAGGAGE, &mut |value| baggage.add_header(value));
        Propagated { context, trace_state: trace_state.unwrap_or_default(), baggage }
    }

    /// Sets the headers of a request to what is said here. What is not said is removed, so that nothing of another request stays.
    pub fn inject(&self, headers: &mut (impl HeadersMut + ?Sized)) {
        let traceparent = self.context.traceparent();
        let trace_state = self.trace_state.header();
        let is_trace_state_told = traceparent.is_some() && !trace_state.is_empty();
        let told = [
            (TRACEPARENT, traceparent.as_ref().map(Traceparent::as_str)),
            (TRACESTATE, is_trace_state_told.then_some(&*trace_state)),
            (BAGGAGE, Some(self.baggage.as_str()).filter(|baggage| !baggage.is_empty())),
        ];
        for (name, value) in told {
            match value {
                Some(value) => headers.set(name, value),
                None => headers.remove(name),
            }
        }
    }

    /// The same, handed on by this span. The trace state stays where the span is of the same trace, and is left out otherwise: it
    /// speaks of a trace. An invalid context changes nothing: who records nothing passes on what came.
    #[must_use]
    pub fn with_context(mut self, context: Context) -> Self {
        if context.is_valid() {
            if context.trace_id() != self.context.trace_id() {
                self.trace_state = TraceState::default();
            }
            self.context = context;
        }
        self
    }
}

/// Taking a request on: see [`propagation`](crate::propagation).
impl<'a, F: Fill> SpanBuilder<'a, F> {
    /// Under the span that a request came from, with its trace state. The baggage is the application's to pass on.
    ///
    /// ```
    /// use spanring::propagation::Propagated;
    ///
    /// # let headers = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    /// let from = Propagated::extract(&headers[..]);
    /// let request = spanring::span("GET /").propagated(&from).start();
    /// # assert_eq!(request.context().trace_id(), from.context.trace_id());
    /// ```
    pub fn propagated(self, from: &'a Propagated) -> SpanBuilder<'a, impl Fill> {
        self.parent(from.context).then(move |span| {
            if from.context.is_valid() && !from.trace_state.is_empty() {
                span.set_display(names::TRACE_STATE, &from.trace_state);
            }
        })
    }
}

impl From<Context> for Propagated {
    fn from(context: Context) -> Self {
        Propagated { context, ..Propagated::default() }
    }
}

/// Handing a span on: see [`propagation`](crate::propagation).
impl Context {
    /// The span that a request came from, as its `traceparent` says. [`Context::NONE`], under which a root starts, where there is no such
    /// header, more than one, or one that makes no sense.
    pub fn extract(headers: &(impl Headers + ?Sized)) -> Self {
        let (mut context, mut count) = (Context::NONE, 0_u64);
        headers.each_value(TRACEPARENT, &mut |value| {
            context = Context::from_traceparent(value).unwrap_or(Context::NONE);
            count += 1;
        });
        if count == 1 { context } else { Context::NONE }
    }

    /// Tells a request which span it comes from, by its `traceparent`, which is replaced. Other headers stay as they are, and so does
    /// this one where the context is invalid.
    ///
    /// ```
    /// let call = spanring::tool("search").start();
    /// let mut headers: Vec<(String, String)> = Vec::new();
    /// call.context().inject(&mut headers);
    /// ```
    pub fn inject(&self, headers: &mut (impl HeadersMut + ?Sized)) {
        if let Some(traceparent) = self.traceparent() {
            headers.set(TRACEPARENT, traceparent.as_str());
        }
    }
}
