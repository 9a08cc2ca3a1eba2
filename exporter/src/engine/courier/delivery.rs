//! A block on its way to the sink: batch by batch, again and again, in halves where the sink refuses, and aside in the end.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spanring_spool::{Block, DeadLetter, Error, RecorderId, Resource};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::Mode;
use super::super::batching::{Part, batches};
use super::super::notice::Notice;
use super::super::report::SinkEnd;
use super::super::status::SinkState;
use super::{Courier, stopped};
use crate::error::with_causes;
use crate::sink::{Batch, BatchId, Outcome};

/// How many spans in a row a sink may refuse that it has not refused before, until it is left alone as one that takes nothing: more likely than
/// that all of them are bad is that it is no such sink at all.
const REFUSED_IN_A_ROW_MAX: u32 = 100;

/// What became of the spans of a block that the sink was not delivered.
#[derive(Clone, Copy, Default)]
pub(super) struct Done {
    /// How many it took and did not want.
    pub(super) rejected: u64,
    /// How many it refused one by one.
    pub(super) dead_lettered: u64,
}

/// What a sink says to a batch in the end.
enum Answer {
    Taken { rejected: u64 },
    Refused { reason: String },
}

impl Courier {
    /// Delivers a block.
    pub(super) async fn deliver(
        &mut self,
        recorder: &RecorderId,
        resource: &Resource,
        block: &Block,
    ) -> Result<Done, SinkEnd> {
        let (mut done, mut first) = (Done::default(), 0);
        let oldest = block.spans.iter().map(|span| span.end_unix_ns).min().unwrap_or(0);
        self.show(|standing| standing.backlog.oldest_unix_ns = oldest);
        for (number, spans) in batches(&block.spans, self.sink.spans_max()).enumerate() {
            let id = BatchId { recorder, block: block.position, number, part: BatchId::WHOLE };
            let mut parts = vec![Part { batch: Batch { id, resource, spans }, first }];
            first += spans.len();
            while let Some(part) = parts.pop() {
                match (self.deliver_batch(&part.batch).await?, part.halves()) {
                    (Answer::Taken { rejected }, _) => done.rejected += rejected,
                    (Answer::Refused { reason }, Some([left, right])) => {
                        self.divided(&part.batch, reason);
                        parts.extend([right, left]);
                    }
                    (Answer::Refused { reason }, None) => {
                        self.set_aside(&part, reason).await?;
                        done.dead_lettered += 1;
                    }
                }
            }
        }
        Ok(done)
    }

    async fn deliver_batch(&mut self, batch: &Batch<'_>) -> Result<Answer, SinkEnd> {
        loop {
            if *self.shared.stop.borrow() {
                return Err(SinkEnd::Stopped);
            }
            self.keep_to_rate(batch).await?;
            self.show(|standing| {
                if matches!(standing.state, SinkState::Open | SinkState::Parked) {
                    standing.state = SinkState::HalfOpen;
                }
            });
            let began = Instant::now();
            self.journey.report.requests += 1;
            let overdue = async {
                stopped(&mut self.shared.stop).await;
                sleep(self.shared.stop_deadline).await;
            };
            let outcome = tokio::select! {
                biased;
                outcome = self.sink.deliver(batch) => outcome,
                () = overdue => return Err(self.abandoned(batch)),
            };
            match outcome {
                Outcome::Delivered { rejected, message } => {
                    let rejected = self.delivered(batch, rejected, message);
                    return Ok(Answer::Taken { rejected });
                }
                Outcome::Rejected { reason } => {
                    self.answered();
                    return Ok(Answer::Refused { reason });
                }
                Outcome::Retry { after, reason } => {
                    self.journey.report.retries += 1;
                    self.bear(began, after, reason).await?;
                }
                Outcome::Parked { reason } => {
                    self.journey.report.retries += 1;
                    self.park(reason).await?;
                }
            }
        }
    }

    /// Makes a dead letter of a part that is a single span, which the sink refuses.
    async fn set_aside(&mut self, part: &Part<'_>, reason: String) -> Result<(), SinkEnd> {
        let Part { batch: Batch { id, resource, spans }, first } = part;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Some(span) = spans.first() else { return Ok(()) };
        let letter = DeadLetter {
            sink: self.sink.name().to_owned(),
            reason,
            set_aside_unix_ns: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
            recorder: id.recorder.clone(),
            block: id.block,
            number: *first as u64,
            resource: Resource::clone(resource),
            span: span.clone(),
        };
        let letter = Arc::new(letter);
        let is_new = loop {
            let began = Instant::now();
            let (letters, adding) = (self.shared.letters.clone(), Arc::clone(&letter));
            let added = match spawn_blocking(move || letters.add(&adding)).await {
                Ok(added) => added,
                Err(error) => resume_unwind(error.into_panic()),
            };
            let error = match added {
                Ok(is_new) => break is_new,
                Err(error) => error,
            };
            let reason = format!(
                "a span that it refuses ({}) cannot be set aside: {}",
                letter.reason,
                with_causes(&error)
            );
            match error {
                Error::Io { .. } => self.bear(began, None, reason).await?,
                // Somebody has to change something.
                _ => self.park(reason).await?,
            }
        };
        self.answered();
        self.journey.report.dead_lettered += 1;
        let (sink, span_id, reason) = (letter.sink.clone(), letter.span.span_id, letter.reason.clone());
        self.shared.notices.tell(Notice::SetAside { sink, span_id, reason });
        self.refused_in_a_row += u32::from(is_new);
        if self.refused_in_a_row > REFUSED_IN_A_ROW_MAX {
            self.refused_in_a_row = 0;
            let reason = format!("it refuses one span after the other: {}", letter.reason);
            self.park(reason).await?;
        }
        Ok(())
    }

