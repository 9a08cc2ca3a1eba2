//! Delivers traces that are over, to sinks that need whole traces or parents first, and along routes that keep only some.
//!
//! ```text
//! recorder ──► block ──► which traces are over ──► their blocks again ──► sink
//!    ▲ ▲                                                                   │
//!    │ └── ahead ◄─────────────────────────────────────────────────────────┤
//!    └──── position ◄── before the first row of a trace that is not done ◄─┘
//! ```
//!
//! Spans wait in the spool: what is in memory is which traces stand in which blocks, one block, and what is delivered at the time.
//!
//! What was recovered of a dead process goes on where its recorder ends, so both are read as one: a *lineage*.
//!
//! # Invariants
//!
//! Those of the courier, where a block is all that was over behind it, and:
//!
//! * **L1** After a restart, blocks from the position on are read again. What is over up to the place ahead has been delivered, and is left out.
//! * **L2** The cursor of what was recovered says that all is done before that of its origin does.

use std::collections::BTreeMap;

use spanring_spool::{Block, CursorState, Error, Life, Position, RecorderId, Resource};
use tokio::time::Instant;

use super::super::discovery::Standing;
use super::super::notice::Notice;
use super::super::report::SinkEnd;
use super::super::traces::{Over, SETTLE, Traces};
use super::live::Shows;
use super::{BLOCKS_PER_TURN, Courier, Place, SYNC_INTERVAL, Turn};
use crate::sink::{Needs, Process};

/// What [`CursorState::settled`] is once nothing more can come.
const ALL: u64 = 2;

/// One recorder, and what was recovered of it.
pub(super) struct Lineage {
    pub(super) strands: Vec<Strand>,
    /// Which of them is read.
    at: usize,
    pub(super) traces: Traces,
    /// What of it the sink is to be shown.
    pub(super) shows: Shows,
    /// When a block came last.
    quiet_since: Instant,
}

/// One recorder of a lineage.
pub(super) struct Strand {
    pub(super) recorder: RecorderId,
    pub(super) place: Place,
    /// Behind the block that was read last.
    read_to: Position,
    /// What was handed over at that place once nothing more came.
    settled: u64,
    /// How far an earlier run had got, until that place is reached.
    restored: Option<CursorState>,
}

impl Strand {
    /// Whether what is over now was handed over by an earlier run.
    fn is_restored(&self) -> bool {
        self.restored.is_some_and(|state| state.settled == ALL || self.read_to <= state.ahead)
    }
}

impl Courier {
    /// Whether spans are delivered by traces that are over.
    pub(super) fn is_by_trace(&self) -> bool {
        self.keep.is_some() || self.sink.needs() != Needs::Spans
    }

    /// Reads some blocks of one lineage, and delivers what is over.
    pub(super) async fn turn_by_trace(
        &mut self,
        origin: &RecorderId,
        standing: Standing,
    ) -> Result<Turn, SinkEnd> {
        if *self.shared.stop.borrow() {
            return Err(SinkEnd::Stopped);
        }
        let lineage = match self.lineages.remove(origin) {
            Some(lineage) => Ok(lineage),
            None => self.open_lineage(origin),
        };
        let mut lineage = match lineage {
            Ok(lineage) => lineage,
            Err(error) => return Ok(self.trouble(origin, error)),
        };
        if standing == Standing::Over
            && let Err(error) = self.complete_lineage(&mut lineage)
        {
            return Ok(self.trouble(origin, error));
        }
        let turn = self.read_on(&mut lineage, standing).await;
        // After an error it is opened anew: what was taken of it and not delivered is found again from the cursor's place on.
        if !matches!(turn, Ok(Err(_))) {
            self.lineages.insert(origin.clone(), lineage);
        }
        let waiting = self.lineages.values().map(|lineage| lineage.traces.len() as u64).sum();
        self.show(|standing| standing.backlog.open_traces = waiting);
        match turn {
            Ok(Ok(turn)) => {
                self.journey.troubles.remove(origin);
                Ok(turn)
            }
            Ok(Err(error)) => Ok(self.trouble(origin, error)),
            Err(end) => Err(end),
        }
    }

    fn open_lineage(&self, origin: &RecorderId) -> Result<Lineage, Error> {
        let strands = vec![self.open_strand(origin)?];
        Ok(Lineage {
            strands,
            at: 0,
            traces: Traces::new(self.sink.wants_starts()),
            shows: Shows::new(self.shows_the_living()),
            quiet_since: Instant::now(),
        })
    }

