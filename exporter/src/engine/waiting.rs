//! Since when what a sink has yet to get has been waiting, recorder by recorder.
//!
//! The courier knows it of what it is at, or holds until its trace is over. Of a recorder that it has not come to, or has read only a part of, it is known that
//! nothing older waits: what it was delivered last, when it was seen to have everything, and when the segment was made in which the rest stands, tell that.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use spanring_spool::RecorderId;

/// When the first span ended that a sink has yet to get of a recorder, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Since {
    Exactly(u64),
    /// Then or later.
    NotBefore(u64),
}

/// What one sink has yet to get.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<BTreeMap<RecorderId, Since>>);

impl Waiting {
    /// Notes what the courier knows of a recorder: `None` where the sink has all that was read of it. Whether that is new.
    pub(super) fn set(&self, recorder: &RecorderId, since: Option<Since>) -> bool {
        let mut all = self.lock();
        match since {
            Some(since) if all.get(recorder) == Some(&since) => false,
            Some(since) => {
                all.insert(recorder.clone(), since);
                true
            }
            None => all.remove(recorder).is_some(),
        }
    }

    /// Notes that a sink is seen to be behind in a recorder, whose spans did not wait before then, or is seen not to be. What the courier knows holds.
    pub(super) fn look(&self, recorder: &RecorderId, not_before: Option<u64>) {
        let mut all = self.lock();
        match (all.get(recorder), not_before) {
            (Some(Since::Exactly(_)), _) | (None, None) => {}
            (Some(Since::NotBefore(_)), None) => drop(all.remove(recorder)),
            (Some(&Since::NotBefore(known)), Some(seen)) if seen <= known => {}
            (_, Some(seen)) => drop(all.insert(recorder.clone(), Since::NotBefore(seen))),
        }
    }

    /// Forgets recorders that are gone.
    pub(super) fn retain(&self, is_there: impl Fn(&RecorderId) -> bool) {
        self.lock().retain(|recorder, _| is_there(recorder));
    }

    /// When the oldest of all ended; 0 where nothing waits.
    pub(super) fn oldest(&self) -> u64 {
        let at = |since: &Since| match since {
            Since::Exactly(at) | Since::NotBefore(at) => (*at).max(1),
        };
        self.lock().values().map(at).min().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<RecorderId, Since>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_courier_knows_holds_and_the_oldest_of_all_recorders_counts() {
        let [one, other] = [1, 2].map(|number| RecorderId::from_parts(number, number));
        let waiting = Waiting::default();
        assert_eq!(waiting.oldest(), 0);
        waiting.look(&one, Some(10));
        waiting.set(&other, Some(Since::Exactly(20)));
        assert_eq!(waiting.oldest(), 10);
        waiting.look(&one, Some(30));
        assert_eq!(waiting.oldest(), 20, "nothing older waits, as was seen since");
        waiting.look(&other, None);
        assert_eq!(waiting.oldest(), 20, "what it is at was not written when somebody looked");
        waiting.set(&other, Some(Since::NotBefore(40)));
        assert_eq!(waiting.oldest(), 30);
        waiting.look(&one, None);
        waiting.look(&other, Some(25));
        assert_eq!(waiting.oldest(), 40);
        assert!(waiting.set(&other, None) && !waiting.set(&other, None));
        assert_eq!(waiting.oldest(), 0);
        waiting.set(&one, Some(Since::Exactly(0)));
        assert_eq!(waiting.oldest(), 1, "it waits, whatever it says of its time");
    }
}
