//! The rings of a recorder in memory, and what came out of them.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::Duration;

use spanring::clock::{Anchor, Timeline};
use spanring::control::CONTROL_FILE_LEN;
use spanring::dictionary::DICTIONARY_FILE_LEN;
use spanring::mapping::Mapping;
use spanring::record::Record;
use spanring::recorder::{Consumer, LANES_MAX, Limits, Options, Overflow, Recorder};
use spanring::{Hooks, SpanId, TraceId, lane_file_len, table_file_len};

use super::MemoryError;
use crate::block::{BlockBuilder, BlockDecoder, Compression};
use crate::drain::Callsites;
use crate::{Ledger, SpanData};

/// A block is closed when it is about as long, in bytes.
const BLOCK_RAW_LEN: usize = 1 << 20;
/// How many tables wait to be taken after each look, each for 1,024 open spans more, and how many there are at most.
const SPARE_TABLES: usize = 8;
const TABLES_MAX: usize = 256;

/// How rings are made. They can be used again by whoever wants the same.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Plan {
    pub(super) ring_bytes: usize,
    pub(super) threads: usize,
    pub(super) limits: Limits,
}

impl Default for Plan {
    fn default() -> Self {
        let Options { ring_bytes, limits, .. } = Options::default();
        Plan { ring_bytes, threads: 64, limits }
    }
}

/// Spans that did not fit, so that what was recorded is not all there was.
pub(super) struct Lost {
    ledger: Ledger,
    plan: Plan,
}

pub(super) struct Rings {
    plan: Plan,
    consumer: Consumer,
    tables: usize,
    /// The clock's rate was measured since then.
    measured: Anchor,
    /// One for all that is recorded in a turn, so that what is looked at later does not seem to have started earlier.
    timeline: Timeline,
    builder: BlockBuilder,
    decoder: BlockDecoder,
    /// What had been counted when the turn began.
    before: Ledger,
    taken: Taken,
}

/// What came out of the rings in this turn.
#[derive(Default)]
struct Taken {
    ended: Vec<SpanData>,
    /// Announcements, in the order of their lanes.
    started: Vec<SpanData>,
    /// Spans that came out of no ring and were not counted as dropped.
    damaged: u64,
}

impl Rings {
    pub(super) fn make(plan: Plan, hooks: Hooks) -> Result<Self, MemoryError> {
        if plan.threads >= LANES_MAX {
            return Err(MemoryError::TooMany);
        }
        // Every span is announced, which is how open ones are known. Nobody makes room while code under test runs, so none can wait for it.
        let Plan { ring_bytes, limits, .. } = plan;
        let options = Options { ring_bytes, overflow: Overflow::Drop, live: true, limits };
        let recorder = Recorder::new(options, hooks, map(CONTROL_FILE_LEN)?, map(DICTIONARY_FILE_LEN)?)?;
        // And one that is shared by threads that have none.
        for _ in 0..=plan.threads {
            recorder.add_lane(map(lane_file_len(ring_bytes))?)?;
        }
        let (measured, timeline) = Timeline::measure();
        let consumer = recorder.consumer().ok_or(MemoryError::AlreadyRecording)?;
        let mut rings = Rings {
            plan,
            consumer,
            tables: 0,
            measured,
            timeline,
            builder: BlockBuilder::new(),
            decoder: BlockDecoder::default(),
            before: Ledger::default(),
            taken: Taken::default(),
        };
        rings.refill_tables()?;
        Ok(rings)
    }

    pub(super) fn plan(&self) -> Plan {
        self.plan
    }

    pub(super) fn is_forked(&self) -> bool {
        self.recorder().is_forked()
    }

