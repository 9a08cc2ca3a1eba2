//! A layer for programs that use `tracing`: its spans and events are recorded as spanring's.
//!
//! ```
//! use spanring::bridge::tracing as bridge;
//! use tracing_subscriber::prelude::*;
//!
//! #[derive(Debug)]
//! struct Refused;
//!
//! fn run(question: &str) -> Result<String, Refused> {
//!     let run = tracing::info_span!("research", question, spanring.kind = "agent", answer = tracing::field::Empty);
//!     let _entered = run.enter();
//!     tracing::info!(attempt = 1, "asking"); // an event of the span
//!
//!     let call = spanring::llm("mistral-small").start(); // spanring's own, under the span
//!     bridge::with_span(&run, |span| _ = span.user("u7")); // what has a type
//!     let headers = bridge::context_of(&run); // for a request to another process
//!     # assert_eq!(headers, spanring::Context::current());
//!
//!     run.record("answer", "42");
//!     call.complete();
//!     Ok("42".to_owned())
//! }
//!
//! let subscriber = tracing_subscriber::registry().with(bridge::layer());
//! tracing::subscriber::with_default(subscriber, || run("why?")).unwrap();
//! ```
//!
//! The layer can be made before the recorder starts, or after: what is open by then is not recorded. It goes with filters of its own
//! (`with_filter`) and with any other layers. One layer a subscriber is enough; a second one records no span twice, but every event.
//!
//! A span starts when it is made, and ends when its last handle is dropped, on whichever thread; it is found in `tracing`'s
//! [`Registry`], which every subscriber is made of that has layers.
//!
//! # Which spans are under which
//!
//! While a span is entered it is spanring's current span on the thread, and what is entered last counts, be it `tracing`'s or
//! spanring's: so the spans of both make one tree. A span with an explicit parent is under that, and one with `parent: None` under none.
//! Where the layer does not see a parent, since a filter keeps it away, what it was under counts; one that is explicit counts as none.
//!
//! A request that came from another process: make the span within its context, `remote.in_scope(|| info_span!("request"))`. As a span's
//! identities are recorded from its start on, they cannot be given later.
//!
//! # What becomes of fields and events
//!
//! A field is an attribute of the same name. So what is written under a name of [`names`](crate::names), such as `gen_ai.request.model`,
//! is what the typed methods write. These say something about the span itself, as with `tracing-opentelemetry`:
//!
//! | field | says |
//! |---|---|
//! | `otel.name` | the name |
//! | `otel.kind` | [`SpanKind`](crate::SpanKind) |
//! | `otel.status_code` | [`Status`](crate::Status): `ok`, `error`, or any other |
//! | `otel.status_message`, `otel.status_description` | the span has failed, and why |
//! | `spanring.kind` | [`Kind`]: `tool`, `llm`; when the span is made. Else `gen_ai.operation.name` tells, if it can |
//!
//! An event is one of the span that it happens in, called by its message, with its fields. An event outside of all spans has no place
//! in a trace, and is left out. An event of level `ERROR`, and one that has a field `error` and no message, as `#[instrument(err)]` makes it,
//! lets the span fail ([`with_error_status`](SpanringLayer::with_error_status)), unless it was said that the span succeeded.
//!
//! # What differs from `tracing-opentelemetry` 0.34
//!
//! | | there | here |
//! |---|---|---|
//! | unsigned integers, bytes | text | as they are |
//! | `level` of a span | off | on |
//! | `busy_ns`, `idle_ns` | on | off: [`with_timings`](SpanringLayer::with_timings) |
//! | an error (`&dyn Error`) in a field `e` of a span | `e`, `e.chain`, `exception.message`, `exception.stacktrace` | `e`, `error.type`, `spanring.error.causes`, the status' message |
//! | the same of an event | `e`, `e.chain`, `exception.message`, `exception.stacktrace`, and the last two on the span | `e`, `exception.message`, `exception.type`, `spanring.error.causes`; on the span where the event lets it fail |
//! | an event with an error and no message | called by its place in the code, or `exception` | `exception` |
//! | a lone field `error` that is a text | in quotes | as it is |
//! | why a span failed | what a lone field `error` says | that, else the last error's or event's message |
//! | `otel.status_code = "error"` after a description | takes it away | keeps it |
//! | `otel.name`, `otel.kind` recorded after a span was entered | ignored | count |
//! | a value of `otel.kind` or `otel.status_code` that is none | ignored, or `unset` | an attribute |
//! | a message of more than 904 bytes | the event's name | cut there, whole in `message` |
//! | a parent that was set after a span was made | counts until the span is entered | not possible |
//! | `follows_from` a span that has closed | left out | left out |
//! | a span that closes while a panic unwinds | like any other | has failed, unless it was said how it went |
//! | a span that is entered when the process is killed | lost | recovered, as interrupted |
//!
//! # Cost
//!
//! Values are formatted by the thread that records them, once it is known that the span is recorded, and before anything is locked: a
//! `Debug` that logs, opens spans or panics does no harm. Without a recorder nothing is formatted or allocated, unless there is a
//! context to be handed on. The layer asks for every span and event there is, so give it a filter; spanring's own
//! [`Filter`](crate::callsite::Filter) is not asked.

