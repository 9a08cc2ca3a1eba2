//! A ring that carries variable-length records from one producer thread to one consumer, and outlives both.
//!
//! ```text
//!              read                 tail
//!               ▼                    ▼
//!   ┌─────┬─────┬────────┬─────┬─────┬─────┬─────────┐
//!   │free │free │ record │ rec │ rec │free │ padding │
//!   └─────┴─────┴────────┴─────┴─────┴─────┴─────────┘
//! ```
//!
//! # Invariants
//!
//! Positions count bytes since the ring was created and never start again, however often the ring changes its
//! producer; a position's byte is `position & (capacity - 1)`. The capacity is a power of two. Records start at
//! multiples of 8 and do not wrap: padding fills the end of the ring instead.
//!
//! * **R1** `read <= tail <= read + capacity`.
//! * **R2** Bytes in `read..tail` hold records and belong to the consumer; all others belong to the producer.
//! * **R3** Only the producer stores `tail`; only the consumer stores `read`, and only after what it read is
//!   committed elsewhere. So whatever the moment of a kill, `read..tail` are whole records.
//! * **R4** `limit <= read + capacity` for the `read` of any later moment, since `read` only grows.
//!
//! # Ordering
//!
//! | store (Release)     | pairs with load (Acquire) | and makes visible                            |
//! |---------------------|---------------------------|----------------------------------------------|
//! | `tail` in `publish` | `tail` in `tail`          | the bytes of the record                      |
//! | `read` in `release` | `read` in `make_room` and in `read` | that the consumer is done with the bytes |
//!
//! A kill is no ordering problem of its own: what a processor stored is in the mapping, in program order on x86-64,
//! and elsewhere in the order of the release stores.
#![expect(unsafe_code, reason = "bytes of the ring are exclusive by R2, which the compiler cannot see")]

use std::ops::Deref;

use crate::record::{KIND_PADDING, RECORD_HEADER_LEN, record_word};
use crate::sync::{AtomicU64, Bytes, Cell, Ordering};

/// How far ahead of the next record the lines of the ring are asked for, in bytes. The consumer has read them one lap ago, so they lie
/// in that one's cache, and whoever writes to them waits until they have come over.
const PREFETCH_AHEAD: u64 = 1024;
/// The length of a line of memory.
const LINE_LEN: u64 = 64;

/// The indexes of a ring and its bytes. `I` is how the indexes are reached: in a mapping, or in a model.
#[derive(Debug)]
pub(crate) struct Ring<I> {
    tail: I,
    read: I,
    bytes: Bytes,
}

/// What the producer knows, kept apart from what it shares.
#[derive(Debug, Default)]
pub(crate) struct Producer {
    /// Up to where records may reach before `make_room` has to look again: at most half a ring ahead, and not beyond the end of the
    /// ring's bytes, so that one comparison tells whether a record has room as it is.
    limit: Cell<u64>,
}

/// What `make_room` found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// A place for the record, and less than half of the ring is in use.
    Ample(u64),
    /// A place for the record, but the consumer should be woken.
    Short(u64),
    /// Not enough.
    None,
}

impl<I: Deref<Target = AtomicU64>> Ring<I> {
    /// A ring over `bytes`, whose length is a power of two of at least 64, with indexes that satisfy R1.
    pub(crate) fn new(tail: I, read: I, bytes: Bytes) -> Self {
        debug_assert!(bytes.len().is_power_of_two() && bytes.len() >= 64);
        Ring { tail, read, bytes }
    }

