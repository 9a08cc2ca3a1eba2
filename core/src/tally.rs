//! What a lane counts, in its file: stored by the thread that holds the lane, read by whoever asks.
//!
//! # Ordering
//!
//! | store (Release)     | pairs with load (Acquire) | and makes visible                                                  |
//! |---------------------|---------------------------|--------------------------------------------------------------------|
//! | `ended`, `dropped`  | the same in `sum`         | that what ended had started, in whichever lane and on whichever thread |
//! | `started`           | a reader of the file after a kill | the span that it counts                                    |
//!
//! They are stored after what they count, so at the moment of a kill they are at most one behind it and never ahead; recovery
//! makes them exact from the ordinals.

use crate::sync::{AtomicU64, Ordering};

pub(crate) const DROP_REASONS: usize = 8;
/// The place of spans that were dropped because the ring was full: `DropReason::RingFull`.
pub(crate) const RING_FULL: usize = 0;

/// The part of a lane file that the producer stores.
#[repr(C, align(128))]
pub(crate) struct ProducerLine {
    pub(crate) tail: AtomicU64,
    pub(crate) ended: AtomicU64,
    pub(crate) started: AtomicU64,
    pub(crate) dropped: [AtomicU64; DROP_REASONS],
}

impl ProducerLine {
    /// Counts the span that started last, whose number among those that started here this is. Only for the holder.
    #[inline]
    pub(crate) fn count_started(&self, started: u64) {
        self.started.store(started, Ordering::Release); // never ahead of the span itself, whatever the moment of a kill
    }

    /// As [`count_started`](Self::count_started), for the span that ended last into the ring here.
    #[inline]
    pub(crate) fn count_ended(&self, ended: u64) {
        self.ended.store(ended, Ordering::Release); // pairs with `sum`; never ahead of the record
    }

    /// As [`count_started`](Self::count_started), for the span that was dropped last for this reason.
    pub(crate) fn count_dropped(&self, reason: usize, dropped: u64) {
        self.dropped[reason].store(dropped, Ordering::Release); // pairs with `sum`
    }
}

/// What several lanes have counted together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) started: u64,
    /// Ended into a ring.
    pub(crate) ended: u64,
    pub(crate) ring_full: u64,
}

/// What lanes have counted: never more ends than starts, however many threads record meanwhile. `lines` is asked twice, as there
/// may be more of them the second time.
pub(crate) fn sum<'a, I: Iterator<Item = &'a ProducerLine>>(lines: impl Fn() -> I) -> Sum {
    let mut sum = Sum::default();
    for line in lines() {
        // pairs with whoever ends spans in this lane
        sum.ring_full += line.dropped[RING_FULL].load(Ordering::Acquire);
        sum.ended += line.ended.load(Ordering::Acquire); // pairs with the same
    }
    // Last: what is seen to have ended is then seen to have started too.
    for line in lines() {
        sum.started += line.started.load(Ordering::Relaxed);
    }
    sum
}

#[cfg(all(test, loom))]
mod loom_tests;
