//! Writing what does not fit one cell: across cells that are chained one behind the other.
#![expect(
    unsafe_code,
    reason = "content is written through pointers that S1 and S2 make exclusive and in range"
)]

use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use super::{LEN_SHIFT, Slot, floor_char_boundary, length};
use crate::lane::{CELL_CONTENT_LEN, CellRef, LIVE};
use crate::record::{ENTRY_HEADER_LEN, padded};
use crate::thread::local;

/// Where a chain of cells stood when an entry's header was placed, or something that its length is to be told of.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    at: NonNull<u8>,
    room: u32,
    pub(super) len: u32,
    last: CellRef,
}

/// Writes across cells, taking more as needed. What it wrote counts once it finishes.
pub(super) struct Chain<'a> {
    slot: &'a Slot,
    write: NonNull<u8>,
    pub(super) room: u32,
    pub(super) len: usize,
    last: CellRef,
    /// How many bytes the content that is being written may take, and how many it has taken.
    value_max: usize,
    value_len: usize,
    body_max: usize,
    /// There is no more room for this span.
    pub(super) is_full: bool,
    /// The content may take no more.
    pub(super) is_cut: bool,
}

impl<'a> Chain<'a> {
    pub(super) fn begin(slot: &'a Slot) -> Self {
        Chain {
            slot,
            write: slot.write(),
            room: u32::try_from(slot.room()).unwrap_or(0),
            len: slot.len(),
            last: slot.last.get(),
            value_max: slot.value_max(),
            value_len: 0,
            body_max: slot.recorder().body_len_max(),
            is_full: false,
            is_cut: false,
        }
    }

    /// Lets the content be as long as there is room.
    pub(super) fn unlimited(mut self) -> Self {
        self.value_max = usize::MAX;
        self
    }

