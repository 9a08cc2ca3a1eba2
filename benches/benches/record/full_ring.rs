//! A ring that is full, and that nobody drains.

use std::fs::File;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use spanring::control::CONTROL_FILE_LEN;
use spanring::dictionary::DICTIONARY_FILE_LEN;
use spanring::mapping::Mapping;
use spanring::recorder::{Options, Recorder};
use spanring::{Ended, Hooks, Span, lane_file_len};
use spanring_benches::Place;

use crate::place;

/// A recorder without a spool, whose rings are files all the same.
pub(crate) struct FullRing {
    recorder: &'static Recorder,
    run: Span,
    _place: Place,
}

impl FullRing {
    pub(crate) fn new() -> Self {
        let place = place();
        let file = |name, len| mapped(&place.path().join(name), len);
        let options = Options::default();
        let control = file("control", CONTROL_FILE_LEN);
        let dictionary = file("dictionary", DICTIONARY_FILE_LEN);
        let recorder =
            Recorder::new(options, Hooks::default(), control, dictionary).expect("its options are right");
        for name in ["orphan", "lane"] {
            let lane = file(name, lane_file_len(options.ring_bytes));
            recorder.add_lane(lane).expect("there is a place for it");
        }
        recorder.install().expect("there is no other");
        let run = spanring::span("run").root().start();
        while run.child("step").start().end() == Ended::Recorded {}
        FullRing { recorder, run, _place: place }
    }

    /// Has so many spans dropped; how long that took.
    pub(crate) fn drop_spans(&self, count: u64) -> Duration {
        let before = self.recorder.counters();
        let start = Instant::now();
        for _ in 0..count {
            black_box(self.run.child("step").start().end());
        }
        let timed = start.elapsed();
        let counters = self.recorder.counters();
        assert_eq!(counters.dropped_ring_full - before.dropped_ring_full, count, "each was counted");
        assert_eq!(counters.ended - before.ended, count, "and nothing else ended");
        timed
    }
}

impl Drop for FullRing {
    fn drop(&mut self) {
        self.recorder.uninstall();
    }
}

fn mapped(path: &Path, len: usize) -> Mapping {
    let file =
        File::options().read(true).write(true).create_new(true).open(path).expect("a file can be made");
    file.set_len(len as u64).expect("the file can have its length");
    Mapping::of_file(&file, len).expect("the file can be mapped")
}
