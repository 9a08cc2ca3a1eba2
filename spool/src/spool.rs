//! The spool of this process: started once, held for as long as spans are to be recorded.

use std::fmt;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use spanring::TraceId;
use spanring::recorder::{Options, Overflow, Recorder, RecorderError};

use crate::boot_id::BootId;
use crate::drain::{Clock, Drain, Pools};
use crate::ledger::Ledger;
use crate::lock::RecorderLock;
use crate::progress::{Progress, Stop};
use crate::ring_files::{Placement, RingFiles, left_in_shared_memory, remove_memory};
use crate::segment_writer::SegmentWriter;
use crate::sync_thread::{Preparer, SyncThread};
use crate::{
    Cursor, DiskStorage, Error, RecorderId, RecorderReader, Resource, SpanData, SpoolDir, Storage, Trouble,
    Value, layout,
};

/// How long [`Drop`] waits for the spool to be emptied.
const DROP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a flush that waits for a sink looks at its cursor.
const CURSOR_INTERVAL: Duration = Duration::from_millis(5);

/// What must have happened to a span. Each level includes those before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Its `end` returned `Recorded`: it survives SIGKILL, abort, panic and the OOM killer, until the machine is rebooted.
    Recorded,
    /// It stands in a segment.
    Spooled,
    /// The segment was synced: it survives a power cut and a kernel panic.
    Durable,
    /// Every sink that the spool's configuration names has acknowledged it.
    Delivered,
}

/// How a spool works. What is not said here has a default that suits an agent.
#[derive(Clone, Debug)]
#[must_use = "nothing is recorded before `start`"]
pub struct SpoolBuilder {
    path: PathBuf,
    storage: Arc<dyn Storage>,
    resource: Resource,
    sinks: Vec<String>,
    options: Options,
    pools: Pools,
    linger: Duration,
    sync_interval: Duration,
    sync_bytes: u64,
}

/// The spool of this process. While it lives, spans are recorded.
///
/// [`stop`](Spool::stop) empties and closes it, and tells how that went; dropping it tries the same for up to five
/// seconds. A process that is killed needs neither: what it had recorded is recovered.
///
/// In a forked child the spool is the parent's, and does nothing. A child that records gets a recorder of its own in the
/// same directory, at its first span.
#[derive(Debug)]
#[must_use = "recording stops when the spool is dropped"]
pub struct Spool {
    dir: SpoolDir,
    id: RecorderId,
    recorder: &'static Recorder,
    progress: Arc<Progress>,
    placement: Placement,
    sinks: Vec<String>,
    running: Option<Running>,
}

/// What a spool lets go of when it stops.
#[derive(Debug)]
struct Running {
    lock: RecorderLock,
    drain: JoinHandle<()>,
    sync: JoinHandle<()>,
}

/// What became of everything that was recorded, when a spool stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct StopReport {
    /// The account.
    pub ledger: Ledger,
    /// Whether all is in segments and durable. If not, spans were still open, threads may still record, or the disk refused:
    /// what is missing stays in the rings, and is recovered when the process has ended.
    pub is_complete: bool,
}

/// How it stands with a spool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    /// Whether what is recorded survives the process. It does not where no file system was found to keep the rings in.
    pub is_crash_safe: bool,
    /// Whether a sync has failed in a way that cannot be made good: nothing from then on counts as durable.
    pub is_durable: bool,
    /// What does not work at present, such as preparing a segment on a full disk.
    pub trouble: Option<Trouble>,
}

/// How the recorders of forked children are made.
static CHILDREN: Mutex<Option<SpoolBuilder>> = Mutex::new(None);

impl SpoolBuilder {
    /// The service that records, as `service.name`.
    pub fn service(self, name: &str) -> Self {
        self.attribute("service.name", Value::Str(name.to_owned()))
    }

    /// An attribute of the resource: of the process that records, and not of a span. Set twice, the last value counts.
    pub fn attribute(mut self, key: &str, value: Value) -> Self {
        self.resource.attributes.retain(|(other, _)| other != key);
        self.resource.attributes.push((key.to_owned(), value));
        self
    }

