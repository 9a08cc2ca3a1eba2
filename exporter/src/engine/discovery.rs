//! Which recorders there are, recovering the dead ones, and removing what every sink has and is past its [grace](super::grace).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use spanring_spool::{Doubt, Error, Life, Position, RecorderId, RecoveryReport, SpoolDir};

use super::arrivals::Watch;
use super::backlog::Ends;
use super::grace::{Grace, Now};
use super::notice::Notice;
use super::status::{Snapshot, Status};
use super::waiting::Waiting;
use super::{Mode, Notices};
use crate::error::with_causes;

/// How often what processes left half done is removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The recorders of a spool at one moment, sorted by their creation.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Census {
    pub(super) recorders: Vec<(RecorderId, Standing)>,
}

impl Census {
    /// Whether a recorder is there.
    pub(super) fn contains(&self, recorder: &RecorderId) -> bool {
        self.recorders.binary_search_by(|(listed, _)| listed.cmp(recorder)).is_ok()
    }
}

/// What is to be expected of a recorder's segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// More may be written to them.
    Growing,
    /// They hold all that they will ever hold.
    Over,
}

/// How far each sink has got in each recorder.
#[derive(Debug)]
pub(super) struct Progress {
    sinks: usize,
    /// What each has yet to get.
    waiting: Vec<Waiting>,
    /// What each has, durably.
    positions: Mutex<BTreeMap<RecorderId, Vec<Option<Position>>>>,
}

impl Progress {
    pub(super) fn new(sinks: usize) -> Self {
        let waiting = (0..sinks).map(|_| Waiting::default()).collect();
        Progress { sinks, waiting, positions: Mutex::default() }
    }

    /// What sink number `sink` has yet to get.
    pub(super) fn waiting(&self, sink: usize) -> &Waiting {
        &self.waiting[sink]
    }

    /// Sink number `sink` is done with everything before `position`, and its cursor says so after a power cut too.
    pub(super) fn publish(&self, sink: usize, recorder: &RecorderId, position: Position) {
        let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        let of_sinks = positions.entry(recorder.clone()).or_insert_with(|| vec![None; self.sinks]);
        of_sinks[sink] = Some(position);
    }

    /// The recorders that every sink has got somewhere in, and where.
    fn of_all_sinks(&self) -> Vec<(RecorderId, Vec<Position>)> {
        let positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        let of_all = |(recorder, of_sinks): (&RecorderId, &Vec<Option<Position>>)| {
            let all = of_sinks.iter().copied().collect::<Option<Vec<_>>>()?;
            Some((recorder.clone(), all))
        };
        positions.iter().filter_map(of_all).collect()
    }

    fn forget(&self, recorder: &RecorderId) {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner).remove(recorder);
    }
}

/// Looks after the recorders of a spool. What it does may take long, and belongs on a thread that may block.
#[derive(Debug)]
pub(super) struct Discovery {
    spool: SpoolDir,
    /// The names of the sinks.
    sinks: Vec<String>,
    mode: Mode,
    progress: Arc<Progress>,
    status: Status,
    notices: Notices,
    watch: Watch,
    /// Whether it was told that something cannot be watched.
    is_unwatched_told: bool,
    grace: Grace,
    /// The recorders that are there.
    seen: BTreeSet<RecorderId>,
    swept_at: Instant,
    ends: Ends,
    /// How many spans each sink is behind.
    backlogs: Vec<u64>,
    pub(super) recorders: u64,
    pub(super) recoveries: u64,
    /// Only if all is delivered once: it would grow for ever.
    pub(super) recovered: Vec<RecoveryReport>,
    pub(super) unproven: BTreeMap<RecorderId, Doubt>,
    pub(super) recorders_removed: u64,
    pub(super) segments_removed: u64,
    /// How many segments were delivered and in grace when they were last looked at.
    pub(super) segments_in_grace: u64,
    troubles: BTreeMap<(Option<RecorderId>, Task), String>,
}

/// What did not work. A trouble is forgotten when its task works again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Task {
    List,
    Sweep,
    Look,
    Recover,
    Remove,
}

