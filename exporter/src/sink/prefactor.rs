//! Prefactor's server: a run of a process is an instance of an agent there, and each span is created by a request of its own, finished, or when it starts.
//!
//! Of a recorder the instance is registered and started when its first spans come, and finished when the process is over. Spans come parents first,
//! when their trace is over, and each says the identity that the server gave to its parent. Those identities are [noted](book), so that they are known
//! after a restart too. Requests that wait for no other are sent at the same time (`order`, `waves`), or in bulk where that was said (`bulk`).
//!
//! In live mode a span is created when it is shown, and finished once it has ended; what was not shown is so created and finished when its trace is over.
//!
//! # What is relied on
//!
//! The server answers a request whose idempotency key it has seen as it answered it the first time, and makes nothing. Keys are functions of
//! what is sent, and what was not noted before an exporter was killed comes again, so that it is learned again by sending again what had been sent: the
//! same bodies, since what is under a span that is noted comes under the same identity. A key counts whichever way it comes, by itself or in bulk.
//!
//! # Schemas that are refused
//!
//! Where the server refuses a registration as one that makes no sense, the instance is registered with each type declared as an open object. That is
//! another instance, under keys of its own. That it is this one is noted too, and kept with what is set aside, so that a server which takes the schemas later
//! does not get a second one of the same process.
//!
//! # Types that turn up
//!
//! A span may say a type that no registration has declared. Its process is registered once more, under the same name, with another version of its schemas that
//! declares it too, as an open object or, under `langchain:tool:`, as the SDK declares a tool, before the span is sent. Which version that is follows from the types in it. Where the server makes another instance of that, spans
//! go there from then on, and both are finished in the end; where it refuses the version, types that came together are declared one by one, and what is refused goes under its kind.
//!
//! # Who is to stop
//!
//! The server may say with any span that the agent is to stop, and of an instance that it was terminated, for which it is asked every 30 seconds while the
//! process lives, of all instances that the process has. Either is passed on to the process.
//!
//! # What becomes of a span without its parent
//!
//! A parent may be in another process, be refused, or be forgotten: where it came with an earlier part of the trace, which was over for two seconds, and more
//! than 100,000 notes ago with no span under it since, or where notes were damaged, or there was no space for them. The span is created without one then, and says
//! its parent's identity here in `metadata`.

mod aside;
mod book;
mod bulk;
mod bulk_size;
mod known;
mod latest;
mod order;
mod remarks;
mod request;
mod server;
mod told;
mod watch;
mod waves;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use reqwest::Url;
use spanring_spool::{Note, RecorderId, SpanData, Value};

use self::aside::{Aside, At};
use self::book::{Book, Key, TurnedUp};
use self::bulk_size::BulkSize;
use self::remarks::Remarks;
use self::server::Server;
use self::told::Told;
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
/// How many processes are watched at most, which is whether the server wants them stopped.
const WATCHED_MAX: usize = 1_000;
/// How many types of a process may turn up that are declared: others go under their kinds.
const TYPES_MAX: usize = 100;
/// How many instances of a process are watched at most: as many as there are where the server makes another one for each type.
const INSTANCES_MAX: usize = 1 + TYPES_MAX;

