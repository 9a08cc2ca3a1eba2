//! One span's place in the in-flight table, while the span is open.
//!
//! What is set on a span is written into its cell at once and then published by storing the new length, so a kill between
//! two bytes leaves everything before them whole. What does not fit the cell goes on in further cells, chained behind it.
//!
//! # Invariants
//!
//! * **S1** A `Slot` is the only user of the content of its cells (N2); it is not `Sync`, so no two threads use it at once.
//! * **S2** `write..write + room` are bytes of the content of the chain's last cell, or `room` is 0. `write`, `room` and `len`
//!   are multiples of 8.
//! * **S3** `len` is the length of the body that was written, and bytes `HEAD_LEN..len` are whole entries.
//! * **S4** Once a value was cut, the slot is `closed`: nothing is appended any more, as what was cut off may have left the end
//!   of the body apart from `write`.
//! * **S5** While a value is being serialized, `busy` is set and `room` is 0, so that a nested call on the same span finds no
//!   room and then finds it busy.
#![expect(
    unsafe_code,
    reason = "content is written through pointers that S1 and S2 make exclusive and in range"
)]

use std::cell::Cell;
use std::io;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering, fence};

use serde::Serialize;

use crate::control::Counter;
use crate::lane::{CELL_CONTENT_LEN, CellRef, DROPPED, ENDING, FREE, LIVE, Lane};
use crate::record::{
    ENTRY_CUT, ENTRY_FAILED, ENTRY_HEADER_LEN, HEAD_LEN, INLINE, KIND_ENDED, KIND_STARTED, RECORD_HEADER_LEN,
    TAG_BYTES, TAG_KEY, TAG_NAME, TAG_PACKED, TAG_STATUS_MESSAGE, TAG_STR, entry_word, padded, record_word,
};
use crate::recorder::{DropReason, Recorder};
use crate::thread::local;

/// Where in a head the status and the count of values left out lie.
const STATUS_AT: usize = 43;
const LEFT_OUT_AT: usize = 46;

/// The words of a head: see the body in `record.rs`.
pub(crate) type HeadWords = [u64; HEAD_LEN / 8];

/// Where an open span writes: its cells, and the place for the next entry. Each cell has one, in the process's own memory
/// and for as long as the process lives, so that a span is a reference to it and costs nothing to move.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Slot {
    cell: CellRef,
    /// The lane and the recorder that the cell belongs to, once it was claimed.
    home: Cell<Option<&'static Lane>>,
    recorder: Cell<Option<&'static Recorder>>,
    number: Cell<u32>,
    room: Cell<u32>,
    len: Cell<u32>,
    busy: Cell<bool>,
    closed: Cell<bool>,
    write: Cell<NonNull<u8>>,
    last: Cell<CellRef>,
}

/// The right to a slot, which one span has at a time (N2).
#[derive(Debug)]
pub(crate) struct Claimed(&'static Slot);

// SAFETY: whoever has the right is the only user of the slot and its cells (S1), and the right goes to one thread at a time;
// what the slot shares with other threads, its lane and recorder, is `Sync`.
unsafe impl Send for Claimed {}

impl Deref for Claimed {
    type Target = Slot;

    #[inline]
    fn deref(&self) -> &Slot {
        self.0
    }
}

/// What is written: where it belongs, and how it is marked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) tag: u8,
    pub(crate) flags: u8,
    pub(crate) key: u16,
    pub(crate) content: &'a [u8],
}

impl Slot {
    /// The slot of a cell that no span has.
    pub(crate) fn of(cell: CellRef) -> Self {
        Slot {
            cell,
            home: Cell::new(None),
            recorder: Cell::new(None),
            number: Cell::new(0),
            room: Cell::new(0),
            len: Cell::new(0),
            busy: Cell::new(false),
            closed: Cell::new(false),
            write: Cell::new(cell.content()),
            last: Cell::new(cell),
        }
    }

