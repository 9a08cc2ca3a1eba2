//! The recorder: what the threads of a process record into, and what a spool drains.
//!
//! Core records; it opens no file and runs no thread. A spool hands it mappings ([`Recorder::add_lane`],
//! [`Recorder::add_table`]), installs it, and drains it through its [`Consumer`]. Applications do not need this
//! module: they start a spool.
//!
//! Who holds which lane is `registry.rs`'s matter, what is installed `installation.rs`'s, what was counted `tally.rs`'s: each says there
//! how threads learn of it, and is modelled. Here they are put together. The hooks are in a cell of crossbeam's, which
//! synchronises; `asks`, `has_processors` and `redacts` repeat what they say, and a thread learns of them as it does of the recorder.

mod consumer;

mod counters;
mod error;
mod options;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam::atomic::AtomicCell;

use crate::busy::Held;
use crate::clock;
use crate::compiled::IS_COMPILED_OUT;
use crate::control::Control;
use crate::dictionary::{DictionaryFile, Entering};
use crate::fork;
use crate::hooks::{Asks, Hooks};
use crate::installation::{Installation, Installed};
use crate::lane::{CellRef, Lane, SpareTable, cell_number};
use crate::mapping::Mapping;
use crate::pool::Pool;
use crate::record::{HEAD_LEN, RECORD_HEADER_LEN};
use crate::registry::{NoLane, Registry};
use crate::ring::Room;
use crate::tally;
use crate::thread::LOCAL;

pub use consumer::{Backlog, Consumed, Consumer};
pub use counters::{Counters, DropReason};
pub use error::RecorderError;
pub use options::{Limits, Options, Overflow};

pub(crate) use crate::installation::OFF;

/// How many lanes a recorder can have: threads that record at the same time, and one for all others.
pub const LANES_MAX: usize = 1024;
/// How many further tables can wait to be taken.
const SPARE_TABLES_MAX: usize = 64;
static INSTALLATION: Installation<Recorder> = Installation::new();
static START_IN_CHILD: OnceLock<fn()> = OnceLock::new();
/// How many forks lie between the first process and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// What the threads of this process record into. Lives until the process ends.
#[derive(Debug)]
pub struct Recorder {
    control: Control,
    dictionary: DictionaryFile,
    options: Options,
    /// Leaked: a thread may still be asking those before when they are replaced.
    hooks: AtomicCell<&'static Hooks>,
    /// Who among the hooks is asked before a span starts.
    asks: AtomicU8,
    /// Whether somebody among the hooks is told of spans.
    has_processors: AtomicBool,
    /// Whether the hooks say what of the values is recorded.
    redacts: AtomicBool,
    registry: Registry<Lane>,
    spare_tables: Pool<&'static SpareTable>,
    /// Set when someone found no free lane or no spare table, until the spool asks.
    starved: AtomicBool,
    has_consumer: AtomicBool,
    consumer: OnceLock<Thread>,
    /// Set when the consumer is gone.
    has_ended: AtomicBool,
    /// The recorder that was installed before this one.
    previous: OnceLock<Option<&'static Recorder>>,
    /// `FORKS` when it was made: in a forked child there are more, and its copy of this recorder must not be used.
    forks: u32,
}

/// No span's body is longer, whatever its ring: two of them fit a block.
const BODY_LEN_MAX: usize = 32 << 20;

impl Installed for Recorder {
    fn previous(&self) -> &OnceLock<Option<&'static Self>> {
        &self.previous
    }
}

/// The recorder that is installed.
pub(crate) fn current() -> Option<&'static Recorder> {
    if IS_COMPILED_OUT { None } else { INSTALLATION.current() }
}

/// All recorders that were ever installed in this process, the last one first: a span of any of them may still be open.
pub(crate) fn installed() -> impl Iterator<Item = &'static Recorder> {
    INSTALLATION.all()
}

/// Which recorder is installed: [`OFF`], or a number that no other has.
#[inline]
pub(crate) fn generation() -> u32 {
    if IS_COMPILED_OUT { OFF } else { INSTALLATION.generation() }
}

/// Has `start` called in a forked child of a process with a recorder, before its first span starts. The first function
/// that is given here stays.
pub fn start_in_child(start: fn()) {
    START_IN_CHILD.get_or_init(|| start);
}

