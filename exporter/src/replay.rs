//! Dead letters, delivered again: when the sink has been mended, or to another one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use spanring_spool::{DeadLetter, DeadLetters, LetterName};
use tokio::time::{Instant, sleep};

use crate::Error;
use crate::backoff::Patience;
use crate::engine::Notice;
use crate::error::with_causes;
use crate::sink::{Batch, BatchId, Outcome, Sink, SinkAddress};

/// Delivers dead letters again, each by itself, and removes those that are taken.
///
/// At least once: a letter whose sink took it is there until that is known. An exporter may be at the spool meanwhile.
#[must_use = "letters are delivered when it is run"]
pub struct Replay {
    letters: DeadLetters,
    to: Option<SinkAddress>,
    deadline: Duration,
    tell: Box<dyn Fn(Notice)>,
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
    patience: Patience,
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
        Replay { letters, to: None, deadline, tell: Box::new(drop) }
    }

    /// Delivers to this sink, and not to those that refused.
    pub fn to(mut self, sink: SinkAddress) -> Self {
        self.to = Some(sink);
        self
    }

    /// Calls `tell` for each notice.
    pub fn on_notice(mut self, tell: impl Fn(Notice) + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    /// Delivers these letters, in this order. Those that are there no more are passed over.
    pub async fn run(&self, names: &[LetterName]) -> ReplayReport {
        let mut report = ReplayReport::default();
        // None for one that takes nothing any more.
        let mut receivers: BTreeMap<String, Option<Receiver>> = BTreeMap::new();
        for name in names {
            let letter = match self.letters.read(name) {
                Ok(Some(letter)) => letter,
                Ok(None) => continue,
                Err(error) => {
                    report.keep(with_causes(&error));
                    continue;
                }
            };
            let address = self.to.as_ref().map_or_else(|| letter.sink.clone(), SinkAddress::to_string);
            let receiver = match receivers.entry(address) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let opened = open(new.key(), self.deadline);
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
                        report.keep(format!("{} was delivered: {}", letter.sink, with_causes(&error)))
                    }
                },
                Fate::Refused => report.refused += 1,
                Fate::Kept(reason) => {
                    report.keep(format!("{}: {reason}", open.sink.name()));
                    *receiver = None;
                }
            }
        }
        report
    }

    async fn deliver(&self, receiver: &mut Receiver, letter: &DeadLetter) -> Fate {
        let number = usize::try_from(letter.number).unwrap_or(usize::MAX);
        let id = BatchId { recorder: &letter.recorder, block: letter.block, number, part: BatchId::ALONE };
        let batch = Batch { id, resource: &letter.resource, spans: std::slice::from_ref(&letter.span) };
        let Receiver { sink, patience } = receiver;
        loop {
            let began = Instant::now();
            let (after, reason) = match sink.deliver(&batch).await {
                Outcome::Delivered { rejected: 0, .. } => {
                    patience.restore();
                    return Fate::Taken;
                }
                // Once more, by a receiver that takes the request and does not want the span.
                Outcome::Delivered { message: reason, .. } | Outcome::Rejected { reason } => {
                    patience.restore();
                    let (sink, span_id) = (sink.name().to_owned(), letter.span.span_id);
                    (self.tell)(Notice::SetAside { sink, span_id, reason });
                    return Fate::Refused;
                }
                Outcome::Retry { after, reason } => (after, reason),
                Outcome::Parked { reason } => return Fate::Kept(reason),
            };
            let wait = match patience.wait(began, after, &reason) {
                Ok(wait) => wait,
                Err(reason) => return Fate::Kept(reason),
            };
            (self.tell)(Notice::Retrying { sink: sink.name().to_owned(), wait, reason });
            sleep(wait).await;
        }
    }
}

fn open(address: &str, deadline: Duration) -> Result<Receiver, Error> {
    let sink = address.parse::<SinkAddress>()?.open()?;
    Ok(Receiver { sink, patience: Patience::new(Some(deadline)) })
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
        f.debug_struct("Replay").field("letters", &self.letters).field("to", &self.to).finish_non_exhaustive()
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReplayReport { delivered, refused, kept, troubles } = self;
        write!(f, "{delivered} delivered, {refused} refused again, {kept} kept")?;
        troubles.iter().try_for_each(|trouble| write!(f, "\n{trouble}"))
    }
}
