//! The SDK's spans that were decided not to be recorded here.
//!
//! The SDK knows nothing of that: its own contexts say that these spans are sampled. What is started under one, by the SDK or beside it,
//! asks here where it belongs. A span that has ended is remembered for a while, as a task may outlive the span that it was spawned in.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::open_spans::Identities;
use crate::context::Context;

/// The last bits of a span's identity, which is random, say in which of them it is.
const SHARDS: usize = 32;
/// How many that have ended are remembered in each.
const ENDED_MAX: usize = 256;

#[derive(Default)]
struct Shard {
    /// What others are to be started under.
    contexts: HashMap<Identities, Context>,
    /// Those that have ended, the oldest first.
    ended: VecDeque<Identities>,
}

static SHARD: LazyLock<[Mutex<Shard>; SHARDS]> = LazyLock::new(Default::default);
/// Whether there ever was one: without sampling there is nothing to be looked for.
static IS_USED: AtomicBool = AtomicBool::new(false);

/// A span that was turned down, for as long as it is open.
#[derive(Debug)]
pub(super) struct TurnedDown(Identities);

impl TurnedDown {
    /// What is started under the span is to be started under this context.
    pub(super) fn new(identities: Identities, context: Context) -> Self {
        shard(&identities).contexts.insert(identities, context);
        // Whoever asks about the span has it from its start, which comes after this.
        IS_USED.store(true, Ordering::Release);
        TurnedDown(identities)
    }
}

impl Drop for TurnedDown {
    fn drop(&mut self) {
        let mut shard = shard(&self.0);
        shard.ended.push_back(self.0);
        if shard.ended.len() > ENDED_MAX
            && let Some(oldest) = shard.ended.pop_front()
        {
            shard.contexts.remove(&oldest);
        }
    }
}

/// What others are to be started under that are to be started under this span, if it was turned down.
pub(super) fn context_of(identities: &Identities) -> Option<Context> {
    // pairs with `new`
    IS_USED.load(Ordering::Acquire).then(|| shard(identities).contexts.get(identities).copied()).flatten()
}

fn shard(identities: &Identities) -> MutexGuard<'static, Shard> {
    let [.., last] = identities.1.to_bytes();
    // Nobody panics with a lock held; and if, a map is whole all the same.
    SHARD[usize::from(last) % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
}
