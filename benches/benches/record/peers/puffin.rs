//! puffin. Its scopes have one text each, nest as the calls on a thread do, and are handed over when the outermost ends; an event
//! is a scope with nothing in it.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use puffin::{FrameSinkId, GlobalProfiler, ProfilerScope};
use spanring_benches::Calls;

use super::one_text::OneText;
use crate::ways::{Recording, Session, Way, Work};

pub(crate) const WAY: Way = Way { name: "puffin", is_variant: false, start: || Box::new(Framed::new()), off };

/// Scopes in the frames that a sink is handed.
struct Framed {
    sink: FrameSinkId,
    /// Scopes that are runs or events.
    others: AtomicU64,
}

static SCOPES: AtomicU64 = AtomicU64::new(0);

impl Framed {
    fn new() -> Self {
        puffin::set_scopes_on(true);
        let mut profiler = GlobalProfiler::lock();
        // The last run before this.
        profiler.new_frame();
        let sink = profiler.add_sink(Box::new(|frame| {
            SCOPES.fetch_add(frame.meta().num_scopes as u64, Ordering::Relaxed);
        }));
        Framed { sink, others: AtomicU64::new(0) }
    }
}

impl Drop for Framed {
    fn drop(&mut self) {
        drop(GlobalProfiler::lock().remove_sink(self.sink));
        puffin::set_scopes_on(false);
    }
}

impl Recording for Framed {
    fn session(&self) -> Box<dyn Session + '_> {
        let run = puffin::profile_scope_custom!("run");
        Box::new(Run { run, text: OneText::default(), others: &self.others })
    }

    fn arrived(&self, _: u64) -> u64 {
        GlobalProfiler::lock().new_frame();
        SCOPES.swap(0, Ordering::Relaxed) - self.others.swap(0, Ordering::Relaxed)
    }
}

struct Run<'a> {
    run: Option<ProfilerScope>,
    text: OneText,
    others: &'a AtomicU64,
}

impl Session for Run<'_> {
    fn record(&mut self, work: Work, calls: &Calls, count: usize) {
        match work {
            Work::Child => {
                for _ in 0..count {
                    puffin::profile_scope!("step");
                }
            }
            Work::FourAttributes => {
                for number in 0..count {
                    puffin::profile_scope!("execute_tool", self.text.tool(calls, number));
                }
            }
            Work::Llm => {
                for number in 0..count {
                    puffin::profile_scope!("chat", self.text.model(calls, number));
                    puffin::profile_scope!("first token");
                }
                self.others.fetch_add(count as u64, Ordering::Relaxed);
            }
        }
    }

    fn hand_over(&mut self) {
        self.end();
        self.run = puffin::profile_scope_custom!("run");
    }
}

impl Run<'_> {
    fn end(&mut self) {
        self.run = None;
        self.others.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Scopes are off.
fn off(count: u64) {
    assert!(!puffin::are_scopes_on());
    for _ in 0..count {
        let scope = puffin::profile_scope_custom!("step");
        black_box(&scope);
    }
}
