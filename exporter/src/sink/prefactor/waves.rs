//! Requests about spans, several at the same time.
//!
//! What is answered is noted at once. After a failure nothing more is begun but what else a span says of quality, what is on its way is waited for, and the
//! worst of what failed is what all of it came to: what is known then is not told again when the spans come again, whole or in halves.
//!
//! An item of a bulk request that came to an error, or of which the answer makes no sense, is sent by itself, and what is answered then counts.

use std::collections::{HashSet, VecDeque};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::Value as Json;

use super::super::Outcome;
use super::super::prefactor_answer::{Answered, Asked};
use super::PrefactorSink;
use super::book::{Book, Key};
use super::bulk_size::BulkSize;
use super::order::Order;
use super::request::{Replies, Reply, Request, Size, send_in_bulk};
use super::server::Server;
use super::told::{Place, Step, Told};
use crate::prefactor::Instance;

/// How many requests are on their way at once: where an answer takes 50 ms, that is 160 a second.
const IN_FLIGHT_MAX: usize = 8;

/// The spans of a batch, on their way.
struct Wave<'a> {
    spans: &'a [Told<'a>],
    place: Place<'a>,
    order: Order,
    /// The spans whose requests are sent by themselves, after something was said of them in bulk.
    alone: HashSet<usize>,
    /// What comes before all else.
    waiting: VecDeque<Request>,
    /// The spans that the server has forgotten, and that are created again.
    again: HashSet<usize>,
}

/// What is sent at once.
enum Parcel {
    One(Request),
    Bulk(Vec<Request>),
    /// What a span says of quality.
    Records {
        at: usize,
        bodies: Vec<Json>,
    },
}

/// What came back.
struct Returned {
    /// The spans whose requests are on their way no more.
    spans: Vec<usize>,
    replies: Replies,
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
        let Self { server, options, books, watch, remarks, bulk, .. } = self;
        let known = books.entry(instance.recorder().clone()).or_default();
        let place = Place { instance, instance_id, contents: &options.contents };
        let mut wave = Wave {
            spans,
            place,
            order: Order::of(spans),
            alone: HashSet::new(),
            waiting: VecDeque::new(),
            again: HashSet::new(),
        };
        let mut in_flight = FuturesUnordered::new();
        let mut failure = None;
        loop {
            while failure.is_none() && in_flight.len() < IN_FLIGHT_MAX {
                let Some(parcel) = wave.next(known, bulk.items_max()) else { break };
                in_flight.push(send(server, parcel, instance_id));
            }
            let Some(returned) = in_flight.next().await else { return failure.map_or(Ok(()), Err) };
            let Returned { spans: returned, replies, refused } = returned;
            returned.iter().for_each(|at| wave.order.returned(*at));
            for reason in refused {
                let span_id = spans[returned[0]].identity().1;
                remarks.add(format!("it refused a record of quality of the span {span_id}: {reason}"));
            }
            let contradicts = wave.contradicts(&replies.replies);
            if let Some(reason) = learn(bulk, replies.size, replies.not_in_bulk, contradicts) {
                remarks.add(format!("it takes no bulk requests, so each span is sent by itself: {reason}"));
            }
            wave.alone.extend(replies.alone);
            let termination = Answered { termination: replies.termination, ..Answered::default() };
            watch.heed(instance, &termination);
            for Reply { at, step, answered } in replies.replies {
                if let Ok(answered) = &answered {
                    watch.heed(instance, answered);
                }
                if let Err(outcome) = wave.note(at, step, answered, known) {
                    failure = Some(match failure {
                        Some(before) => before.worse(outcome),
                        None => outcome,
                    });
                }
            }
        }
    }
}

