//! The traces that a sink has had which needs them whole, or parents first.
//!
//! ```text
//!   recorder  │ block │ block │ block │ block │ … │ what was recovered of it │
//!             │ removed │  traces that were over  │
//!                                             ▲
//!                                ahead, by the sink's cursor
//! ```
//!
//! A trace is over by the same rows as when it was delivered first, so the blocks up to there are read as they were then: what is over by then was
//! delivered, as the same trace. Where no row came and the clock had decided, more may have come since:
//!
//! * **R1** What is not over there, and stands before the cursor's first place, was delivered, in a piece that is not to be found any more. It goes
//!   as one. What stands behind that place was not delivered, and does not go.
//! * **R2** Where a cursor says that nothing more can come, all of the process was delivered: what was recovered, and the spans that never end.
//!
//! A sink that is new has no place. What was over by the furthest cursor of any sink goes; all, where that is at the end of a process that is over.

use std::collections::{BTreeMap, BTreeSet};
use std::vec;

use spanring_spool::{Block, CursorState, Error, Position, RecorderId, Resource};

use super::super::traces::{ALL, Over, Traces};
use super::past::{Open, Past, place};

/// The traces of a sink's past that have a span which ended since some moment, process by process.
pub(super) struct PastTraces {
    pub(super) past: Past,
    /// Those that were not begun with, with what was recovered of each.
    lineages: vec::IntoIter<Vec<(RecorderId, CursorState)>>,
    keeps_starts: bool,
    open: Option<Lineage>,
}

/// Traces that were over at the same block.
pub(super) struct Found<'a> {
    /// The recorder, and what was recovered of it.
    pub(super) recorders: &'a [RecorderId],
    pub(super) resource: &'a Resource,
    pub(super) traces: &'a mut Traces,
    pub(super) over: Vec<Over>,
    /// How many blocks they have spans in that no trace before had; of traces in very many blocks, how many places.
    pub(super) blocks: u64,
    pub(super) then: Then,
}

/// What comes behind some traces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Then {
    /// There may be more of the process.
    More,
    /// The sink has had nothing more, or it cannot be read.
    Nothing,
    /// The process is over, and the sink has had all of it.
    Over,
}

/// A process.
struct Lineage {
    recorders: Vec<RecorderId>,
    resource: Resource,
    /// How far the sink has got in each.
    states: Vec<CursorState>,
    /// Which of them is read.
    at: usize,
    open: Open,
    /// Behind the block that was read last.
    read_to: Position,
    traces: Traces,
    /// The blocks that have been counted, as far as they may come again.
    counted: BTreeSet<u64>,
    is_done: bool,
}

impl PastTraces {
    pub(super) fn of(mut past: Past, keeps_starts: bool) -> Self {
        let mut lineages = BTreeMap::<RecorderId, Vec<_>>::new();
        for (recorder, state) in std::mem::take(&mut past.recorders) {
            let origin = recorder.origin().unwrap_or_else(|| recorder.clone());
            lineages.entry(origin).or_default().push((recorder, state));
        }
        // One that the sink has had nothing of is a part of its process all the same, as is one of which a power cut took how far it had got.
        for (origin, parts) in &mut lineages {
            let recovery = origin.recovery();
            for (part, at) in [(origin, 0), (&recovery, parts.len())] {
                if parts.iter().all(|(known, _)| known != part) && past.spool().life(part).is_ok() {
                    parts.insert(at, (part.clone(), CursorState::default()));
                }
            }
        }
        let lineages = lineages.into_values().collect::<Vec<_>>().into_iter();
        PastTraces { past, lineages, keeps_starts, open: None }
    }

    /// The next traces, which are to be noted as done; `None` when there are no more. The last of a process say so, and may be none.
    pub(super) fn next(&mut self) -> Option<Found<'_>> {
        let PastTraces { past, lineages, keeps_starts, open } = self;
        let (over, blocks, then) = loop {
            if let Some(done) = open.take_if(|lineage| lineage.is_done) {
                past.close(done.open);
            }
            let Some(lineage) = open else {
                let parts = lineages.next()?;
                let recorder = parts[0].0.clone();
                match Lineage::open(past, parts, *keeps_starts) {
                    Ok(lineage) => *open = Some(lineage),
                    Err(error) => past.trouble(&recorder, &error),
                }
                continue;
            };
            let (over, then) = lineage.next(past).unwrap_or_else(|error| {
                past.trouble(&lineage.open.recorder, &error);
                (Vec::new(), Then::Nothing)
            });
            lineage.is_done = then != Then::More;
            let (over, blocks) = lineage.select(over, past.since_unix_ns);
            if lineage.is_done || !over.is_empty() {
                break (over, blocks, then);
            }
        };
        let Lineage { recorders, resource, traces, .. } = open.as_mut()?;
        Some(Found { recorders, resource, traces, over, blocks, then })
    }
}

