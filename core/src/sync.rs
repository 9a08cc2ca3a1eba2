//! The switch between the standard library, loom and shuttle, and the bytes of a ring in each of these worlds.
//!
//! What decides who owns a cell, a lane, a ring's bytes or the recorder is written over the types of this file, and over
//! nothing else that synchronises. In the crate's own tests under `--cfg loom` these are loom's: it runs every interleaving of a
//! small model, lets each load see whatever its ordering allows, and fails where bytes or plain cells are reached by two threads
//! that nothing has ordered. Under `--cfg shuttle` they are shuttle's, which runs random schedules of larger models. Everybody else, programs built with
//! those flags included, gets the standard library's.

#[cfg(not(all(test, any(loom, shuttle))))]
mod switch {
    pub(crate) use std::cell::Cell;
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
}

#[cfg(all(test, loom))]
mod switch {
    pub(crate) use loom::cell::{Cell, UnsafeCell};
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
    pub(crate) use loom::thread;
}

#[cfg(all(test, shuttle))]
mod switch {
    pub(crate) use std::cell::Cell;

    pub(crate) use shuttle::hint::spin_loop;
    pub(crate) use shuttle::sync::Arc;
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
    pub(crate) use shuttle::thread;

    pub(crate) use super::watched::UnsafeCell;
}

pub(crate) use switch::*;

#[cfg(not(all(test, any(loom, shuttle))))]
pub(crate) use mapped::Bytes;
#[cfg(all(test, any(loom, shuttle)))]
pub(crate) use modelled::Bytes;

#[cfg(not(all(test, any(loom, shuttle))))]
mod mapped {
    #![expect(
        unsafe_code,
        reason = "mapped bytes have no owner that the compiler could see; callers prove access"
    )]

    use std::ptr::NonNull;

    /// A range of mapped memory whose parts belong to different threads at different times.
    #[derive(Debug)]
    pub(crate) struct Bytes {
        base: NonNull<u8>,
        len: usize,
    }

    // SAFETY: it is an address range; every access is proved by the caller of an unsafe method.
    unsafe impl Send for Bytes {}
    // SAFETY: as for Send.
    unsafe impl Sync for Bytes {}

    impl Bytes {
        /// # Safety
        ///
        /// `base..base + len` stays mapped, readable and writable, for the life of the process, and is aligned to 8.
        pub(crate) unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
            Bytes { base, len }
        }

        pub(crate) fn len(&self) -> usize {
            self.len
        }

        /// A pointer to `at`, for a writer that keeps within the range it owns.
        #[inline]
        fn at(&self, at: usize) -> *mut u8 {
            debug_assert!(at <= self.len);
            // SAFETY: callers compute `at` from a position and the mask, so it lies within the range.
            unsafe { self.base.as_ptr().add(at) }
        }

        /// Stores words at `at`, a multiple of 8, one after the other: what was written word by word just before is read fastest
        /// so, while wider reads would wait until it has left the store buffer.
        ///
        /// # Safety
        ///
        /// `at + 8 * words.len() <= len`, and no one else touches these bytes meanwhile.
        #[inline(always)]
        pub(crate) unsafe fn write_words(&self, at: usize, words: &[u64]) {
            let mut to = self.at(at).cast::<u64>();
            for word in words {
                // SAFETY: in range, aligned and exclusive, as the caller promises. Volatile, so that it is not made a `memcpy`.
                unsafe { to.write_volatile(word.to_le()) };
                // SAFETY: still within the range, or at its end.
                to = unsafe { to.add(1) };
            }
        }

        /// Asks for the line of memory at `at`, to write to it.
        // The intrinsic becomes a prefetch for reading where a program is built for every processor of x86-64: then the line comes
        // shared, and whoever writes to it waits all the same. Those that do not know PREFETCHW take it for no instruction.
        #[inline]
        pub(crate) fn prefetch(&self, at: usize) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a hint about an address, whatever lies there; it changes no register, no flag and no memory.
            unsafe {
                std::arch::asm!("prefetchw [{}]", in(reg) self.at(at), options(nostack, preserves_flags, readonly));
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = at;
        }

        /// Copies `bytes` to `at`.
        ///
        /// # Safety
        ///
        /// `at + bytes.len() <= len`, and no one else touches these bytes meanwhile.
        #[inline]
        pub(crate) unsafe fn write(&self, at: usize, bytes: &[u8]) {
            let to = self.at(at);
            // SAFETY: in range and exclusive, as the caller promises, so `bytes`, which is readable, lies elsewhere.
            unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
        }

        /// Shows `len` bytes at `at` to `look`.
        ///
        /// # Safety
        ///
        /// `at + len` is in range, and no one writes these bytes meanwhile.
        #[inline]
        pub(crate) unsafe fn read<R>(&self, at: usize, len: usize, look: impl FnOnce(&[u8]) -> R) -> R {
            let from = self.at(at);
            // SAFETY: in range and not written meanwhile, as the caller promises; any bytes are valid `u8`s.
            look(unsafe { std::slice::from_raw_parts(from, len) })
        }
    }
}