    /// The length of each thread's ring in bytes, a power of two from 4 KiB to 1 GiB; 1 MiB unless said otherwise. A
    /// span takes at most a quarter of it.
    pub fn ring_bytes(mut self, ring_bytes: usize) -> Self {
        self.options.ring_bytes = ring_bytes;
        self
    }

    /// What happens to a span that finds no room: it is dropped and counted unless said otherwise.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.options.overflow = overflow;
        self
    }

    /// Announces every span when it starts, and not just roots.
    pub fn live(mut self, live: bool) -> Self {
        self.options.live = live;
        self
    }

    /// How many rings are kept ready for threads to come, and how many there are at most. 4 and 256 unless said
    /// otherwise. Threads beyond the most share one ring.
    pub fn rings(mut self, ready: usize, most: usize) -> Self {
        self.pools.free_lanes = ready;
        // One more than the caller counts: that which the others share.
        self.pools.lanes_max = most.saturating_add(1).min(spanring::recorder::LANES_MAX);
        self
    }

    /// How many tables are kept ready for threads that have more than 256 spans open at once, each for 1,024 more, and how
    /// many there are at most. 2 and 256 unless said otherwise.
    pub fn tables(mut self, ready: usize, most: u16) -> Self {
        self.pools.spare_tables = ready;
        self.pools.tables_max = most;
        self
    }

    /// How long a span may lie in its ring before it is put into a segment; 100 ms unless said otherwise. It survives the
    /// process there; only a power cut takes it.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// After how long, and after how many bytes, a segment is synced: 250 ms and 1 MiB unless said otherwise. Zero syncs
    /// after each block.
    pub fn sync(mut self, interval: Duration, bytes: u64) -> Self {
        self.sync_interval = interval;
        self.sync_bytes = bytes;
        self
    }

    /// Names a sink that must have acknowledged a span for it to count as [`Level::Delivered`]. Can be repeated. The name is the
    /// one that the exporter's report shows: an absolute path (`file:/var/log/spans.jsonl`), a port that is written out
    /// (`otlp+http://localhost:4318`). What a sink has acknowledged includes what was rejected or damaged and counted so.
    pub fn delivered_by(mut self, sink: &str) -> Self {
        self.sinks.push(sink.to_owned());
        self
    }

    /// Uses another storage than the operating system's files.
    pub fn storage(mut self, storage: Arc<dyn Storage>) -> Self {
        self.storage = storage;
        self
    }

    /// Makes the spool's directory where there is none, and a recorder in it, and starts recording.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadySpooling`] where this process has a spool; [`Error::NotASpool`], [`Error::Refused`]; [`Error::Io`] for
    /// what the operating system refuses, a ring's length that is none included.
    pub fn start(self) -> Result<Spool, Error> {
        if Recorder::is_any_installed() {
            return Err(Error::AlreadySpooling { path: self.path });
        }
        let children = self.clone();
        let spool = self.start_unguarded()?;
        *CHILDREN.lock() = Some(children);
        spanring::recorder::start_in_child(start_in_child);
        Ok(spool)
    }

    fn start_unguarded(self) -> Result<Spool, Error> {
        let dir = SpoolDir::create(self.storage.clone(), &self.path)?;
        let id = RecorderId::generate().map_err(Error::io("name a recorder in", dir.path()))?;
        let setup = Setup { builder: &self, dir: &dir, id: &id };
        let made = setup.make();
        let (lock, recorder, files, progress, preparer) = match made {
            Ok(made) => made,
            Err(error) => {
                setup.undo();
                return Err(error);
            }
        };
        let placement = files.placement().clone();
        let clock = Clock::start();
        let Some(mut consumer) = recorder.consumer() else {
            return Err(Error::AlreadySpooling { path: self.path });
        };
        clock.anchor(&mut consumer);
        let drain = Drain {
            consumer,
            files,
            progress: progress.clone(),
            writer: SegmentWriter::new(progress.clone()),
            pools: self.pools,
            linger: self.linger,
            linger_bytes: 256 << 10,
            kept_bytes_max: 8 << 20,
            clock,
        };
        let sync = SyncThread {
            progress: progress.clone(),
            preparer,
            interval: self.sync_interval,
            bytes_max: self.sync_bytes,
        };
        if let Err(error) = recorder.install() {
            setup.undo();
            return Err(match error {
                RecorderError::AlreadyInstalled => Error::AlreadySpooling { path: self.path.clone() },
                other => Error::io("start recording in", &self.path)(std::io::Error::other(other)),
            });
        }
        let spawned = spawn("spanring-sync", move || sync.run())
            .and_then(|sync| Ok((spawn("spanring-drain", move || drain.run())?, sync)));
        let (drain, sync) = match spawned {
            Ok(threads) => threads,
            Err(error) => {
                recorder.uninstall();
                progress.lock().stop = Stop::Syncing;
                progress.notify_work();
                setup.undo();
                return Err(Error::io("start a thread for", &self.path)(error));
            }
        };
        let running = Some(Running { lock, drain, sync });
        Ok(Spool { dir, id, recorder, progress, placement, sinks: self.sinks, running })
    }
}