    /// Takes a cell of `lane`, which this thread holds, and prepares a span in it, for [`start`](Self::start) to publish.
    #[inline(always)]
    pub(crate) fn claim(
        recorder: &'static Recorder,
        lane: &'static Lane,
        head: &HeadWords,
    ) -> Option<Claimed> {
        let number = match lane.claim() {
            Some(number) => number,
            None => recorder.claim_more(lane)?,
        };
        let slot = lane.slot(number);
        // Before the next span's head is in the cell, it must not look like the last span's: the Release that freed it does
        // not keep what comes later behind it. No instruction on x86-64.
        fence(Ordering::Release);
        let mut write = slot.cell.content();
        for word in head {
            // SAFETY: the head is shorter than a cell's content, which is the claimer's (N2), and aligned to 8.
            unsafe { write.cast::<u64>().write(word.to_le()) };
            // SAFETY: as above, so still within the cell.
            write = unsafe { write.add(8) };
        }
        slot.cell.header().ordinal.store(lane.next_started(), Ordering::Relaxed);
        slot.home.set(Some(lane));
        slot.recorder.set(Some(recorder));
        slot.number.set(number);
        slot.room.set(const { length(CELL_CONTENT_LEN - HEAD_LEN) });
        slot.len.set(const { length(HEAD_LEN) });
        slot.busy.set(false);
        slot.closed.set(false);
        slot.write.set(write);
        slot.last.set(slot.cell);
        Some(Claimed(slot))
    }

    /// Publishes the span that was prepared in a cell of `lane`, which this thread still holds.
    #[inline]
    pub(crate) fn start(&self, lane: &Lane, inline_name: Option<&str>) {
        match inline_name {
            None => self.commit(),
            Some(name) => self.name(name),
        }
        // Release: never ahead of the span itself, whatever the moment of a kill.
        lane.producer_line().started.store(lane.started(), Ordering::Release);
    }

    #[cold]
    #[inline(never)]
    fn name(&self, name: &str) {
        let cut = floor_char_boundary(name, self.room.get() as usize - ENTRY_HEADER_LEN);
        let flags = if cut < name.len() { ENTRY_CUT } else { 0 };
        if flags != 0 {
            self.leave_out();
        }
        let content = &name.as_bytes()[..cut];
        let named = self.append::<true>(Entry { tag: TAG_NAME, flags, key: INLINE, content });
        debug_assert!(named, "the name was cut to fit the first cell");
    }

