//! The ways to record a span: the floor, ours, and those of others.

use spanring_benches::Calls;

#[cfg(not(no_peers))]
use crate::peers;
use crate::{floor, ours};

/// What is recorded: see [`Calls`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// A step, with nothing on it.
    Child,
    /// A tool call: an integer, a floating-point number, a text of 16 bytes, a boolean.
    FourAttributes,
    /// A call of a language model: eight attributes, one of them a text of 200 bytes, and an event.
    Llm,
}

impl Work {
    /// How many spans a burst has. It must not fill half of a ring of 1 MiB, or the drain is woken by the recording thread; nor half
    /// of the 10,240 places of fastrace's.
    pub(crate) fn burst(self) -> usize {
        match self {
            Work::Child | Work::FourAttributes => 2048,
            // Up to 700 bytes each.
            Work::Llm => 512,
        }
    }
}

/// A way to record, in use: it has what it records into, and counts what arrives there.
pub(crate) trait Recording: Sync {
    /// What a thread records with: a run is open, under which its spans are.
    fn session(&self) -> Box<dyn Session + '_>;

    /// Waits until all is where it is to go. How many spans arrived since the last time; the runs, which are not timed, do
    /// not count. `expected` is how many there should be, for who must know how long to wait.
    fn arrived(&self, expected: u64) -> u64;
}

/// What one thread records with.
pub(crate) trait Session {
    /// Records that many spans. This is what is timed.
    fn record(&mut self, work: Work, calls: &Calls, count: usize);

    /// Hands over what the thread still holds itself. This is not timed.
    fn hand_over(&mut self) {}
}

/// How to begin.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// It is of a library that stands in the list under its own name already.
    pub(crate) is_variant: bool,
    /// Turns it on.
    pub(crate) start: fn() -> Box<dyn Recording>,
    /// Does as many times what a child takes while it is off. Called before any is turned on.
    pub(crate) off: fn(u64),
}

pub(crate) const WAYS: &[Way] = &[
    Way { name: "floor", is_variant: false, start: || Box::new(floor::Written::new()), off: floor::off },
    Way { name: "spanring", is_variant: false, start: || Box::new(ours::Spooled::new()), off: ours::off },
    #[cfg(not(no_peers))]
    peers::fastrace::SPAN,
    #[cfg(not(no_peers))]
    peers::fastrace::LOCAL_SPAN,
    #[cfg(not(no_peers))]
    peers::opentelemetry::WAY,
    #[cfg(not(no_peers))]
    peers::tracing_opentelemetry::WAY,
    #[cfg(not(no_peers))]
    peers::puffin::WAY,
    #[cfg(not(no_peers))]
    peers::tracy::WAY,
];
