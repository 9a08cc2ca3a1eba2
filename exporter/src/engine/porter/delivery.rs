//! Spans on their way to the sink: batch by batch, again and again, and in halves where the sink refuses.

use std::time::SystemTime;

use spanring_spool::{Life, RecorderId, Resource};
use tokio::time::{Instant, sleep};

use super::super::batching::{Cut, Part, SPANS_MAX, cuts};
use super::super::notice::Notice;
use super::super::report::SinkEnd;
use super::super::stopped;
use super::Porter;
use super::load::{Load, Parcel};
use crate::sink::{Batch, BatchId, LiveSpan, Outcome, Process, Spans, Trace};

/// What became of spans that the sink was not delivered.
#[derive(Clone, Copy, Default)]
pub(in crate::engine) struct Done {
    /// How many it took and did not want.
    pub(in crate::engine) rejected: u64,
    /// How many it refused one by one.
    pub(in crate::engine) dead_lettered: u64,
    /// How many of the batches are done, whatever became of them.
    pub(in crate::engine) batches: usize,
}

/// What a sink says to a batch in the end.
pub(super) enum Answer {
    Taken {
        rejected: u64,
    },
    Refused {
        reason: String,
    },
    /// Nothing: what was to be sent cannot be read now.
    Unread,
}

/// What the sink has said of a batch already.
pub(super) enum Before {
    Unsent,
    /// That it does not take it now.
    Failed,
    Refused {
        reason: String,
    },
}

