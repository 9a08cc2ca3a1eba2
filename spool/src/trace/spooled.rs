//! Traces out of a spool, without changing anything in it.

use std::collections::BTreeSet;
use std::io;

use spanring::TraceId;

use super::Trace;
use crate::{Error, Life, RecorderId, Skipped, SpanData, SpoolDir};

/// The traces of a spool, as far as they can be read.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct SpooledTraces {
    /// The traces, in the order in which they started.
    pub traces: Vec<Trace>,
    /// What had to be left out.
    pub skipped: Skipped,
    /// Recorders whose process died, and that nobody has recovered yet: what ended last may be missing.
    pub unrecovered: Vec<RecorderId>,
    /// Why recorders could not be read, or not to their end.
    pub errors: Vec<Error>,
}

impl Trace {
    /// The traces that a spool holds, or only the one with this identity.
    ///
    /// Recorders whose process lives are read as far as they have written by now. A span that was announced and has not ended is
    /// [open](SpanData::is_open); where its process died and nobody has recovered it yet, it is [interrupted](SpanData::interrupted)
    /// as well, and the recovery will tell whether it ended. What is announced is every root, and every span where the recorder was
    /// asked for that. What only the memory of a process holds that died is not read: see [`SpoolDir::recover`]. All that is asked for
    /// is held in memory at once.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the spool cannot be listed. An error of one recorder is in [`SpooledTraces::errors`].
    pub fn in_spool(spool: &SpoolDir, trace_id: Option<TraceId>) -> Result<SpooledTraces, Error> {
        let mut found = SpooledTraces::default();
        let mut spans = Vec::new();
        let mut known = BTreeSet::new();
        // Again until there is no new one: a recorder that is recovered meanwhile has another one beside it.
        loop {
            let mut recorders = spool.recorders()?;
            recorders.retain(|recorder| known.insert(recorder.clone()));
            if recorders.is_empty() {
                break;
            }
            for recorder in recorders {
                match found.read(spool, &recorder, trace_id, &mut spans) {
                    Err(error) if !is_gone(&error) => found.errors.push(error),
                    _ => {}
                }
            }
        }
        found.traces = Trace::collect(spans);
        Ok(found)
    }
}

impl SpooledTraces {
    fn read(
        &mut self,
        spool: &SpoolDir,
        recorder: &RecorderId,
        trace_id: Option<TraceId>,
        spans: &mut Vec<SpanData>,
    ) -> Result<(), Error> {
        let mut reader = spool.reader_of_bystander(recorder)?;
        let first = spans.len();
        let is_wanted = |span: &SpanData| trace_id.is_none_or(|trace_id| span.trace_id == trace_id);
        let end = loop {
            match reader.next_block() {
                Ok(Some(block)) => {
                    spans.extend(block.spans.into_iter().chain(block.starts).filter(is_wanted))
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.skipped.add(reader.skipped());
        end?;
        if matches!(spool.life(recorder)?, Life::Dead | Life::DeadInAnotherBoot) {
            self.unrecovered.push(recorder.clone());
            spans[first..].iter_mut().filter(|span| span.is_open).for_each(|span| span.interrupted = true);
        }
        Ok(())
    }
}

/// Whether the error says that the recorder was removed: it was delivered.
fn is_gone(error: &Error) -> bool {
    match error {
        Error::NoSuchRecorder { .. } => true,
        Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}
