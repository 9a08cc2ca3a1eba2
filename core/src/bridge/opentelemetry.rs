//! For programs that use the OpenTelemetry SDK: a span processor, in place of the batch processor and its exporter.
//!
//! ```
//! use opentelemetry::KeyValue;
//! use opentelemetry::trace::{Tracer, TracerProvider};
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//! use spanring::bridge::opentelemetry::SpanringProcessor;
//!
//! let provider = SdkTracerProvider::builder()
//!     .with_span_processor(SpanringProcessor::new()) // was: .with_batch_exporter(exporter)
//!     .build();
//!
//! let tracer = provider.tracer("shop.checkout");
//! tracer.in_span("checkout", |context| {
//!     use opentelemetry::trace::TraceContextExt;
//!     context.span().set_attribute(KeyValue::new("items", 2));
//! });
//! # provider.shutdown().unwrap();
//! ```
//!
//! The application starts a spool beside it, as any application of spanring does; without one the processor does nothing. The program's
//! own code stays as it is.
//!
//! # What it gains
//!
//! The batch processor knows of a span when it has ended, and keeps it in memory until it is sent: a kill takes the last seconds, and all that was
//! under way. Here a span is recorded from [`on_start`](SpanProcessor::on_start) on. If the process is killed, what had ended is whole, and what was
//! open is recovered as interrupted with what was known at its start: identities, name, kind, scope, attributes, links. What the program sets on it
//! later stays in the SDK's memory until the span ends, since the SDK tells nobody before. Sending is done by another process.
//!
//! # What becomes of a span
//!
//! | OpenTelemetry | spanring |
//! |---|---|
//! | trace id, span id, parent, name, times, events, links, status | the same, to the nanosecond |
//! | span kind | `spanring.span_kind` |
//! | trace flags, and whether the parent is remote | `spanring.trace_flags`, with OTLP's bits: 0x100, and 0x200 if it is remote. Of links too |
//! | trace state, of the span and of links | `spanring.trace_state`, unless it is empty |
//! | instrumentation scope: name, version, attributes, schema URL | `spanring.scope.name`, `.version`, `.attributes`, `.schema_url` |
//! | attribute: boolean, integer, float, text, array of each | the same, under the same key |
//! | counts of dropped attributes, events and links | `spanring.dropped.attributes`, `.events`, `.links`, unless they are 0 |
//! | attribute `gen_ai.operation.name`, given at the start | [`Kind`](crate::Kind) too: `chat` is an LLM call |
//!
//! The exporter of spanring makes of it what the SDK's own OTLP exporter would have sent, but for what follows.
//!
//! # What differs, and why
//!
//! | | the SDK with a batch processor | here |
//! |---|---|---|
//! | a key that is set twice | stands twice, against the specification | once when it is exported, with its last value |
//! | an end before the start | exported as it is | the span ends when it started, and says that one value was cut |
//! | a time before 1970; after 2554 | 1970; wraps around | 1970; the last nanosecond that there is |
//! | a name or key longer than 904 bytes; a span that fills a quarter of its thread's ring | exported, or dropped by the receiver | cut or left out, and counted |
//! | limits of the SDK above those of the recorder | counted by the SDK | the recorder's hold too; of what both drop, the recorder's count stands |
//! | a queue that is full | the span is dropped and a count logged | a ring that is full: the span is dropped, or waited for, as [`Overflow`](crate::Overflow) says; counted in the ledger |
//! | a span that is recorded but not sampled (`RecordOnly`) | not exported | not recorded |
//! | a span that is open when the provider is shut down | lost: the SDK tells of no end after that | cancelled, with that as the status message |
//! | a span that is open when the process dies | lost | interrupted |
//! | the resource | the provider's | the spool's, since it is one for all that a process records: hand it over with [`resource_attributes`] |
//! | a second processor around this one that changes what has ended | exported as changed | another name counts. Changed attributes are recorded again, and the last value counts; what is taken out stays, if it was there at the start |
//! | a second processor around this one that keeps ends from it | not exported | open until the provider is shut down: keep the starts from it too |
//! | spanring's own sampling, redaction and processors | | they work on these spans too, after the SDK's sampler, and hold for what is started under them, in both worlds |
//!
//! # A span that never ends
//!
//! An open span holds a cell of the recorder and an entry here until it ends. There is room for 65,536; a span that starts beyond that is
//! recorded when it ends, as a whole.
//!
//! # Spans of both kinds in one trace
//!
//! OpenTelemetry keeps its current span in a place of its own, where spanring does not look, and no processor is told when a span becomes
//! current. So say it where one starts under the other:
//!
//! ```
//! use opentelemetry::trace::{TraceContextExt, Tracer, TracerProvider};
//! use spanring::bridge::opentelemetry::{current_context, opentelemetry_context};
//! # let provider = opentelemetry_sdk::trace::SdkTracerProvider::default();
//! # let tracer = provider.tracer("shop");
//!
//! tracer.in_span("checkout", |_| {
//!     let call = spanring::llm("mistral-small").parent(current_context()).start(); // under `checkout`
//!
//!     let _guard = opentelemetry_context(call.context()).attach();
//!     tracer.in_span("POST /v1/chat", |_| ()); // under `call`, as long as the guard is held
//! });
//! ```

