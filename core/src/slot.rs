//! One span's place in the in-flight table, while the span is open.
//!
//! What is set on a span is written into its cell at once and then published by storing the new length, so a kill between
//! two bytes leaves everything before them whole. What does not fit the cell goes on in further cells, chained behind it.
//!
//! # The short way and the long one
//!
//! Nearly every value is set on a span that has room in its last cell, no limit near, and nobody who looks at it first. One
//! comparison tells: `room_end` is how long the body may become on the short way, and 0 where anything else is to be minded. All else
//! takes the long way, which asks again for each reason. What the short way uses up of the limits is counted in the cell's `state`, in bits
//! that mean nothing to others, and is settled by the long way ([`Slot::settle`]); a cell holds fewer entries than the limits must have left.
//!
//! Recording is bound by how many stores a span takes, so the short way stores nothing that it can do without: while it is open, the
//! cell's `state` itself says how long the body is, and a slot is left as the next span needs it, unless the long way was taken.
//!
//! # Invariants
//!
//! * **S1** A `Slot` is the only user of the content of its cells (N2); it is not `Sync`, so no two threads use it at once.
//! * **S2** With `len` the length of the body, `base + len` is where the next entry goes, and `base + len..base + cell_end` are bytes of the
//!   content of the chain's last cell; or `cell_end <= len`. `len` and `base` are multiples of 8. `room_end` is 0 or `cell_end`.
//! * **S3** `len` is the length of the body that was written, and bytes `HEAD_LEN..len` are whole entries.
//! * **S4** Once a value was cut, the slot is `closed`: nothing is appended any more, as what was cut off may have left the end
//!   of the body apart from `base + len`.
//! * **S5** While a value is being serialized, `busy` is set and `room_end` is 0, so that a nested call on the same span takes the long
//!   way and finds it busy.
//! * **S6** A slot that no span has is as [`Slot::reset`] leaves it, or its `room_end` is `UNSET`. While it has one, `is_touched` says that it
//!   will not be so.
//! * **S7** Where `room_end` is not 0, the short way is open, and `state` is current; else `fill` is, and `state` is what of it is published.
//! * **S8** In a forked child, where the cells of its parent are zeros and `state` with them, their slots are closed before anybody can use them.
//!
//! # Ordering
//!
//! Nothing here is for another thread: a span that goes to one takes along what was written. All is for a reader of the file after a kill, which
//! has what was stored in the order of these stores:
//!
//! | store                                             | pairs with                                     | so that                                             |
//! |---------------------------------------------------|------------------------------------------------|-----------------------------------------------------|
//! | `state` (Release), here, in `append` and `ending` | a reader of the file after a kill              | the body is there up to its length; `detail` is there with the stage |
//! | fence (Release) in `begin`, then the head's words | the same                                       | the span before does not look open with this one's head |
//! | `next` (Release) in `chain`                       | the same                                       | a further cell is claimed before it is chained      |
//! | the first word of a start (Release) in `mark_started` | the same                                   | its moment is there                                 |
#![expect(
    unsafe_code,
    reason = "content is written through pointers that S1 and S2 make exclusive and in range"
)]

mod append;
mod chain;
mod ending;
mod limits;
mod packing;
mod redacted;

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

pub(crate) use append::{Entry, floor_char_boundary};
pub(crate) use packing::Redacting;

use crate::compiled::Recorded;
use crate::context::Context;
use crate::control::Counter;
use crate::lane::{CELL_CONTENT_LEN, CellRef, LIVE, Lane};
use crate::record::{
    ENTRY_HEADER_LEN, ENTRY_NOT_STARTED, ENTRY_TRUE, HEAD_IS_PENDING, HEAD_LEN, HEAD_PARENT_IS_REMOTE,
    HEAD_START_IS_UNIX, INLINE, TAG_STARTED, entry_word,
};
use crate::recorder::{Limits, Recorder};
use crate::{Kind, SpanId, Status, TraceId};

