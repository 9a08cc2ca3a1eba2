//! The least that recording a span could cost: two clock reads, an identity, its bytes, and one release store.
//!
//! # Invariants
//!
//! * **F1** The file is mapped from `base` for `HEADER_LEN + RING_LEN` bytes as long as the `Floor` lives.
//! * **F2** Nobody else has the file, and nobody reads it through the mapping.
#![expect(
    unsafe_code,
    reason = "the floor writes through a pointer and reads the counter, without any checks"
)]

use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};

use crate::Place;

const HEADER_LEN: usize = 4096;
/// As long as a thread's ring is by default, in bytes.
const RING_LEN: usize = 1 << 20;

/// A ring in a file, written to without any care.
#[derive(Debug)]
pub struct Floor {
    mapping: MmapRaw,
    written: usize,
    random: u64,
    _place: Place,
}

impl Floor {
    /// A floor whose file lies in this place.
    ///
    /// # Panics
    ///
    /// Where the file cannot be made or mapped.
    pub fn new(place: Place) -> Self {
        let len = HEADER_LEN + RING_LEN;
        let file =
            std::fs::File::options().read(true).write(true).create_new(true).open(place.path().join("floor"));
        let file = file.expect("a file can be made");
        file.set_len(len as u64).expect("the file can have its length");
        let mapping = MmapOptions::new().len(len).map_raw(&file).expect("the file can be mapped");
        mapping.advise(Advice::PopulateWrite).expect("the mapping can be populated");
        Floor { mapping, written: 0, random: 0x5eed, _place: place }
    }

    /// Writes a span of `WORDS` words.
    #[inline]
    pub fn span<const WORDS: usize>(&mut self) {
        const { assert!(WORDS >= 4 && WORDS.is_power_of_two(), "a span never wraps") };
        let mut words = [0x0101_0101_0101_0101_u64; WORDS];
        words[0] = ticks();
        words[1] = self.identity();
        words[2] = self.written as u64;
        words[3] = ticks();
        let at = self.written & (RING_LEN - 1) & !(8 * WORDS - 1);
        // SAFETY: `at` is below `RING_LEN`, so the pointer stays in the mapping (F1).
        let place = unsafe { self.mapping.as_mut_ptr().add(HEADER_LEN + at) };
        // SAFETY: `at` is a multiple of the span's length, which divides the ring's, so the span lies in the mapping (F1), at a
        // multiple of 8; by F2 no one else uses these bytes.
        unsafe { place.cast::<[u64; WORDS]>().write(words) };
        self.written += 8 * WORDS;
        self.tail().store(self.written as u64, Ordering::Release);
    }

    /// How many bytes of spans were written, as the file says.
    pub fn written(&self) -> u64 {
        self.tail().load(Ordering::Acquire)
    }

    #[inline]
    fn tail(&self) -> &AtomicU64 {
        // SAFETY: the first word of the mapping (F1), which starts at a page; any bits are an AtomicU64.
        unsafe { &*self.mapping.as_mut_ptr().cast::<AtomicU64>() }
    }

    #[inline]
    fn identity(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0xa076_1d64_78bd_642f);
        let product = u128::from(self.random) * u128::from(self.random ^ 0xe703_7ed1_a0b4_28db);
        let [low, high] = [product & u128::from(u64::MAX), product >> 64];
        u64::try_from(low ^ high).unwrap_or(0)
    }
}

/// The time-stamp counter; where there is none, nanoseconds.
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// The time-stamp counter; where there is none, nanoseconds.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub fn ticks() -> u64 {
    spanring::clock::unix_ns()
}

/// As [`ticks`], but once everything before it is done.
#[inline]
pub fn ticks_after() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction.
    unsafe {
        std::arch::x86_64::_mm_lfence();
    }
    ticks()
}
