//! A span that is about to start.

use std::fmt;

use crate::clock;
use crate::compiled::{IS_COMPILED_OUT, Recorded};
use crate::context::Context;
use crate::control::Counter;
use crate::failure::Failure;
use crate::hooks::Asks;
use crate::lane::Lane;
use crate::misuse::{self, Misuse};
use crate::pending::Pending;
use crate::record::{HEAD_IS_PENDING, HEAD_PARENT_IS_REMOTE, HEAD_START_IS_UNIX, INLINE, head_word, key_in};
use crate::recorder::{self, DropReason, Recorder};
use crate::sampling::Root;
use crate::slot::{Claimed, HeadWords, Slot};
use crate::span::{Span, State, note_remote_parent};
use crate::thread::{Local, local};
use crate::{Kind, SpanId, Status, TraceId, names};

/// A span that is about to start.
///
/// What is set on it is recorded when it starts, as the methods of the same names on [`Span`] would: where nothing is recorded,
/// nothing is encoded.
///
/// ```
/// let call = spanring::llm("gpt-4o").temperature(0.2).input(&["Hi"]).start();
/// call.tokens(spanring::Tokens::new(12, 7)).output("hello");
/// ```
#[must_use = "nothing is recorded before `start`"]
#[derive(Clone, Copy)]
pub struct SpanBuilder<'a, F = Nothing> {
    plan: Plan<'a>,
    fill: F,
}

/// What a [`SpanBuilder`] sets on a span when it starts: to be named where a function takes or gives any builder,
/// `SpanBuilder<'_, impl Fill>`.
pub trait Fill: sealed::Sealed {
    /// Whether there is something to set. Where there is not, the span need not be looked at before it is handed out, and so
    /// does not go through memory.
    #[doc(hidden)]
    const SETS: bool = true;

    #[doc(hidden)]
    fn fill(self, span: &Span);
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Nothing {}
    impl<F, G> Sealed for super::Then<F, G> {}
}

/// Nothing is set.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

/// One thing after the others.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Then<F, G>(F, G);

impl Fill for Nothing {
    const SETS: bool = false;

    #[inline(always)]
    fn fill(self, _: &Span) {}
}

impl<F: Fill, G: FnOnce(&Span)> Fill for Then<F, G> {
    #[inline(always)]
    fn fill(self, span: &Span) {
        self.0.fill(span);
        self.1(span);
    }
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
    /// What is done, and with what: the two with a space between them.
    Of(&'static str, &'a str),
}

/// All that a span's head is made of.
#[derive(Clone, Copy, Debug)]
struct Plan<'a> {
    name: Name<'a>,
    kind: Kind,
    parent: Parent,
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    start_unix_ns: Option<u64>,
    is_pending: bool,
}

/// A span with this name, under the thread's current span.
#[inline]
pub fn span(name: &'static str) -> SpanBuilder<'static> {
    SpanBuilder::new(Name::Static(name), Kind::Custom)
}

/// A span whose name is made at run time, under the thread's current span.
#[inline]
pub fn span_named(name: &str) -> SpanBuilder<'_> {
    SpanBuilder::new(Name::Dynamic(name), Kind::Custom)
}

