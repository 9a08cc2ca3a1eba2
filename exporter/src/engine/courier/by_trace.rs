//! Delivers traces that are over, to sinks that need whole traces, an overview or parents first, and along routes that keep only some.
//!
//! ```text
//! recorder ──► block ──► which traces are over ──► their blocks again ──► sink
//!    ▲ ▲                                                                   │
//!    │ └── ahead ◄─────────────────────────────────────────────────────────┤
//!    └──── position ◄── before the first row of a trace that is not done ◄─┘
//! ```
//!
//! Spans wait in the spool: what is in memory is which traces stand in which blocks, as [little as that takes](super::super::traces), one block, and what
//! is delivered at the time.
//!
//! What was recovered of a dead process goes on where its recorder ends, so both are read as one: a *lineage*.
//!
//! # Invariants
//!
//! Those of the courier, where a block is all that was over behind it, and:
//!
//! * **L1** After a restart, blocks from the position on are read again. What is over up to the place ahead has been delivered, and is left out, unless
//!   rows are missing by now, such as the announcement of a trace that was open: then it is delivered, again perhaps.
//! * **L2** The cursor of what was recovered says that all is done before that of its origin does.
//! * **L3** What is over is delivered, then what the sink noted of it is synced, then the cursor is stored, then the next block is read. Where one of them fails, it is what is tried first the next
//!   time, and no trace that was delivered is delivered again.

use spanring_spool::{Block, CursorState, Error, Position, RecorderId};
use tokio::time::Instant;

use super::super::discovery::Standing;
use super::super::porter::Counts;
use super::super::report::SinkEnd;
use super::super::traces::{ALL, Mark, Over, SETTLE, Traces};
use super::super::waiting::Since;
use super::live::Shows;
use super::{BLOCKS_PER_TURN, Courier, Place, Turn, now_unix_ns};
use crate::sink::Needs;

/// One recorder, and what was recovered of it.
pub(super) struct Lineage {
    pub(super) strands: Vec<Strand>,
    /// Which of them is read.
    at: usize,
    pub(super) traces: Traces,
    /// What of it the sink is to be shown.
    pub(super) shows: Shows,
    /// Traces that are over, and that the sink is not done with: where a block cannot be read now.
    pending: Vec<Over>,
    /// Whether the sink has got further than the cursors say.
    is_ahead_of_cursor: bool,
    /// When a block came last.
    quiet_since: Instant,
}

/// One recorder of a lineage.
pub(super) struct Strand {
    pub(super) recorder: RecorderId,
    pub(super) place: Place,
    /// Behind the block that was read last.
    read_to: Position,
    /// What time it was there, and how many spans had been dropped.
    read_at: (u64, u64),
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

    /// Whether rows that an earlier run has read are missing.
    fn is_damaged(&self) -> bool {
        self.restored.is_some() && self.place.reader.skipped().missing_rows > 0
    }

    /// Where it was read to.
    fn here(&self) -> Mark {
        let (clock, endless) = self.read_at;
        Mark { position: self.read_to, clock, endless }
    }

    /// Goes on where the earlier run had got: what was over there since nothing more came was handed over.
    fn catch_up(&mut self, state: CursorState, traces: &mut Traces) {
        if state.settled > 0 && !self.is_damaged() {
            let over = traces.take_quiet();
            traces.done(&over);
        }
        (self.settled, self.restored) = (state.settled, None);
    }
}

impl Lineage {
    /// Notes that these traces are over, and are to be delivered unless an earlier run has.
    fn take(&mut self, over: Vec<Over>, is_restored: bool) {
        match is_restored {
            true => self.traces.done(&over),
            false => self.pending.extend(over),
        }
        self.is_ahead_of_cursor = true;
    }

    /// Whether all that was read is done with, and the cursors say so.
    fn is_done(&self) -> bool {
        let is_restored = self.strands.iter().any(|strand| strand.restored.is_some());
        !is_restored && self.traces.len() == 0 && self.pending.is_empty() && !self.is_ahead_of_cursor
    }
}

impl Courier {
    /// Whether spans are delivered by traces that are over.
    fn is_by_trace(&self) -> bool {
        self.keep.is_some() || self.porter.sink.needs() != Needs::Spans
    }

    /// Whether those of this recorder are: also where an earlier run did so, until what it had left waiting is delivered.
    pub(super) fn goes_by_trace(&self, recorder: &RecorderId) -> bool {
        self.is_by_trace() || self.lineages.contains_key(recorder)
    }