impl Porter {
    /// Delivers spans.
    pub(in crate::engine) async fn deliver<'a>(&mut self, load: &'a Load<'a>) -> Result<Done, SinkEnd> {
        let mut done = [Done::default()];
        self.deliver_all(std::slice::from_ref(load), &mut done).await?;
        Ok(done[0])
    }

    /// Delivers spans of several blocks, and says of each, also where it ends before all of it is done, what is done of it.
    pub(in crate::engine) async fn deliver_all<'a>(
        &mut self,
        loads: &'a [Load<'a>],
        done: &mut [Done],
    ) -> Result<(), SinkEnd> {
        let wholes: Vec<_> =
            loads.iter().enumerate().flat_map(|(number, load)| load.wholes(number)).collect();
        let mut rest = wholes.as_slice();
        while let Some((whole, behind)) = rest.split_first() {
            if self.width.limit() > 1 && !behind.is_empty() {
                rest = self.deliver_wave(loads, rest, done).await?;
            } else {
                let next = behind.first().map(|next| next.batch);
                self.deliver_batch(loads, *whole, Before::Unsent, next, done).await?;
                rest = behind;
            }
        }
        Ok(())
    }

    /// How many spans the sink takes at once.
    pub(in crate::engine) fn spans_max(&self) -> usize {
        self.sink.spans_max().clamp(1, SPANS_MAX)
    }

    /// How spans are divided into batches for the sink.
    pub(in crate::engine) fn cuts(&self, spans: Spans<'_>) -> Vec<Cut> {
        cuts(spans, self.sink.spans_max())
    }

    /// Delivers a batch, in parts if need be.
    pub(super) async fn deliver_batch<'a>(
        &mut self,
        loads: &[Load<'a>],
        whole: Part<'a>,
        mut before: Before,
        behind: Option<Batch<'a>>,
        done: &mut [Done],
    ) -> Result<(), SinkEnd> {
        let (load, done) = (&loads[whole.load], &mut done[whole.load]);
        let mut parts = vec![whole];
        while let Some(part) = parts.pop() {
            let next = parts.last().map(|next| next.batch).or(behind);
            let parcel = Parcel::Batch(&part.batch, next.as_ref());
            let answer = match std::mem::replace(&mut before, Before::Unsent) {
                Before::Refused { reason } => Answer::Refused { reason },
                Before::Failed => self.send(parcel, true).await?,
                Before::Unsent => self.send(parcel, false).await?,
            };
            match (answer, part.halves()) {
                (Answer::Taken { rejected }, _) => done.rejected += rejected,
                (Answer::Unread, _) => unreachable!("a batch is in memory"),
                (Answer::Refused { reason }, Some([left, right])) => {
                    self.divided(&part.batch, reason);
                    parts.extend([right, left]);
                }
                (Answer::Refused { reason }, None) => {
                    let span = &part.batch.spans[0];
                    self.set_aside(load.place(part.first), load.resource, span, reason).await?;
                    done.dead_lettered += 1;
                }
            }
        }
        done.batches += 1;
        self.take_notes(load.recorder);
        Ok(())
    }

    /// Delivers a whole trace.
    pub(super) async fn deliver_trace(&mut self, trace: &mut Trace<'_>) -> Result<Answer, SinkEnd> {
        self.send(Parcel::Trace(trace), false).await
    }

    /// Tells the sink of a span whose end was lost; why it does not want to know, if it does not.
    pub(super) async fn tell_lost(&mut self, span: &LiveSpan<'_>) -> Result<Option<String>, SinkEnd> {
        Ok(match self.send(Parcel::Lost(span), false).await? {
            Answer::Taken { .. } | Answer::Unread => None,
            Answer::Refused { reason } => Some(reason),
        })
    }

    /// Tells the sink that the process of a recorder, or of the one that it was recovered from, is over.
    pub(in crate::engine) async fn process_over(
        &mut self,
        first: &RecorderId,
        resource: &Resource,
    ) -> Result<(), SinkEnd> {
        let is_recovered = || matches!(self.terms.spool.life(first), Ok(Life::Recovered));
        let has_died = first.is_recovery() || is_recovered();
        let recorder = first.origin().unwrap_or_else(|| first.clone());
        let process = Process { recorder: &recorder, resource, has_died };
        if let Some(reason) = self.tell_over(&process).await? {
            let reason = format!("{} was told that it is over: {reason}", self.sink.name());
            self.tell(Notice::Trouble { recorder: Some(recorder), reason });
        }
        Ok(())
    }

    /// Tells the sink that a process is over; why it does not want to know, if it does not.
    async fn tell_over(&mut self, process: &Process<'_>) -> Result<Option<String>, SinkEnd> {
        Ok(match self.send(Parcel::Over(process), false).await? {
            Answer::Taken { .. } | Answer::Unread => None,
            Answer::Refused { reason } => Some(reason),
        })
    }

    /// Sends it until there is an answer that counts; whether it was sent before already.
    async fn send(&mut self, mut parcel: Parcel<'_, '_>, mut was_sent: bool) -> Result<Answer, SinkEnd> {
        loop {
            if self.is_to_stop() {
                return Err(SinkEnd::Stopped);
            }
            self.keep_to_rate(parcel.len()).await?;
            self.probing();
            let began = Instant::now();
            let is_counted = u64::from(parcel.len() > 0);
            self.report.requests += is_counted;
            if std::mem::replace(&mut was_sent, true) {
                self.report.retries += is_counted;
            }
            let overdue = async {
                stopped(&mut self.terms.stop).await;
                sleep(self.terms.stop_deadline).await;
            };
            let delivery = match &mut parcel {
                Parcel::Batch(batch, next) => self.sink.deliver_before(batch, *next),
                Parcel::Trace(trace) => self.sink.deliver_trace(trace),
                Parcel::Lost(span) => self.sink.lose(span),
                Parcel::Over(process) => self.sink.process_over(process),
            };
            let outcome = tokio::select! {
                biased;
                outcome = delivery => Some(outcome),
                () = overdue => None,
            };
            self.pass_terminations_on();
            if let Parcel::Trace(trace) = &parcel
                && trace.spans.has_failed()
            {
                return Ok(Answer::Unread);
            }
            match outcome {
                None => {
                    self.abandoned(parcel.id());
                    return Err(SinkEnd::Stopped);
                }
                Some(Outcome::Delivered { rejected, message }) => {
                    let rejected = self.delivered(parcel.id(), parcel.len(), rejected, message);
                    return Ok(Answer::Taken { rejected });
                }
                Some(Outcome::Rejected { reason }) => {
                    self.answered();
                    return Ok(Answer::Refused { reason });
                }
                Some(Outcome::Retry { after, reason }) => {
                    self.bear(began, after, reason).await?;
                }
                Some(Outcome::Parked { reason }) => {
                    self.park(reason).await?;
                }
            }
        }
    }

    /// Notes that a batch was left without an answer, since there was no more time. The next run delivers it again.
    pub(super) fn abandoned(&self, batch: BatchId<'_>) {
        let (sink, batch) = (self.sink.name().to_owned(), batch.to_string());
        self.tell(Notice::Abandoned { sink, batch });
    }

    /// Notes that a batch is halved.
    fn divided(&mut self, batch: &Batch<'_>, reason: String) {
        self.report.divided += 1;
        if batch.id.part == BatchId::WHOLE {
            let (sink, batch) = (self.sink.name().to_owned(), batch.id.to_string());
            self.tell(Notice::Divided { sink, batch, reason });
        }
    }

    /// Notes that the sink has so many spans; how many of them it did not want.
    pub(super) fn delivered(
        &mut self,
        batch: BatchId<'_>,
        spans: usize,
        rejected: u64,
        message: String,
    ) -> u64 {
        self.refused_in_a_row = 0;
        // No receiver can reject more than it was sent, whatever it says.
        let rejected = rejected.min(spans as u64);
        self.report.delivered += spans as u64 - rejected;
        self.report.rejected += rejected;
        if rejected > 0 || !message.is_empty() {
            let (sink, batch) = (self.sink.name().to_owned(), batch.to_string());
            self.tell(Notice::Answered { sink, batch, rejected, message });
        }
        self.answered();
        self.show(|standing| standing.delivered_at = Some(SystemTime::now()));
        rejected
    }
}
