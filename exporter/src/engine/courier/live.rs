//! Processes that live: the sink looks after them between deliveries, and they learn what its receiver wants of them.
//!
//! Nothing that fails here counts or holds up a delivery for long.

use std::time::Duration;

use spanring_spool::{Error, Life, RecorderId};
use tokio::time::{Instant, timeout_at};

use super::super::discovery::{Census, Standing};
use super::super::notice::Notice;
use super::super::report::SinkEnd;
use super::{Courier, stopped};
use crate::error::with_causes;
use crate::sink::{LiveProcess, Outcome, TerminationRequest};

/// How often the living are looked after, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long that may take, for all of them.
const LOOK_MAX: Duration = Duration::from_secs(5);
/// How long they are left alone after the sink failed several times in a row.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// When the living are looked after.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// When next; `None` before the first time.
    next: Option<Instant>,
    /// How long they were left alone after the last failure.
    pause: Duration,
}

/// That a process is to be told to stop.
#[derive(Debug)]
pub(super) struct Wanted {
    reason: String,
    /// Why it could not be told, as that was said last.
    trouble: Option<String>,
}

impl Looks {
    /// Notes a look that began then, and what it came to. As much time as it took belongs to deliveries.
    fn done(&mut self, began: Instant, is_good: bool) {
        self.pause = match is_good {
            true => Duration::ZERO,
            false => (self.pause * 2).clamp(LOOK_INTERVAL, PAUSE_MAX),
        };
        self.next = Some(Instant::now() + began.elapsed().max(LOOK_INTERVAL).max(self.pause));
    }
}

impl Courier {
    /// Has the sink look after the processes that live, if it is time.
    pub(super) async fn look_after_the_living(&mut self, census: &Census) -> Result<(), SinkEnd> {
        let began = Instant::now();
        if self.looks.next.is_some_and(|next| began < next) {
            return Ok(());
        }
        let mut stop = self.shared.stop.clone();
        let looked = tokio::select! {
            biased;
            () = stopped(&mut stop) => return Err(SinkEnd::Stopped),
            looked = timeout_at(began + LOOK_MAX, self.look(census)) => looked,
        };
        self.looks.done(began, looked == Ok(true));
        self.pass_terminations_on();
        Ok(())
    }

    /// Whether the sink could do what it wanted.
    async fn look(&mut self, census: &Census) -> bool {
        for (recorder, standing) in &census.recorders {
            let of_lineage = self.lineages.get(recorder).map(|lineage| &lineage.strands[0].place);
            let Some(place) = of_lineage.or_else(|| self.places.get(recorder)) else { continue };
            if *standing == Standing::Growing {
                let process = LiveProcess { recorder, resource: &place.resource };
                if !matches!(self.sink.look_after(&process).await, Outcome::Delivered { .. }) {
                    return false;
                }
            }
        }
        true
    }

    /// Tells processes that they are to stop, as far as the sink's receiver has said so.
    pub(super) fn pass_terminations_on(&mut self) {
        for TerminationRequest { recorder, reason } in self.sink.take_terminations() {
            self.terminations.entry(recorder).or_insert(Wanted { reason, trouble: None });
        }
        for (recorder, Wanted { reason, trouble }) in std::mem::take(&mut self.terminations) {
            let sink = self.sink.name().to_owned();
            match self.request_termination(&recorder, &reason) {
                Ok(true) => self.shared.notices.tell(Notice::Termination { sink, recorder, reason }),
                Ok(false) | Err(Error::NoSuchRecorder { .. }) => {}
                Err(error) => {
                    let said = format!("its process cannot be told to stop: {}", with_causes(&error));
                    if trouble.as_ref() != Some(&said) {
                        let (recorder, reason) = (Some(recorder.clone()), said.clone());
                        self.shared.notices.tell(Notice::Trouble { recorder, reason });
                    }
                    // It is tried again with the next look or delivery.
                    self.terminations.insert(recorder, Wanted { reason, trouble: Some(said) });
                }
            }
        }
    }

    /// Whether the process lives, as far as anybody can tell, and was not told before.
    fn request_termination(&self, recorder: &RecorderId, reason: &str) -> Result<bool, Error> {
        match self.shared.spool.life(recorder)? {
            Life::Alive | Life::Unproven { .. } => self.shared.spool.request_termination(recorder, reason),
            _ => Ok(false),
        }
    }
}
