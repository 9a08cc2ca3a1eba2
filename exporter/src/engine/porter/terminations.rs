//! What a sink's receiver wants of processes that live: that they stop.

use spanring_spool::{Error, Life, RecorderId};

use super::super::notice::Notice;
use super::Porter;
use crate::error::with_causes;
use crate::sink::TerminationRequest;

/// That a process is to be told to stop.
#[derive(Debug)]
pub(super) struct Wanted {
    reason: String,
    /// Why it could not be told, as that was said last.
    trouble: Option<String>,
}

impl Porter {
    /// Tells processes that they are to stop, as far as the sink's receiver has said so.
    pub(in crate::engine) fn pass_terminations_on(&mut self) {
        let requests = self.sink.take_terminations();
        if self.terms.letters.is_none() {
            return;
        }
        for TerminationRequest { recorder, reason } in requests {
            self.terminations.entry(recorder).or_insert(Wanted { reason, trouble: None });
        }
        for (recorder, Wanted { reason, trouble }) in std::mem::take(&mut self.terminations) {
            let sink = self.sink.name().to_owned();
            match self.request_termination(&recorder, &reason) {
                Ok(true) => self.tell(Notice::Termination { sink, recorder, reason }),
                Ok(false) | Err(Error::NoSuchRecorder { .. }) => {}
                Err(error) => {
                    let said = format!("its process cannot be told to stop: {}", with_causes(&error));
                    if trouble.as_ref() != Some(&said) {
                        let (recorder, reason) = (Some(recorder.clone()), said.clone());
                        self.tell(Notice::Trouble { recorder, reason });
                    }
                    // It is tried again with the next look or delivery.
                    self.terminations.insert(recorder, Wanted { reason, trouble: Some(said) });
                }
            }
        }
    }

    /// Whether the process lives, as far as anybody can tell, and was not told before.
    fn request_termination(&self, recorder: &RecorderId, reason: &str) -> Result<bool, Error> {
        match self.terms.spool.life(recorder)? {
            Life::Alive | Life::Unproven { .. } => self.terms.spool.request_termination(recorder, reason),
            _ => Ok(false),
        }
    }
}
