//! The account of a recorder: every span that was started, and where it went.

use std::fmt;

use spanring::recorder::Counters;

use crate::segment::LEDGER_LEN;

/// How many spans a recorder started, and what became of them.
///
/// Exact whenever nothing is being recorded, and after a recovery:
///
/// * `started = ended + interrupted + in_flight`,
/// * `ended + interrupted = spooled + dropped` once all is spooled.
///
/// For each sink, of those spooled: `spooled = pending + delivered` (see [`CursorState`](crate::CursorState)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    /// Spans that were started.
    pub started: u64,
    /// Spans that ended, those that were dropped included.
    pub ended: u64,
    /// Spans whose process died before they ended.
    pub interrupted: u64,
    /// Spans that are open.
    pub in_flight: u64,
    /// Spans that stand in segments, interrupted ones included.
    pub spooled: u64,
    /// Spans that were lost, by reason.
    pub dropped: Dropped,
    /// Announcements of started spans that found no room. The spans themselves are not lost by that.
    pub starts_lost: u64,
    /// Values that were cut because they were too large.
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
    /// Calls that came too late or were wrong: on a span that had started or ended already, or for a trace without a name.
    pub misused: u64,
    /// Spans that were not recorded because of a decision. They count as neither started nor dropped.
    pub sampled_out: u64,
    /// Values that were replaced or left out by redaction.
    pub redacted: u64,
    /// Calls of a sampler, redactor or processor that panicked.
    pub hooks_failed: u64,
}

/// Spans that were lost, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dropped {
    /// The thread's ring was full.
    pub ring_full: u64,
    /// No cell of the in-flight table was free.
    pub no_cell: u64,
    /// No lane was free for the thread.
    pub no_lane: u64,
    /// The memory that held them was damaged, or belonged to another boot.
    pub damaged: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.ring_full + self.no_cell + self.no_lane + self.damaged
    }
}

impl Ledger {
    /// What the producers count, of which `spooled` spans stand in segments and `damaged` are lost.
    pub(crate) fn live(counters: &Counters, spooled: u64, damaged: u64) -> Self {
        let mut ledger = Ledger {
            started: counters.started,
            ended: counters.ended,
            in_flight: counters.in_flight(),
            spooled,
            dropped: Dropped {
                ring_full: counters.dropped_ring_full,
                no_cell: counters.dropped_no_cell,
                no_lane: counters.dropped_no_lane,
                damaged,
            },
            ..Ledger::default()
        };
        ledger.note_oddities(counters);
        ledger
    }

    /// Takes over what is counted beside the spans that started.
    pub(crate) fn note_oddities(&mut self, counters: &Counters) {
        self.starts_lost = counters.starts_lost;
        self.values_cut = counters.values_cut;
        self.values_left_out = counters.values_left_out;
        self.values_failed = counters.values_failed;
        self.guards_out_of_order = counters.guards_out_of_order;
        self.reentered = counters.reentered;
        self.misused = counters.misused;
        self.sampled_out = counters.sampled_out;
        self.redacted = counters.redacted;
        self.hooks_failed = counters.hooks_failed;
    }

    /// Spans that ended or were interrupted, and neither stand in a segment nor are known to be lost: those that the drain
    /// has yet to spool.
    pub fn unspooled(&self) -> u64 {
        (self.ended + self.interrupted).saturating_sub(self.spooled + self.dropped.total())
    }

    /// Whether every span is accounted for. While spans are being recorded it may be off by those.
    pub fn balances(&self) -> bool {
        self.started == self.ended + self.interrupted + self.in_flight
            && self.ended + self.interrupted >= self.spooled + self.dropped.total()
    }

    /// Adds the account of another recorder.
    pub fn add(&mut self, other: &Ledger) {
        let mut words = self.encode();
        for (word, other) in words.iter_mut().zip(other.encode()) {
            *word += other;
        }
        *self = Ledger::decode(&words);
    }

