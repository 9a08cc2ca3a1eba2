//! Which traces are over, and where their spans stand.
//!
//! A trace is over when no announced span of it is open, and nothing of it has come for two seconds: what other threads recorded
//! meanwhile is spooled by then. Roots are always announced when they start, so a trace is waited for as long as a root of it is open; one whose root
//! another process has is over when what started it here has ended.
//!
//! Time is that of the spans, the latest moment that any row of the recorder tells, where no row moves it by more than an hour. So a trace is over
//! at the same block whenever its recorder is read again from a [mark](Mark) on. Only where no block comes for that long does the clock of the
//! machine step in, as the rows that come then mostly show too. What comes after that is a trace by itself.
//!
//! A recorder may drop the end of a span that it has announced, and say no more than how many it dropped. So a trace of which nothing has come for ten
//! minutes is over as well where spans were dropped since it began.
//!
//! What is relied on: an announcement is spooled with the end of its span or before it, or some blocks behind it, where another thread's ring was drained
//! in between.
//!
//! # Invariants
//!
//! * **T1** A row that was noted, a span or an announcement, belongs to one trace until the sink is done with that.
//! * **T2** [`watermark`](Traces::watermark) stands before the first block with a row of a trace that the sink is not done with, and not
//!   between the end of a span and its announcement, whether the sink is done with that or not.
//! * **T3** Reading again from the watermark, and taking what is over at each block, takes no trace earlier than it was taken the first time. So what
//!   had been taken up to a place, and is left out when it is taken again up to there, leaves out no span that had not been taken.
//!
//! # Memory
//!
//! A span that has ended takes none, however long its trace is open, but for the [last ones](ENDED_MAX) of a trace: some 20 bytes. One that was announced
//! and has not ended takes as much; and where it is [kept](Traces::keeping_starts) where announcements stand, up to 40 bytes until its trace is over.
//! A trace takes some hundred bytes, and 16 for each [place](held) that it has rows in. A trace that has two spans in each of ten blocks a second takes
//! 10 MB after two hours, and no more after days.

mod held;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use spanring::{SpanId, TraceId};
use spanring_spool::{Block, Position, SpanData};

pub(super) use self::held::{Held, Mark};
use super::batching::span_len;
use super::keep::Facts;

/// What [`CursorState::settled`](spanring_spool::CursorState::settled) is once nothing more can come.
pub(super) const ALL: u64 = 2;

/// How long nothing of a trace must have come.
pub(super) const SETTLE: Duration = Duration::from_nanos(SETTLE_NS);
const SETTLE_NS: u64 = 2_000_000_000;
/// How long nothing of a trace must have come that may have lost an end.
const GIVE_UP_NS: u64 = 600_000_000_000;
/// By how many blocks an end may stand before the announcement of its span: what a drain makes of the rings of several threads in one go.
const PARTED_MAX: usize = 16;
/// Of how many spans of a trace that ended last it is known that they have; at most twice as many. An announcement that comes later than that behind the
/// end of its span counts as that of an open one.
const ENDED_MAX: usize = 8192;
/// How far a row moves the time at most, in nanoseconds: whoever records says when a span ended, and may err.
const LEAP_MAX_NS: u64 = 3_600_000_000_000;

/// The traces of one recorder, and of what was recovered of it, that are not over.
#[derive(Debug, Default)]
pub(super) struct Traces {
    open: HashMap<TraceId, Open>,
    /// The blocks with a row that is waited for.
    blocks: held::Blocks,
    /// The latest moment that any row told, in nanoseconds since the Unix epoch.
    clock: u64,
    /// How many spans had been dropped by the block that was noted last.
    endless: u64,
    /// Whether it is kept where announcements stand.
    keeps_starts: bool,
    /// The spans that ended in the last blocks, by the number of the block; a span's announcement comes soon if it is not there.
    ended: VecDeque<(u64, HashSet<SpanId>)>,
}

/// What of a trace stands in one block, or in a run of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// The number of the first block.
    pub(super) block: u64,
    /// How many spans that ended, and were not delivered.
    pub(super) spans: u32,
    /// How many rows, announcements included.
    rows: u32,
}

/// Where a trace begins: in which part, and behind which place. What stands before and has its identity was a trace by itself.
pub(super) type Begin = (usize, Position);

