//! Dead letters, delivered again: when the sink has been mended, or to another one.

mod letter_spans;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use spanring_spool::{DeadLetters, DeadTrace, DeadTraceSpans, Letter, LetterName};
use tokio::time::{Instant, sleep};

use self::letter_spans::LetterSpans;
use crate::Error;
use crate::breaker::Breaker;
use crate::engine::{Notice, SPANS_MAX};
use crate::error::with_causes;
use crate::sink::{Batch, BatchId, Needs, Outcome, Sink, SinkAddress, SinkOptions, Trace, TraceSpans as _};

/// Delivers dead letters again, each by itself, and removes those that are taken. A trace that was refused as a whole goes as a whole to sinks that
/// [need](Needs::Traces) such, and span by span to those that need [nothing](Needs::Spans) else; others do not get it.
///
/// At least once: a letter whose sink took it is there until that is known. An exporter may be at the spool meanwhile; where its cursor has
/// not passed a letter's block yet, its sink may refuse that span again, which makes the same letter anew.
#[must_use = "letters are delivered when it is run"]
pub struct Replay {
    letters: DeadLetters,
    to: Option<Box<dyn Sink>>,
    options: SinkOptions,
    known: Vec<(SinkAddress, SinkOptions)>,
    deadline: Duration,
    tell: Box<dyn Fn(Notice) + Send + Sync>,
}

/// What a replay came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ReplayReport {
    /// How many spans were delivered, and are no dead letters any more; but those of a trace of which others were refused are, since its letter
    /// stays whole.
    pub delivered: u64,
    /// How many were refused again. They are kept.
    pub refused: u64,
    /// How many could not be tried, or not until the deadline. They are kept.
    pub kept: u64,
    /// What did not work.
    pub troubles: Vec<String>,
}

/// A sink that letters are delivered to again.
struct Receiver {
    sink: Box<dyn Sink>,
    breaker: Breaker,
}

/// What became of one letter.
enum Fate {
    Taken,
    /// It is not taken.
    Refused,
    /// It is taken but for so many of its spans.
    Unwanted(u64),
    /// It cannot be delivered, and why; others may be.
    Unread(String),
    /// The sink takes nothing now, and why.
    Kept(String),
}

impl Replay {
    /// A replay that gives a sink up which has failed for the time of `deadline` without a success in between.
    pub fn new(letters: DeadLetters, deadline: Duration) -> Self {
        let (options, known) = (SinkOptions::default(), Vec::new());
        Replay { letters, to: None, options, known, deadline, tell: Box::new(drop) }
    }

    /// Delivers to this sink, and not to those that refused.
    pub fn to(mut self, sink: Box<dyn Sink>) -> Self {
        self.to = Some(sink);
        self
    }

