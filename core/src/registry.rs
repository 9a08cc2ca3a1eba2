//! Who holds which lane of a recorder, and when nobody can any more.
//!
//! ```text
//!   add ──► free ──► take ──► a thread ──► give_back ──► free          lanes 1 and up: as long as the thread wants
//!   lane 0: orphan ──► a thread ──► dropped                            for a moment, by whoever holds none
//!   close: nobody has one, and nobody gets one from now on
//! ```
//!
//! # Invariants
//!
//! * **G1** At any moment at most one thread holds a lane: from `take` to `give_back`, or as long as it has the orphan lane's lock.
//! * **G2** Once `close` has said that nothing is going on, no `take` and no `orphan` succeeds before `reopen`.
//!
//! # Ordering
//!
//! | store (Release)             | pairs with (Acquire)          | and makes visible                                      |
//! |-----------------------------|-------------------------------|--------------------------------------------------------|
//! | `lane_count` in `add`       | `lane_count`                  | the lane                                               |
//! | `give_back`, in the pool    | `take`, in the pool           | what the last holder did with the lane: all it keeps   |
//! | `give_back`, in the pool    | `attached_count`, in the pool | what was started there                                 |
//! | the orphan lane's lock      | `orphan`, `close`             | what the last one did with that lane                   |
//!
//! | store, then SeqCst fence | pairs with                             | so that                                                      |
//! |--------------------------|----------------------------------------|--------------------------------------------------------------|
//! | `closed` in `close`      | the pool's count, fence in `is_open`   | `close` sees the lane taken, or the taker sees it closed     |
//!
//! `closed` itself is Relaxed: between the two fences nothing else is needed, and elsewhere it is asked for a hint.

use std::sync::OnceLock;

use crate::busy::{Busy, Held};
use crate::pool::Pool;
use crate::sync::{AtomicBool, AtomicU32, Ordering, fence, spin_loop};

/// The lane for threads that hold none: those that are ending, and those that came when the pool was empty.
pub(crate) const ORPHAN: u16 = 0;
const ORPHAN_TRIES: usize = if cfg!(all(test, any(loom, shuttle))) { 2 } else { 128 };

/// The lanes of a recorder. See the file's head.
#[derive(Debug)]
pub(crate) struct Registry<L> {
    lanes: Box<[OnceLock<L>]>,
    lane_count: AtomicU32,
    free: Pool<u16>,
    orphan_busy: Busy,
    /// Set when no thread may take a lane any more.
    closed: AtomicBool,
}

/// Why there is no lane to take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoLane {
    /// All are held.
    Held,
    /// The registry is closed.
    Closed,
}

impl<L> Registry<L> {
    /// A registry with room for so many lanes.
    pub(crate) fn new(lanes_max: usize) -> Self {
        Registry {
            lanes: (0..lanes_max).map(|_| OnceLock::new()).collect(),
            lane_count: AtomicU32::new(0),
            free: Pool::new(lanes_max),
            orphan_busy: Busy::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Adds the lane that `make` makes for the next number. For one thread at a time; `None` where there is no room, or none was made.
    pub(crate) fn add(&self, make: impl FnOnce(u16) -> Option<L>) -> Option<u16> {
        let number = u16::try_from(self.lane_count()).ok()?;
        let place = self.lanes.get(usize::from(number))?;
        place.set(make(number)?).ok()?;
        self.lane_count.store(u32::from(number) + 1, Ordering::Release); // pairs with `lane_count`
        if number != ORPHAN {
            self.free.push(number).ok()?;
        }
        Some(number)
    }

    /// How many lanes there are.
    pub(crate) fn lane_count(&self) -> usize {
        self.lane_count.load(Ordering::Acquire) as usize // pairs with `add`
    }

    /// How many lanes no thread holds.
    pub(crate) fn free_count(&self) -> usize {
        self.free.len()
    }

    /// How many threads hold a lane; never fewer than do.
    pub(crate) fn attached_count(&self) -> usize {
        // In this order: a lane that is added meanwhile must not count as free, but not as there.
        let free = self.free_count();
        self.lane_count().saturating_sub(1 + free)
    }

    /// The lanes.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = &L> {
        self.lanes[..self.lane_count()].iter().filter_map(OnceLock::get)
    }

    /// The lane with this number.
    #[inline]
    pub(crate) fn lane(&self, number: u16) -> Option<&L> {
        self.lanes.get(usize::from(number))?.get()
    }

    /// A lane for a thread that needs one, until [`give_back`](Self::give_back).
    pub(crate) fn take(&self) -> Result<&L, NoLane> {
        let number = self.free.pop().ok_or(NoLane::Held)?;
        if !self.is_open() {
            self.give_back(number);
            return Err(NoLane::Closed);
        }
        self.lane(number).ok_or(NoLane::Held)
    }

    /// Gives the lane with this number back. Only for its holder.
    pub(crate) fn give_back(&self, number: u16) {
        let pushed = self.free.push(number);
        debug_assert!(pushed.is_ok(), "the queue has a place for every lane");
    }

    /// The lane of threads that hold none, if no one else is using it.
    pub(crate) fn orphan(&self) -> Option<(Held<'_>, &L)> {
        let held = self.hold_orphan().filter(|_| self.is_open())?;
        Some((held, self.lane(ORPHAN)?))
    }

    fn hold_orphan(&self) -> Option<Held<'_>> {
        for _ in 0..ORPHAN_TRIES {
            let held = self.orphan_busy.try_take();
            if held.is_some() {
                return held;
            }
            spin_loop();
        }
        None
    }

    /// To be asked after a lane was taken: either `close` sees that, or this sees that it is closed.
    fn is_open(&self) -> bool {
        fence(Ordering::SeqCst); // pairs with `close`
        !self.closed.load(Ordering::Relaxed)
    }

    /// Whether it is closed: a hint.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Closes it for good if nothing is going on: no thread has a lane, and nothing is in flight, says `in_flight`, in any of them. Says
    /// whether it did.
    pub(crate) fn close(&self, in_flight: impl Fn() -> u64) -> bool {
        if self.attached_count() > 0 || in_flight() > 0 {
            return false; // without getting in the way of what is still to end
        }
        self.closed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst); // pairs with `is_open`
        // Whoever has the orphan lane at this moment is waited for by trying; who comes later finds it closed.
        let orphan = self.hold_orphan();
        let is_idle = orphan.is_some() && self.attached_count() == 0 && in_flight() == 0;
        if !is_idle {
            // What is open must be able to end.
            self.closed.store(false, Ordering::Relaxed);
        }
        is_idle
    }

    /// Takes [`close`](Self::close) back. Whoever may record then learns so by what is installed, which synchronises.
    pub(crate) fn reopen(&self) {
        self.closed.store(false, Ordering::Relaxed);
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
