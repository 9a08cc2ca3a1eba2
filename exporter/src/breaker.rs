//! How a sink that fails is treated: asked less and less, and taken back at the first success.
//!
//! ```text
//!            5 failures in a row          a wait is over
//!  ┌────────┐ ────────────────► ┌──────┐ ──────────────► ┌───────────┐
//!  │ closed │                   │ open │     failure     │ half-open │
//!  └────────┘                   └──────┘ ◄────────────── └───────────┘
//!      ▲                           success                     │
//!      └───────────────────────────────────────────────────────┘
//! ```
//!
//! *Closed*, failures are taken for passing ones: the waits have full jitter below a bound that doubles. *Open*, the sink is taken for
//! one that is out, and gets a probe now and then, the batch that it owes an answer to. How long that may take grows with the outage: a
//! probe comes at the latest when the outage has lasted an eighth longer, so that what it kept waiting is soon under way, and a receiver that
//! is out for long has 30 s between two probes.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::{Backoff, fraction};

/// How many failures in a row open a breaker.
const FAILURES_MAX: u32 = 5;
/// A probe waits for at most this part of the time for which the sink has failed.
const PROBE_PART: u32 = 8;
/// The shortest bound of a wait between two probes.
const PROBE_MIN: Duration = Duration::from_secs(1);

/// What keeps count of a sink's failures.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// How long the sink may fail without any success in between; for ever where there is none.
    deadline: Option<Duration>,
    backoff: Backoff,
    /// When the first of the attempts began that have all failed since, and how many they are.
    failing: Option<(Instant, u32)>,
}

/// What to do after a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pause {
    /// How long to wait before the next attempt.
    pub(crate) wait: Duration,
    /// Whether the sink is taken for one that is out.
    pub(crate) is_open: bool,
    /// Whether it was not before.
    pub(crate) has_opened: bool,
}

impl Breaker {
    pub(crate) fn new(deadline: Option<Duration>) -> Self {
        Breaker { deadline, backoff: Backoff::default(), failing: None }
    }

    /// Something succeeded: failures count anew. How long the sink had failed, if it was taken for one that is out.
    pub(crate) fn close(&mut self) -> Option<Duration> {
        self.backoff.reset();
        let (since, failures) = self.failing.take()?;
        (failures >= FAILURES_MAX).then(|| since.elapsed())
    }

    /// How long to wait after an attempt that began at `began` and failed for this reason, where the sink asks to wait for `after`. Why it is
    /// given up, if it is.
    pub(crate) fn fail(
        &mut self,
        began: Instant,
        after: Option<Duration>,
        reason: &str,
    ) -> Result<Pause, String> {
        let (since, failures) = self.failing.get_or_insert((began, 0));
        let failing_for = since.elapsed();
        *failures = failures.saturating_add(1);
        let (is_open, has_opened) = (*failures >= FAILURES_MAX, *failures == FAILURES_MAX);
        let own = if is_open { probe_wait(failing_for) } else { self.backoff.next_wait() };
        let wait = after.unwrap_or_default().max(own);
        let Some(deadline) = self.deadline else {
            return Ok(Pause { wait, is_open, has_opened });
        };
        let remaining = deadline.saturating_sub(failing_for);
        if remaining.is_zero() {
            return Err(reason.to_owned());
        }
        if let Some(after) = after
            && after > remaining
        {
            return Err(format!("{reason}; it asks to wait {} s, beyond the deadline", after.as_secs()));
        }
        Ok(Pause { wait: wait.min(remaining), is_open, has_opened })
    }
}

/// Half of it is certain, so that an outage costs few probes; the other half keeps exporters from asking in step.
fn probe_wait(failing_for: Duration) -> Duration {
    let bound = (failing_for / PROBE_PART).clamp(PROBE_MIN, Backoff::CAP);
    bound.mul_f64(0.5 + fraction() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(breaker: &mut Breaker) -> Pause {
        breaker.fail(Instant::now(), None, "no").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_closes_at_the_first_success() {
        let mut breaker = Breaker::new(None);
        for _ in 0..2 {
            for number in 1..=FAILURES_MAX + 2 {
                let pause = fail(&mut breaker);
                assert_eq!((pause.is_open, pause.has_opened), (number >= 5, number == 5), "{number}");
                tokio::time::advance(SECOND).await;
            }
            assert_eq!(breaker.close(), Some(7 * SECOND));
            assert_eq!(breaker.close(), None);
        }
        fail(&mut breaker);
        assert_eq!(breaker.close(), None, "one failure is no outage");
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_comes_before_the_outage_has_lasted_an_eighth_longer() {
        let mut breaker = Breaker::new(None);
        let began = Instant::now();
        let mut probes = 0;
        while began.elapsed() < 3600 * SECOND {
            let failing_for = began.elapsed();
            let pause = fail(&mut breaker);
            if pause.is_open {
                let bound = (failing_for / 8).clamp(SECOND, 30 * SECOND);
                assert!((bound / 2..=bound).contains(&pause.wait), "{:?} after {failing_for:?}", pause.wait);
                probes += 1;
            }
            tokio::time::advance(pause.wait).await;
        }
        // 22.5 s on average once it is out for four minutes; more often only before.
        assert!((110..300).contains(&probes), "{probes}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_sink_asks_for_is_waited_for_unless_the_deadline_comes_first() {
        let mut breaker = Breaker::new(Some(60 * SECOND));
        let began = Instant::now();
        assert_eq!(breaker.fail(began, Some(40 * SECOND), "no").unwrap().wait, 40 * SECOND);
        tokio::time::advance(30 * SECOND).await;
        let refused = breaker.fail(Instant::now(), Some(31 * SECOND), "no").unwrap_err();
        assert_eq!(refused, "no; it asks to wait 31 s, beyond the deadline");
        assert!(fail(&mut breaker).wait <= 30 * SECOND);
        tokio::time::advance(30 * SECOND).await;
        assert_eq!(breaker.fail(Instant::now(), None, "no"), Err("no".to_owned()));
    }
}