    fn open_strand(&self, recorder: &RecorderId) -> Result<Strand, Error> {
        let place = self.open(recorder)?;
        let state = place.state;
        let restored = (state != CursorState::default()).then_some(state);
        Ok(Strand { recorder: recorder.clone(), place, read_to: state.position, settled: 0, restored })
    }

    /// Adds what was recovered, now that nothing more will be.
    fn complete_lineage(&self, lineage: &mut Lineage) -> Result<(), Error> {
        if let [strand] = lineage.strands.as_slice()
            && !strand.recorder.is_recovery()
        {
            match self.open_strand(&strand.recorder.recovery()) {
                Ok(recovered) => lineage.strands.push(recovered),
                Err(Error::NoSuchRecorder { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        lineage.strands.iter_mut().for_each(|strand| strand.place.reader.set_dead());
        // By L2, what is left of the origin is done as well.
        if let Some(state) = lineage.strands.last().and_then(|last| last.restored)
            && state.settled == ALL
        {
            lineage.strands.iter_mut().for_each(|strand| strand.restored = Some(state));
        }
        Ok(())
    }

    async fn read_on(
        &mut self,
        lineage: &mut Lineage,
        standing: Standing,
    ) -> Result<Result<Turn, Error>, SinkEnd> {
        for _ in 0..BLOCKS_PER_TURN {
            let Lineage { strands, at, traces, shows, .. } = lineage;
            let (part, strand) = (*at, &mut strands[*at]);
            if let Some(state) = strand.restored
                && state.settled < ALL
                && strand.read_to >= state.ahead
            {
                // Here the earlier run had got.
                if state.settled > 0 {
                    let over = traces.take_quiet();
                    traces.done(&over);
                }
                (strand.settled, strand.restored) = (state.settled, None);
            }
            match strand.place.reader.next_block() {
                Ok(Some(block)) if block.position.segment <= strand.place.last_segment => {
                    self.note_late(&strand.recorder, &mut strand.place);
                    traces.note(part, [strand.read_to, block.position], &block.spans, &block.starts);
                    if let Some(number) = traces.newest() {
                        shows.note(number, &block.starts, &block.spans);
                    }
                    (strand.read_to, strand.settled) = (block.position, 0);
                    let over = traces.take_over();
                    lineage.quiet_since = Instant::now();
                    let is_restored = lineage.strands[part].is_restored();
                    if let Err(error) = self.hand_over(lineage, over, Some(block), is_restored).await? {
                        return Ok(Err(error));
                    }
                }
                Ok(_) if standing == Standing::Over || strand.place.last_segment < u64::MAX => {
                    self.note_skipped(&strand.recorder, strand.place.skipped());
                    if part + 1 < strands.len() {
                        *at += 1;
                        continue;
                    }
                    return self.finish(lineage, standing).await;
                }
                Ok(_) => return self.settle_quiet(lineage).await,
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(Turn::More))
    }

    /// Delivers what is over since nothing more came for a while.
    async fn settle_quiet(&mut self, lineage: &mut Lineage) -> Result<Result<Turn, Error>, SinkEnd> {
        let quiet_for = lineage.quiet_since.elapsed();
        let strand = &mut lineage.strands[lineage.at];
        self.note_skipped(&strand.recorder, strand.place.skipped());
        if quiet_for >= SETTLE && strand.settled == 0 && strand.restored.is_none() {
            strand.settled = 1;
            let over = lineage.traces.take_quiet();
            if let Err(error) = self.hand_over(lineage, over, None, false).await? {
                return Ok(Err(error));
            }
        }
        for strand in &mut lineage.strands {
            let Place { synced, state, .. } = &strand.place;
            let is_due = synced
                .is_none_or(|(position, at)| position != state.position && at.elapsed() >= SYNC_INTERVAL);
            if is_due && let Err(error) = self.publish(&strand.recorder, &mut strand.place) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(Turn::CaughtUp))
    }

    /// Delivers what is left, since nothing more will come; of a recorder that grows, where nothing more is wanted, what seems to be over.
    async fn finish(
        &mut self,
        lineage: &mut Lineage,
        standing: Standing,
    ) -> Result<Result<Turn, Error>, SinkEnd> {
        let last = &mut lineage.strands[lineage.at];
        let is_restored = last.is_restored() && last.restored.is_some_and(|state| state.settled == ALL);
        let over = match standing {
            Standing::Over => {
                last.settled = ALL;
                lineage.traces.take_all()
            }
            Standing::Growing => {
                last.settled = last.settled.max(1);
                lineage.traces.take_quiet()
            }
        };
        lineage.strands.iter_mut().for_each(|strand| strand.restored = None);
        if !is_restored {
            if let Err(error) = self.deliver_counted(lineage, &over, None).await? {
                return Ok(Err(error));
            }
            if standing == Standing::Over {
                let Strand { recorder, place, .. } = &lineage.strands[0];
                let (recorder, resource) = (recorder.clone(), place.resource.clone());
                self.process_over(&recorder, &resource).await?;
            }
        }
        lineage.traces.done(&over);
        if let Err(error) = self.store(lineage) {
            return Ok(Err(error));
        }
        for strand in lineage.strands.iter_mut().rev() {
            if let Err(error) = self.publish(&strand.recorder, &mut strand.place) {
                return Ok(Err(error));
            }
            self.finished.insert(strand.recorder.clone());
        }
        Ok(Ok(Turn::CaughtUp))
    }

    /// Delivers traces that are over, unless an earlier run has, and stores that the sink is done with them. `block` is the one that was read last,
    /// if that was just now.
    async fn hand_over(
        &mut self,
        lineage: &mut Lineage,
        over: Vec<Over>,
        block: Option<Block>,
        is_restored: bool,
    ) -> Result<Result<(), Error>, SinkEnd> {
        if !is_restored && let Err(error) = self.deliver_counted(lineage, &over, block).await? {
            return Ok(Err(error));
        }
        lineage.traces.done(&over);
        Ok(self.store(lineage))
    }

    /// Delivers traces that are over, and counts what became of their spans.
    async fn deliver_counted(
        &mut self,
        lineage: &mut Lineage,
        over: &[Over],
        block: Option<Block>,
    ) -> Result<Result<(), Error>, SinkEnd> {
        if !over.is_empty() {
            let recorders: Vec<_> = lineage.strands.iter().map(|strand| strand.recorder.clone()).collect();
            let Lineage { strands, traces, .. } = &*lineage;
            let resource = strands[0].place.resource.clone();
            let counts = match self.deliver_over(&recorders, traces, &resource, over, block).await? {
                Ok(counts) => counts,
                Err(error) => return Ok(Err(error)),
            };
            for (part, count) in counts {
                let state = &mut lineage.strands[part].place.state;
                state.delivered += count.delivered;
                state.dead_lettered += count.dead_lettered;
                state.dropped += count.dropped;
            }
        }
        Ok(Ok(()))
    }

    /// Tells the sink that a process is over.
    async fn process_over(&mut self, first: &RecorderId, resource: &Resource) -> Result<(), SinkEnd> {
        let is_recovered = || matches!(self.shared.spool.life(first), Ok(Life::Recovered));
        let has_died = first.is_recovery() || is_recovered();
        let recorder = first.origin().unwrap_or_else(|| first.clone());
        let process = Process { recorder: &recorder, resource, has_died };
        if let Some(reason) = self.tell_over(&process).await? {
            let reason = format!("{} was told that it is over: {reason}", self.sink.name());
            self.shared.notices.tell(Notice::Trouble { recorder: Some(recorder), reason });
        }
        Ok(())
    }

    /// Stores how far the sink has got: of what was recovered first.
    fn store(&self, lineage: &mut Lineage) -> Result<(), Error> {
        let Lineage { strands, traces, at, .. } = lineage;
        for (part, strand) in strands.iter_mut().enumerate().rev() {
            let missed = strand.place.reader.skipped().missing_rows;
            if part > *at || strand.restored.is_some() {
                // It was not begun, or an earlier run has counted what is missing up to here.
                strand.place.missed = missed;
                continue;
            }
            let Place { state, missed: missed_before, .. } = &mut strand.place;
            let before = state.position;
            // It never goes back: what an earlier run was done with is done.
            state.position = traces.watermark(part).unwrap_or(strand.read_to).max(before);
            (state.ahead, state.settled) = (strand.read_to, strand.settled);
            state.dropped = (state.dropped + missed).saturating_sub(*missed_before);
            *missed_before = missed;
            if strand.place.cursor.state() != strand.place.state {
                strand.place.cursor.store(strand.place.state)?;
            }
            if before.segment < strand.place.state.position.segment {
                self.publish(&strand.recorder, &mut strand.place)?;
            }
        }
        Ok(())
    }
}

/// What became of spans, by the part of the lineage that they stand in.
pub(super) type Counts = BTreeMap<usize, Count>;

/// What became of spans.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Count {
    pub(super) delivered: u64,
    pub(super) dead_lettered: u64,
    pub(super) dropped: u64,
}
