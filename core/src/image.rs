//! The files of a dead recorder, read without trust.
//!
//! Everything here is a function of bytes, bounded by their length: a damaged or hostile file gives an error or fewer
//! spans, never a panic, and never more than it holds. The formats are told in `lane.rs` and `control.rs`.

use std::collections::BTreeMap;

use crate::clock::Timeline;
use crate::control::{
    ALIVE_AT, ANCHOR_LEN, ANCHORS_AT, CONTROL_FILE_LEN, CONTROL_MAGIC, CONTROL_VERSION, COUNTERS_AT, Counter,
};
use crate::file_head;
use crate::lane::{
    CELL_CONTENT_LEN, CELL_HEADER_LEN, CELL_LEN, CELLS_AT, CONSUMER_AT, DROP_REASONS, DROPPED, ENDING,
    LANE_CELLS, LANE_MAGIC, LIVE, PRODUCER_AT, TABLE_CELLS, TABLE_MAGIC, TABLES_MAX, VERSION, cell_number,
};
use crate::record::{Malformed, Record};
use crate::recorder::{Counters, DropReason};

/// A recorder's rings and tables, as files.
#[derive(Debug, Default)]
pub struct Image<'a> {
    lanes: BTreeMap<u16, LaneImage<'a>>,
}

/// One lane, with the tables that it took.
#[derive(Debug)]
pub struct LaneImage<'a> {
    number: u16,
    bytes: &'a [u8],
    ring: &'a [u8],
    tables: BTreeMap<u32, &'a [u8]>,
}

/// A span that had not ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InFlight {
    /// Its lane.
    pub lane: u16,
    /// Its body, for [`Body::parse`](crate::record::Body::parse).
    pub body: Vec<u8>,
}

/// What the in-flight tables of a recorder tell.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TableReport {
    /// The spans that had not ended.
    pub in_flight: Vec<InFlight>,
    /// How many spans started in a cell.
    pub started: u64,
    /// How many were dropped because a ring was full.
    pub dropped_ring_full: u64,
    /// How many cells hold a span that was being dropped without a ring when the process died.
    pub dropping_without_ring: u64,
    /// How many cells make no sense.
    pub malformed: u64,
}

const RING_FULL: u64 = DropReason::RingFull as u64;
const NO_LANE: u64 = DropReason::NoLane as u64;

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

impl<'a> Image<'a> {
    /// Adds a lane file.
    ///
    /// # Errors
    ///
    /// When the bytes are no lane of a version that is known here, or the lane is there already.
    pub fn add_lane(&mut self, bytes: &'a [u8]) -> Result<u16, Malformed> {
        file_head::check(bytes, &LANE_MAGIC, VERSION)?;
        let number = half(bytes, 16).and_then(|number| u16::try_from(number).ok());
        let ring_at = CELLS_AT + LANE_CELLS as usize * CELL_LEN;
        let ring_bytes = word(bytes, 24).and_then(|len| usize::try_from(len).ok());
        let ring = ring_bytes
            .filter(|len| len.is_power_of_two() && *len >= 64 && half(bytes, 20) == Some(LANE_CELLS))
            .and_then(|len| bytes.get(ring_at..ring_at.checked_add(len)?));
        let (Some(number), Some(ring)) = (number, ring) else {
            return Err(Malformed { offset: 16, reason: "the lane's ring and cells do not fit the file" });
        };
        if self.lanes.contains_key(&number) {
            return Err(Malformed { offset: 16, reason: "another file is the same lane" });
        }
        self.lanes.insert(number, LaneImage { number, bytes, ring, tables: BTreeMap::new() });
        Ok(number)
    }

    /// Adds a table file, after its lane. A table that no lane had taken holds nothing.
    ///
    /// # Errors
    ///
    /// When the bytes are no table of a version that is known here, or its lane is missing.
    pub fn add_table(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        file_head::check(bytes, &TABLE_MAGIC, VERSION)?;
        let Some(lane) = half(bytes, 16).and_then(|lane| lane.checked_sub(1)) else { return Ok(()) };
        let first = half(bytes, 24).unwrap_or(0);
        let cells = bytes.get(CELLS_AT..CELLS_AT + TABLE_CELLS as usize * CELL_LEN);
        let lane = u16::try_from(lane).ok().and_then(|lane| self.lanes.get_mut(&lane));
        let is_plausible = first.checked_sub(LANE_CELLS).is_some_and(|beyond| {
            beyond.is_multiple_of(TABLE_CELLS)
                && beyond / TABLE_CELLS < u32::try_from(TABLES_MAX).unwrap_or(0)
        });
        match (lane, cells) {
            (Some(lane), Some(cells)) if is_plausible => {
                lane.tables.insert(first, cells);
                Ok(())
            }
            _ => Err(Malformed {
                offset: 16,
                reason: "the table belongs to no lane, or does not fit the file",
            }),
        }
    }

