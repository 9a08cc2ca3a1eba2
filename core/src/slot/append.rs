//! Appending to a span: the short way for what has room as it is, and the long one for everything else.
#![expect(
    unsafe_code,
    reason = "content is written through pointers that S1 and S2 make exclusive and in range"
)]

use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::chain::Chain;
use super::packing::{Packing, Redacting};
use super::{LEN_SHIFT, ONE_ATTRIBUTE, ONE_EVENT, STARTED, STARTED_LEN, Slot};
use crate::caught::caught;
use crate::clock;
use crate::control::Counter;
use crate::lane::CELL_CONTENT_LEN;
use crate::record::{
    ENTRY_CUT, ENTRY_FAILED, ENTRY_HEADER_LEN, HEAD_LEN, INLINE, TAG_BYTES, TAG_EVENT, TAG_KEY, TAG_NAME,
    TAG_PACKED, TAG_STATUS_MESSAGE, TAG_STR, entry_word, padded,
};
use crate::thread::local;

/// How many bytes a key or an event's name keeps that is made at run time.
pub(super) const KEY_LEN_MAX: usize = 904;

/// What is written: where it belongs, and how it is marked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) tag: u8,
    pub(crate) flags: u8,
    pub(crate) key: u16,
    pub(crate) content: &'a [u8],
}

/// The short way. `false`, or `None`: it is not open for this, and nothing was done.
impl Slot {
    /// Where an entry of `need` bytes goes, and what the state is before it.
    #[inline(always)]
    fn place(&self, need: usize) -> Option<(NonNull<u8>, u64)> {
        let state = self.state();
        let len = (state >> LEN_SHIFT) as usize;
        if len + need > self.room_end.get() as usize {
            return None;
        }
        // SAFETY: an address within a cell (S2), as the state is current (S7).
        Some((unsafe { NonNull::new_unchecked(self.base.get().wrapping_add(len)) }, state))
    }

    /// Publishes an entry of `need` bytes that was written to its place, and counts it.
    #[inline(always)]
    fn take(&self, state: u64, need: usize, counted: u64) {
        let state = state + ((need as u64) << LEN_SHIFT | counted);
        self.cell.header().state.store(state, Ordering::Release);
    }

    /// Sets an attribute that is a word.
    #[inline(always)]
    pub(crate) fn set_word(&self, key: &'static str, tag: u8, word: u64) -> bool {
        self.put_word(key, tag, || word, ONE_ATTRIBUTE)
    }

    /// Adds an event about which nothing more is said, and which happens now.
    #[inline(always)]
    pub(crate) fn add_event(&self, name: &'static str) -> bool {
        self.put_word(name, TAG_EVENT, clock::ticks, ONE_EVENT)
    }

    #[inline(always)]
    fn put_word(&self, key: &'static str, tag: u8, word: impl FnOnce() -> u64, counted: u64) -> bool {
        const NEED: usize = ENTRY_HEADER_LEN + 8;
        let Some((at, state)) = self.place(NEED) else { return false };
        let Some(key) = local().key_word(key) else { return false };
        let words = [key | entry_word(8, tag, 0, 0), word()];
        // SAFETY: NEED bytes are free there (S2), and they are this slot's (S1).
        unsafe { at.cast::<[u64; 2]>().write(words.map(u64::to_le)) };
        self.take(state, NEED, counted);
        true
    }

    /// Sets an attribute that has no content.
    #[inline(always)]
    pub(crate) fn set_flags(&self, key: &'static str, tag: u8, flags: u8) -> bool {
        let Some((at, state)) = self.place(ENTRY_HEADER_LEN) else { return false };
        let Some(key) = local().key_word(key) else { return false };
        // SAFETY: as many bytes are free there (S2), and they are this slot's (S1).
        unsafe { at.cast::<u64>().write((key | entry_word(0, tag, flags, 0)).to_le()) };
        self.take(state, ENTRY_HEADER_LEN, ONE_ATTRIBUTE);
        true
    }

    /// Sets an attribute that is text or bytes.
    #[inline(always)]
    pub(crate) fn set_content(&self, key: &'static str, tag: u8, content: &[u8]) -> bool {
        local().key_word(key).is_some_and(|key| self.put_content(key | entry_word(0, tag, 0, 0), content))
    }

    /// Writes text or bytes behind their word, which lacks their length.
    // Not inlined: it is as long as a call is short beside it.
    #[inline(never)]
    fn put_content(&self, word: u64, content: &[u8]) -> bool {
        let need = ENTRY_HEADER_LEN + padded(content.len());
        let Some((at, state)) = self.place(need) else { return false };
        // SAFETY: `need` bytes are free there (S2), and they are this slot's (S1).
        unsafe { at.cast::<u64>().write((word | content.len() as u64).to_le()) };
        // SAFETY: as above.
        let to = unsafe { at.add(ENTRY_HEADER_LEN) };
        // SAFETY: as above; no Rust reference points into the cell, so the content does not overlap it.
        unsafe { copy(content, to) };
        self.take(state, need, ONE_ATTRIBUTE);
        true
    }
}

/// Copies `bytes` to `to`: short ones by their first and their last bytes, which may be the same.
///
/// # Safety
///
/// `to` is a multiple of 8, and as many bytes from there are the caller's, and not among `bytes`.
#[inline(always)]
unsafe fn copy(bytes: &[u8], to: NonNull<u8>) {
    match bytes.len() {
        // SAFETY: as the caller promises, and at least 8 and no more than 16.
        8..=16 => unsafe { copy_ends::<8>(bytes, to) },
        // SAFETY: as the caller promises, and at least 16 and no more than 32.
        17..=32 => unsafe { copy_ends::<16>(bytes, to) },
        // SAFETY: as the caller promises.
        _ => unsafe { to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) },
    }
}

