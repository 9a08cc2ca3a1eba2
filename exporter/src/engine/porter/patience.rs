//! Waiting: for the rate, for a sink that fails, for one that takes nothing.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::super::notice::Notice;
use super::super::report::SinkEnd;
use super::super::status::SinkState;
use super::super::{Mode, stopped};
use super::Porter;

impl Porter {
    /// Waits until so many spans may be sent, where the sink is delivered to at a limited rate.
    pub(super) async fn keep_to_rate(&mut self, spans: usize) -> Result<(), SinkEnd> {
        match &self.rate {
            Some(rate) => {
                let at = rate.admit(spans);
                self.wait_until(at).await
            }
            None => Ok(()),
        }
    }

    /// Notes that the sink is asked, also if it is taken for one that is out.
    pub(super) fn probing(&self) {
        self.show(|standing| {
            if standing.state == SinkState::Open {
                standing.state = SinkState::HalfOpen;
            }
        });
    }

    /// Waits after a failure, until the sink may be asked again.
    pub(super) async fn bear(
        &mut self,
        began: Instant,
        after: Option<Duration>,
        reason: String,
    ) -> Result<(), SinkEnd> {
        let pause = self.breaker.fail(began, after, &reason).map_err(|reason| SinkEnd::GaveUp { reason })?;
        let since = SystemTime::now().checked_sub(began.elapsed());
        self.show(|standing| {
            standing.state = if pause.is_open { SinkState::Open } else { SinkState::Closed };
            standing.failing_since = standing.failing_since.or(since);
        });
        let sink = self.sink.name().to_owned();
        if pause.has_opened {
            self.tell(Notice::Opened { sink, reason: reason.clone() });
            self.told = Some(reason);
        } else if !pause.is_open || self.told.as_ref() != Some(&reason) {
            self.tell(Notice::Retrying { sink, wait: pause.wait, reason: reason.clone() });
            self.told = Some(reason);
        }
        self.wait_until(Instant::now() + pause.wait).await
    }

    /// Leaves a sink alone that takes nothing; ends it where nobody would wait.
    pub(super) async fn park(&mut self, reason: String) -> Result<(), SinkEnd> {
        let Mode::Follow { parked_interval, .. } = self.terms.mode else {
            return Err(SinkEnd::Refused { reason });
        };
        self.show(|standing| {
            standing.state = SinkState::Parked;
            standing.failing_since = standing.failing_since.or(Some(SystemTime::now()));
        });
        let sink = self.sink.name().to_owned();
        self.tell(Notice::Retrying { sink, wait: parked_interval, reason });
        self.wait_until(Instant::now() + parked_interval).await
    }

    /// Waits, unless a stop is asked for.
    async fn wait_until(&mut self, at: Instant) -> Result<(), SinkEnd> {
        tokio::select! {
            () = sleep_until(at) => Ok(()),
            () = stopped(&mut self.terms.stop) => Err(SinkEnd::Stopped),
        }
    }

    /// Notes that the sink is there: it took a batch, or looked at it and refused it.
    pub(super) fn answered(&mut self) {
        self.told = None;
        if let Some(after) = self.breaker.close() {
            let sink = self.sink.name().to_owned();
            self.tell(Notice::Closed { sink, after });
        }
        self.show(|standing| (standing.state, standing.failing_since) = (SinkState::Closed, None));
    }
}