    /// What was added since this was `earlier`. What is open counts as it is now.
    #[cfg(feature = "trace")]
    pub(crate) fn since(&self, earlier: &Ledger) -> Ledger {
        let mut words = self.encode();
        for (word, earlier) in words.iter_mut().zip(earlier.encode()) {
            *word = word.saturating_sub(earlier);
        }
        Ledger { in_flight: self.in_flight, ..Ledger::decode(&words) }
    }

    /// The words of a block's header, in the order of the fields; the rest are zeros, for later versions.
    pub(crate) fn encode(&self) -> [u64; LEDGER_LEN] {
        let mut words = [0; LEDGER_LEN];
        let fields = [
            self.started,
            self.ended,
            self.interrupted,
            self.in_flight,
            self.spooled,
            self.dropped.ring_full,
            self.dropped.no_cell,
            self.dropped.no_lane,
            self.dropped.damaged,
            self.starts_lost,
            self.values_cut,
            self.values_left_out,
            self.values_failed,
            self.guards_out_of_order,
            self.reentered,
            self.misused,
            self.sampled_out,
            self.redacted,
            self.hooks_failed,
        ];
        words[..fields.len()].copy_from_slice(&fields);
        words
    }

    /// Reads what [`encode`](Self::encode) made.
    pub(crate) fn decode(words: &[u64; LEDGER_LEN]) -> Self {
        let [
            started,
            ended,
            interrupted,
            in_flight,
            spooled,
            ring_full,
            no_cell,
            no_lane,
            damaged,
            starts_lost,
            values_cut,
            values_left_out,
            values_failed,
            guards_out_of_order,
            reentered,
            misused,
            sampled_out,
            redacted,
            hooks_failed,
            ..,
        ] = *words;
        Ledger {
            started,
            ended,
            interrupted,
            in_flight,
            spooled,
            dropped: Dropped { ring_full, no_cell, no_lane, damaged },
            starts_lost,
            values_cut,
            values_left_out,
            values_failed,
            guards_out_of_order,
            reentered,
            misused,
            sampled_out,
            redacted,
            hooks_failed,
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dropped { ring_full, no_cell, no_lane, damaged } = self.dropped;
        writeln!(f, "started {}", self.started)?;
        writeln!(
            f,
            "  ended {}, interrupted {}, in flight {}",
            self.ended, self.interrupted, self.in_flight
        )?;
        write!(
            f,
            "  spooled {}, to be spooled {}, dropped {}",
            self.spooled,
            self.unspooled(),
            self.dropped.total()
        )?;
        let reasons =
            [("ring full", ring_full), ("no cell", no_cell), ("no lane", no_lane), ("damaged", damaged)];
        for (reason, count) in reasons.into_iter().filter(|(_, count)| *count > 0) {
            write!(f, "\n    {reason}: {count}")?;
        }
        let oddities = [
            ("announcements lost", self.starts_lost),
            ("values cut", self.values_cut),
            ("values left out", self.values_left_out),
            ("values not encoded", self.values_failed),
            ("guards dropped out of order", self.guards_out_of_order),
            ("spans used within their own values", self.reentered),
            ("calls that came too late or were wrong", self.misused),
            ("spans sampled out", self.sampled_out),
            ("values redacted", self.redacted),
            ("calls of samplers, redactors and processors that panicked", self.hooks_failed),
        ];
        for (oddity, count) in oddities.into_iter().filter(|(_, count)| *count > 0) {
            write!(f, "\n  {oddity}: {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_comes_back_from_its_word() {
        let mut words = [0; LEDGER_LEN];
        for (index, word) in words[..19].iter_mut().enumerate() {
            *word = index as u64 + 1;
        }
        assert_eq!(Ledger::decode(&words).encode(), words);
        let mut doubled = Ledger::decode(&words);
        doubled.add(&Ledger::decode(&words));
        assert_eq!(doubled.encode(), words.map(|word| 2 * word));
    }

    #[test]
    fn a_span_that_nobody_accounts_for_shows() {
        let mut ledger = Ledger { started: 3, ended: 2, in_flight: 1, spooled: 2, ..Ledger::default() };
        assert!(ledger.balances());
        ledger.started += 1;
        assert!(!ledger.balances());
    }
}
