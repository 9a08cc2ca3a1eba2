//! Several batches on their way to a sink at the same time.
//!
//! One after the other, batches cost a round trip each, and the way to a receiver decides how many spans get there. In a wave one batch is on its
//! way first; each that is taken makes room for one more, up to the wave's [width](Width). After the first that is not taken none is begun, nor
//! once a stop is asked for: what is on its way is waited for. So a receiver that fails is not asked for more, and one that has just failed is
//! asked by one batch.

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::ahead::TURNS;
use super::{Batch, Outcome};

/// How many batches are on their way to a receiver of OTLP at once: where an answer takes 50 ms, that is 80,000 spans a second.
pub(super) const BATCHES_MAX: usize = 8;
/// At how many bytes all that is on its way is estimated at most, unless it is one batch.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// How many batches have to be taken before one more is tried than was too many.
const TAKEN_MIN: u32 = 32;

/// Batches that are delivered at the same time, and what becomes of each.
#[derive(Debug)]
pub struct Wave<'a> {
    items: Vec<Item<'a>>,
    begun: usize,
    in_flight: usize,
    /// At how many bytes what is on its way is estimated.
    bytes: usize,
    has_failed: bool,
    width: Width,
    stop: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Item<'a> {
    batch: Batch<'a>,
    bytes: usize,
    sent: Sent,
}

/// What became of a batch that was begun.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) began: Instant,
    /// When it was answered, if it was.
    pub(crate) answered: Option<Instant>,
    /// None where there was no answer.
    pub(crate) outcome: Option<Outcome>,
}

impl<'a> Wave<'a> {
    /// Of these, each with the bytes that it is estimated at, until a stop is asked for.
    pub(crate) fn new(
        batches: impl IntoIterator<Item = (Batch<'a>, usize)>,
        width: Width,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let began = Instant::now();
        let item =
            |(batch, bytes)| Item { batch, bytes, sent: Sent { began, answered: None, outcome: None } };
        let items = batches.into_iter().map(item).collect();
        Wave { items, begun: 0, in_flight: 0, bytes: 0, has_failed: false, width, stop }
    }

    /// The batch that is to be sent now, and its number, if one is before some other has its answer.
    pub fn begin(&mut self) -> Option<(usize, Batch<'a>)> {
        if self.has_failed || self.in_flight >= self.width.now || *self.stop.borrow() {
            return None;
        }
        let number = self.begun;
        let Item { batch, bytes, sent } = self.items.get_mut(number)?;
        if self.in_flight > 0 && self.bytes + *bytes > BYTES_MAX {
            return None;
        }
        sent.began = Instant::now();
        self.begun += 1;
        self.in_flight += 1;
        self.bytes += *bytes;
        Some((number, *batch))
    }

    /// Says what became of the batch of this number.
    pub fn answered(&mut self, number: usize, outcome: Outcome) {
        let begun = &mut self.items[..self.begun];
        let Some(Item { bytes, sent, .. }) = begun.get_mut(number).filter(|item| item.sent.outcome.is_none())
        else {
            return;
        };
        if !self.has_failed {
            match &outcome {
                Outcome::Delivered { .. } => self.width.taken(),
                Outcome::Retry { .. } => self.width.overloaded(self.in_flight),
                Outcome::Rejected { .. } | Outcome::Parked { .. } => self.width.narrow(),
            }
            self.has_failed = !matches!(outcome, Outcome::Delivered { .. });
        }
        self.in_flight -= 1;
        self.bytes -= *bytes;
        (sent.answered, sent.outcome) = (Some(Instant::now()), Some(outcome));
    }

    /// Delivers all of it by `send`, for as many batches at once as there may be. The next is made ready once the one before is on its way.
    pub async fn deliver<F: Future<Output = Outcome>>(&mut self, send: impl Fn(Batch<'a>) -> F) {
        let mut in_flight = FuturesUnordered::new();
        loop {
            // All that is answered by now counts before another is begun.
            while let Some(Some((number, outcome))) = in_flight.next().now_or_never() {
                self.answered(number, outcome);
            }
            let next = self.begin();
            let is_begun = next.is_some();
            in_flight.extend(next.map(|(number, batch)| {
                let sent = send(batch);
                async move { (number, sent.await) }
            }));
            tokio::select! {
                biased;
                answer = in_flight.next() => match answer {
                    Some((number, outcome)) => self.answered(number, outcome),
                    None => return,
                },
                () = turns(), if is_begun => {}
            }
        }
    }

    /// What was learned of the receiver.
    pub(crate) fn width(&self) -> Width {
        self.width
    }

    /// What became of those that were begun, in order: the first of the wave.
    pub(crate) fn into_sent(self) -> impl ExactSizeIterator<Item = Sent> {
        self.items.into_iter().take(self.begun).map(|item| item.sent)
    }
}

/// Lets others have their turn until what was begun is on its way.
async fn turns() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

/// How many batches are on their way at once: what was learned of the receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Width {
    now: usize,
    /// So many at most, of which nobody knows yet that they are too many.
    most: usize,
    /// So many at most, whatever the receiver takes.
    limit: usize,
    /// How many batches were taken since `most` changed.
    taken: u32,
}

impl Width {
    /// Of a receiver that nothing is known of.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        Width { now: 1, most: limit, limit, taken: 0 }
    }

    /// How many there may be now.
    pub(crate) fn now(self) -> usize {
        self.now
    }

    /// How many there may ever be.
    pub(crate) fn limit(self) -> usize {
        self.limit
    }

    fn taken(&mut self) {
        self.taken += 1;
        if self.taken >= TAKEN_MIN {
            self.taken = 0;
            self.most = self.limit.min(self.most + 1);
        }
        self.now = self.most.min(self.now + 1);
    }

    /// One of so many was not taken now, which may be since they were so many.
    fn overloaded(&mut self, in_flight: usize) {
        if in_flight > 1 {
            self.most = self.most.min(in_flight / 2);
        }
        self.narrow();
    }

    fn narrow(&mut self) {
        (self.now, self.taken) = (1, 0);
    }
}

#[cfg(test)]
pub(super) mod tests;
