//! The floor: see [`Floor`].

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use spanring_benches::{Calls, Floor};

use crate::place;
use crate::ways::{Recording, Session, Work};

/// Spans written into files, and counted by how far the files are filled.
pub(crate) struct Written {
    spans: AtomicU64,
}

struct Writing<'a> {
    floor: Floor,
    span_len: u64,
    counted: u64,
    spans: &'a AtomicU64,
}

impl Written {
    pub(crate) fn new() -> Self {
        Written { spans: AtomicU64::new(0) }
    }
}

impl Recording for Written {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(Writing { floor: Floor::new(place()), span_len: 1, counted: 0, spans: &self.spans })
    }

    fn arrived(&self, _: u64) -> u64 {
        self.spans.swap(0, Ordering::Relaxed)
    }
}

impl Session for Writing<'_> {
    fn record(&mut self, work: Work, _: &Calls, count: usize) {
        match work {
            Work::Child | Work::FourAttributes => self.write::<16>(count),
            Work::Llm => self.write::<64>(count),
        }
    }

    fn hand_over(&mut self) {
        let written = self.floor.written();
        self.spans.fetch_add((written - self.counted) / self.span_len, Ordering::Relaxed);
        self.counted = written;
    }
}

impl Writing<'_> {
    fn write<const WORDS: usize>(&mut self, count: usize) {
        self.span_len = 8 * WORDS as u64;
        for _ in 0..count {
            self.floor.span::<WORDS>();
        }
    }
}

pub(crate) fn off(count: u64) {
    let run = 0_u64;
    for _ in 0..count {
        black_box(black_box(&run));
    }
}
