//! The sync thread: it makes what was written survive a power cut, prepares the next segment, and looks whether the process is to stop.
//!
//! All can take long on a slow disk, which is why the drain does none of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use crate::Termination;
use crate::boot_id::BootId;
use crate::layout;
use crate::progress::{Progress, Standby, State, Stop};
use crate::recorder_id::RecorderId;
use crate::segment::SegmentHeader;
use crate::storage::{Storage, is_for_want_of_space};

/// The first segments are small, so that a short run takes little space; each is twice the one before, up to the largest.
const SEGMENT_LEN_MIN: u64 = 256 << 10;
const SEGMENT_LEN_MAX: u64 = 16 << 20;
/// How long to wait before a segment that could not be prepared is tried again: this and up to 64 times as long.
const RETRY_MIN: Duration = Duration::from_millis(10);
const RETRY_MAX: Duration = Duration::from_millis(500);

/// How often it is looked for a termination.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

const PREPARE: &str = "prepare a segment";
const CUT: &str = "cut a segment to its length";
const SYNC: &str = "sync a segment";
const LOOK: &str = "read a termination";

pub(crate) struct SyncThread {
    pub(crate) progress: Arc<Progress>,
    pub(crate) preparer: Preparer,
    /// How old unsynced rows may become.
    pub(crate) interval: Duration,
    /// How many unsynced bytes there may be.
    pub(crate) bytes_max: u64,
}

/// Prepares the segments of a recorder.
pub(crate) struct Preparer {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) dir: PathBuf,
    pub(crate) recorder: RecorderId,
    pub(crate) boot: BootId,
}

impl Preparer {
    /// Creates a segment of at least `len_min` bytes, so that it survives a power cut: as long as its number wants it, or else as long as there is
    /// space for.
    pub(crate) fn prepare(&self, number: u64, len_min: u64) -> io::Result<Standby> {
        let doublings = u32::try_from(number.saturating_sub(1)).unwrap_or(u32::MAX).min(6);
        let wanted = (SEGMENT_LEN_MIN << doublings).min(SEGMENT_LEN_MAX);
        let len_min = len_min.next_multiple_of(4096);
        let mut len = wanted.max(len_min);
        loop {
            let shorter = (len / 2).max(SEGMENT_LEN_MIN).max(len_min);
            match self.prepare_one(number, len) {
                Err(error) if is_for_want_of_space(&error) && shorter < len => len = shorter,
                prepared => return prepared,
            }
        }
    }

    fn prepare_one(&self, number: u64, len: u64) -> io::Result<Standby> {
        let path = self.dir.join(layout::segment(number));
        let nonce = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        let header = SegmentHeader {
            nonce,
            number,
            created_unix_ns: spanring::clock::unix_ns(),
            boot_id: self.boot.0,
            recorder: self.recorder.as_str().to_owned(),
        };
        let mut file = self.storage.create(&path, len)?;
        let finished = file
            .write(0, &header.encode())
            .and_then(|()| file.syncer().sync())
            .and_then(|()| self.storage.sync_dir(&self.dir));
        match finished {
            Ok(()) => Ok(Standby { number, nonce, len, file }),
            Err(error) => {
                // It must not stay: its number is used again.
                self.storage.unlink(&path)?;
                Err(error)
            }
        }
    }

    /// Removes a segment that nothing was written to.
    pub(crate) fn discard(&self, standby: Standby) -> io::Result<()> {
        self.storage.unlink(&self.dir.join(layout::segment(standby.number)))
    }
}

