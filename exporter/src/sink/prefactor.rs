//! Prefactor's server: a run of a process is an instance of an agent there, and each span is created by a request of its own, finished, or when it starts.
//!
//! Of a recorder the instance is registered and started when its first spans come, and finished when the process is over. Spans come parents first,
//! when their trace is over, and each says the identity that the server gave to its parent. Those identities are held in memory and nowhere else.
//!
//! In live mode a span is created when it is shown, and finished once it has ended; what was not shown is so created and finished when its trace is over.
//!
//! # What is relied on
//!
//! The server answers a request whose idempotency key it has seen as it answered it the first time, and makes nothing. Keys are functions of
//! what is sent, and traces come again whole until they are done with, so an exporter that was killed learns all identities again by sending again what
//! it had sent.
//!
//! # Schemas that are refused
//!
//! Where the server refuses a registration as one that makes no sense, the instance is registered with each type declared as an open object. That is
//! another instance, under keys of its own, so a server that takes the schemas later, and an exporter that has forgotten that it did not, begin the
//! first one.
//!
//! # Who is to stop
//!
//! The server may say with any span that the agent is to stop, and of an instance that it was terminated, for which it is asked every 30 seconds while the
//! process lives. Either is passed on to the process.
//!
//! # What becomes of a span without its parent
//!
//! A parent may be in another process, be refused, or be forgotten: where it came with an earlier part of the trace, which was over for two seconds, before a
//! restart, or more than 100,000 spans ago. The span is created without one then, and says its parent's identity here in `metadata`.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::mem;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value as Json;
use spanring::{SpanId, TraceId};
use spanring_spool::{RecorderId, SpanData};
use tokio::time::Instant;

use super::http::{Caller, Limits, Transport};
use super::prefactor_answer::{self, Answered, Asked};
use super::{
    Batch, BatchId, Delivery, LiveProcess, LiveSpan, Needs, Outcome, PrefactorOptions, Process, Response,
    Sink, TerminationRequest,
};
use crate::Error;
use crate::prefactor::{Instance, Mode, Said, SpanStatus, cancel, create, finish, lose, quality, start};

/// How many spans a batch has: what a kill has sent again, at most.
const SPANS_MAX: usize = 100;
/// Of how many spans the server's identity is known.
const KNOWN_SPANS_MAX: usize = 100_000;
/// The same of instances.
const KNOWN_INSTANCES_MAX: usize = 1_000;
/// How often it is asked for an instance whose process lives.
const ASK_INTERVAL: Duration = Duration::from_secs(30);
/// How much is told with a delivery.
const TOLD_MAX: usize = 3;

/// Prefactor, asked over HTTP.
pub struct PrefactorSink {
    name: String,
    url: Url,
    options: PrefactorOptions,
    caller: Caller,
    /// The server's identities of instances that were started, by their digests.
    instances: Known<TraceId, String>,
    /// The spans that are there, by their instance's digest.
    spans: Known<(TraceId, TraceId, SpanId), There>,
    /// The digests of instances whose schemas the server refuses.
    refused: Known<TraceId, ()>,
    has_told_of_schemas: bool,
    /// What there is to be told with the next delivery.
    told: Vec<String>,
    /// How much beside was left out.
    untold: usize,
    /// The processes of those instances.
    watched: Known<RecorderId, Watched>,
    /// What the server has said of processes since it was taken.
    terminations: Vec<TerminationRequest>,
}

/// A span that is there.
#[derive(Clone)]
struct There {
    /// The server's identity of it.
    id: Box<str>,
    /// Whether all of it is there.
    is_finished: bool,
    /// Whether it was created with what was announced of it.
    is_announced: bool,
}

/// What there is to be told of a span.
#[derive(Clone, Copy)]
struct Told<'a> {
    /// What was announced of it.
    start: Option<&'a SpanData>,
    /// The span, once it has ended.
    end: Option<&'a SpanData>,
    /// Whether it comes by itself, so that nobody knows what was said of it before.
    is_alone: bool,
}

/// A process that the server may want stopped.
struct Watched {
    /// The server's identity of its instance.
    id: String,
    /// When it was asked for last.
    asked: Instant,
    /// Whether it is to stop.
    is_terminated: bool,
}

