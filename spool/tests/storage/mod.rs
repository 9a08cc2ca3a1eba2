//! A storage for tests that fails, tears, stalls, remembers and forgets. It does everything on the disk, below one
//! directory, and keeps beside it what of that would survive a power cut.
//!
//! The time of a sync is its call: what was written before counts once it has returned, what comes later does not.
//! A sync that fails leaves its pages clean: a later one succeeds and does not write them. Mapped files are never
//! synced, so after a power cut each of their pages is there or zero.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use spanring::mapping::Mapping;
use spanring_spool::{DiskStorage, Storage, StorageFile, StorageSync};

pub(crate) use model::Unsynced;
use model::{FileSync, Model};

mod model;

/// No space on the disk.
pub(crate) const ENOSPC: i32 = 28;
/// No space for this user.
pub(crate) const EDQUOT: i32 = 122;
/// No file so long.
pub(crate) const EFBIG: i32 = 27;
/// The disk failed.
pub(crate) const EIO: i32 = 5;

/// An operation of a storage, of one of its files or of a sync.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    CreateDir,
    Create,
    CreateShared,
    Open,
    SyncDir,
    Rename,
    Unlink,
    RemoveDir,
    List,
    Lock,
    Write,
    Commit,
    Truncate,
    Sync,
}

/// Something that happened, in the order in which it did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A sync of a file or directory was called.
    Began { kind: Kind, path: PathBuf },
    /// An operation returned, with this error if any.
    Done { kind: Kind, path: PathBuf, range: Range<u64>, errno: Option<i32> },
}

/// The storage. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct FaultyStorage(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    model: Model,
    counts: HashMap<Kind, u64>,
    faults: Vec<Fault>,
    events: Vec<Event>,
    stalled: Vec<Kind>,
    waiting: usize,
    /// No file may be longer, and with which error it is not.
    len_max: Option<(u64, i32)>,
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    kind: Kind,
    at: u64,
    ever_after: bool,
    errno: i32,
    torn_at: usize,
}

impl FaultyStorage {
    /// A storage whose power cuts concern what is below `root`, an empty directory so far.
    pub(crate) fn new(root: &Path) -> Self {
        let state = State {
            model: Model::new(root),
            counts: HashMap::new(),
            faults: Vec::new(),
            events: Vec::new(),
            stalled: Vec::new(),
            waiting: 0,
            len_max: None,
        };
        FaultyStorage(Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() }))
    }

    /// Lets the `nth` operation of a kind fail, counted from 1 and from now.
    pub(crate) fn fail(&self, kind: Kind, nth: u64, errno: i32) {
        self.add(Fault { kind, at: nth, ever_after: false, errno, torn_at: 0 });
    }

    /// Lets the `nth` operation of a kind fail, and all that follow until it is [healed](FaultyStorage::heal).
    pub(crate) fn fail_from(&self, kind: Kind, nth: u64, errno: i32) {
        self.add(Fault { kind, at: nth, ever_after: true, errno, torn_at: 0 });
    }

    /// Lets the `nth` write do its first `len` bytes and then fail.
    pub(crate) fn tear(&self, nth: u64, len: usize, errno: i32) {
        self.add(Fault { kind: Kind::Write, at: nth, ever_after: false, errno, torn_at: len });
    }

    /// Lets no file be made that is longer than this.
    pub(crate) fn limit(&self, len_max: u64, errno: i32) {
        self.state().len_max = Some((len_max, errno));
    }

    /// Takes all faults back. What was lost by them stays lost.
    pub(crate) fn heal(&self) {
        self.state().faults.clear();
    }

    /// How many operations of a kind there have been, failed ones included.
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.state().counts.get(&kind).copied().unwrap_or(0)
    }

    /// Lets all syncs of files wait until the stall is dropped.
    pub(crate) fn stall_syncs(&self) -> Stall {
        self.state().stalled.push(Kind::Sync);
        Stall(self.clone())
    }

    /// All that happened so far.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.state().events.clone()
    }

    /// What would not survive a power cut for certain, by paths below the root: files that were written since a sync of
    /// theirs succeeded, and, with a slash behind, directories in which names changed.
    pub(crate) fn unsynced(&self) -> Vec<String> {
        self.state().model.unsynced()
    }

    /// Makes, in the empty directory `into`, what a power cut right now would leave of the root.
    pub(crate) fn power_cut(&self, into: &Path, unsynced: Unsynced) {
        self.state().model.power_cut(into, unsynced);
    }

    fn add(&self, mut fault: Fault) {
        fault.at += self.count(fault.kind);
        self.state().faults.push(fault);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Does one operation under the lock, unless it is its turn to fail, and notes it.
    fn run<T>(
        &self,
        kind: Kind,
        path: &Path,
        range: Range<u64>,
        operation: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        let result = match state.fault(kind) {
            Some(fault) => Err(io::Error::from_raw_os_error(fault.errno)),
            None => operation(&mut state),
        };
        state.note(kind, path, range, result.as_ref().err());
        result
    }

    fn file(&self, path: &Path, number: Option<usize>, inner: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(FaultyFile { storage: self.clone(), path: path.to_owned(), number, inner })
    }
}

impl State {
    /// Counts an operation, and tells whether it is to fail.
    fn fault(&mut self, kind: Kind) -> Option<Fault> {
        let count = self.counts.entry(kind).or_insert(0);
        *count += 1;
        let count = *count;
        let hits = |fault: &&Fault| {
            fault.kind == kind && (fault.at == count || fault.ever_after && fault.at < count)
        };
        self.faults.iter().find(hits).copied()
    }

    fn note(&mut self, kind: Kind, path: &Path, range: Range<u64>, error: Option<&io::Error>) {
        let errno = error.map(|error| error.raw_os_error().unwrap_or(-1));
        self.events.push(Event::Done { kind, path: path.to_owned(), range, errno });
    }
}

