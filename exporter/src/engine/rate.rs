//! How fast a sink is delivered to at most.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How much may be made up for at once after nothing was sent.
const BURST: Duration = Duration::from_secs(1);

/// Spreads spans over time: an average of so many a second, and in no second more than twice as many, or one batch.
/// What goes through a rate and through its clones counts together.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    per_second: NonZeroU32,
    /// When all that was let through so far would have been, had it come evenly.
    paid_until: Arc<Mutex<Option<Instant>>>,
}

impl Rate {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Rate { per_second, paid_until: Arc::default() }
    }

    /// When so many spans may be sent, which are counted as sent then.
    pub(super) fn admit(&self, spans: usize) -> Instant {
        let (now, mut paid_until) = (Instant::now(), self.paid_until());
        let begin = begin(*paid_until, now);
        *paid_until = Some(begin + self.cost(spans));
        now.max(begin)
    }

    /// Whether so many spans may be sent now. Only then are they counted as sent.
    pub(super) fn admit_now(&self, spans: usize) -> bool {
        let (now, mut paid_until) = (Instant::now(), self.paid_until());
        let begin = begin(*paid_until, now);
        let is_admitted = begin <= now;
        if is_admitted {
            *paid_until = Some(begin + self.cost(spans));
        }
        is_admitted
    }

    /// So many spans that were counted as sent are not.
    pub(super) fn refund(&self, spans: usize) {
        let mut paid_until = self.paid_until();
        *paid_until = paid_until.and_then(|paid_until| paid_until.checked_sub(self.cost(spans)));
    }

    fn paid_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.paid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cost(&self, spans: usize) -> Duration {
        Duration::from_secs(1) * u32::try_from(spans).unwrap_or(u32::MAX) / self.per_second.get()
    }
}

/// From when on what comes next is paid for.
fn begin(paid_until: Option<Instant>, now: Instant) -> Instant {
    let earliest = now.checked_sub(BURST).unwrap_or(now);
    paid_until.map_or(earliest, |paid_until| paid_until.max(earliest))
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep_until};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_counted_and_not_sent_may_be_sent_later() {
        let rate = Rate::new(NonZeroU32::new(100).unwrap());
        let until_due = || rate.admit(100) - Instant::now();
        let before = [until_due(), until_due(), until_due()];
        assert!(before[1] < before[2], "{before:?}");
        rate.refund(200);
        assert_eq!([until_due(), until_due()], before[1..]);
    }

    #[tokio::test(start_paused = true)]
    async fn spans_go_at_the_rate_on_average_and_a_pause_is_made_up_for_by_one_second() {
        for (per_second, batch) in [(1000, 512), (1000, 1), (10, 512), (1, 1), (4_000_000, 512)] {
            let rate = Rate::new(NonZeroU32::new(per_second).unwrap());
            // Of two spools, say, in turns.
            let mut rates = [rate.clone(), rate.clone()].into_iter().cycle();
            let began = Instant::now();
            let mut sent = 0_u64;
            for _ in 0..100 {
                sleep_until(rates.next().unwrap().admit(batch)).await;
                sent += batch as u64;
                // What goes with it, where something may.
                if rates.next().unwrap().admit_now(batch) {
                    sent += batch as u64;
                }
                let most = f64::from(per_second) * (began.elapsed().as_secs_f64() + 1.0) + batch as f64;
                assert!(sent as f64 <= most + 1.0, "{sent} after {:?}", began.elapsed());
            }
            let least = (sent as f64 - batch as f64) / f64::from(per_second) - 1.0;
            let took = began.elapsed().as_secs_f64();
            assert!(took >= least - 0.01 && took <= least.max(0.0) + 0.11, "{took} s instead of {least} s");

            advance(Duration::from_secs(3600)).await;
            let (resumed, mut at_once) = (Instant::now(), 0);
            while rate.admit(1) == resumed {
                at_once += 1;
                if at_once > 2 * per_second {
                    break;
                }
            }
            assert!((per_second..=per_second + 1).contains(&at_once), "{at_once} of {per_second}");
        }
    }
}
