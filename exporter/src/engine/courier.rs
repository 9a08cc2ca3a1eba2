//! Delivers to one sink, at the sink's own pace.
//!
//! ```text
//! recorder ──► block ──► batch ──► sink
//!    ▲                               │ outcome
//!    └────── cursor ◄────────────────┘
//! ```
//!
//! # Invariants
//!
//! * **C1** A cursor is stored after the sink has acknowledged, or refused and so left to C4, every span before it. A kill in between delivers
//!   again what was read together, a block or several; nothing is passed over. What the sink has noted of them is synced before.
//! * **C2** A position is published, and thus allows removal, after its cursor was synced.
//! * **C3** One block is in memory at a time, or of those whose batches go [together](by_block) 4 MiB, decompressed, and one more. All growing recorders are open, but only one that is over and can be
//!   read. By trace, the spans of a few traces are besides.
//! * **C4** A span that the sink refuses by itself is a dead letter, and durable as one, before the cursor passes it. No other span is one.

mod by_block;
mod by_trace;
mod live;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spanring_spool::{BlockBuffer, Error, RecorderId, Skipped};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::by_trace::{Lineage, Strand};
use self::live::Looks;
use self::place::Place;
use super::arrivals::Arrivals;
use super::discovery::{Census, Progress, Standing};
use super::keep::Keep;
use super::notice::Notice;
use super::porter::{Porter, Terms};
use super::report::{SinkEnd, SinkReport};
use super::status::SinkState;
use super::waiting::{Since, Waiting};
use super::{Intervals, Mode, Route, stopped};
use crate::error::with_causes;

/// How many blocks of a recorder are delivered before the others have their turn.
const BLOCKS_PER_TURN: usize = 16;
/// How often the cursor of a growing recorder is synced between two segments. What a power cut takes of it is delivered
/// again.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// What all couriers share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) terms: Terms,
    pub(super) progress: Arc<Progress>,
    pub(super) census: watch::Receiver<Arc<Census>>,
    pub(super) segments: Arrivals,
}

/// What a courier has met with on the way.
#[derive(Debug, Default)]
pub(super) struct Journey {
    pub(super) recorders_skipped_in: u64,
    /// Of recorders that are gone only if all is delivered once: it would grow for ever.
    pub(super) skipped: BTreeMap<RecorderId, Skipped>,
    pub(super) troubles: BTreeMap<RecorderId, String>,
}

pub(super) struct Courier {
    porter: Porter,
    keep: Option<Keep>,
    progress: Arc<Progress>,
    census: watch::Receiver<Arc<Census>>,
    segments: Arrivals,
    places: BTreeMap<RecorderId, Place>,
    /// Where spans are delivered by trace, in place of that, by the recorder that recorded them.
    lineages: BTreeMap<RecorderId, Lineage>,
    finished: BTreeSet<RecorderId>,
    looks: Looks,
    /// Memory for the blocks that are on their way.
    buffers: Vec<BlockBuffer>,
    journey: Journey,
}

/// What a turn with a recorder came to.
enum Turn {
    /// There is more.
    More,
    /// All that is there is delivered.
    CaughtUp,
    /// It cannot be read now.
    Trouble,
}

/// What time it is, in nanoseconds since the Unix epoch.
fn now_unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

impl Courier {
    pub(super) fn new(number: usize, route: Route, shared: Shared) -> Self {
        let Route { sink, keep, rate } = route;
        let Shared { terms, progress, census, segments } = shared;
        Courier {
            porter: Porter::new(number, sink, rate, terms),
            keep,
            progress,
            census,
            segments,
            places: BTreeMap::new(),
            lineages: BTreeMap::new(),
            finished: BTreeSet::new(),
            looks: Looks::default(),
            buffers: Vec::new(),
            journey: Journey::default(),
        }
    }

    /// Delivers until all is delivered, the sink fails for good, or a stop is asked for.
    pub(super) async fn run(mut self) -> (SinkReport, Journey) {
        let end = match self.porter.terms.mode {
            Mode::Once { .. } => self.deliver_once().await,
            Mode::Follow { .. } => self.follow().await,
        };
        let end = end.unwrap_or_else(|end| end);
        if let SinkEnd::GaveUp { .. } | SinkEnd::Refused { .. } = &end {
            let sink = self.porter.sink.name().to_owned();
            let reason = match &end {
                SinkEnd::GaveUp { reason } => format!("gave up, the rest is kept: {reason}"),
                SinkEnd::Refused { reason } => format!("stopped, the rest is kept: {reason}"),
                _ => unreachable!("the pattern above"),
            };
            self.porter.tell(Notice::Ended { sink, reason });
        }
        self.porter.keep_all_notes();
        for (recorder, mut place) in std::mem::take(&mut self.places) {
            self.settle(&recorder, &mut place);
        }
        for strand in std::mem::take(&mut self.lineages).into_values().flat_map(|lineage| lineage.strands) {
            let Strand { recorder, mut place, .. } = strand;
            self.settle(&recorder, &mut place);
        }
        self.porter.report.end = end;
        self.porter.show(|standing| standing.state = SinkState::Ended);
        (self.porter.report, self.journey)
    }