/// Copies the first `N` of `bytes` and the last `N`.
///
/// # Safety
///
/// There are at least `N`, and no more than twice as many; else as for [`copy`].
#[inline(always)]
unsafe fn copy_ends<const N: usize>(bytes: &[u8], to: NonNull<u8>) {
    let (Some(first), Some(last)) = (bytes.first_chunk::<N>(), bytes.last_chunk::<N>()) else { return };
    // SAFETY: as the caller promises.
    unsafe { to.cast::<[u8; N]>().write(*first) };
    // SAFETY: as the caller promises.
    let end = unsafe { to.add(bytes.len() - N) };
    // SAFETY: as the caller promises.
    unsafe { end.cast::<[u8; N]>().write(*last) };
}

/// The long way.
impl Slot {
    /// Writes the name that a span starts with, from its parts, into the first cell.
    #[inline(never)]
    pub(super) fn put_name(&self, parts: [&str; 3], is_pending: bool) {
        let reserved = if is_pending { STARTED_LEN } else { 0 };
        let room = CELL_CONTENT_LEN - HEAD_LEN - ENTRY_HEADER_LEN - reserved;
        // SAFETY: the head lies within the first cell's content.
        let at = unsafe { self.cell.content().add(HEAD_LEN) };
        let (mut kept, mut flags) = (0, 0);
        for part in parts {
            let bytes = &part.as_bytes()[..floor_char_boundary(part, room - kept)];
            // SAFETY: the first entry goes behind the head, with `room` bytes behind its first word in the same cell, which is this
            // slot's (S1); no Rust reference points there.
            let to = unsafe { at.add(ENTRY_HEADER_LEN + kept) };
            // SAFETY: as above.
            unsafe { to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
            kept += bytes.len();
            if bytes.len() < part.len() {
                flags = ENTRY_CUT;
            }
        }
        let word = entry_word(u32::try_from(kept).unwrap_or(0), TAG_NAME, flags, INLINE);
        // SAFETY: as above.
        unsafe { at.cast::<u64>().write(word.to_le()) };
        if flags != 0 {
            self.leave_out();
        }
        self.publish(STARTED + (((ENTRY_HEADER_LEN + padded(kept)) as u64) << LEN_SHIFT));
    }

    /// Appends an entry; with `COMMIT` it is published, with all that was appended before; with `COUNTS` it takes one of the
    /// span's attributes. `false`: nothing was appended, and that was counted; an entry that only means something behind this
    /// one must not follow.
    pub(crate) fn append<const COMMIT: bool, const COUNTS: bool>(&self, entry: Entry<'_>) -> bool {
        if self.busy.get() {
            self.recorder().control().count(Counter::Reentered);
            return false;
        }
        self.stop();
        let is_appended = (!COUNTS || self.take_attribute()) && self.append_within(entry);
        if is_appended && COMMIT {
            self.commit();
        }
        self.go_on();
        is_appended
    }

    /// Appends an entry whose content is one word. As [`append`](Self::append).
    pub(crate) fn append_word<const COMMIT: bool, const COUNTS: bool>(
        &self,
        tag: u8,
        flags: u8,
        key: u16,
        word: u64,
    ) -> bool {
        self.append::<COMMIT, COUNTS>(Entry { tag, flags, key, content: &word.to_le_bytes() })
    }

    fn append_within(&self, entry: Entry<'_>) -> bool {
        let Entry { tag, flags, key, content } = entry;
        let need = ENTRY_HEADER_LEN + padded(content.len());
        let Some(len) = u32::try_from(content.len()).ok().filter(|_| need <= self.room()) else {
            return self.append_across(entry);
        };
        let at = self.write();
        // SAFETY: `need` bytes are free there (S2), and they are this slot's (S1).
        unsafe { at.cast::<u64>().write(entry_word(len, tag, flags, key).to_le()) };
        // SAFETY: as above.
        let to = unsafe { at.add(ENTRY_HEADER_LEN) };
        // SAFETY: as above; no Rust reference points into the cell, so the content does not overlap it.
        unsafe { copy(content, to) };
        self.fill.set(self.fill.get() + ((need as u64) << LEN_SHIFT));
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
    pub(super) fn put_message(&self, text: &str, is_beginning: bool) {
        let kept = floor_char_boundary(text, self.value_max());
        let flags = if is_beginning || kept < text.len() { ENTRY_CUT } else { 0 };
        let content = &text.as_bytes()[..kept];
        if self.append::<true, false>(Entry { tag: TAG_STATUS_MESSAGE, flags, key: INLINE, content })
            && flags != 0
        {
            self.count_cut();
        }
    }

    /// Appends an entry that does not fit the last cell. Text is cut on a character's boundary, numbers are left out whole.
    #[inline(never)]
    fn append_across(&self, entry: Entry<'_>) -> bool {
        let Entry { tag, flags, key, content } = entry;
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
        self.stop(); // S5
        let mut chain = Chain::begin(self);
        let Some(header) = chain.header() else {
            self.busy.set(false);
            self.go_on();
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
        self.go_on();
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
        self.stop(); // S5
        let mut chain = Chain::begin(self);
        let Some(header) = chain.header() else {
            self.busy.set(false);
            self.go_on();
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
            self.go_on();
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
        self.go_on();
        true
    }
}

/// The largest index up to `at` where `text` can be cut.
pub(crate) fn floor_char_boundary(text: &str, at: usize) -> usize {
    if at >= text.len() {
        return text.len();
    }
    (0..=at).rev().find(|&index| text.is_char_boundary(index)).unwrap_or(0)
}