/// The word of a head that holds the status and the count of values left out, and where in it they lie.
const STATE_WORD: usize = 5;
const STATUS_SHIFT: u32 = 24;
const LEFT_OUT_SHIFT: u32 = 48;
/// How long the entry of a pending span's start is.
const STARTED_LEN: usize = ENTRY_HEADER_LEN + 8;
/// Where in `fill` the length of the body lies, and what one attribute and one event add to it.
const LEN_SHIFT: u32 = 32;
const ONE_ATTRIBUTE: u64 = 1 << 16;
const ONE_EVENT: u64 = 1 << 8;
/// The `state` of a span that has nothing but its head.
const STARTED: u64 = LIVE | (HEAD_LEN as u64) << LEN_SHIFT;
/// The `room_end` of a slot that must be reset before a span can have it.
const UNSET: u32 = u32::MAX;
/// More attributes and events than the entries of a cell could be.
const ATTRIBUTES_OF_CELL: u32 = length(CELL_CONTENT_LEN / ENTRY_HEADER_LEN);
const EVENTS_OF_CELL: u32 = length(CELL_CONTENT_LEN / (ENTRY_HEADER_LEN + 8));

const _: () = assert!((ATTRIBUTES_OF_CELL as u64) < 1 << 16 && (EVENTS_OF_CELL as u64) < 1 << 8);

/// The words of a head: see the body in `record.rs`.
pub(crate) type HeadWords = [u64; HEAD_LEN / 8];

/// Where an open span writes: its cells, and the place for the next entry. Each cell has one, in the process's own memory
/// and for as long as the process lives, so that a span is a reference to it and costs nothing to move.
// In the order in which they are needed, so that what every attribute needs shares a line of memory.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Slot {
    cell: CellRef,
    base: Cell<*mut u8>,
    room_end: Cell<u32>,
    /// What the cell's `state` is once the entries so far are published: the stage, how many events and attributes took the short way since
    /// that was settled, and the length of the body.
    fill: Cell<u64>,
    /// How long the body may become within the last cell.
    cell_end: Cell<u32>,
    /// The lane and the recorder that the cell belongs to, once it was claimed.
    home: Cell<Option<&'static Lane>>,
    recorder: Cell<Option<&'static Recorder>>,
    number: Cell<u32>,
    /// How the span's work stands that futures do, wherever they are: see `in_span.rs`.
    work: AtomicU32,
    is_touched: Cell<bool>,
    busy: Cell<bool>,
    closed: Cell<bool>,
    /// Whether an event or link is being filled.
    in_item: Cell<bool>,
    /// Which of `dropped_at` count already, a bit each.
    has_dropped: Cell<u8>,
    /// How many more attributes the span may have, less those in `fill`.
    attributes_left: Cell<u32>,
    /// How many more events and links it may have, less those in `fill`.
    items_left: Cell<[u32; 2]>,
    /// How many more attributes its last event or link may have.
    item_left: Cell<u32>,
    last: Cell<CellRef>,
    /// Where the entry of a pending span's start lies.
    started_at: Cell<NonNull<u8>>,
    /// The numbers, in entries of the span, of what was left out because of a limit.
    dropped_at: [Cell<NonNull<u8>>; 3],
}

/// The right to a slot, which one span has at a time (N2).
#[derive(Debug)]
pub(crate) struct Claimed(Recorded<&'static Slot>);

// SAFETY: whoever has the right is the only user of the slot and its cells (S1), and the right goes to one thread at a time;
// what the slot shares with other threads, its lane and recorder, is `Sync`.
unsafe impl Send for Claimed {}

impl Claimed {
    /// The slot, for as long as the right to it is held.
    #[inline]
    pub(crate) fn slot(&self) -> &'static Slot {
        *self.0
    }

    /// The same right, for as long as a call that is not to end the span.
    // Always: else the span whose right it is would be in memory.
    #[inline(always)]
    pub(crate) fn lend(&self) -> ManuallyDrop<Claimed> {
        ManuallyDrop::new(Claimed(self.0))
    }
}

impl Deref for Claimed {
    type Target = Slot;

    #[inline]
    fn deref(&self) -> &Slot {
        *self.0
    }
}

/// What is known of an open span from its start on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenHead {
    pub(crate) parent_id: SpanId,
    pub(crate) start: u64,
    pub(crate) start_is_unix: bool,
    pub(crate) is_pending: bool,
    /// Whether it is the first span of its trace in this process.
    pub(crate) is_first: bool,
    pub(crate) kind: Kind,
    pub(crate) status: Status,
}

impl Slot {
    /// The slot of a cell that no span has.
    pub(crate) fn of(cell: CellRef) -> Self {
        Slot {
            cell,
            base: Cell::new(cell.content().as_ptr()),
            room_end: Cell::new(UNSET),
            fill: Cell::new(0),
            cell_end: Cell::new(0),
            home: Cell::new(None),
            recorder: Cell::new(None),
            number: Cell::new(0),
            work: AtomicU32::new(0),
            is_touched: Cell::new(false),
            busy: Cell::new(false),
            closed: Cell::new(false),
            in_item: Cell::new(false),
            has_dropped: Cell::new(0),
            attributes_left: Cell::new(0),
            items_left: Cell::new([0; 2]),
            item_left: Cell::new(0),
            last: Cell::new(cell),
            started_at: Cell::new(NonNull::dangling()),
            dropped_at: [const { Cell::new(NonNull::dangling()) }; 3],
        }
    }