    /// Reads some blocks of one lineage, and delivers what is over.
    pub(super) async fn turn_by_trace(
        &mut self,
        origin: &RecorderId,
        standing: Standing,
    ) -> Result<Turn, SinkEnd> {
        if self.porter.is_to_stop() {
            return Err(SinkEnd::Stopped);
        }
        let lineage = match self.lineages.remove(origin) {
            Some(lineage) => Ok(lineage),
            // Once, so that the sink can look after a process of which nothing new comes; and else when it is handed something.
            None => self.open_lineage(origin).and_then(|lineage| match standing {
                Standing::Growing => self.porter.recall_notes(origin).map(|()| lineage),
                Standing::Over => Ok(lineage),
            }),
        };
        let mut lineage = match lineage {
            Ok(lineage) => lineage,
            Err(error) => return Ok(self.trouble(origin, error)),
        };
        let completed = match standing {
            Standing::Over => self.complete_lineage(&mut lineage),
            Standing::Growing => Ok(()),
        };
        let turn = match completed {
            Ok(()) => self.read_on(&mut lineage, standing).await,
            Err(error) => Ok(Err(error)),
        };
        self.show_held(&lineage, matches!(turn, Ok(Ok(Turn::CaughtUp))));
        match self.is_by_trace() || !lineage.is_done() {
            true => drop(self.lineages.insert(origin.clone(), lineage)),
            // What it is left with goes as spans do.
            false => {
                lineage.strands.iter_mut().for_each(|strand| self.settle(&strand.recorder, &mut strand.place))
            }
        }
        let waiting = self.lineages.values().map(|lineage| lineage.traces.len() as u64).sum();
        self.porter.show(|standing| standing.backlog.open_traces = waiting);
        match turn {
            Ok(Ok(turn)) => {
                self.journey.troubles.remove(origin);
                Ok(turn)
            }
            Ok(Err(error)) => Ok(self.trouble(origin, error)),
            Err(end) => Err(end),
        }
    }

    /// Shows since when the first span of what is held has been waiting; where none is, that nothing older comes, or that all that is there is done.
    fn show_held(&self, lineage: &Lineage, is_caught_up: bool) {
        let Lineage { strands, traces, pending, .. } = lineage;
        let pending = pending.iter().filter(|over| over.len() > 0).map(|over| over.facts.first_end_unix_ns);
        let first = pending.chain(traces.first_end()).min();
        let not_before = || Since::NotBefore(traces.now().0.min(now_unix_ns()));
        let since = first.map(Since::Exactly).or_else(|| (!is_caught_up).then(not_before));
        self.show_waiting(strands.iter().map(|strand| &strand.recorder), since);
    }

    fn open_lineage(&self, origin: &RecorderId) -> Result<Lineage, Error> {
        let strand = self.open_strand(origin)?;
        let clock = strand.place.state.clock.max(origin.created_unix_ns());
        Ok(Lineage {
            traces: Traces::at(clock, strand.place.state.endless)
                .keeping_starts(self.porter.sink.wants_starts()),
            shows: Shows::new(self.shows_the_living()),
            strands: vec![strand],
            at: 0,
            pending: Vec::new(),
            is_ahead_of_cursor: false,
            quiet_since: Instant::now(),
        })
    }

