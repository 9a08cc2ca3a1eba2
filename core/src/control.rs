//! The control page of a recorder: its clock, its last sign of life, and what happened outside of any lane.
//!
//! # The control format, version 0
//!
//! One page, which begins as `file_head.rs` says. All integers are little-endian, offsets in bytes.
//!
//! ```text
//!      0        8         12         16        24
//!      ┌────────┬─────────┬──────────┬─────────┬───────────────────┐
//!      │ magic  │ version │ incompat │ alive   │                   │   alive: ticks, when the drain last looked round
//!      ├────────┼─────────┴──┬───────┴────┬────┴─────┬─────────────┤
//!  128 │ number │ ticks      │ realtime   │ monotonic│ boottime    │   anchor, and ticks per second (f64)
//!  192 │ number │ …          │            │          │             │   another; the higher number counts, 0 is none
//!      ├────────┴────────────┴────────────┴──────────┴─────────────┤
//!  256 │ counter × 16                                              │
//!      └───────────────────────────────────────────────────────────┘
//! ```
//!
//! An anchor is replaced in the older place: its number becomes 0, then its fields are stored, then its number.
//!
//! # Ordering
//!
//! | store                                          | pairs with                                              | so that                              |
//! |------------------------------------------------|---------------------------------------------------------|--------------------------------------|
//! | `number` (Release) in `store_anchor`           | its first load (Acquire) in `timeline`                  | the fields are those of that number  |
//! | `number` 0, fence (Release) in `store_anchor`  | fence (Acquire) in `timeline`, then `number` again      | who read a field that is newer sees that the number has changed |
//! | a counter (Release) in `count`                 | the same (Acquire) in `counted`                         | who sees that a span without a cell has ended sees that it had started |
//!
//! `alive` orders nothing.
#![expect(unsafe_code, reason = "the page is reached through a pointer into a leaked mapping")]

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::clock::{Anchor, Timeline};
use crate::file_head;
use crate::mapping::{Leaked, Mapping};

/// Length of the file.
pub const CONTROL_FILE_LEN: usize = 4096;
pub(crate) const CONTROL_MAGIC: [u8; 8] = *b"SPRNGCTL";
pub(crate) const CONTROL_VERSION: u32 = 0;
pub(crate) const ALIVE_AT: usize = 16;
pub(crate) const ANCHORS_AT: usize = 128;
pub(crate) const ANCHOR_LEN: usize = 64;
pub(crate) const COUNTERS_AT: usize = 256;
pub(crate) const COUNTERS: usize = 16;

/// What is counted in the control page, by any thread on a cold path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Counter {
    /// Spans that started without a cell.
    UnslottedStarted = 0,
    /// Spans that ended without a cell, because no cell was free when they started.
    UnslottedNoCell = 1,
    /// Spans that ended without a cell, because no lane was free when they started.
    UnslottedNoLane = 2,
    /// Announcements of started spans that found no room in a ring.
    StartsLost = 3,
    /// Values that were cut.
    ValuesCut = 4,
    /// Values that found no room at all.
    ValuesLeftOut = 5,
    /// Values whose `Serialize` failed or panicked.
    ValuesFailed = 6,
    /// Guards that were not dropped as the last of what was entered: before something entered later was left, or not before the end of the
    /// scope in which they were made. Each counts once.
    GuardsOutOfOrder = 7,
    /// Calls on a span from within the serialization of one of its own values.
    Reentered = 8,
    /// Spans that had a cell, and ended where no lane was free.
    AbandonedNoLane = 9,
    /// Calls that came too late or were wrong.
    Misused = 10,
    /// Spans that were not recorded because of a decision.
    SampledOut = 11,
    /// Values that were replaced or left out by redaction.
    Redacted = 12,
    /// Calls of a sampler, redactor or processor that panicked.
    HooksFailed = 13,
}

#[repr(C, align(64))]
struct AnchorSlot {
    number: AtomicU64,
    ticks: AtomicU64,
    realtime_ns: AtomicU64,
    monotonic_ns: AtomicU64,
    boottime_ns: AtomicU64,
    ticks_per_second: AtomicU64,
}

