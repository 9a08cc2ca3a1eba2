//! A span: started and filled. How it ends: `span/ending.rs`.

mod ending;

use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use serde::Serialize;

use crate::attribute::{Attribute, Destination, Key, OpenSpan};
use crate::builder::{Fill, SpanBuilder, span, span_named};
use crate::clock;
use crate::compiled::Recorded;
use crate::context::{Context, Entered};
use crate::control::Counter;
use crate::failure::Failure;
use crate::item::{Event, Link};
use crate::record::{
    self, Body, ENTRY_STARTED_BY_DROP, ENTRY_TRUE, INLINE, TAG_DEADLINE, TAG_EVENT, TAG_LINK,
};
use crate::recorder::{DropReason, Recorder};
use crate::shared::SharedSpan;
use crate::slot::{Claimed, Entry, OpenHead, Slot};
use crate::thread::local;
use crate::{Kind, Lifecycle, SpanId, Status, names};

/// A piece of work that is under way. It ends when it is dropped, or by one of the methods that take it: so it cannot be ended twice.
///
/// What is set on a span is safe from the moment the call returns: if the process is killed before the span ends, it
/// is recovered with everything that was set, as *interrupted*. A span that is dropped is complete, unless a panic is
/// unwinding: then it has failed.
///
/// A span can be sent to another thread and end there. It is not [`Sync`]: what other threads need to start spans
/// under it is its [`context`](Span::context). Without a recorder every call does nothing, in about a nanosecond.
///
/// ```
/// let run = spanring::trace("research").start();
/// let call = run.llm("mistral-small").start();
/// call.tokens(spanring::Tokens::new(812, 94)).event("first token");
/// call.complete();
/// ```
///
/// # Limits
///
/// A span takes at most a quarter of its ring. A value that goes beyond is cut (text between two characters), marked,
/// and counted; what is set after that is left out and counted. A name made at run time, and a key, keeps 904 bytes. See
/// [`Limits`](crate::recorder::Limits) for what can be limited beside.
#[must_use = "a span that is dropped at once ends at once"]
#[derive(Debug)]
pub struct Span {
    context: Context,
    state: State,
}

