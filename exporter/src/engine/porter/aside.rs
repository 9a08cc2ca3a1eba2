//! What the sink refuses span by span, or as a whole trace: put aside as dead letters, where there is a place for them.

use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use spanring_spool::{DeadLetter, DeadLetters, DeadTrace, Error, Resource, SpanData};
use tokio::sync::watch;
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::Instant;

use super::super::notice::Notice;
use super::super::report::SinkEnd;
use super::Porter;
use super::load::SpanPlace;
use crate::error::with_causes;
use crate::sink::{Trace, TraceSpans};

/// How many times in a row a sink may refuse what it has not refused before, until it is left alone as one that takes nothing: more likely than
/// that all of it is bad is that it is no such sink at all.
const REFUSED_IN_A_ROW_MAX: u32 = 100;

impl Porter {
    /// Makes a dead letter of a span that the sink refuses by itself.
    pub(super) async fn set_aside(
        &mut self,
        place: SpanPlace,
        resource: &Resource,
        span: &SpanData,
        reason: String,
    ) -> Result<(), SinkEnd> {
        let is_new = self.make_letter(place, resource, span, &reason).await?;
        self.refused(is_new, &reason).await
    }

    /// Makes a dead letter, or tells that there will be none; whether there was none before.
    pub(super) async fn make_letter(
        &mut self,
        place: SpanPlace,
        resource: &Resource,
        span: &SpanData,
        reason: &str,
    ) -> Result<bool, SinkEnd> {
        let Some(letters) = self.terms.letters.clone() else {
            self.answered();
            self.report.dead_lettered += 1;
            let (sink, span_id, reason) = (self.sink.name().to_owned(), span.span_id, reason.to_owned());
            self.tell(Notice::NotTaken { sink, span_id, reason });
            return Ok(true);
        };
        let letter = Arc::new(DeadLetter {
            sink: self.sink.name().to_owned(),
            reason: reason.to_owned(),
            set_aside_unix_ns: now_unix_ns(),
            recorder: place.recorder,
            block: place.block,
            number: place.number as u64,
            resource: resource.clone(),
            span: span.clone(),
            known: self.sink.known_of(span),
        });
        let is_new = loop {
            let began = Instant::now();
            let (letters, adding) = (letters.clone(), Arc::clone(&letter));
            let error = match on_disk(move || letters.add(&adding)).await {
                Ok(is_new) => break is_new,
                Err(error) => error,
            };
            let reason =
                format!("a span that it refuses ({reason}) cannot be set aside: {}", with_causes(&error));
            match error {
                Error::Io { .. } => self.bear(began, None, reason).await?,
                // Somebody has to change something.
                _ => self.park(reason).await?,
            }
        };
        self.answered();
        self.report.dead_lettered += 1;
        let (sink, span_id) = (letter.sink.clone(), letter.span.span_id);
        self.tell(Notice::SetAside { sink, span_id, reason: reason.to_owned() });
        Ok(is_new)
    }

    /// Makes one dead letter of a whole trace, however many spans it has, and says whether there was none before. It is read once more to learn
    /// how much room it takes, and again to be written. An error of a read leaves it for another time.
    pub(super) async fn set_trace_aside(
        &mut self,
        of: Trace<'_>,
        reason: &str,
    ) -> Result<Result<bool, io::Error>, SinkEnd> {
        let letters = self.terms.letters.clone().expect("whoever has no letters sets no trace aside");
        let letter = DeadTrace {
            sink: self.sink.name().to_owned(),
            reason: reason.to_owned(),
            set_aside_unix_ns: now_unix_ns(),
            recorder: of.id.recorder.clone(),
            block: of.id.block,
            number: of.id.number as u64,
            resource: of.resource.clone(),
            trace_id: of.trace_id,
            spans: of.len as u64,
        };
        let stop = self.terms.stop.clone();
        let is_new = loop {
            let began = Instant::now();
            let error = match write_trace(&letters, &letter, of.spans, &stop).await {
                Ok(is_new) => break is_new,
                Err(Unwritten::Stopped) => return Err(SinkEnd::Stopped),
                Err(Unwritten::Read(error)) => return Ok(Err(error)),
                Err(Unwritten::Letter(error)) => error,
            };
            let reason =
                format!("a trace that it refuses ({reason}) cannot be set aside: {}", with_causes(&error));
            match error {
                Error::Io { .. } => self.bear(began, None, reason).await?,
                // Somebody has to change something.
                _ => self.park(reason).await?,
            }
        };
        self.answered();
        self.report.dead_lettered += letter.spans;
        let DeadTrace { sink, reason, trace_id, spans, .. } = letter;
        self.tell(Notice::TraceSetAside { sink, trace_id, spans, reason });
        Ok(Ok(is_new))
    }

    /// Notes that the sink has refused something by itself, and leaves it alone where it refuses one after the other.
    pub(super) async fn refused(&mut self, is_new: bool, reason: &str) -> Result<(), SinkEnd> {
        self.refused_in_a_row += u32::from(is_new);
        if self.refused_in_a_row > REFUSED_IN_A_ROW_MAX {
            self.refused_in_a_row = 0;
            self.park(format!("it refuses one after the other: {reason}")).await?;
        }
        Ok(())
    }
}

/// Why a trace has no letter.
enum Unwritten {
    /// Somebody has asked for a stop. The sink will refuse it again.
    Stopped,
    /// Its spans cannot be read.
    Read(io::Error),
    Letter(Error),
}

/// Writes the letter of a trace, and says whether there was none before.
async fn write_trace(
    letters: &DeadLetters,
    letter: &DeadTrace,
    spans: &mut dyn TraceSpans,
    stop: &watch::Receiver<bool>,
) -> Result<bool, Unwritten> {
    let goes_on = || if *stop.borrow() { Err(Unwritten::Stopped) } else { Ok(()) };
    let mut len = 0;
    spans.rewind();
    while let Some(chunk) = spans.next().map_err(Unwritten::Read)? {
        len += DeadTrace::len_of(chunk).map_err(Unwritten::Letter)?;
        yield_now().await;
        goes_on()?;
    }
    let (letters, beginning) = (letters.clone(), letter.clone());
    let begun = on_disk(move || letters.begin_trace(&beginning, len)).await;
    let Some(mut new) = begun.map_err(Unwritten::Letter)? else { return Ok(false) };
    spans.rewind();
    while let Some(chunk) = spans.next().map_err(Unwritten::Read)? {
        goes_on()?;
        let chunk = chunk.to_vec();
        new = on_disk(move || new.add(&chunk).map(|()| new)).await.map_err(Unwritten::Letter)?;
    }
    on_disk(move || new.end()).await.map_err(Unwritten::Letter)
}

/// Waits for the disk where nobody else waits for it.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => resume_unwind(error.into_panic()),
    }
}

fn now_unix_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