impl Wave<'_> {
    fn key(&self, at: usize) -> Key {
        let (trace_id, span_id) = self.spans[at].identity();
        Key::Span(self.place.instance.digest(), trace_id, span_id)
    }

    /// What is sent next, if something waits for no answer.
    fn next(&mut self, known: &mut Book, items_max: usize) -> Option<Parcel> {
        if let Some(request) = self.waiting.pop_front() {
            return Some(Parcel::One(request));
        }
        let mut requests = Vec::new();
        while requests.len() < items_max {
            let Some((at, step)) = self.take(known, |step| step < Step::Record) else { break };
            let request = self.request(at, step, known);
            match self.alone.contains(&at) {
                true => self.waiting.push_back(request),
                false => requests.push(request),
            }
        }
        match (requests.len(), self.waiting.is_empty()) {
            (2.., _) => return Some(Parcel::Bulk(requests)),
            (1, _) => return requests.pop().map(Parcel::One),
            (_, false) => return self.waiting.pop_front().map(Parcel::One),
            _ => {}
        }
        let (at, _) = self.take(known, |step| step == Step::Record)?;
        Some(Parcel::Records { at, bodies: self.spans[at].records(&self.place) })
    }

    /// Whether these are of a request that was refused in bulk and is taken by itself. One that had been done before says nothing.
    fn contradicts(&mut self, replies: &[Reply]) -> bool {
        let [Reply { at, answered, .. }] = replies else { return false };
        self.alone.remove(at) && answered.as_ref().is_ok_and(|answered| !answered.id.is_empty())
    }

    fn take(&mut self, known: &Book, is_wanted: impl Fn(Step) -> bool) -> Option<(usize, Step)> {
        let (digest, spans) = (self.place.instance.digest(), self.spans);
        self.order.next(is_wanted, |at| {
            let (trace_id, span_id) = spans[at].identity();
            spans[at].step(known.span(&Key::Span(digest, trace_id, span_id)))
        })
    }

    fn request(&self, at: usize, step: Step, known: &mut Book) -> Request {
        let told = &self.spans[at];
        match known.span(&self.key(at)) {
            Some(there) if step == Step::Finish => {
                Request { at, step, id: there.id.into(), body: told.finish(there, &self.place) }
            }
            _ => {
                let digest = self.place.instance.digest();
                let parent = told.parent().map(|(trace_id, span_id)| Key::Span(digest, trace_id, span_id));
                let parent = parent.and_then(|parent| known.parent(&parent));
                let body = told.create(parent.map(|parent| parent.id), &self.place);
                Request { at, step, id: Box::default(), body }
            }
        }
    }

    /// Notes what is there after an answer, or gives back why nothing is.
    fn note(
        &mut self,
        at: usize,
        step: Step,
        answered: Result<Answered, Outcome>,
        known: &mut Book,
    ) -> Result<(), Outcome> {
        let key = self.key(at);
        match answered {
            Ok(created) if step == Step::Create => known.set_span(key, self.spans[at].created(&created)),
            Ok(_) => known.change_span(&key, |there| {
                there.is_finished = true;
                there.is_recorded = step == Step::Record;
            }),
            Err(outcome) => {
                if let (Step::Finish, Outcome::Rejected { .. }) = (step, &outcome) {
                    // The server may have forgotten it.
                    known.forget_span(&key);
                    if self.again.insert(at) {
                        return Ok(());
                    }
                }
                return Err(outcome);
            }
        }
        Ok(())
    }
}

/// Learns how many requests to send at once. Why nothing is sent in bulk any more, if that is so from now on.
fn learn(bulk: &mut BulkSize, size: Size, not_in_bulk: Option<String>, contradicts: bool) -> Option<String> {
    match size {
        Size::Unknown => {}
        Size::Taken(len) => bulk.taken(len),
        Size::Unanswered(len) => bulk.not_taken(len),
        Size::Refused(len, reason) => {
            bulk.not_taken(len);
            if len <= 2 && bulk.strike() {
                return Some(reason);
            }
        }
    }
    match not_in_bulk {
        Some(reason) => bulk.give_up().then_some(reason),
        None if contradicts && bulk.strike() => Some("it takes by itself what it refuses in bulk".to_owned()),
        None => None,
    }
}

async fn send(server: &Server, parcel: Parcel, instance_id: &str) -> Returned {
    match parcel {
        Parcel::One(request) => {
            let reply = request.send(server).await;
            let size = if reply.answered.is_ok() { Size::Taken(1) } else { Size::Unknown };
            let replies = Replies { replies: vec![reply], size, ..Replies::default() };
            Returned { spans: vec![request.at], replies, refused: Vec::new() }
        }
        Parcel::Bulk(requests) => {
            let spans = requests.iter().map(|request| request.at).collect();
            Returned { spans, replies: send_in_bulk(&requests, server).await, refused: Vec::new() }
        }
        Parcel::Records { at, bodies } => {
            let (mut answered, mut refused) = (Ok(Answered::default()), Vec::new());
            let path = ["agent_instance", instance_id, "record_quality"];
            for body in bodies {
                match server.post(Asked::Quality, &path, &body).await {
                    // The span has it too, so it is told, and no loss.
                    Err(Outcome::Rejected { reason }) => refused.push(reason),
                    Err(outcome) => {
                        answered = Err(outcome);
                        break;
                    }
                    Ok(_) => {}
                }
            }
            let replies = vec![Reply { at, step: Step::Record, answered }];
            Returned { spans: vec![at], replies: Replies { replies, ..Replies::default() }, refused }
        }
    }
}