    /// Makes sure that there are bytes behind `write`.
    fn make_room(&mut self) -> bool {
        if self.slot.closed.get() || self.len >= self.body_max {
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
    pub(super) fn header(&mut self) -> Option<Mark> {
        if !self.make_room() {
            return None;
        }
        let mark = self.mark()?;
        self.skip_header();
        Some(mark)
    }

    /// Where the chain stands.
    #[inline]
    pub(super) fn mark(&self) -> Option<Mark> {
        let len = u32::try_from(self.len).ok()?;
        Some(Mark { at: self.write, room: self.room, len, last: self.last })
    }

    /// Writes `bytes` over those that were put behind `mark` first; must not be called once the chain has gone back to before that.
    pub(super) fn overwrite<const N: usize>(&self, mark: &Mark, bytes: &[u8; N]) {
        const { assert!(N <= CELL_CONTENT_LEN) };
        if self.len < mark.len as usize + N {
            return; // they were not put
        }
        let (bytes, further) = bytes.split_at(N.min(mark.room as usize));
        // SAFETY: `room` bytes are behind `at` in a cell that is this slot's (S1), and the chain keeps it.
        unsafe { mark.at.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        let next = mark.last.header().next.load(Ordering::Relaxed);
        if !further.is_empty()
            && let Some((_, _, cell)) = self.slot.recorder().next_cell(next)
        {
            // SAFETY: what is chained behind this slot's cells is this slot's (S1), and its content is no shorter than `N`.
            unsafe { cell.content().as_ptr().copy_from_nonoverlapping(further.as_ptr(), further.len()) };
        }
    }

    pub(super) fn skip_header(&mut self) {
        self.step(const { length(ENTRY_HEADER_LEN) });
    }

    #[inline]
    fn step(&mut self, by: u32) {
        // SAFETY: callers step over bytes within `room`, which lie behind `write` in the same cell.
        self.write = unsafe { self.write.add(by as usize) };
        self.room -= by;
        self.len += by as usize;
    }

    /// Writes `bytes`, or as much of them as [`put`](Self::put) can; whether it was all.
    #[inline]
    pub(super) fn put_whole(&mut self, bytes: &[u8]) -> bool {
        let len = bytes.len();
        // Where something found no room already, there is none in these either.
        if len > self.room as usize
            || len > self.value_max - self.value_len
            || len > self.body_max.saturating_sub(self.len)
        {
            return self.put(bytes) == len;
        }
        // SAFETY: `len` bytes are free behind `write`, in a cell that is this slot's (S1).
        unsafe { self.write.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), len) };
        self.step(u32::try_from(len).unwrap_or(0));
        self.value_len += len;
        true
    }

    /// Writes as much of `bytes` as there is room for, and as the value may take.
    pub(super) fn put(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        // Once something found no room, nothing follows it, even if cells have come back since.
        while done < bytes.len() && !self.is_full {
            let allowed = self.value_max - self.value_len;
            if allowed == 0 {
                self.is_cut = true;
                break;
            }
            if !self.make_room() {
                self.is_full = true;
                break;
            }
            let allowed = allowed.min(self.body_max - self.len);
            let part = (bytes.len() - done).min(self.room as usize).min(allowed);
            // SAFETY: `part` bytes are free behind `write`, in a cell that is this slot's (S1).
            unsafe { self.write.as_ptr().copy_from_nonoverlapping(bytes[done..].as_ptr(), part) };
            self.step(u32::try_from(part).unwrap_or(0));
            self.value_len += part;
            done += part;
        }
        done
    }

    /// Takes text piece by piece.
    pub(super) fn text(&mut self) -> TextOf<'_, 'a> {
        TextOf { kept: 0, chain: self }
    }

    /// Goes back to where it stood, and frees the cells that it took since.
    pub(super) fn back_to(&mut self, mark: &Mark) {
        // Between marks within a value, all that there is is the value's.
        self.value_len = self.value_len.saturating_sub(self.len - mark.len as usize);
        (self.write, self.room, self.len, self.last) = (mark.at, mark.room, mark.len as usize, mark.last);
        let recorder = self.slot.recorder();
        recorder.free_chain(local().lane_in(recorder), mark.last);
    }

    /// Ends a cut entry after `kept` bytes: nothing more fits this span.
    pub(super) fn close_after(&mut self, mark: &Mark, kept: usize) {
        self.len = mark.len as usize + ENTRY_HEADER_LEN + kept;
        self.room = 0;
        self.is_full = true;
        self.slot.closed.set(true); // S4
    }

    /// Stores the entry's first word and makes the slot go on behind the entry.
    pub(super) fn finish(mut self, mark: &Mark, kept: usize, word: impl FnOnce(u32) -> u64) {
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
    pub(super) fn settle(self) {
        let left = self.body_max.saturating_sub(self.len);
        let end = self.len + left.min(self.room as usize);
        self.slot.base.set(self.write.as_ptr().wrapping_sub(self.len));
        // A body is shorter than a ring, which is at most 1 GiB.
        self.slot.cell_end.set(u32::try_from(end).unwrap_or(0));
        self.slot.fill.set((self.len as u64) << LEN_SHIFT | LIVE);
        self.slot.last.set(self.last);
    }
}

/// Text that is written into a chain, and ends with a whole character wherever it is cut.
pub(super) struct TextOf<'c, 'a> {
    chain: &'c mut Chain<'a>,
    kept: usize,
}

impl TextOf<'_, '_> {
    /// How many bytes of text there are.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }
}

impl fmt::Write for TextOf<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.chain.is_full || self.chain.is_cut {
            return Err(fmt::Error);
        }
        let allowed = floor_char_boundary(text, self.chain.value_max - self.chain.value_len);
        let done = self.chain.put(&text.as_bytes()[..allowed]);
        // Where there was no room, the span is closed behind what is kept, so what lies between does not matter.
        self.kept += floor_char_boundary(text, done);
        if done < text.len() {
            self.chain.is_cut |= done == allowed;
            return Err(fmt::Error);
        }
        Ok(())
    }
}

impl io::Write for Chain<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.put(bytes) {
            0 if !bytes.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            done => Ok(done),
        }
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.put_whole(bytes) { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