/// Prefactor, asked over HTTP.
pub struct PrefactorSink {
    name: String,
    options: PrefactorOptions,
    server: Server,
    /// What is known of processes.
    books: BTreeMap<RecorderId, Book>,
    bulk: BulkSize,
    has_told_of_schemas: bool,
    remarks: Remarks,
    watch: Watch,
    /// Of which instance it was sent spans last.
    at: Option<At>,
    /// What is known of the span that is replayed next.
    aside: Option<Aside>,
}

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
            books: BTreeMap::new(),
            bulk: BulkSize::new(options.bulk),
            has_told_of_schemas: false,
            remarks: Remarks::default(),
            watch: Watch::new(WATCHED_MAX, INSTANCES_MAX),
            at: None,
            aside: None,
        })
    }

    async fn deliver_spans(&mut self, batch: &Batch<'_>) -> Result<(), Outcome> {
        let instance = self.options.agent.instance(batch.id.recorder, batch.resource);
        let is_alone = batch.id.part == BatchId::ALONE;
        let is_whole = self.options.mode == Mode::Finished;
        let told = batch.spans.iter().map(|span| match span.is_pending || is_whole {
            true => Told::whole(span),
            false => Told::ended(span, batch.start_of(span), is_alone),
        });
        let told: Vec<_> = told.collect();
        if let Some(aside) = self.aside.take_if(|aside| is_alone && aside.is_of(&batch.spans[0])) {
            self.remember(&aside, &instance).await?;
            self.aside = Some(aside);
        }
        let declared = instance.digest();
        let (instance, id) = self.started(instance, &told).await?;
        let (recorder, digest) = (instance.recorder().clone(), instance.digest());
        self.at = Some(At { recorder, digest, refused: (digest != declared).then_some(declared) });
        self.tell(&told, &instance, &id).await
    }

    /// Has what was known of a span that is replayed be known of its process, as far as nothing else is.
    async fn remember(&mut self, aside: &Aside, instance: &Instance) -> Result<(), Outcome> {
        if aside.is_refused(instance.digest()) {
            self.book(instance).refuse(instance.digest());
        }
        let (first, id) = self.started_first(instance.clone()).await?;
        let digest = first.digest();
        let known = self.book(&first).types(digest);
        let is_known = |name: &str| known.iter().any(|known| *known.name == *name);
        let new: BTreeSet<_> =
            aside.types().iter().map(String::as_str).filter(|name| !is_known(name)).collect();
        if known.is_empty() && !new.is_empty() {
            self.declare(&new, first.clone(), id).await?;
        }
        aside.tell(digest, self.book(&first));
        Ok(())
    }

    async fn show_span(&mut self, live: &LiveSpan<'_>) -> Result<(), Outcome> {
        let told = match (live.start, live.end) {
            (_, Some(span)) if span.is_pending => Told::whole(span),
            (start, Some(span)) => Told::ended(span, start, false),
            (Some(start), None) => Told::open(start),
            (None, None) => return Ok(()),
        };
        let instance = self.options.agent.instance(live.recorder, live.resource);
        let has_parent = self.has_parent(&told, &instance);
        if told.parent().is_some() && !has_parent && !live.is_under_another_process {
            return Err(Outcome::Rejected { reason: "its parent is not known".to_owned() });
        }
        let (instance, id) = self.started(instance, &[told]).await?;
        self.tell(&[told], &instance, &id).await
    }

    /// Finishes a span of which nobody knows how it ended.
    async fn lose_span(&mut self, live: &LiveSpan<'_>) -> Result<(), Outcome> {
        let Some(announced) = live.start else { return Ok(()) };
        let instance = self.options.agent.instance(live.recorder, live.resource);
        let told = [Told::lost(announced)];
        let (instance, id) = self.started(instance, &told).await?;
        self.tell(&told, &instance, &id).await
    }

    /// An instance in which these spans can be created, with the server's identity of it.
    async fn started(
        &mut self,
        instance: Instance,
        told: &[Told<'_>],
    ) -> Result<(Instance, String), Outcome> {
        let (first, id) = self.started_first(instance).await?;
        let digest = first.digest();
        let past = self.book(&first).take_past_types(digest);
        if !past.is_empty() {
            // All together, as they were in the end: a part of them would take the others away from an instance that lives.
            let past = past.iter().map(|name| &**name).take(TYPES_MAX).collect();
            self.declare(&past, first.clone(), id.clone()).await?;
        }
        let book = self.book(&first);
        let (known, id) = (book.types(digest), book.later(digest).pop().unwrap_or(id));
        let declared = known.iter().filter(|known| known.is_declared).map(|known| &*known.name);
        let instance = first.with_types(declared);
        let is_new = |name: &&str| known.iter().all(|known| *known.name != **name);
        let new = told.iter().filter_map(|told| first.undeclared_type(told.first())).filter(is_new);
        let new: BTreeSet<_> = new.collect();
        let new: BTreeSet<_> = new.into_iter().take(TYPES_MAX.saturating_sub(known.len())).collect();
        let (instance, id) = match new.is_empty() {
            true => (instance, id),
            false => self.declare(&new, instance, id).await?,
        };
        Ok((instance, id))
    }

    /// Has another version of an instance's schemas declare these types too, unless the server refuses that: all of them, or else one by one.
    async fn declare(
        &mut self,
        new: &BTreeSet<&str>,
        mut instance: Instance,
        mut id: String,
    ) -> Result<(Instance, String), Outcome> {
        let digest = instance.digest();
        let mut left = VecDeque::from([new.clone()]);
        while let Some(names) = left.pop_front() {
            let later = instance.with_types(names.iter().copied());
            let answered = match self.register(Asked::RegisterLater, &later).await {
                Ok(answered) => Some(answered),
                Err(Outcome::Rejected { .. }) if names.len() > 1 => {
                    left.extend(names.into_iter().map(|name| BTreeSet::from([name])));
                    continue;
                }
                Err(Outcome::Rejected { reason }) => {
                    let names = names.iter().copied().collect::<Vec<_>>().join(", ");
                    self.remarks.add(format!("it refused to have more types declared, so spans of {names} go under their kinds: {reason}"));
                    None
                }
                Err(outcome) => return Err(outcome),
            };
            let is_declared = answered.is_some();
            if let Some(answered) = answered {
                if answered != id {
                    let start = later.another(&answered).start();
                    self.server.post(Asked::Start, &["agent_instance", &answered, "start"], &start).await?;
                    self.book(&instance).add_later(digest, &answered);
                    self.watch.begin(instance.recorder(), &answered);
                }
                (instance, id) = (later, answered);
            }
            for name in names {
                self.book(&instance).add_type(digest, &TurnedUp { name: name.into(), is_declared });
            }
        }
        Ok((instance, id))
    }

    /// An instance with the server's identity of it, which is registered and started then. It is the one with open types where the server
    /// refuses the schemas.
    async fn started_first(&mut self, instance: Instance) -> Result<(Instance, String), Outcome> {
        let book = self.books.entry(instance.recorder().clone()).or_default();
        let is_refused = book.is_refused(instance.digest());
        let mut instance = if is_refused { instance.open() } else { instance };
        if let Some(id) = book.instance(instance.digest()).map(str::to_owned) {
            self.watch.begin(instance.recorder(), &id);
            return Ok((instance, id));
        }
        let asked = if is_refused { Asked::RegisterOpen } else { Asked::Register };
        let id = match self.register(asked, &instance).await {
            Err(Outcome::Rejected { reason }) => {
                let open = instance.open();
                let id = self.register(Asked::RegisterOpen, &open).await?;
                self.book(&instance).refuse(instance.digest());
                self.tell_of_schemas(&reason);
                instance = open;
                id
            }
            answered => answered?,
        };
        self.server.post(Asked::Start, &["agent_instance", &id, "start"], &instance.start()).await?;
        self.book(&instance).set_instance(instance.digest(), &id);
        self.watch.begin(instance.recorder(), &id);
        Ok((instance, id))
    }

    /// What is known of the process whose instance this is.
    fn book(&mut self, instance: &Instance) -> &mut Book {
        self.books.entry(instance.recorder().clone()).or_default()
    }

    /// Whether a span's parent is there.
    fn has_parent(&mut self, told: &Told<'_>, instance: &Instance) -> bool {
        let book = self.book(instance);
        let digest = match book.is_refused(instance.digest()) {
            true => instance.open().digest(),
            false => instance.digest(),
        };
        let key = told.parent().map(|(trace_id, span_id)| Key::Span(digest, trace_id, span_id));
        key.is_some_and(|key| book.span(&key).is_some())
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
        let (instance, id) = self.started_first(instance).await?;
        let status = if process.has_died { SpanStatus::Failed } else { SpanStatus::Complete };
        let later = self.book(&instance).later(instance.digest());
        let others = later.into_iter().map(|id| (instance.another(&id), id));
        let mut finished = Ok(());
        // One that is refused is no reason to leave the others open.
        for (instance, id) in std::iter::once((instance.clone(), id)).chain(others) {
            let path = ["agent_instance", &id, "finish"];
            match self.server.post(Asked::Over, &path, &instance.finish(status)).await {
                Err(Outcome::Rejected { reason }) => {
                    finished = finished.and(Err(Outcome::Rejected { reason }));
                }
                answered => drop(answered?),
            }
        }
        finished
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

    fn known_of(&self, span: &SpanData) -> Vec<(String, Value)> {
        self.at.as_ref().map(|at| self.aside(at, span)).unwrap_or_default()
    }

    fn recall(&mut self, span: &SpanData, known: &[(String, Value)]) {
        self.aside = Some(Aside::of(span, known));
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

    fn takes_notes(&self) -> bool {
        true
    }

    fn recall_notes(&mut self, recorder: &RecorderId, notes: Vec<Note>) {
        let mut book = Book::default();
        book.recall(notes);
        // Its process may live and send nothing: it can be stopped nonetheless.
        book.noted_instances().for_each(|id| self.watch.begin(recorder, id));
        self.books.insert(recorder.clone(), book);
    }

    fn recall_past(&mut self, recorder: &RecorderId, notes: Vec<Note>) {
        let mut book = Book::default();
        book.recall_past(notes);
        self.books.insert(recorder.clone(), book);
    }

    fn take_notes(&mut self, recorder: &RecorderId) -> Vec<Note> {
        self.books.get_mut(recorder).map(Book::take).unwrap_or_default()
    }

    fn forget(&mut self, recorder: &RecorderId) {
        self.books.remove(recorder);
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