/// A trace that is not over.
#[derive(Debug, Default)]
struct Open {
    /// The announced spans that have not ended.
    started: HashSet<SpanId>,
    ended: Ended,
    /// In which block each announcement stands that came before its span's end, if that is kept.
    announced: HashMap<SpanId, u64>,
    /// In which blocks its rows stand, in order.
    shares: Vec<Share>,
    facts: Facts,
    /// The latest of its ends, and of all its rows, as far as they moved the time.
    last_end: u64,
    last_row: u64,
    /// How many spans had been dropped before its first block.
    endless: u64,
    begins: Begin,
    /// At most how many bytes its spans take in a request.
    len: usize,
}

/// The spans of a trace that ended last.
#[derive(Debug, Default)]
struct Ended {
    last: HashSet<SpanId>,
    /// Those before, as many as there may be; empty as long as there are fewer in all.
    before: HashSet<SpanId>,
}

impl Ended {
    fn insert(&mut self, span: SpanId) {
        if self.last.len() >= ENDED_MAX {
            self.before = std::mem::take(&mut self.last);
        }
        self.last.insert(span);
    }

    fn contains(&self, span: SpanId) -> bool {
        self.last.contains(&span) || self.before.contains(&span)
    }
}

/// A trace that is over.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) trace_id: TraceId,
    /// In which blocks its rows stand, in order.
    pub(super) shares: Vec<Share>,
    begins: Begin,
    /// In which block each announcement stands, if that is kept.
    pub(super) announced: HashMap<SpanId, u64>,
    /// The announced spans that it has no end of, where nothing more will come.
    pub(super) lost: HashSet<SpanId>,
    pub(super) facts: Facts,
    /// At most how many bytes its spans take in a request.
    pub(super) bytes: usize,
}

impl Over {
    /// How many spans it has that were not delivered.
    pub(super) fn len(&self) -> usize {
        self.shares.iter().map(|share| share.spans as usize).sum()
    }

    /// By what its spans are known.
    pub(super) fn identity(&self) -> (TraceId, Begin) {
        (self.trace_id, self.begins)
    }

    /// Notes that all its spans were delivered.
    pub(super) fn delivered(&mut self) {
        self.shares.iter_mut().for_each(|share| share.spans = 0);
    }
}

impl Traces {
    /// None, at a place where this was the latest moment that any row before told, and so many spans had been dropped.
    pub(super) fn at(clock: u64, endless: u64) -> Self {
        Traces { clock, endless, ..Traces::default() }
    }

    /// Keeps where announcements stand, or does not.
    pub(super) fn keeping_starts(mut self, keeps_starts: bool) -> Self {
        self.keeps_starts = keeps_starts;
        self
    }

    /// Has no blocks share a place that stand on both sides of one of these, by part.
    pub(super) fn parted_at(mut self, places: Vec<Position>) -> Self {
        self.blocks.fences = places;
        self
    }

    /// Has blocks share places beyond so many, but for so many of the newest.
    #[cfg(test)]
    pub(super) fn with_places(mut self, places: usize, recent: u64) -> Self {
        self.blocks.limits = (places, recent);
        self
    }

    /// Whether a trace is not over.
    pub(super) fn is_open(&self, trace: TraceId) -> bool {
        self.open.contains_key(&trace)
    }

    /// Whether a span of a trace that is not over has started, or ended of late, as far as the rows tell.
    pub(super) fn knows(&self, trace: TraceId, span: SpanId) -> bool {
        self.open.get(&trace).is_some_and(|open| {
            open.started.contains(&span) || open.announced.contains_key(&span) || open.ended.contains(span)
        })
    }

    /// Where the announcements of a trace stand that is not over, if that is kept.
    pub(super) fn announced(&self, trace: TraceId) -> Option<&HashMap<SpanId, u64>> {
        self.open.get(&trace).map(|open| &open.announced)
    }

    /// Goes on at such a place.
    pub(super) fn advance(&mut self, clock: u64, endless: u64) {
        (self.clock, self.endless) = (self.clock.max(clock), self.endless.max(endless));
    }

    /// The trace, which may begin here.
    fn open(&mut self, trace_id: TraceId, begins: Begin) -> &mut Open {
        let endless = self.endless;
        self.open.entry(trace_id).or_insert_with(|| Open { endless, begins, ..Open::default() })
    }

    /// Goes on in the middle, with a block before which nothing is known: as if it had been then what time its rows tell.
    pub(super) fn begin_at(&mut self, block: &Block, endless: u64) {
        let ends = block.spans.iter().map(|span| span.end_unix_ns);
        let mut times: Vec<_> = ends.chain(block.starts.iter().map(|span| span.start_unix_ns)).collect();
        // Whoever records may err about some of them.
        times.sort_unstable();
        self.advance(times.get(times.len() / 2).copied().unwrap_or(0), endless);
    }

