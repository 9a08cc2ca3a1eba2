//! A span: started, filled, ended.

use std::mem::ManuallyDrop;

use serde::Serialize;

use crate::attribute::{Attribute, Destination, Key};
use crate::clock;
use crate::context::{Context, Entered};
use crate::control::Counter;
use crate::record::{
    ENTRY_TRUE, HEAD_START_IS_UNIX, INLINE, RECORD_END_IS_UNIX, TAG_EVENT, TAG_KEY, TAG_STATUS_MESSAGE,
    head_word,
};
use crate::recorder::{self, DropReason, Recorder};
use crate::slot::{Claimed, Entry, HeadWords, Slot};
use crate::thread::{Local, local};
use crate::{Kind, SpanId, Status, TraceId};

/// A piece of work that is under way. It ends when it is dropped, or by [`end`](Span::end), which also tells whether
/// it was recorded.
///
/// What is set on a span is safe from the moment the call returns: if the process is killed before the span ends, it
/// is recovered with everything that was set, as *interrupted*.
///
/// A span can be sent to another thread and end there. It is not [`Sync`]: what other threads need to start spans
/// under it is its [`context`](Span::context). Without a recorder every call does nothing, in about a nanosecond.
///
/// ```
/// let run = spanring::span("research").start();
/// let call = run.child("chat").kind(spanring::Kind::Llm).start();
/// call.set("gen_ai.request.model", "mistral-small");
/// call.set("gen_ai.usage.input_tokens", 812);
/// call.event("first token");
/// call.end();
/// ```
///
/// # Limits
///
/// A span takes at most a quarter of its ring. A value that goes beyond is cut (text between two characters), marked,
/// and counted; what is set after that is left out and counted. A name made at run time keeps 904 bytes.
#[must_use = "a span that is dropped at once ends at once"]
#[derive(Debug)]
pub struct Span {
    context: Context,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing is recorded.
    Off,
    /// It counts, but there was no room for it when it started.
    Unslotted(&'static Recorder, DropReason),
    Open(Claimed),
}

/// What became of a span when it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Ended {
    /// It was recorded: it survives the process from now on.
    Recorded,
    /// It is lost, and counted under this reason.
    Dropped(DropReason),
    /// There is no recorder, or the span belongs to the parent of this forked process.
    NotRecording,
}

/// Where a new span belongs.
#[derive(Clone, Copy, Debug)]
enum Parent {
    Current,
    None,
    Of(Context),
}

#[derive(Clone, Copy, Debug)]
enum Name<'a> {
    Static(&'static str),
    Dynamic(&'a str),
}

/// A span that is about to start.
#[must_use = "nothing is recorded before `start`"]
#[derive(Clone, Copy, Debug)]
pub struct SpanBuilder<'a> {
    name: Name<'a>,
    kind: Kind,
    parent: Parent,
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    start_unix_ns: Option<u64>,
}

/// A span with this name, under the thread's current span.
#[inline]
pub fn span(name: &'static str) -> SpanBuilder<'static> {
    SpanBuilder::new(Name::Static(name))
}

/// A span whose name is made at run time, under the thread's current span.
#[inline]
pub fn span_named(name: &str) -> SpanBuilder<'_> {
    SpanBuilder::new(Name::Dynamic(name))
}

impl<'a> SpanBuilder<'a> {
    #[inline]
    fn new(name: Name<'a>) -> Self {
        SpanBuilder {
            name,
            kind: Kind::Custom,
            parent: Parent::Current,
            trace_id: None,
            span_id: None,
            start_unix_ns: None,
        }
    }

    /// What the span stands for.
    #[inline]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Under this span, and not under the current one. [`Context::NONE`] makes a root.
    #[inline]
    pub fn parent(mut self, parent: Context) -> Self {
        self.parent = Parent::Of(parent);
        self
    }

    /// Under no span: the root of a trace of its own.
    #[inline]
    pub fn root(mut self) -> Self {
        self.parent = Parent::None;
        self
    }

    /// With this trace identity. For a span under another it should be the parent's.
    #[inline]
    pub fn trace_id(mut self, trace_id: TraceId) -> Self {
        self.trace_id = Some(trace_id);
        self
    }

    /// With this identity.
    #[inline]
    pub fn span_id(mut self, span_id: SpanId) -> Self {
        self.span_id = Some(span_id);
        self
    }

