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
//!   between the end of a span and its announcement.
//! * **T3** Reading again from the watermark, and taking what is over at each block, takes no trace earlier than it was taken the first time. So what
//!   had been taken up to a place, and is left out when it is taken again up to there, leaves out no span that had not been taken.
//!
//! Memory is some 16 bytes for each span that is waited for, and some hundred for each trace and block.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use spanring::{SpanId, TraceId};
use spanring_spool::{Block, Position, SpanData};

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
/// How far a row moves the time at most, in nanoseconds: whoever records says when a span ended, and may err.
const LEAP_MAX_NS: u64 = 3_600_000_000_000;

/// The traces of one recorder, and of what was recovered of it, that are not over.
#[derive(Debug, Default)]
pub(super) struct Traces {
    open: HashMap<TraceId, Open>,
    /// The blocks from the first on with a span that is waited for.
    blocks: VecDeque<Held>,
    /// How many blocks were noted before those.
    first: u64,
    /// The latest moment that any row told, in nanoseconds since the Unix epoch.
    clock: u64,
    /// How many spans had been dropped by the block that was noted last.
    endless: u64,
    /// Whether it is kept where announcements stand.
    keeps_starts: bool,
    /// The spans that ended in the last blocks, by the number of the block; a span's announcement comes soon if it is not there.
    ended: VecDeque<(u64, HashSet<SpanId>)>,
}

/// Where to read on, and what time it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    pub(super) position: Position,
    /// The latest moment that any row before told, in nanoseconds since the Unix epoch.
    pub(super) clock: u64,
    /// How many spans had been dropped by then.
    pub(super) endless: u64,
}

/// A block with rows of traces that the sink is not done with, or was not for long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// Which recorder it is of.
    pub(super) part: usize,
    /// Where to read on to find it.
    pub(super) before: Mark,
    /// Where to read on to find all that it is about, where that begins earlier: it announces a span that ended in a block before.
    whole: Option<Mark>,
    /// Behind it.
    pub(super) position: Position,
    waiting: u32,
}

impl Held {
    /// Where to read on to find all that it is about.
    fn whole(&self) -> Mark {
        self.whole.unwrap_or(self.before)
    }
}

/// What of a trace stands in one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) block: u64,
    /// How many spans that ended, and were not delivered.
    pub(super) spans: u32,
    /// How many rows, announcements included.
    rows: u32,
}

/// A trace that is not over.
#[derive(Debug, Default)]
struct Open {
    /// The announced spans that have not ended.
    started: HashSet<SpanId>,
    ended: HashSet<SpanId>,
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
    /// At most how many bytes its spans take in a request.
    len: usize,
}

