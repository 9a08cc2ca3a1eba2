//! The blocks with rows of traces that the sink is not done with, and where each is found again.
//!
//! A block whose rows are all done is let go wherever it stands. One that is waited for has a place of its own, of some hundred bytes, until there
//! are [very many](PLACES_MAX): then neighbours that few rows of are waited for share one, as a *run*, the older the rather. Whoever wants a row of a
//! run reads its blocks one after the other, so a run has few rows and not too many blocks. They may hold rows of a trace that was over before another
//! of the same identity began, so whoever wants those of a trace asks where that begins.
//!
//! So the places of one recorder take some 7 MiB at most, and beyond that a quarter of a byte for each row that is waited for, and for each block
//! behind the first of them.

use std::collections::VecDeque;

use spanring_spool::Position;

/// How many places there may be before blocks share them.
const PLACES_MAX: usize = 65_536;
/// How many of the newest blocks keep a place of their own: the traces in them are over soon, most of them. No fewer than those by which an
/// end and its announcement may be parted.
const RECENT: u64 = 8_192;
/// At most how many rows of a run are waited for, and how many blocks it reaches over, those that were let go included.
const RUN_ROWS_MAX: u32 = 1024;
const RUN_BLOCKS_MAX: u64 = 1024;
/// How many places may be of blocks whose rows are done before those are cleared away.
const DONE_MAX: usize = 64;

/// Where to read on, and what time it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::engine) struct Mark {
    pub(in crate::engine) position: Position,
    /// The latest moment that any row before told, in nanoseconds since the Unix epoch.
    pub(in crate::engine) clock: u64,
    /// How many spans had been dropped by then.
    pub(in crate::engine) endless: u64,
}

/// A block, or a run of them, with rows of traces that the sink is not done with, or was not for long.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Held {
    /// The number of its first block.
    pub(in crate::engine) first: u64,
    /// How many blocks it reaches over behind that.
    more: u32,
    waiting: u32,
    /// Which recorder it is of.
    pub(in crate::engine) part: usize,
    /// Where to read on to find it.
    pub(in crate::engine) before: Position,
    /// Behind its last block.
    pub(in crate::engine) position: Position,
    /// Where to read on to find all that it is about: there, or where that begins earlier, since it or a block behind it announces a span that ended in
    /// a block before.
    whole: Mark,
}

impl Held {
    /// Whether it is one block.
    pub(in crate::engine) fn is_one(&self) -> bool {
        self.more == 0
    }

    /// The number of its last block.
    pub(super) fn last(&self) -> u64 {
        self.first + u64::from(self.more)
    }

    fn is_in_order(&self) -> bool {
        self.before.next_sequence < self.position.next_sequence
    }

    /// This and the next one as one, if they may be, reaching over so many blocks.
    fn joined(&self, next: &Held, blocks_max: u64, fence: Option<Position>) -> Option<Held> {
        let blocks = next.last() - self.first;
        let waiting = self.waiting.saturating_add(next.waiting);
        // Rows that came late, since a power cut took where they stood first, are found by the place of their block alone.
        let is_in_order = self.is_in_order()
            && next.is_in_order()
            && self.position.next_sequence <= next.before.next_sequence;
        let is_beside = fence.is_none_or(|fence| next.position <= fence || fence <= self.before);
        let may_be = self.part == next.part
            && is_in_order
            && is_beside
            && blocks < blocks_max
            && waiting <= RUN_ROWS_MAX;
        let whole = if next.whole.position < self.whole.position { next.whole } else { self.whole };
        let more = u32::try_from(blocks).ok().filter(|_| may_be)?;
        Some(Held { more, waiting, position: next.position, whole, ..*self })
    }
}

/// The blocks of a recorder, and of what was recovered of it, that are waited for.
#[derive(Debug)]
pub(super) struct Blocks {
    /// In the order of their numbers.
    places: VecDeque<Held>,
    /// How many of those are done.
    done: usize,
    /// How many blocks were noted.
    noted: u64,
    /// How many places there were when blocks were put together last, or are by now.
    joined: usize,
    /// By part, over which place no run reaches.
    pub(super) fences: Vec<Position>,
    /// [`PLACES_MAX`] and [`RECENT`], but in tests.
    pub(super) limits: (usize, u64),
}