#[repr(C, align(128))]
struct Page {
    magic: [u8; 8],
    version: AtomicU32,
    incompat: AtomicU32,
    alive: AtomicU64,
    _reserved: [u64; 13],
    anchors: [AnchorSlot; 2],
    counters: [AtomicU64; COUNTERS],
}

const _: () = assert!(std::mem::offset_of!(Page, alive) == ALIVE_AT);
const _: () = assert!(std::mem::offset_of!(Page, anchors) == ANCHORS_AT);
const _: () = assert!(size_of::<AnchorSlot>() == ANCHOR_LEN);
const _: () = assert!(std::mem::offset_of!(Page, counters) == COUNTERS_AT);

/// The control page of a recorder that lives in this process.
#[derive(Clone, Copy)]
pub(crate) struct Control {
    page: &'static Page,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    /// Formats `mapping`, of zeros and [`CONTROL_FILE_LEN`] bytes.
    pub(crate) fn format(mut mapping: Mapping) -> (Self, Leaked) {
        assert_eq!(mapping.len(), CONTROL_FILE_LEN, "a control file has one length");
        file_head::write(&mut mapping, &CONTROL_MAGIC, CONTROL_VERSION);
        let memory = mapping.leak();
        // SAFETY: leaked, so mapped until the process ends, at least as long as a `Page`, aligned to a page of memory,
        // and any bits are valid.
        let page: &'static Page = unsafe { memory.base.cast::<Page>().as_ref() };
        (Control { page }, memory)
    }

    /// Counts one.
    #[cold]
    pub(crate) fn count(&self, counter: Counter) {
        self.page.counters[counter as usize].fetch_add(1, Ordering::Release); // pairs with `counted`
    }

    pub(crate) fn counted(&self, counter: Counter) -> u64 {
        self.page.counters[counter as usize].load(Ordering::Acquire) // pairs with `count`
    }

    /// Notes that the process lives.
    pub(crate) fn mark_alive(&self, ticks: u64) {
        self.page.alive.store(ticks, Ordering::Relaxed);
    }

    /// The clock, as the last anchor has it; `None` before there is one.
    pub(crate) fn timeline(&self) -> Option<Timeline> {
        let place = self.page.anchors.iter().max_by_key(|place| place.number.load(Ordering::Relaxed))?;
        let number = place.number.load(Ordering::Acquire);
        let timeline = Timeline {
            base_ticks: place.ticks.load(Ordering::Relaxed),
            base_unix_ns: place.realtime_ns.load(Ordering::Relaxed),
            ticks_per_second: f64::from_bits(place.ticks_per_second.load(Ordering::Relaxed)),
        };
        fence(Ordering::Acquire); // no field is read after the number is looked at again
        let is_whole = number != 0 && place.number.load(Ordering::Relaxed) == number;
        is_whole.then_some(timeline).filter(|timeline| timeline.ticks_per_second > 0.0)
    }

    /// Stores an anchor and the rate of the ticks, in the older of the two places. Only for the consumer.
    pub(crate) fn store_anchor(&self, anchor: &Anchor, timeline: &Timeline) {
        let [first, second] = &self.page.anchors;
        let (numbers, relaxed) = (
            [first.number.load(Ordering::Relaxed), second.number.load(Ordering::Relaxed)],
            Ordering::Relaxed,
        );
        let older = if numbers[0] <= numbers[1] { first } else { second };
        older.number.store(0, relaxed);
        fence(Ordering::Release); // the number is 0 before any field changes
        older.ticks.store(anchor.ticks, relaxed);
        older.realtime_ns.store(anchor.realtime_ns, relaxed);
        older.monotonic_ns.store(anchor.monotonic_ns, relaxed);
        older.boottime_ns.store(anchor.boottime_ns, relaxed);
        older.ticks_per_second.store(timeline.ticks_per_second.to_bits(), relaxed);
        older.number.store(numbers[0].max(numbers[1]) + 1, Ordering::Release);
    }
}