    /// Notes a block, as [`note`](Self::note) does, and takes the traces that are over by it. The sink is done with those that were taken before.
    pub(super) fn read(&mut self, part: usize, before: Position, block: &Block, endless: u64) -> Vec<Over> {
        self.read_rows(part, [before, block.position], &block.spans, &block.starts, endless)
    }

    fn read_rows(
        &mut self,
        part: usize,
        places: [Position; 2],
        spans: &[SpanData],
        starts: &[SpanData],
        endless: u64,
    ) -> Vec<Over> {
        self.make_room();
        let mut over = self.take_before(spans, starts);
        self.note(part, places, spans, starts, endless);
        over.extend(self.take_over());
        over
    }

    /// Has blocks share places where there are very many. No trace that was taken has rows in any.
    fn make_room(&mut self) {
        if !self.blocks.make_room() {
            return;
        }
        for open in self.open.values_mut() {
            open.shares.dedup_by(|share, kept| {
                let place = self.blocks.get(share.block).map(|held| held.first);
                let is_same = place.is_some_and(|place| place <= kept.block);
                if is_same {
                    (kept.spans, kept.rows) = (kept.spans + share.spans, kept.rows + share.rows);
                }
                is_same
            });
            open.shares.shrink_to_fit();
        }
    }

    /// Moves the time to that of a row; what it is then, at that row.
    fn tick(&mut self, at: u64) -> u64 {
        let at = at.min(self.clock.saturating_add(LEAP_MAX_NS));
        self.clock = self.clock.max(at);
        at
    }

    /// Takes those of which no announced span is open, if this block, which is to be noted next, tells that nothing had come for [`SETTLE`].
    pub(super) fn take_before(&mut self, spans: &[SpanData], starts: &[SpanData]) -> Vec<Over> {
        let ends = spans.iter().map(|span| span.end_unix_ns);
        let first = ends.chain(starts.iter().map(|span| span.start_unix_ns)).min();
        match first.is_some_and(|first| first >= self.clock.saturating_add(SETTLE_NS)) {
            true => self.take_quiet(),
            false => Vec::new(),
        }
    }

    /// Notes the spans and announcements of a block, which follows all that were noted, of a recorder that is part number `part`, and had dropped so many
    /// spans by then; reading on at the first of these places finds it, and the second is behind it.
    pub(super) fn note(
        &mut self,
        part: usize,
        [before, position]: [Position; 2],
        spans: &[SpanData],
        starts: &[SpanData],
        endless: u64,
    ) {
        let (number, begins) = (self.blocks.next(), (part, before));
        let before = Mark { position: before, clock: self.clock, endless: self.endless };
        for span in spans {
            let end = self.tick(span.end_unix_ns);
            let open = self.open(span.trace_id, begins);
            open.end(span, end);
            open.share(number).spans += 1;
        }
        self.blocks.note(part, before, position, spans.len() + starts.len());
        let ends: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
        for span in starts {
            let start = self.tick(span.start_unix_ns);
            let keeps_starts = self.keeps_starts;
            let earlier = self.ended.iter().find(|(_, ids)| ids.contains(&span.span_id));
            let earlier = earlier.map(|&(earlier, _)| earlier);
            let open = self.open(span.trace_id, begins);
            open.last_row = open.last_row.max(start);
            open.share(number);
            if ends.contains(&span.span_id) {
                // It tells nothing that the end does not.
            } else if let Some(earlier) = earlier {
                // It has ended on another thread, whose ring was drained before.
                self.blocks.keep_together(earlier);
            } else if !open.ended.contains(span.span_id) {
                open.started.insert(span.span_id);
                if keeps_starts {
                    open.announced.entry(span.span_id).or_insert(number);
                }
            }
        }
        self.endless = self.endless.max(endless);
        self.ended.push_back((number, ends));
        if self.ended.len() > PARTED_MAX {
            self.ended.pop_front();
        }
    }

    /// Takes the traces that are over as far as the rows tell, in the order in which their first rows stand. Nothing of them came with the
    /// last block.
    pub(super) fn take_over(&mut self) -> Vec<Over> {
        let (now, endless, last) = (self.clock, self.endless, self.newest());
        self.take(|open| {
            let is_settled = open.started.is_empty() && now >= open.last_end.saturating_add(SETTLE_NS);
            let is_given_up = endless > open.endless && now >= open.last_row.saturating_add(GIVE_UP_NS);
            (is_settled || is_given_up) && open.shares.last().is_some_and(|share| Some(share.block) < last)
        })
    }