impl Default for Blocks {
    fn default() -> Self {
        let (places, fences) = (VecDeque::new(), Vec::new());
        Blocks { places, done: 0, noted: 0, joined: 0, fences, limits: (PLACES_MAX, RECENT) }
    }
}

impl Blocks {
    /// The number of the block that is noted next.
    pub(super) fn next(&self) -> u64 {
        self.noted
    }

    /// Notes a block with so many rows, which stands between these places.
    pub(super) fn note(&mut self, part: usize, before: Mark, position: Position, rows: usize) {
        self.places.push_back(Held {
            first: self.noted,
            more: 0,
            waiting: u32::try_from(rows).unwrap_or(u32::MAX),
            part,
            before: before.position,
            position,
            whole: before,
        });
        self.noted += 1;
        self.done += usize::from(rows == 0);
        self.clear();
    }

    /// Notes that the block that was noted last announces a span which ended in this one: nobody is to read on in between.
    pub(super) fn keep_together(&mut self, end: u64) {
        let (Some(end), Some(last)) = (self.find(end), self.places.back()) else { return };
        let (earlier, part) = (self.places[end], last.part);
        if earlier.part != part {
            return;
        }
        for held in self.places.range_mut(end + 1..) {
            if earlier.whole.position < held.whole.position {
                held.whole = earlier.whole;
            }
        }
    }

    /// Notes that the sink is done with so many rows of a block.
    pub(super) fn release(&mut self, number: u64, rows: u32) {
        let Some(held) = self.find(number).and_then(|at| self.places.get_mut(at)) else { return };
        let was_waiting = held.waiting > 0;
        held.waiting = held.waiting.saturating_sub(rows);
        self.done += usize::from(was_waiting && held.waiting == 0);
    }

    /// Lets those go that are done.
    pub(super) fn clear(&mut self) {
        while self.places.front().is_some_and(|held| held.waiting == 0) {
            self.places.pop_front();
            self.done -= 1;
        }
        if self.done > DONE_MAX.max(self.places.len() / 2) {
            self.places.retain(|held| held.waiting > 0);
            self.places.shrink_to(self.places.len() * 2);
            self.done = 0;
        }
        self.joined = self.joined.min(self.places.len());
    }

    /// Puts blocks together where there are very many; whether it did. Shares of the same place are to be put together then.
    pub(super) fn make_room(&mut self) -> bool {
        let (places_max, recent) = self.limits;
        if self.places.len() < places_max.max(self.joined + places_max / 2) {
            return false;
        }
        let recent = self.noted.saturating_sub(recent);
        let mut blocks = 2;
        while self.places.len() > places_max / 2 && blocks <= RUN_BLOCKS_MAX {
            let mut joined = VecDeque::<Held>::with_capacity(self.places.capacity());
            for held in self.places.iter().filter(|held| held.waiting > 0) {
                let last = joined.back_mut().filter(|_| held.last() < recent);
                let fence = self.fences.get(held.part).copied();
                match last.and_then(|last| Some((last.joined(held, blocks, fence)?, last))) {
                    Some((both, last)) => *last = both,
                    None => joined.push_back(*held),
                }
            }
            (self.places, self.done) = (joined, 0);
            blocks *= 2;
        }
        self.joined = self.places.len();
        true
    }

    /// The first place of this part with a row that is waited for, and where to read on to find all that it is about.
    pub(super) fn first_mark(&self, part: usize) -> Option<Mark> {
        self.places.iter().find(|held| held.part == part && held.waiting > 0).map(|held| held.whole)
    }

    /// Where a block is found that has rows which are waited for.
    pub(super) fn get(&self, number: u64) -> Option<Held> {
        self.places.get(self.find(number)?).copied()
    }

    /// The number of the first block that may be found yet.
    pub(super) fn oldest(&self) -> u64 {
        self.places.front().map_or(self.noted, |held| held.first)
    }

    fn find(&self, number: u64) -> Option<usize> {
        let at = self.places.partition_point(|held| held.first <= number).checked_sub(1)?;
        (number <= self.places[at].last()).then_some(at)
    }
}

#[cfg(test)]
impl Blocks {
    /// How many places there are, and how many bytes they take.
    pub(super) fn footprint(&self) -> (usize, usize) {
        (self.places.len(), self.places.capacity() * size_of::<Held>())
    }
}