/// The moment after so long; one that is never reached where the clock does not go so far.
fn deadline_after(timeout: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now + NEVER)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// The making of a recorder's directory.
struct Setup<'a> {
    builder: &'a SpoolBuilder,
    dir: &'a SpoolDir,
    id: &'a RecorderId,
}

type Made = (RecorderLock, &'static Recorder, RingFiles, Arc<Progress>, Preparer);

impl Setup<'_> {
    fn new_path(&self) -> PathBuf {
        self.dir.path().join(format!("{}{}", layout::NEW_PREFIX, self.id))
    }

    /// Sets the recorder up under another name, and renames it when all is there.
    fn make(&self) -> Result<Made, Error> {
        let storage = &*self.builder.storage;
        let new = self.new_path();
        let lock = RecorderLock::set_up(storage, &new, self.id)?;
        self.builder.resource.store(storage, &new)?;
        let (mut files, recorder) =
            RingFiles::create(self.builder.storage.clone(), &new, self.id, self.builder.options)?;
        for _ in 0..=self.builder.pools.free_lanes.min(self.builder.pools.lanes_max - 1) {
            files.add_lane(recorder)?;
        }
        for _ in 0..self.builder.pools.spare_tables.min(usize::from(self.builder.pools.tables_max)) {
            files.add_table(recorder)?;
        }
        let mut preparer = Preparer {
            storage: self.builder.storage.clone(),
            dir: new.clone(),
            recorder: self.id.clone(),
            boot: BootId::current()?,
        };
        let progress = Arc::new(Progress::default());
        let standby = preparer.prepare(1, 0).map_err(Error::io("prepare a segment in", &new))?;
        {
            let mut state = progress.lock();
            state.segments = 1;
            state.standby = Some(standby);
        }
        let path = self.dir.recorder_path(self.id);
        storage.rename(&new, &path).map_err(Error::io("set up", &path))?;
        storage.sync_dir(self.dir.path()).map_err(Error::io("sync", self.dir.path()))?;
        preparer.dir.clone_from(&path);
        files.moved_to(&new, &path);
        Ok((lock, recorder, files, progress, preparer))
    }

    /// Takes away what was made of a recorder that does not start. What cannot be removed is swept later.
    fn undo(&self) {
        for path in [self.new_path(), self.dir.recorder_path(self.id)] {
            if let Ok(names) = self.builder.storage.list(&path) {
                names.iter().for_each(|name| drop(self.builder.storage.unlink(&path.join(name))));
                drop(self.builder.storage.remove_dir(&path));
            }
        }
        if let Some(shared) = left_in_shared_memory(self.id) {
            drop(remove_memory(&*self.builder.storage, &shared));
        }
    }
}

/// Makes the recorder of a forked child, which lives until the child ends.
fn start_in_child() {
    let Some(builder) = CHILDREN.try_lock().and_then(|children| children.clone()) else { return };
    if let Ok(spool) = builder.start_unguarded() {
        std::mem::forget(spool);
    }
}