impl Storage for FaultyStorage {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.run(Kind::CreateDir, path, 0..0, |state| {
            DiskStorage.create_dir(path)?;
            state.model.create_dir(path);
            Ok(())
        })
    }

    fn create(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
        self.run(Kind::Create, path, 0..len, |state| {
            if let Some((_, errno)) = state.len_max.filter(|&(len_max, _)| len > len_max) {
                return Err(io::Error::from_raw_os_error(errno));
            }
            let inner = DiskStorage.create(path, len)?;
            Ok(self.file(path, state.model.create(path, len, false), inner))
        })
    }

    fn create_shared(&self, path: &Path, len: u64) -> io::Result<Mapping> {
        self.run(Kind::CreateShared, path, 0..len, |state| {
            let mapping = DiskStorage.create_shared(path, len)?;
            state.model.create(path, len, true);
            Ok(mapping)
        })
    }

    fn open(&self, path: &Path, len: u64) -> io::Result<Box<dyn StorageFile>> {
        self.run(Kind::Open, path, 0..len, |state| {
            let inner = DiskStorage.open(path, len)?;
            Ok(self.file(path, state.model.open(path, len), inner))
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let begun = {
            let mut state = self.state();
            state.events.push(Event::Began { kind: Kind::SyncDir, path: path.to_owned() });
            state.model.begin_sync_dir(path)
        };
        self.run(Kind::SyncDir, path, 0..0, |state| {
            DiskStorage.sync_dir(path)?;
            begun.into_iter().for_each(|begun| state.model.end_sync_dir(begun));
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Kind::Rename, to, 0..0, |state| {
            DiskStorage.rename(from, to)?;
            state.model.rename(from, to);
            Ok(())
        })
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.run(Kind::Unlink, path, 0..0, |state| {
            DiskStorage.unlink(path)?;
            state.model.remove(path);
            Ok(())
        })
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.run(Kind::RemoveDir, path, 0..0, |state| {
            DiskStorage.remove_dir(path)?;
            state.model.remove(path);
            Ok(())
        })
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.run(Kind::List, dir, 0..0, |_| DiskStorage.list(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<File> {
        self.run(Kind::Lock, path, 0..0, |_| DiskStorage.lock(path))
    }
}

/// A file of a [`FaultyStorage`].
struct FaultyFile {
    storage: FaultyStorage,
    path: PathBuf,
    /// None of a file that is not below the root.
    number: Option<usize>,
    inner: Box<dyn StorageFile>,
}

impl StorageFile for FaultyFile {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.storage.state();
        let fault = state.fault(Kind::Write);
        let written = fault.map_or(bytes, |fault| &bytes[..fault.torn_at.min(bytes.len())]);
        let mut result = self.inner.write(offset, written);
        if let (Ok(()), Some(number)) = (&result, self.number) {
            state.model.write(number, offset, written);
        }
        if let Some(fault) = fault {
            result = Err(io::Error::from_raw_os_error(fault.errno));
        }
        state.note(Kind::Write, &self.path, offset..offset + bytes.len() as u64, result.as_ref().err());
        result
    }

    fn commit(&mut self, offset: u64, word: u32) -> io::Result<()> {
        let FaultyFile { storage, path, number, inner } = self;
        storage.run(Kind::Commit, path, offset..offset + 4, |state| {
            inner.commit(offset, word)?;
            number.iter().for_each(|&number| state.model.write(number, offset, &word.to_le_bytes()));
            Ok(())
        })
    }

    fn syncer(&self) -> Arc<dyn StorageSync> {
        Arc::new(FaultySync {
            storage: self.storage.clone(),
            path: self.path.clone(),
            number: self.number,
            inner: self.inner.syncer(),
        })
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let FaultyFile { storage, path, number, inner } = self;
        storage.run(Kind::Truncate, path, 0..len, |state| {
            inner.truncate(len)?;
            number.iter().for_each(|&number| state.model.truncate(number, len));
            Ok(())
        })
    }
}

struct FaultySync {
    storage: FaultyStorage,
    path: PathBuf,
    number: Option<usize>,
    inner: Arc<dyn StorageSync>,
}

impl StorageSync for FaultySync {
    fn sync(&self) -> io::Result<()> {
        let mut state = self.storage.state();
        state.events.push(Event::Began { kind: Kind::Sync, path: self.path.clone() });
        let fault = state.fault(Kind::Sync);
        let begun: Option<FileSync> = self.number.map(|number| state.model.begin_sync(number));
        state.waiting += 1;
        self.storage.0.changed.notify_all();
        while state.stalled.contains(&Kind::Sync) {
            state = self.storage.0.changed.wait(state).unwrap();
        }
        state.waiting -= 1;
        drop(state);

        let result = match fault {
            Some(fault) => Err(io::Error::from_raw_os_error(fault.errno)),
            None => self.inner.sync(),
        };
        let mut state = self.storage.state();
        if let (Ok(()), Some(number), Some(begun)) = (&result, self.number, begun) {
            state.model.end_sync(number, begun);
        }
        state.note(Kind::Sync, &self.path, 0..0, result.as_ref().err());
        result
    }
}

/// Lets syncs wait while it lives.
pub(crate) struct Stall(FaultyStorage);

impl Stall {
    /// Waits until so many syncs wait at once; says whether they do after ten seconds.
    pub(crate) fn wait_for(&self, syncs: usize) -> bool {
        let limit = Duration::from_secs(10);
        let waits = self.0.0.changed.wait_timeout_while(self.0.state(), limit, |state| state.waiting < syncs);
        !waits.unwrap().1.timed_out()
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.0.state().stalled.pop();
        self.0.0.changed.notify_all();
    }
}
