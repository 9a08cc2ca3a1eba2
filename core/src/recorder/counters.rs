//! What a recorder has counted.

use crate::control::Counter;
use crate::tally;

/// What has been recorded, as the producers count it. Exact when no thread is recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Spans that started.
    pub started: u64,
    /// Spans that ended, the dropped ones included.
    pub ended: u64,
    /// Spans that were dropped because a ring was full.
    pub dropped_ring_full: u64,
    /// Spans that were dropped because no cell was free.
    pub dropped_no_cell: u64,
    /// Spans that were dropped because no lane was free.
    pub dropped_no_lane: u64,
    /// Announcements of started spans that found no room.
    pub starts_lost: u64,
    /// Values that were cut.
    pub values_cut: u64,
    /// Values that found no room at all.
    pub values_left_out: u64,
    /// Values whose `Serialize` failed or panicked.
    pub values_failed: u64,
    /// Guards that were not dropped as the last of what was entered: before something entered later was left, or not before the end of the
    /// scope in which they were made. Each counts once.
    pub guards_out_of_order: u64,
    /// Calls on a span from within the serialization of one of its own values.
    pub reentered: u64,
    /// Calls that came too late or were wrong: on a span that had started or ended already, or a trace without a name.
    pub misused: u64,
    /// Spans that were not recorded because of a decision: see [`sampling`](crate::sampling). They count as neither started nor
    /// dropped.
    pub sampled_out: u64,
    /// Values that were replaced or left out by redaction.
    pub redacted: u64,
    /// Calls of a sampler, redactor or processor that panicked.
    pub hooks_failed: u64,
}

impl Counters {
    /// What a control page has counted.
    pub(crate) fn of_control(counted: impl Fn(Counter) -> u64) -> Self {
        // The ends first: whoever sees that a span has ended sees that it had started, and not the other way round.
        let dropped_no_cell = counted(Counter::UnslottedNoCell);
        let dropped_no_lane =
            counted(Counter::UnslottedNoLane).saturating_add(counted(Counter::AbandonedNoLane));
        Counters {
            started: counted(Counter::UnslottedStarted),
            dropped_no_cell,
            dropped_no_lane,
            starts_lost: counted(Counter::StartsLost),
            values_cut: counted(Counter::ValuesCut),
            values_left_out: counted(Counter::ValuesLeftOut),
            values_failed: counted(Counter::ValuesFailed),
            guards_out_of_order: counted(Counter::GuardsOutOfOrder),
            reentered: counted(Counter::Reentered),
            misused: counted(Counter::Misused),
            sampled_out: counted(Counter::SampledOut),
            redacted: counted(Counter::Redacted),
            hooks_failed: counted(Counter::HooksFailed),
            ..Counters::default()
        }
    }

    /// Spans that started and have not ended.
    pub fn in_flight(&self) -> u64 {
        self.started.saturating_sub(self.ended)
    }

    /// Spans that were dropped, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.dropped_ring_full + self.dropped_no_cell + self.dropped_no_lane
    }
}

/// Why a span was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum DropReason {
    /// Its thread's ring was full when it ended.
    RingFull = 0,
    /// No cell of the in-flight table was free when it started.
    NoCell = 1,
    /// No lane was free for its thread, and the shared one was in use.
    NoLane = 2,
}

const _: () = assert!(DropReason::RingFull as usize == tally::RING_FULL);

#[cfg(test)]
mod tests {
    use super::*;

    /// Else a span that ends meanwhile would make up for another one that is open.
    #[test]
    fn ends_are_read_before_starts() {
        let order = std::cell::RefCell::new(Vec::new());
        Counters::of_control(|counter| {
            order.borrow_mut().push(counter);
            0
        });
        let at = |counter| order.borrow().iter().position(|&read| read == counter).unwrap();
        let start = at(Counter::UnslottedStarted);
        for end in [Counter::UnslottedNoCell, Counter::UnslottedNoLane, Counter::AbandonedNoLane] {
            assert!(at(end) < start, "{end:?}");
        }
    }
}
