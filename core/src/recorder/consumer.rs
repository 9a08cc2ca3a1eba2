//! Draining the rings of a recorder.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use super::Recorder;
use crate::clock::{self, Anchor, Timeline};
use crate::record::{Malformed, Record};

/// How far a lane's ring was consumed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Consumed {
    /// The lane.
    pub lane: u16,
    /// The position behind the last record that was consumed.
    pub position: u64,
    /// How many ended spans the ring carried up to there.
    pub ended: u64,
}

/// What lies in the rings of a recorder and was not given back, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// In all rings together.
    pub bytes: u64,
    /// In the one that holds most.
    pub fullest: u64,
}

/// Drains the rings of a recorder.
#[derive(Debug)]
pub struct Consumer {
    recorder: &'static Recorder,
    /// By lane: what was consumed, and up to where it was released.
    consumed: Vec<(Consumed, u64)>,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.recorder.has_ended.store(true, Ordering::Relaxed);
    }
}

impl Consumer {
    pub(super) fn new(recorder: &'static Recorder) -> Self {
        Consumer { recorder, consumed: Vec::new() }
    }

    /// The recorder.
    pub fn recorder(&self) -> &'static Recorder {
        self.recorder
    }

    /// Shows the records of a lane that were published and not consumed yet, in order, until `look` breaks. Damage, which
    /// only a host that scribbles over the mapping can cause, is shown as an error and skips to the ring's tail.
    pub fn consume(
        &mut self,
        lane: u16,
        mut look: impl FnMut(Result<Record<'_>, Malformed>) -> ControlFlow<()>,
    ) {
        while self.consumed.len() <= usize::from(lane) {
            let lane = u16::try_from(self.consumed.len()).unwrap_or(u16::MAX);
            self.consumed.push((Consumed { lane, position: 0, ended: 0 }, 0));
        }
        let Some(ring) = self.recorder.lane(lane).map(|lane| &lane.ring) else { return };
        let (consumed, _) = &mut self.consumed[usize::from(lane)];
        let tail = ring.tail();
        while consumed.position < tail {
            let mut flow = ControlFlow::Continue(());
            let start = consumed.position;
            let mut look_at = |bytes: &[u8]| {
                let mut at = 0;
                while at < bytes.len() && flow.is_continue() {
                    match Record::parse(&bytes[at..]) {
                        Ok((record, len)) => {
                            at += len;
                            consumed.position += len as u64;
                            if let Record::Ended { ordinal, .. } = record {
                                consumed.ended = ordinal;
                            }
                            if !matches!(record, Record::Padding) {
                                flow = look(Ok(record));
                            }
                        }
                        Err(malformed) => {
                            consumed.position = tail;
                            flow = look(Err(malformed));
                            return;
                        }
                    }
                }
            };
            #[expect(
                unsafe_code,
                reason = "the ring's bytes are the consumer's, which the compiler cannot see"
            )]
            // SAFETY: `self` is the only consumer; `start` is 0 or behind a record that was consumed and not released
            // beyond, and `tail` is the ring's.
            unsafe {
                ring.records(start, tail, &mut look_at);
            }
            if flow.is_break() {
                return;
            }
        }
    }

    /// What lies in the rings. It is one look at each ring's tail, which the ring's thread pays for with its next record: so once
    /// a round, and never in a loop that waits.
    pub fn backlog(&self) -> Backlog {
        let mut backlog = Backlog::default();
        for lane in self.recorder.registry.lanes() {
            let filled = lane.ring.tail().saturating_sub(lane.ring.read());
            backlog.bytes += filled;
            backlog.fullest = backlog.fullest.max(filled);
        }
        backlog
    }

    /// How far a lane was consumed.
    pub fn consumed(&self, lane: u16) -> Consumed {
        self.consumed
            .get(usize::from(lane))
            .map_or(Consumed { lane, ..Consumed::default() }, |(consumed, _)| *consumed)
    }

    /// How far each lane was consumed that has more consumed than released.
    pub fn unreleased(&self) -> impl Iterator<Item = Consumed> {
        self.consumed
            .iter()
            .filter(|(consumed, released)| consumed.position > *released)
            .map(|(consumed, _)| *consumed)
    }

    /// Gives back the space of everything that was consumed. To be called once it is committed elsewhere.
    pub fn release(&mut self) {
        for (consumed, released) in &mut self.consumed {
            if consumed.position > *released
                && let Some(lane) = self.recorder.lane(consumed.lane)
            {
                lane.consumer_line().read_ended.store(consumed.ended, Ordering::Relaxed);
                lane.ring.release(consumed.position);
                *released = consumed.position;
            }
        }
    }

    /// How far each ring is filled, by lane: what a flush has to wait for.
    pub fn tails(&self) -> Vec<u64> {
        self.recorder.tails()
    }

    /// Notes that the process lives, and stores an anchor.
    pub fn store_anchor(&mut self, anchor: &Anchor, timeline: &Timeline) {
        self.recorder.control.store_anchor(anchor, timeline);
    }

    /// Notes that the process lives.
    pub fn mark_alive(&mut self) {
        self.recorder.control.mark_alive(clock::ticks());
    }
}