/// The root of a trace: the run of an agent with this name. Agents that are started under it share the trace.
///
/// The name must not be empty. Where it is, the trace is called `unnamed`, and that is counted and warned about once.
///
/// ```
/// let run = spanring::trace("research-agent")
///     .workflow("weekly report")
///     .group("thread_42")
///     .session("s1")
///     .user("u7")
///     .metadata(&serde_json::json!({"customer": "acme"}))
///     .start();
/// ```
#[inline]
pub fn trace(name: &str) -> SpanBuilder<'_, impl Fill> {
    let name = match name {
        "" => {
            misuse::report(Misuse::TraceWithoutName);
            "unnamed"
        }
        name => name,
    };
    SpanBuilder::new(Name::Dynamic(name), Kind::Agent).root().agent_name(name)
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $function:ident($($arg:ident: $type:ty),*) = $kind:ident, $name:expr $(, $setter:ident($($value:expr),+))*;)*) => {
        $(
            $(#[$doc])*
            ///
            /// Under the thread's current span.
            #[inline]
            pub fn $function<'a>($($arg: $type),*) -> SpanBuilder<'a, impl Fill> {
                SpanBuilder::new($name, Kind::$kind) $(.$setter($($value),+))*
            }
        )*

        /// Spans under this one.
        impl Span {
            $(
                $(#[$doc])*
                ///
                /// Under this span.
                #[inline]
                pub fn $function<'a>(&self, $($arg: $type),*) -> SpanBuilder<'a, impl Fill> {
                    SpanBuilder::new($name, Kind::$kind).parent(self.context()) $(.$setter($($value),+))*
                }
            )*
        }
    };
}

kinds! {
    /// The run of an agent with this name: `invoke_agent planner`.
    agent(name: &'a str) = Agent, Name::Of("invoke_agent", name), agent_name(name);
    /// A call of this language model: `chat gpt-4o`.
    llm(model: &'a str) = Llm, Name::Of("chat", model), model(model);
    /// A call of the tool or function with this name: `execute_tool search`.
    tool(name: &'a str) = Tool, Name::Of("execute_tool", name), tool_name(name);
    /// A look-up of documents in this source: `retrieval handbook`.
    retrieval(source: &'a str) = Retrieval, Name::Of("retrieval", source), data_source(source);
    /// A computation of embeddings by this model: `embeddings text-embedding-3-small`.
    embedding(model: &'a str) = Embedding, Name::Of("embeddings", model), model(model);
    /// A step that links others, with this name.
    chain(name: &'a str) = Chain, Name::Dynamic(name);
    /// The guardrail with this name.
    guardrail(name: &'a str) = Guardrail, Name::Dynamic(name), guardrail_name(name);
    /// One agent hands over to another: `handoff`. Of one that is not known yet the name is empty here, and said later.
    handoff(from: &'a str, to: &'a str) = Handoff, Name::Static("handoff"), known(names::HANDOFF_FROM, from), known(names::HANDOFF_TO, to);
    /// Reasoning, with this name.
    reasoning(name: &'a str) = Reasoning, Name::Dynamic(name);
    /// A decision, with this name.
    decision(name: &'a str) = Decision, Name::Dynamic(name);
    /// An answer that the provider keeps under this identity: `response`. One that is not known yet is empty here, and said later.
    response(id: &'a str) = Response, Name::Static("response"), known(names::RESPONSE_ID, id);
    /// A listing of the tools of an MCP server: `mcp_tools fs`.
    mcp_tools(server: &'a str) = McpTools, Name::Of("mcp_tools", server), mcp_server(server);
    /// Text to speech by this model: `speech tts-1`.
    speech(model: &'a str) = Speech, Name::Of("speech", model), model(model);
    /// Speech to text by this model: `transcription whisper-1`.
    transcription(model: &'a str) = Transcription, Name::Of("transcription", model), model(model);
    /// Pieces of speech that belong together, under this name.
    speech_group(name: &'a str) = SpeechGroup, Name::Dynamic(name);
    /// A whole task given to agents, with this name.
    task(name: &'a str) = Task, Name::Dynamic(name);
    /// The turn of an agent's loop with this number: `turn`.
    turn(index: u64) = Turn, Name::Static("turn"), step_index(index);
}

impl<'a> SpanBuilder<'a> {
    #[inline]
    fn new(name: Name<'a>, kind: Kind) -> Self {
        let plan = Plan {
            name,
            kind,
            parent: Parent::Current,
            trace_id: None,
            span_id: None,
            start_unix_ns: None,
            is_pending: false,
        };
        SpanBuilder { plan, fill: Nothing }
    }
}

impl<'a, F> SpanBuilder<'a, F> {
    /// With this name instead. A name keeps 904 bytes.
    #[inline]
    pub fn named(mut self, name: &'a str) -> Self {
        self.plan.name = Name::Dynamic(name);
        self
    }

    /// What the span stands for.
    #[inline]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.plan.kind = kind;
        self
    }

    /// Under this span, and not under the current one. [`Context::NONE`] makes a root.
    #[inline]
    pub fn parent(mut self, parent: Context) -> Self {
        self.plan.parent = Parent::Of(parent);
        self
    }

    /// Under no span: the root of a trace of its own.
    #[inline]
    pub fn root(mut self) -> Self {
        self.plan.parent = Parent::None;
        self
    }

    /// With this trace identity. For a span under another it should be the parent's. An invalid one is as if none were given.
    #[inline]
    pub fn trace_id(mut self, trace_id: TraceId) -> Self {
        self.plan.trace_id = Some(trace_id).filter(|id| id.is_valid());
        self
    }

    /// With this identity. An invalid one is as if none were given.
    #[inline]
    pub fn span_id(mut self, span_id: SpanId) -> Self {
        self.plan.span_id = Some(span_id).filter(|id| id.is_valid());
        self
    }

    /// Started at this moment, in nanoseconds since the Unix epoch, and not now.
    #[inline]
    pub fn start_unix_ns(mut self, start_unix_ns: u64) -> Self {
        self.plan.start_unix_ns = Some(start_unix_ns);
        self
    }

    /// Sets an attribute unless it is empty.
    #[inline]
    fn known(self, key: &'static str, text: &'a str) -> SpanBuilder<'a, impl Fill>
    where
        F: Fill,
    {
        self.set(key, (!text.is_empty()).then_some(text))
    }

    /// Sets something more when the span starts.
    #[inline]
    pub(crate) fn then<G: FnOnce(&Span)>(self, next: G) -> SpanBuilder<'a, Then<F, G>> {
        SpanBuilder { plan: self.plan, fill: Then(self.fill, next) }
    }
}

impl<'a, F: Fill> SpanBuilder<'a, F> {
    /// Links the span to another, of whatever trace.
    #[inline]
    pub fn link(self, to: Context) -> SpanBuilder<'a, impl Fill> {
        self.then(move |span| _ = span.link(to))
    }

    /// Starts the span. It does not become current: see [`Span::enter`].
    #[inline(always)]
    pub fn start(self) -> Span {
        self.plan.open::<true, F>(self.fill)
    }

    /// Starts the span and sets what `fill` sets before it is announced. Roots are announced when they start, and with the
    /// spool's `live` option all spans are: what is set here is then known before the span ends. Where nothing is recorded,
    /// `fill` is not called.
    // Always: a builder that is passed through memory costs more than the span.
    #[inline(always)]
    pub fn start_with(self, fill: impl FnOnce(&Span)) -> Span {
        self.then(fill).start()
    }

    /// Starts the span, calls `work` with it and within it, and ends it as the result says: `Ok` is a success, `Err` a failure (see
    /// [`Span::finish`]), whichever `?` it came from.
    ///
    /// ```
    /// fn timeout(text: &str) -> Result<u64, std::num::ParseIntError> {
    ///     spanring::tool("read_timeout").run(|tool| {
    ///         let seconds: u64 = text.trim().parse()?;
    ///         tool.output(&seconds);
    ///         Ok(seconds * 1000)
    ///     })
    /// }
    /// # assert!(timeout("12") == Ok(12_000) && timeout("").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `work`.
    pub fn run<T, E: Failure<Via>, Via>(self, work: impl FnOnce(&Span) -> Result<T, E>) -> Result<T, E> {
        let span = self.start();
        let result = span.in_scope(|| work(&span));
        span.finish(result)
    }

    /// Gives the span an identity, under which others can be started, and leaves it pending until it starts.
    pub fn prepare(self) -> Pending {
        let plan = Plan { is_pending: true, ..self.plan };
        Pending::new(plan.open::<false, F>(self.fill))
    }
}

impl<F> fmt::Debug for SpanBuilder<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpanBuilder").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl<'a> Plan<'a> {
    /// Opens the span. Where it is recorded, it is filled, and announced where `STARTS`.
    #[inline(always)]
    fn open<const STARTS: bool, F: Fill>(self, fill: F) -> Span {
        if IS_COMPILED_OUT {
            return Span::new(Context::NONE, State::Off);
        }
        let local = local();
        let parent = match self.parent {
            Parent::Current => local.current(),
            Parent::Of(context) => context,
            Parent::None => Context::NONE,
        };
        let generation = recorder::generation();
        // First, so that nothing else is even looked at.
        if generation == recorder::OFF {
            return Span::new(parent, State::Off);
        }
        // Each way makes its own span: where they meet, it would go through memory. So would the plan, were it lent.
        if self.is_plain()
            && parent.is_plain()
            && let Some(place) = local.lane_to_start_in(generation)
            && let Some((context, claimed)) = self.open_on_short_way(&local, place, parent)
        {
            let span = Span::new(context, State::Open(claimed));
            if F::SETS {
                fill.fill(&span);
            }
            return span;
        }
        // Into a place of its own, so that the span itself is not one that is written to from elsewhere.
        let mut context = parent;
        match self.open_on_long_way(&local, parent, &mut context) {
            State::Open(slot) => Span::open::<STARTS, F>(context, slot, parent.is_root_below(), fill),
            state => Span::new(context, state),
        }
    }

    /// Whether the span is one that starts now, is named by a literal, and has an identity of ours.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        matches!(self.name, Name::Static(_))
            && self.trace_id.is_none()
            && self.span_id.is_none()
            && self.start_unix_ns.is_none()
            && !self.is_pending
    }

    /// Starts a plain span under a plain one, where nobody is asked or told, in a cell that is at hand; `None` where none is.
    #[inline(always)]
    fn open_on_short_way(
        &self,
        local: &Local,
        (lane, recorder, room): (&'static Lane, &'static Recorder, u32),
        parent: Context,
    ) -> Option<(Context, Claimed)> {
        let Name::Static(name) = self.name else { return None };
        let name = key_in(local.key_word(name)?);
        let (cell, slot) = lane.claim_near()?;
        let (trace_id, span_id) = (parent.trace_id(), local.new_span_id_of_seeded());
        let start = clock::ticks();
        let ([low, high], [span], [parent]) =
            (trace_id.to_words(), span_id.to_words(), parent.span_id().to_words());
        let head = [low, high, span, parent, start, head_word(name, self.kind, Status::Unset, 0, 0)];
        let claimed = slot.begin(recorder, lane, cell, room, head, None, false)?;
        Some((Context::of_started(trace_id, span_id), claimed))
    }

    /// Whether somebody has a say before the span starts: about a trace, about this kind of span, about its name.
    fn is_asked_about(&self, asks: Asks, parent: Context) -> bool {
        (asks != Asks::NOBODY || parent.is_remote())
            && (asks.about_spans()
                || !parent.is_valid()
                || parent.is_remote()
                || (asks.about_names() && !matches!(self.name, Name::Static(_))))
    }

    /// For whatever is not plain, and a thread that holds no lane of the recorder: takes one, or shares the orphan lane.
    ///
    /// Whoever has a say is asked before a lane and a cell are taken. What it does itself may need the shared lane, or give this thread's
    /// back; and a span that it starts must not be counted before this one can be found.
    #[cold]
    #[inline(never)]
    fn open_on_long_way(mut self, local: &Local, parent: Context, context: &mut Context) -> State {
        if parent.is_sampled_out_here() && is_counted_as_sampled_out() {
            return State::Off;
        }
        let Some((generation, recorder)) = recorder::catch_up() else {
            return State::Off;
        };
        if self.is_asked_about(recorder.asks(), parent)
            && let Some(decided) = self.sampled_out(local, recorder, parent)
        {
            *context = decided;
            return State::Off;
        }
        let head;
        (*context, head) = self.head(local, parent);
        let shown;
        let mut name = self.inline_name(&head);
        if let Some(parts) = name.filter(|_| recorder.redacts()) {
            shown = recorder.shown_name(parts.concat());
            name = Some([&shown, "", ""]);
        }
        if recorder.is_forked() {
            return State::Off; // by who was asked
        }
        let claim = |lane| Slot::claim(recorder, lane, head, name, self.is_pending).ok_or(DropReason::NoCell);
        let held = local.lane_of(generation).map(|(lane, _)| lane);
        let state = match held.or_else(|| local.attach(generation, recorder)) {
            Some(lane) => claim(lane),
            None => match recorder.wait_for(|| recorder.orphan()) {
                Some(orphan) => claim(orphan.lane),
                None => Err(DropReason::NoLane),
            },
        };
        match state {
            Ok(slot) => {
                if parent.is_remote() && parent.is_valid() {
                    note_remote_parent(&slot);
                }
                State::Open(slot)
            }
            Err(reason) => unslotted(recorder, reason),
        }
    }

    /// Whether the span is not recorded because of a decision, and the context under which others then start.
    fn sampled_out(&mut self, local: &Local, recorder: &Recorder, parent: Context) -> Option<Context> {
        let hooks = recorder.hooks();
        let is_within = parent.is_valid() && !parent.is_remote();
        let trace_id = match self.trace_id {
            Some(trace_id) => trace_id,
            None if parent.is_valid() => parent.trace_id(),
            None => local.new_trace_id(),
        };
        let is_of_kind = || hooks.kinds.is_none_or(|rates| rates.includes(self.kind, trace_id));
        let context = if is_within && parent.is_sampled() {
            if is_of_kind() {
                return None;
            }
            parent
        } else if is_within {
            parent
        } else {
            let root = Root { trace_id, parent, kind: self.kind, name: self.name.parts() };
            if is_of_kind() && hooks.is_sampled(recorder, &root) {
                // What was decided upon is what starts.
                self.trace_id = Some(trace_id);
                return None;
            }
            Context::new(trace_id, self.span_id.unwrap_or_else(|| local.new_span_id())).sampled(false)
        };
        recorder.control().count(Counter::SampledOut);
        Some(context)
    }

    fn head(&self, local: &Local, parent: Context) -> (Context, HeadWords) {
        let (start, mut flags) = match self.start_unix_ns {
            Some(unix_ns) => (unix_ns, HEAD_START_IS_UNIX),
            None => (clock::ticks(), 0),
        };
        if self.is_pending {
            flags |= HEAD_IS_PENDING;
        }
        if parent.is_remote() && parent.is_valid() {
            flags |= HEAD_PARENT_IS_REMOTE;
        }
        let trace_id = match self.trace_id {
            Some(trace_id) => trace_id,
            None if parent.is_valid() => parent.trace_id(),
            None => local.new_trace_id(),
        };
        let span_id = self.span_id.unwrap_or_else(|| local.new_span_id());
        let parent_id = if parent.is_valid() { parent.span_id() } else { SpanId::INVALID };
        let name = match self.name {
            Name::Static(name) => local.number_of(name),
            Name::Dynamic(_) | Name::Of(..) => INLINE,
        };
        let ([trace_low, trace_high], [span], [parent]) =
            (trace_id.to_words(), span_id.to_words(), parent_id.to_words());
        let head =
            [trace_low, trace_high, span, parent, start, head_word(name, self.kind, Status::Unset, flags, 0)];
        (Context::new(trace_id, span_id), head)
    }

    /// The name, if the dictionary has no number for it.
    #[inline]
    fn inline_name(&self, head: &HeadWords) -> Option<[&'a str; 3]> {
        if head[5] & 0xffff != u64::from(INLINE) {
            return None;
        }
        Some(self.name.parts())
    }
}

impl<'a> Name<'a> {
    fn parts(self) -> [&'a str; 3] {
        match self {
            Name::Static(name) => [name, "", ""],
            Name::Dynamic(name) | Name::Of(name, "") => [name, "", ""],
            Name::Of(operation, subject) => [operation, " ", subject],
        }
    }
}

/// Counts a span of a trace that was decided against in this process; `false` where there is no recorder yet that could.
#[cold]
#[inline(never)]
fn is_counted_as_sampled_out() -> bool {
    recorder::current().is_some_and(|recorder| {
        recorder.control().count(Counter::SampledOut);
        true
    })
}

#[cold]
fn unslotted(recorder: &'static Recorder, reason: DropReason) -> State {
    let Some(lost) = Recorded::new(recorder) else { return State::Off };
    recorder.control().count(Counter::UnslottedStarted);
    match reason {
        DropReason::NoLane => State::WithoutLane(lost),
        DropReason::NoCell | DropReason::RingFull => State::WithoutCell(lost),
    }
}