    /// Notes that a batch was left without an answer, since there was no more time. The next run delivers it again.
    fn abandoned(&self, batch: &Batch<'_>) -> SinkEnd {
        let (sink, batch) = (self.sink.name().to_owned(), batch.id.to_string());
        self.shared.notices.tell(Notice::Abandoned { sink, batch });
        SinkEnd::Stopped
    }

    /// Notes that a batch is halved.
    fn divided(&mut self, batch: &Batch<'_>, reason: String) {
        self.journey.report.divided += 1;
        if batch.id.part == BatchId::WHOLE {
            let (sink, batch) = (self.sink.name().to_owned(), batch.id.to_string());
            self.shared.notices.tell(Notice::Divided { sink, batch, reason });
        }
    }

    /// Waits until the batch may be sent, where the sink is delivered to at a limited rate.
    async fn keep_to_rate(&mut self, batch: &Batch<'_>) -> Result<(), SinkEnd> {
        match &mut self.rate {
            Some(rate) => {
                let at = rate.admit(batch.spans.len());
                self.wait_until(at).await
            }
            None => Ok(()),
        }
    }

    /// Waits after a failure, until the sink may be asked again.
    async fn bear(&mut self, began: Instant, after: Option<Duration>, reason: String) -> Result<(), SinkEnd> {
        let pause = self.breaker.fail(began, after, &reason).map_err(|reason| SinkEnd::GaveUp { reason })?;
        let since = SystemTime::now().checked_sub(began.elapsed());
        self.show(|standing| {
            standing.state = if pause.is_open { SinkState::Open } else { SinkState::Closed };
            standing.failing_since = standing.failing_since.or(since);
        });
        let sink = self.sink.name().to_owned();
        if pause.has_opened {
            self.shared.notices.tell(Notice::Opened { sink, reason: reason.clone() });
            self.told = Some(reason);
        } else if !pause.is_open || self.told.as_ref() != Some(&reason) {
            self.shared.notices.tell(Notice::Retrying { sink, wait: pause.wait, reason: reason.clone() });
            self.told = Some(reason);
        }
        self.wait_until(Instant::now() + pause.wait).await
    }

    /// Leaves a sink alone that takes nothing; ends it where nobody would wait.
    async fn park(&mut self, reason: String) -> Result<(), SinkEnd> {
        let Mode::Follow { parked_interval } = self.shared.mode else {
            return Err(SinkEnd::Refused { reason });
        };
        self.show(|standing| {
            standing.state = SinkState::Parked;
            standing.failing_since = standing.failing_since.or(Some(SystemTime::now()));
        });
        let sink = self.sink.name().to_owned();
        self.shared.notices.tell(Notice::Retrying { sink, wait: parked_interval, reason });
        self.wait_until(Instant::now() + parked_interval).await
    }

    /// Waits, unless a stop is asked for.
    async fn wait_until(&mut self, at: Instant) -> Result<(), SinkEnd> {
        tokio::select! {
            () = sleep_until(at) => Ok(()),
            () = stopped(&mut self.shared.stop) => Err(SinkEnd::Stopped),
        }
    }

    /// Notes that the sink is there: it took a batch, or looked at it and refused it.
    fn answered(&mut self) {
        self.told = None;
        if let Some(after) = self.breaker.close() {
            let sink = self.sink.name().to_owned();
            self.shared.notices.tell(Notice::Closed { sink, after });
        }
        self.show(|standing| (standing.state, standing.failing_since) = (SinkState::Closed, None));
    }

    /// Notes that the sink has a batch; how many of its spans it did not want.
    fn delivered(&mut self, batch: &Batch<'_>, rejected: u64, message: String) -> u64 {
        self.refused_in_a_row = 0;
        // No receiver can reject more than it was sent, whatever it says.
        let rejected = rejected.min(batch.spans.len() as u64);
        self.journey.report.delivered += batch.spans.len() as u64 - rejected;
        self.journey.report.rejected += rejected;
        if rejected > 0 || !message.is_empty() {
            let (sink, batch) = (self.sink.name().to_owned(), batch.id.to_string());
            self.shared.notices.tell(Notice::Answered { sink, batch, rejected, message });
        }
        self.answered();
        self.show(|standing| standing.delivered_at = Some(SystemTime::now()));
        rejected
    }
}
