//! Work for the batch that comes next, while a server works at the one before it.
//!
//! To make a request takes about as long as to have it answered. Done one after the other, server and exporter wait for each other in turn.

use std::fmt;

use spanring_spool::{Position, RecorderId};
use tokio::task::yield_now;

use super::{Batch, BatchId};

/// How often others have their turn before the next request is made: until the last one is on its way, which a task of the
/// connection's own sees to.
pub(super) const TURNS: usize = 3;

/// The request of the batch that comes next, if it was made.
pub(super) struct Ahead<R> {
    made: Option<(Key, R)>,
}

/// Which batch it is.
#[derive(PartialEq, Eq)]
pub(super) struct Key {
    recorder: RecorderId,
    block: Position,
    number: usize,
    part: usize,
    len: usize,
}

impl Key {
    pub(super) fn of(batch: &Batch<'_>) -> Self {
        let BatchId { recorder, block, number, part } = batch.id;
        Key { recorder: recorder.clone(), block, number, part, len: batch.spans.len() }
    }
}

impl<R> Ahead<R> {
    /// Nothing is made.
    pub(super) const fn new() -> Self {
        Ahead { made: None }
    }

    /// The request of `batch`, if it is the one that was made. What was made of another is forgotten: that never came.
    pub(super) fn take(&mut self, batch: &Batch<'_>) -> Option<R> {
        let (key, request) = self.made.take()?;
        (key == Key::of(batch)).then_some(request)
    }

    /// Waits for the answer, and makes the request of the batch that comes next meanwhile.
    pub(super) async fn make<A>(
        &mut self,
        next: Option<(Key, impl FnOnce() -> R)>,
        answer: impl Future<Output = A>,
    ) -> A {
        let Some((key, make)) = next else { return answer.await };
        let made = async {
            for _ in 0..TURNS {
                yield_now().await;
            }
            (key, make())
        };
        let (answer, made) = tokio::join!(answer, made);
        self.made = Some(made);
        answer
    }
}

impl<R> fmt::Debug for Ahead<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ahead").field("is_made", &self.made.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use spanring_spool::Resource;

    use super::*;
    use crate::sink::tests::span;

    fn batch<'a>(
        recorder: &'a RecorderId,
        resource: &'a Resource,
        spans: &'a [spanring_spool::SpanData],
        number: usize,
    ) -> Batch<'a> {
        let id = BatchId { recorder, block: Position::default(), number, part: BatchId::WHOLE };
        Batch { id, resource, spans: spans.into(), starts: &[] }
    }

    #[tokio::test]
    async fn only_the_batch_that_it_was_made_of_gets_a_request() {
        let (recorder, resource, spans) = (RecorderId::from_parts(1, 2), Resource::named("shop"), [span(1)]);
        let [first, second, third] = [0, 1, 2].map(|number| batch(&recorder, &resource, &spans, number));
        fn next(batch: &Batch<'_>) -> Option<(Key, impl FnOnce() -> usize)> {
            Some((Key::of(batch), || batch.id.number))
        }
        let mut ahead = Ahead::new();

        assert_eq!(ahead.take(&first), None);
        assert_eq!(ahead.make(next(&second), async { "answer" }).await, "answer");
        assert_eq!(ahead.take(&second), Some(1));
        assert_eq!(ahead.take(&second), None, "it is taken");

        ahead.make(next(&second), async {}).await;
        assert_eq!(ahead.take(&third), None);
        assert_eq!(ahead.take(&second), None, "it is forgotten");

        ahead.make(next(&second), async {}).await;
        let half = Batch { id: BatchId { part: 2, ..second.id }, ..second };
        assert_eq!(ahead.take(&half), None);
    }

    #[tokio::test]
    async fn the_request_is_made_while_the_answer_is_waited_for() {
        let (recorder, resource, spans) = (RecorderId::from_parts(1, 2), Resource::named("shop"), [span(1)]);
        let next = batch(&recorder, &resource, &spans, 1);
        let (made, is_made) = tokio::sync::oneshot::channel();
        let mut ahead = Ahead::new();
        let make = (Key::of(&next), || made.send(()).unwrap());
        ahead.make(Some(make), async { is_made.await.unwrap() }).await;
        assert!(ahead.take(&next).is_some());
    }
}
