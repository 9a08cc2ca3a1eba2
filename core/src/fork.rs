//! What happens to a recorder in a forked child.
//!
//! A child inherits the parent's mappings and its lock. If it wrote to the former, it would scribble over the parent's
//! spans; if it kept the latter, a killed parent would look alive for as long as the child lives. So the first thing
//! that runs in the child lays private zeros over every mapping, closes the lock, and forgets the recorder. The
//! child's own recorder is made at its first span.
//!
//! A child made by raw `clone` or `vfork` does not run this: there, recording is not supported.
#![expect(
    unsafe_code,
    reason = "the handler works with addresses and descriptors, which are all that it may use"
)]

use std::os::fd::RawFd;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};

use crate::mapping::Leaked;

/// How many mappings can be guarded: lanes and tables of all recorders of the process.
const MAPPINGS_MAX: usize = 8192;
const LOCKS_MAX: usize = 64;
const NO_DESCRIPTOR: RawFd = -1;

struct Range {
    base: AtomicPtr<u8>,
    len: AtomicUsize,
}

/// Mappings, in `..COUNT`; a range is complete once its length is not 0.
static RANGES: [Range; MAPPINGS_MAX] =
    [const { Range { base: AtomicPtr::new(std::ptr::null_mut()), len: AtomicUsize::new(0) } }; MAPPINGS_MAX];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static LOCKS: [AtomicI32; LOCKS_MAX] = [const { AtomicI32::new(NO_DESCRIPTOR) }; LOCKS_MAX];
static REGISTERED: Once = Once::new();

/// Installs the handler, once per process.
pub(crate) fn register() {
    REGISTERED.call_once(|| {
        // SAFETY: `in_child` is async-signal-safe (see there) and lives as long as the process.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// Guards a mapping. `false` where there is no place left: then it must not be used.
pub(crate) fn guard(memory: Leaked) -> bool {
    let index = COUNT.fetch_add(1, Ordering::Relaxed);
    let Some(range) = RANGES.get(index) else { return false };
    range.base.store(memory.base.as_ptr(), Ordering::Relaxed);
    range.len.store(memory.len, Ordering::Release);
    true
}

/// Has the descriptor of a lock closed in forked children, until [`forget_lock`]. `false` where there is no place left.
pub fn close_in_children(lock: RawFd) -> bool {
    register();
    LOCKS.iter().any(|place| {
        place.compare_exchange(NO_DESCRIPTOR, lock, Ordering::Release, Ordering::Relaxed).is_ok()
    })
}

/// Takes back [`close_in_children`], before the descriptor is closed.
pub fn forget_lock(lock: RawFd) {
    for place in &LOCKS {
        if place.compare_exchange(lock, NO_DESCRIPTOR, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return;
        }
    }
}

/// Runs in the child, on its only thread, before `fork` returns there. It calls nothing that allocates or locks.
extern "C" fn in_child() {
    let count = COUNT.load(Ordering::Relaxed).min(MAPPINGS_MAX);
    for range in &RANGES[..count] {
        let len = range.len.load(Ordering::Acquire);
        if len > 0 {
            let base = range.base.load(Ordering::Relaxed).cast();
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
            // SAFETY: the range is a mapping of ours that is never unmapped; replacing it by zeros of the same length
            // keeps every pointer into it valid, and all that is reached through them is atomics and plain bytes.
            unsafe { libc::mmap(base, len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
            // The child has nothing of its own there, and inherits nothing to its own children.
            range.len.store(0, Ordering::Relaxed);
        }
    }
    for place in &LOCKS {
        let lock = place.swap(NO_DESCRIPTOR, Ordering::Relaxed);
        if lock != NO_DESCRIPTOR {
            // SAFETY: the descriptor was ours to close when it was registered; its owner in this process, if it is ever
            // dropped, finds it closed already, which is why owners are leaked in children (see `Recorder::is_forked`).
            unsafe { libc::close(lock) };
        }
    }
    crate::recorder::reset_after_fork();
    crate::dictionary::Entering::reset_after_fork();
    crate::thread::LOCAL.with(crate::thread::Local::reset_after_fork);
}
