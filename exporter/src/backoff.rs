//! How long to wait before the next attempt: longer and longer up to a cap, and never in step with others.

use std::time::Duration;

/// Capped exponential backoff with full jitter: each wait is drawn evenly from nothing up to a bound that starts at
/// `first`, doubles with each attempt, and stops at `cap`.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    bound: Duration,
}

impl Backoff {
    /// The bound of the first wait of a sink.
    pub(crate) const FIRST: Duration = Duration::from_millis(500);
    /// The bound that the waits of a sink grow to.
    pub(crate) const CAP: Duration = Duration::from_secs(30);

    /// Waits of at most `first` at the beginning, and of at most `cap` ever.
    pub(crate) const fn new(first: Duration, cap: Duration) -> Self {
        Backoff { first, cap, bound: first }
    }

    /// Something succeeded: the next wait is of the first length again.
    pub(crate) fn reset(&mut self) {
        self.bound = self.first;
    }

    /// The next wait, and a longer one the time after.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let bound = self.bound.min(self.cap);
        self.bound = bound.saturating_mul(2).min(self.cap);
        bound.mul_f64(fraction())
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff::new(Self::FIRST, Self::CAP)
    }
}

/// An even fraction from 0 up to 1. Without random bytes from the system it is 1: late is better than in step.
pub(crate) fn fraction() -> f64 {
    getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_double_up_to_the_cap_and_begin_anew_after_a_success() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 5 * second);
        for bound in [1, 2, 4, 5, 5] {
            assert_eq!(backoff.bound, bound * second);
            assert!(backoff.next_wait() <= bound * second);
        }
        backoff.reset();
        assert!(backoff.next_wait() <= second);
    }

    #[test]
    fn waits_are_spread_over_the_whole_bound() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, second);
        let waits: Vec<_> = (0..1000).map(|_| backoff.next_wait()).collect();
        for tenth in 0..10 {
            let within =
                waits.iter().filter(|wait| (wait.as_secs_f64() * 10.0 - f64::from(tenth)).abs() < 1.0);
            assert!(within.count() > 20, "tenth {tenth}");
        }
    }

    #[test]
    fn the_longest_durations_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::MAX / 2, Duration::MAX / 2);
        for _ in 0..3 {
            backoff.next_wait();
        }
    }
}