    fn recorder(&self) -> &'static Recorder {
        self.consumer.recorder()
    }

    pub(super) fn install(&self) -> Result<(), MemoryError> {
        Ok(self.recorder().install()?)
    }

    pub(super) fn uninstall(&self) {
        self.recorder().uninstall();
    }

    /// Has the processors finish.
    pub(super) fn shut_down(&self, timeout: Duration) {
        self.recorder().flush_processors(timeout);
        self.recorder().shut_processors_down();
    }

    /// Whether nothing is going on in them, and nothing can be any more. To be called when they are not installed.
    pub(super) fn close(&self) -> bool {
        self.recorder().close()
    }

    /// Whether no span is open, and most rings are free; the others belong to threads that outlive the code under test. Each gives its ring
    /// back when it records again or ends.
    pub(super) fn are_at_rest(&self) -> bool {
        let recorder = self.recorder();
        recorder.counters().in_flight() == 0 && recorder.free_lane_count() >= self.plan.threads.div_ceil(2)
    }

    /// Forgets what was recorded, so that they can be installed again.
    pub(super) fn begin_again(&mut self, hooks: Hooks) {
        let now = Anchor::now();
        let measured = Timeline::between(&self.measured, &now);
        // A machine that slept is measured anew.
        let rate = self.timeline.ticks_per_second;
        match measured.filter(|timeline| (timeline.ticks_per_second / rate - 1.0).abs() < 0.001) {
            Some(timeline) => self.timeline = timeline,
            None => (self.measured, self.timeline) = Timeline::measure(),
        }
        self.skip();
        self.taken = Taken::default();
        self.before = self.counted();
        self.recorder().reopen(hooks);
    }

    /// Gives the space back of what ended after the last turn.
    fn skip(&mut self) {
        for lane in self.lanes() {
            self.consumer.consume(lane, |_| ControlFlow::Continue(()));
        }
        self.consumer.release();
    }

    fn lanes(&self) -> std::ops::Range<u16> {
        0..u16::try_from(self.recorder().lane_count()).unwrap_or(u16::MAX)
    }

    fn counted(&self) -> Ledger {
        Ledger::live(&self.recorder().counters(), 0, 0)
    }

    /// The account of this turn, after what lies in the rings was taken.
    pub(super) fn ledger(&mut self) -> Ledger {
        self.take();
        let mut ledger = self.counted().since(&self.before);
        ledger.spooled = self.taken.ended.len() as u64;
        ledger.dropped.damaged = self.taken.damaged;
        ledger
    }

    /// Takes what lies in the rings, and says what was lost, if anything was.
    pub(super) fn look(&mut self) -> Option<Lost> {
        let ledger = self.ledger();
        // Where there are no more, spans are dropped for lack of them, and that is said.
        drop(self.refill_tables());
        let is_lossy = ledger.dropped.total() + ledger.starts_lost > 0;
        is_lossy.then_some(Lost { ledger, plan: self.plan })
    }

    /// What was taken in this turn, in the order in which it started.
    pub(super) fn spans(&self) -> Vec<SpanData> {
        let Taken { ended, started, .. } = &self.taken;
        let identity = |span: &SpanData| (span.trace_id, span.span_id);
        let mut known: HashSet<(TraceId, SpanId)> = ended.iter().map(identity).collect();
        let open = started.iter().filter(|span| known.insert(identity(span)));
        let mut spans: Vec<SpanData> = ended.iter().chain(open).cloned().collect();
        // Where clocks are coarse, what one thread has started at the same moment stands in the order of its ring.
        let mut places = HashMap::new();
        for (place, span) in started.iter().enumerate() {
            places.entry(identity(span)).or_insert(place);
        }
        let place = |span: &SpanData| places.get(&identity(span)).copied().unwrap_or(usize::MAX);
        spans.sort_by_key(|span| (span.start_unix_ns, place(span)));
        spans
    }

    /// Carries what lies in the rings through blocks, as a spool does.
    fn take(&mut self) {
        while self.fill_block() {
            let rows = self.builder.rows();
            let spans = self.builder.finish(Compression::None).ok().and_then(|payload| {
                self.decoder.decode(&payload.bytes, payload.codec, payload.raw_len, rows, 0).ok()
            });
            match spans {
                Some(spans) => {
                    self.taken.ended.extend(spans.spans);
                    self.taken.started.extend(spans.starts);
                }
                // No block of these limits is refused; should one be, it must show.
                None => self.taken.damaged += u64::from(rows),
            }
            self.consumer.release();
        }
        self.consumer.release();
    }

    /// Puts as much into the builder as a block should hold. Says whether there was anything.
    fn fill_block(&mut self) -> bool {
        let (lanes, builder, timeline) = (self.lanes(), &mut self.builder, &self.timeline);
        for lane in lanes {
            let mut expected = self.consumer.consumed(lane).ended + 1;
            self.consumer.consume(lane, |record| {
                match record {
                    Ok(Record::Ended { ordinal, end, body }) => {
                        self.taken.damaged += ordinal.saturating_sub(expected);
                        expected = ordinal + 1;
                        builder.push_ended(&body, end, timeline, &Callsites);
                    }
                    Ok(Record::Started { body }) => {
                        builder.push_started(&body, timeline, &Callsites);
                    }
                    Ok(Record::Padding) | Err(_) => {}
                }
                match builder.raw_len() < BLOCK_RAW_LEN {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            });
            if builder.raw_len() >= BLOCK_RAW_LEN {
                break;
            }
        }
        builder.rows() > 0
    }

    fn refill_tables(&mut self) -> Result<(), MemoryError> {
        while self.recorder().spare_table_count() < SPARE_TABLES && self.tables < TABLES_MAX {
            self.recorder().add_table(map(table_file_len())?)?;
            self.tables += 1;
        }
        Ok(())
    }
}

fn map(len: usize) -> Result<Mapping, MemoryError> {
    Mapping::unpopulated(len).map_err(MemoryError::Memory)
}

impl std::fmt::Debug for Rings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rings").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Lost { ledger, plan: Plan { ring_bytes, threads, .. } } = self;
        writeln!(f, "spans were lost, so nothing can be said about those that were recorded:")?;
        writeln!(f, "{ledger}")?;
        let dropped = ledger.dropped;
        if dropped.ring_full + ledger.starts_lost > 0 {
            writeln!(
                f,
                "a thread's ring holds {ring_bytes} bytes between two looks at the spans: look in between, or set `ring_bytes`"
            )?;
        }
        if dropped.no_lane > 0 {
            writeln!(f, "{threads} threads can record at the same time: set `threads`")?;
        }
        if dropped.no_cell > 0 {
            let open = SPARE_TABLES * 1024;
            writeln!(f, "about {open} spans can be opened between two looks at the spans: look in between")?;
        }
        Ok(())
    }
}