impl PrefactorSink {
    /// A sink that is called `name`, and asks the server whose API lies below this URL. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::Sink`] where TLS cannot be set up.
    pub fn open(name: String, url: &Url, options: &PrefactorOptions) -> Result<Self, Error> {
        let caller = Caller::new(&name, url, &Transport::default())?;
        Ok(PrefactorSink {
            name,
            url: url.clone(),
            options: options.clone(),
            caller,
            instances: Known::new(KNOWN_INSTANCES_MAX),
            spans: Known::new(KNOWN_SPANS_MAX),
            refused: Known::new(KNOWN_INSTANCES_MAX),
            has_told_of_schemas: false,
            told: Vec::new(),
            untold: 0,
            watched: Known::new(KNOWN_INSTANCES_MAX),
            terminations: Vec::new(),
        })
    }

    async fn deliver_spans(&mut self, batch: &Batch<'_>) -> Result<(), Outcome> {
        let instance = self.options.agent.instance(batch.id.recorder, batch.resource);
        let (instance, id) = self.started(instance).await?;
        let is_alone = batch.id.part == BatchId::ALONE;
        for span in batch.spans {
            let told = Told { start: batch.start_of(span), end: Some(span), is_alone };
            match span.is_pending || self.options.mode == Mode::Finished {
                true => self.deliver_finished(span, &instance, &id).await?,
                false => self.tell_span(told, &instance, &id).await?,
            }
        }
        Ok(())
    }

    /// Has all of a span be there, by one request if it can be.
    async fn deliver_finished(
        &mut self,
        span: &SpanData,
        instance: &Instance,
        id: &str,
    ) -> Result<(), Outcome> {
        let key = (instance.digest(), span.trace_id, span.span_id);
        if self.spans.get(&key).is_some_and(|there| there.is_finished) {
            return Ok(());
        }
        let parent = self.parent_of(span, instance);
        let body = create(span, id, parent.as_deref(), instance, &self.options.contents);
        let created = self.post(Asked::Create, &["agent_spans"], &body).await?;
        self.heed(instance, &created);
        let finish = match span.is_pending {
            true => Some(cancel(span, instance)),
            // It was created by an exporter that shows spans while they run.
            false if created.is_active => Some(finish(span, Said::Unknown, instance, &self.options.contents)),
            false => None,
        };
        if let Some(body) = finish {
            self.finish_span(&created.id, &body, instance).await?;
        }
        self.record_quality(span, instance, id).await?;
        self.spans.insert(key, There { id: created.id.into(), is_finished: true, is_announced: false });
        Ok(())
    }

    /// Records what a span says of quality. The span has it too, so what is refused is told, and no loss.
    async fn record_quality(
        &mut self,
        span: &SpanData,
        instance: &Instance,
        id: &str,
    ) -> Result<(), Outcome> {
        for body in quality(span, instance, &self.options.contents) {
            match self.post(Asked::Quality, &["agent_instance", id, "record_quality"], &body).await {
                Err(Outcome::Rejected { reason }) => {
                    let span_id = span.span_id;
                    self.tell(&format!("it refused a record of quality of the span {span_id}: {reason}"));
                }
                answered => drop(answered?),
            }
        }
        Ok(())
    }

    /// Has what is told of a span be there: that it runs, and how it ended.
    async fn tell_span(&mut self, told: Told<'_>, instance: &Instance, id: &str) -> Result<(), Outcome> {
        let Some(first) = told.start.or(told.end) else { return Ok(()) };
        let key = (instance.digest(), first.trace_id, first.span_id);
        let there = match self.spans.get(&key) {
            Some(there) => there.clone(),
            None => {
                let parent = self.parent_of(first, instance);
                let body = start(first, id, parent.as_deref(), instance, &self.options.contents);
                let created = self.post(Asked::Create, &["agent_spans"], &body).await?;
                self.heed(instance, &created);
                let is_announced = told.start.is_some();
                let there = There { id: created.id.into(), is_finished: false, is_announced };
                self.spans.insert(key, there.clone());
                there
            }
        };
        if let (Some(span), false) = (told.end, there.is_finished) {
            let said = match told.start {
                _ if told.is_alone => Said::Unknown,
                Some(start) => Said::Start(start),
                // It cannot be read any more.
                None if there.is_announced => Said::Unknown,
                None => Said::Payload,
            };
            let body = finish(span, said, instance, &self.options.contents);
            let finished = self.finish_span(&there.id, &body, instance).await;
            if let Err(Outcome::Rejected { .. }) = finished {
                // The server may have forgotten it.
                self.spans.remove(&key);
            }
            finished?;
            self.record_quality(span, instance, id).await?;
            self.spans.insert(key, There { is_finished: true, ..there });
        }
        Ok(())
    }

    async fn finish_span(&mut self, id: &str, body: &Json, instance: &Instance) -> Result<(), Outcome> {
        let finished = self.post(Asked::Finish, &["agent_spans", id, "finish"], body).await?;
        self.heed(instance, &finished);
        Ok(())
    }

