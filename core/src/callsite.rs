//! The places in the code where spans start, and whether they are enabled.
//!
//! [`span!`](crate::span!) and [`#[span]`](crate::prelude) make a [`Callsite`] each. A [`Filter`] is asked once for each callsite and
//! recorder; after that, a disabled callsite costs two loads and two branches, of words that nobody writes any more.

mod directives;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Kind, hooks, recorder};

pub use directives::{Directives, DirectivesError};

/// Decides which callsites are enabled.
///
/// It is asked at the first span of each callsite, on the thread that starts it, and not again while the recorder is installed.
/// One that panics has enabled the callsite for this time; that is counted.
pub trait Filter: Send + Sync {
    /// Whether spans that start there are recorded. Where they are not, what would be under them is under what they would be under.
    fn is_enabled(&self, callsite: &Callsite) -> bool;
}

impl<F: Fn(&Callsite) -> bool + Send + Sync> Filter for F {
    fn is_enabled(&self, callsite: &Callsite) -> bool {
        self(callsite)
    }
}

/// A place in the code where spans start.
#[derive(Debug)]
pub struct Callsite {
    name: &'static str,
    kind: Kind,
    target: &'static str,
    file: &'static str,
    line: u32,
    /// What was decided, in its lowest bit, and for which generation, in its upper half.
    decision: AtomicU64,
}

impl Callsite {
    /// A callsite, to be kept in a `static`.
    pub const fn new(
        name: &'static str,
        kind: Kind,
        target: &'static str,
        file: &'static str,
        line: u32,
    ) -> Self {
        Callsite { name, kind, target, file, line, decision: AtomicU64::new(0) }
    }

    /// What the spans are called that start here.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What they stand for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The path of the module, `shop::checkout`.
    pub fn target(&self) -> &'static str {
        self.target
    }

    /// The source file.
    pub fn file(&self) -> &'static str {
        self.file
    }

    /// The line in it.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Whether a span that starts here is looked at at all: there is a recorder, and its filter has not disabled this place. It may
    /// still be sampled out.
    #[inline]
    pub fn is_enabled(&self) -> bool {
        let generation = recorder::generation();
        if generation == recorder::OFF {
            return false;
        }
        let decision = self.decision.load(Ordering::Relaxed);
        if decision >> 32 == u64::from(generation) { decision & 1 != 0 } else { self.decide() }
    }

    #[cold]
    #[inline(never)]
    fn decide(&self) -> bool {
        let Some((generation, recorder)) = recorder::catch_up() else { return false };
        let is_enabled = match &recorder.hooks().filter {
            None => true,
            Some(filter) => match hooks::call(recorder, || filter.is_enabled(self)) {
                Some(is_enabled) => is_enabled,
                // Not kept: perhaps a hook starts this span, and then nobody is asked.
                None => return true,
            },
        };
        self.decision.store(u64::from(generation) << 32 | u64::from(is_enabled), Ordering::Relaxed);
        is_enabled
    }
}