/// No more than a tag and a pointer, so that it is returned in registers.
#[derive(Debug)]
pub(crate) enum State {
    /// Nothing is recorded.
    Off,
    /// It counts, but there was no cell for it when it started, or no lane.
    WithoutCell(Recorded<&'static Recorder>),
    WithoutLane(Recorded<&'static Recorder>),
    Open(Claimed),
}

/// What became of a span when it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It was recorded: it survives the process from now on.
    Recorded,
    /// It is lost, and counted under this reason.
    Dropped(DropReason),
    /// There is no recorder, or the span belongs to the parent of this forked process.
    NotRecording,
    /// A [`SharedSpan`] had ended before.
    AlreadyEnded,
}

/// The trace is sampled, and the parent is known to be remote.
const TRACE_FLAGS_OF_REMOTE_PARENT: u32 = 0x301;

/// Has everybody told that a span has started who is to be.
// Given no more than the right to the slot, and nothing back, so that the span itself need not be in memory.
#[cold]
#[inline(never)]
fn tell_and_announce(lent: ManuallyDrop<Claimed>, is_first: bool) {
    let slot = lent.slot();
    let recorder = slot.recorder();
    if recorder.has_processors() {
        let (context, state) = (lent.context(), State::Open(ManuallyDrop::into_inner(lent)));
        recorder.hooks().started(recorder, &ManuallyDrop::new(Span { context, state }), is_first);
    }
    if is_first || recorder.options().live {
        announce(slot);
    }
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

/// Records that another process has started the parent, as OTLP's flags tell it.
#[cold]
#[inline(never)]
pub(crate) fn note_remote_parent(slot: &Slot) {
    TRACE_FLAGS_OF_REMOTE_PARENT.append(Destination::span(slot, Key::Static(names::TRACE_FLAGS)));
}

impl Span {
    #[inline(always)]
    pub(crate) fn new(context: Context, state: State) -> Self {
        Span { context, state }
    }

    /// A span that records nothing. What is started under it is under the thread's current span.
    pub fn disabled() -> Self {
        Self::off(Context::current())
    }

    /// A span that records nothing.
    pub(crate) fn off(context: Context) -> Self {
        Span { context, state: State::Off }
    }

    /// A span in this slot, filled, and announced where it `STARTS` and is a root, or all are announced. The long way of starting one.
    // Always: else it would be in memory for those that take the short way too.
    #[inline(always)]
    pub(crate) fn open<const STARTS: bool, F: Fill>(
        context: Context,
        claimed: Claimed,
        is_first: bool,
        fill: F,
    ) -> Self {
        let lent = claimed.lend();
        let mut span = ManuallyDrop::new(Span { context, state: State::Open(claimed) });
        if F::SETS {
            // Only now, as what could be dropped while something panics is in memory.
            span = ManuallyDrop::new(ManuallyDrop::into_inner(span).filled(fill));
        }
        if STARTS {
            tell_and_announce(lent, is_first);
        }
        ManuallyDrop::into_inner(span)
    }

    #[inline(always)]
    fn filled(self, fill: impl Fill) -> Self {
        fill.fill(&self);
        self
    }

    /// Says that a pending span starts: now, unless a moment is given.
    pub(crate) fn start_pending(&self, start_unix_ns: Option<u64>, by_drop: bool) {
        let State::Open(slot) = &self.state else { return };
        let (time, mut flags) = match start_unix_ns {
            Some(unix_ns) => (unix_ns, ENTRY_TRUE),
            None => (clock::ticks(), 0),
        };
        if by_drop {
            flags |= ENTRY_STARTED_BY_DROP;
        }
        slot.mark_started(flags, time);
        let (recorder, is_first) = (slot.recorder(), slot.head().is_first);
        if recorder.has_processors() {
            recorder.hooks().started(recorder, self, is_first);
        }
        if is_first || recorder.options().live {
            announce(slot);
        }
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

    /// A span under this one whose name is made at run time.
    #[inline]
    pub fn child_named<'a>(&self, name: &'a str) -> SpanBuilder<'a> {
        span_named(name).parent(self.context)
    }

    /// A handle that can be cloned and sent to several threads.
    pub fn shared(self) -> SharedSpan {
        SharedSpan::active(self)
    }

    /// Makes this span current on this thread until the guard is dropped: see [`Context::enter`].
    pub fn enter(&self) -> Entered {
        self.context.enter()
    }

    /// Calls `f` with this span current on this thread. For futures see [`InSpan`](crate::InSpan).
    ///
    /// ```
    /// let run = spanring::trace("research").start();
    /// let hits = run.in_scope(|| {
    ///     let search = spanring::tool("search").start(); // under the run
    ///     search.finish("12".parse::<u32>())
    /// });
    /// # assert_eq!(hits, Ok(12));
    /// ```
    #[inline]
    pub fn in_scope<T>(&self, f: impl FnOnce() -> T) -> T {
        self.context.in_scope(f)
    }

    /// Sets an attribute. Set twice, the last value counts, unless [`names`](crate::names) says otherwise.
    #[inline]
    pub fn set(&self, key: &'static str, value: impl Attribute) -> &Self {
        if let State::Open(slot) = &self.state {
            value.set_on(OpenSpan { slot, key });
        }
        self
    }

    /// Sets an attribute whose key is made at run time. A key keeps 904 bytes.
    pub fn set_named(&self, key: &str, value: impl Attribute) -> &Self {
        if let State::Open(slot) = &self.state {
            value.append(Destination::span(slot, Key::Dynamic(key)));
        }
        self
    }

    /// Sets an attribute to a value of any type that serializes, encoded as MessagePack in place; structs become maps.
    ///
    /// A value that is too large keeps its beginning and is marked as cut. One whose `Serialize` fails or panics is
    /// recorded as a null that is marked, and counted; the panic goes no further. A `Serialize` may record spans of its
    /// own; what it sets on this same span is ignored and counted.
    pub fn set_value<T: Serialize + ?Sized>(&self, key: &'static str, value: &T) -> &Self {
        if let State::Open(slot) = &self.state {
            Destination::span(slot, Key::Static(key)).packed(&value);
        }
        self
    }

    /// [`set_value`](Self::set_value) with a key made at run time.
    pub fn set_value_named<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> &Self {
        if let State::Open(slot) = &self.state {
            Destination::span(slot, Key::Dynamic(key)).packed(&value);
        }
        self
    }

    /// Sets an attribute to what `value` displays, formatted in place.
    pub fn set_display(&self, key: &'static str, value: &dyn fmt::Display) -> &Self {
        if let State::Open(slot) = &self.state {
            Destination::span(slot, Key::Static(key)).display(value);
        }
        self
    }

    /// Gives the span another name than the one it started with. A name keeps 904 bytes.
    pub fn rename(&self, name: &str) -> &Self {
        if let State::Open(slot) = &self.state {
            slot.append_name(name);
        }
        self
    }

    /// Says how the work went, so far.
    #[inline]
    pub fn set_status(&self, status: Status) -> &Self {
        if let State::Open(slot) = &self.state {
            slot.set_status(status as u8);
        }
        self
    }

    /// Says something about the status. The last message counts.
    pub fn status_message(&self, message: &str) -> &Self {
        if let State::Open(slot) = &self.state {
            slot.append_message(message);
        }
        self
    }

    pub(crate) fn status_display(&self, message: &dyn fmt::Display) {
        if let State::Open(slot) = &self.state {
            slot.append_message_display(message);
        }
    }

    /// Says by when the span is to end, counted from its start. One that ends later, and nobody said that it failed or was
    /// cancelled, has [timed out](Status::TimedOut). Nothing happens when the moment passes: it is looked at when the span
    /// is put into a segment, when it is recovered, and when the announcement of an open span is read.
    pub fn deadline(&self, deadline: Duration) -> &Self {
        if let State::Open(slot) = &self.state {
            let ns = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
            slot.append_word::<true, false>(TAG_DEADLINE, 0, INLINE, ns);
        }
        self
    }

    /// Says that the work failed, and records why: the message, the type, and what caused it. The span goes on.
    ///
    /// ```
    /// let call = spanring::tool("search").start();
    /// if let Err(error) = "twelve".parse::<u32>() {
    ///     call.error(&error).error_category("tool_error");
    /// }
    /// ```
    pub fn error<Via>(&self, failure: impl Failure<Via>) -> &Self {
        self.record_failure(&failure);
        self
    }

    pub(crate) fn record_failure<Via>(&self, failure: &impl Failure<Via>) {
        if let State::Open(slot) = &self.state {
            self.set_status(Status::Error);
            slot.beyond_limit(|| failure.record(self));
        }
    }

    /// Whether what is set under `key` is not recorded as it is because of the key.
    #[cfg(feature = "tracing")]
    pub(crate) fn withholds(&self, key: &str) -> bool {
        matches!(&self.state, State::Open(slot) if slot.withholds(key))
    }

    pub(crate) fn count_left_out(&self) {
        if let State::Open(slot) = &self.state {
            slot.leave_out();
        }
    }

    /// Links this span to another, of whatever trace.
    pub fn link(&self, to: Context) -> &Self {
        self.link_with(to, |_| ())
    }

    /// Links this span to another, with what `fill` says about it. The link is recorded when `fill` returns: as a whole, unless
    /// `fill` sets something on the span itself. A link or event within `fill` is left out and counted.
    pub fn link_with(&self, to: Context, fill: impl FnOnce(&Link<'_>)) -> &Self {
        if let State::Open(slot) = &self.state
            && slot.take_link()
            && let Some(_item) = slot.begin_item()
        {
            let mut content = [0; 24];
            content[..16].copy_from_slice(&to.trace_id().to_bytes());
            content[16..].copy_from_slice(&to.span_id().to_bytes());
            if slot.append::<false, false>(Entry { tag: TAG_LINK, flags: 0, key: INLINE, content: &content })
            {
                fill(&Link { slot });
            }
        }
        self
    }

    /// Records that something happened now.
    #[inline]
    pub fn event(&self, name: &'static str) -> &Self {
        if let State::Open(slot) = &self.state
            && !slot.add_event(name)
        {
            event_on_long_way(slot, name);
        }
        self
    }

    /// Records that something happened now, with what `fill` says about it. The event is recorded when `fill` returns: as a
    /// whole, unless `fill` sets something on the span itself. An event or link within `fill` is left out and counted.
    pub fn event_with(&self, name: &'static str, fill: impl FnOnce(&Event<'_>)) -> &Self {
        self.add_event(Key::Static(name), clock::ticks, 0, fill)
    }

    /// Records that something with a name made at run time happened, at a given moment.
    pub fn event_at(&self, name: &str, time_unix_ns: u64, fill: impl FnOnce(&Event<'_>)) -> &Self {
        self.add_event(Key::Dynamic(name), || time_unix_ns, ENTRY_TRUE, fill)
    }

    /// [`event_with`](Self::event_with) with a name made at run time. A name keeps 904 bytes.
    pub fn event_named(&self, name: &str, fill: impl FnOnce(&Event<'_>)) -> &Self {
        self.add_event(Key::Dynamic(name), clock::ticks, 0, fill)
    }

    #[inline]
    fn add_event(
        &self,
        name: Key<'_>,
        time: impl FnOnce() -> u64,
        flags: u8,
        fill: impl FnOnce(&Event<'_>),
    ) -> &Self {
        if let State::Open(slot) = &self.state
            && slot.take_event()
            && let Some(_item) = slot.begin_item()
            && put_event(slot, name, time(), flags)
        {
            fill(&Event { slot });
        }
        self
    }

    /// The span that this one was started under; `None` for a root, and where nothing is recorded.
    pub fn parent_id(&self) -> Option<SpanId> {
        self.head().map(|head| head.parent_id).filter(|id| id.is_valid())
    }

    /// What the span stands for. Where nothing is recorded, [`Kind::Custom`].
    pub fn kind(&self) -> Kind {
        self.head().map(|head| head.kind).unwrap_or_default()
    }

    /// How the work went, as far as it was said.
    pub fn status(&self) -> Status {
        self.head().map(|head| head.status).unwrap_or_default()
    }

    /// Where the span is in its life: pending or active, as it has not ended.
    pub fn lifecycle(&self) -> Lifecycle {
        match self.head() {
            Some(head) if head.is_pending => Lifecycle::Pending,
            _ => Lifecycle::Active,
        }
    }

    /// When the span started, in nanoseconds since the Unix epoch, within what the clock's rate was measured to; for one that is
    /// still pending, when it was made. `None` where nothing is recorded.
    pub fn start_unix_ns(&self) -> Option<u64> {
        let State::Open(slot) = &self.state else { return None };
        let head = slot.head();
        if head.start_is_unix {
            return Some(head.start);
        }
        slot.recorder().control().timeline().map(|timeline| timeline.unix_ns(head.start))
    }

    /// What was said about the status last. Reads all that was set, so it is not for where time counts.
    pub fn error_message(&self) -> Option<String> {
        self.remarks().0
    }

    /// What was said about the status last, and the deadline in nanoseconds.
    pub(crate) fn remarks(&self) -> (Option<String>, Option<u64>) {
        let State::Open(slot) = &self.state else { return (None, None) };
        let body = slot.copy_body();
        let Ok(body) = Body::parse(&body) else { return (None, None) };
        let (mut message, mut deadline_ns) = (None, None);
        for entry in body.entries() {
            match entry {
                Ok(record::Entry::StatusMessage { text, .. }) => message = Some(text),
                Ok(record::Entry::Deadline { ns }) => deadline_ns = Some(ns),
                _ => {}
            }
        }
        (message.map(|text| String::from_utf8_lossy(text).into_owned()), deadline_ns)
    }

    fn head(&self) -> Option<OpenHead> {
        match &self.state {
            State::Open(slot) => Some(slot.head()),
            _ => None,
        }
    }

    /// How the work of the span stands that futures do; `None` where it is not recorded.
    #[inline]
    pub(crate) fn work(&self) -> Option<&'static AtomicU32> {
        match &self.state {
            State::Open(slot) => Some(slot.slot().work()),
            _ => None,
        }
    }

    /// The same, for a future that does some of it.
    pub(crate) fn work_to_do(&self) -> Option<&'static AtomicU32> {
        if let State::Open(slot) = &self.state {
            slot.has_work();
        }
        self.work()
    }
}

/// Adds an event whose name is a literal, where there is more to be minded than room.
#[cold]
#[inline(never)]
fn event_on_long_way(slot: &Slot, name: &'static str) {
    if slot.take_event()
        && let Some(_item) = slot.begin_item()
    {
        put_event(slot, Key::Static(name), clock::ticks(), 0);
    }
}

/// Appends an event. `false`: it found no room, and what is said about it must not end up with the event before it.
fn put_event(slot: &Slot, name: Key<'_>, time: u64, flags: u8) -> bool {
    let (number, text) = match name {
        Key::Static(name) => (local().number_of(name), name),
        Key::Dynamic(name) => (INLINE, name),
    };
    let is_named = number != INLINE || slot.append_key(text);
    is_named && slot.append_word::<false, false>(TAG_EVENT, flags, number, time)
}
