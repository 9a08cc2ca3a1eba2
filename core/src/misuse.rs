//! Calls that come too late or are wrong. They do nothing, are counted, and each sort is warned about once.

use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::control::Counter;
use crate::recorder;

/// What was wrong with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Misuse {
    TraceWithoutName = 0,
    SecondStart = 1,
    SecondEnd = 2,
    ChangeAfterEnd = 3,
}

impl Misuse {
    fn warning(self) -> &'static str {
        match self {
            Misuse::TraceWithoutName => "a trace was started without a name; it is called \"unnamed\"",
            Misuse::SecondStart => "a shared span was started twice; the second start did nothing",
            Misuse::SecondEnd => "a shared span was ended twice; the second end did nothing",
            Misuse::ChangeAfterEnd => "a shared span was changed after its end; the change was ignored",
        }
    }
}

/// A bit for each sort that was warned about.
static WARNED: AtomicU8 = AtomicU8::new(0);

/// Counts the call, and warns on standard error if it is the first of its sort in this process.
#[cold]
pub(crate) fn report(misuse: Misuse) {
    let Some(recorder) = recorder::current() else { return };
    recorder.control().count(Counter::Misused);
    let bit = 1 << misuse as u8;
    if WARNED.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
        let warning = misuse.warning();
        let line = format!("spanring: {warning} (later calls of this sort are only counted)\n");
        // Nobody hears it where standard error is closed; the count remains.
        drop(std::io::stderr().write_all(line.as_bytes()));
    }
}
