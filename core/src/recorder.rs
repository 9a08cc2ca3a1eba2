//! The recorder: what the threads of a process record into, and what a spool drains.
//!
//! Core records; it opens no file and runs no thread. A spool hands it mappings ([`Recorder::add_lane`],
//! [`Recorder::add_table`]), installs it, and drains it through its [`Consumer`]. Applications do not need this
//! module: they start a spool.
//!
//! # Ordering
//!
//! | store (Release)              | pairs with load (Acquire)       | and makes visible        |
//! |------------------------------|---------------------------------|--------------------------|
//! | `RECORDER` in `install`      | `RECORDER` in `current`         | the recorder             |
//! | `LATEST` in `install`        | `LATEST` in `latest`            | the recorder, and those before it |
//! | `GENERATION` in `install`    | `GENERATION` in `catch_up`      | the recorder, and its hooks |
//! | `orphan_busy` in its guard   | the exchange in `orphan`        | the orphan lane's owner  |
//!
//! `GENERATION` is read Relaxed on every start: it only tells a thread that its lane is out of date, and what it then
//! uses it loads from `RECORDER`. Lanes change hands through the pool's queue, which synchronises.

mod consumer;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, Ordering, fence};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crossbeam::atomic::AtomicCell;
use crossbeam::queue::ArrayQueue;

use crate::clock;
use crate::compiled::IS_COMPILED_OUT;
use crate::control::{Control, Counter};
use crate::dictionary::{DictionaryFile, Entering};
use crate::fork;
use crate::hooks::{Asks, Hooks};
use crate::lane::{CellRef, Lane, SpareTable, cell_number};
use crate::mapping::Mapping;
use crate::record::{HEAD_LEN, RECORD_HEADER_LEN};
use crate::ring::Room;
use crate::thread::LOCAL;

pub use consumer::{Consumed, Consumer};

/// How many lanes a recorder can have: threads that record at the same time, and one for all others.
pub const LANES_MAX: usize = 1024;
/// How many further tables can wait to be taken.
const SPARE_TABLES_MAX: usize = 64;
/// The lane for threads that hold none: those that are ending, and those that came when the pool was empty.
const ORPHAN: u16 = 0;
const ORPHAN_TRIES: usize = 128;

/// No recorder is installed.
pub(crate) const OFF: u32 = 0;
/// This is a forked child, whose recorder is made at its first span.
const AFTER_FORK: u32 = u32::MAX;

static RECORDER: AtomicPtr<Recorder> = AtomicPtr::new(std::ptr::null_mut());
/// The recorder that was installed last, in this process: what still ends after it was uninstalled needs its dictionary.
static LATEST: AtomicPtr<Recorder> = AtomicPtr::new(std::ptr::null_mut());
/// On lines of memory of its own: every span reads it, recorded or not, and whatever lay beside it might be written.
static GENERATION: Alone<AtomicU32> = Alone(AtomicU32::new(OFF));
static GENERATIONS: AtomicU32 = AtomicU32::new(OFF);
static START_IN_CHILD: OnceLock<fn()> = OnceLock::new();
/// How many forks lie between the first process and this one.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A value with nothing beside it on its line of memory, nor on the one that is fetched with it.
#[repr(align(128))]
struct Alone<T>(T);

/// What a span does that finds its ring full, or no cell free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
    /// It is dropped and counted.
    #[default]
    Drop,
    /// It waits for room, this long at most, and is then dropped and counted.
    Block(Duration),
}

/// Why a span was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum DropReason {
    /// Its thread's ring was full when it ended.
    RingFull = 0,
    /// No cell of the in-flight table was free when it started.
    NoCell = 1,
    /// No lane was free for its thread, and the shared one was in use.
    NoLane = 2,
}

/// How a recorder works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Length of each ring in bytes: a power of two from 4 KiB to 1 GiB.
    pub ring_bytes: usize,
    /// What happens when there is no room.
    pub overflow: Overflow,
    /// Whether every span is announced when it starts, and not just roots.
    pub live: bool,
    /// How much a span may hold.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Options { ring_bytes: 1 << 20, overflow: Overflow::Drop, live: false, limits: Limits::default() }
    }
}

/// How much a span may hold, beside the limit of a quarter of its ring. What goes beyond is cut or left out, and counted: in the
/// span too, under [`DROPPED_ATTRIBUTES`](crate::names::DROPPED_ATTRIBUTES) and its like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How many attributes a span may have, and each of its events and links; 1,024 unless said otherwise. Each time that
    /// one is set counts.
    pub attributes: u32,
    /// How many events a span may have; 1,024 unless said otherwise.
    pub events: u32,
    /// How many links a span may have; 1,024 unless said otherwise.
    pub links: u32,
    /// How many bytes a value may take, text and encoded values alike; no limit unless said otherwise.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { attributes: 1024, events: 1024, links: 1024, value_bytes: usize::MAX }
    }
}