    async fn deliver_once(&mut self) -> Result<SinkEnd, SinkEnd> {
        let census = self.census.borrow().clone();
        for (recorder, standing) in &census.recorders {
            if self.is_part_of_another(recorder, &census) {
                continue;
            }
            while matches!(self.turn(recorder, *standing).await?, Turn::More) {}
            self.leave(recorder);
        }
        Ok(if self.journey.troubles.is_empty() { SinkEnd::Complete } else { SinkEnd::Incomplete })
    }

    async fn follow(&mut self) -> Result<SinkEnd, SinkEnd> {
        let Intervals { first, cap, .. } = self.porter.terms.mode.intervals();
        let mut poll = first;
        loop {
            self.segments.have_been_seen();
            let census = self.census.borrow_and_update().clone();
            self.forget_all_but(&census);
            let delivered = self.round(&census).await?;
            self.look_after_the_living(&census).await?;
            if delivered {
                poll = first;
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = sleep(poll) => poll = (poll * 2).min(cap),
                () = self.segments.wait() => {}
                Ok(()) = self.census.changed() => {}
                () = stopped(&mut self.porter.terms.stop) => return Err(SinkEnd::Stopped),
            }
        }
    }

    /// A turn with each growing recorder, and with the oldest that is over. Whether there is more.
    async fn round(&mut self, census: &Census) -> Result<bool, SinkEnd> {
        let mut more = false;
        for (recorder, standing) in &census.recorders {
            if *standing == Standing::Growing && self.is_due(recorder, census) {
                more |= matches!(self.turn(recorder, *standing).await?, Turn::More);
            }
        }
        for (recorder, standing) in &census.recorders {
            if *standing == Standing::Over && self.is_due(recorder, census) {
                let turn = self.turn(recorder, *standing).await?;
                if !matches!(turn, Turn::More) {
                    self.leave(recorder);
                }
                if !matches!(turn, Turn::Trouble) {
                    return Ok(true);
                }
            }
        }
        Ok(more)
    }

    /// Whether a recorder has its turn by itself, and may have more.
    fn is_due(&self, recorder: &RecorderId, census: &Census) -> bool {
        !self.finished.contains(recorder) && !self.is_part_of_another(recorder, census)
    }

    /// Whether a recorder is read together with the one that it was recovered from.
    fn is_part_of_another(&self, recorder: &RecorderId, census: &Census) -> bool {
        recorder.origin().is_some_and(|origin| {
            self.goes_by_trace(&origin) && census.contains(&origin) && !self.finished.contains(&origin)
        })
    }

    /// Delivers some blocks of one recorder.
    async fn turn(&mut self, recorder: &RecorderId, standing: Standing) -> Result<Turn, SinkEnd> {
        if self.goes_by_trace(recorder) {
            return self.turn_by_trace(recorder, standing).await;
        }
        if self.porter.is_to_stop() {
            return Err(SinkEnd::Stopped);
        }
        let place = match self.places.remove(recorder) {
            Some(place) => Ok(place),
            None => self.open(recorder),
        };
        let mut place = match place {
            Ok(place) => place,
            Err(error) => return Ok(self.trouble(recorder, error)),
        };
        if place.state.ahead > place.state.position {
            // An earlier run delivered by trace. Its cursor is opened once more for that.
            drop(place);
            return self.turn_by_trace(recorder, standing).await;
        }
        if standing == Standing::Over {
            place.reader.set_dead();
        }
        let turn = self.blocks(recorder, standing, &mut place).await;
        self.places.insert(recorder.clone(), place);
        match turn {
            Ok(Ok(turn)) => {
                self.journey.troubles.remove(recorder);
                Ok(turn)
            }
            Ok(Err(error)) => Ok(self.trouble(recorder, error)),
            Err(end) => Err(end),
        }
    }

