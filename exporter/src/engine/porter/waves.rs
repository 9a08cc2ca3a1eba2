//! Batches on their way to the sink at the same time, where it takes several: what is not taken comes again by itself.

use tokio::time::{Instant, sleep};

use super::super::batching::Part;
use super::super::report::SinkEnd;
use super::super::stopped;
use super::Porter;
use super::delivery::{Before, Done};
use super::load::Load;
use crate::sink::{Outcome, Sent, Wave};

/// What came of a wave, besides what was delivered.
#[derive(Default)]
struct Left<'a> {
    /// What is to come by itself.
    alone: Vec<(Part<'a>, Before)>,
    /// The worst of what failed, and when the first of that had begun.
    failure: Option<(Instant, Outcome)>,
}

impl Porter {
    /// Delivers the first of these batches at the same time, and after that, one by one, what the sink did not take of them. What is left.
    pub(super) async fn deliver_wave<'a, 'b>(
        &mut self,
        loads: &[Load<'a>],
        wholes: &'b [Part<'a>],
        done: &mut [Done],
    ) -> Result<&'b [Part<'a>], SinkEnd> {
        if self.is_to_stop() {
            return Err(SinkEnd::Stopped);
        }
        let admitted = self.admitted(wholes).await?;
        self.probing();
        let batches = wholes[..admitted].iter().map(|whole| (whole.batch, whole.bytes));
        let mut wave = Wave::new(batches, self.width, self.terms.stop.clone());
        let overdue = async {
            stopped(&mut self.terms.stop).await;
            sleep(self.terms.stop_deadline).await;
        };
        let is_over = tokio::select! {
            biased;
            () = self.sink.deliver_wave(&mut wave) => true,
            () = overdue => false,
        };
        self.pass_terminations_on();
        self.width = wave.width();
        let sent = wave.into_sent();
        let (begun, behind) = wholes.split_at(sent.len());
        if let Some(rate) = &self.rate {
            wholes[..admitted]
                .iter()
                .skip(begun.len())
                .for_each(|whole| rate.refund(whole.batch.spans.len()));
        }
        self.report.requests += sent.len() as u64;
        let Left { mut alone, failure } = self.settle(begun.iter().zip(sent), is_over, done);
        if !is_over {
            return Err(SinkEnd::Stopped);
        }
        match failure {
            Some((began, Outcome::Retry { after, reason })) => self.bear(began, after, reason).await?,
            Some((_, Outcome::Parked { reason })) => self.park(reason).await?,
            _ => {}
        }
        let mut rest = behind;
        if let Some((whole, behind)) = rest.split_first()
            && begun.is_empty()
            && !self.is_to_stop()
        {
            // Such a sink takes no waves, whatever it says.
            alone.push((*whole, Before::Unsent));
            rest = behind;
        }
        let mut alone = alone.into_iter().peekable();
        while let Some((whole, before)) = alone.next() {
            let next = alone.peek().map(|(next, _)| next.batch);
            self.deliver_batch(loads, whole, before, next, done).await?;
        }
        Ok(rest)
    }

    /// Waits until the first of these may be sent; how many may be with it.
    async fn admitted(&mut self, wholes: &[Part<'_>]) -> Result<usize, SinkEnd> {
        let spans = |whole: &Part<'_>| whole.batch.spans.len();
        self.keep_to_rate(wholes.first().map_or(0, spans)).await?;
        let Some(rate) = &self.rate else { return Ok(wholes.len()) };
        let more = wholes.iter().skip(1).take(self.width.now() - 1);
        Ok(1 + more.take_while(|whole| rate.admit_now(spans(whole))).count())
    }

    /// Notes what was delivered of a wave, and that the sink is there; failures of it are one, however many there are.
    fn settle<'a: 'b, 'b>(
        &mut self,
        sent: impl Iterator<Item = (&'b Part<'a>, Sent)>,
        is_over: bool,
        done: &mut [Done],
    ) -> Left<'a> {
        let mut left = Left::default();
        let mut taken_at = None;
        for (part, Sent { began, answered, outcome }) in sent {
            let failed = match outcome {
                Some(Outcome::Delivered { rejected, message }) => {
                    taken_at = taken_at.max(answered);
                    let done = &mut done[part.load];
                    done.rejected += self.delivered(part.batch.id, part.batch.spans.len(), rejected, message);
                    done.batches += 1;
                    continue;
                }
                Some(Outcome::Rejected { reason }) => {
                    self.answered();
                    left.alone.push((*part, Before::Refused { reason }));
                    continue;
                }
                Some(failed) => failed,
                None if is_over => Outcome::Retry { after: None, reason: "it gave no answer".to_owned() },
                None => {
                    self.abandoned(part.batch.id);
                    continue;
                }
            };
            left.alone.push((*part, Before::Failed));
            left.failure = Some(match left.failure.take() {
                Some((before, worst)) => (before.min(began), worst.worse(failed)),
                None => (began, failed),
            });
        }
        if let (Some((began, _)), Some(taken_at)) = (&mut left.failure, taken_at) {
            // It was there until then, whatever it was left waiting for.
            *began = taken_at.max(*began);
        }
        left
    }
}