/// A trace that is over.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) trace_id: TraceId,
    /// In which blocks its rows stand, in order.
    pub(super) shares: Vec<Share>,
    /// Its spans.
    pub(super) ids: HashSet<SpanId>,
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

    /// Whether a trace is not over.
    pub(super) fn is_open(&self, trace: TraceId) -> bool {
        self.open.contains_key(&trace)
    }

    /// Whether a span of a trace that is not over has started or ended, as far as the rows tell.
    pub(super) fn knows(&self, trace: TraceId, span: SpanId) -> bool {
        self.open.get(&trace).is_some_and(|open| open.ended.contains(&span) || open.started.contains(&span))
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
    fn open(&mut self, trace_id: TraceId) -> &mut Open {
        let endless = self.endless;
        self.open.entry(trace_id).or_insert_with(|| Open { endless, ..Open::default() })
    }

    /// Goes on in the middle, with a block before which nothing is known: as if it had been then what time its rows tell.
    pub(super) fn begin_at(&mut self, block: &Block, endless: u64) {
        let ends = block.spans.iter().map(|span| span.end_unix_ns);
        let mut times: Vec<_> = ends.chain(block.starts.iter().map(|span| span.start_unix_ns)).collect();
        // Whoever records may err about some of them.
        times.sort_unstable();
        self.advance(times.get(times.len() / 2).copied().unwrap_or(0), endless);
    }

    /// Notes a block, as [`note`](Self::note) does, and takes the traces that are over by it.
    pub(super) fn read(&mut self, part: usize, before: Position, block: &Block, endless: u64) -> Vec<Over> {
        let mut over = self.take_before(&block.spans, &block.starts);
        self.note(part, [before, block.position], &block.spans, &block.starts, endless);
        over.extend(self.take_over());
        over
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
        let number = self.first + self.blocks.len() as u64;
        let before = Mark { position: before, clock: self.clock, endless: self.endless };
        for span in spans {
            let end = self.tick(span.end_unix_ns);
            let open = self.open(span.trace_id);
            open.end(span, end);
            open.share(number).spans += 1;
        }
        let ends: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
        let mut whole: Option<Mark> = None;
        for span in starts {
            let start = self.tick(span.start_unix_ns);
            let keeps_starts = self.keeps_starts;
            let open = self.open(span.trace_id);
            open.last_row = open.last_row.max(start);
            open.share(number);
            // It may have ended on another thread, whose ring was drained before.
            match open.ended.contains(&span.span_id) {
                // It tells nothing that the end does not.
                true if ends.contains(&span.span_id) => {}
                true => {
                    let earlier = self.ended.iter().find(|(_, ids)| ids.contains(&span.span_id));
                    let earlier = earlier.and_then(|(number, _)| self.block(*number));
                    let marks = earlier.filter(|held| held.part == part).map(|held| held.whole());
                    whole = whole.into_iter().chain(marks).min_by_key(|mark| mark.position);
                }
                false => {
                    open.started.insert(span.span_id);
                    if keeps_starts {
                        open.announced.entry(span.span_id).or_insert(number);
                    }
                }
            }
        }
        self.endless = self.endless.max(endless);
        self.ended.push_back((number, ends));
        if self.ended.len() > PARTED_MAX {
            self.ended.pop_front();
        }
        let rows = spans.len() + starts.len();
        self.blocks.push_back(Held {
            part,
            before,
            whole,
            position,
            waiting: u32::try_from(rows).unwrap_or(u32::MAX),
        });
        self.shift();
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
                let Open { ended: ids, announced, shares, facts, len: bytes, .. } = open;
                Over { trace_id, shares, ids, announced, lost: HashSet::new(), facts, bytes }
            })
            .collect();
        over.sort_by_key(|over| (over.shares.first().map(|share| share.block), over.trace_id));
        over
    }

    /// The sink is done with these traces, which had been taken.
    pub(super) fn done<'a>(&mut self, traces: impl IntoIterator<Item = &'a Over>) {
        for share in traces.into_iter().flat_map(|over| &over.shares) {
            if let Some(held) = self.index(share.block).and_then(|at| self.blocks.get_mut(at)) {
                held.waiting = held.waiting.saturating_sub(share.rows);
            }
        }
        self.shift();
    }

    /// The place before the first block of this part with a row that is waited for; `read_to`, where that was read to, if there is no such block.
    pub(super) fn watermark(&self, part: usize, read_to: Mark) -> Mark {
        let first = self.blocks.iter().find(|held| held.part == part && held.waiting > 0);
        first.map_or(read_to, Held::whole)
    }

    /// The latest moment that any row told, and how many spans had been dropped.
    pub(super) fn now(&self) -> (u64, u64) {
        (self.clock, self.endless)
    }

    /// Where a block is found, which has spans that are waited for.
    pub(super) fn block(&self, number: u64) -> Option<Held> {
        self.blocks.get(self.index(number)?).copied()
    }

    /// The number of the first block that may be found yet.
    pub(super) fn oldest(&self) -> u64 {
        self.first
    }

    /// The number of the block that was noted last.
    pub(super) fn newest(&self) -> Option<u64> {
        (self.first + self.blocks.len() as u64).checked_sub(1)
    }

    /// How many traces are not over.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.first)?).ok()
    }

    fn shift(&mut self) {
        while self.blocks.front().is_some_and(|held| held.waiting == 0) {
            self.blocks.pop_front();
            self.first += 1;
        }
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

/// The spans of these traces, by block: which blocks to read, and what to take out of each.
pub(super) fn by_block<'a>(traces: impl IntoIterator<Item = &'a Over>) -> BTreeMap<u64, HashSet<TraceId>> {
    let mut blocks = BTreeMap::<u64, HashSet<TraceId>>::new();
    for over in traces {
        for share in over.shares.iter().filter(|share| share.spans > 0) {
            blocks.entry(share.block).or_default().insert(over.trace_id);
        }
    }
    blocks
}

#[cfg(test)]
mod tests;