/// The recorder to use when the thread's own generation is out of date; makes a forked child's.
#[cold]
#[inline(never)]
pub(crate) fn catch_up() -> Option<(u32, &'static Recorder)> {
    INSTALLATION.catch_up(|| {
        if let Some(start) = START_IN_CHILD.get() {
            start();
        }
    })
}

pub(crate) fn reset_after_fork() {
    for recorder in installed() {
        recorder.registry.lanes().for_each(Lane::close_slots);
    }
    FORKS.fetch_add(1, Ordering::Relaxed);
    INSTALLATION.reset_after_fork(START_IN_CHILD.get().is_some());
}

impl Recorder {
    /// Makes a recorder around a control and a dictionary mapping, of zeros and of the lengths that
    /// [`crate::control`] and [`crate::dictionary`] state. The spool gives it lanes before it is installed, the first
    /// of which serves threads that hold none.
    ///
    /// # Errors
    ///
    /// [`RecorderError::RingLength`] and [`RecorderError::TooMany`].
    pub fn new(
        options: Options,
        hooks: Hooks,
        control: Mapping,
        dictionary: Mapping,
    ) -> Result<&'static Self, RecorderError> {
        if !options.ring_bytes.is_power_of_two() || !(4 << 10..=1 << 30).contains(&options.ring_bytes) {
            return Err(RecorderError::RingLength);
        }
        fork::register();
        let (control, memory) = Control::format(control);
        if !fork::guard(memory) {
            return Err(RecorderError::TooMany);
        }
        Ok(Box::leak(Box::new(Recorder {
            control,
            dictionary: DictionaryFile::format(dictionary),
            options,
            asks: AtomicU8::new(hooks.asks().0),
            has_processors: AtomicBool::new(hooks.has_processors()),
            redacts: AtomicBool::new(hooks.redaction.is_some()),
            hooks: AtomicCell::new(Box::leak(Box::new(hooks))),
            registry: Registry::new(LANES_MAX),
            spare_tables: Pool::new(SPARE_TABLES_MAX),
            starved: AtomicBool::new(false),
            has_consumer: AtomicBool::new(false),
            consumer: OnceLock::new(),
            has_ended: AtomicBool::new(false),
            previous: OnceLock::new(),
            forks: FORKS.load(Ordering::Relaxed),
        })))
    }

    /// Makes `mapping`, of zeros and as long as [`crate::lane_file_len`] says, the next lane. Lanes are numbered from 0.
    ///
    /// # Errors
    ///
    /// [`RecorderError::TooMany`].
    pub fn add_lane(&self, mapping: Mapping) -> Result<u16, RecorderError> {
        let added = self.registry.add(|number| {
            let lane = Lane::format(number, mapping, self.options.ring_bytes);
            fork::guard(lane.memory()).then_some(lane)
        });
        added.ok_or(RecorderError::TooMany)
    }

    /// Makes `mapping`, of zeros and as long as [`crate::table_file_len`] says, a table that a lane takes when its own
    /// is full.
    ///
    /// # Errors
    ///
    /// [`RecorderError::TooMany`].
    pub fn add_table(&self, mapping: Mapping) -> Result<(), RecorderError> {
        let table: &'static SpareTable = Box::leak(Box::new(SpareTable::format(mapping)));
        if !fork::guard(table.memory()) {
            return Err(RecorderError::TooMany);
        }
        self.spare_tables.push(table).map_err(|_| RecorderError::TooMany)
    }

    /// Makes this the recorder that spans are recorded into.
    ///
    /// # Errors
    ///
    /// [`RecorderError::AlreadyInstalled`].
    pub fn install(&'static self) -> Result<(), RecorderError> {
        clock::source();
        let entering = Entering::begin();
        // Before any number can be used in a ring of this recorder.
        if INSTALLATION.install(self, || entering.copy_to(&self.dictionary)) {
            Ok(())
        } else {
            Err(RecorderError::AlreadyInstalled)
        }
    }

    /// Ends recording: spans that start from now on are not recorded. Those that are open can still end.
    pub fn uninstall(&'static self) {
        let entering = Entering::begin();
        INSTALLATION.uninstall(self);
        drop(entering);
        LOCAL.with(|local| {
            if local.lane_in(self).is_some() {
                local.detach();
            }
        });
    }

    /// Ends recording for good if nothing is going on: no thread has a lane, and no span is in flight. Says whether it did;
    /// only then may the files be removed. To be called after [`uninstall`](Self::uninstall).
    pub fn close(&'static self) -> bool {
        self.registry.close(|| self.counters().in_flight())
    }

    /// Makes it ready to be installed again, with other hooks, and takes [`close`](Self::close) back where that was called: tests have many
    /// recorders one after another, and the memory of one that was made is never given back. Its positions and counters go on from where
    /// they are. To be called while it is not installed.
    pub fn reopen(&self, hooks: Hooks) {
        // Before anybody can take a lane.
        self.asks.store(hooks.asks().0, Ordering::Relaxed);
        self.has_processors.store(hooks.has_processors(), Ordering::Relaxed);
        self.redacts.store(hooks.redaction.is_some(), Ordering::Relaxed);
        self.hooks.store(Box::leak(Box::new(hooks)));
        self.registry.reopen();
    }

    /// Whether any recorder is installed in this process.
    pub fn is_any_installed() -> bool {
        current().is_some()
    }

    /// Whether this is the copy that a forked child inherited, which nothing may be done with.
    pub fn is_forked(&self) -> bool {
        self.forks != FORKS.load(Ordering::Relaxed)
    }

    /// How it works.
    pub fn options(&self) -> &Options {
        &self.options
    }

    #[inline]
    pub(crate) fn hooks(&self) -> &'static Hooks {
        self.hooks.load()
    }

    /// Who is asked before a span starts.
    #[inline]
    pub(crate) fn asks(&self) -> Asks {
        Asks(self.asks.load(Ordering::Relaxed))
    }

    /// Whether somebody is told of spans.
    #[inline]
    pub(crate) fn has_processors(&self) -> bool {
        self.has_processors.load(Ordering::Relaxed)
    }

    /// Whether the values go through a redaction.
    #[inline]
    pub(crate) fn redacts(&self) -> bool {
        self.redacts.load(Ordering::Relaxed)
    }

    /// Has the processors finish what they have begun, within this time; says whether all of them have.
    pub fn flush_processors(&self, timeout: Duration) -> bool {
        self.hooks().flush(self, timeout)
    }

    /// Tells the processors that nothing more will come.
    pub fn shut_processors_down(&self) {
        self.hooks().shut_down(self);
    }

    /// How many lanes there are.
    pub fn lane_count(&self) -> usize {
        self.registry.lane_count()
    }

    /// How many lanes no thread holds.
    pub fn free_lane_count(&self) -> usize {
        self.registry.free_count()
    }

    /// How many tables wait to be taken.
    pub fn spare_table_count(&self) -> usize {
        self.spare_tables.len()
    }

    /// Whether someone has found no lane or no table since the last call.
    pub fn take_starved(&self) -> bool {
        self.starved.swap(false, Ordering::Relaxed)
    }

    /// How many threads hold a lane.
    pub fn attached_count(&self) -> usize {
        self.registry.attached_count()
    }

    /// What has been counted.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::of_control(|counter| self.control.counted(counter));
        let sum = tally::sum(|| self.registry.lanes().map(Lane::producer_line));
        counters.dropped_ring_full += sum.ring_full;
        counters.ended += sum.ended + counters.dropped();
        counters.started += sum.started;
        counters
    }

    /// The right to drain the rings. There is one; `None` after it was given out.
    pub fn consumer(&'static self) -> Option<Consumer> {
        (!self.has_consumer.swap(true, Ordering::AcqRel)).then(|| Consumer::new(self))
    }

    /// Says which thread to unpark when rings fill up or lanes run out.
    pub fn set_consumer_thread(&self, thread: Thread) {
        self.consumer.get_or_init(|| thread);
    }

    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    pub(crate) fn dictionary(&self) -> &DictionaryFile {
        &self.dictionary
    }

    fn lane(&self, number: u16) -> Option<&Lane> {
        self.registry.lane(number)
    }

    /// How long a span's body may be, a multiple of 8: a quarter of a ring, with its record's header, and 32 MiB at most, so that
    /// it fits a block.
    #[inline]
    pub(crate) fn body_len_max(&self) -> usize {
        (self.options.ring_bytes / 4 - RECORD_HEADER_LEN).min(BODY_LEN_MAX)
    }

    #[cold]
    fn wake_consumer(&self) {
        if let Some(thread) = self.consumer.get() {
            thread.unpark();
        }
    }

    #[cold]
    fn starve(&self) {
        self.starved.store(true, Ordering::Relaxed);
        self.wake_consumer();
    }

    /// Whether nobody has to be asked or told of a span that starts under another one of this process, or ends: then threads take the
    /// short way.
    pub(crate) fn has_short_way(&self) -> bool {
        !self.asks().about_spans() && !self.has_processors() && !self.options.live
    }

    /// A lane for a thread that needs one. The pool refills behind it.
    pub(crate) fn take_lane(&self) -> Option<&Lane> {
        match self.registry.take() {
            Ok(lane) => {
                lane.ring.adopt(lane.producer());
                Some(lane)
            }
            Err(NoLane::Held) => {
                self.starve();
                None
            }
            Err(NoLane::Closed) => None,
        }
    }

    pub(crate) fn give_lane_back(&self, lane: &Lane) {
        self.registry.give_back(lane.number());
    }

    /// The lane of threads that hold none, if no one else is using it.
    #[cold]
    pub(crate) fn orphan(&'static self) -> Option<Orphan> {
        let (held, lane) = self.registry.orphan()?;
        lane.ring.adopt(lane.producer());
        Some(Orphan { lane, _held: held })
    }

    /// Repeats `attempt` as the overflow policy says, waking the consumer in between.
    #[cold]
    #[inline(never)]
    pub(crate) fn wait_for<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> Option<T> {
        let Overflow::Block(timeout) = self.options.overflow else { return attempt() };
        // A timeout that no clock can hold never runs out.
        let deadline = Instant::now().checked_add(timeout);
        let mut pause = Duration::from_micros(20);
        loop {
            if let Some(done) = attempt() {
                return Some(done);
            }
            // Once the recorder is closed, or nobody drains it any more, there will never be room.
            let is_over = self.registry.is_closed() || self.has_ended.load(Ordering::Relaxed);
            if is_over || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return None;
            }
            self.starve();
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(1));
        }
    }

    /// A cell of `lane`, which this thread holds, after its free ones ran out.
    #[cold]
    #[inline(never)]
    pub(crate) fn claim_more(&self, lane: &Lane) -> Option<u32> {
        self.wait_for(|| {
            lane.claim().or_else(|| {
                if !lane.can_take_table() {
                    return None;
                }
                let Some(table) = self.spare_tables.pop() else {
                    self.starve();
                    return None;
                };
                self.starve();
                if lane.take_table(table) { lane.claim() } else { None }
            })
        })
    }

    /// Makes room for a record of `len` bytes in the ring of `lane`, which this thread holds.
    #[cold]
    #[inline(never)]
    pub(crate) fn make_room(&self, lane: &Lane, len: u64, may_wait: bool) -> Option<u64> {
        let attempt = || match lane.ring.make_room(lane.producer(), len) {
            Room::Ample(position) => Some(position),
            Room::Short(position) => {
                self.wake_consumer();
                Some(position)
            }
            Room::None => {
                self.wake_consumer();
                None
            }
        };
        if may_wait { self.wait_for(attempt) } else { attempt() }
    }

    /// The cell that a cell's `next` names.
    pub(crate) fn next_cell(&self, next: u64) -> Option<(&Lane, u32, CellRef)> {
        let lane =
            u16::try_from(next >> 32).ok().filter(|_| next != 0).and_then(|number| self.lane(number))?;
        let number = cell_number(next);
        Some((lane, number, lane.cell(number)))
    }
}

/// Holds the orphan lane, until it is dropped.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) lane: &'static Lane,
    _held: Held<'static>,
}

impl Recorder {
    /// How far each ring is filled, by lane.
    pub fn tails(&self) -> Vec<u64> {
        self.registry.lanes().map(|lane| lane.ring.tail()).collect()
    }

    /// How far the space of each ring was given back, by lane.
    pub fn released(&self) -> Vec<u64> {
        self.registry.lanes().map(|lane| lane.ring.read()).collect()
    }
}

const _: () = assert!(AtomicCell::<&Hooks>::is_lock_free(), "asking for the hooks waits for nobody");
const _: () = assert!(HEAD_LEN + RECORD_HEADER_LEN < 1024, "the smallest ring has room for a span");