    #[inline]
    pub(crate) fn recorder(&self) -> &'static Recorder {
        self.recorder.get().expect("a slot is only reached once it was claimed")
    }

    fn home(&self) -> &'static Lane {
        self.home.get().expect("a slot is only reached once it was claimed")
    }

    /// Publishes the length.
    #[inline]
    fn commit(&self) {
        self.cell.header().state.store(LIVE | u64::from(self.len.get()) << 32, Ordering::Release);
    }

    /// Stores the status, visible at once.
    #[inline]
    pub(crate) fn set_status(&self, status: u8) {
        // SAFETY: the head lies within the first cell's content.
        let at = unsafe { self.cell.content().add(STATUS_AT) }.cast::<AtomicU8>();
        // SAFETY: mapped for ever, and any byte is an AtomicU8.
        unsafe { at.as_ref() }.store(status, Ordering::Relaxed);
    }

    #[cold]
    fn leave_out(&self) {
        self.recorder().control().count(Counter::ValuesLeftOut);
        // SAFETY: the head lies within the first cell's content.
        let at = unsafe { self.cell.content().add(LEFT_OUT_AT) }.cast::<AtomicU16>();
        // SAFETY: mapped for ever, aligned to 2, and any bits are an AtomicU16.
        let left_out = unsafe { at.as_ref() };
        let count = u16::from_le(left_out.load(Ordering::Relaxed)).saturating_add(1);
        left_out.store(count.to_le(), Ordering::Relaxed);
    }

    /// Appends an entry; with `COMMIT` it is published, with all that was appended before. `false`: nothing was
    /// appended, and that was counted; an entry that only means something behind this one must not follow.
    #[inline]
    pub(crate) fn append<const COMMIT: bool>(&self, entry: Entry<'_>) -> bool {
        // Passed on one by one, so that the entry never lies in memory.
        let Entry { tag, flags, key, content: value } = entry;
        let need = ENTRY_HEADER_LEN + padded(value.len());
        if need <= self.room.get() as usize
            && let (Ok(len), Ok(need)) = (u32::try_from(value.len()), u32::try_from(need))
        {
            let word = entry_word(len, tag, flags, key);
            let at = self.write.get();
            // SAFETY: `need` bytes are free behind `write` (S2), and they are this slot's (S1).
            unsafe { at.cast::<u64>().write(word.to_le()) };
            // SAFETY: as above.
            let content = unsafe { at.add(ENTRY_HEADER_LEN) };
            // SAFETY: as above; no Rust reference points into the cell, so the content does not overlap it.
            unsafe { content.as_ptr().copy_from_nonoverlapping(value.as_ptr(), value.len()) };
            self.advance(need);
        } else if !self.append_across(tag, flags, key, value) {
            return false;
        }
        if COMMIT {
            self.commit();
        }
        true
    }

    /// Appends an entry whose content is one word. `false`: as for [`append`](Self::append).
    #[inline]
    pub(crate) fn append_word<const COMMIT: bool>(&self, tag: u8, flags: u8, key: u16, word: u64) -> bool {
        const NEED: u32 = length(ENTRY_HEADER_LEN + 8);
        if NEED <= self.room.get() {
            let at = self.write.get();
            // SAFETY: 16 bytes are free behind `write` (S2), and they are this slot's (S1).
            unsafe { at.cast::<u64>().write(entry_word(8, tag, flags, key).to_le()) };
            // SAFETY: as above.
            let content = unsafe { at.add(ENTRY_HEADER_LEN) };
            // SAFETY: as above.
            unsafe { content.cast::<u64>().write(word.to_le()) };
            self.advance(NEED);
        } else if !self.append_across(tag, flags, key, &word.to_le_bytes()) {
            return false;
        }
        if COMMIT {
            self.commit();
        }
        true
    }

    #[inline]
    fn advance(&self, by: u32) {
        // SAFETY: callers advance by what they wrote within `room` (S2).
        self.write.set(unsafe { self.write.get().add(by as usize) });
        self.room.set(self.room.get() - by);
        self.len.set(self.len.get() + by);
    }

    /// Appends an entry that does not fit the last cell. Text is cut on a character's boundary, numbers are left out whole.
    #[cold]
    #[inline(never)]
    fn append_across(&self, tag: u8, flags: u8, key: u16, content: &[u8]) -> bool {
        if self.busy.get() {
            self.recorder().control().count(Counter::Reentered);
            return false;
        }
        let mut chain = Chain::begin(self);
        let Some(header) = chain.header() else {
            self.leave_out();
            return false;
        };
        let mut kept = chain.put(content);
        let mut flags = flags;
        if kept < content.len() {
            kept = std::str::from_utf8(content).map_or(kept, |text| floor_char_boundary(text, kept));
            let is_number = !matches!(tag, TAG_STR | TAG_BYTES | TAG_KEY | TAG_STATUS_MESSAGE);
            if is_number {
                chain.back_to(&header);
                chain.settle();
                self.leave_out();
                return false;
            }
            flags |= ENTRY_CUT;
            self.recorder().control().count(Counter::ValuesCut);
            chain.close_after(&header, kept);
        }
        chain.finish(&header, kept, |len| entry_word(len, tag, flags, key));
        true
    }

    /// Appends a value of any type as MessagePack, encoded in place. `key` is written before it if it has no number.
    pub(crate) fn append_packed<const COMMIT: bool>(&self, flags: u8, key: u16, value: &impl Serialize) {
        if self.busy.replace(true) {
            self.recorder().control().count(Counter::Reentered);
            return;
        }
        let mut chain = Chain::begin(self);
        self.room.set(0); // S5
        let header = chain.header();
        let Some(header) = header else {
            self.room.set(chain.room);
            self.busy.set(false);
            return self.leave_out();
        };
        let encoded = catch_unwind(AssertUnwindSafe(|| {
            value.serialize(&mut rmp_serde::Serializer::new(&mut chain).with_struct_map()).is_ok()
        }));
        let mut flags = flags;
        let mut kept = chain.len - header.len as usize - ENTRY_HEADER_LEN;
        if chain.is_full {
            flags |= ENTRY_CUT;
            self.recorder().control().count(Counter::ValuesCut);
            chain.close_after(&header, kept);
        } else if !matches!(encoded, Ok(true)) {
            flags |= ENTRY_FAILED;
            self.recorder().control().count(Counter::ValuesFailed);
            chain.back_to(&header);
            kept = 0;
            chain.skip_header();
        }
        self.busy.set(false);
        chain.finish(&header, kept, |len| entry_word(len, TAG_PACKED, flags, key));
        if COMMIT {
            self.commit();
        }
    }

    /// Copies the body into the ring of `lane`, which this thread holds, as a record of the given kind.
    #[inline]
    fn copy_to(&self, lane: &Lane, position: u64, word: u64, ordinal: u64, end: u64) {
        // SAFETY: the caller reserved a record of header and body at `position`.
        unsafe { lane.ring.write_word(position, word) };
        // SAFETY: as above.
        unsafe { lane.ring.write_word(position + 8, ordinal) };
        // SAFETY: as above.
        unsafe { lane.ring.write_word(position + 16, end) };
        let len = self.len.get() as usize;
        let first = len.min(CELL_CONTENT_LEN);
        let body = position + RECORD_HEADER_LEN as u64;
        // SAFETY: the first `first` bytes of the content were written (S3), and no one writes them meanwhile (S1).
        let bytes = unsafe { std::slice::from_raw_parts(self.cell.content().as_ptr(), first) };
        // SAFETY: as above, within the reserved record.
        unsafe { lane.ring.write(body, bytes) };
        if first < len {
            self.copy_chain_to(lane, body, first, len);
        }
    }

    #[cold]
    #[inline(never)]
    fn copy_chain_to(&self, lane: &Lane, body: u64, mut copied: usize, len: usize) {
        let mut next = self.cell.header().next.load(Ordering::Relaxed);
        while let Some((_, _, cell)) = self.recorder().next_cell(next).filter(|_| copied < len) {
            let part = (len - copied).min(CELL_CONTENT_LEN);
            // SAFETY: that much of the chained cell was written (S3), and no one writes it meanwhile (S1).
            let bytes = unsafe { std::slice::from_raw_parts(cell.content().as_ptr(), part) };
            // SAFETY: within the record that `copy_to` has reserved.
            unsafe { lane.ring.write(body + copied as u64, bytes) };
            copied += part;
            next = cell.header().next.load(Ordering::Relaxed);
        }
    }

    /// How long the span's record is.
    #[inline]
    fn record_len(&self) -> usize {
        RECORD_HEADER_LEN + self.len.get() as usize
    }

    /// Announces the span through the ring of `lane`, which this thread holds. Never waits.
    pub(crate) fn announce(&self, lane: &Lane) {
        let len = self.record_len();
        let position = match lane.ring.reserve(lane.producer(), len) {
            Some(position) => Some(position),
            None => self.recorder().reserve_more(lane, len, false),
        };
        let Some((position, record_len)) = position.zip(u32::try_from(len).ok()) else {
            return self.recorder().control().count(Counter::StartsLost);
        };
        self.copy_to(lane, position, record_word(record_len, KIND_STARTED, 0), 0, 0);
        lane.ring.publish(lane.producer(), position + len as u64);
    }

    /// Ends the span into the ring of `lane`, which this thread holds. The slot must not be used again: its cells are
    /// free from now on.
    #[inline]
    pub(crate) fn end(&self, lane: &'static Lane, flags: u8, end: u64) -> Result<(), DropReason> {
        let len = self.record_len();
        let position = match lane.ring.reserve(lane.producer(), len) {
            Some(position) => Some(position),
            None => self.recorder().reserve_more(lane, len, true),
        };
        let Some(position) = position else { return Err(self.drop_full(lane)) };
        let header = self.cell.header();
        header.detail.store(position, Ordering::Relaxed);
        header.state.store(self.stage(ENDING, 0, lane), Ordering::Release);
        let ordinal = lane.next_ended();
        // A record is at most a quarter of a ring of at most 1 GiB, so its length fits.
        let word = record_word(self.len.get() + const { length(RECORD_HEADER_LEN) }, KIND_ENDED, flags);
        self.copy_to(lane, position, word, ordinal, end);
        lane.ring.publish(lane.producer(), position + len as u64);
        lane.producer_line().ended.store(ordinal, Ordering::Release); // never ahead of the record
        self.free(lane);
        Ok(())
    }

    #[inline]
    fn stage(&self, stage: u64, reason: u8, lane: &Lane) -> u64 {
        stage | u64::from(reason) << 8 | u64::from(lane.number()) << 16 | u64::from(self.len.get()) << 32
    }

    #[cold]
    #[inline(never)]
    fn drop_full(&self, lane: &'static Lane) -> DropReason {
        let reason = DropReason::RingFull;
        let counter = &lane.producer_line().dropped[reason as usize];
        let ordinal = counter.load(Ordering::Relaxed) + 1;
        let header = self.cell.header();
        header.detail.store(ordinal, Ordering::Relaxed);
        header.state.store(self.stage(DROPPED, reason as u8, lane), Ordering::Release);
        counter.store(ordinal, Ordering::Release);
        self.free(lane);
        reason
    }

    /// Gives the cells back. `lane` is the one that this thread holds.
    #[inline]
    fn free(&self, lane: &'static Lane) {
        let next = self.cell.header().next.load(Ordering::Relaxed);
        self.cell.header().state.store(FREE, Ordering::Release);
        if next != 0 {
            self.recorder().free_chain(Some(lane), self.cell);
        }
        let number = self.number.get();
        match self.home() {
            home if std::ptr::eq(home, lane) => lane.free(number),
            home => home.return_cell(number),
        }
    }

    /// Publishes what was appended without being published.
    #[inline]
    pub(crate) fn publish(&self) {
        self.commit();
    }

    /// Gives up a span that no ring takes, on a thread that holds no lane. The slot must not be used again.
    #[cold]
    pub(crate) fn abandon(&self, reason: DropReason) -> DropReason {
        let header = self.cell.header();
        header.state.store(self.stage(DROPPED, reason as u8, self.home()), Ordering::Release);
        self.recorder().control().count(Counter::AbandonedNoLane);
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

impl Recorder {
    /// Frees the cells that are chained behind `cell`. `lane` is the one that this thread holds, if any.
    #[cold]
    #[inline(never)]
    fn free_chain(&'static self, lane: Option<&'static Lane>, cell: CellRef) {
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
    fn claim_for_chain(&'static self) -> Option<(u64, CellRef)> {
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

/// Where a chain of cells stood when an entry's header was placed.
#[derive(Clone, Copy)]
struct Mark {
    at: NonNull<u8>,
    room: u32,
    len: u32,
    last: CellRef,
}

/// Writes across cells, taking more as needed. What it wrote counts once it finishes.
struct Chain<'a> {
    slot: &'a Slot,
    write: NonNull<u8>,
    room: u32,
    len: usize,
    last: CellRef,
    is_full: bool,
}

impl<'a> Chain<'a> {
    fn begin(slot: &'a Slot) -> Self {
        Chain {
            slot,
            write: slot.write.get(),
            room: slot.room.get(),
            len: slot.len.get() as usize,
            last: slot.last.get(),
            is_full: false,
        }
    }

    /// Makes sure that there are bytes behind `write`.
    fn make_room(&mut self) -> bool {
        if self.slot.closed.get() || self.len >= self.slot.recorder().body_len_max() {
            return false;
        }
        if self.room > 0 {
            return true;
        }
        let Some((next, cell)) = self.slot.recorder().claim_for_chain() else { return false };
        self.last.header().next.store(next, Ordering::Release);
        self.last = cell;
        self.write = cell.content();
        self.room = const { length(CELL_CONTENT_LEN) };
        true
    }

    /// Leaves space for an entry's first word.
    fn header(&mut self) -> Option<Mark> {
        if !self.make_room() {
            return None;
        }
        let len = u32::try_from(self.len).ok()?;
        let mark = Mark { at: self.write, room: self.room, len, last: self.last };
        self.skip_header();
        Some(mark)
    }

    fn skip_header(&mut self) {
        self.step(const { length(ENTRY_HEADER_LEN) });
    }

    fn step(&mut self, by: u32) {
        // SAFETY: callers step over bytes within `room`, which lie behind `write` in the same cell.
        self.write = unsafe { self.write.add(by as usize) };
        self.room -= by;
        self.len += by as usize;
    }

    /// Writes as much of `bytes` as there is room for.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while done < bytes.len() {
            if !self.make_room() {
                self.is_full = true;
                break;
            }
            let allowed = self.slot.recorder().body_len_max() - self.len;
            let part = (bytes.len() - done).min(self.room as usize).min(allowed);
            // SAFETY: `part` bytes are free behind `write`, in a cell that is this slot's (S1).
            unsafe { self.write.as_ptr().copy_from_nonoverlapping(bytes[done..].as_ptr(), part) };
            self.step(u32::try_from(part).unwrap_or(0));
            done += part;
        }
        done
    }

    /// Goes back to where the entry began, and frees the cells that it took.
    fn back_to(&mut self, mark: &Mark) {
        (self.write, self.room, self.len, self.last) = (mark.at, mark.room, mark.len as usize, mark.last);
        let recorder = self.slot.recorder();
        recorder.free_chain(local().lane_in(recorder), mark.last);
    }

    /// Ends a cut entry after `kept` bytes: nothing more fits this span.
    fn close_after(&mut self, mark: &Mark, kept: usize) {
        self.len = mark.len as usize + ENTRY_HEADER_LEN + kept;
        self.room = 0;
        self.is_full = true;
        self.slot.closed.set(true); // S4
    }

    /// Stores the entry's first word and makes the slot go on behind the entry.
    fn finish(mut self, mark: &Mark, kept: usize, word: impl FnOnce(u32) -> u64) {
        let padding = padded(self.len) - self.len;
        if self.is_full {
            self.len += padding;
        } else {
            // Contents are multiples of 8 long, so a padding never leaves its cell.
            self.step(u32::try_from(padding).unwrap_or(0));
        }
        let word = word(u32::try_from(kept).unwrap_or(0));
        // SAFETY: the mark was placed on 8 free bytes of a cell that is this slot's (S1).
        unsafe { mark.at.cast::<u64>().write(word.to_le()) };
        self.settle();
    }

    /// Makes the slot go on where the chain stands, with no more room than the span may still take.
    fn settle(self) {
        let left = self.slot.recorder().body_len_max().saturating_sub(self.len);
        self.slot.write.set(self.write);
        self.slot.room.set(self.room.min(u32::try_from(left).unwrap_or(u32::MAX)));
        // A body is shorter than a ring, which is at most 1 GiB.
        self.slot.len.set(u32::try_from(self.len).unwrap_or(self.slot.len.get()));
        self.slot.last.set(self.last);
    }
}

impl io::Write for Chain<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.put(bytes) {
            0 if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            done => Ok(done),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A length that is known when this is compiled, as lengths in cells are counted.
#[expect(clippy::cast_possible_truncation, reason = "the assertion is checked when this is compiled")]
const fn length(len: usize) -> u32 {
    assert!(len <= u32::MAX as usize);
    len as u32
}

/// The largest index up to `at` where `text` can be cut.
pub(crate) fn floor_char_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|&index| text.is_char_boundary(index)).unwrap_or(0)
}