    fn caught_up(
        &mut self,
        recorder: &RecorderId,
        standing: Standing,
        place: &mut Place,
    ) -> Result<Turn, Error> {
        self.note_skipped(recorder, place.skipped());
        if standing == Standing::Over {
            self.publish(recorder, place)?;
            self.finished.insert(recorder.clone());
        } else if place.is_sync_due() {
            self.publish(recorder, place)?;
        }
        Ok(Turn::CaughtUp)
    }

    fn waiting(&self) -> &Waiting {
        self.progress.waiting(self.porter.number)
    }

    /// Shows since when the first of what the sink has yet to get has been waiting, now that it is this in some recorders.
    fn show_waiting<'a>(&self, recorders: impl Iterator<Item = &'a RecorderId>, since: Option<Since>) {
        let waiting = self.waiting();
        let changes = recorders.filter(|recorder| waiting.set(recorder, since)).count();
        if changes > 0 {
            let oldest = waiting.oldest();
            self.porter.show(|standing| standing.backlog.oldest_unix_ns = oldest);
        }
    }

    /// Makes the cursor durable, and says so to whoever removes what is delivered.
    fn publish(&self, recorder: &RecorderId, place: &mut Place) -> Result<(), Error> {
        place.cursor.sync()?;
        place.synced = Some((place.state, Instant::now()));
        self.progress.publish(self.porter.number, recorder, place.state.position);
        Ok(())
    }

    /// Closes the files of a recorder for now, unless that would forget what was delivered.
    fn leave(&mut self, recorder: &RecorderId) {
        if let Some(mut place) = self.places.remove(recorder) {
            self.settle(recorder, &mut place);
            if place.cursor.state() != place.state {
                self.places.insert(recorder.clone(), place);
            }
        }
        if self.finished.contains(recorder) {
            self.lineages.remove(recorder);
            self.porter.close_notes(|done| done == recorder);
        }
    }

    /// Syncs what was not worth a sync before.
    fn settle(&mut self, recorder: &RecorderId, place: &mut Place) {
        self.note_skipped(recorder, place.skipped());
        let is_synced = place.synced.is_some_and(|(state, _)| state == place.state);
        if !is_synced
            && place.cursor.state() == place.state
            && let Err(error) = self.publish(recorder, place)
        {
            self.trouble(recorder, error);
        }
    }

    /// Tells where a sink that is new to a recorder begins late.
    fn note_late(&self, recorder: &RecorderId, place: &mut Place) {
        let segments = place.begin();
        if segments > 0 {
            let sink = self.porter.sink.name().to_owned();
            self.porter.tell(Notice::BeganLate { sink, recorder: recorder.clone(), segments });
        }
    }

    fn note_skipped(&mut self, recorder: &RecorderId, skipped: Skipped) {
        if skipped.is_damage() && self.journey.skipped.get(recorder) != Some(&skipped) {
            let notice = Notice::Skipped { recorder: recorder.clone(), skipped: skipped.clone() };
            self.porter.tell(notice);
            let is_new = self.journey.skipped.insert(recorder.clone(), skipped).is_none();
            self.journey.recorders_skipped_in += u64::from(is_new);
        }
    }

    /// Forgets recorders that are gone.
    fn forget_all_but(&mut self, census: &Census) {
        let is_there = |recorder: &RecorderId| census.contains(recorder);
        self.lineages.retain(|recorder, _| is_there(recorder));
        self.porter.close_notes(|recorder| !is_there(recorder));
        self.places.retain(|recorder, _| is_there(recorder));
        self.finished.retain(is_there);
        self.journey.skipped.retain(|recorder, _| is_there(recorder));
        self.journey.troubles.retain(|recorder, _| is_there(recorder));
    }

    fn trouble(&mut self, recorder: &RecorderId, error: Error) -> Turn {
        if let Error::NoSuchRecorder { .. } = error {
            // It is gone, and the next census will say so too.
            self.places.remove(recorder);
            self.lineages.remove(recorder);
            self.porter.close_notes(|gone| gone == recorder);
            self.show_waiting(std::iter::once(recorder), None);
            self.finished.insert(recorder.clone());
            return Turn::CaughtUp;
        }
        let reason = with_causes(&error);
        if self.journey.troubles.get(recorder) != Some(&reason) {
            let notice = Notice::Trouble { recorder: Some(recorder.clone()), reason: reason.clone() };
            self.porter.tell(notice);
            self.journey.troubles.insert(recorder.clone(), reason);
        }
        Turn::Trouble
    }
}