    fn open_strand(&self, recorder: &RecorderId) -> Result<Strand, Error> {
        let place = self.open(recorder)?;
        let state = place.state;
        let restored = (state != CursorState::default()).then_some(state);
        let read_at = (state.clock, state.endless);
        Ok(Strand {
            recorder: recorder.clone(),
            place,
            read_to: state.position,
            read_at,
            settled: 0,
            restored,
        })
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
        if let Err(error) = self.work_off(lineage, None).await? {
            return Ok(Err(error));
        }
        for _ in 0..BLOCKS_PER_TURN {
            let Lineage { strands, at, traces, shows, .. } = lineage;
            let (part, strand) = (*at, &mut strands[*at]);
            if let Some(state) = strand.restored
                && state.settled < ALL
                && strand.read_to >= state.ahead
            {
                strand.catch_up(state, traces);
            }
            let read = strand.place.reader.next_block();
            if matches!(read, Ok(None)) {
                // Blocks that were written again hold nothing that was not read.
                strand.read_to = strand.read_to.max(strand.place.reader.position());
            }
            match read {
                Ok(Some(block)) if block.position.segment <= strand.place.last_segment => {
                    self.note_late(&strand.recorder, &mut strand.place);
                    // What lay between may be damaged by now, or was passed over.
                    if let Some(state) = strand.restored
                        && state.settled < ALL
                        && block.position > state.ahead
                    {
                        strand.catch_up(state, traces);
                    }
                    // A span whose end is damaged ends no more than one that was dropped.
                    let endless = block.ledger.dropped.total() + strand.place.reader.skipped().missing_rows;
                    let over = traces.read(part, strand.read_to, &block, endless);
                    strand.read_at = traces.now();
                    if let Some(number) = traces.newest() {
                        shows.note(number, &block.starts, &block.spans);
                    }
                    (strand.read_to, strand.settled) = (block.position, 0);
                    let is_restored = strand.is_restored() && !strand.is_damaged();
                    lineage.quiet_since = Instant::now();
                    if let Err(error) = self.hand_over(lineage, over, Some(block), is_restored).await? {
                        return Ok(Err(error));
                    }
                }
                Ok(_) if standing == Standing::Over || strand.place.last_segment < u64::MAX => {
                    self.note_skipped(&strand.recorder, strand.place.skipped());
                    if let Some(next) = strands.get(part + 1) {
                        traces.advance(next.place.state.clock, next.place.state.endless);
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
            if strand.place.is_sync_due()
                && let Err(error) = self.publish(&strand.recorder, &mut strand.place)
            {
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
        let last = &lineage.strands[lineage.at];
        let is_restored = last.is_restored() && last.restored.is_some_and(|state| state.settled == ALL);
        let over = match standing {
            Standing::Over => lineage.traces.take_all(),
            Standing::Growing => lineage.traces.take_quiet(),
        };
        lineage.strands.iter_mut().for_each(|strand| strand.restored = None);
        lineage.take(over, is_restored);
        self.show_held(lineage, false);
        if let Err(error) = self.deliver_pending(lineage, None).await? {
            return Ok(Err(error));
        }
        if !is_restored && standing == Standing::Over {
            let Strand { recorder, place, .. } = &lineage.strands[0];
            let (recorder, resource) = (recorder.clone(), place.resource.clone());
            if let Err(error) = self.porter.rely_on_notes(&recorder) {
                return Ok(Err(error));
            }
            self.porter.process_over(&recorder, &resource).await?;
        }
        let last = &mut lineage.strands[lineage.at];
        last.settled = if standing == Standing::Over { ALL } else { last.settled.max(1) };
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
        lineage.take(over, is_restored);
        self.work_off(lineage, block).await
    }

    /// Does what is left to be done with what was read.
    async fn work_off(
        &mut self,
        lineage: &mut Lineage,
        block: Option<Block>,
    ) -> Result<Result<(), Error>, SinkEnd> {
        if !lineage.pending.is_empty() {
            self.show_held(lineage, false);
        }
        if let Err(error) = self.deliver_pending(lineage, block).await? {
            return Ok(Err(error));
        }
        Ok(if lineage.is_ahead_of_cursor { self.store(lineage) } else { Ok(()) })
    }

    /// Delivers what is over, and counts what became of its spans.
    async fn deliver_pending(
        &mut self,
        lineage: &mut Lineage,
        block: Option<Block>,
    ) -> Result<Result<(), Error>, SinkEnd> {
        let Lineage { strands, traces, pending, .. } = lineage;
        if pending.is_empty() {
            return Ok(Ok(()));
        }
        let recorders: Vec<_> = strands.iter().map(|strand| strand.recorder.clone()).collect();
        let resource = strands[0].place.resource.clone();
        let mut counts = Counts::new();
        self.leave_out(traces, pending, &mut counts);
        if let Err(error) = self.porter.rely_on_notes(&recorders[0]) {
            return Ok(Err(error));
        }
        let delivered =
            self.porter.deliver_over(&recorders, traces, &resource, pending, block, &mut counts).await?;
        for (part, strand) in strands.iter_mut().enumerate() {
            // What an earlier run left behind it has counted.
            if let Some(count) = counts.get(&part).filter(|_| strand.restored.is_none()) {
                strand.place.state.delivered += count.delivered;
                strand.place.state.dead_lettered += count.dead_lettered;
                strand.place.state.dropped += count.dropped;
            }
        }
        if delivered.is_ok() {
            traces.done(&*pending);
            pending.clear();
        }
        Ok(delivered)
    }

    /// Leaves out those of the traces that the route does not keep.
    fn leave_out(&mut self, traces: &Traces, over: &mut [Over], counts: &mut Counts) {
        let Some(keep) = self.keep else { return };
        for left in over.iter_mut().filter(|over| !keep.keeps(over.trace_id, &over.facts)) {
            for share in left.shares.iter().filter(|share| share.spans > 0) {
                let Some(held) = traces.block(share.block) else { continue };
                counts.entry(held.part).or_default().dropped += u64::from(share.spans);
                self.porter.report.sampled_out += u64::from(share.spans);
            }
            left.delivered();
            left.lost.clear();
        }
    }

    /// Stores how far the sink has got, once what it noted is durable: of what was recovered first.
    fn store(&mut self, lineage: &mut Lineage) -> Result<(), Error> {
        self.porter.keep_notes(&lineage.strands[0].recorder)?;
        let Lineage { strands, traces, at, is_ahead_of_cursor, .. } = lineage;
        for (part, strand) in strands.iter_mut().enumerate().rev() {
            if part > *at || strand.restored.is_some() {
                // It was not begun, or an earlier run has counted what was missing up to here. What was damaged since is told, and not counted: which
                // of it that run had delivered nobody knows.
                strand.place.missed = strand.place.reader.skipped().missing_rows;
                continue;
            }
            let missed = strand.place.reader.skipped().missing_rows;
            strand.place.count_missing(missed, &mut self.porter.report.lost);
            let mark = traces.watermark(part, strand.here());
            let Place { state, .. } = &mut strand.place;
            let before = state.position;
            // It never goes back: what an earlier run was done with is done.
            if mark.position >= before {
                (state.position, state.clock, state.endless) = (mark.position, mark.clock, mark.endless);
            }
            (state.ahead, state.settled) = (strand.read_to, strand.settled);
            if strand.place.cursor.state() != strand.place.state {
                strand.place.cursor.store(strand.place.state)?;
            }
            if before.segment < strand.place.state.position.segment {
                self.publish(&strand.recorder, &mut strand.place)?;
            }
        }
        *is_ahead_of_cursor = false;
        Ok(())
    }
}
