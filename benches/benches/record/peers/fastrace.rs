//! fastrace, with a reporter that counts.
//!
//! `Span` is what compares with ours: it may be sent to other threads, and has its parent named. `LocalSpan` stays on its thread,
//! is under whichever span is local there, and is collected in the thread's own vector until its parent is done.
//!
//! Spans wait in a queue of the thread until the collector's thread takes them; their properties are on the heap. Properties are
//! given at the start, all at once: each one that is added later is another message in the queue.

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrace::collector::{Config, Reporter, SpanContext, SpanId, SpanRecord};
use fastrace::local::{LocalParentGuard, LocalSpan};
use fastrace::{Event, Span};
use spanring_benches::Calls;

use crate::ways::{Recording, Session, Way, Work};

pub(crate) const SPAN: Way =
    Way { name: "fastrace", is_variant: false, start: || Box::new(Reported::new(false)), off };

pub(crate) const LOCAL_SPAN: Way =
    Way { name: "fastrace_local", is_variant: true, start: || Box::new(Reported::new(true)), off };

/// Spans that a reporter is handed.
struct Reported {
    is_local: bool,
}

static REPORTED: AtomicU64 = AtomicU64::new(0);

struct Counting;

impl Reporter for Counting {
    fn report(&mut self, spans: Vec<SpanRecord>) {
        let children = spans.iter().filter(|span| span.parent_id != SpanId::default()).count();
        REPORTED.fetch_add(children as u64, Ordering::Relaxed);
    }
}

impl Reported {
    fn new(is_local: bool) -> Self {
        // It reports when it is flushed.
        fastrace::set_reporter(Counting, Config::default().report_interval(Duration::from_secs(3600)));
        Reported { is_local }
    }
}

impl Recording for Reported {
    fn session(&self) -> Box<dyn Session + '_> {
        if self.is_local { Box::new(Local(Some(Locality::new()))) } else { Box::new(Run(root())) }
    }

    fn arrived(&self, _: u64) -> u64 {
        fastrace::flush();
        REPORTED.swap(0, Ordering::Relaxed)
    }
}

/// A run whose spans name it as their parent.
struct Run(Span);

impl Session for Run {
    fn record(&mut self, work: Work, calls: &Calls, count: usize) {
        let Run(run) = self;
        match work {
            Work::Child => {
                for _ in 0..count {
                    drop(Span::enter_with_parent("step", run));
                }
            }
            Work::FourAttributes => {
                for number in 0..count {
                    let span = Span::enter_with_parent("execute_tool", run);
                    drop(span.with_properties(|| tool(calls, number)));
                }
            }
            Work::Llm => {
                for number in 0..count {
                    let span = Span::enter_with_parent("chat", run).with_properties(|| model(calls, number));
                    span.add_event(Event::new("first token"));
                }
            }
        }
    }

    /// Spans are reported when their root has ended.
    fn hand_over(&mut self) {
        self.0 = root();
    }
}

/// A run that is its thread's local parent.
struct Local(Option<Locality>);

struct Locality {
    // Before the span, since it is to be dropped first.
    _guard: LocalParentGuard,
    _run: Span,
}

impl Locality {
    fn new() -> Self {
        let run = root();
        Locality { _guard: run.set_local_parent(), _run: run }
    }
}

impl Session for Local {
    fn record(&mut self, work: Work, calls: &Calls, count: usize) {
        match work {
            Work::Child => {
                for _ in 0..count {
                    drop(LocalSpan::enter_with_local_parent("step"));
                }
            }
            Work::FourAttributes => {
                for number in 0..count {
                    let span = LocalSpan::enter_with_local_parent("execute_tool");
                    drop(span.with_properties(|| tool(calls, number)));
                }
            }
            Work::Llm => {
                for number in 0..count {
                    let span = LocalSpan::enter_with_local_parent("chat");
                    let _span = span.with_properties(|| model(calls, number));
                    LocalSpan::add_event(Event::new("first token"));
                }
            }
        }
    }

    fn hand_over(&mut self) {
        self.0 = None;
        self.0 = Some(Locality::new());
    }
}

fn root() -> Span {
    Span::root("run", SpanContext::random())
}

type Property = (&'static str, Cow<'static, str>);

fn tool(calls: &Calls, number: usize) -> [Property; 4] {
    let tool = calls.tool_values(number);
    [
        ("tool.attempt", tool.attempt.to_string().into()),
        ("tool.score", tool.score.to_string().into()),
        ("tool.call_id", tool.call_id.to_owned().into()),
        ("tool.cached", text(tool.is_cached)),
    ]
}

fn model(calls: &Calls, number: usize) -> [Property; 8] {
    let model = calls.model_values(number);
    [
        ("gen_ai.request.model", model.model.into()),
        ("gen_ai.request.temperature", model.temperature.to_string().into()),
        ("gen_ai.request.max_tokens", model.max_tokens.to_string().into()),
        ("gen_ai.request.stream", text(model.is_stream)),
        ("gen_ai.response.id", model.response_id.to_owned().into()),
        ("gen_ai.output.messages", model.reply.to_owned().into()),
        ("gen_ai.usage.input_tokens", model.input_tokens.to_string().into()),
        ("gen_ai.usage.output_tokens", model.output_tokens.to_string().into()),
    ]
}

fn text(flag: bool) -> Cow<'static, str> {
    if flag { "true".into() } else { "false".into() }
}

/// There is no reporter and no trace.
fn off(count: u64) {
    let run = Span::noop();
    for _ in 0..count {
        let span = Span::enter_with_parent("step", black_box(&run));
        black_box(&span);
    }
}
