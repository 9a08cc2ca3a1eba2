//! Spans on their way to the sink: batch by batch, again and again, and in halves where the sink refuses.

use std::time::SystemTime;

use spanring_spool::{Life, RecorderId, Resource, SpanData};
use tokio::time::{Instant, sleep};

use super::super::batching::{Part, batches};
use super::super::notice::Notice;
use super::super::report::SinkEnd;
use super::super::status::SinkState;
use super::super::stopped;
use super::Porter;
use super::load::{Load, Parcel};
use crate::sink::{Batch, BatchId, LiveSpan, Outcome, Process, Trace};

/// What became of spans that the sink was not delivered.
#[derive(Clone, Copy, Default)]
pub(in crate::engine) struct Done {
    /// How many it took and did not want.
    pub(in crate::engine) rejected: u64,
    /// How many it refused one by one.
    pub(in crate::engine) dead_lettered: u64,
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

impl Porter {
    /// Delivers spans.
    pub(in crate::engine) async fn deliver<'a>(&mut self, load: &'a Load<'a>) -> Result<Done, SinkEnd> {
        let mut done = Done::default();
        let Load { resource, spans, starts, .. } = *load;
        let mut first = 0;
        let whole = |(number, spans): (usize, &'a [SpanData])| {
            let part = Part { batch: Batch { id: load.id(number, first), resource, spans, starts }, first };
            first += spans.len();
            part
        };
        let wholes: Vec<_> = batches(spans, self.sink.spans_max()).enumerate().map(whole).collect();
        for (number, whole) in wholes.iter().enumerate() {
            let mut parts = vec![*whole];
            while let Some(part) = parts.pop() {
                let next = parts.last().or_else(|| wholes.get(number + 1)).map(|next| next.batch);
                match (self.send(Parcel::Batch(&part.batch, next.as_ref())).await?, part.halves()) {
                    (Answer::Taken { rejected }, _) => done.rejected += rejected,
                    (Answer::Unread, _) => unreachable!("a batch is in memory"),
                    (Answer::Refused { reason }, Some([left, right])) => {
                        self.divided(&part.batch, reason);
                        parts.extend([right, left]);
                    }
                    (Answer::Refused { reason }, None) => {
                        let span = &part.batch.spans[0];
                        self.set_aside(load.place(part.first), resource, span, reason).await?;
                        done.dead_lettered += 1;
                    }
                }
            }
        }
        Ok(done)
    }

    /// Delivers a whole trace.
    pub(super) async fn deliver_trace(&mut self, trace: &mut Trace<'_>) -> Result<Answer, SinkEnd> {
        self.send(Parcel::Trace(trace)).await
    }

    /// Tells the sink of a span whose end was lost; why it does not want to know, if it does not.
    pub(super) async fn tell_lost(&mut self, span: &LiveSpan<'_>) -> Result<Option<String>, SinkEnd> {
        Ok(match self.send(Parcel::Lost(span)).await? {
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
        Ok(match self.send(Parcel::Over(process)).await? {
            Answer::Taken { .. } | Answer::Unread => None,
            Answer::Refused { reason } => Some(reason),
        })
    }

    async fn send(&mut self, mut parcel: Parcel<'_, '_>) -> Result<Answer, SinkEnd> {
        let mut was_sent = false;
        loop {
            if self.is_to_stop() {
                return Err(SinkEnd::Stopped);
            }
            self.keep_to_rate(parcel.len()).await?;
            self.show(|standing| {
                if standing.state == SinkState::Open {
                    standing.state = SinkState::HalfOpen;
                }
            });
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
                None => return Err(self.abandoned(parcel.id())),
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
    fn abandoned(&self, batch: BatchId<'_>) -> SinkEnd {
        let (sink, batch) = (self.sink.name().to_owned(), batch.to_string());
        self.tell(Notice::Abandoned { sink, batch });
        SinkEnd::Stopped
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
    fn delivered(&mut self, batch: BatchId<'_>, spans: usize, rejected: u64, message: String) -> u64 {
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