impl Discovery {
    pub(super) fn new(
        watch: Watch,
        sinks: Vec<String>,
        mode: Mode,
        grace: Duration,
        progress: Arc<Progress>,
        status: Status,
        notices: Notices,
    ) -> Self {
        Discovery {
            spool: watch.spool().clone(),
            sinks,
            mode,
            progress,
            status,
            notices,
            watch,
            is_unwatched_told: false,
            grace: Grace::new(grace),
            seen: BTreeSet::new(),
            swept_at: Instant::now(),
            ends: Ends::default(),
            backlogs: Vec::new(),
            recorders: 0,
            recoveries: 0,
            recovered: Vec::new(),
            unproven: BTreeMap::new(),
            recorders_removed: 0,
            segments_removed: 0,
            segments_in_grace: 0,
            troubles: BTreeMap::new(),
        }
    }

    /// What does not work at present.
    pub(super) fn troubles(&self) -> impl Iterator<Item = String> {
        self.troubles.iter().map(|((recorder, _), reason)| {
            Notice::Trouble { recorder: recorder.clone(), reason: reason.clone() }.to_string()
        })
    }

    /// Shows how it stands with the recorders.
    pub(super) fn show(&self, snapshot: &mut Snapshot) {
        snapshot.recorders = self.recorders;
        snapshot.recorders_present = self.seen.len() as u64;
        snapshot.recoveries = self.recoveries;
        snapshot.unproven = self.unproven.len() as u64;
        snapshot.recorders_removed = self.recorders_removed;
        snapshot.segments_removed = self.segments_removed;
        snapshot.ledger = self.ends.ledger();
        snapshot.troubles = self.troubles.len() as u64;
        let sinks = snapshot.sinks.iter_mut().zip(&self.progress.waiting);
        for ((sink, waiting), &spans) in sinks.zip(&self.backlogs) {
            sink.backlog.spans = spans;
            sink.backlog.oldest_unix_ns = waiting.oldest();
        }
    }

    /// Looks how far the recorders have got, of which these are there unless it is the same as before, and how far that is ahead of each sink.
    pub(super) fn look_at_ends(&mut self, census: Option<&Census>) {
        if let Some(census) = census {
            self.ends.look(&self.spool, census);
            self.progress.waiting.iter().for_each(|of_sink| of_sink.retain(|id| census.contains(id)));
        }
        let Discovery { ends, spool, progress, sinks, .. } = self;
        let backlog =
            |(sink, name): (usize, &String)| ends.backlog(spool, sink, name, progress.waiting(sink));
        self.backlogs = sinks.iter().enumerate().map(backlog).collect();
    }

    /// Removes what processes left half done that were killed meanwhile.
    pub(super) fn sweep(&mut self) {
        self.swept_at = Instant::now();
        let swept = self.spool.sweep().map(drop);
        self.note(None, Task::Sweep, swept);
    }

    /// Sweeps if the last time was a while ago.
    pub(super) fn sweep_if_due(&mut self) {
        if self.swept_at.elapsed() >= SWEEP_INTERVAL {
            self.sweep();
        }
    }

    /// Recovers the dead, and returns all recorders with what was recovered among them, unless they cannot be listed now.
    pub(super) fn census(&mut self) -> Option<Census> {
        let mut tried = BTreeSet::new();
        loop {
            let listed = self.spool.recorders();
            let is_listed = listed.is_ok();
            let recorders = listed.as_deref().unwrap_or_default().to_vec();
            self.note(None, Task::List, listed.map(drop));
            let tried_before = tried.len();
            let mut census = Census::default();
            for recorder in recorders {
                if let Some(standing) = self.standing(&recorder, &mut tried) {
                    census.recorders.push((recorder, standing));
                }
            }
            // A recovery makes a recorder, which the list does not have yet.
            if tried.len() == tried_before {
                return match is_listed {
                    true => {
                        self.remember_only(&census);
                        self.watch(&census);
                        Some(census)
                    }
                    false => None,
                };
            }
        }
    }

    /// Has the system tell what happens in them, and says where it does not.
    fn watch(&mut self, census: &Census) {
        let Err(error) = self.watch.follow(census) else { return };
        // One that was removed meanwhile is no matter, and the others have one reason.
        if !matches!(error.kind, notify::ErrorKind::PathNotFound) && !self.is_unwatched_told {
            self.notices.tell(Notice::unwatched(&error));
            self.is_unwatched_told = true;
        }
    }