/// What has been recorded, as the producers count it. Exact when no thread is recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Spans that started.
    pub started: u64,
    /// Spans that ended, the dropped ones included.
    pub ended: u64,
    /// Spans that were dropped because a ring was full.
    pub dropped_ring_full: u64,
    /// Spans that were dropped because no cell was free.
    pub dropped_no_cell: u64,
    /// Spans that were dropped because no lane was free.
    pub dropped_no_lane: u64,
    /// Announcements of started spans that found no room.
    pub starts_lost: u64,
    /// Values that were cut.
    pub values_cut: u64,
    /// Values that found no room at all.
    pub values_left_out: u64,
    /// Values whose `Serialize` failed or panicked.
    pub values_failed: u64,
    /// Guards that were not dropped as the last of what was entered: before something entered later was left, or not before the end of the
    /// scope in which they were made. Each counts once.
    pub guards_out_of_order: u64,
    /// Calls on a span from within the serialization of one of its own values.
    pub reentered: u64,
    /// Calls that came too late or were wrong: on a span that had started or ended already, or a trace without a name.
    pub misused: u64,
    /// Spans that were not recorded because of a decision: see [`sampling`](crate::sampling). They count as neither started nor
    /// dropped.
    pub sampled_out: u64,
    /// Values that were replaced or left out by redaction.
    pub redacted: u64,
    /// Calls of a sampler, redactor or processor that panicked.
    pub hooks_failed: u64,
}

impl Counters {
    /// What a control page has counted.
    pub(crate) fn of_control(counted: impl Fn(Counter) -> u64) -> Self {
        Counters {
            started: counted(Counter::UnslottedStarted),
            dropped_no_cell: counted(Counter::UnslottedNoCell),
            dropped_no_lane: counted(Counter::UnslottedNoLane)
                .saturating_add(counted(Counter::AbandonedNoLane)),
            starts_lost: counted(Counter::StartsLost),
            values_cut: counted(Counter::ValuesCut),
            values_left_out: counted(Counter::ValuesLeftOut),
            values_failed: counted(Counter::ValuesFailed),
            guards_out_of_order: counted(Counter::GuardsOutOfOrder),
            reentered: counted(Counter::Reentered),
            misused: counted(Counter::Misused),
            sampled_out: counted(Counter::SampledOut),
            redacted: counted(Counter::Redacted),
            hooks_failed: counted(Counter::HooksFailed),
            ..Counters::default()
        }
    }

    /// Spans that started and have not ended.
    pub fn in_flight(&self) -> u64 {
        self.started.saturating_sub(self.ended)
    }

    /// Spans that were dropped, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.dropped_ring_full + self.dropped_no_cell + self.dropped_no_lane
    }
}

/// Why a recorder could not be made or installed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RecorderError {
    /// Another one is installed in this process.
    AlreadyInstalled,
    /// The process has as many mappings or lanes as it can have.
    TooMany,
    /// A ring's length is no power of two from 4 KiB to 1 GiB.
    RingLength,
}

impl std::fmt::Display for RecorderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RecorderError::AlreadyInstalled => "another recorder is installed in this process",
            RecorderError::TooMany => "the process has as many rings and tables as it can have",
            RecorderError::RingLength => "a ring's length must be a power of two from 4 KiB to 1 GiB",
        })
    }
}

impl std::error::Error for RecorderError {}

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
    lanes: Box<[OnceLock<Lane>]>,
    lane_count: AtomicU32,
    free_lanes: ArrayQueue<u16>,
    spare_tables: ArrayQueue<&'static SpareTable>,
    /// Set when someone found no free lane or no spare table, until the spool asks.
    starved: AtomicBool,
    orphan_busy: AtomicBool,
    has_consumer: AtomicBool,
    consumer: OnceLock<Thread>,
    /// Set when the consumer is gone.
    has_ended: AtomicBool,
    /// The recorder that was installed before this one.
    previous: OnceLock<Option<&'static Recorder>>,
    /// Set when no thread may take a lane any more.
    closed: AtomicBool,
    /// `FORKS` when it was made: in a forked child there are more, and its copy of this recorder must not be used.
    forks: u32,
}

/// No span's body is longer, whatever its ring: two of them fit a block.
const BODY_LEN_MAX: usize = 32 << 20;

