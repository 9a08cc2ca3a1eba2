//! How long what is delivered stays in the spool.
//!
//! A segment is in grace until it was last written so long ago: by its file's time of modification, which the system's clock gave, and
//! which may have been set since. So that clock is believed once for each segment, when it is first seen to be delivered, and what is left of
//! its grace then passes by a clock that nobody sets:
//!
//! | the system's clock is set | what comes of it |
//! |---|---|
//! | back, before a segment is seen | its file is of the future, and has its whole grace before it: twice that at most |
//! | forward, before a segment is seen | it goes sooner. It is delivered, so nothing is lost |
//! | either way, after that | nothing |
//!
//! An exporter that starts sees all for the first time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use spanring_spool::RecorderId;

/// Which delivered segments stay for now.
#[derive(Debug)]
pub(super) struct Grace {
    length: Duration,
    /// Those of each recorder that were seen to be delivered, and are there, by their numbers.
    seen: BTreeMap<RecorderId, BTreeMap<u64, Seen>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// When it was last written, by its file.
    written: SystemTime,
    /// How long it was to stay then.
    left: Duration,
    since: Instant,
}

/// What both clocks say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) system: SystemTime,
    pub(super) steady: Instant,
}

impl Now {
    pub(super) fn read() -> Self {
        Now { system: SystemTime::now(), steady: Instant::now() }
    }
}

impl Grace {
    pub(super) fn new(length: Duration) -> Self {
        Grace { length, seen: BTreeMap::new() }
    }

    /// Looks at the delivered segments of a recorder: says whether the one with this number stays, that was last written then. What it is
    /// not asked about is forgotten.
    pub(super) fn look(&mut self, recorder: &RecorderId, now: Now) -> impl FnMut(u64, SystemTime) -> bool {
        let length = self.length;
        let mut before = self.seen.remove(recorder).unwrap_or_default();
        let mut after = (!length.is_zero()).then(|| self.seen.entry(recorder.clone()).or_default());
        move |number, written| {
            let Some(after) = after.as_mut() else { return false };
            let known = before.remove(&number).filter(|seen| seen.written == written);
            let seen = known.unwrap_or_else(|| {
                // Of the future: as if it had just been written.
                let age = now.system.duration_since(written).unwrap_or_default();
                Seen { written, left: length.saturating_sub(age), since: now.steady }
            });
            after.insert(number, seen);
            now.steady.saturating_duration_since(seen.since) < seen.left
        }
    }

    /// A recorder is gone.
    pub(super) fn forget(&mut self, recorder: &RecorderId) {
        self.seen.remove(recorder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn hours(count: u32) -> Duration {
        HOUR * count
    }

    /// Two clocks, the first of which is set now and then.
    struct Clocks(Now);

    impl Clocks {
        fn new() -> Self {
            // Far from the beginning of either, so that both can be gone back on.
            Clocks(Now { system: SystemTime::UNIX_EPOCH + hours(500_000), steady: Instant::now() })
        }

        fn pass(&mut self, time: Duration) {
            self.0.system += time;
            self.0.steady += time;
        }
    }

    fn stays(grace: &mut Grace, clocks: &Clocks, segments: &[(u64, SystemTime)]) -> Vec<bool> {
        let recorder = RecorderId::from_parts(1, 2);
        let mut stays = grace.look(&recorder, clocks.0);
        segments.iter().map(|&(number, written)| stays(number, written)).collect()
    }

    #[test]
    fn a_segment_stays_until_it_was_last_written_so_long_ago() {
        for age in 0..4 {
            let clocks = Clocks::new();
            let written = clocks.0.system - hours(age);
            assert_eq!(stays(&mut Grace::new(hours(2)), &clocks, &[(1, written)]), [age < 2], "{age}");
            assert_eq!(stays(&mut Grace::new(Duration::ZERO), &clocks, &[(1, written)]), [false]);
        }
        let (mut clocks, mut grace) = (Clocks::new(), Grace::new(hours(2)));
        let written = clocks.0.system - HOUR;
        assert_eq!(stays(&mut grace, &clocks, &[(1, written)]), [true]);
        clocks.pass(HOUR - Duration::from_nanos(1));
        assert_eq!(stays(&mut grace, &clocks, &[(1, written)]), [true]);
        clocks.pass(Duration::from_nanos(1));
        assert_eq!(stays(&mut grace, &clocks, &[(1, written)]), [false]);
    }

    #[test]
    fn a_clock_that_is_set_while_the_exporter_runs_changes_nothing() {
        for (back, forward) in [(hours(100), Duration::ZERO), (Duration::ZERO, hours(100))] {
            let (mut clocks, mut grace) = (Clocks::new(), Grace::new(hours(3)));
            let written = clocks.0.system - HOUR;
            assert_eq!(stays(&mut grace, &clocks, &[(1, written)]), [true]);
            clocks.0.system = clocks.0.system - back + forward;
            for stayed in [true, true, false] {
                assert_eq!(stays(&mut grace, &clocks, &[(1, written)]), [stayed]);
                clocks.pass(HOUR);
            }
        }
    }

    #[test]
    fn a_file_of_the_future_stays_as_if_it_had_just_been_written_and_no_longer() {
        let (mut clocks, mut grace) = (Clocks::new(), Grace::new(hours(2)));
        let written = clocks.0.system + hours(100_000);
        for stayed in [true, true, false, false] {
            assert_eq!(stays(&mut grace, &clocks, &[(1, written), (2, written)]), [stayed; 2]);
            clocks.pass(HOUR);
        }
    }

    #[test]
    fn a_segment_that_is_written_again_has_its_whole_grace_again() {
        let (mut clocks, mut grace) = (Clocks::new(), Grace::new(hours(2)));
        let first = clocks.0.system;
        assert_eq!(stays(&mut grace, &clocks, &[(1, first)]), [true]);
        clocks.pass(HOUR);
        let second = clocks.0.system;
        assert_eq!(stays(&mut grace, &clocks, &[(1, second)]), [true]);
        clocks.pass(HOUR);
        assert_eq!(stays(&mut grace, &clocks, &[(1, second)]), [true]);
        clocks.pass(HOUR);
        assert_eq!(stays(&mut grace, &clocks, &[(1, second)]), [false]);
    }

    #[test]
    fn what_is_not_there_any_more_is_forgotten() {
        let (clocks, mut grace) = (Clocks::new(), Grace::new(HOUR));
        let recorder = RecorderId::from_parts(1, 2);
        stays(&mut grace, &clocks, &[(1, clocks.0.system), (2, clocks.0.system)]);
        stays(&mut grace, &clocks, &[(2, clocks.0.system)]);
        assert_eq!(grace.seen[&recorder].keys().collect::<Vec<_>>(), [&2]);
        grace.forget(&recorder);
        assert!(grace.seen.is_empty());
    }
}
