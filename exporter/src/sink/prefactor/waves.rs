//! Requests about spans, several at the same time.
//!
//! What is answered is noted at once. After a failure nothing more is begun, what is on its way is waited for, and the worst of what failed is what all
//! of it came to: what is known then is not told again when the spans come again, whole or in halves.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::super::Outcome;
use super::super::prefactor_answer::{Answered, Asked};
use super::order::Order;
use super::server::Server;
use super::told::{Place, Step, There, Told};
use super::{PrefactorSink, SpanKey};
use crate::prefactor::Instance;

/// How many requests are on their way at once: where an answer takes 50 ms, that is 160 a second.
const IN_FLIGHT_MAX: usize = 8;

/// What is asked about a span.
struct Request {
    /// Which span of the batch it is.
    at: usize,
    step: Step,
    /// The server's identity of it, where it is there.
    id: Box<str>,
    /// What is sent; of records of quality several.
    bodies: Vec<serde_json::Value>,
}

/// What came of a request about a span.
struct Reply {
    at: usize,
    step: Step,
    answered: Result<Answered, Outcome>,
    /// Why records of quality were refused.
    refused: Vec<String>,
}

impl PrefactorSink {
    /// Has all that is told of spans be there, parents first.
    pub(super) async fn tell(
        &mut self,
        spans: &[Told<'_>],
        instance: &Instance,
        instance_id: &str,
    ) -> Result<(), Outcome> {
        let Self { server, options, spans: known, watch, remarks, .. } = self;
        let key = |(trace_id, span_id)| -> SpanKey { (instance.digest(), trace_id, span_id) };
        let place = Place { instance, instance_id, contents: &options.contents };
        let mut order = Order::of(spans);
        let mut in_flight = FuturesUnordered::new();
        let mut failure = None;
        loop {
            while failure.is_none() && in_flight.len() < IN_FLIGHT_MAX {
                let step = |at: usize| spans[at].step(known.get(&key(spans[at].identity())));
                let Some((at, step)) = order.next(|_| true, step) else { break };
                let told = &spans[at];
                let there = known.get(&key(told.identity()));
                let bodies = match (step, there) {
                    (Step::Finish, Some(there)) => vec![told.finish(there, &place)],
                    (Step::Record, _) => told.records(&place),
                    _ => {
                        let parent = told.parent().and_then(|parent| known.get(&key(parent)));
                        vec![told.create(parent.map(|parent| &*parent.id), &place)]
                    }
                };
                let id = there.map(|there| there.id.clone()).unwrap_or_default();
                in_flight.push(send(server, Request { at, step, id, bodies }, instance_id));
            }
            let Some(reply) = in_flight.next().await else { return failure.map_or(Ok(()), Err) };
            let Reply { at, step, answered, refused } = reply;
            order.returned(at);
            let (told, key) = (&spans[at], key(spans[at].identity()));
            for reason in refused {
                let span_id = told.identity().1;
                remarks.add(format!("it refused a record of quality of the span {span_id}: {reason}"));
            }
            match answered {
                Ok(answered) => {
                    watch.heed(instance, &answered);
                    if step == Step::Create {
                        known.insert(key, told.created(&answered));
                    } else if let Some(there) = known.get_mut(&key) {
                        there.is_finished = true;
                        there.is_recorded = step == Step::Record;
                    }
                }
                Err(outcome) => {
                    if let (Step::Finish, Outcome::Rejected { .. }) = (step, &outcome) {
                        // The server may have forgotten it.
                        known.remove(&key);
                    }
                    failure = Some(match failure {
                        Some(before) => worse(before, outcome),
                        None => outcome,
                    });
                }
            }
        }
    }

    /// What is there of a span's parent.
    pub(super) fn parent_of(&self, told: &Told<'_>, instance: &Instance) -> Option<&There> {
        let (trace_id, span_id) = told.parent()?;
        self.spans.get(&(instance.digest(), trace_id, span_id))
    }
}

async fn send(server: &Server, request: Request, instance_id: &str) -> Reply {
    let Request { at, step, id, bodies } = request;
    let (asked, path) = match step {
        Step::Finish => (Asked::Finish, vec!["agent_spans", &*id, "finish"]),
        Step::Record => (Asked::Quality, vec!["agent_instance", instance_id, "record_quality"]),
        Step::Create | Step::Done => (Asked::Create, vec!["agent_spans"]),
    };
    let mut reply = Reply { at, step, answered: Ok(Answered::default()), refused: Vec::new() };
    for body in bodies {
        match server.post(asked, &path, &body).await {
            // The span has it too, so it is told, and no loss.
            Err(Outcome::Rejected { reason }) if step == Step::Record => reply.refused.push(reason),
            answered => reply.answered = answered,
        }
        if reply.answered.is_err() {
            break;
        }
    }
    reply
}

/// The worse of two failures. Who is to wait waits for the longer of two.
fn worse(one: Outcome, other: Outcome) -> Outcome {
    let longer = |one: Option<Duration>, other: Option<Duration>| one.max(other);
    match (one, other) {
        (Outcome::Retry { after, reason }, Outcome::Retry { after: other, .. }) => {
            Outcome::Retry { after: longer(after, other), reason }
        }
        (parked @ Outcome::Parked { .. }, _) | (_, parked @ Outcome::Parked { .. }) => parked,
        (retry @ Outcome::Retry { .. }, _) | (_, retry @ Outcome::Retry { .. }) => retry,
        (one, _) => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_failures_counts_and_the_longest_wait() {
        let rejected = || Outcome::Rejected { reason: "rejected".to_owned() };
        let parked = || Outcome::Parked { reason: "parked".to_owned() };
        let retry = |seconds| Outcome::Retry {
            after: Some(Duration::from_secs(seconds)),
            reason: "retry".to_owned(),
        };
        for (one, other, expected) in [
            (rejected(), rejected(), rejected()),
            (rejected(), retry(1), retry(1)),
            (retry(1), parked(), parked()),
            (rejected(), parked(), parked()),
            (retry(1), retry(2), retry(2)),
            (Outcome::Retry { after: None, reason: "retry".to_owned() }, retry(2), retry(2)),
        ] {
            assert_eq!(worse(one.clone(), other.clone()), expected);
            assert_eq!(worse(other, one), expected);
        }
    }
}