mod entered;
mod held;
mod values;
mod write;

use std::sync::Arc;

use ::tracing::span::{Attributes, Id, Record};
use ::tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer;
use tracing_subscriber::registry::{LookupSpan, Registry, SpanRef};

use self::held::{Held, Kept};
use self::values::{Head, Values};
use crate::context::Context;
use crate::recorder;
use crate::span::Span;
use crate::{Kind, System, builder};

/// The field that renames a span.
const OTEL_NAME: &str = "otel.name";

/// A layer that records what `tracing` says, with what is usual.
pub fn layer() -> SpanringLayer {
    SpanringLayer::new()
}

/// Records what `tracing` says: see [the module](self).
#[derive(Clone, Debug)]
pub struct SpanringLayer {
    location: bool,
    level: bool,
    target: bool,
    threads: bool,
    timings: bool,
    error_status: bool,
}

impl Default for SpanringLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl SpanringLayer {
    /// A layer with what is usual.
    pub fn new() -> Self {
        SpanringLayer {
            location: true,
            level: true,
            target: true,
            threads: true,
            timings: false,
            error_status: true,
        }
    }

    /// Whether spans and events say where in the code they are: `code.file.path`, `code.line.number`, `code.module.name`. They do
    /// unless said otherwise.
    pub fn with_location(self, location: bool) -> Self {
        SpanringLayer { location, ..self }
    }

    /// Whether spans and events say their `level`. They do unless said otherwise.
    pub fn with_level(self, level: bool) -> Self {
        SpanringLayer { level, ..self }
    }

    /// Whether spans and events say their `target`. They do unless said otherwise.
    pub fn with_target(self, target: bool) -> Self {
        SpanringLayer { target, ..self }
    }

    /// Whether spans say which thread made them: `thread.id`, `thread.name`. They do unless said otherwise.
    pub fn with_threads(self, threads: bool) -> Self {
        SpanringLayer { threads, ..self }
    }

    /// Whether spans say for how many nanoseconds they were entered, on one thread at least, and for how many they were not:
    /// `busy_ns`, `idle_ns`. They do not unless said otherwise.
    pub fn with_timings(self, timings: bool) -> Self {
        SpanringLayer { timings, ..self }
    }

    /// Whether events of level `ERROR`, and errors that functions return, let their span fail. They do unless said otherwise.
    pub fn with_error_status(self, error_status: bool) -> Self {
        SpanringLayer { error_status, ..self }
    }

    /// What a new span is under.
    fn parent<S>(attributes: &Attributes<'_>, context: &layer::Context<'_, S>) -> Context
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        match attributes.parent() {
            Some(parent) => {
                context.span(parent).as_ref().and_then(nearest).map_or(Context::NONE, |held| held.context())
            }
            None if attributes.is_contextual() => entered::current(),
            None => Context::NONE,
        }
    }

    fn start(&self, attributes: &Attributes<'_>, parent: Context) -> Span {
        let mut head = Head::default();
        attributes.record(&mut head);
        let metadata = attributes.metadata();
        let name = head.name.as_deref();
        let builder = name.map_or_else(|| builder::span(metadata.name()), builder::span_named);
        let builder = builder.kind(head.kind()).parent(parent);
        builder.start_with(|span| {
            self.write_origin(span, metadata);
            Values::collect(
                |visit| attributes.values().record(visit),
                |values| write::write_fields(span, values, true),
            );
        })
    }
}