mod contexts;
mod open_spans;
mod recording;
mod resource;
mod turned_down;
mod value;

use std::fmt;
use std::time::Duration;

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

pub use contexts::{context_of, current_context, opentelemetry_context};
pub use resource::resource_attributes;

use crate::context::Context;
use crate::recorder;
use contexts::{identities, span_id};
use open_spans::{OpenSpans, Taken};
use recording::OpenSpan;

/// How long a flush may take where the SDK does not say it.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Records the spans of an OpenTelemetry SDK: a drop-in for its batch processor. See [the module](self).
///
/// It neither blocks nor panics, and where nothing is recorded it does nothing. A copy that a forked child inherits does not end the spans of
/// its parent.
#[derive(Default)]
pub struct SpanringProcessor {
    open: OpenSpans,
    flush: Option<Box<Flush>>,
}

type Flush = dyn Fn(Duration) -> bool + Send + Sync;

impl SpanringProcessor {
    /// A processor that records into whatever recorder the process has when a span starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has the provider's `force_flush` and `shutdown` call `flush`, with the time that it may take (5 s for `force_flush`). It says
    /// whether it was done in that time.
    ///
    /// Without it there is nothing to flush: what has ended survives the process already. With it they wait for the disk, or for delivery:
    /// `move |timeout| spool.flush(Level::Durable, timeout).is_ok()`, with the application's spool.
    #[must_use = "this makes another processor"]
    pub fn flush_with(mut self, flush: impl Fn(Duration) -> bool + Send + Sync + 'static) -> Self {
        self.flush = Some(Box::new(flush));
        self
    }

    fn flush(&self, timeout: Duration) -> OTelSdkResult {
        match &self.flush {
            Some(flush) if !flush(timeout) => Err(OTelSdkError::Timeout(timeout)),
            _ => Ok(()),
        }
    }

    /// Where a span belongs. What was decided about its parent holds for it too.
    fn parent(data: &SpanData) -> Context {
        let (trace_id, _) = identities(&data.span_context);
        let parent_id = span_id(data.parent_span_id);
        if !parent_id.is_valid() {
            return Context::NONE;
        }
        if data.parent_span_is_remote {
            // Whatever the other process has decided, the SDK's sampler knew it, and wants this span.
            return Context::remote(trace_id, parent_id, true);
        }
        turned_down::context_of(&(trace_id, parent_id)).unwrap_or(Context::new(trace_id, parent_id))
    }
}

impl fmt::Debug for SpanringProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanringProcessor")
            .field("open", &self.open.len())
            .field("flushes", &self.flush.is_some())
            .finish()
    }
}

impl SpanProcessor for SpanringProcessor {
    fn on_start(&self, span: &mut Span, _: &opentelemetry::Context) {
        let context = opentelemetry::trace::Span::span_context(span);
        let identities = identities(context);
        if !context.is_sampled() || recorder::generation() == recorder::OFF || !self.open.admits(&identities)
        {
            return;
        }
        let Some(data) = span.exported_data() else { return };
        let open = OpenSpan::start(&data, Self::parent(&data));
        // It was shut down meanwhile, or two spans have one identity.
        if let Some(without_place) = self.open.insert(identities, open) {
            without_place.cancel();
        }
    }

    fn on_end(&self, data: SpanData) {
        if !data.span_context.is_sampled() {
            return;
        }
        match self.open.take(&identities(&data.span_context)) {
            Taken::Open(open) => open.finish(&data),
            // There was no recorder, or no room, when it started.
            Taken::Unknown if recorder::generation() != recorder::OFF => {
                OpenSpan::start(&data, Self::parent(&data)).finish(&data);
            }
            Taken::Unknown | Taken::ShutDown => {}
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        if self.open.is_shut_down() { Err(OTelSdkError::AlreadyShutdown) } else { self.flush(FLUSH_TIMEOUT) }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        let Some(open) = self.open.shut_down() else { return Err(OTelSdkError::AlreadyShutdown) };
        open.into_iter().for_each(OpenSpan::cancel);
        self.flush(timeout)
    }
}

impl Drop for SpanringProcessor {
    fn drop(&mut self) {
        self.open.shut_down().into_iter().flatten().for_each(OpenSpan::cancel);
    }
}