    /// The lanes, by number.
    pub fn lanes(&self) -> impl Iterator<Item = &LaneImage<'a>> {
        self.lanes.values()
    }

    /// Reads the in-flight tables.
    pub fn tables(&self) -> TableReport {
        let mut report = TableReport::default();
        // By lane, how many spans it dropped because its ring was full.
        let mut dropped: BTreeMap<u16, u64> =
            self.lanes.values().map(|lane| (lane.number, lane.dropped_ring_full())).collect();
        // Each cell belongs to one body at most, so all bodies together are no longer than all cells.
        let mut budget = self.lanes.values().map(LaneImage::content_len).sum();
        for lane in self.lanes.values() {
            let mut started = lane.producer_word(16);
            for (_, cell) in lane.cells() {
                let (state, detail) = (word(cell, 0).unwrap_or(0), word(cell, 8).unwrap_or(0));
                if state & 0xff == LIVE {
                    // That of a span that has ended is counted by its lane. The cell may hold the ordinal of one that was about to start.
                    started = started.max(word(cell, 16).unwrap_or(0));
                }
                let is_in_flight = match state & 0xff {
                    LIVE => true,
                    ENDING => !self.is_published(state, detail),
                    DROPPED => {
                        match state >> 8 & 0xff {
                            RING_FULL => self.count_dropped(&mut dropped, state, detail),
                            NO_LANE => report.dropping_without_ring += 1,
                            _ => {}
                        }
                        false
                    }
                    _ => false,
                };
                if is_in_flight {
                    match self.body(cell, state, &mut budget) {
                        Some(body) => report.in_flight.push(InFlight { lane: lane.number, body }),
                        None => report.malformed += 1,
                    }
                }
            }
            report.started = report.started.saturating_add(started);
        }
        report.dropped_ring_full = dropped.into_values().fold(0, u64::saturating_add);
        report
    }

    /// Whether the record that an ending span reserved was published.
    fn is_published(&self, state: u64, position: u64) -> bool {
        let ring = u16::try_from(state >> 16 & 0xffff).ok().and_then(|lane| self.lanes.get(&lane));
        ring.is_some_and(|lane| lane.tail() > position)
    }

    /// Takes the count of a span that was being dropped for its lane's, if the process died before that was stored.
    fn count_dropped(&self, dropped: &mut BTreeMap<u16, u64>, state: u64, count: u64) {
        let lane = u16::try_from(state >> 16 & 0xffff).ok().and_then(|lane| self.lanes.get(&lane));
        let Some(lane) = lane else { return };
        // A count can be only one ahead of the counter; a larger one is damage.
        if lane.dropped_ring_full().checked_add(1) == Some(count) {
            dropped.insert(lane.number, count);
        }
    }

    /// Gathers a body from its chain of cells, and takes its length off the budget.
    fn body(&self, cell: &[u8], state: u64, budget: &mut usize) -> Option<Vec<u8>> {
        let len = usize::try_from(state >> 32).ok()?;
        // No body is longer than a quarter of the largest ring, and none than all cells.
        let most: usize = self.lanes.values().map(|lane| lane.ring.len() / 4).max()?;
        if len > most {
            return None;
        }
        *budget = budget.checked_sub(len)?;
        let mut body = Vec::with_capacity(len);
        let mut cell = cell;
        loop {
            let content = cell.get(CELL_HEADER_LEN..)?;
            let part = (len - body.len()).min(CELL_CONTENT_LEN);
            body.extend_from_slice(content.get(..part)?);
            if body.len() == len {
                return Some(body);
            }
            let next = word(cell, 24).filter(|&next| next != 0)?;
            cell = u16::try_from(next >> 32)
                .ok()
                .and_then(|lane| self.lanes.get(&lane))?
                .cell(cell_number(next))?;
        }
    }
}

impl<'a> LaneImage<'a> {
    /// Which lane it is.
    pub fn number(&self) -> u16 {
        self.number
    }

    fn producer_word(&self, at: usize) -> u64 {
        word(self.bytes, PRODUCER_AT + at).unwrap_or(0)
    }

    /// Up to where records were published.
    pub fn tail(&self) -> u64 {
        self.producer_word(0)
    }

    /// How many spans it dropped because its ring was full, as far as that was counted.
    fn dropped_ring_full(&self) -> u64 {
        self.producer_word(24 + 8 * DropReason::RingFull as usize)
    }

    /// How many bytes of bodies its cells can hold.
    fn content_len(&self) -> usize {
        (LANE_CELLS as usize + self.tables.len() * TABLE_CELLS as usize) * CELL_CONTENT_LEN
    }

    /// Up to where the drain had released the ring, and how many ended spans the ring had carried up to there at least.
    pub fn released(&self) -> (u64, u64) {
        (word(self.bytes, CONSUMER_AT).unwrap_or(0), word(self.bytes, CONSUMER_AT + 8).unwrap_or(0))
    }

