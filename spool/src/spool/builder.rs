//! How a spool is configured, and how it starts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use spanring::Hooks;
use spanring::recorder::{Limits, Options, Overflow, Recorder, RecorderError};

use super::Spool;
use super::recording::{Recording, Running};
use crate::boot_id::BootId;
use crate::cursor::CURSOR_LEN;
use crate::drain::{Clock, Drain, Pools};
use crate::environment::{Environment, NamedSampler};
use crate::lock::RecorderLock;
use crate::progress::{Progress, Stop};
use crate::ring_files::{RingFiles, left_in_shared_memory, remove_memory};
use crate::segment_writer::SegmentWriter;
use crate::sync_thread::{Preparer, SyncThread};
use crate::{
    DiskStorage, Error, RecorderId, Resource, SpoolDir, Storage, Termination, Trouble, Value, layout,
};

/// How a spool works. What is not said here has a default that suits an agent.
#[derive(Clone, Debug)]
#[must_use = "nothing is recorded before `start`"]
pub struct SpoolBuilder {
    path: PathBuf,
    storage: Arc<dyn Storage>,
    resource: Resource,
    sinks: Vec<String>,
    options: Options,
    pub(super) hooks: Hooks,
    pools: Pools,
    linger: Duration,
    sync_interval: Duration,
    sync_bytes: u64,
}

/// In a forked child that records: its recorder, and what that knows.
static IN_CHILD: Mutex<Option<(&'static Recorder, Arc<Progress>)>> = Mutex::new(None);
/// How the recorders of forked children are made.
static CHILDREN: Mutex<Option<SpoolBuilder>> = Mutex::new(None);

impl SpoolBuilder {
    pub(super) fn new(path: &Path) -> Self {
        SpoolBuilder {
            path: path.to_owned(),
            storage: Arc::new(DiskStorage),
            resource: Resource::default(),
            sinks: Vec::new(),
            options: Options::default(),
            hooks: Hooks::default(),
            pools: Pools { free_lanes: 4, lanes_max: 257, spare_tables: 2, tables_max: 256 },
            linger: Duration::from_millis(100),
            sync_interval: Duration::from_millis(250),
            sync_bytes: 1 << 20,
        }
    }

    /// The service that records, as `service.name`. `unknown_service:` and the name of the program's file unless said otherwise.
    pub fn service(self, name: &str) -> Self {
        self.attribute("service.name", Value::from(name))
    }

    /// The version of the service, as `service.version`.
    pub fn service_version(self, version: &str) -> Self {
        self.attribute("service.version", Value::from(version))
    }

    /// Where the service is deployed, as `deployment.environment.name`: `production`, `staging`.
    pub fn environment(self, name: &str) -> Self {
        self.attribute("deployment.environment.name", Value::from(name))
    }

    /// An attribute of the resource: of the process that records, and not of a span. Set twice, the last value counts.
    ///
    /// What is set here wins over the variable `OTEL_SERVICE_NAME`, that over `OTEL_RESOURCE_ATTRIBUTES`, and that over what a
    /// spool knows by itself: `service.name`, `service.instance.id` (the recorder's identity), `process.pid`,
    /// `telemetry.sdk.name`, `.language` and `.version`.
    pub fn attribute(mut self, key: &str, value: Value) -> Self {
        self.resource.set(key, value);
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

    /// How much a span may hold, beside a quarter of its ring: 1,024 attributes, events and links, and no limit for a value,
    /// unless said otherwise. What goes beyond is cut or left out, and counted in the span and in the [`Ledger`](crate::Ledger).
    pub fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Announces every span when it starts, and not just roots: with what is set in `start_with` or before. So does the variable `SPANRING_LIVE`. It
    /// costs a second record for each span.
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

    /// Names a sink that must have acknowledged a span for it to count as [`Level::Delivered`](crate::Level::Delivered). Can be
    /// repeated. The name is the one that the exporter's report shows: an absolute path (`file:/var/log/spans.jsonl`), a port
    /// that is written out (`otlp+http://localhost:4318`). What a sink has acknowledged includes what was rejected or damaged and counted so,
    /// and what it refused for good, which is a dead letter then.
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
    /// Where the variable `SPANRING_DISABLED` or `OTEL_SDK_DISABLED` is `true`, or recording was compiled out, it does nothing of that,
    /// and gives a spool that [is disabled](Spool::is_disabled). `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`
    /// with its `_ARG`, `SPANRING_FILTER`, `SPANRING_LIVE`, `SPANRING_CAPTURE_CONTENT` and `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` are read here too. A variable that makes no sense is ignored, as
    /// [`Health::warnings`](crate::Health::warnings) shows.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadySpooling`] where this process has a spool; [`Error::NotASpool`], [`Error::Refused`]; [`Error::TooLarge`] for
    /// attributes of the resource; [`Error::Io`] for what the operating system refuses, a ring's length that is none included.
    pub fn start(mut self) -> Result<Spool, Error> {
        let environment = Environment::of_process();
        if environment.is_disabled || spanring::IS_COMPILED_OUT {
            return Ok(Spool::disabled());
        }
        if Recorder::is_any_installed() {
            return Err(Error::AlreadySpooling { path: self.path });
        }
        self.resource.add_missing(environment.resource);
        self.resource.add_missing(Resource::of_program());
        self.options.live |= environment.is_live;
        if self.hooks.sampler.is_none() {
            self.hooks.sampler = environment.sampler.map(NamedSampler::sampler);
        }
        self = self.capture(environment.capture);
        if let Some(directives) = environment.filter {
            self = self.filter(directives);
        }
        let children = self.clone();
        let recording = self.start_unguarded(environment.warnings)?;
        *CHILDREN.lock() = Some(children);
        spanring::recorder::start_in_child(start_in_child);
        Ok(Spool::recording(recording))
    }

    fn start_unguarded(self, warnings: Vec<Trouble>) -> Result<Recording, Error> {
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
        Ok(Recording { dir, id, recorder, progress, placement, sinks: self.sinks, warnings, running })
    }
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
        let mut resource = self.builder.resource.clone();
        resource.add_missing(Resource::of_process(self.id));
        resource.store(storage, &new)?;
        for spare in layout::spare_cursors() {
            let path = new.join(spare);
            storage.create(&path, CURSOR_LEN as u64).map_err(Error::io("create", &path))?;
        }
        let (mut files, recorder) = RingFiles::create(
            self.builder.storage.clone(),
            &new,
            self.id,
            self.builder.options,
            self.builder.hooks.clone(),
        )?;
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
    if let Ok(recording) = builder.start_unguarded(Vec::new()) {
        if let Some(mut in_child) = IN_CHILD.try_lock() {
            *in_child = Some((recording.recorder, Arc::clone(&recording.progress)));
        }
        std::mem::forget(recording);
    }
}

/// Whether this process is a forked child that records, and is to stop.
pub(super) fn termination_of_child() -> Option<Termination> {
    let in_child = IN_CHILD.try_lock()?;
    // A child of that child finds what was its parent's.
    let (_, progress) = in_child.as_ref().filter(|(recorder, _)| !recorder.is_forked())?;
    progress.termination.get().cloned()
}

/// Has forked children make no recorders any more.
pub(super) fn forget_children() {
    *CHILDREN.lock() = None;
}
