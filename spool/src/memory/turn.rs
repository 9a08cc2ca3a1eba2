//! Whose turn it is to record, and what is kept of those who had theirs.
//!
//! A recorder's memory is never given back while the process lives. So that a thousand tests do not take it a thousand times, the rings
//! of a recorder are used again by a later one with the same plan, once none of their spans is open. Until then they are left alone, and
//! whatever still ends goes there and is seen by nobody. Those that no thread holds a lane of come first, for in them nothing can be
//! under way.

use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex};
use spanring::Hooks;

use super::MemoryError;
use super::rings::{Plan, Rings};

static TURNS: Mutex<Turns> = Mutex::new(Turns { holder: None, kept: Vec::new() });
static OVER: Condvar = Condvar::new();

struct Turns {
    /// The thread that has begun the turn that is not over.
    holder: Option<ThreadId>,
    /// What earlier ones have left, the last one last.
    kept: Vec<Rings>,
}

/// The right to record into memory. There is one.
#[derive(Debug)]
pub(super) struct Turn(());

impl Turn {
    /// Waits for it.
    pub(super) fn wait() -> Result<Self, MemoryError> {
        let mut turns = TURNS.lock();
        let this = thread::current().id();
        while turns.holder.is_some() {
            if turns.holder == Some(this) {
                return Err(MemoryError::OnThisThread);
            }
            OVER.wait(&mut turns);
        }
        turns.holder = Some(this);
        Ok(Turn(()))
    }

    /// Rings that nothing was recorded into yet, or nothing that shows.
    pub(super) fn rings(&mut self, plan: Plan, hooks: Hooks) -> Result<Rings, MemoryError> {
        let idle = {
            let mut turns = TURNS.lock();
            // Those that a forked child has inherited are the parent's.
            turns.kept.retain(|rings| !rings.is_forked());
            let those_that = |are_idle: fn(&Rings) -> bool| {
                turns.kept.iter().rposition(|rings| rings.plan() == plan && are_idle(rings))
            };
            let idle = those_that(Rings::close).or_else(|| those_that(Rings::are_at_rest));
            idle.map(|at| turns.kept.remove(at))
        };
        match idle {
            Some(mut rings) => {
                rings.begin_again(hooks);
                Ok(rings)
            }
            None => Rings::make(plan, hooks),
        }
    }

    /// Keeps rings that are not installed any more for a later turn.
    pub(super) fn keep(&mut self, rings: Rings) {
        TURNS.lock().kept.push(rings);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TURNS.lock().holder = None;
        OVER.notify_one();
    }
}
