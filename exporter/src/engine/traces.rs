//! Which traces are over, and where their spans stand.
//!
//! A trace is over when no announced span of it is open, and nothing of it has come for two seconds: what other threads recorded
//! meanwhile is spooled by then. Roots are always announced when they start, so a trace is waited for as long as a root of it is open; one whose root
//! another process has is over when what started it here has ended.
//!
//! Time is that of the spans, the latest moment that any row of the recorder tells. So a trace is over at the same block whenever its recorder is
//! read again. Only where no block comes for that long does the clock of the machine step in. What comes after that is a trace by itself.
//!
//! What is relied on: an announcement is spooled with the end of its span or before it, or at once behind it, where another thread's ring was drained
//! in between.
//!
//! # Invariants
//!
//! * **T1** A row that was noted, a span or an announcement, belongs to one trace until the sink is done with that.
//! * **T2** [`watermark`](Traces::watermark) is the place before the first block with a row of a trace that the sink is not done with.
//! * **T3** Reading again from the watermark, and taking what is over at each block, takes no trace earlier than it was taken the first time. So what
//!   had been taken up to a place, and is left out when it is taken again up to there, leaves out no span that had not been taken.
//!
//! Memory is some 16 bytes for each span that is waited for, and some hundred for each trace and block.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use spanring::{SpanId, TraceId};
use spanring_spool::{Position, SpanData};

use super::keep::Facts;

/// How long nothing of a trace must have come.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// The traces of one recorder, and of what was recovered of it, that are not over.
#[derive(Debug, Default)]
pub(super) struct Traces {
    open: HashMap<TraceId, Open>,
    /// The blocks from the first on with a span that is waited for.
    blocks: VecDeque<Held>,
    /// How many blocks were noted before those.
    first: u64,
    /// The latest moment that any row told, in nanoseconds since the Unix epoch.
    now: u64,
    /// Whether it is kept where announcements stand.
    keeps_starts: bool,
}

/// A block with rows of traces that the sink is not done with, or was not for long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// Which recorder it is of.
    pub(super) part: usize,
    /// Where to read on to find it, and behind it.
    pub(super) before: Position,
    pub(super) position: Position,
    waiting: u32,
}

/// What of a trace stands in one block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) block: u64,
    /// How many spans that ended.
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
    /// The announced spans that it has no end of.
    pub(super) lost: HashSet<SpanId>,
    pub(super) facts: Facts,
}

impl Over {
    /// How many spans it has.
    pub(super) fn len(&self) -> usize {
        self.shares.iter().map(|share| share.spans as usize).sum()
    }
}

impl Traces {
    /// No traces yet; whether it is to be kept where announcements stand.
    pub(super) fn new(keeps_starts: bool) -> Self {
        Traces { keeps_starts, ..Traces::default() }
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

    /// Notes the spans and announcements of a block, which follows all that were noted, of a recorder that is part number `part`; reading
    /// on at the first of these places finds it, and the second is behind it.
    pub(super) fn note(
        &mut self,
        part: usize,
        [before, position]: [Position; 2],
        spans: &[SpanData],
        starts: &[SpanData],
    ) {
        let number = self.first + self.blocks.len() as u64;
        for span in spans {
            self.now = self.now.max(span.end_unix_ns);
            let open = self.open.entry(span.trace_id).or_default();
            open.end(span);
            open.share(number).spans += 1;
        }
        for span in starts {
            self.now = self.now.max(span.start_unix_ns);
            let open = self.open.entry(span.trace_id).or_default();
            open.share(number);
            // One that comes with its end, or behind it, tells nothing that the end does not.
            if self.keeps_starts && !open.ended.contains(&span.span_id) {
                open.announced.entry(span.span_id).or_insert(number);
            }
            // It may have ended on another thread, whose ring was drained before.
            if !open.ended.contains(&span.span_id) {
                open.started.insert(span.span_id);
            }
        }
        let rows = spans.len() + starts.len();
        self.blocks.push_back(Held {
            part,
            before,
            position,
            waiting: u32::try_from(rows).unwrap_or(u32::MAX),
        });
        self.shift();
    }

    /// Takes the traces that are over as far as the rows tell, in the order in which their first rows stand. Nothing of them came with the
    /// last block.
    pub(super) fn take_over(&mut self) -> Vec<Over> {
        let (now, last) = (self.now, self.newest());
        let quiet = u64::try_from(SETTLE.as_nanos()).unwrap_or(u64::MAX);
        self.take(|open| {
            open.shares.last().is_some_and(|share| Some(share.block) < last)
                && open.started.is_empty()
                && now >= open.facts.last_end_unix_ns.saturating_add(quiet)
        })
    }

    /// Takes those of which no announced span is open, since no block has come for [`SETTLE`].
    pub(super) fn take_quiet(&mut self) -> Vec<Over> {
        self.take(|open| open.started.is_empty())
    }

    /// Takes all: nothing more will come.
    pub(super) fn take_all(&mut self) -> Vec<Over> {
        self.take(|_| true)
    }

    fn take(&mut self, is_over: impl Fn(&Open) -> bool) -> Vec<Over> {
        let taken = self.open.extract_if(|_, open| is_over(open));
        let mut over: Vec<_> = taken
            .map(|(trace_id, Open { started: lost, ended: ids, announced, shares, facts })| Over {
                trace_id,
                shares,
                ids,
                announced,
                lost,
                facts,
            })
            .collect();
        over.sort_by_key(|over| (over.shares.first().map(|share| share.block), over.trace_id));
        over
    }

    /// The sink is done with these traces, which had been taken.
    pub(super) fn done<'a>(&mut self, traces: impl IntoIterator<Item = &'a Over>) {
        for share in traces.into_iter().flat_map(|over| &over.shares) {
            if let Some(held) = self.at(share.block).and_then(|at| self.blocks.get_mut(at)) {
                held.waiting = held.waiting.saturating_sub(share.rows);
            }
        }
        self.shift();
    }

    /// The place before the first block of this part with a span that is waited for; `None` where there is no such block.
    pub(super) fn watermark(&self, part: usize) -> Option<Position> {
        self.blocks.iter().find(|held| held.part == part && held.waiting > 0).map(|held| held.before)
    }

    /// Where a block is found, which has spans that are waited for.
    pub(super) fn block(&self, number: u64) -> Option<Held> {
        self.blocks.get(self.at(number)?).copied()
    }

    /// The number of the block that was noted last.
    pub(super) fn newest(&self) -> Option<u64> {
        (self.first + self.blocks.len() as u64).checked_sub(1)
    }

    /// How many traces are not over.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn at(&self, number: u64) -> Option<usize> {
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
    fn end(&mut self, span: &SpanData) {
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