/// The recorder that is installed.
pub(crate) fn current() -> Option<&'static Recorder> {
    if IS_COMPILED_OUT {
        return None;
    }
    let recorder = RECORDER.load(Ordering::Acquire); // pairs with `install`
    reference(recorder)
}

/// The recorder that was installed last, even if it no longer is.
fn latest() -> Option<&'static Recorder> {
    reference(LATEST.load(Ordering::Acquire)) // pairs with `install`
}

/// All recorders that were ever installed in this process, the last one first: a span of any of them may still be open.
pub(crate) fn installed() -> impl Iterator<Item = &'static Recorder> {
    std::iter::successors(latest(), |recorder| recorder.previous.get().copied().flatten())
}

#[expect(unsafe_code, reason = "the pointer is null or one that `Recorder::new` leaked")]
fn reference(recorder: *mut Recorder) -> Option<&'static Recorder> {
    // SAFETY: only references that `Recorder::new` leaked are ever stored, so it is null or valid for ever.
    unsafe { recorder.as_ref() }
}

/// Which recorder is installed: [`OFF`], or a number that no other has.
#[inline]
pub(crate) fn generation() -> u32 {
    if IS_COMPILED_OUT {
        return OFF;
    }
    GENERATION.0.load(Ordering::Relaxed)
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
    if GENERATION.0.compare_exchange(AFTER_FORK, OFF, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        && let Some(start) = START_IN_CHILD.get()
    {
        start();
    }
    let generation = GENERATION.0.load(Ordering::Acquire); // pairs with `install`: no recorder from before this generation
    if generation == OFF {
        return None;
    }
    current().map(|recorder| (generation, recorder))
}

pub(crate) fn reset_after_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    LATEST.store(std::ptr::null_mut(), Ordering::Relaxed);
    if current().is_some() {
        RECORDER.store(std::ptr::null_mut(), Ordering::Relaxed);
        let next = if START_IN_CHILD.get().is_some() { AFTER_FORK } else { OFF };
        GENERATION.0.store(next, Ordering::Relaxed);
    }
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
            lanes: (0..LANES_MAX).map(|_| OnceLock::new()).collect(),
            lane_count: AtomicU32::new(0),
            free_lanes: ArrayQueue::new(LANES_MAX),
            spare_tables: ArrayQueue::new(SPARE_TABLES_MAX),
            starved: AtomicBool::new(false),
            orphan_busy: AtomicBool::new(false),
            has_consumer: AtomicBool::new(false),
            consumer: OnceLock::new(),
            has_ended: AtomicBool::new(false),
            previous: OnceLock::new(),
            closed: AtomicBool::new(false),
            forks: FORKS.load(Ordering::Relaxed),
        })))
    }

    /// Makes `mapping`, of zeros and as long as [`crate::lane_file_len`] says, the next lane. Lanes are numbered from 0.
    ///
    /// # Errors
    ///
    /// [`RecorderError::TooMany`].
    pub fn add_lane(&self, mapping: Mapping) -> Result<u16, RecorderError> {
        let number = u16::try_from(self.lane_count()).unwrap_or(u16::MAX);
        let place = self.lanes.get(usize::from(number)).ok_or(RecorderError::TooMany)?;
        let lane = Lane::format(number, mapping, self.options.ring_bytes);
        if !fork::guard(lane.memory()) || place.set(lane).is_err() {
            return Err(RecorderError::TooMany);
        }
        self.lane_count.store(u32::from(number) + 1, Ordering::Release);
        if number != ORPHAN && self.free_lanes.push(number).is_err() {
            return Err(RecorderError::TooMany);
        }
        Ok(number)
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
        // Neither `OFF` nor `AFTER_FORK`, however often.
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed) % (AFTER_FORK - 1) + 1;
        let this = std::ptr::from_ref(self).cast_mut();
        if RECORDER
            .compare_exchange(std::ptr::null_mut(), this, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            return Err(RecorderError::AlreadyInstalled);
        }
        // Before any number can be used in a ring of this recorder: the generation still says that it is off.
        entering.copy_to(&self.dictionary);
        if !installed().any(|recorder| std::ptr::eq(recorder, self)) {
            self.previous.get_or_init(latest);
            LATEST.store(this, Ordering::Release); // pairs with `latest`
        }
        GENERATION.0.store(generation, Ordering::Release);
        Ok(())
    }

    /// Ends recording: spans that start from now on are not recorded. Those that are open can still end.
    pub fn uninstall(&'static self) {
        let this = std::ptr::from_ref(self).cast_mut();
        // Not while another one is being installed, whose generation this would overwrite.
        let _entering = Entering::begin();
        if RECORDER.compare_exchange(this, std::ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            GENERATION.0.store(OFF, Ordering::Relaxed);
        }
        LOCAL.with(|local| {
            if local.lane_in(self).is_some() {
                local.detach();
            }
        });
    }

    /// Ends recording for good if nothing is going on: no thread has a lane, and no span is in flight. Says whether it did;
    /// only then may the files be removed. To be called after [`uninstall`](Self::uninstall).
    pub fn close(&'static self) -> bool {
        if self.attached_count() > 0 || self.counters().in_flight() > 0 {
            return false; // without getting in the way of what is still to end
        }
        self.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst); // pairs with `may_record`
        // Whoever has the orphan lane at this moment is waited for by trying; who comes later finds it closed.
        let is_idle =
            self.claim_orphan().is_some() && self.attached_count() == 0 && self.counters().in_flight() == 0;
        if !is_idle {
            // What is open must be able to end.
            self.closed.store(false, Ordering::SeqCst);
        }
        is_idle
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
        self.closed.store(false, Ordering::SeqCst);
    }

    /// To be asked after something was taken that `close` looks at: either it sees that, or this sees that it is closed.
    fn may_record(&self) -> bool {
        fence(Ordering::SeqCst); // pairs with `close`
        !self.closed.load(Ordering::SeqCst)
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
        self.lane_count.load(Ordering::Acquire) as usize
    }

    /// How many lanes no thread holds.
    pub fn free_lane_count(&self) -> usize {
        self.free_lanes.len()
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
        self.lane_count().saturating_sub(1 + self.free_lane_count())
    }

    /// What has been counted.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::of_control(|counter| self.control.counted(counter));
        for lane in self.lanes() {
            let line = lane.producer_line();
            // `started` last: what is seen to have ended is then seen to have started too, on whichever thread.
            counters.dropped_ring_full += line.dropped[DropReason::RingFull as usize].load(Ordering::Acquire);
            counters.ended += line.ended.load(Ordering::Acquire);
        }
        counters.ended += counters.dropped();
        counters.started +=
            self.lanes().map(|lane| lane.producer_line().started.load(Ordering::Relaxed)).sum::<u64>();
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

    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes[..self.lane_count()].iter().filter_map(OnceLock::get)
    }

    fn lane(&self, number: u16) -> Option<&Lane> {
        self.lanes.get(usize::from(number))?.get()
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
        let Some(lane) = self.free_lanes.pop().and_then(|number| self.lane(number)) else {
            self.starve();
            return None;
        };
        if !self.may_record() {
            self.give_lane_back(lane);
            return None;
        }
        lane.ring.adopt(lane.producer());
        Some(lane)
    }

    pub(crate) fn give_lane_back(&self, lane: &Lane) {
        let pushed = self.free_lanes.push(lane.number());
        debug_assert!(pushed.is_ok(), "the queue has a place for every lane");
    }

    /// The lane of threads that hold none, if no one else is using it.
    #[cold]
    pub(crate) fn orphan(&'static self) -> Option<Orphan> {
        self.claim_orphan().filter(|_| self.may_record())
    }

    fn claim_orphan(&'static self) -> Option<Orphan> {
        let lane = self.lane(ORPHAN)?;
        for _ in 0..ORPHAN_TRIES {
            // pairs with the guard's drop
            if self.orphan_busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                lane.ring.adopt(lane.producer());
                return Some(Orphan { recorder: self, lane: self.lane(ORPHAN)? });
            }
            std::hint::spin_loop();
        }
        None
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
            let is_over = self.closed.load(Ordering::Relaxed) || self.has_ended.load(Ordering::Relaxed);
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

/// Holds the orphan lane.
#[derive(Debug)]
pub(crate) struct Orphan {
    recorder: &'static Recorder,
    pub(crate) lane: &'static Lane,
}

impl Drop for Orphan {
    fn drop(&mut self) {
        self.recorder.orphan_busy.store(false, Ordering::Release); // pairs with `orphan`
    }
}

impl Recorder {
    /// How far each ring is filled, by lane.
    pub fn tails(&self) -> Vec<u64> {
        self.lanes().map(|lane| lane.ring.tail()).collect()
    }

    /// How far the space of each ring was given back, by lane.
    pub fn released(&self) -> Vec<u64> {
        self.lanes().map(|lane| lane.ring.read()).collect()
    }
}

const _: () = assert!(AtomicCell::<&Hooks>::is_lock_free(), "asking for the hooks waits for nobody");
const _: () = assert!(HEAD_LEN + RECORD_HEADER_LEN < 1024, "the smallest ring has room for a span");
