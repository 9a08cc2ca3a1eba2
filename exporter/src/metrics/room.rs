//! What a spool takes, looked at now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use spanring_spool::{Room, SpoolDir};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// For how long what was seen is taken for what is there: to look costs a system call for each segment and each dead letter.
const FRESH: Duration = Duration::from_secs(5);
/// How long somebody who asks waits for a disk that does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a spool takes; `None` what could not be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// The segments, and the file system.
    pub room: Option<Room>,
    /// The dead letters.
    pub held: Option<Held>,
}

/// What dead letters take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// How many there are.
    pub letters: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Taken {
    /// Looks at a spool. It waits for the disk.
    pub fn by(spool: &SpoolDir) -> Self {
        let held = spool.dead_letters().held();
        let held = held.map(|(letters, bytes)| Held { letters: letters as u64, bytes });
        Taken { room: spool.room().ok(), held: held.ok() }
    }
}

/// Looks at a spool when somebody asks, from one thread at a time and not too often.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    spool: SpoolDir,
    last: watch::Sender<Option<(Instant, Taken)>>,
    is_looking: Arc<AtomicBool>,
}

impl Rooms {
    pub(crate) fn of(spool: SpoolDir) -> Self {
        Rooms { spool, last: watch::Sender::new(None), is_looking: Arc::default() }
    }

    /// What the spool takes, or what it took when the disk answered last.
    pub(crate) async fn taken(&self) -> Taken {
        let mut seen = self.last.subscribe();
        let is_fresh = seen.borrow_and_update().is_some_and(|(at, _)| at.elapsed() < FRESH);
        if !is_fresh {
            // Orders nothing: whoever is told to wait is told by the channel.
            if !self.is_looking.swap(true, Ordering::Relaxed) {
                let rooms = self.clone();
                drop(spawn_blocking(move || {
                    let taken = Taken::by(&rooms.spool);
                    rooms.last.send_replace(Some((Instant::now(), taken)));
                    rooms.is_looking.store(false, Ordering::Relaxed);
                }));
            }
            // Where nothing comes in time, the last will do.
            drop(timeout(PATIENCE, seen.changed()).await);
        }
        self.last.borrow().map(|(_, taken)| taken).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::spool;

    #[test]
    fn it_is_looked_at_anew_once_what_was_seen_is_old_and_a_disk_that_does_not_answer_is_not_waited_for() {
        let (dir, _) = spool(1);
        let rooms = Rooms::of(SpoolDir::open(dir.path()).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let ask = || runtime.block_on(rooms.taken());
        let first = ask();
        assert!(first.room.is_some_and(|room| room.segments > 0), "{first:?}");
        assert_eq!(first.held, Some(Held::default()));
        dir.close().unwrap();
        assert_eq!(ask(), first);

        let old = Instant::now().checked_sub(FRESH).unwrap();
        rooms.last.send_replace(Some((old, first)));
        rooms.is_looking.store(true, Ordering::Relaxed);
        assert_eq!(ask(), first, "somebody is looking, and gets no answer");
        rooms.is_looking.store(false, Ordering::Relaxed);
        assert_eq!(ask(), Taken { room: None, held: Some(Held::default()) });
    }
}