    /// Asks the receivers that refused as `options` say. Headers, certificates and keys go to the endpoints alone that the options name: what a
    /// letter names is no reason to trust it with them.
    pub fn options(mut self, options: SinkOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets these sinks up as is said of each, where they are those that refused.
    pub fn known_sinks(mut self, sinks: Vec<(SinkAddress, SinkOptions)>) -> Self {
        self.known = sinks;
        self
    }

    /// Calls `tell` for each notice.
    pub fn on_notice(mut self, tell: impl Fn(Notice) + Send + Sync + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// Delivers these letters, in this order. Those that are there no more are passed over.
    pub async fn run(mut self, names: &[LetterName]) -> ReplayReport {
        let mut report = ReplayReport::default();
        // None for one that takes nothing any more.
        let mut receivers: BTreeMap<String, Option<Receiver>> = BTreeMap::new();
        let to = self.to.take().map(|sink| {
            let name = sink.name().to_owned();
            receivers.insert(name.clone(), Some(self.receiver(sink)));
            name
        });
        for name in names {
            let letter = match self.letters.open(name) {
                Ok(Some(letter)) => letter,
                Ok(None) => continue,
                Err(error) => {
                    report.keep(1, with_causes(&error));
                    continue;
                }
            };
            let (spans, refused_by) = (letter.spans(), letter.sink().to_owned());
            let receiver = match receivers.entry(to.clone().unwrap_or(refused_by)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let opened = self.open(new.key());
                    new.insert(opened.map_err(|error| report.troubles.push(with_causes(&error))).ok())
                }
            };
            let Some(open) = receiver.as_mut() else {
                report.kept = report.kept.saturating_add(spans);
                continue;
            };
            match self.deliver(open, letter).await {
                Fate::Taken => match self.letters.remove(name) {
                    Ok(_) => report.delivered = report.delivered.saturating_add(spans),
                    Err(error) => report
                        .keep(spans, format!("{name} was delivered, and stays: {}", with_causes(&error))),
                },
                Fate::Refused => report.refused = report.refused.saturating_add(spans),
                Fate::Unwanted(unwanted) => {
                    report.refused = report.refused.saturating_add(unwanted);
                    report.delivered = report.delivered.saturating_add(spans.saturating_sub(unwanted));
                }
                Fate::Unread(reason) => report.keep(spans, reason),
                Fate::Kept(reason) => {
                    report.keep(spans, format!("{}: {reason}", open.sink.name()));
                    *receiver = None;
                }
            }
        }
        if report.delivered > 0
            && let Err(error) = self.letters.sync()
        {
            report.troubles.push(with_causes(&error));
        }
        report
    }

    fn receiver(&self, sink: Box<dyn Sink>) -> Receiver {
        Receiver { sink, breaker: Breaker::new(Some(self.deadline)) }
    }

    fn open(&self, address: &str) -> Result<Receiver, Error> {
        let sink = address.parse::<SinkAddress>()?;
        if let Some((_, options)) = self.known.iter().find(|(known, _)| *known == sink) {
            return Ok(self.receiver(sink.open_with(options)?));
        }
        Ok(self.receiver(sink.open_with(&self.options.for_letter(&sink))?))
    }

    async fn deliver(&self, receiver: &mut Receiver, letter: Letter) -> Fate {
        match letter {
            Letter::Span(letter) => {
                let number = usize::try_from(letter.number).unwrap_or(usize::MAX);
                let id =
                    BatchId { recorder: &letter.recorder, block: letter.block, number, part: BatchId::ALONE };
                let spans = std::slice::from_ref(&letter.span).into();
                let batch = Batch { id, resource: &letter.resource, spans, starts: &[] };
                receiver.sink.recall(&letter.span, &letter.known);
                self.ask(receiver, Parcel::Batch(&batch)).await
            }
            Letter::Trace(letter, spans) => {
                let number = usize::try_from(letter.number).unwrap_or(usize::MAX);
                let id =
                    BatchId { recorder: &letter.recorder, block: letter.block, number, part: BatchId::WHOLE };
                match receiver.sink.needs() {
                    Needs::Traces => self.deliver_in_one(receiver, &letter, id, spans).await,
                    Needs::Spans => self.deliver_in_batches(receiver, &letter, id, spans).await,
                    Needs::ParentsFirst | Needs::Overview => Fate::Unread(format!(
                        "{} takes traces otherwise than {} does, which refused trace {}",
                        receiver.sink.name(),
                        letter.sink,
                        letter.trace_id
                    )),
                }
            }
        }
    }

    /// Delivers a trace as a whole.
    async fn deliver_in_one(
        &self,
        receiver: &mut Receiver,
        letter: &DeadTrace,
        id: BatchId<'_>,
        spans: DeadTraceSpans,
    ) -> Fate {
        let mut spans = LetterSpans::new(spans, SPANS_MAX);
        let len = usize::try_from(letter.spans).unwrap_or(usize::MAX);
        let mut trace =
            Trace { id, trace_id: letter.trace_id, resource: &letter.resource, len, spans: &mut spans };
        self.ask(receiver, Parcel::Trace(&mut trace)).await
    }

    /// Delivers the spans of a trace to a sink that takes them as they end. A batch that is refused is halved, until the spans are found that the
    /// sink does not take by themselves. Where there is one the letter stays, and with it those that were taken, so that they come again with the next
    /// attempt.
    async fn deliver_in_batches(
        &self,
        receiver: &mut Receiver,
        letter: &DeadTrace,
        mut id: BatchId<'_>,
        spans: DeadTraceSpans,
    ) -> Fate {
        let mut spans = LetterSpans::new(spans, receiver.sink.spans_max().clamp(1, SPANS_MAX));
        let mut unwanted = 0;
        loop {
            let chunk = match spans.next() {
                Ok(Some(chunk)) => chunk,
                Ok(None) if unwanted == 0 => return Fate::Taken,
                Ok(None) => return Fate::Unwanted(unwanted),
                Err(error) => return Fate::Unread(error.to_string()),
            };
            let mut parts = vec![(BatchId::WHOLE, chunk)];
            while let Some((part, spans)) = parts.pop() {
                let id = BatchId { part, ..id };
                let batch = Batch { id, resource: &letter.resource, spans: spans.into(), starts: &[] };
                match self.ask(receiver, Parcel::Part(&batch, letter)).await {
                    Fate::Taken => {}
                    Fate::Unwanted(count) => unwanted += count,
                    Fate::Refused if spans.len() > 1 => {
                        let (left, right) = spans.split_at(spans.len() / 2);
                        // No batch is halved more than some thirty times.
                        parts.extend([(2 * part + 1, right), (2 * part, left)]);
                    }
                    Fate::Refused => unwanted += 1,
                    other => return other,
                }
            }
            id.number = id.number.saturating_add(1);
        }
    }

    /// Asks the sink until there is an answer that counts.
    async fn ask(&self, receiver: &mut Receiver, mut parcel: Parcel<'_, '_>) -> Fate {
        let Receiver { sink, breaker } = receiver;
        loop {
            let began = Instant::now();
            let outcome = match &mut parcel {
                Parcel::Batch(batch) | Parcel::Part(batch, _) => sink.deliver(batch).await,
                Parcel::Trace(trace) => sink.deliver_trace(trace).await,
            };
            if let Parcel::Trace(trace) = &parcel
                && trace.spans.has_failed()
            {
                // What it says then says why.
                return match outcome {
                    Outcome::Retry { reason, .. } => Fate::Unread(reason),
                    _ => Fate::Unread("the letter cannot be read".to_owned()),
                };
            }
            let (after, reason) = match outcome {
                Outcome::Delivered { rejected: 0, message } => {
                    breaker.close();
                    if !message.is_empty() {
                        let (sink, batch) = (sink.name().to_owned(), parcel.id().to_string());
                        (self.tell)(Notice::Answered { sink, batch, rejected: 0, message });
                    }
                    return Fate::Taken;
                }
                // Once more, by a receiver that takes the request and does not want the span.
                Outcome::Delivered { rejected, message: reason } => {
                    breaker.close();
                    // No receiver can reject more than it was sent, whatever it says.
                    let unwanted = rejected.min(parcel.len());
                    (self.tell)(parcel.refused(sink.name().to_owned(), reason));
                    return Fate::Unwanted(unwanted);
                }
                Outcome::Rejected { reason } => {
                    breaker.close();
                    if let Some(notice) = parcel.rejected(sink.name().to_owned(), reason) {
                        (self.tell)(notice);
                    }
                    return Fate::Refused;
                }
                Outcome::Retry { after, reason } => (after, reason),
                Outcome::Parked { reason } => return Fate::Kept(reason),
            };
            let wait = match breaker.fail(began, after, &reason) {
                Ok(pause) => pause.wait,
                Err(reason) => return Fate::Kept(reason),
            };
            (self.tell)(Notice::Retrying { sink: sink.name().to_owned(), wait, reason });
            sleep(wait).await;
        }
    }
}

/// What a sink is asked to take.
enum Parcel<'a, 'b> {
    Batch(&'a Batch<'a>),
    /// Some spans of a trace that was set aside as a whole.
    Part(&'a Batch<'a>, &'a DeadTrace),
    Trace(&'a mut Trace<'b>),
}

impl Parcel<'_, '_> {
    fn id(&self) -> BatchId<'_> {
        match self {
            Parcel::Batch(batch) | Parcel::Part(batch, _) => batch.id,
            Parcel::Trace(trace) => trace.id,
        }
    }

