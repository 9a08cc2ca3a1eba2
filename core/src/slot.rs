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

mod chain;
mod limits;
mod packing;
mod redacted;

use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

use chain::Chain;
use packing::Packing;
pub(crate) use packing::Redacting;
use serde::Serialize;

use crate::caught::caught;
use crate::compiled::Recorded;
use crate::context::Context;
use crate::control::Counter;
use crate::lane::{CELL_CONTENT_LEN, CellRef, DROPPED, ENDING, FREE, LIVE, Lane};
use crate::record::{
    ENTRY_CUT, ENTRY_FAILED, ENTRY_HEADER_LEN, ENTRY_NOT_STARTED, ENTRY_TRUE, HEAD_IS_PENDING, HEAD_LEN,
    HEAD_PARENT_IS_REMOTE, HEAD_START_IS_UNIX, INLINE, KIND_ENDED, KIND_STARTED, RECORD_HEADER_LEN,
    TAG_BYTES, TAG_KEY, TAG_NAME, TAG_PACKED, TAG_STARTED, TAG_STATUS_MESSAGE, TAG_STR, entry_word, padded,
    record_word,
};
use crate::recorder::{DropReason, Recorder};
use crate::thread::local;
use crate::{Kind, SpanId, Status, TraceId};

/// Where in a head the status and the count of values left out lie.
const STATUS_AT: usize = 43;
const LEFT_OUT_AT: usize = 46;
/// How long the entry of a pending span's start is.
const STARTED_LEN: usize = ENTRY_HEADER_LEN + 8;
/// One attribute in a slot's budget.
const ONE_ATTRIBUTE: u64 = 1 << 32;
/// How many bytes a key or an event's name keeps that is made at run time.
const KEY_LEN_MAX: usize = 904;

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
    /// The room in its lower half, and how many more attributes the span may have in its upper half: one word, for what every
    /// attribute takes from both.
    budget: Cell<u64>,
    len: Cell<u32>,
    busy: Cell<bool>,
    closed: Cell<bool>,
    /// Which of `dropped_at` count already, a bit each.
    has_dropped: Cell<u8>,
    /// Whether an event or link is being filled.
    in_item: Cell<bool>,
    /// How the span's work stands that futures do, wherever they are: see `in_span.rs`.
    work: AtomicU32,
    /// Whether values are looked at before they are written: a copy, so that each of them finds it beside what it needs anyway.
    is_redacted: Cell<bool>,
    /// How many more events and links the span may have.
    items_left: Cell<[u32; 2]>,
    /// How many more attributes its last event or link may have.
    item_left: Cell<u32>,
    /// How many bytes a value may have.
    value_max: Cell<usize>,
    write: Cell<NonNull<u8>>,
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
            budget: Cell::new(0),
            len: Cell::new(0),
            busy: Cell::new(false),
            closed: Cell::new(false),
            has_dropped: Cell::new(0),
            in_item: Cell::new(false),
            work: AtomicU32::new(0),
            is_redacted: Cell::new(false),
            items_left: Cell::new([0; 2]),
            item_left: Cell::new(0),
            value_max: Cell::new(0),
            write: Cell::new(cell.content()),
            last: Cell::new(cell),
            started_at: Cell::new(NonNull::dangling()),
            dropped_at: [const { Cell::new(NonNull::dangling()) }; 3],
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
        slot.len.set(const { length(HEAD_LEN) });
        slot.busy.set(false);
        slot.closed.set(false);
        slot.has_dropped.set(0);
        slot.in_item.set(false);
        slot.work.store(0, Ordering::Relaxed);
        slot.is_redacted.set(recorder.redacts());
        let limits = &recorder.options().limits;
        slot.budget
            .set(u64::from(limits.attributes) << 32 | const { length(CELL_CONTENT_LEN - HEAD_LEN) } as u64);
        slot.items_left.set([limits.events, limits.links]);
        slot.value_max.set(limits.value_bytes);
        slot.write.set(write);
        slot.last.set(slot.cell);
        Recorded::new(slot).map(Claimed)
    }

    /// Publishes the span that was prepared in a cell of `lane`, which this thread still holds.
    #[inline]
    pub(crate) fn start(&self, lane: &Lane, inline_name: Option<[&str; 3]>, is_pending: bool) {
        match inline_name {
            None => self.commit(),
            Some(name) => self.put_name(name, is_pending),
        }
        if is_pending {
            self.await_start();
        }
        // Release: never ahead of the span itself, whatever the moment of a kill.
        lane.producer_line().started.store(lane.started(), Ordering::Release);
    }

    /// Writes the name, from its parts, into the first cell.
    #[cold]
    #[inline(never)]
    fn put_name(&self, parts: [&str; 3], is_pending: bool) {
        let reserved = if is_pending { STARTED_LEN } else { 0 };
        let mut left = self.room() as usize - ENTRY_HEADER_LEN - reserved;
        let mut flags = 0;
        let kept = parts.map(|part| {
            let kept = &part[..floor_char_boundary(part, left)];
            if kept.len() < part.len() {
                flags = ENTRY_CUT;
            }
            left -= kept.len();
            kept
        });
        if flags != 0 {
            self.leave_out();
        }
        let mut chain = Chain::begin(self).unlimited();
        if let Some(header) = chain.header() {
            let len = kept.iter().map(|part| chain.put(part.as_bytes())).sum();
            chain.finish(&header, len, |len| entry_word(len, TAG_NAME, flags, INLINE));
        }
        self.commit();
    }

    /// Leaves space in the first cell for the start of a pending span, so that there is room for it whatever is set meanwhile.
    #[cold]
    fn await_start(&self) {
        let reserved = self.append_word::<true, false>(TAG_STARTED, ENTRY_NOT_STARTED, INLINE, 0);
        debug_assert!(reserved, "the name leaves room for it");
        // SAFETY: the entry that was just written ends where the next one goes, in the same cell.
        self.started_at.set(unsafe { self.write.get().sub(STARTED_LEN) });
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

    /// How the span's work stands that futures do.
    #[inline]
    pub(crate) fn work(&self) -> &AtomicU32 {
        &self.work
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

    /// How many bytes are free behind `write`.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "it is the lower half")]
    fn room(&self) -> u32 {
        self.budget.get() as u32
    }

    fn set_room(&self, room: u32) {
        self.budget.set(self.budget.get() >> 32 << 32 | u64::from(room));
    }

    /// One word of the head.
    fn head_word(&self, index: usize) -> u64 {
        debug_assert!(index < HEAD_LEN / 8);
        // SAFETY: the head lies within the first cell's content, which was written when the slot was claimed.
        let word = unsafe { self.cell.content().add(8 * index) }.cast::<u64>();
        // SAFETY: aligned to 8, and only this thread writes it (S1).
        u64::from_le(unsafe { word.read() })
    }

    /// The identities of the span.
    pub(crate) fn context(&self) -> Context {
        let trace_id = TraceId::from_words([self.head_word(0), self.head_word(1)]);
        Context::new(trace_id, SpanId::from_words([self.head_word(2)]))
    }

    /// What is known of the span from its start on.
    pub(crate) fn head(&self) -> OpenHead {
        let [_, _, kind, status, flags, ..] = self.head_word(5).to_le_bytes();
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
        let mut left = self.len.get() as usize;
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

    #[cold]
    pub(crate) fn leave_out(&self) {
        self.recorder().control().count(Counter::ValuesLeftOut);
        // SAFETY: the head lies within the first cell's content.
        let at = unsafe { self.cell.content().add(LEFT_OUT_AT) }.cast::<AtomicU16>();
        // SAFETY: mapped for ever, aligned to 2, and any bits are an AtomicU16.
        let left_out = unsafe { at.as_ref() };
        let count = u16::from_le(left_out.load(Ordering::Relaxed)).saturating_add(1);
        left_out.store(count.to_le(), Ordering::Relaxed);
    }

    /// Appends an entry; with `COMMIT` it is published, with all that was appended before; with `COUNTS` it takes one of the
    /// span's attributes. `false`: nothing was appended, and that was counted; an entry that only means something behind this
    /// one must not follow.
    #[inline]
    pub(crate) fn append<const COMMIT: bool, const COUNTS: bool>(&self, entry: Entry<'_>) -> bool {
        // Passed on one by one, so that the entry never lies in memory.
        let Entry { tag, flags, key, content: value } = entry;
        let need = ENTRY_HEADER_LEN + padded(value.len());
        if need <= self.room() as usize
            && self.may_append::<COUNTS>()
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
            self.advance::<COUNTS>(need);
        } else if !self.append_across::<COUNTS>(tag, flags, key, value) {
            return false;
        }
        if COMMIT {
            self.commit();
        }
        true
    }

    /// Appends a key that has no number. `false`: as for [`append`](Self::append).
    #[cold]
    pub(crate) fn append_key(&self, text: &str) -> bool {
        if self.is_redacted() {
            return self.put_key(&self.shown_key(text));
        }
        self.put_key(text)
    }

    fn put_key(&self, text: &str) -> bool {
        let kept = floor_char_boundary(text, KEY_LEN_MAX);
        let flags = if kept < text.len() { ENTRY_CUT } else { 0 };
        if flags != 0 {
            self.leave_out();
        }
        let content = &text.as_bytes()[..kept];
        self.append::<false, false>(Entry { tag: TAG_KEY, flags, key: INLINE, content })
    }

    /// Appends another name.
    pub(crate) fn append_name(&self, name: &str) {
        if self.is_redacted() {
            return self.put_other_name(&self.recorder().shown_name(name.to_owned()));
        }
        self.put_other_name(name);
    }

    fn put_other_name(&self, name: &str) {
        let kept = floor_char_boundary(name, KEY_LEN_MAX);
        let flags = if kept < name.len() { ENTRY_CUT } else { 0 };
        if flags != 0 {
            self.leave_out();
        }
        let content = &name.as_bytes()[..kept];
        self.append::<true, false>(Entry { tag: TAG_NAME, flags, key: INLINE, content });
    }

    /// Appends what is said about the status.
    pub(crate) fn append_message(&self, text: &str) {
        if self.is_redacted() {
            self.append_shown_message(text);
        } else {
            self.put_message(text, false);
        }
    }

    /// Appends what is displayed about the status.
    pub(crate) fn append_message_display(&self, message: &dyn fmt::Display) {
        if self.is_redacted() {
            self.append_shown_message_display(message);
        } else {
            self.append_display(TAG_STATUS_MESSAGE, 0, INLINE, message);
        }
    }

    /// Appends what is said about the status, or its beginning.
    fn put_message(&self, text: &str, is_beginning: bool) {
        let kept = floor_char_boundary(text, self.value_max());
        let flags = if is_beginning || kept < text.len() { ENTRY_CUT } else { 0 };
        let content = &text.as_bytes()[..kept];
        if self.append::<true, false>(Entry { tag: TAG_STATUS_MESSAGE, flags, key: INLINE, content })
            && flags != 0
        {
            self.count_cut();
        }
    }

    /// Appends an entry whose content is one word. As [`append`](Self::append).
    #[inline(always)]
    pub(crate) fn append_word<const COMMIT: bool, const COUNTS: bool>(
        &self,
        tag: u8,
        flags: u8,
        key: u16,
        word: u64,
    ) -> bool {
        const NEED: u32 = length(ENTRY_HEADER_LEN + 8);
        if NEED <= self.room() && self.may_append::<COUNTS>() {
            let at = self.write.get();
            // SAFETY: 16 bytes are free behind `write` (S2), and they are this slot's (S1).
            unsafe { at.cast::<u64>().write(entry_word(8, tag, flags, key).to_le()) };
            // SAFETY: as above.
            let content = unsafe { at.add(ENTRY_HEADER_LEN) };
            // SAFETY: as above.
            unsafe { content.cast::<u64>().write(word.to_le()) };
            self.advance::<COUNTS>(NEED);
        } else if !self.append_across::<COUNTS>(tag, flags, key, &word.to_le_bytes()) {
            return false;
        }
        if COMMIT {
            self.commit();
        }
        true
    }

    #[inline]
    fn may_append<const COUNTS: bool>(&self) -> bool {
        !COUNTS || self.budget.get() >= ONE_ATTRIBUTE
    }

    #[inline]
    fn advance<const COUNTS: bool>(&self, by: u32) {
        // SAFETY: callers advance by what they wrote within `room` (S2).
        self.write.set(unsafe { self.write.get().add(by as usize) });
        // Neither half is exceeded, as the callers have seen, so nothing is borrowed from the upper one.
        let cost = u64::from(by) + if COUNTS { ONE_ATTRIBUTE } else { 0 };
        self.budget.set(self.budget.get() - cost);
        self.len.set(self.len.get() + by);
    }

    /// Appends an entry that does not fit the last cell. Text is cut on a character's boundary, numbers are left out whole.
    #[cold]
    #[inline(never)]
    fn append_across<const COUNTS: bool>(&self, tag: u8, flags: u8, key: u16, content: &[u8]) -> bool {
        if self.busy.get() {
            self.recorder().control().count(Counter::Reentered);
            return false;
        }
        if COUNTS && !self.take_attribute() {
            return false;
        }
        let mut chain = Chain::begin(self).unlimited();
        let Some(header) = chain.header() else {
            self.leave_out();
            return false;
        };
        let mut kept = chain.put(content);
        let mut flags = flags;
        if kept < content.len() {
            kept = std::str::from_utf8(content).map_or(kept, |text| floor_char_boundary(text, kept));
            let is_number = !matches!(tag, TAG_STR | TAG_BYTES | TAG_KEY | TAG_NAME | TAG_STATUS_MESSAGE);
            if is_number {
                chain.back_to(&header);
                chain.settle();
                self.leave_out();
                return false;
            }
            // What a limit has cut already is counted by whoever cut it.
            if flags & ENTRY_CUT == 0 {
                self.count_cut();
            }
            flags |= ENTRY_CUT;
            chain.close_after(&header, kept);
        }
        chain.finish(&header, kept, |len| entry_word(len, tag, flags, key));
        true
    }

    /// Appends what `value` displays, formatted in place. If that fails or panics, what came before counts, as cut.
    pub(crate) fn append_display(&self, tag: u8, flags: u8, key: u16, value: &dyn fmt::Display) {
        if self.busy.replace(true) {
            self.recorder().control().count(Counter::Reentered);
            return;
        }
        let mut chain = Chain::begin(self);
        self.set_room(0); // S5
        let Some(header) = chain.header() else {
            self.set_room(chain.room);
            self.busy.set(false);
            return self.leave_out();
        };
        let mut text = chain.text();
        let displayed = caught(|| fmt::write(&mut text, format_args!("{value}")).is_ok());
        let kept = text.kept();
        let mut flags = flags;
        if chain.is_full || chain.is_cut || displayed != Some(true) {
            flags |= ENTRY_CUT;
            self.count_cut();
            if chain.is_full {
                chain.close_after(&header, kept);
            }
        }
        self.busy.set(false);
        chain.finish(&header, kept, |len| entry_word(len, tag, flags, key));
        self.commit();
    }

    /// Appends a value of any type as MessagePack, encoded in place. `false`: nothing was appended, as redaction leaves all of it out.
    pub(crate) fn append_packed<const COMMIT: bool>(
        &self,
        flags: u8,
        key: u16,
        value: &impl Serialize,
        redacting: Option<&mut Redacting>,
    ) -> bool {
        if self.busy.replace(true) {
            self.recorder().control().count(Counter::Reentered);
            return true;
        }
        let mut chain = Chain::begin(self);
        self.set_room(0); // S5
        let header = chain.header();
        let Some(header) = header else {
            self.set_room(chain.room);
            self.busy.set(false);
            self.leave_out();
            return true;
        };
        let mut packing = Packing::new(chain, redacting);
        let packed = caught(|| packing.pack(value));
        let Packing { mut chain, has_failed, redacting, .. } = packing;
        let mut flags = flags;
        if packed == Some(true) && redacting.is_some_and(|redacting| redacting.is_left_out()) {
            chain.back_to(&header);
            self.busy.set(false);
            chain.settle();
            return false;
        }
        let mut kept = chain.len - header.len as usize - ENTRY_HEADER_LEN;
        if (chain.is_full || chain.is_cut) && !has_failed {
            flags |= ENTRY_CUT;
            self.count_cut();
            if chain.is_full {
                chain.close_after(&header, kept);
            }
        } else if packed != Some(true) {
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
        true
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
