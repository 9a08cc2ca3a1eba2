//! The end of a span: into a ring, or not, and its cells back to where they came from.
#![expect(
    unsafe_code,
    reason = "the content of the cells is read, and the ring written, where S1, S3 and R2 make it exclusive"
)]

use std::sync::atomic::Ordering;

use super::{LEN_SHIFT, Slot, UNSET};
use crate::control::Counter;
use crate::lane::{CELL_CONTENT_LEN, CellRef, DROPPED, ENDING, FREE, Lane};
use crate::record::{KIND_ENDED, KIND_STARTED, RECORD_HEADER_LEN, record_word};
use crate::recorder::{DropReason, Recorder};
use crate::thread::local;

impl Slot {
    /// Writes a record of this header, and of the body from all its cells, into the ring of `lane`, which this thread holds.
    ///
    /// # Safety
    ///
    /// A record of the header and `len` bytes has been placed at `position`, and is not yet published.
    unsafe fn copy_to(&self, lane: &Lane, position: u64, header: &Header, len: usize) {
        // SAFETY: as the caller promises.
        unsafe { lane.ring.begin(position, header, &[]) };
        let (mut cell, mut copied) = (self.cell, 0);
        loop {
            let part = (len - copied).min(CELL_CONTENT_LEN);
            // SAFETY: that much of the cell was written (S3), and no one writes it meanwhile (S1).
            let bytes = unsafe { std::slice::from_raw_parts(cell.content().as_ptr(), part) };
            // SAFETY: within the record, as the caller promises.
            unsafe { lane.ring.write(position + (RECORD_HEADER_LEN + copied) as u64, bytes) };
            copied += part;
            let next = cell.header().next.load(Ordering::Relaxed);
            match self.recorder().next_cell(next) {
                Some((_, _, further)) if copied < len => cell = further,
                _ => return,
            }
        }
    }

    /// Announces the span through the ring of `lane`, which this thread holds. Never waits.
    pub(crate) fn announce(&self, lane: &Lane) {
        let len = self.len();
        let Some(position) = self.place_record(lane, len, false) else {
            return self.recorder().control().count(Counter::StartsLost);
        };
        // SAFETY: a record of this length has just been placed there.
        unsafe { self.copy_to(lane, position, &header(len, KIND_STARTED, 0, 0, 0), len) };
        lane.ring.publish(position + (RECORD_HEADER_LEN + len) as u64);
    }

    /// Ends the span now into the ring of `lane`, which this thread holds and the cell belongs to. The slot must not be used again: its
    /// cells are free from now on.
    #[inline]
    pub(crate) fn end_at_home(&self, lane: &'static Lane, end: u64) -> Result<(), DropReason> {
        let state = self.state(); // current, unless the slot was touched
        let len = (state >> LEN_SHIFT) as usize;
        let position = lane.ring.reserve(lane.producer(), (RECORD_HEADER_LEN + len) as u64);
        let Some(position) = position.filter(|_| !self.is_touched.get()) else {
            return self.end(lane, 0, end);
        };
        let ordinal = self.begin_ending(lane, state, position);
        // SAFETY: an untouched slot has one cell, whose content up to the length was written (S3), and no one writes it meanwhile (S1).
        let body = unsafe { std::slice::from_raw_parts(self.cell.content().cast::<u64>().as_ptr(), len / 8) };
        // SAFETY: a record of this length has just been placed there.
        unsafe { lane.ring.begin(position, &header(len, KIND_ENDED, 0, ordinal, end), body) };
        finish_ending(lane, position, len, ordinal);
        // The cell says that the span has ended: it is below the tail of a ring in the same file.
        lane.free(self.number.get());
        Ok(())
    }

    /// Ends the span into the ring of `lane`, which this thread holds. The slot must not be used again: its cells are free from now on.
    #[inline(never)]
    pub(crate) fn end(&self, lane: &'static Lane, flags: u8, end: u64) -> Result<(), DropReason> {
        let len = self.len();
        let Some(position) = self.place_record(lane, len, true) else { return Err(self.drop_full(lane)) };
        let ordinal = self.begin_ending(lane, self.current(), position);
        // SAFETY: a record of this length has just been placed there.
        unsafe { self.copy_to(lane, position, &header(len, KIND_ENDED, flags, ordinal, end), len) };
        finish_ending(lane, position, len, ordinal);
        self.free(lane);
        Ok(())
    }

    /// A position for the record of a body of `len` bytes in the ring of `lane`, which this thread holds.
    fn place_record(&self, lane: &Lane, len: usize, may_wait: bool) -> Option<u64> {
        let len = (RECORD_HEADER_LEN + len) as u64;
        match lane.ring.reserve(lane.producer(), len) {
            Some(position) => Some(position),
            None => self.recorder().make_room(lane, len, may_wait),
        }
    }