    /// Takes those of which no announced span is open, since no block has come for [`SETTLE`].
    pub(super) fn take_quiet(&mut self) -> Vec<Over> {
        self.take(|open| open.started.is_empty())
    }

    /// Takes all: nothing more will come.
    pub(super) fn take_all(&mut self) -> Vec<Over> {
        let lost: HashMap<_, _> = self
            .open
            .iter_mut()
            .map(|(trace_id, open)| (*trace_id, std::mem::take(&mut open.started)))
            .collect();
        let mut over = self.take(|_| true);
        for over in &mut over {
            over.lost = lost.get(&over.trace_id).cloned().unwrap_or_default();
        }
        over
    }

    fn take(&mut self, is_over: impl Fn(&Open) -> bool) -> Vec<Over> {
        let taken = self.open.extract_if(|_, open| is_over(open));
        let mut over: Vec<_> = taken
            .map(|(trace_id, open)| {
                let Open { announced, shares, begins, facts, len: bytes, .. } = open;
                Over { trace_id, shares, begins, announced, lost: HashSet::new(), facts, bytes }
            })
            .collect();
        over.sort_by_key(|over| (over.shares.first().map(|share| share.block), over.trace_id));
        over
    }

    /// The sink is done with these traces, which had been taken.
    pub(super) fn done<'a>(&mut self, traces: impl IntoIterator<Item = &'a Over>) {
        for share in traces.into_iter().flat_map(|over| &over.shares) {
            self.blocks.release(share.block, share.rows);
        }
        self.blocks.clear();
    }

    /// The place before the first block of this part with a row that is waited for; `read_to`, where that was read to, if there is no such block.
    pub(super) fn watermark(&self, part: usize, read_to: Mark) -> Mark {
        self.blocks.first_mark(part).unwrap_or(read_to)
    }

    /// The latest moment that any row told, and how many spans had been dropped.
    pub(super) fn now(&self) -> (u64, u64) {
        (self.clock, self.endless)
    }

    /// Where a block is found, which has spans that are waited for.
    pub(super) fn block(&self, number: u64) -> Option<Held> {
        self.blocks.get(number)
    }

    /// The number of the first block that may be found yet.
    pub(super) fn oldest(&self) -> u64 {
        self.blocks.oldest()
    }

    /// The number of the block that was noted last.
    pub(super) fn newest(&self) -> Option<u64> {
        self.blocks.next().checked_sub(1)
    }

    /// The spans of traces that were taken, by place: which to read, and what to take out of each.
    pub(super) fn by_place<'a>(
        &self,
        over: impl IntoIterator<Item = &'a Over>,
    ) -> BTreeMap<u64, HashMap<TraceId, Begin>> {
        let mut places = BTreeMap::<u64, HashMap<TraceId, Begin>>::new();
        for over in over {
            for share in over.shares.iter().filter(|share| share.spans > 0) {
                places.entry(self.place(share.block)).or_default().extend([over.identity()]);
            }
        }
        places
    }

    /// The number of the first block that has its place together with this one.
    pub(super) fn place(&self, number: u64) -> u64 {
        self.block(number).map_or(number, |held| held.first)
    }

    /// When the first span ended of all that are waited for, if there are any.
    pub(super) fn first_end(&self) -> Option<u64> {
        self.open.values().map(|open| open.facts.first_end_unix_ns).min().filter(|&first| first < u64::MAX)
    }

    /// How many traces are not over.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

impl Open {
    fn end(&mut self, span: &SpanData, end: u64) {
        self.last_end = self.last_end.max(end);
        self.last_row = self.last_row.max(end);
        self.len = self.len.saturating_add(span_len(span));
        self.started.remove(&span.span_id);
        self.ended.insert(span.span_id);
        self.facts.add(span);
    }

    /// What stands in this block, with one row more.
    fn share(&mut self, block: u64) -> &mut Share {
        if self.shares.last().is_none_or(|share| share.block != block) {
            self.shares.push(Share { block, spans: 0, rows: 0 });
        }
        let share = self.shares.last_mut().expect("there is one, since it was just looked at or made");
        share.rows += 1;
        share
    }
}

#[cfg(test)]
mod tests;