    /// Counts the recorders that are new, and forgets those that are gone.
    fn remember_only(&mut self, census: &Census) {
        let there: BTreeSet<_> = census.recorders.iter().map(|(recorder, _)| recorder.clone()).collect();
        self.recorders += there.difference(&self.seen).count() as u64;
        self.unproven.retain(|recorder, _| there.contains(recorder));
        self.troubles.retain(|(recorder, _), _| recorder.as_ref().is_none_or(|id| there.contains(id)));
        self.seen = there;
    }

    fn standing(&mut self, recorder: &RecorderId, tried: &mut BTreeSet<RecorderId>) -> Option<Standing> {
        let life = match self.spool.life(recorder) {
            Ok(life) => life,
            Err(Error::NoSuchRecorder { .. }) => return None,
            Err(error) => {
                self.note(Some(recorder), Task::Look, Err(error));
                return Some(Standing::Growing);
            }
        };
        self.note(Some(recorder), Task::Look, Ok(()));
        if !matches!(life, Life::Unproven { .. }) {
            self.unproven.remove(recorder);
        }
        match life {
            life if life.is_over() => Some(Standing::Over),
            Life::Dead | Life::DeadInAnotherBoot if tried.insert(recorder.clone()) => {
                self.recover(recorder);
                // Over or not, the next round will tell.
                Some(Standing::Growing)
            }
            Life::Unproven { doubt } => {
                if self.unproven.insert(recorder.clone(), doubt.clone()).as_ref() != Some(&doubt) {
                    self.notices.tell(Notice::Unproven { recorder: recorder.clone(), doubt });
                }
                Some(Standing::Growing)
            }
            _ => Some(Standing::Growing),
        }
    }

    fn recover(&mut self, recorder: &RecorderId) {
        let recovered = match self.spool.recover(recorder) {
            Ok(report) => {
                if !report.already_done {
                    self.notices.tell(Notice::Recovered(report.clone()));
                    self.recoveries += 1;
                    if matches!(self.mode, Mode::Once { .. }) {
                        self.recovered.push(report);
                    }
                }
                Ok(())
            }
            // Somebody else is at it, or it has been done and delivered since we looked.
            Err(Error::StillAlive { .. } | Error::Unproven { .. } | Error::NoSuchRecorder { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        self.note(Some(recorder), Task::Recover, recovered);
    }

    /// Removes what every sink has, unless it is in grace.
    pub(super) fn remove_delivered(&mut self) {
        self.status.turn();
        let now = Now::read();
        self.segments_in_grace = 0;
        for (recorder, positions) in self.progress.of_all_sinks() {
            let stays = self.grace.look(&recorder, now);
            let removed = match self.spool.remove_delivered_unless(&recorder, &positions, stays) {
                Ok(removed) => {
                    self.segments_removed += removed.segments;
                    self.segments_in_grace += removed.kept;
                    self.recorders_removed += u64::from(removed.recorder);
                    if removed.recorder {
                        self.forget(&recorder);
                    }
                    Ok(())
                }
                Err(Error::NoSuchRecorder { .. }) => {
                    self.forget(&recorder);
                    Ok(())
                }
                Err(error) => Err(error),
            };
            self.note(Some(&recorder), Task::Remove, removed);
        }
    }

    fn forget(&mut self, recorder: &RecorderId) {
        self.progress.forget(recorder);
        self.grace.forget(recorder);
    }

    /// Keeps what does not work until it does, and tells of it once. Either way the exporter gets on.
    fn note(&mut self, recorder: Option<&RecorderId>, task: Task, result: Result<(), Error>) {
        self.status.turn();
        let key = (recorder.cloned(), task);
        match result {
            Ok(()) => drop(self.troubles.remove(&key)),
            Err(error) => {
                let reason = with_causes(&error);
                if self.troubles.get(&key) != Some(&reason) {
                    self.notices.tell(Notice::Trouble { recorder: key.0.clone(), reason: reason.clone() });
                    self.troubles.insert(key, reason);
                }
            }
        }
    }
}