impl Head {
    fn kind(&self) -> Kind {
        let said = self.kind.as_deref().and_then(Kind::from_name);
        said.or_else(|| Kind::from_name_in(System::OpenTelemetry, self.operation.as_deref()?))
            .unwrap_or_default()
    }
}

impl<S> Layer<S> for SpanringLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: layer::Context<'_, S>) {
        let parent = Self::parent(attributes, &context);
        let is_off = recorder::generation() == recorder::OFF;
        if is_off && parent == Context::NONE {
            // There is nothing to be handed on.
            return;
        }
        let Some(place) = context.span(id).filter(|place| kept(place).is_none()) else { return };
        let span = if is_off { Span::off(parent) } else { self.start(attributes, parent) };
        // No code of others runs while the registry's lock is held.
        place.extensions_mut().replace(Held::new(span, self.timings));
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: layer::Context<'_, S>) {
        if let Some(held) = recording(id, &context) {
            Values::collect(
                |visit| record.record(visit),
                |values| held.with(|span| write::write_fields(span, values, false)),
            );
        }
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, context: layer::Context<'_, S>) {
        let followed = context.span(follows).as_ref().and_then(kept).map(|held| held.context());
        if let Some(held) = recording(id, &context)
            && let Some(followed) = followed.filter(Context::is_valid)
        {
            held.with(|span| _ = span.link(followed));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: layer::Context<'_, S>) {
        let held = context.event_span(event).as_ref().and_then(kept);
        if let Some(held) = held.filter(|held| held.is_recording()) {
            Values::collect(
                |visit| event.record(visit),
                |values| held.with(|span| self.write_event(span, event.metadata(), values)),
            );
        }
    }

    fn on_enter(&self, id: &Id, context: layer::Context<'_, S>) {
        if let Some(held) = context.span(id).as_ref().and_then(kept) {
            held.count_enter();
            entered::enter(held);
        }
    }

    fn on_exit(&self, id: &Id, context: layer::Context<'_, S>) {
        if let Some(held) = context.span(id).as_ref().and_then(kept) {
            held.count_exit();
            entered::exit(&held);
        }
    }

    fn on_close(&self, id: Id, context: layer::Context<'_, S>) {
        if let Some(held) = context.span(&id).as_ref().and_then(kept) {
            held.end(|span| {
                if let Some([busy, idle]) = held.busy_and_idle() {
                    let ns = |duration: std::time::Duration| {
                        u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
                    };
                    span.set("busy_ns", ns(busy)).set("idle_ns", ns(idle));
                }
            });
        }
    }
}

/// What stands for a span, if anything does.
fn kept<'a, R: LookupSpan<'a>>(span: &SpanRef<'a, R>) -> Option<Kept> {
    span.extensions().get::<Kept>().map(Arc::clone)
}

/// What stands for a span, or for the nearest of those it is in.
fn nearest<'a, R: LookupSpan<'a>>(span: &SpanRef<'a, R>) -> Option<Kept> {
    span.scope().find_map(|span| kept(&span))
}

fn recording<S>(id: &Id, context: &layer::Context<'_, S>) -> Option<Kept>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    context.span(id).as_ref().and_then(kept).filter(|held| held.is_recording())
}

/// The context of a span of `tracing`, to start spans under it or to hand it on to another process. For a span that no
/// [`SpanringLayer`] has seen it is that of the nearest span around it; of the current one where there is none.
pub fn context_of(span: &::tracing::Span) -> Context {
    span.with_subscriber(|(id, dispatch)| nearest(&in_registry(dispatch, id)?))
        .flatten()
        .map_or_else(Context::current, |held| held.context())
}

/// Lets `change` set things on what is recorded for a span of `tracing`, and says whether it could: not where nothing is recorded.
///
/// The span is locked meanwhile: other threads that record something on it wait. What `change` itself records on it through `tracing`
/// is left out and counted.
pub fn with_span(span: &::tracing::Span, change: impl FnOnce(&Span)) -> bool {
    let held = span.with_subscriber(|(id, dispatch)| kept(&in_registry(dispatch, id)?)).flatten();
    held.filter(|held| held.is_recording()).is_some_and(|held| held.with(change).is_some())
}

fn in_registry<'a>(dispatch: &'a Dispatch, id: &Id) -> Option<SpanRef<'a, Registry>> {
    dispatch.downcast_ref::<Registry>()?.span(id)
}