    /// The records from `from` to the tail, in order, each with the position behind it; at most one error, the last.
    pub fn records(&self, from: u64) -> Records<'a> {
        let len = self.ring.len() as u64;
        let tail = self.tail();
        // Positions that no ring can have, or that it has overwritten, hold nothing to be read.
        let is_plausible =
            from <= tail && tail - from <= len && from.is_multiple_of(8) && tail.is_multiple_of(8);
        Records { ring: self.ring, at: from, tail, failed: !is_plausible, told: false }
    }

    fn cell(&self, number: u32) -> Option<&'a [u8]> {
        let (cells, index) = if number < LANE_CELLS {
            (self.bytes.get(CELLS_AT..)?, number)
        } else {
            let (first, cells) = self.tables.range(..=number).next_back()?;
            (*cells, number - first)
        };
        let at = usize::try_from(index).ok()?.checked_mul(CELL_LEN)?;
        cells.get(at..at + CELL_LEN)
    }

    fn cells(&self) -> impl Iterator<Item = (u32, &'a [u8])> {
        let further = self.tables.keys().flat_map(|&first| first..first + TABLE_CELLS);
        (0..LANE_CELLS).chain(further).filter_map(|number| Some((number, self.cell(number)?)))
    }
}

/// The records of a ring that were published and not released.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    ring: &'a [u8],
    at: u64,
    tail: u64,
    failed: bool,
    told: bool,
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(Record<'a>, u64), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.failed {
                let first = !std::mem::replace(&mut self.told, true);
                return first
                    .then_some(Err(Malformed { offset: 0, reason: "a ring's positions are impossible" }));
            }
            if self.at >= self.tail {
                return None;
            }
            let index = usize::try_from(self.at & (self.ring.len() as u64 - 1)).unwrap_or(0);
            let left = usize::try_from(self.tail - self.at).unwrap_or(usize::MAX);
            let end = index.saturating_add(left).min(self.ring.len());
            match Record::parse(&self.ring[index..end]) {
                Ok((record, len)) => {
                    self.at += len as u64;
                    if !matches!(record, Record::Padding) {
                        return Some(Ok((record, self.at)));
                    }
                }
                Err(malformed) => {
                    (self.failed, self.told) = (true, true);
                    return Some(Err(Malformed { offset: index + malformed.offset, ..malformed }));
                }
            }
        }
    }
}

impl Records<'_> {
    /// How many bytes up to the tail were not read: above 0 only after an error.
    pub fn unread(&self) -> u64 {
        self.tail.saturating_sub(self.at)
    }
}

/// No process counts further: what says more is damaged, and sums of such do not overflow.
const COUNT_MAX: u64 = 1 << 56;

/// A control page.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ControlImage {
    /// Ticks when the drain last looked round.
    pub alive: u64,
    /// The newest anchor, as a timeline; `None` where the process died before there was one.
    pub timeline: Option<Timeline>,
    /// Spans that started without a cell.
    pub unslotted_started: u64,
    /// Of those, how many ended, because no cell was free.
    pub unslotted_no_cell: u64,
    /// Of those, how many ended, because no lane was free.
    pub unslotted_no_lane: u64,
    /// Spans that had a cell and found no lane to end in.
    pub abandoned_no_lane: u64,
    /// What was counted outside of any lane: of spans, those without a cell.
    pub counters: Counters,
}

impl ControlImage {
    /// Reads a control file.
    ///
    /// # Errors
    ///
    /// When the bytes are no control page of a version that is known here.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        file_head::check(bytes, &CONTROL_MAGIC, CONTROL_VERSION)?;
        if bytes.len() < CONTROL_FILE_LEN {
            return Err(Malformed { offset: bytes.len(), reason: "a control page is cut short" });
        }
        let word = |at| word(bytes, at).unwrap_or(0);
        let newest = (0..2)
            .map(|index| ANCHORS_AT + index * ANCHOR_LEN)
            .filter(|&at| word(at) != 0)
            .max_by_key(|&at| word(at));
        let timeline = newest.map(|at| Timeline {
            base_ticks: word(at + 8),
            base_unix_ns: word(at + 16),
            ticks_per_second: f64::from_bits(word(at + 40)),
        });
        let counter = |counter: Counter| word(COUNTERS_AT + 8 * counter as usize).min(COUNT_MAX);
        Ok(ControlImage {
            alive: word(ALIVE_AT),
            timeline: timeline
                .filter(|timeline| timeline.ticks_per_second.is_normal() && timeline.ticks_per_second > 0.0),
            unslotted_started: counter(Counter::UnslottedStarted),
            unslotted_no_cell: counter(Counter::UnslottedNoCell),
            unslotted_no_lane: counter(Counter::UnslottedNoLane),
            abandoned_no_lane: counter(Counter::AbandonedNoLane),
            counters: Counters::of_control(counter),
        })
    }
}

const _: () = assert!(24 + 8 * DROP_REASONS <= CONSUMER_AT - PRODUCER_AT);
