//! The switch between the standard library and loom, and the bytes of a ring in both worlds.
//!
//! Under `--cfg loom` the same algorithms run on loom's atomics, and every access to ring bytes is checked for races.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(not(loom))]
pub(crate) use mapped::Bytes;
#[cfg(loom)]
pub(crate) use modelled::Bytes;

#[cfg(not(loom))]
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
        #[inline]
        pub(crate) fn prefetch(&self, at: usize) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a hint about an address, whatever lies there.
            unsafe {
                std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(self.at(at).cast());
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

#[cfg(loom)]
mod modelled {
    #![expect(unsafe_code, reason = "loom's cells are reached through raw pointers")]

    use loom::cell::UnsafeCell;

    /// The same range as words that loom watches: an access that races with another fails the model.
    #[derive(Debug)]
    pub(crate) struct Bytes {
        words: Box<[UnsafeCell<u64>]>,
    }

    // SAFETY: every access goes through loom's cells, which check what the callers promise.
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
        /// As for the mapped bytes; loom checks it.
        pub(crate) unsafe fn write_words(&self, at: usize, words: &[u64]) {
            for (cell, word) in self.words[at / 8..].iter().zip(words) {
                // SAFETY: loom checks that no one else reaches the cell meanwhile.
                cell.with_mut(|cell| unsafe { *cell = word.to_le() });
            }
        }

        #[expect(clippy::unused_self, reason = "there is nothing to be fetched in a model")]
        pub(crate) fn prefetch(&self, _: usize) {}

        /// # Safety
        ///
        /// As for the mapped bytes; loom checks it.
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
        /// As for the mapped bytes; loom checks it.
        pub(crate) unsafe fn read<R>(&self, at: usize, len: usize, look: impl FnOnce(&[u8]) -> R) -> R {
            let mut bytes = Vec::with_capacity(len);
            for cell in &self.words[at / 8..(at + len).div_ceil(8)] {
                // SAFETY: loom checks that no one writes the cell meanwhile.
                bytes.extend_from_slice(&cell.with(|cell| unsafe { *cell }).to_le_bytes());
            }
            look(&bytes[..len])
        }
    }
}
