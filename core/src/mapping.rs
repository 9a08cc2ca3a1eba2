//! Memory that outlives the process: a file, mapped and filled before use.
//!
//! Writing through a mapping cannot fail with an error, only with a signal. So all that can fail is done before the
//! first write, by calls that return errors: the file has its full size ([`Mapping::of_file`] refuses a shorter
//! one) and its space (the caller's `fallocate`), and every page is populated.
//!
//! # Invariants
//!
//! * **M1** The range `base..base + len` is mapped readable and writable for as long as the `Mapping` lives; that of
//!   a leaked one as long as the process.
//! * **M2** Outside of the methods of this file, Rust references into mapped memory are only to atomics, which any number of
//!   users may share, or to bytes that their holder alone uses for as long as the reference lives: a ring's by R2, a
//!   cell's by N2. Each file that makes one says so.
//!
//! Another process of the same user that truncates the file breaks M1 with SIGBUS: documented, not prevented.
#![expect(unsafe_code, reason = "mapped memory is reached through pointers, whose ranges M1 and M2 justify")]

use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// A shared, populated mapping of a whole file, or of anonymous memory.
#[derive(Debug)]
pub struct Mapping {
    raw: MmapRaw,
}

impl Mapping {
    /// Maps the first `len` bytes of `file`, shared, and populates them.
    ///
    /// # Errors
    ///
    /// The operating system's; `UnexpectedEof` where the file is shorter than `len`, `InvalidInput` for an empty
    /// range. A file with holes on a full disk gives the error of the population, `StorageFull` or `Other`.
    pub fn of_file(file: &File, len: usize) -> io::Result<Self> {
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot map an empty range"));
        }
        if file.metadata()?.len() < len as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than its mapping"));
        }
        let raw = MmapOptions::new().len(len).map_raw(file)?;
        populate(&raw)?;
        Ok(Mapping { raw })
    }

    /// Maps `len` bytes of zeros that belong to no file and are gone with the process.
    ///
    /// # Errors
    ///
    /// The operating system's, when memory is short.
    pub fn anonymous(len: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(len).map_anon()?;
        let raw = MmapRaw::from(map);
        populate(&raw)?;
        Ok(Mapping { raw })
    }

    /// As [`anonymous`](Self::anonymous), but takes memory only where it is touched. Where there is none by then, that is a
    /// signal and no error: for tests, which need a lot of rings and fill few.
    ///
    /// # Errors
    ///
    /// The operating system's, when addresses are short.
    pub fn unpopulated(len: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(len).map_anon()?;
        Ok(Mapping { raw: MmapRaw::from(map) })
    }

    /// How many bytes are mapped.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether nothing is mapped, which no constructor allows.
    pub fn is_empty(&self) -> bool {
        self.raw.len() == 0
    }

    /// Copies `bytes` to `offset`.
    ///
    /// # Panics
    ///
    /// When the range does not lie within the mapping.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        let to = self.range(offset, bytes.len());
        // SAFETY: `range` checked that the target lies within the mapping (M1); by `&mut self` and M2 no one else in
        // this process uses it, and `bytes` cannot overlap it, being a Rust reference (M2).
        unsafe { to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
    }

    /// Copies bytes from `offset` into `bytes`.
    ///
    /// # Panics
    ///
    /// When the range does not lie within the mapping.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        let from = self.range(offset, bytes.len());
        // SAFETY: `range` checked that the source lies within the mapping (M1); writers of this process need
        // `&mut self`, and `bytes` cannot overlap it (M2).
        unsafe { from.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) }
    }

    /// Stores `word` at `offset`, little-endian, after all earlier writes: whoever sees it sees them too.
    ///
    /// # Panics
    ///
    /// When the word does not lie within the mapping, or `offset` is no multiple of 4.
    pub fn store_release(&mut self, offset: usize, word: u32) {
        assert!(offset.is_multiple_of(4), "a word is stored at a multiple of its size");
        let word_ptr = self.range(offset, 4).cast::<AtomicU32>();
        // SAFETY: the word lies within the mapping (M1), is aligned since mappings start at a page, and any bits are
        // an AtomicU32.
        let atomic = unsafe { &*word_ptr };
        atomic.store(word.to_le(), Ordering::Release);
    }

    /// Gives the memory to the rest of the process's life: M1 then holds until exit.
    pub(crate) fn leak(self) -> Leaked {
        let len = self.raw.len();
        let base = NonNull::new(self.raw.as_mut_ptr()).unwrap_or(NonNull::dangling());
        std::mem::forget(self);
        Leaked { base, len }
    }

    fn range(&self, offset: usize, len: usize) -> *mut u8 {
        let fits = offset.checked_add(len).is_some_and(|end| end <= self.raw.len());
        assert!(fits, "{len} bytes at {offset} reach beyond a mapping of {}", self.raw.len());
        // SAFETY: `offset <= len` was just checked, so the pointer stays within the mapping or one past it (M1).
        unsafe { self.raw.as_mut_ptr().add(offset) }
    }
}

/// A mapping that stays until the process ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaked {
    /// Its first byte, at the start of a page.
    pub(crate) base: NonNull<u8>,
    /// Its length in bytes.
    pub(crate) len: usize,
}

// SAFETY: it is an address range; who may touch which bytes is for the users of the pointer to prove.
unsafe impl Send for Leaked {}
// SAFETY: as for Send.
unsafe impl Sync for Leaked {}

/// Makes every page present and writable, and reports what prevents that as an error.
fn populate(raw: &MmapRaw) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match raw.advise(memmap2::Advice::PopulateWrite) {
        // Kernels before 5.14 know no such advice; there the caller's fallocate has to be enough.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
        other => return other,
    }
    #[cfg(not(target_os = "linux"))]
    let _unpopulated = raw;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_in_the_file() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(8192).unwrap();
        let mut mapping = Mapping::of_file(&file, 8192).unwrap();
        mapping.write(5000, b"hello");
        mapping.store_release(4096, 0x0403_0201);

        let mut bytes = [0; 5];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 5000).unwrap();
        assert_eq!(&bytes, b"hello");
        mapping.read(4096, &mut bytes[..4]);
        assert_eq!(bytes[..4], [1, 2, 3, 4]);
    }

    #[test]
    fn a_file_shorter_than_its_mapping_is_an_error_and_no_signal() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        assert_eq!(Mapping::of_file(&file, 4096).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(Mapping::of_file(&file, 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    #[should_panic(expected = "reach beyond")]
    fn a_write_beyond_the_mapping_is_refused() {
        Mapping::anonymous(4096).unwrap().write(4095, b"ab");
    }
}
