//! What a sink has had: the blocks before its cursors, as far as the spool still holds them.

use spanring_spool::{
    Block, Cursor, CursorState, Error, Position, RecorderId, RecorderReader, Resource, Skipped, SpoolDir,
};

use super::super::Notices;
use super::super::notice::Notice;
use crate::error::with_causes;
use crate::sink::Needs;

/// The recorders of a spool that a sink has had something of. Nothing is written.
pub(super) struct Past {
    spool: SpoolDir,
    pub(super) since_unix_ns: u64,
    notices: Notices,
    /// The recorders, in the order of their creation, and how far the sink got in each.
    pub(super) recorders: Vec<(RecorderId, CursorState)>,
    /// Whether that is how far the sink itself got, and not others.
    pub(super) is_own: bool,
    /// What could not be read, a line for each recorder.
    pub(super) skipped: Vec<String>,
    /// Why recorders were left out, or left in the middle.
    pub(super) troubles: Vec<String>,
}

/// A recorder that is read up to some place.
pub(super) struct Open {
    pub(super) recorder: RecorderId,
    pub(super) resource: Resource,
    reader: RecorderReader,
    /// Behind the last block that the sink has had; `None` where it has had all there is.
    until: Option<Position>,
    /// Whether what lies behind that place was come to.
    is_more_behind: bool,
    /// How many segments and rows had been removed before the first block. The reader calls them missing.
    removed: Option<(u64, u64)>,
}

impl Past {
    /// The past of the sink with this name. A sink that has not got anywhere yet has that of the sinks that did.
    pub(super) fn of(
        spool: SpoolDir,
        sink: &str,
        needs: Needs,
        since_unix_ns: u64,
        notices: Notices,
    ) -> Result<Self, Error> {
        let (mut own, mut others, mut troubles) = (Vec::new(), Vec::new(), Vec::new());
        for recorder in spool.recorders()? {
            let dir = spool.recorder_path(&recorder);
            let states = Cursor::peek(&dir, sink).and_then(|state| Ok((state, Cursor::peek_all(&dir)?)));
            match states {
                Ok((state, all)) => {
                    let has_begun = match needs {
                        Needs::Spans => state.position > Position::default(),
                        _ => state != CursorState::default(),
                    };
                    if has_begun {
                        own.push((recorder.clone(), state));
                    }
                    let furthest = all.into_iter().map(|(_, state)| state).max_by_key(|state| match needs {
                        Needs::Spans => (state.position, 0),
                        _ => (state.ahead, state.settled),
                    });
                    others.extend(furthest.map(|state| (recorder, state)));
                }
                Err(error) => troubles.push(trouble(&recorder, &error)),
            }
        }
        let is_own = !own.is_empty();
        let recorders = if is_own { own } else { others };
        Ok(Past { spool, since_unix_ns, notices, recorders, is_own, skipped: Vec::new(), troubles })
    }

    pub(super) fn spool(&self) -> &SpoolDir {
        &self.spool
    }

    /// Opens a recorder, to be read up to this place, or to its end.
    pub(super) fn open(&self, recorder: &RecorderId, until: Option<Position>) -> Result<Open, Error> {
        let reader = self.spool.reader(recorder)?;
        // A resource that is lost costs its attributes, and no span.
        let resource = match self.spool.resource(recorder) {
            Err(error) if Resource::is_lost(&error) => {
                let reason = format!("its spans go without their resource: {}", with_causes(&error));
                self.notices.tell(Notice::Trouble { recorder: Some(recorder.clone()), reason });
                Resource::default()
            }
            resource => resource?,
        };
        let recorder = recorder.clone();
        Ok(Open { recorder, resource, reader, until, is_more_behind: false, removed: None })
    }

    /// Notes what of a recorder could not be read.
    pub(super) fn close(&mut self, open: Open) {
        let skipped = open.skipped();
        if skipped.is_damage() {
            let notice = Notice::Skipped { recorder: open.recorder, skipped };
            self.skipped.push(notice.to_string());
            self.notices.tell(notice);
        }
    }

    /// Notes why a recorder is left out, or left in the middle.
    pub(super) fn trouble(&mut self, recorder: &RecorderId, error: &Error) {
        self.troubles.push(trouble(recorder, error));
    }
}

impl Open {
    /// The next block; `None` behind the last that the sink has had.
    pub(super) fn next_block(&mut self) -> Result<Option<Block>, Error> {
        let Some(block) = self.reader.next_block()? else { return Ok(None) };
        self.is_more_behind = self.until.is_some_and(|until| place(block.position) > place(until));
        if self.is_more_behind {
            return Ok(None);
        }
        if self.removed.is_none() {
            let Skipped { missing_segments, missing_rows, .. } = *self.reader.skipped();
            self.removed = Some((missing_segments, missing_rows));
        }
        Ok(Some(block))
    }

    /// Whether there is nothing that the sink has not had, once the last block was read.
    pub(super) fn is_at_end(&self) -> bool {
        !self.is_more_behind
    }

    /// Whether rows were removed before the first block, once that was read.
    pub(super) fn begins_late(&self) -> bool {
        self.removed.is_some_and(|(_, rows)| rows > 0)
    }

    /// How many rows should have been there, and were not.
    pub(super) fn missing_rows(&self) -> u64 {
        let removed = self.removed.map_or(u64::MAX, |(_, rows)| rows);
        self.reader.skipped().missing_rows.saturating_sub(removed)
    }

    /// What was left out that should have been there.
    fn skipped(&self) -> Skipped {
        let mut skipped = self.reader.skipped().clone();
        // Behind the last block, or where there is none, nothing is missed.
        let segments = self.removed.map_or(u64::MAX, |(segments, _)| segments);
        skipped.missing_segments = skipped.missing_segments.saturating_sub(segments);
        skipped.missing_rows = self.missing_rows();
        skipped
    }
}

/// Where it is, without the sequence behind it, which depends on where a reader began.
pub(super) fn place(position: Position) -> (u64, u64) {
    (position.segment, position.offset)
}

fn trouble(recorder: &RecorderId, error: &Error) -> String {
    let reason = with_causes(error);
    Notice::Trouble { recorder: Some(recorder.clone()), reason }.to_string()
}