impl Lineage {
    fn open(past: &Past, parts: Vec<(RecorderId, CursorState)>, keeps_starts: bool) -> Result<Self, Error> {
        let (recorders, states): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let open = past.open(&recorders[0], until(&states, 0))?;
        let traces = Traces::at(recorders[0].created_unix_ns(), 0)
            .keeping_starts(keeps_starts)
            // By R1 that is where what was delivered ends.
            .parted_at(states.iter().map(|state| state.position).collect());
        Ok(Lineage {
            resource: open.resource.clone(),
            recorders,
            states,
            at: 0,
            open,
            read_to: Position::default(),
            traces,
            counted: BTreeSet::new(),
            is_done: false,
        })
    }

    /// The traces that are over by the next block that any are over by.
    fn next(&mut self, past: &mut Past) -> Result<(Vec<Over>, Then), Error> {
        loop {
            if let Some(block) = self.open.next_block()? {
                let over = self.read(&block);
                if over.is_empty() {
                    continue;
                }
                return Ok((over, Then::More));
            }
            match self.recorders.get(self.at + 1).cloned() {
                Some(next) if self.open.is_at_end() => {
                    let quiet = self.quiet();
                    if !quiet.is_empty() {
                        return Ok((quiet, Then::More));
                    }
                    let open = past.open(&next, until(&self.states, self.at + 1))?;
                    past.close(std::mem::replace(&mut self.open, open));
                    (self.at, self.read_to) = (self.at + 1, Position::default());
                }
                _ => return Ok(self.rest(past)),
            }
        }
    }

    fn read(&mut self, block: &Block) -> Vec<Over> {
        let endless = block.ledger.dropped.total() + self.open.missing_rows();
        let is_first = self.traces.newest().is_none();
        if is_first && (self.open.begins_late() || self.open.recorder.is_recovery()) {
            self.traces.begin_at(block, endless);
        }
        let over = self.traces.read(self.at, self.read_to, block, endless);
        self.read_to = block.position;
        over
    }

    /// What the sink has had of the traces that are not over where it has got to.
    fn rest(&mut self, past: &Past) -> (Vec<Over>, Then) {
        let state = self.states[self.at];
        let is_at_end = self.at + 1 == self.recorders.len() && self.open.is_at_end();
        let is_over = || past.spool().life(&self.recorders[0]).is_ok_and(|life| life.is_over());
        if is_at_end && (state.settled == ALL || !past.is_own && is_over()) {
            return (self.traces.take_all(), Then::Over);
        }
        let mut over = self.quiet();
        if past.is_own {
            for mut piece in self.traces.take_all() {
                piece.lost.clear();
                piece.shares.retain(|share| {
                    let held = self.traces.block(share.block);
                    held.is_some_and(|held| place(held.position) <= place(self.states[held.part].position))
                });
                over.push(piece);
            }
        }
        (over, Then::Nothing)
    }

    /// What was delivered at the end of a part since nothing more had come for a while: an exporter that begins again leaves it out there.
    fn quiet(&mut self) -> Vec<Over> {
        let settled = self.states[self.at].settled;
        let is_last = self.at + 1 == self.recorders.len();
        match settled > 0 && (settled < ALL || is_last) && self.open.missing_rows() == 0 {
            true => self.traces.take_quiet(),
            false => Vec::new(),
        }
    }

    /// Those of the traces that have a span which ended since then, and how many blocks they stand in that were not counted.
    fn select(&mut self, over: Vec<Over>, since_unix_ns: u64) -> (Vec<Over>, u64) {
        let is_wanted = |over: &Over| over.len() > 0 && over.facts.last_end_unix_ns >= since_unix_ns;
        let (over, left): (Vec<_>, Vec<_>) = over.into_iter().partition(is_wanted);
        self.traces.done(&left);
        self.counted = self.counted.split_off(&self.traces.oldest());
        let shares = over.iter().flat_map(|over| &over.shares).filter(|share| share.spans > 0);
        let blocks = shares.filter(|share| self.counted.insert(share.block)).count() as u64;
        (over, blocks)
    }
}

/// Up to where the sink has had the part of this number; `None` where that is all of it, since it has got further.
fn until(states: &[CursorState], part: usize) -> Option<Position> {
    let has_all =
        states[part].settled == ALL || states[part + 1..].iter().any(|next| *next != CursorState::default());
    (!has_all).then_some(states[part].ahead)
}
