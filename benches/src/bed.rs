//! A spool to measure on, which checks that nothing was lost.

use std::time::Duration;

use spanring_spool::{Ledger, Level, RecorderReader, Spool, SpoolBuilder, SpoolDir};

use crate::Place;

/// No flush of a benchmark takes longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a spool has carried from rings into segments.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// Spans.
    pub spans: u64,
    /// Bytes of segments.
    pub bytes: u64,
    /// Spans that were dropped meanwhile.
    pub dropped: u64,
}

/// A spool with its threads running, as an application has it.
#[derive(Debug)]
pub struct Bed {
    spool: Spool,
    last: Ledger,
    dir: SpoolDir,
    place: Place,
}

impl Bed {
    /// A spool in this place, set up by `configure`.
    ///
    /// # Panics
    ///
    /// Where it cannot be started, or would not survive a kill: that is not what is to be measured.
    pub fn new(place: Place, configure: impl FnOnce(SpoolBuilder) -> SpoolBuilder) -> Self {
        let spool = configure(Spool::open(place.path().join("spool")).service("benchmark"));
        let spool = spool.start().expect("the spool starts");
        assert!(spool.health().is_crash_safe, "the rings are in files");
        let dir = SpoolDir::open(place.path().join("spool")).expect("the spool is there");
        Bed { last: spool.ledger(), spool, dir, place }
    }

    /// Waits until all that was recorded is in a segment.
    pub fn drain(&self) {
        self.spool.flush(Level::Spooled, TIMEOUT).expect("the rings are drained");
    }

    /// Waits likewise, and checks that since the last time as many spans were spooled as are said to have been recorded,
    /// and none was dropped.
    pub fn settle(&mut self, spans: u64) {
        assert_eq!(self.settled(), spans, "spans in are spans out");
    }

    /// Waits likewise, checks that every span that ended is in a segment and none was dropped, and returns how many there
    /// were since the last time.
    pub fn settled(&mut self) -> u64 {
        self.drain();
        let ledger = self.spool.ledger();
        let spans = ledger.spooled - self.last.spooled;
        assert_eq!(ledger.ended - self.last.ended, spans, "every span is in a segment");
        assert_eq!(ledger.dropped.total(), 0, "none was dropped:\n{ledger}");
        self.last = ledger;
        spans
    }

    /// Waits likewise, reads on from where the reader was, and removes the segments before it. What there was since the last time, for a measurement
    /// in which spans may be dropped.
    pub fn carried(&mut self, reader: &mut RecorderReader) -> Carried {
        self.drain();
        let ledger = self.spool.ledger();
        let mut carried =
            Carried { spans: 0, bytes: 0, dropped: ledger.dropped.total() - self.last.dropped.total() };
        self.last = ledger;
        let mut position = reader.position();
        while let Some(block) = reader.next_block_ref().expect("a segment can be read") {
            carried.spans += block.spans().count() as u64;
            let from = if block.position().segment == position.segment { position.offset } else { 0 };
            position = block.position();
            carried.bytes += position.offset - from;
        }
        assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
        self.dir.remove_delivered(self.spool.id(), &[position]).expect("segments can be removed");
        carried
    }

    /// The spool, as other processes see it.
    pub fn dir(&self) -> &SpoolDir {
        &self.dir
    }

    /// A reader of all that was and will be recorded here.
    pub fn reader(&self) -> RecorderReader {
        self.dir.reader(self.spool.id()).expect("the recorder can be read")
    }

    /// Reads on from where the reader was, removes the segments before it, and returns how many spans there were.
    pub fn read_and_remove(&self, reader: &mut RecorderReader) -> u64 {
        let (mut spans, mut position) = (0, None);
        while let Some(block) = reader.next_block().expect("a segment can be read") {
            spans += block.spans.len() as u64;
            position = Some(block.position);
        }
        assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
        if let Some(position) = position {
            self.dir.remove_delivered(self.spool.id(), &[position]).expect("segments can be removed");
        }
        spans
    }

    /// Stops the spool, and returns where its files are.
    ///
    /// # Panics
    ///
    /// Where not all is durable then.
    pub fn stop(self) -> (Place, SpoolDir) {
        let report = self.spool.stop(TIMEOUT);
        assert!(report.is_complete, "{report}");
        (self.place, self.dir)
    }
}