    #[inline]
    fn capacity(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Where in the ring a position lies. The capacity is a power of two that fits memory, so nothing is cut off.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the mask keeps the value below the capacity, a usize"
    )]
    fn index(&self, position: u64) -> usize {
        (position & (self.capacity() - 1)) as usize
    }

    /// The producer's view of a ring that had another producer before.
    pub(crate) fn adopt(&self, producer: &Producer) {
        // Relaxed: whoever hands the ring over has synchronised with the producer before.
        let tail = self.tail.load(Ordering::Relaxed);
        producer.limit.set(tail);
    }

    /// The position at which a record of `len` bytes, a multiple of 8, will lie. `None`: [`make_room`](Self::make_room) must look
    /// for room first. Nothing is visible to the consumer before `publish`.
    #[inline]
    pub(crate) fn reserve(&self, producer: &Producer, len: u64) -> Option<u64> {
        // Relaxed: only this thread stores it.
        let position = self.tail.load(Ordering::Relaxed);
        (position + len <= producer.limit.get()).then_some(position)
    }

    /// Looks how far the consumer has come, and whether a record of `len` bytes has room now: behind padding, where it would wrap.
    #[cold]
    #[inline(never)]
    pub(crate) fn make_room(&self, producer: &Producer, len: u64) -> Room {
        let tail = self.tail.load(Ordering::Relaxed); // only this thread stores it
        let read = self.read.load(Ordering::Acquire); // pairs with `release`
        let capacity = self.capacity();
        let free_until = read + capacity;
        let mut lap_end = tail - (tail & (capacity - 1)) + capacity;
        let mut position = tail;
        if tail + len > lap_end {
            (position, lap_end) = (lap_end, lap_end + capacity);
        }
        let end = position + len;
        if end > free_until {
            return Room::None; // and the limit stays where it is
        }
        if position > tail {
            // The capacity is at most 1 GiB, and what is left of it is less.
            let word = record_word(u32::try_from(position - tail).unwrap_or(0), KIND_PADDING, 0);
            // SAFETY: `position` is within `free_until`, so by R4 and R2 these bytes are the producer's, and as records start at
            // multiples of 8 there are at least 8.
            unsafe { self.bytes.write_words(self.index(tail), &[word]) };
        }
        let half = capacity / 2;
        producer.limit.set(free_until.min(lap_end).min(end.max(tail + half)));
        if end - read > half { Room::Short(position) } else { Room::Ample(position) }
    }

    /// Writes a record's header and the beginning of its body.
    ///
    /// # Safety
    ///
    /// `position` is where `reserve` or `make_room` has placed a record that is not yet published, and the record is no shorter than both.
    #[inline]
    pub(crate) unsafe fn begin(&self, position: u64, header: &[u64; RECORD_HEADER_LEN / 8], body: &[u64]) {
        let at = self.index(position);
        // SAFETY: the record lies within the limit, so by R4 and R2 its bytes are the producer's.
        unsafe { self.bytes.write_words(at, header) };
        // SAFETY: as above.
        unsafe { self.bytes.write_words(at + RECORD_HEADER_LEN, body) };
    }

    /// Writes bytes of the record.
    ///
    /// # Safety
    ///
    /// `position + bytes.len()` lies within a record that has been placed, and is not yet published.
    #[inline]
    pub(crate) unsafe fn write(&self, position: u64, bytes: &[u8]) {
        // SAFETY: as in `begin`.
        unsafe { self.bytes.write(self.index(position), bytes) }
    }

    /// Hands everything up to `end`, the end of the record that has been placed, to the consumer.
    #[inline]
    pub(crate) fn publish(&self, end: u64) {
        let mut line = self.tail.load(Ordering::Relaxed).next_multiple_of(LINE_LEN); // only this thread stores it
        self.tail.store(end, Ordering::Release); // pairs with `tail`
        while line < end {
            self.bytes.prefetch(self.index(line + PREFETCH_AHEAD));
            line += LINE_LEN;
        }
    }

    /// Up to where records are published.
    pub(crate) fn tail(&self) -> u64 {
        self.tail.load(Ordering::Acquire) // pairs with `publish`
    }

    /// Up to where records were released.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Acquire)
    }

    /// Shows the consumer the records from `from` to `to`, or only up to the end of the ring's bytes: whole records
    /// in either case, since none wraps.
    ///
    /// # Safety
    ///
    /// The caller is the consumer, `read <= from <= to <= tail`, and both are positions where a record starts.
    pub(crate) unsafe fn records<R>(&self, from: u64, to: u64, look: impl FnOnce(&[u8]) -> R) -> R {
        let at = self.index(from);
        let len = usize::try_from(to - from).unwrap_or(usize::MAX).min(self.bytes.len() - at);
        // SAFETY: `from..to` lies within `read..tail`, so by R2 the producer leaves these bytes alone.
        unsafe { self.bytes.read(at, len, look) }
    }

    /// Gives the space before `position` back to the producer.
    ///
    /// Only for the consumer, and only once what the space held is committed.
    pub(crate) fn release(&self, position: u64) {
        self.read.store(position, Ordering::Release); // pairs with `make_room`
    }
}

#[cfg(test)]
impl<I: Deref<Target = AtomicU64>> Ring<I> {
    /// A place for a record of `len` bytes, as recording finds one.
    pub(crate) fn place(&self, producer: &Producer, len: usize) -> Option<u64> {
        self.reserve(producer, len as u64).or_else(|| match self.make_room(producer, len as u64) {
            Room::Ample(position) | Room::Short(position) => Some(position),
            Room::None => None,
        })
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