impl SyncThread {
    pub(crate) fn run(self) {
        let progress = self.progress.clone();
        let mut retry = (Instant::now(), RETRY_MIN);
        let mut look_at = Instant::now() + LOOK_INTERVAL;
        let mut state = progress.lock();
        loop {
            if Instant::now() >= look_at {
                self.look_for_termination(&mut state);
                look_at = Instant::now() + LOOK_INTERVAL;
            }
            let is_wanted = state.standby_wanted > 0 && state.stop < Stop::Syncing;
            if is_wanted && Instant::now() >= retry.0 {
                retry = self.prepare(&mut state, retry.1);
            } else if !state.sealed.is_empty() {
                Self::trim(&mut state);
            } else if state.is_sync_due(self.interval, self.bytes_max) {
                self.sync(&mut state);
            } else if state.stop >= Stop::Syncing {
                // Rows whose sync failed cannot be written again any more: the drain is gone.
                self.finish(&mut state);
                return;
            } else {
                let until_retry = retry.0.saturating_duration_since(Instant::now());
                let wait = if is_wanted {
                    until_retry.max(Duration::from_millis(1))
                } else {
                    look_at.saturating_duration_since(Instant::now())
                };
                let age =
                    state.dirty.iter().filter(|dirty| !dirty.failed).map(|dirty| dirty.since.elapsed()).max();
                let until_sync = age.map_or(wait, |age| self.interval.saturating_sub(age));
                progress.wait_work(&mut state, wait.min(until_sync.max(Duration::from_millis(1))));
            }
        }
    }

    /// Prepares the next segment. Returns when, and after how long, it may be tried again.
    fn prepare(&self, state: &mut MutexGuard<'_, State>, pause: Duration) -> (Instant, Duration) {
        let len_min = state.standby_wanted;
        let too_small = state.standby.take();
        let number = state.segments + u64::from(too_small.is_none());
        let prepared = MutexGuard::unlocked(state, || {
            if let Some(standby) = too_small {
                self.preparer.discard(standby)?;
            }
            self.preparer.prepare(number, len_min)
        });
        match prepared {
            Ok(standby) => {
                state.segments = number;
                // The drain may have asked for a longer one meanwhile.
                if state.standby_wanted <= standby.len {
                    state.standby_wanted = 0;
                }
                state.standby = Some(standby);
                state.succeed(PREPARE);
                self.progress.notify_moved();
                (Instant::now(), RETRY_MIN)
            }
            Err(error) => {
                // A name that is taken is passed over, so that it is not tried for ever.
                state.segments =
                    if error.kind() == io::ErrorKind::AlreadyExists { number } else { number - 1 };
                state.fail(PREPARE, error.to_string());
                (Instant::now() + pause, (pause * 2).min(RETRY_MAX))
            }
        }
    }

    /// Looks whether somebody wants the process stopped, unless that is known.
    fn look_for_termination(&self, state: &mut MutexGuard<'_, State>) {
        if self.progress.termination.get().is_some() {
            return;
        }
        match MutexGuard::unlocked(state, || Termination::load(&self.preparer.dir)) {
            Ok(found) => {
                state.succeed(LOOK);
                if let Some(termination) = found {
                    self.progress.termination.get_or_init(|| termination);
                }
            }
            Err(error) => state.fail(LOOK, error.to_string()),
        }
    }

    /// Cuts full segments to their length; the length is synced with the rest. Where that fails they stay longer.
    fn trim(state: &mut MutexGuard<'_, State>) {
        let sealed = std::mem::take(&mut state.sealed);
        let failed = MutexGuard::unlocked(state, || {
            sealed.into_iter().filter_map(|mut sealed| sealed.file.truncate(sealed.len).err()).last()
        });
        match failed {
            Some(error) => state.fail(CUT, error.to_string()),
            None => state.succeed(CUT),
        }
    }

    /// Syncs every dirty segment once.
    fn sync(&self, state: &mut MutexGuard<'_, State>) {
        state.sync_wanted = false;
        for (segment, file) in state.begin_sync() {
            let synced = MutexGuard::unlocked(state, || file.sync());
            state.end_sync(segment, synced.is_ok());
            match synced {
                Ok(()) => state.succeed(SYNC),
                Err(error) => state.fail(SYNC, error.to_string()),
            }
        }
        self.progress.notify_moved();
    }

    fn finish(&self, state: &mut MutexGuard<'_, State>) {
        // Behind the last row there is only a seal.
        if state.failed_from().is_some_and(|from| from < state.spooled) {
            state.not_durable = true;
        }
        if let Some(standby) = state.standby.take() {
            state.segments -= 1;
            // An unused segment that stays is read as what it is: empty.
            let discarded = MutexGuard::unlocked(state, || self.preparer.discard(standby));
            if let Err(error) = discarded {
                state.fail("remove an unused segment", error.to_string());
            }
        }
        state.stop = Stop::Done;
        self.progress.notify_moved();
    }
}
