//! A lock that nobody is made to wait for: it is tried, and whoever does not get it does something else.
//!
//! # Invariants
//!
//! * **B1** At any moment at most one [`Held`] of a lock is there.
//!
//! # Ordering
//!
//! | store (Release)      | pairs with (Acquire)      | and makes visible                          |
//! |----------------------|---------------------------|--------------------------------------------|
//! | `taken` in the guard | the exchange in `try_take` | what the one who had it before did with it |

use crate::sync::{AtomicBool, Ordering};

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Busy {
    taken: AtomicBool,
}

/// The lock, taken, until this is dropped.
#[must_use = "the lock is given back when this is dropped"]
#[derive(Debug)]
pub(crate) struct Held<'a>(&'a Busy);

impl Busy {
    #[cfg(not(all(test, loom)))]
    pub(crate) const fn new() -> Self {
        Busy { taken: AtomicBool::new(false) }
    }

    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        Busy { taken: AtomicBool::new(false) }
    }

    /// Takes the lock if nobody has it.
    #[inline]
    pub(crate) fn try_take(&self) -> Option<Held<'_>> {
        // pairs with the guard's drop
        let taken = self.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        // Not `then_some`: a guard that was made in vain would give the lock back that somebody else has.
        taken.is_ok().then(|| Held(self))
    }

    /// In a forked child, which has no other thread: gives the lock back, and says whether somebody had it who is not there.
    pub(crate) fn reset_after_fork(&self) -> bool {
        self.taken.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release); // pairs with `try_take`
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