    /// How many spans it has.
    fn len(&self) -> u64 {
        match self {
            Parcel::Batch(batch) | Parcel::Part(batch, _) => batch.spans.len() as u64,
            Parcel::Trace(trace) => trace.len as u64,
        }
    }

    /// That the sink does not want it, or not all of it.
    fn refused(&self, sink: String, reason: String) -> Notice {
        match self {
            Parcel::Batch(batch) => Notice::Refused { sink, span_id: batch.spans[0].span_id, reason },
            Parcel::Part(batch, _) if batch.spans.len() == 1 => {
                Notice::Refused { sink, span_id: batch.spans[0].span_id, reason }
            }
            Parcel::Part(_, DeadTrace { trace_id, spans, .. }) => {
                Notice::TraceRefused { sink, trace_id: *trace_id, spans: *spans, reason }
            }
            Parcel::Trace(Trace { trace_id, len, .. }) => {
                Notice::TraceRefused { sink, trace_id: *trace_id, spans: *len as u64, reason }
            }
        }
    }

    /// What there is to say of a request that is not taken: of one that is halved, only the first time.
    fn rejected(&self, sink: String, reason: String) -> Option<Notice> {
        match self {
            Parcel::Part(batch, _) if batch.spans.len() > 1 => (batch.id.part == BatchId::WHOLE)
                .then(|| Notice::Divided { sink, batch: batch.id.to_string(), reason }),
            _ => Some(self.refused(sink, reason)),
        }
    }
}

impl ReplayReport {
    /// Whether every letter was delivered.
    pub fn is_complete(&self) -> bool {
        self.refused == 0 && self.kept == 0 && self.troubles.is_empty()
    }

    fn keep(&mut self, spans: u64, trouble: String) {
        self.kept = self.kept.saturating_add(spans);
        self.troubles.push(trouble);
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay").field("letters", &self.letters).finish_non_exhaustive()
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReplayReport { delivered, refused, kept, troubles } = self;
        write!(f, "{delivered} delivered, {refused} refused again, {kept} kept")?;
        troubles.iter().try_for_each(|trouble| write!(f, "\n{trouble}"))
    }
}
