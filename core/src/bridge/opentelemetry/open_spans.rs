//! The spans that have started and not ended, by their identities.
//!
//! The SDK hands a span over when it starts and again when it ends, on whatever threads. What lies between is found by its identities, in one of a
//! few maps behind a lock each. A lock is held to look, put or take, and never while anything is recorded: that may call what the
//! program has put into the recorder, which may start spans.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::recording::OpenSpan;
use crate::{SpanId, TraceId};

pub(super) type Identities = (TraceId, SpanId);

/// The last bits of a span's identity, which is random, say in which map it is.
const SHARDS: usize = 32;
/// No map has many more spans than this.
const SHARD_MAX: usize = 2048;

/// `None` when it was shut down.
type Shard = Option<HashMap<Identities, OpenSpan>>;

#[derive(Debug)]
pub(super) struct OpenSpans {
    shards: [Mutex<Shard>; SHARDS],
}

/// What there was under the identities of a span that has ended.
pub(super) enum Taken {
    Open(OpenSpan),
    Unknown,
    ShutDown,
}

impl Default for OpenSpans {
    fn default() -> Self {
        OpenSpans { shards: std::array::from_fn(|_| Mutex::new(Some(HashMap::new()))) }
    }
}

impl OpenSpans {
    /// Whether there is room for one more.
    pub(super) fn admits(&self, identities: &Identities) -> bool {
        self.shard(identities).as_ref().is_some_and(|open| open.len() < SHARD_MAX)
    }

    /// Puts a span in, and gives back what has no place: this one after the end, or one of the same identities.
    pub(super) fn insert(&self, identities: Identities, span: OpenSpan) -> Option<OpenSpan> {
        match self.shard(&identities).as_mut() {
            Some(open) => open.insert(identities, span),
            None => Some(span),
        }
    }

    pub(super) fn take(&self, identities: &Identities) -> Taken {
        match self.shard(identities).as_mut() {
            Some(open) => open.remove(identities).map_or(Taken::Unknown, Taken::Open),
            None => Taken::ShutDown,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).as_ref().map_or(0, HashMap::len)).sum()
    }

    pub(super) fn is_shut_down(&self) -> bool {
        lock(&self.shards[SHARDS - 1]).is_none()
    }

    /// Lets nothing in any more, and gives back what is open. `None` if it was shut down before.
    pub(super) fn shut_down(&self) -> Option<Vec<OpenSpan>> {
        let mut was_shut_down = true;
        let mut left = Vec::new();
        for shard in &self.shards {
            let open = lock(shard).take();
            was_shut_down &= open.is_none();
            left.extend(open.into_iter().flatten().map(|(_, span)| span));
        }
        (!was_shut_down).then_some(left)
    }

    fn shard(&self, identities: &Identities) -> MutexGuard<'_, Shard> {
        let [.., last] = identities.1.to_bytes();
        lock(&self.shards[usize::from(last) % SHARDS])
    }
}

/// Nobody panics with a lock held; and if, a map is whole all the same.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