    /// Started at this moment, in nanoseconds since the Unix epoch, and not now.
    #[inline]
    pub fn start_unix_ns(mut self, start_unix_ns: u64) -> Self {
        self.start_unix_ns = Some(start_unix_ns);
        self
    }

    /// Starts the span. It does not become current: see [`Span::enter`].
    #[inline(always)]
    pub fn start(self) -> Span {
        self.start_with(|_| ())
    }

    /// Starts the span and sets attributes before it is announced. Roots are announced when they start, and with the
    /// spool's `live` option all spans are: what `fill` sets is then known before the span ends. Where nothing is recorded,
    /// `fill` is not called.
    // Always: a builder that is passed through memory costs more than the span.
    #[inline(always)]
    pub fn start_with(self, fill: impl FnOnce(&Span)) -> Span {
        let local = local();
        let parent = match self.parent {
            Parent::Current => local.current(),
            Parent::Of(context) => context,
            Parent::None => Context::NONE,
        };
        let generation = recorder::generation();
        if generation == recorder::OFF {
            return Span { context: parent, state: State::Off };
        }
        // Each way makes its own span: where they meet, it would go through memory.
        let Some((lane, recorder)) = local.lane_of(generation) else {
            let (context, state) = self.open_unattached(&local, parent);
            return Span { context, state }.announced(parent, fill);
        };
        let (context, head) = self.head(&local, parent);
        let Some(slot) = Slot::claim(recorder, lane, &head) else {
            return Span { context, state: unslotted(recorder, DropReason::NoCell) };
        };
        slot.start(lane, self.inline_name(&head));
        Span { context, state: State::Open(slot) }.announced(parent, fill)
    }

    /// For a thread that holds no lane of the recorder: takes one, or shares the orphan lane.
    #[cold]
    #[inline(never)]
    fn open_unattached(self, local: &Local, parent: Context) -> (Context, State) {
        let Some((generation, recorder)) = recorder::catch_up() else {
            return (parent, State::Off);
        };
        let (context, head) = self.head(local, parent);
        let claim = |lane| {
            let slot = Slot::claim(recorder, lane, &head).ok_or(DropReason::NoCell)?;
            slot.start(lane, self.inline_name(&head));
            Ok(slot)
        };
        let state = match local.attach(generation, recorder) {
            Some(lane) => claim(lane),
            None => match recorder.wait_for(|| recorder.orphan()) {
                Some(orphan) => claim(orphan.lane),
                None => Err(DropReason::NoLane),
            },
        };
        let state = state.map_or_else(|reason| unslotted(recorder, reason), State::Open);
        (context, state)
    }

    #[inline(always)]
    fn head(&self, local: &Local, parent: Context) -> (Context, HeadWords) {
        let (start, flags) = match self.start_unix_ns {
            Some(unix_ns) => (unix_ns, HEAD_START_IS_UNIX),
            None => (clock::ticks(), 0),
        };
        let trace_id = match self.trace_id {
            Some(trace_id) => trace_id,
            None if parent.is_valid() => parent.trace_id(),
            None => local.new_trace_id(),
        };
        let span_id = self.span_id.unwrap_or_else(|| local.new_span_id());
        let parent_id = if parent.is_valid() { parent.span_id() } else { SpanId::INVALID };
        let name = match self.name {
            Name::Static(name) => local.number_of(name),
            Name::Dynamic(_) => INLINE,
        };
        let ([trace_low, trace_high], [span], [parent]) =
            (trace_id.to_words(), span_id.to_words(), parent_id.to_words());
        let head =
            [trace_low, trace_high, span, parent, start, head_word(name, self.kind, Status::Unset, flags, 0)];
        (Context::new(trace_id, span_id), head)
    }

    /// The name, if the dictionary has no number for it.
    #[inline]
    fn inline_name(&self, head: &HeadWords) -> Option<&'a str> {
        if head[5] & 0xffff != u64::from(INLINE) {
            return None;
        }
        Some(match self.name {
            Name::Static(name) => name,
            Name::Dynamic(name) => name,
        })
    }
}

#[cold]
fn unslotted(recorder: &'static Recorder, reason: DropReason) -> State {
    recorder.control().count(Counter::UnslottedStarted);
    State::Unslotted(recorder, reason)
}

#[cold]
#[inline(never)]
fn announce(slot: &Slot) {
    let recorder = slot.recorder();
    match local().lane_in(recorder) {
        Some(lane) => slot.announce(lane),
        None => match recorder.orphan() {
            Some(orphan) => slot.announce(orphan.lane),
            None => recorder.control().count(Counter::StartsLost),
        },
    }
}