impl Spool {
    /// A spool in the directory at `path`, which is made where there is none.
    pub fn open(path: impl AsRef<Path>) -> SpoolBuilder {
        SpoolBuilder {
            path: path.as_ref().to_owned(),
            storage: Arc::new(DiskStorage),
            resource: Resource { attributes: Vec::new() },
            sinks: Vec::new(),
            options: Options { ring_bytes: 1 << 20, overflow: Overflow::Drop, live: false },
            pools: Pools { free_lanes: 4, lanes_max: 257, spare_tables: 2, tables_max: 256 },
            linger: Duration::from_millis(100),
            sync_interval: Duration::from_millis(250),
            sync_bytes: 1 << 20,
        }
    }

    /// The recorder of this process.
    pub fn id(&self) -> &RecorderId {
        &self.id
    }

    /// Waits until everything that was recorded before the call has reached a level.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: it may still get there. At once: [`Error::NotRecorded`] for [`Level::Recorded`] where rings do not
    /// survive the process; [`Error::NotDurable`] where a sync has failed for good; [`Error::NoSinkNamed`] for
    /// [`Level::Delivered`] where the configuration names none; [`Error::InForkedChild`].
    pub fn flush(&self, level: Level, timeout: Duration) -> Result<(), Error> {
        if self.recorder.is_forked() {
            return Err(Error::InForkedChild);
        }
        let deadline = deadline_after(timeout);
        let timed_out = || Error::TimedOut { waited: timeout };
        match level {
            Level::Recorded if self.placement == Placement::Heap => {
                return Err(Error::NotRecorded { path: self.dir.path().to_owned() });
            }
            Level::Recorded => return Ok(()),
            Level::Delivered if self.sinks.is_empty() => return Err(Error::NoSinkNamed),
            _ => {}
        }
        self.wait_spooled(deadline).ok_or_else(timed_out)?;
        if level == Level::Spooled {
            return Ok(());
        }
        let spooled = self.wait_durable(deadline, timed_out)?;
        if level == Level::Durable {
            return Ok(());
        }
        let path = self.dir.recorder_path(&self.id);
        for sink in &self.sinks {
            while Cursor::peek(&path, sink)?.position.next_sequence < spooled {
                if Instant::now() >= deadline {
                    return Err(timed_out());
                }
                thread::sleep(CURSOR_INTERVAL);
            }
        }
        Ok(())
    }

    /// Waits until the rings are released up to where they are filled now.
    fn wait_spooled(&self, deadline: Instant) -> Option<()> {
        let tails = self.recorder.tails();
        let is_spooled =
            || tails.iter().zip(self.recorder.released()).all(|(tail, released)| *tail <= released);
        let mut state = self.progress.lock();
        state.flushes += 1;
        let reached = loop {
            if is_spooled() {
                break Some(());
            }
            if let Some(running) = &self.running {
                running.drain.thread().unpark();
            }
            if Instant::now() >= deadline || state.stop == Stop::Done {
                break None;
            }
            // Woken by every commit; the limit is for a drain that is stuck.
            let pause = Instant::now() + Duration::from_millis(5);
            self.progress.wait_moved(&mut state, pause.min(deadline));
        };
        state.flushes -= 1;
        reached
    }

    /// Waits until all rows that are spooled now are durable, and returns how many these are.
    fn wait_durable(&self, deadline: Instant, timed_out: impl Fn() -> Error) -> Result<u64, Error> {
        let mut state = self.progress.lock();
        let spooled = state.spooled;
        while state.durable() < spooled {
            if state.not_durable {
                break;
            }
            if Instant::now() >= deadline || state.stop == Stop::Done {
                return Err(timed_out());
            }
            state.sync_wanted = true;
            self.progress.notify_work();
            self.progress.wait_moved(&mut state, deadline);
        }
        if state.not_durable {
            Err(Error::NotDurable { path: self.dir.path().to_owned() })
        } else {
            Ok(spooled)
        }
    }

    /// The account, as of now: exact while no span starts or ends.
    pub fn ledger(&self) -> Ledger {
        if self.recorder.is_forked() {
            return Ledger::default();
        }
        let state = self.progress.lock();
        Ledger::live(&self.recorder.counters(), state.spooled_spans, state.damaged)
    }

