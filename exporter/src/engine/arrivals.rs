//! Being told by the system that something was spooled, so that nobody has to look for it again and again.
//!
//! It is a help and no promise: networks and some file systems tell nothing, a limit on watches may be reached, and what happens in a directory
//! before it is watched is not told. So whoever waits looks now and then all the same.

use std::future::pending;
use std::path::Path;
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use spanring_spool::SpoolDir;
use tokio::sync::watch;
use tokio::time::sleep;

/// How long more may come after something has, until it is looked for.
const SETTLING: Duration = Duration::from_millis(20);

/// Tells that something has happened in a spool.
#[derive(Clone, Debug)]
pub(super) struct Arrivals(watch::Receiver<()>);

/// Watches a spool until it is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    /// That a segment was written to.
    pub(super) segments: Arrivals,
    /// That recorders have come or gone.
    pub(super) recorders: Arrivals,
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches this spool.
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
        let mut watcher = notify::recommended_watcher(tell)?;
        watcher.watch(spool.path(), RecursiveMode::Recursive)?;
        Ok(Watch { segments: Arrivals(segments), recorders: Arrivals(recorders), _watcher: Some(watcher) })
    }

    /// Tells nothing.
    pub(super) fn of_nothing() -> Self {
        let nothing = || Arrivals(watch::channel(()).1);
        Watch { segments: nothing(), recorders: nothing(), _watcher: None }
    }
}

impl Arrivals {
    /// From here on what has happened so far is not told any more.
    pub(super) fn have_been_seen(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits until something has happened since then, and for a moment longer, in which more may. Then that has been seen, and nothing where nobody
    /// waits so long.
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
            of_recorders: any(|path, root| path.parent() == Some(root)),
        }
    }
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
        let Watch { mut segments, mut recorders, .. } = Watch::of_nothing();
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
        assert_eq!(told(written, "/spool/r/000000000000000001.segment"), (true, false));
        assert_eq!(told(read, "/spool/r/000000000000000001.segment"), (false, false));
        assert_eq!(told(written, "/spool/r/cursor-0000000000000001"), (false, false));
        assert_eq!(told(written, "/spool/r"), (false, true));
        assert_eq!(told(read, "/spool/r"), (false, false));
        let lost = Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        assert_eq!(Told::by(&lost, root), Told { of_segments: true, of_recorders: true });
    }
}
