//! The drain thread: it carries what the rings hold into segments.
//!
//! It looks round every few hundred microseconds, and takes what it finds only when that is worth a block: what lies in a
//! ring has already survived the process. A ring's space is given back after the block that holds its records is
//! committed, and not before; so whatever the moment of a kill, each record is in a ring, in a segment, or in both, and
//! the positions in the block's header tell which.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use spanring::clock::{Anchor, Timeline};
use spanring::record::Record;
use spanring::recorder::{Consumer, Recorder};

use crate::Error;
use crate::block::{BlockBuilder, Compression, Names, Payload};
use crate::ledger::Ledger;
use crate::progress::{Progress, Stop};
use crate::ring_files::RingFiles;
use crate::segment::{BlockHeader, RingPosition};
use crate::segment_writer::{NotAppended, SegmentWriter};

/// A block is closed when it is about as long before compression, in bytes.
pub(crate) const BLOCK_RAW_LEN: usize = 1 << 20;
/// How long the drain sleeps at first when there is nothing to do, and at most. The first is also how long it sleeps at least after it could
/// do nothing, whoever wakes it: a thread whose spans are dropped would wake it with each.
const PAUSE_MIN: Duration = Duration::from_micros(200);
const PAUSE_MAX: Duration = Duration::from_millis(10);
/// How long to wait before an append that failed is tried again: this at first, and up to so long. Each gives a segment up, of which the next one is made.
const RETRY_MIN: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_millis(500);
/// How often the clock is anchored.
const ANCHOR_INTERVAL: Duration = Duration::from_secs(1);
/// How long the rate of the clock is measured before a new measurement begins.
const RATE_INTERVAL_NS: u64 = 600_000_000_000;
/// Above this part of a ring, in percent, what it holds is worth a block; above the next, compression is fast; and above
/// the last there is none.
const WORTH_ABOVE: u64 = 25;
const FAST_ABOVE: u64 = 50;
const STORE_ABOVE: u64 = 80;
/// For blocks that are made since what they hold has waited or is asked for, and not since a ring fills: a tenth smaller, in up to twice
/// the time.
const THOROUGH: Compression = Compression::Zstd(3);
const FAST: Compression = Compression::Zstd(-5);
const WRITE: &str = "write a block";
const MAKE: &str = "make a block";
const RING: &str = "prepare a ring";
const TABLE: &str = "prepare a table";

/// What to spend on a block of `backlog` bytes while the fullest ring is so many percent full: a block that is larger is better than a
/// record that is dropped, and one that is smaller costs nobody anything while there is little to do.
fn compression_at(full: u64, backlog: u64) -> Compression {
    match full {
        full if full > STORE_ABOVE => Compression::None,
        full if full > FAST_ABOVE => FAST,
        full if full > WORTH_ABOVE || backlog > BLOCK_RAW_LEN as u64 => Compression::default(),
        _ => THOROUGH,
    }
}

pub(crate) struct Drain {
    pub(crate) consumer: Consumer,
    pub(crate) files: RingFiles,
    pub(crate) progress: Arc<Progress>,
    pub(crate) writer: SegmentWriter,
    pub(crate) pools: Pools,
    /// How long records may lie in rings, and how many bytes of them, before they are put into a block.
    pub(crate) linger: Duration,
    pub(crate) linger_bytes: u64,
    /// How many bytes of blocks that are not durable are kept, to be written again if a sync fails.
    pub(crate) kept_bytes_max: u64,
    pub(crate) clock: Clock,
}

/// How many rings and tables there are to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pools {
    pub(crate) free_lanes: usize,
    pub(crate) lanes_max: usize,
    pub(crate) spare_tables: usize,
    pub(crate) tables_max: u16,
}

/// The dictionary of this process.
pub(crate) struct Callsites;

impl Names for Callsites {
    fn text(&self, number: u16) -> Option<&str> {
        spanring::dictionary::text(number)
    }
}

/// Turns ticks into time, and is corrected once a second.
pub(crate) struct Clock {
    earlier: Anchor,
    timeline: Timeline,
    anchored: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let (earlier, timeline) = Timeline::measure();
        Clock { earlier, timeline, anchored: Instant::now() }
    }

    fn keep(&mut self, consumer: &mut Consumer) {
        if self.anchored.elapsed() < ANCHOR_INTERVAL {
            return;
        }
        let now = Anchor::now();
        // A machine that slept, or one whose clock went mad, is measured anew; the old rate holds until then.
        match Timeline::between(&self.earlier, &now) {
            Some(timeline)
                if (timeline.ticks_per_second / self.timeline.ticks_per_second - 1.0).abs() < 0.001 =>
            {
                self.timeline = timeline;
            }
            _ => {
                self.timeline.base_ticks = now.ticks;
                self.timeline.base_unix_ns = now.realtime_ns;
                self.earlier = now;
            }
        }
        if now.monotonic_ns.saturating_sub(self.earlier.monotonic_ns) > RATE_INTERVAL_NS {
            self.earlier = now;
        }
        self.anchored = Instant::now();
        consumer.store_anchor(&now, &self.timeline);
    }

    pub(crate) fn anchor(&self, consumer: &mut Consumer) {
        consumer.store_anchor(&self.earlier, &self.timeline);
        consumer.mark_alive();
    }
}