    /// Says in the cell where the span's record will be, before it is; the record's ordinal.
    #[inline(always)]
    fn begin_ending(&self, lane: &Lane, state: u64, position: u64) -> u64 {
        let header = self.cell.header();
        header.detail.store(position, Ordering::Relaxed);
        header.state.store(stage(state, ENDING, 0, lane), Ordering::Release);
        lane.producer_line().ended.load(Ordering::Relaxed) + 1 // only the holder stores it
    }

    #[cold]
    #[inline(never)]
    fn drop_full(&self, lane: &'static Lane) -> DropReason {
        let reason = DropReason::RingFull;
        let line = lane.producer_line();
        let ordinal = line.dropped[reason as usize].load(Ordering::Relaxed) + 1;
        let header = self.cell.header();
        header.detail.store(ordinal, Ordering::Relaxed);
        header.state.store(stage(self.current(), DROPPED, reason as u8, lane), Ordering::Release);
        line.count_dropped(reason as usize, ordinal);
        self.free(lane);
        reason
    }

    /// Has the slot reset before another span has it, if it is not as that needs it (S6).
    fn unset(&self) {
        if self.is_touched.get() {
            self.room_end.set(UNSET);
        }
    }

    /// Gives the cells back. `lane` is the one that this thread holds.
    #[inline]
    fn free(&self, lane: &'static Lane) {
        self.unset();
        // In a file of its own, so it must not need another lane's to tell that the span has ended.
        self.cell.header().state.store(FREE, Ordering::Release);
        if self.cell.header().next.load(Ordering::Relaxed) != 0 {
            self.recorder().free_chain(Some(lane), self.cell);
        }
        let number = self.number.get();
        match self.home() {
            home if std::ptr::eq(home, lane) => lane.free(number),
            home => home.return_cell(number),
        }
    }

    /// Gives up a span that no ring takes, on a thread that holds no lane. The slot must not be used again.
    #[cold]
    pub(crate) fn abandon(&self, reason: DropReason) -> DropReason {
        let header = self.cell.header();
        header.state.store(stage(self.current(), DROPPED, reason as u8, self.home()), Ordering::Release);
        self.recorder().control().count(Counter::AbandonedNoLane);
        self.unset();
        let next = header.next.load(Ordering::Relaxed);
        header.state.store(FREE, Ordering::Release);
        if next != 0 {
            self.recorder().free_chain(None, self.cell);
        }
        self.home().return_cell(self.number.get());
        reason
    }

    /// Whether this is a span of a parent process, seen from its forked child.
    #[cold]
    pub(crate) fn is_inherited(&self) -> bool {
        self.recorder().is_forked()
    }
}

type Header = [u64; RECORD_HEADER_LEN / 8];

/// The header of the record of a body of `len` bytes. A record is at most a quarter of a ring of at most 1 GiB, so its length fits half
/// a word.
#[inline(always)]
fn header(len: usize, kind: u8, flags: u8, ordinal: u64, end: u64) -> Header {
    [record_word(0, kind, flags) | (RECORD_HEADER_LEN + len) as u64, ordinal, end]
}

/// Publishes the record, and counts it.
#[inline(always)]
fn finish_ending(lane: &Lane, position: u64, len: usize, ordinal: u64) {
    lane.ring.publish(position + (RECORD_HEADER_LEN + len) as u64);
    lane.producer_line().count_ended(ordinal);
}

/// What a cell's `state` is in this stage.
#[inline(always)]
fn stage(state: u64, stage: u64, reason: u8, lane: &Lane) -> u64 {
    state >> LEN_SHIFT << LEN_SHIFT | u64::from(lane.number()) << 16 | u64::from(reason) << 8 | stage
}

impl Recorder {
    /// Frees the cells that are chained behind `cell`. `lane` is the one that this thread holds, if any.
    #[cold]
    #[inline(never)]
    pub(super) fn free_chain(&'static self, lane: Option<&'static Lane>, cell: CellRef) {
        let mut next = cell.header().next.swap(0, Ordering::Relaxed);
        while let Some((home, number, cell)) = self.next_cell(next) {
            next = cell.header().next.swap(0, Ordering::Relaxed);
            match lane {
                Some(lane) if std::ptr::eq(home, lane) => lane.free(number),
                _ => home.return_cell(number),
            }
        }
    }

    /// Takes a cell for a chain from this thread's lane, or from the orphan lane.
    pub(super) fn claim_for_chain(&'static self) -> Option<(u64, CellRef)> {
        let claim = |lane: &Lane| {
            let number = lane.claim().or_else(|| self.claim_more(lane))?;
            Some((u64::from(lane.number()) << 32 | (u64::from(number) + 1), lane.cell(number)))
        };
        if self.is_forked() {
            return None; // the lanes are the parent's, and nobody here would ever make room
        }
        match local().lane_in(self) {
            Some(lane) => claim(lane),
            None => {
                let orphan = self.wait_for(|| self.orphan())?;
                claim(orphan.lane)
            }
        }
    }
}
