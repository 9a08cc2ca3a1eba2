//! Recording into memory, as the tests of a user's program do: in one binary, on several threads.

mod assertions;
mod recording;

use std::panic::{AssertUnwindSafe, catch_unwind};

use spanring_spool::memory::MemoryRecorder;

fn start() -> MemoryRecorder {
    MemoryRecorder::start().unwrap()
}

/// What an assertion says that fails.
#[track_caller]
fn complaint<T>(assertion: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(assertion)).err().expect("the assertion fails");
    *panic.downcast::<String>().expect("a panic with a message")
}
