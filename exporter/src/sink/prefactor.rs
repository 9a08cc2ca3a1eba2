//! Prefactor's server: a run of a process is an instance of an agent there, and each span is created by a request of its own, finished, or when it starts.
//!
//! Of a recorder the instance is registered and started when its first spans come, and finished when the process is over. Spans come parents first,
//! when their trace is over, and each says the identity that the server gave to its parent. Those identities are held in memory and nowhere else.
//! Requests that wait for no other are sent at the same time (`order`, `waves`), or in bulk where that was said (`bulk`).
//!
//! In live mode a span is created when it is shown, and finished once it has ended; what was not shown is so created and finished when its trace is over.
//!
//! # What is relied on
//!
//! The server answers a request whose idempotency key it has seen as it answered it the first time, and makes nothing. Keys are functions of
//! what is sent, and traces come again whole until they are done with, so an exporter that was killed learns all identities again by sending again what
//! it had sent. A key counts whichever way it comes, by itself or in bulk.
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
//! restart, or more than 100,000 spans ago with no span under it since. The span is created without one then, and says its parent's identity here in `metadata`.

mod bulk;
mod bulk_size;
mod known;
mod order;
mod remarks;
mod request;
mod server;
mod told;
mod watch;
mod waves;

use std::fmt;

use reqwest::Url;
use spanring::{SpanId, TraceId};

use self::bulk_size::BulkSize;
use self::known::Known;
use self::remarks::Remarks;
use self::server::Server;
use self::told::{There, Told};
use self::watch::Watch;
use super::prefactor_answer::Asked;
use super::{
    Batch, BatchId, Delivery, LiveProcess, LiveSpan, Needs, Outcome, PrefactorOptions, Process, Sink,
    TerminationRequest,
};
use crate::Error;
use crate::prefactor::{Instance, Mode, SpanStatus};

/// How many spans a batch has: what a kill has sent again, at most.
const SPANS_MAX: usize = 100;
/// Of how many spans the server's identity is known.
const KNOWN_SPANS_MAX: usize = 100_000;
/// The same of instances.
const KNOWN_INSTANCES_MAX: usize = 1_000;

/// Prefactor, asked over HTTP.
pub struct PrefactorSink {
    name: String,
    options: PrefactorOptions,
    server: Server,
    /// The server's identities of instances that were started, by their digests.
    instances: Known<TraceId, String>,
    /// The spans that are there.
    spans: Known<SpanKey, There>,
    bulk: BulkSize,
    /// The digests of instances whose schemas the server refuses.
    refused: Known<TraceId, ()>,
    has_told_of_schemas: bool,
    remarks: Remarks,
    watch: Watch,
}

/// A span, by its instance's digest.
type SpanKey = (TraceId, TraceId, SpanId);

impl PrefactorSink {
    /// A sink that is called `name`, and asks the server whose API lies below this URL. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Error::Sink`] where TLS cannot be set up.
    pub fn open(name: String, url: &Url, options: &PrefactorOptions) -> Result<Self, Error> {
        let server = Server::new(&name, url, options)?;
        Ok(PrefactorSink {
            name,
            options: options.clone(),
            server,
            instances: Known::new(KNOWN_INSTANCES_MAX),
            spans: Known::new(KNOWN_SPANS_MAX),
            bulk: BulkSize::new(options.bulk),
            refused: Known::new(KNOWN_INSTANCES_MAX),
            has_told_of_schemas: false,
            remarks: Remarks::default(),
            watch: Watch::new(KNOWN_INSTANCES_MAX),
        })
    }

    async fn deliver_spans(&mut self, batch: &Batch<'_>) -> Result<(), Outcome> {
        let instance = self.options.agent.instance(batch.id.recorder, batch.resource);
        let (instance, id) = self.started(instance).await?;
        let is_alone = batch.id.part == BatchId::ALONE;
        let is_whole = self.options.mode == Mode::Finished;
        let told = batch.spans.iter().map(|span| match span.is_pending || is_whole {
            true => Told::whole(span),
            false => Told::ended(span, batch.start_of(span), is_alone),
        });
        self.tell(&told.collect::<Vec<_>>(), &instance, &id).await
    }

    async fn show_span(&mut self, live: &LiveSpan<'_>) -> Result<(), Outcome> {
        let told = match (live.start, live.end) {
            (_, Some(span)) if span.is_pending => Told::whole(span),
            (start, Some(span)) => Told::ended(span, start, false),
            (Some(start), None) => Told::open(start),
            (None, None) => return Ok(()),
        };
        let instance = self.options.agent.instance(live.recorder, live.resource);
        let has_parent = self.parent_of(&told, &self.taken(&instance)).is_some();
        if told.parent().is_some() && !has_parent && !live.is_under_another_process {
            return Err(Outcome::Rejected { reason: "its parent is not known".to_owned() });
        }
        let (instance, id) = self.started(instance).await?;
        self.tell(&[told], &instance, &id).await
    }

    /// Finishes a span of which nobody knows how it ended.
    async fn lose_span(&mut self, live: &LiveSpan<'_>) -> Result<(), Outcome> {
        let Some(announced) = live.start else { return Ok(()) };
        let instance = self.options.agent.instance(live.recorder, live.resource);
        let (instance, id) = self.started(instance).await?;
        self.tell(&[Told::lost(announced)], &instance, &id).await
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
        self.server.post(Asked::Start, &["agent_instance", &id, "start"], &instance.start()).await?;
        self.instances.insert(instance.digest(), id.clone());
        self.watch.begin(&instance, &id);
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
        let answered = self.server.post(asked, &["agent_instance", "register"], instance.register()).await?;
        Ok(answered.id)
    }

    /// Has it told, once, that types are declared as open objects.
    fn tell_of_schemas(&mut self, reason: &str) {
        if !self.has_told_of_schemas {
            self.has_told_of_schemas = true;
            self.remarks.add(format!(
                "it refused the schemas, so every type is declared as an open object: {reason}"
            ));
        }
    }

    /// What a delivery came to, with what there is to be told of one that did.
    fn outcome(&mut self, delivered: Result<(), Outcome>) -> Outcome {
        match delivered {
            Ok(()) => Outcome::Delivered { rejected: 0, message: self.remarks.take() },
            Err(outcome) => outcome,
        }
    }

    async fn finish_instance(&mut self, process: &Process<'_>) -> Result<(), Outcome> {
        let instance = self.options.agent.instance(process.recorder, process.resource);
        let (instance, id) = self.started(instance).await?;
        let status = if process.has_died { SpanStatus::Failed } else { SpanStatus::Complete };
        let path = ["agent_instance", &id, "finish"];
        self.server.post(Asked::Over, &path, &instance.finish(status)).await.map(drop)
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
            self.watch.ask_for(process.recorder, &self.server).await;
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
        self.watch.take()
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

#[cfg(test)]
mod tests;