    /// Takes a cell of `lane`, which this thread holds, and starts a span in it.
    pub(crate) fn claim(
        recorder: &'static Recorder,
        lane: &'static Lane,
        head: HeadWords,
        inline_name: Option<[&str; 3]>,
        is_pending: bool,
    ) -> Option<Claimed> {
        let number = match lane.claim() {
            Some(number) => number,
            None => recorder.claim_more(lane)?,
        };
        let slot = lane.slot(number);
        slot.begin(recorder, lane, number, recorder.room_on_short_way(), head, inline_name, is_pending)
    }

    /// Starts a span in this slot of the cell `number`, which was claimed from `lane`, which this thread holds. `room` is what
    /// [`room_on_short_way`](Recorder::room_on_short_way) says.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "each in a register, as it is inlined")]
    pub(crate) fn begin(
        &'static self,
        recorder: &'static Recorder,
        lane: &'static Lane,
        number: u32,
        room: u32,
        head: HeadWords,
        inline_name: Option<[&str; 3]>,
        is_pending: bool,
    ) -> Option<Claimed> {
        if self.room_end.get() != room {
            self.reset(recorder, lane, number, room);
        }
        // Before the next span's head is in the cell, it must not look like the last span's: the Release that ended it does
        // not keep what comes later behind it. No instruction on x86-64.
        fence(Ordering::Release);
        let cell = self.cell;
        let mut write = cell.content().cast::<u64>();
        for word in head {
            // SAFETY: the head is shorter than a cell's content, which is the claimer's (N2), and aligned to 8.
            unsafe { write.write(word.to_le()) };
            // SAFETY: as above, so still within the cell.
            write = unsafe { write.add(1) };
        }
        let started = &lane.producer_line().started;
        let ordinal = started.load(Ordering::Relaxed) + 1; // only the holder stores it
        let header = cell.header();
        header.ordinal.store(ordinal, Ordering::Relaxed);
        match inline_name {
            None if room > 0 => header.state.store(STARTED, Ordering::Release),
            None => self.publish(STARTED),
            Some(name) => self.put_name(name, is_pending),
        }
        if is_pending {
            self.await_start();
        }
        lane.producer_line().count_started(ordinal);
        Recorded::new(self).map(Claimed)
    }

    /// Makes the slot as it is for a span that starts, apart from what each start stores anyway (S6).
    #[cold]
    #[inline(never)]
    fn reset(&self, recorder: &'static Recorder, lane: &'static Lane, number: u32, room: u32) {
        let limits = &recorder.options().limits;
        self.base.set(self.cell.content().as_ptr());
        self.cell_end.set(const { length(CELL_CONTENT_LEN) });
        self.home.set(Some(lane));
        self.recorder.set(Some(recorder));
        self.number.set(number);
        self.busy.set(false);
        self.closed.set(false);
        self.in_item.set(false);
        self.has_dropped.set(0);
        self.attributes_left.set(limits.attributes);
        self.items_left.set([limits.events, limits.links]);
        self.last.set(self.cell);
        self.work.store(0, Ordering::Relaxed);
        self.is_touched.set(false);
        self.room_end.set(room);
    }

    /// Leaves space in the first cell for the start of a pending span, so that there is room for it whatever is set meanwhile.
    #[cold]
    fn await_start(&self) {
        let reserved = self.append_word::<true, false>(TAG_STARTED, ENTRY_NOT_STARTED, INLINE, 0);
        debug_assert!(reserved, "the name leaves room for it");
        // SAFETY: the entry that was just written ends where the next one goes, in the same cell.
        self.started_at.set(unsafe { self.write().sub(STARTED_LEN) });
    }

    /// Says when a pending span started. The moment is stored before the word that makes it count.
    #[cold]
    pub(crate) fn mark_started(&self, flags: u8, time: u64) {
        let [header, moment] = self.started();
        moment.store(time.to_le(), Ordering::Relaxed);
        header.store(entry_word(8, TAG_STARTED, flags, INLINE).to_le(), Ordering::Release);
    }