#[cfg(all(test, any(loom, shuttle)))]
mod modelled {
    #![expect(unsafe_code, reason = "watched cells are reached through raw pointers")]

    use super::UnsafeCell;

    /// The same range as words that are watched: an access that races with another fails the model.
    #[derive(Debug)]
    pub(crate) struct Bytes {
        words: Box<[UnsafeCell<u64>]>,
    }

    // SAFETY: every access goes through watched cells, which check what the callers promise.
    unsafe impl Send for Bytes {}
    // SAFETY: as for Send.
    unsafe impl Sync for Bytes {}

    impl Bytes {
        pub(crate) fn zeros(len: usize) -> Self {
            Bytes { words: (0..len / 8).map(|_| UnsafeCell::new(0)).collect() }
        }

        pub(crate) fn len(&self) -> usize {
            self.words.len() * 8
        }

        /// # Safety
        ///
        /// As for the mapped bytes; the cells check it.
        pub(crate) unsafe fn write_words(&self, at: usize, words: &[u64]) {
            for (cell, word) in self.words[at / 8..].iter().zip(words) {
                // SAFETY: the cell checks that no one else reaches it meanwhile.
                cell.with_mut(|cell| unsafe { *cell = word.to_le() });
            }
        }

        #[expect(clippy::unused_self, reason = "there is nothing to be fetched in a model")]
        pub(crate) fn prefetch(&self, _: usize) {}

        /// # Safety
        ///
        /// As for the mapped bytes; the cells check it.
        pub(crate) unsafe fn write(&self, at: usize, bytes: &[u8]) {
            for (index, chunk) in bytes.chunks(8).enumerate() {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                // SAFETY: the caller's promise, passed on.
                unsafe { self.write_words(at + index * 8, &[u64::from_le_bytes(word)]) };
            }
        }

        /// # Safety
        ///
        /// As for the mapped bytes; the cells check it.
        pub(crate) unsafe fn read<R>(&self, at: usize, len: usize, look: impl FnOnce(&[u8]) -> R) -> R {
            let mut bytes = Vec::with_capacity(len);
            for cell in &self.words[at / 8..(at + len).div_ceil(8)] {
                // SAFETY: the cell checks that no one writes it meanwhile.
                bytes.extend_from_slice(&cell.with(|cell| unsafe { *cell }).to_le_bytes());
            }
            look(&bytes[..len])
        }
    }
}

#[cfg(all(test, shuttle))]
mod watched {
    use std::sync::atomic::{AtomicU32, Ordering};

    /// As loom's, for shuttle, which watches nothing by itself: other threads run while the cell is in use, and if one of them comes by, the
    /// model fails.
    #[derive(Debug, Default)]
    pub(crate) struct UnsafeCell<T> {
        readers: AtomicU32,
        writers: AtomicU32,
        value: std::cell::UnsafeCell<T>,
    }

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            UnsafeCell { readers: AtomicU32::new(0), writers: AtomicU32::new(0), value: value.into() }
        }

        pub(crate) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
            self.readers.fetch_add(1, Ordering::Relaxed);
            shuttle::thread::yield_now();
            assert_eq!(self.writers.load(Ordering::Relaxed), 0, "read while it is written");
            let looked = look(self.value.get());
            self.readers.fetch_sub(1, Ordering::Relaxed);
            looked
        }

        pub(crate) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
            self.writers.fetch_add(1, Ordering::Relaxed);
            shuttle::thread::yield_now();
            assert_eq!(self.writers.load(Ordering::Relaxed), 1, "written by two at once");
            assert_eq!(self.readers.load(Ordering::Relaxed), 0, "written while it is read");
            let changed = change(self.value.get());
            self.writers.fetch_sub(1, Ordering::Relaxed);
            changed
        }
    }
}
