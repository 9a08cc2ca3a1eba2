//! Spans that are decided against, in a program that records.

use std::hint::black_box;

use spanring::callsite::Directives;
use spanring::sampling::AlwaysOff;
use spanring::span;
use spanring_benches::Bed;

use crate::place;

/// A spool for which everything is decided against.
pub(crate) fn bed() -> Bed {
    let off: Directives = "off".parse().expect("it is a directive");
    Bed::new(place(), |spool| spool.filter(off).sampler(AlwaysOff))
}

pub(crate) fn by_callsite(count: u64) {
    for _ in 0..count {
        black_box(span!("step", number = black_box(1)).end());
    }
}

pub(crate) fn by_sampling(count: u64) {
    let run = spanring::span("run").root().start();
    assert!(!run.is_recording());
    for _ in 0..count {
        black_box(black_box(&run).child("step").start().end());
    }
}