    /// The two words of a pending span's start.
    fn started(&self) -> [&AtomicU64; 2] {
        let at = self.started_at.get().cast::<AtomicU64>();
        // SAFETY: two words in a cell that is this slot's (S1), mapped for ever and aligned to 8 (S2): see `await_start`.
        let header = unsafe { at.as_ref() };
        // SAFETY: the second of the two words.
        let moment = unsafe { at.add(1) };
        // SAFETY: as for the first.
        let moment = unsafe { moment.as_ref() };
        [header, moment]
    }

    #[inline]
    pub(crate) fn recorder(&self) -> &'static Recorder {
        self.recorder.get().expect("a slot is only reached once it was claimed")
    }

    fn home(&self) -> &'static Lane {
        self.home.get().expect("a slot is only reached once it was claimed")
    }

    /// Lets nothing be appended any more (S8). In a forked child's handler, on its only thread: whoever has the slot there finds a body
    /// of nothing but a head, and no room behind it.
    pub(crate) fn close(&self) {
        self.is_touched.set(true);
        self.closed.set(true);
        self.room_end.set(0);
        self.cell_end.set(0);
        self.fill.set(STARTED);
    }

    /// Whether the cell is one of this lane.
    #[inline(always)]
    pub(crate) fn is_of(&self, lane: &'static Lane) -> bool {
        self.home.get().is_some_and(|home| std::ptr::eq(home, lane))
    }

    /// How the span's work stands that futures do.
    #[inline]
    pub(crate) fn work(&self) -> &AtomicU32 {
        &self.work
    }

    /// Says that futures do work of the span.
    pub(crate) fn has_work(&self) {
        self.is_touched.set(true);
    }

    /// What is published.
    #[inline(always)]
    fn state(&self) -> u64 {
        self.cell.header().state.load(Ordering::Relaxed) // only whoever has the slot stores it
    }

    /// Publishes this as the state, and so the body's length.
    #[inline(always)]
    fn publish(&self, state: u64) {
        if self.room_end.get() == 0 {
            self.fill.set(state); // S7
        }
        self.cell.header().state.store(state, Ordering::Release);
    }

    /// Publishes what was appended on the long way.
    fn commit(&self) {
        self.cell.header().state.store(self.fill.get(), Ordering::Release);
    }

    /// What is known of all entries, the published and the others (S7).
    #[inline]
    fn current(&self) -> u64 {
        if self.room_end.get() == 0 { self.fill.get() } else { self.state() }
    }

    /// How long the body is.
    #[inline]
    fn len(&self) -> usize {
        (self.current() >> LEN_SHIFT) as usize
    }

    /// Where the next entry goes.
    fn write(&self) -> NonNull<u8> {
        let at = self.base.get().wrapping_add(self.len());
        // SAFETY: an address within a cell, or at its end (S2).
        unsafe { NonNull::new_unchecked(at) }
    }

    /// How many bytes are free behind `write`.
    fn room(&self) -> usize {
        (self.cell_end.get() as usize).saturating_sub(self.len())
    }

    /// Takes from the limits what the short way has used of them.
    fn settle(&self) {
        self.is_touched.set(true);
        let current = self.current();
        let [_, events, low, high, ..] = current.to_le_bytes();
        let attributes = u32::from(u16::from_le_bytes([low, high]));
        self.attributes_left.set(self.attributes_left.get().saturating_sub(attributes));
        let [events_left, links_left] = self.items_left.get();
        self.items_left.set([events_left.saturating_sub(u32::from(events)), links_left]);
        let settled = current >> LEN_SHIFT << LEN_SHIFT | LIVE;
        if self.room_end.get() == 0 {
            self.fill.set(settled);
        } else {
            self.publish(settled);
        }
    }

    /// Begins the long way: what the short way used is settled, and it is closed until [`go_on`](Self::go_on).
    fn stop(&self) {
        self.settle();
        if self.room_end.replace(0) != 0 {
            self.fill.set(self.state());
        }
    }

    /// Opens the short way again, where nothing stands against it, and all is published.
    fn go_on(&self) {
        let is_free = !self.busy.get() && !self.closed.get() && !self.in_item.get();
        let is_published = self.fill.get() == self.state();
        let has_left =
            self.attributes_left.get() >= ATTRIBUTES_OF_CELL && self.items_left.get()[0] >= EVENTS_OF_CELL;
        if is_free && is_published && has_left && self.recorder().room_on_short_way() > 0 {
            self.room_end.set(self.cell_end.get());
        }
    }

    /// Stores the status, visible at once.
    #[inline]
    pub(crate) fn set_status(&self, status: u8) {
        let word = self.head_word(STATE_WORD) & !(0xff << STATUS_SHIFT);
        self.set_head_word(STATE_WORD, word | u64::from(status) << STATUS_SHIFT);
    }

    /// Counts a value that found no room, in the span too.
    #[cold]
    pub(crate) fn leave_out(&self) {
        self.recorder().control().count(Counter::ValuesLeftOut);
        let word = self.head_word(STATE_WORD);
        if word >> LEFT_OUT_SHIFT < u64::from(u16::MAX) {
            self.set_head_word(STATE_WORD, word + (1 << LEFT_OUT_SHIFT));
        }
    }

    /// One word of the head.
    #[inline]
    fn head_word(&self, index: usize) -> u64 {
        u64::from_le(self.head_at(index).load(Ordering::Relaxed))
    }

    #[inline]
    fn set_head_word(&self, index: usize, word: u64) {
        self.head_at(index).store(word.to_le(), Ordering::Relaxed);
    }

    #[inline(always)]
    fn head_at(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < HEAD_LEN / 8);
        // SAFETY: the head lies within the first cell's content.
        let word = unsafe { self.cell.content().cast::<AtomicU64>().add(index) };
        // SAFETY: mapped for ever and aligned to 8; any bits are an AtomicU64.
        unsafe { word.as_ref() }
    }

    /// The identities of the span.
    pub(crate) fn context(&self) -> Context {
        let trace_id = TraceId::from_words([self.head_word(0), self.head_word(1)]);
        Context::new(trace_id, SpanId::from_words([self.head_word(2)]))
    }

    /// What is known of the span from its start on.
    pub(crate) fn head(&self) -> OpenHead {
        let [_, _, kind, status, flags, ..] = self.head_word(STATE_WORD).to_le_bytes();
        let mut is_pending = u16::from(flags) & HEAD_IS_PENDING != 0;
        let mut start = (self.head_word(4), u16::from(flags) & HEAD_START_IS_UNIX != 0);
        if is_pending {
            let [header, moment] = self.started().map(|word| u64::from_le(word.load(Ordering::Relaxed)));
            let [.., flags, _, _] = header.to_le_bytes();
            if flags & ENTRY_NOT_STARTED == 0 {
                is_pending = false;
                start = (moment, flags & ENTRY_TRUE != 0);
            }
        }
        let parent_id = SpanId::from_words([self.head_word(3)]);
        OpenHead {
            parent_id,
            is_first: !parent_id.is_valid() || u16::from(flags) & HEAD_PARENT_IS_REMOTE != 0,
            start: start.0,
            start_is_unix: start.1,
            is_pending,
            kind: Kind::from_number(kind),
            status: Status::from_number(status),
        }
    }

    /// A copy of the body.
    pub(crate) fn copy_body(&self) -> Vec<u8> {
        let mut left = self.len();
        let mut body = Vec::with_capacity(left);
        let (mut cell, mut next) = (self.cell, self.cell.header().next.load(Ordering::Relaxed));
        loop {
            let part = left.min(CELL_CONTENT_LEN);
            // SAFETY: that much of the cell was written (S3), and no one writes it meanwhile (S1).
            body.extend_from_slice(unsafe { std::slice::from_raw_parts(cell.content().as_ptr(), part) });
            left -= part;
            match self.recorder().next_cell(next) {
                Some((_, _, further)) if left > 0 => {
                    cell = further;
                    next = cell.header().next.load(Ordering::Relaxed);
                }
                _ => return body,
            }
        }
    }
}

impl Recorder {
    /// How long a body in its first cell may become on the short way: 0 where every value is looked at first, or counted.
    pub(crate) fn room_on_short_way(&self) -> u32 {
        let Limits { attributes, events, value_bytes, .. } = self.options().limits;
        let has_room = attributes >= ATTRIBUTES_OF_CELL && events >= EVENTS_OF_CELL;
        if self.redacts() || !has_room || value_bytes < CELL_CONTENT_LEN {
            return 0;
        }
        const { length(CELL_CONTENT_LEN) }
    }
}

/// A length that is known when this is compiled, as lengths in cells are counted.
#[expect(clippy::cast_possible_truncation, reason = "the assertion is checked when this is compiled")]
const fn length(len: usize) -> u32 {
    assert!(len <= u32::MAX as usize);
    len as u32
}