/// A block that is made and not committed, or committed and not durable.
struct Made {
    header: BlockHeader,
    payload: Payload,
    spans: u64,
}

impl Made {
    fn end(&self) -> u64 {
        self.header.first_sequence + u64::from(self.header.rows)
    }
}

/// The writing again of rows whose sync had failed, which may take several segments.
struct Rewriting {
    /// The segments whose sync had failed when it began.
    failed: Vec<u64>,
    /// All rows below this one stand elsewhere by now.
    next: u64,
    /// Whether all of them were still there to be written.
    is_complete: bool,
}

/// What became of rows whose sync had failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rewrite {
    NotDue,
    Done,
    /// There is no segment for them yet.
    Waits,
}

/// What goes on between two looks.
struct Round {
    pending: Option<Made>,
    kept: VecDeque<Made>,
    kept_bytes: u64,
    rewriting: Option<Rewriting>,
    /// When a block that could not be written may be tried again, and after how long the next time.
    retry: (Instant, Duration),
    /// The sequence of the next row.
    sequence: u64,
    /// Since when records have been lying in rings.
    waiting_since: Option<Instant>,
    builder: BlockBuilder,
    next_lane: u16,
    damaged: u64,
    pools_tried: Instant,
    pools_failed: bool,
}

impl Drain {
    pub(crate) fn run(mut self) {
        self.consumer.recorder().set_consumer_thread(thread::current());
        let mut round = Round {
            pending: None,
            kept: VecDeque::new(),
            kept_bytes: 0,
            rewriting: None,
            retry: (Instant::now(), RETRY_MIN),
            sequence: 0,
            waiting_since: None,
            builder: BlockBuilder::new(),
            next_lane: 0,
            damaged: 0,
            pools_tried: Instant::now(),
            pools_failed: false,
        };
        let mut pause = PAUSE_MIN;
        loop {
            let refilled = self.keep_house(&mut round);
            let stop = self.progress.lock().stop;
            // Rows whose sync failed go first, so that rows stand in the order of their sequence.
            let moved = match self.rewrite_unsynced(&mut round) {
                Rewrite::Waits => false,
                rewrite => {
                    self.spool(&mut round, stop > Stop::Running) | (rewrite == Rewrite::Done) | refilled
                }
            };
            if let Stop::Draining(deadline) = stop {
                let is_empty = round.pending.is_none() && self.consumer.backlog().bytes == 0;
                if is_empty || Instant::now() >= deadline {
                    self.finish();
                    return;
                }
            }
            pause = if moved { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
            if !moved {
                thread::sleep(PAUSE_MIN);
            }
            thread::park_timeout(if stop > Stop::Running { PAUSE_MIN } else { pause });
        }
    }

    /// What must go on however much there is to be spooled: the sign of life, the clock, the pools. Says whether someone had found no
    /// ring or table, and there is one now.
    fn keep_house(&mut self, round: &mut Round) -> bool {
        self.consumer.mark_alive();
        self.clock.keep(&mut self.consumer);
        self.refill_pools(round)
    }

    fn recorder(&self) -> &'static Recorder {
        self.consumer.recorder()
    }

    /// Spools what is there, if that is worth a block by now. Says whether anything moved.
    fn spool(&mut self, round: &mut Round, at_once: bool) -> bool {
        let mut moved = false;
        loop {
            if round.pending.is_none() {
                let backlog = self.consumer.backlog();
                let full = backlog.fullest * 100 / self.recorder().options().ring_bytes as u64;
                if self.is_worth_a_block(round, backlog.bytes, full, at_once) {
                    round.pending = self.make(round, compression_at(full, backlog.bytes));
                }
            }
            let Some(made) = round.pending.take_if(|_| Instant::now() >= round.retry.0) else { return moved };
            match self.writer.append(&made.header, &made.payload.bytes) {
                Ok(()) => self.commit(round, made),
                Err(not_appended) => {
                    self.note_not_appended(round, not_appended);
                    round.pending = Some(made);
                    return moved;
                }
            }
            moved = true;
            // Threads that record faster than this carries would keep it here for ever.
            self.keep_house(round);
        }
    }

