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
//! | `read` in `release` | `read` in `refresh`       | that the consumer is done with the bytes     |
//!
//! A kill is no ordering problem of its own: what a processor stored is in the mapping, in program order on x86-64,
//! and elsewhere in the order of the release stores.
#![expect(unsafe_code, reason = "bytes of the ring are exclusive by R2, which the compiler cannot see")]

use std::cell::Cell;
use std::ops::Deref;

use crate::record::{KIND_PADDING, record_word};
use crate::sync::{AtomicU64, Bytes, Ordering};

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
    /// `tail`, as last stored.
    position: Cell<u64>,
    /// Up to where records may reach before `refresh` has to look again: at most half a ring ahead.
    limit: Cell<u64>,
}

/// What `refresh` found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Room {
    /// Enough, and less than half of the ring is in use.
    Ample,
    /// Enough, but the consumer should be woken.
    Short,
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
        producer.position.set(tail);
        producer.limit.set(tail);
    }

    /// Makes room for a record of `len` bytes, a multiple of 8, and says at which position it will lie. `None`:
    /// [`refresh`](Self::refresh) must look for room first. Nothing is visible to the consumer before `publish`.
    #[inline]
    pub(crate) fn reserve(&self, producer: &Producer, len: usize) -> Option<u64> {
        let position = producer.position.get();
        let to_end = self.bytes.len() - self.index(position);
        if len <= to_end {
            (position + len as u64 <= producer.limit.get()).then_some(position)
        } else {
            self.reserve_behind_padding(producer, len, to_end)
        }
    }

    #[cold]
    #[inline(never)]
    fn reserve_behind_padding(&self, producer: &Producer, len: usize, to_end: usize) -> Option<u64> {
        let position = producer.position.get();
        if position + (to_end + len) as u64 > producer.limit.get() {
            return None;
        }
        let word = record_word(u32::try_from(to_end).ok()?, KIND_PADDING, 0);
        // SAFETY: `position + to_end` is within `limit`, so by R4 and R2 these bytes are the producer's, and as
        // records start at multiples of 8 there are at least 8.
        unsafe { self.bytes.write_word(self.index(position), word) };
        Some(position + to_end as u64)
    }

    /// Looks how far the consumer has come, and whether a record of `len` bytes has room now.
    #[cold]
    #[inline(never)]
    pub(crate) fn refresh(&self, producer: &Producer, len: usize) -> Room {
        let position = producer.position.get();
        let read = self.read.load(Ordering::Acquire); // pairs with `release`
        let free_until = read + self.capacity();
        let to_end = self.bytes.len() - self.index(position);
        let need = if len <= to_end { len } else { to_end + len } as u64;
        let half = self.capacity() / 2;
        producer.limit.set(free_until.min(position + need.max(half)));
        if position + need > free_until {
            Room::None
        } else if position + need - read > half {
            Room::Short
        } else {
            Room::Ample
        }
    }

    /// Writes a word of the reserved record.
    ///
    /// # Safety
    ///
    /// `position + 8` lies within a record that `reserve` gave room to, not yet published, and `position` is a
    /// multiple of 8.
    #[inline]
    pub(crate) unsafe fn write_word(&self, position: u64, word: u64) {
        // SAFETY: a reserved record lies within the limit, so by R4 and R2 its bytes are the producer's.
        unsafe { self.bytes.write_word(self.index(position), word) }
    }

    /// Writes bytes of the reserved record.
    ///
    /// # Safety
    ///
    /// As for [`write_word`](Self::write_word), for `position + bytes.len()`.
    #[inline]
    pub(crate) unsafe fn write(&self, position: u64, bytes: &[u8]) {
        // SAFETY: as in `write_word`.
        unsafe { self.bytes.write(self.index(position), bytes) }
    }

    /// Hands everything up to `end`, the end of the reserved record, to the consumer.
    #[inline]
    pub(crate) fn publish(&self, producer: &Producer, end: u64) {
        producer.position.set(end);
        self.tail.store(end, Ordering::Release); // pairs with `tail`
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
        self.read.store(position, Ordering::Release); // pairs with `refresh`
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod loom_tests;