impl Span {
    /// Sets what is known at the start, and announces the span if it is a root, or if all are announced.
    #[inline(always)]
    fn announced(self, parent: Context, fill: impl FnOnce(&Span)) -> Self {
        fill(&self);
        if let State::Open(slot) = &self.state
            && (!parent.is_valid() || slot.recorder().options().live)
        {
            announce(slot);
        }
        self
    }

    /// The identities to start other spans under this one, on any thread. Without a recorder, those of the parent.
    #[inline]
    pub fn context(&self) -> Context {
        self.context
    }

    /// Whether anything that is set on the span is recorded.
    #[inline]
    pub fn is_recording(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    /// A span under this one.
    #[inline]
    pub fn child(&self, name: &'static str) -> SpanBuilder<'static> {
        span(name).parent(self.context)
    }

    /// Makes this span current on this thread until the guard is dropped.
    pub fn enter(&self) -> Entered {
        self.context.enter()
    }

    /// Sets an attribute. Set twice, the last value counts.
    #[inline]
    pub fn set(&self, key: &'static str, value: impl Attribute) {
        if let State::Open(slot) = &self.state {
            value.append(Destination::span(slot, Key::Static(key)));
        }
    }

    /// Sets an attribute whose key is made at run time.
    pub fn set_named(&self, key: &str, value: impl Attribute) {
        if let State::Open(slot) = &self.state {
            value.append(Destination::span(slot, Key::Dynamic(key)));
        }
    }

    /// Sets an attribute to a value of any type that serializes, encoded as MessagePack in place; structs become maps.
    ///
    /// A value that is too large keeps its beginning and is marked as cut. One whose `Serialize` fails or panics is
    /// recorded as a null that is marked, and counted; the panic goes no further. A `Serialize` may record spans of its
    /// own; what it sets on this same span is ignored and counted.
    pub fn set_value<T: Serialize + ?Sized>(&self, key: &'static str, value: &T) {
        if let State::Open(slot) = &self.state {
            Destination::span(slot, Key::Static(key)).packed(&value);
        }
    }

    /// [`set_value`](Self::set_value) with a key made at run time.
    pub fn set_value_named<T: Serialize + ?Sized>(&self, key: &str, value: &T) {
        if let State::Open(slot) = &self.state {
            Destination::span(slot, Key::Dynamic(key)).packed(&value);
        }
    }

    /// Says how the work went, so far.
    #[inline]
    pub fn set_status(&self, status: Status) {
        if let State::Open(slot) = &self.state {
            slot.set_status(status as u8);
        }
    }

    /// Says that the work failed, and why.
    pub fn fail(&self, message: &str) {
        if let State::Open(slot) = &self.state {
            slot.set_status(Status::Error as u8);
            let content = message.as_bytes();
            slot.append::<true>(Entry { tag: TAG_STATUS_MESSAGE, flags: 0, key: INLINE, content });
        }
    }

    /// Records that something happened now.
    #[inline]
    pub fn event(&self, name: &'static str) {
        self.event_with(name, |_| ());
    }

    /// Records that something happened now, with what `fill` says about it. The event is recorded as a whole, when
    /// `fill` returns.
    pub fn event_with(&self, name: &'static str, fill: impl FnOnce(&Event<'_>)) {
        self.add_event(Name::Static(name), clock::ticks, 0, fill);
    }

    /// Records that something with a name made at run time happened, at a given moment.
    pub fn event_at(&self, name: &str, time_unix_ns: u64, fill: impl FnOnce(&Event<'_>)) {
        self.add_event(Name::Dynamic(name), || time_unix_ns, ENTRY_TRUE, fill);
    }

    #[inline]
    fn add_event(
        &self,
        name: Name<'_>,
        time: impl FnOnce() -> u64,
        flags: u8,
        fill: impl FnOnce(&Event<'_>),
    ) {
        let State::Open(slot) = &self.state else { return };
        let (number, text) = match name {
            Name::Static(name) => (local().number_of(name), name),
            Name::Dynamic(name) => (INLINE, name),
        };
        let named = number != INLINE
            || slot.append::<false>(Entry { tag: TAG_KEY, flags: 0, key: INLINE, content: text.as_bytes() });
        // What is said about an event that found no room must not end up with the event before it.
        if named && slot.append_word::<false>(TAG_EVENT, flags, number, time()) {
            fill(&Event { slot });
            slot.publish();
        }
    }

    /// Ends the span, and says whether it was recorded.
    #[inline(always)]
    pub fn end(self) -> Ended {
        finish(&ManuallyDrop::new(self).state, None)
    }

    /// Ends the span at this moment, in nanoseconds since the Unix epoch, and not now.
    pub fn end_at_unix_ns(self, end_unix_ns: u64) -> Ended {
        finish(&ManuallyDrop::new(self).state, Some(end_unix_ns))
    }
}

/// Ends a span, whose state must not be used again: its cells belong to others then.
#[inline(always)]
fn finish(state: &State, end_unix_ns: Option<u64>) -> Ended {
    match state {
        State::Open(slot) => {
            let (end, flags) = match end_unix_ns {
                Some(unix_ns) => (unix_ns, RECORD_END_IS_UNIX),
                None => (clock::ticks(), 0),
            };
            match local().lane_in(slot.recorder()) {
                Some(lane) => slot.end(lane, flags, end).map_or_else(Ended::Dropped, |()| Ended::Recorded),
                None => end_unattached(slot, flags, end),
            }
        }
        State::Unslotted(recorder, reason) => end_unslotted(recorder, *reason),
        State::Off => Ended::NotRecording,
    }
}

/// Ends a span on a thread that holds no lane of its recorder.
#[cold]
#[inline(never)]
fn end_unattached(slot: &Slot, flags: u8, end: u64) -> Ended {
    let recorder = slot.recorder();
    if slot.is_inherited() {
        return Ended::NotRecording;
    }
    // A thread that only ends spans takes a lane for it too.
    let current = recorder::catch_up().filter(|(_, current)| std::ptr::eq(*current, recorder));
    if let Some(lane) = current.and_then(|(generation, _)| local().attach(generation, recorder)) {
        return slot.end(lane, flags, end).map_or_else(Ended::Dropped, |()| Ended::Recorded);
    }
    match recorder.wait_for(|| recorder.orphan()) {
        Some(orphan) => slot.end(orphan.lane, flags, end).map_or_else(Ended::Dropped, |()| Ended::Recorded),
        None => Ended::Dropped(slot.abandon(DropReason::NoLane)),
    }
}

#[cold]
#[inline(never)]
fn end_unslotted(recorder: &'static Recorder, reason: DropReason) -> Ended {
    if recorder.is_forked() {
        return Ended::NotRecording;
    }
    recorder.control().count(match reason {
        DropReason::NoLane => Counter::UnslottedNoLane,
        DropReason::NoCell | DropReason::RingFull => Counter::UnslottedNoCell,
    });
    Ended::Dropped(reason)
}

impl Drop for Span {
    #[inline]
    fn drop(&mut self) {
        // Whether it was recorded is counted; only `end` tells.
        let _outcome = finish(&self.state, None);
    }
}

/// An event that is being filled.
#[derive(Debug)]
pub struct Event<'a> {
    slot: &'a Slot,
}

impl Event<'_> {
    /// Sets an attribute of the event.
    pub fn set(&self, key: &'static str, value: impl Attribute) {
        value.append(Destination::event(self.slot, Key::Static(key)));
    }

    /// Sets an attribute of the event whose key is made at run time.
    pub fn set_named(&self, key: &str, value: impl Attribute) {
        value.append(Destination::event(self.slot, Key::Dynamic(key)));
    }

    /// Sets an attribute of the event to a value of any type that serializes. See [`Span::set_value`].
    pub fn set_value<T: Serialize + ?Sized>(&self, key: &'static str, value: &T) {
        Destination::event(self.slot, Key::Static(key)).packed(&value);
    }

    /// [`set_value`](Self::set_value) with a key made at run time.
    pub fn set_value_named<T: Serialize + ?Sized>(&self, key: &str, value: &T) {
        Destination::event(self.slot, Key::Dynamic(key)).packed(&value);
    }
}

/// Starts a span and sets attributes on it. It does not become current: see [`Span::enter`].
///
/// ```
/// let items = vec!["book"];
/// let span = spanring::span!("checkout", items = items.len(), user = "u7");
/// span.set("total_cents", 1999);
/// ```
#[macro_export]
macro_rules! span {
    ($name:expr $(,)?) => {
        $crate::span($name).start()
    };
    ($name:expr, $($key:ident $(. $more:ident)* = $value:expr),+ $(,)?) => {
        $crate::span($name).start_with(|span| {
            $(span.set(concat!(stringify!($key) $(, ".", stringify!($more))*), $value);)+
        })
    };
}