    /// The server's identity of a span's parent, if that is known.
    fn parent_of(&self, span: &SpanData, instance: &Instance) -> Option<Box<str>> {
        let parent = (instance.digest(), span.trace_id, span.parent_id?);
        self.spans.get(&parent).map(|there| there.id.clone())
    }

    async fn show_span(&mut self, live: &LiveSpan<'_>) -> Result<(), Outcome> {
        let Some(span) = live.end.or(live.start) else { return Ok(()) };
        let instance = self.options.agent.instance(live.recorder, live.resource);
        let has_parent = self.parent_of(span, &self.taken(&instance)).is_some();
        if span.parent_id.is_some() && !has_parent && !live.is_under_another_process {
            return Err(Outcome::Rejected { reason: "its parent is not known".to_owned() });
        }
        let (instance, id) = self.started(instance).await?;
        if span.is_pending {
            return self.deliver_finished(span, &instance, &id).await;
        }
        let told = Told { start: live.start, end: live.end, is_alone: false };
        self.tell_span(told, &instance, &id).await
    }

    /// Finishes a span of which nobody knows how it ended.
    async fn lose_span(&mut self, live: &LiveSpan<'_>) -> Result<(), Outcome> {
        let Some(announced) = live.start else { return Ok(()) };
        let instance = self.options.agent.instance(live.recorder, live.resource);
        let (instance, id) = self.started(instance).await?;
        self.tell_span(Told { start: live.start, end: None, is_alone: false }, &instance, &id).await?;
        let key = (instance.digest(), announced.trace_id, announced.span_id);
        if let Some(there) = self.spans.get(&key).filter(|there| !there.is_finished).cloned() {
            self.finish_span(&there.id, &lose(announced, &instance), &instance).await?;
            self.spans.insert(key, There { is_finished: true, ..there });
        }
        Ok(())
    }

    /// An instance with the server's identity of it, which is registered and started then. It is the one with open types where the server
    /// refuses the schemas.
    async fn started(&mut self, instance: Instance) -> Result<(Instance, String), Outcome> {
        let is_refused = self.refused.get(&instance.digest()).is_some();
        let mut instance = self.taken(&instance);
        if let Some(id) = self.instances.get(&instance.digest()).cloned() {
            return Ok((instance, id));
        }
        let asked = if is_refused { Asked::RegisterOpen } else { Asked::Register };
        let id = match self.register(asked, &instance).await {
            Err(Outcome::Rejected { reason }) => {
                let open = instance.open();
                let id = self.register(Asked::RegisterOpen, &open).await?;
                self.refused.insert(instance.digest(), ());
                self.tell_of_schemas(&reason);
                instance = open;
                id
            }
            answered => answered?,
        };
        self.post(Asked::Start, &["agent_instance", &id, "start"], &instance.start()).await?;
        self.instances.insert(instance.digest(), id.clone());
        let watched = Watched { id: id.clone(), asked: Instant::now(), is_terminated: false };
        self.watched.insert(instance.recorder().clone(), watched);
        Ok((instance, id))
    }

    /// An instance as the server takes it, as far as that is known: with open types where it has refused the schemas.
    fn taken(&self, instance: &Instance) -> Instance {
        match self.refused.get(&instance.digest()) {
            Some(()) => instance.open(),
            None => instance.clone(),
        }
    }

    async fn register(&self, asked: Asked, instance: &Instance) -> Result<String, Outcome> {
        let answered = self.post(asked, &["agent_instance", "register"], instance.register()).await?;
        Ok(answered.id)
    }

    /// Has it told, once, that types are declared as open objects.
    fn tell_of_schemas(&mut self, reason: &str) {
        if !self.has_told_of_schemas {
            self.has_told_of_schemas = true;
            self.tell(&format!(
                "it refused the schemas, so every type is declared as an open object: {reason}"
            ));
        }
    }

    /// Has something told; what comes after the first few is only counted.
    fn tell(&mut self, message: &str) {
        match self.told.len() {
            0..TOLD_MAX => self.told.push(message.to_owned()),
            _ => self.untold += 1,
        }
    }

    /// What there is to be told.
    fn take_told(&mut self) -> String {
        let mut told = mem::take(&mut self.told).join("; ");
        if self.untold > 0 {
            told += &format!("; and {} more", mem::take(&mut self.untold));
        }
        told
    }

    /// What a delivery came to, with what there is to be told of one that did.
    fn outcome(&mut self, delivered: Result<(), Outcome>) -> Outcome {
        match delivered {
            Ok(()) => Outcome::Delivered { rejected: 0, message: self.take_told() },
            Err(outcome) => outcome,
        }
    }

