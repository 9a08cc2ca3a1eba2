//! Being told by the system that something was spooled, so that nobody has to look for it again and again.
//!
//! It is a help and no promise: networks and some file systems tell nothing, a limit on watches may be reached, and what happens in a directory
//! before it is watched is not told. So whoever waits looks now and then all the same.

use std::collections::BTreeSet;
use std::future::pending;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use spanring_spool::{RecorderId, SpoolDir};
use tokio::sync::watch;
use tokio::time::sleep;

use super::discovery::{Census, Standing};

/// How long more may come after something has, until it is looked for.
const SETTLING: Duration = Duration::from_millis(20);

/// Tells that something has happened in a spool.
#[derive(Clone, Debug)]
pub(super) struct Arrivals(watch::Receiver<()>);

/// Watches a spool until it is dropped: its directory and those of recorders that grow, and nothing else that may lie there.
#[derive(Debug)]
pub(super) struct Watch {
    spool: SpoolDir,
    /// That a segment was written to.
    pub(super) segments: Arrivals,
    /// That recorders have come or gone.
    pub(super) recorders: Arrivals,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<RecorderId>,
}

impl Watch {
    /// Watches the directory of this spool.
    ///
    /// # Errors
    ///
    /// Where the system does not do that here, or not for so many.
    pub(super) fn of(spool: &SpoolDir) -> Result<Self, notify::Error> {
        let (segment_written, segments) = watch::channel(());
        let (recorders_changed, recorders) = watch::channel(());
        let root = spool.path().to_owned();
        let tell = move |event: notify::Result<Event>| {
            let told = match event {
                // Whatever it is that was missed.
                Err(_) => Told { of_segments: true, of_recorders: true },
                Ok(event) => Told::by(&event, &root),
            };
            if told.of_segments {
                segment_written.send_replace(());
            }
            if told.of_recorders {
                recorders_changed.send_replace(());
            }
        };
        let watcher = RecommendedWatcher::new(tell, Config::default().with_follow_symlinks(false))?;
        let mut watcher = ManuallyDrop::new(watcher);
        let root = spool.path();
        let watched = catch_unwind(AssertUnwindSafe(|| watcher.watch(root, RecursiveMode::NonRecursive)));
        // Where there was no thread for it, it panics, and would again if it were dropped, which ends the process.
        let watched = watched.map_err(|_| notify::Error::generic("there is no thread for it"))?;
        let watcher = ManuallyDrop::into_inner(watcher);
        watched?;
        Ok(Watch { watcher: Some(watcher), ..Self::of_nothing(spool, segments, recorders) })
    }

    /// Tells nothing.
    pub(super) fn none(spool: &SpoolDir) -> Self {
        Self::of_nothing(spool, watch::channel(()).1, watch::channel(()).1)
    }

    fn of_nothing(spool: &SpoolDir, segments: watch::Receiver<()>, recorders: watch::Receiver<()>) -> Self {
        Watch {
            spool: spool.clone(),
            segments: Arrivals(segments),
            recorders: Arrivals(recorders),
            watcher: None,
            watched: BTreeSet::new(),
        }
    }

    /// The spool.
    pub(super) fn spool(&self) -> &SpoolDir {
        &self.spool
    }

    /// Watches the recorders that grow, and no others any more.
    ///
    /// # Errors
    ///
    /// Why one of them cannot be watched. It is tried again the next time.
    pub(super) fn follow(&mut self, census: &Census) -> Result<(), notify::Error> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        let growing: BTreeSet<_> = census
            .recorders
            .iter()
            .filter(|(_, standing)| *standing == Standing::Growing)
            .map(|(recorder, _)| recorder.clone())
            .collect();
        for over in self.watched.extract_if(.., |watched| !growing.contains(watched)) {
            // The system has forgotten what is removed.
            drop(watcher.unwatch(&self.spool.recorder_path(&over)));
        }
        for recorder in growing {
            if !self.watched.contains(&recorder) {
                watcher.watch(&self.spool.recorder_path(&recorder), RecursiveMode::NonRecursive)?;
                self.watched.insert(recorder);
            }
        }
        Ok(())
    }
}

impl Arrivals {
    /// From here on what has happened so far is not told any more.
    pub(super) fn have_been_seen(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits until something has happened since then, and for a moment longer, in which more may. Where the wait is given up before, it is still told.
    pub(super) async fn wait(&mut self) {
        if self.0.clone().changed().await.is_err() {
            // Nobody watches.
            return pending().await;
        }
        sleep(SETTLING).await;
        self.have_been_seen();
    }
}

/// What an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Told {
    of_segments: bool,
    of_recorders: bool,
}

impl Told {
    fn by(event: &Event, root: &Path) -> Self {
        let is_change =
            matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_));
        let is_lost = event.need_rescan();
        let any = |is_about: fn(&Path, &Path) -> bool| {
            is_lost || is_change && event.paths.iter().any(|path| is_about(path, root))
        };
        Told {
            of_segments: any(|path, _| SpoolDir::is_segment(path)),
            // What is set up or removed has another name: a recovery that fails again and again would wake itself.
            of_recorders: any(|path, root| path.parent() == Some(root) && names_recorder(path)),
        }
    }
}

fn names_recorder(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| RecorderId::parse(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Whether something is told within a minute.
    async fn is_told(arrivals: &mut Arrivals) -> bool {
        tokio::time::timeout(MINUTE, arrivals.wait()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_watches_nothing_is_told() {
        let (dir, _) = crate::engine::tests::spool(1);
        let Watch { mut segments, mut recorders, .. } = Watch::none(&SpoolDir::open(dir.path()).unwrap());
        assert!(!is_told(&mut segments).await);
        assert!(!is_told(&mut recorders).await);
    }

    #[test]
    fn an_event_is_about_segments_or_recorders_or_nothing_that_is_waited_for() {
        let root = Path::new("/spool");
        let told = |kind, path: &str| {
            let Told { of_segments, of_recorders } = Told::by(&Event::new(kind).add_path(path.into()), root);
            (of_segments, of_recorders)
        };
        let written = EventKind::Modify(notify::event::ModifyKind::Any);
        let read = EventKind::Access(notify::event::AccessKind::Any);
        let recorder = RecorderId::from_parts(1, 2);
        assert_eq!(told(written, "/spool/r/000000000000000001.segment"), (true, false));
        assert_eq!(told(read, "/spool/r/000000000000000001.segment"), (false, false));
        assert_eq!(told(written, "/spool/r/cursor-0000000000000001"), (false, false));
        assert_eq!(told(written, &format!("/spool/{recorder}")), (false, true));
        assert_eq!(told(written, &format!("/spool/.new-{recorder}")), (false, false));
        assert_eq!(told(written, &format!("/other/{recorder}")), (false, false));
        assert_eq!(told(read, &format!("/spool/{recorder}")), (false, false));
        let lost = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert_eq!(Told::by(&lost, root), Told { of_segments: true, of_recorders: true });
    }
}
