//! What a ring held, kept so that it can be encoded again and again.

use std::fs;

use spanring::image::Image;
use spanring::record::Record;
use spanring_spool::SpoolDir;

use crate::{Bed, Place};

/// Room for what is captured, in bytes: the ring must not wrap.
const RING_LEN: usize = 64 << 20;

/// The ring of a thread that has recorded something.
#[derive(Debug)]
pub struct Captured {
    lane: Vec<u8>,
}

impl Captured {
    /// Has `record` record that many spans on this thread.
    ///
    /// # Panics
    ///
    /// Where they are not all there, or there are more than a ring holds.
    pub fn of(place: Place, spans: u64, record: impl FnOnce()) -> Self {
        let spool = place.path().join("spool");
        let mut bed = Bed::new(place, |spool| spool.ring_bytes(RING_LEN).rings(1, 1));
        record();
        bed.settle(spans);
        // What is spooled stays where it is until the ring comes round to it again.
        let dir = SpoolDir::open(spool).expect("the spool is there");
        let recorder = dir.recorders().expect("the spool can be listed").remove(0);
        // Lane 0 is for threads that are ending.
        let lane = fs::read(dir.recorder_path(&recorder).join("lane-0001")).expect("there is one lane");
        bed.stop();
        let captured = Captured { lane };
        let ended = |records: &mut dyn Iterator<Item = Record<'_>>| {
            records.filter(|record| matches!(record, Record::Ended { .. })).count()
        };
        assert_eq!(captured.look(ended) as u64, spans, "spans in are spans out");
        captured
    }

    /// Shows the records.
    pub fn look<T>(&self, look: impl FnOnce(&mut dyn Iterator<Item = Record<'_>>) -> T) -> T {
        let mut image = Image::default();
        image.add_lane(&self.lane).expect("it is a lane");
        let lane = image.lanes().next().expect("it was added");
        let mut records = lane.records(0).map(|record| record.expect("records are whole").0);
        look(&mut records)
    }
}