    async fn finish_instance(&mut self, process: &Process<'_>) -> Result<(), Outcome> {
        let instance = self.options.agent.instance(process.recorder, process.resource);
        let (instance, id) = self.started(instance).await?;
        let status = if process.has_died { SpanStatus::Failed } else { SpanStatus::Complete };
        let path = ["agent_instance", &id, "finish"];
        self.post(Asked::Over, &path, &instance.finish(status)).await.map(drop)
    }

    /// Heeds what an answer about a span says beside.
    fn heed(&mut self, instance: &Instance, answered: &Answered) {
        if let Some(reason) = &answered.termination {
            self.terminate(instance.recorder(), reason);
        }
    }

    /// Notes once that a process is to stop.
    fn terminate(&mut self, recorder: &RecorderId, reason: &str) {
        match self.watched.get_mut(recorder) {
            Some(watched) if watched.is_terminated => return,
            Some(watched) => watched.is_terminated = true,
            None => {}
        }
        let request = TerminationRequest { recorder: recorder.clone(), reason: reason.to_owned() };
        self.terminations.push(request);
    }

    /// Asks whether the instance of a process was terminated, if it is time. What fails is asked again in its time.
    async fn ask_for(&mut self, recorder: &RecorderId) {
        let Some(watched) = self.watched.get_mut(recorder) else { return };
        if watched.is_terminated || watched.asked.elapsed() < ASK_INTERVAL {
            return;
        }
        watched.asked = Instant::now();
        let id = watched.id.clone();
        let answer = self.ask(Method::GET, &["agent_instance", &id], String::new()).await;
        if let Some(reason) = answer.ok().and_then(|response| prefactor_answer::terminated(&response)) {
            self.terminate(recorder, &reason);
        }
    }

    async fn post(&self, asked: Asked, path: &[&str], body: &Json) -> Result<Answered, Outcome> {
        let response = self.ask(Method::POST, path, body.to_string()).await?;
        prefactor_answer::read(asked, &response)
    }

    async fn ask(&self, method: Method, path: &[&str], body: String) -> Result<Response, Outcome> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::from_iter([(ACCEPT, json.clone()), (CONTENT_TYPE, json)]);
        if let Some(authorization) = &self.options.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        self.caller.ask(method, url, headers, body.into(), Limits::default().request).await
    }
}

impl Sink for PrefactorSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn spans_max(&self) -> usize {
        SPANS_MAX
    }

    fn needs(&self) -> Needs {
        Needs::ParentsFirst
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(async {
            let delivered = self.deliver_spans(batch).await;
            self.outcome(delivered)
        })
    }

    fn look_after<'a>(&'a mut self, process: &'a LiveProcess<'a>) -> Delivery<'a> {
        Box::pin(async {
            self.ask_for(process.recorder).await;
            Outcome::DELIVERED
        })
    }

    fn wants_starts(&self) -> bool {
        self.options.mode == Mode::Live
    }

    fn show<'a>(&'a mut self, span: &'a LiveSpan<'a>) -> Delivery<'a> {
        Box::pin(async { self.show_span(span).await.err().unwrap_or(Outcome::DELIVERED) })
    }

    fn lose<'a>(&'a mut self, span: &'a LiveSpan<'a>) -> Delivery<'a> {
        Box::pin(async { self.lose_span(span).await.err().unwrap_or(Outcome::DELIVERED) })
    }

    fn take_terminations(&mut self) -> Vec<TerminationRequest> {
        std::mem::take(&mut self.terminations)
    }

    fn process_over<'a>(&'a mut self, process: &'a Process<'a>) -> Delivery<'a> {
        Box::pin(async {
            let finished = self.finish_instance(process).await;
            self.outcome(finished)
        })
    }
}

impl fmt::Debug for PrefactorSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefactorSink").field("name", &self.name).field("options", &self.options).finish()
    }
}

/// What is known of the last so many things.
struct Known<K, V> {
    known: HashMap<K, V>,
    order: VecDeque<K>,
    max: usize,
}

impl<K: Clone + Eq + Hash, V> Known<K, V> {
    fn new(max: usize) -> Self {
        Known { known: HashMap::new(), order: VecDeque::new(), max }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.known.get(key)
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.known.get_mut(key)
    }

    fn remove(&mut self, key: &K) {
        if self.known.remove(key).is_some() {
            self.order.retain(|known| known != key);
        }
    }

    fn insert(&mut self, key: K, value: V) {
        if self.known.insert(key.clone(), value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
