//! Dead letters, delivered again: when the sink has been mended, or to another one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use spanring_spool::{DeadLetter, DeadLetters, LetterName};
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::breaker::Breaker;
use crate::engine::Notice;
use crate::error::with_causes;
use crate::sink::{Batch, BatchId, Outcome, Sink, SinkAddress, SinkOptions};

/// Delivers dead letters again, each by itself, and removes those that are taken.
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
    /// How many spans were delivered, and are no dead letters any more.
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
    Refused,
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
            let letter = match self.letters.read(name) {
                Ok(Some(letter)) => letter,
                Ok(None) => continue,
                Err(error) => {
                    report.keep(with_causes(&error));
                    continue;
                }
            };
            let receiver = match receivers.entry(to.as_ref().unwrap_or(&letter.sink).clone()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let opened = self.open(new.key());
                    new.insert(opened.map_err(|error| report.troubles.push(with_causes(&error))).ok())
                }
            };
            let Some(open) = receiver.as_mut() else {
                report.kept += 1;
                continue;
            };
            match self.deliver(open, &letter).await {
                Fate::Taken => match self.letters.remove(name) {
                    Ok(_) => report.delivered += 1,
                    Err(error) => {
                        report.keep(format!("{name} was delivered, and stays: {}", with_causes(&error)))
                    }
                },
                Fate::Refused => report.refused += 1,
                Fate::Kept(reason) => {
                    report.keep(format!("{}: {reason}", open.sink.name()));
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

    async fn deliver(&self, receiver: &mut Receiver, letter: &DeadLetter) -> Fate {
        let number = usize::try_from(letter.number).unwrap_or(usize::MAX);
        let id = BatchId { recorder: &letter.recorder, block: letter.block, number, part: BatchId::ALONE };
        let batch = Batch {
            id,
            resource: &letter.resource,
            spans: std::slice::from_ref(&letter.span).into(),
            starts: &[],
        };
        let Receiver { sink, breaker } = receiver;
        sink.recall(&letter.span, &letter.known);
        loop {
            let began = Instant::now();
            let (after, reason) = match sink.deliver(&batch).await {
                Outcome::Delivered { rejected: 0, message } => {
                    breaker.close();
                    if !message.is_empty() {
                        let (sink, batch) = (sink.name().to_owned(), batch.id.to_string());
                        (self.tell)(Notice::Answered { sink, batch, rejected: 0, message });
                    }
                    return Fate::Taken;
                }
                // Once more, by a receiver that takes the request and does not want the span.
                Outcome::Delivered { message: reason, .. } | Outcome::Rejected { reason } => {
                    breaker.close();
                    let (sink, span_id) = (sink.name().to_owned(), letter.span.span_id);
                    (self.tell)(Notice::Refused { sink, span_id, reason });
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

impl ReplayReport {
    /// Whether every letter was delivered.
    pub fn is_complete(&self) -> bool {
        self.refused == 0 && self.kept == 0 && self.troubles.is_empty()
    }

    fn keep(&mut self, trouble: String) {
        self.kept += 1;
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