    /// Notes why a block was not appended, and when to try again.
    fn note_not_appended(&self, round: &mut Round, not_appended: NotAppended) {
        let NotAppended::Failed(error) = not_appended else { return };
        self.trouble(WRITE, error.to_string());
        let pause = round.retry.1;
        round.retry = (Instant::now() + pause, (pause * 2).min(RETRY_MAX));
    }

    /// Whether to make a block of `backlog` bytes, where the fullest ring is `full` percent full.
    fn is_worth_a_block(&mut self, round: &mut Round, backlog: u64, full: u64, at_once: bool) -> bool {
        if backlog == 0 {
            round.waiting_since = None;
            return false;
        }
        let since = *round.waiting_since.get_or_insert_with(Instant::now);
        let is_wanted = at_once || self.progress.lock().flushes > 0;
        is_wanted || backlog >= self.linger_bytes || since.elapsed() >= self.linger || full > WORTH_ABOVE
    }

    /// Makes a block of what the rings hold, or of as much as a block should hold.
    fn make(&mut self, round: &mut Round, compression: Compression) -> Option<Made> {
        let lanes = u16::try_from(self.recorder().lane_count()).unwrap_or(u16::MAX);
        let timeline = self.clock.timeline;
        let (mut spans, mut damaged) = (0, 0);
        let builder = &mut round.builder;
        round.next_lane = if round.next_lane >= lanes { 0 } else { round.next_lane };
        for lane in (round.next_lane..lanes).chain(0..round.next_lane) {
            // The next block begins with the next lane, so that none that is always full keeps the others waiting.
            round.next_lane = lane + 1;
            let mut expected = self.consumer.consumed(lane).ended + 1;
            self.consumer.consume(lane, |record| {
                match record {
                    Ok(Record::Ended { ordinal, end, body }) => {
                        damaged += ordinal.saturating_sub(expected);
                        expected = ordinal + 1;
                        spans += 1;
                        // A malformed entry is counted in the row itself.
                        builder.push_ended(&body, end, &timeline, &Callsites);
                    }
                    Ok(Record::Started { body }) => {
                        builder.push_started(&body, &timeline, &Callsites);
                    }
                    // What was lost shows in the ordinal of the next record.
                    Ok(Record::Padding) | Err(_) => {}
                }
                if builder.raw_len() >= BLOCK_RAW_LEN {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            if builder.raw_len() >= BLOCK_RAW_LEN {
                break;
            }
        }
        round.damaged += damaged;
        let rows = builder.rows();
        if rows == 0 {
            // Nothing but padding.
            self.consumer.release();
            return None;
        }
        let payload = match builder.finish(compression) {
            Ok(payload) => payload,
            Err(error) => {
                // No block of these limits is too large for a reader; should one be, its spans are lost and counted.
                self.trouble(MAKE, error.to_string());
                round.damaged += spans;
                self.consumer.release();
                return None;
            }
        };
        let state = self.progress.lock();
        let ledger = Ledger::live(&self.recorder().counters(), state.spooled_spans + spans, round.damaged);
        drop(state);
        let rings = self.consumer.unreleased();
        let rings =
            rings.map(|ring| RingPosition { lane: ring.lane, position: ring.position, ended: ring.ended });
        let header = BlockHeader {
            first_sequence: round.sequence,
            rows,
            raw_len: payload.raw_len,
            codec: payload.codec,
            ledger: ledger.encode(),
            rings: rings.collect(),
        };
        round.sequence += u64::from(rows);
        Some(Made { header, payload, spans })
    }

    /// Gives the rings' space back, now that the block is committed.
    fn commit(&mut self, round: &mut Round, made: Made) {
        round.waiting_since = None;
        round.retry.1 = RETRY_MIN;
        // Both at once, for those who wait: when their rings are given back, the ledger says so too.
        let mut state = self.progress.lock();
        self.consumer.release();
        state.spooled_spans += made.spans;
        state.damaged = round.damaged;
        state.succeed(WRITE);
        state.succeed(MAKE);
        let durable = state.durable();
        drop(state);
        self.progress.notify_moved();
        self.progress.notify_work();

        round.kept_bytes += made.payload.bytes.len() as u64;
        round.kept.push_back(made);
        while let Some(first) = round.kept.front()
            && (first.end() <= durable || round.kept_bytes > self.kept_bytes_max)
        {
            round.kept_bytes -= first.payload.bytes.len() as u64;
            if let Some(first) = round.kept.pop_front() {
                round.builder.take_back(first.payload);
            }
        }
    }

    /// Writes the rows of segments whose sync failed to others.
    fn rewrite_unsynced(&mut self, round: &mut Round) -> Rewrite {
        let (from, spooled, failed) = {
            let state = self.progress.lock();
            let failed = state.dirty.iter().filter(|dirty| dirty.failed).map(|dirty| dirty.segment);
            (state.failed_from(), state.spooled, failed.collect::<Vec<_>>())
        };
        let Some(from) = from else { return Rewrite::NotDue };
        if Instant::now() < round.retry.0 {
            return Rewrite::Waits;
        }
        // All that follow too, so that they stand in the order of their sequence. Where the sync of a segment fails that it wrote to, it begins anew.
        let mut rewriting =
            round.rewriting.take_if(|rewriting| rewriting.failed == failed).unwrap_or_else(|| {
                self.writer.give_up();
                let first = round.kept.iter().find(|made| made.end() > from);
                // Behind the last row there is only a seal.
                let is_complete =
                    from >= spooled || first.is_some_and(|made| made.header.first_sequence <= from);
                Rewriting { failed, next: from, is_complete }
            });
        let first =
            round.kept.iter().position(|made| made.end() > rewriting.next).unwrap_or(round.kept.len());
        for made in round.kept.range(first..) {
            match self.writer.append(&made.header, &made.payload.bytes) {
                Ok(()) => rewriting.next = made.end(),
                Err(not_appended) => {
                    self.note_not_appended(round, not_appended);
                    round.rewriting = Some(rewriting);
                    return Rewrite::Waits;
                }
            }
        }
        let mut state = self.progress.lock();
        state.dirty.retain(|dirty| !dirty.failed || !rewriting.failed.contains(&dirty.segment));
        if !rewriting.is_complete {
            state.not_durable = true;
        }
        state.succeed(WRITE);
        drop(state);
        round.retry.1 = RETRY_MIN;
        self.progress.notify_moved();
        self.progress.notify_work();
        Rewrite::Done
    }

    /// Keeps rings and tables ready. Says whether someone had found none.
    fn refill_pools(&mut self, round: &mut Round) -> bool {
        let recorder = self.recorder();
        let starved = recorder.take_starved();
        // What has just failed is not tried again at once, however many threads there are that find no ring.
        if (!starved || round.pools_failed) && round.pools_tried.elapsed() < PAUSE_MAX {
            return false;
        }
        round.pools_tried = Instant::now();
        let lanes = recorder.lane_count();
        let made = loop {
            if recorder.free_lane_count() >= self.pools.free_lanes
                || recorder.lane_count() >= self.pools.lanes_max
            {
                break Ok(());
            }
            if let Err(error) = self.files.add_lane(recorder) {
                break Err(error);
            }
        };
        round.pools_failed = made.is_err();
        self.tell(RING, made);
        let tables = self.files.tables();
        let made = loop {
            if recorder.spare_table_count() >= self.pools.spare_tables
                || self.files.tables() >= self.pools.tables_max
            {
                break Ok(());
            }
            if let Err(error) = self.files.add_table(recorder) {
                break Err(error);
            }
        };
        round.pools_failed |= made.is_err();
        self.tell(TABLE, made);
        starved && (recorder.lane_count() > lanes || self.files.tables() > tables)
    }

    /// Notes whether something works.
    fn tell(&self, action: &'static str, done: Result<(), Error>) {
        let mut state = self.progress.lock();
        match done {
            Ok(()) => state.succeed(action),
            Err(error) => state.fail(action, error.to_string()),
        }
    }

    fn trouble(&self, action: &'static str, reason: String) {
        self.progress.lock().fail(action, reason);
    }

    fn finish(&mut self) {
        self.writer.seal();
        self.progress.lock().stop = Stop::Syncing;
        self.progress.notify_moved();
        self.progress.notify_work();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_waits_the_less_is_spent_on_a_block() {
        const LITTLE: u64 = BLOCK_RAW_LEN as u64;
        let strength = |(full, backlog)| match compression_at(full, backlog) {
            Compression::None => i32::MIN,
            Compression::Zstd(level) => level,
        };
        for backlog in [0, LITTLE, LITTLE + 1, u64::MAX] {
            let at = (0..=100).map(|full| (full, backlog));
            assert!(at.map(strength).is_sorted_by(|less_full, fuller| less_full >= fuller));
        }
        let at = |full, backlog| compression_at(full, backlog);
        assert_eq!((at(0, 1), at(25, LITTLE)), (THOROUGH, THOROUGH));
        assert_eq!((at(0, LITTLE + 1), at(26, 1), at(50, LITTLE)), Default::default());
        assert_eq!((at(51, 1), at(80, LITTLE)), (FAST, FAST));
        assert_eq!((at(81, 1), at(100, LITTLE)), (Compression::None, Compression::None));
    }
}