    /// Whether everything works.
    pub fn health(&self) -> Health {
        if self.recorder.is_forked() {
            return Health { is_crash_safe: false, is_durable: false, trouble: None };
        }
        let state = self.progress.lock();
        Health {
            is_crash_safe: self.placement != Placement::Heap,
            is_durable: !state.not_durable,
            trouble: state
                .troubles
                .iter()
                .next()
                .map(|(action, reason)| Trouble { action, reason: reason.clone() }),
        }
    }

    /// Reads the spans of one trace that this process has recorded, in the order in which they ended: those that are
    /// spooled (see [`flush`](Spool::flush)) and not delivered and removed yet.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when a segment cannot be read.
    pub fn trace(&self, id: TraceId) -> Result<Vec<SpanData>, Error> {
        let mut reader = RecorderReader::open(&self.dir.recorder_path(&self.id), true)?;
        let mut spans = Vec::new();
        while let Some(block) = reader.next_block()? {
            spans.extend(block.spans.into_iter().filter(|span| span.trace_id == id));
        }
        Ok(spans)
    }

    /// Ends recording, empties the rings, seals and syncs the segments. Waits for the disk up to `timeout`.
    ///
    /// Spans that are open stay recoverable, and can still end. If there are any, or a thread that has recorded is still
    /// there, the recorder's files and lock stay until the process ends, and recovery finishes the rest.
    pub fn stop(mut self, timeout: Duration) -> StopReport {
        self.stop_within(timeout)
    }

    fn stop_within(&mut self, timeout: Duration) -> StopReport {
        let Some(Running { lock, drain, sync }) = self.running.take() else {
            return StopReport { ledger: self.ledger(), is_complete: false };
        };
        if self.recorder.is_forked() {
            // All of it is the parent's: threads that do not exist here, and a descriptor that is closed.
            std::mem::forget((lock, drain, sync));
            return StopReport { ledger: Ledger::default(), is_complete: false };
        }
        // Whatever happens here, nobody may think that this process is dead while its threads still write.
        let lock = ManuallyDrop::new(lock);
        // First, so that it cannot take away what another start sets from now on.
        *CHILDREN.lock() = None;
        self.recorder.uninstall();
        let is_idle = self.recorder.close();
        let deadline = deadline_after(timeout);
        let mut state = self.progress.lock();
        state.stop = state.stop.max(Stop::Draining(deadline));
        // What has not been done by then is left behind: a sync that hangs, rings that a full disk keeps from being emptied.
        while state.stop < Stop::Done && Instant::now() < deadline {
            drain.thread().unpark();
            self.progress.notify_work();
            self.progress.wait_moved(&mut state, Instant::now() + Duration::from_millis(20));
        }
        let is_stopped = state.stop == Stop::Done;
        let is_durable = is_stopped && !state.not_durable && state.durable() == state.spooled;
        drop(state);
        let is_empty = self.recorder.tails() == self.recorder.released();
        let is_complete = is_idle && is_durable && is_empty && self.close().is_ok();
        if is_complete {
            drop(ManuallyDrop::into_inner(lock));
        }
        // Else it is held until the process ends: its death is what lets others recover the rest.
        if is_stopped {
            // Both threads are at their end; one that panicked is what the report shows as incomplete.
            drop(drain.join());
            drop(sync.join());
        }
        StopReport { ledger: self.ledger(), is_complete }
    }

    /// Marks the recorder as closed in order, after which its memory is not needed.
    fn close(&self) -> Result<(), Error> {
        let storage = &**self.dir.storage();
        let path = self.dir.recorder_path(&self.id);
        let marker = path.join(layout::CLOSED);
        let file = storage.create(&marker, 0).map_err(Error::io("create", &marker))?;
        file.syncer().sync().map_err(Error::io("sync", &marker))?;
        storage.sync_dir(&path).map_err(Error::io("sync", &path))?;
        if let Placement::Files(memory) = &self.placement {
            remove_memory(storage, memory)?;
        }
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if self.running.is_some() {
            drop(self.stop_within(DROP_TIMEOUT));
        }
    }
}

impl fmt::Display for StopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ledger)?;
        if !self.is_complete {
            f.write_str("\n  incomplete: the rest is recovered when this process has ended")?;
        }
        Ok(())
    }
}
