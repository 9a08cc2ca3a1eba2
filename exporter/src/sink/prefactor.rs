//! Prefactor's server: a run of a process is an instance of an agent there, and each span is created by a request of its own, finished.
//!
//! Of a recorder the instance is registered and started when its first spans come, and finished when the process is over. Spans come parents first,
//! when their trace is over, and each says the identity that the server gave to its parent. Those identities are held in memory and nowhere else.
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
//! # What becomes of a span without its parent
//!
//! A parent may be in another process, be refused, or be forgotten: where it came with an earlier part of the trace, which was over for two seconds, before a
//! restart, or more than 100,000 spans ago. The span is created without one then, and says its parent's identity here in `metadata`.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::mem;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value as Json;
use spanring::{SpanId, TraceId};
use spanring_spool::SpanData;

use super::http::{Caller, Limits, Transport};
use super::prefactor_answer::{self, Asked};
use super::{Batch, Delivery, Needs, Outcome, PrefactorOptions, Process, Sink};
use crate::Error;
use crate::prefactor::{Instance, SpanStatus, cancel, create, quality};

/// How many spans a batch has: what a kill has sent again, at most.
const SPANS_MAX: usize = 100;
/// Of how many spans the server's identity is known.
const KNOWN_SPANS_MAX: usize = 100_000;
/// The same of instances.
const KNOWN_INSTANCES_MAX: usize = 1_000;

/// How much is told with a delivery.
const TOLD_MAX: usize = 3;

/// Prefactor, asked over HTTP.
pub struct PrefactorSink {
    name: String,
    url: Url,
    options: PrefactorOptions,
    caller: Caller,
    /// The server's identities of instances that were started, by their digests.
    instances: Known<TraceId>,
    /// The server's identities of spans that are all there, by their instance's digest.
    spans: Known<(TraceId, TraceId, SpanId)>,
    /// The digests of instances whose schemas the server refuses.
    refused: Known<TraceId>,
    has_told_of_schemas: bool,
    /// What there is to be told with the next delivery.
    told: Vec<String>,
    /// How much beside was left out.
    untold: usize,
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
        })
    }

    async fn deliver_spans(&mut self, batch: &Batch<'_>) -> Result<(), Outcome> {
        let instance = self.options.agent.instance(batch.id.recorder, batch.resource);
        let (instance, id) = self.started(instance).await?;
        for span in batch.spans {
            let key = (instance.digest(), span.trace_id, span.span_id);
            if self.spans.get(&key).is_none() {
                let created = self.deliver_span(span, &instance, &id).await?;
                self.record_quality(span, &instance, &id).await?;
                self.spans.insert(key, created);
            }
        }
        Ok(())
    }

    /// The server's identity of a span, which is all there then.
    async fn deliver_span(&self, span: &SpanData, instance: &Instance, id: &str) -> Result<String, Outcome> {
        let parent = span.parent_id.map(|parent| (instance.digest(), span.trace_id, parent));
        let parent = parent.and_then(|parent| self.spans.get(&parent));
        let body = create(span, id, parent, instance, &self.options.contents);
        let created = self.post(Asked::Create, &["agent_spans"], &body).await?;
        if span.is_pending {
            let path = ["agent_spans", &created, "finish"];
            self.post(Asked::Finish, &path, &cancel(span, instance)).await?;
        }
        Ok(created)
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

    /// An instance with the server's identity of it, which is registered and started then. It is the one with open types where the server
    /// refuses the schemas.
    async fn started(&mut self, instance: Instance) -> Result<(Instance, String), Outcome> {
        let is_refused = self.refused.get(&instance.digest()).is_some();
        let mut instance = if is_refused { instance.open() } else { instance };
        if let Some(id) = self.instances.get(&instance.digest()) {
            let id = id.to_owned();
            return Ok((instance, id));
        }
        let asked = if is_refused { Asked::RegisterOpen } else { Asked::Register };
        let id = match self.register(asked, &instance).await {
            Err(Outcome::Rejected { reason }) => {
                let open = instance.open();
                let id = self.register(Asked::RegisterOpen, &open).await?;
                self.refused.insert(instance.digest(), String::new());
                self.tell_of_schemas(&reason);
                instance = open;
                id
            }
            answered => answered?,
        };
        self.post(Asked::Instance, &["agent_instance", &id, "start"], &instance.start()).await?;
        self.instances.insert(instance.digest(), id.clone());
        Ok((instance, id))
    }

    async fn register(&self, asked: Asked, instance: &Instance) -> Result<String, Outcome> {
        self.post(asked, &["agent_instance", "register"], instance.register()).await
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

    async fn finish(&mut self, process: &Process<'_>) -> Result<(), Outcome> {
        let instance = self.options.agent.instance(process.recorder, process.resource);
        let (instance, id) = self.started(instance).await?;
        let status = if process.has_died { SpanStatus::Failed } else { SpanStatus::Complete };
        let path = ["agent_instance", &id, "finish"];
        self.post(Asked::Instance, &path, &instance.finish(status)).await.map(drop)
    }

    async fn post(&self, asked: Asked, path: &[&str], body: &Json) -> Result<String, Outcome> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::from_iter([(ACCEPT, json.clone()), (CONTENT_TYPE, json)]);
        if let Some(authorization) = &self.options.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let limit = Limits::default().request;
        let body = body.to_string().into();
        let response = self.caller.ask(Method::POST, url, headers, body, limit).await?;
        prefactor_answer::read(asked, &response)
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

    fn process_over<'a>(&'a mut self, process: &'a Process<'a>) -> Delivery<'a> {
        Box::pin(async {
            let finished = self.finish(process).await;
            self.outcome(finished)
        })
    }
}

impl fmt::Debug for PrefactorSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefactorSink").field("name", &self.name).field("options", &self.options).finish()
    }
}

/// The server's identities, of the last so many things.
struct Known<K> {
    ids: HashMap<K, Box<str>>,
    order: VecDeque<K>,
    max: usize,
}

impl<K: Copy + Eq + Hash> Known<K> {
    fn new(max: usize) -> Self {
        Known { ids: HashMap::new(), order: VecDeque::new(), max }
    }

    fn get(&self, key: &K) -> Option<&str> {
        self.ids.get(key).map(|id| &**id)
    }

    fn insert(&mut self, key: K, id: String) {
        if self.ids.insert(key, id.into()).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_identities_are_forgotten() {
        let mut known = Known::new(2);
        for (key, id) in [(1, "a"), (2, "b"), (1, "c"), (3, "d")] {
            known.insert(key, id.to_owned());
            assert!(known.ids.len() <= 2 && known.ids.len() == known.order.len());
        }
        assert_eq!([1, 2, 3].map(|key| known.get(&key)), [None, Some("b"), Some("d")]);
    }
}
