//! Calls of what the program has given us, whose panics go no further.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the call gives; `None` where it panicked.
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(given) => Some(given),
        Err(panic) => {
            // What a panic carries may panic when it is dropped.
            std::mem::forget(panic);
            None
        }
    }
}
