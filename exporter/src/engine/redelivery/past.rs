//! What a sink has had: the blocks before its cursors, as far as the spool still holds them.

use std::vec;

use spanring_spool::{
    Block, Cursor, Error, Position, RecorderId, RecorderReader, Resource, Skipped, SpoolDir,
};

use super::super::Notices;
use super::super::notice::Notice;
use crate::error::with_causes;

/// The blocks of a spool that a sink has had and that hold a span which ended since some moment, recorder by recorder. Nothing is written.
pub(super) struct Past {
    spool: SpoolDir,
    since_unix_ns: u64,
    notices: Notices,
    /// The recorders that were not begun with, and how far the sink got in each.
    recorders: vec::IntoIter<(RecorderId, Position)>,
    open: Option<Open>,
    /// What could not be read, a line for each recorder.
    pub(super) skipped: Vec<String>,
    /// Why recorders were left out, or left in the middle.
    pub(super) troubles: Vec<String>,
}

/// A block, and whose it is.
pub(super) struct PastBlock<'a> {
    pub(super) recorder: &'a RecorderId,
    pub(super) resource: &'a Resource,
    pub(super) block: Block,
}

struct Open {
    recorder: RecorderId,
    resource: Resource,
    reader: RecorderReader,
    /// Behind the last block that the sink has had.
    until: Position,
    /// How many segments and rows had been removed before the first block. The reader calls them missing.
    removed: Option<(u64, u64)>,
}

impl Past {
    /// The past of the sink with this name. A sink that has not got anywhere yet has that of the sinks that did.
    pub(super) fn of(
        spool: SpoolDir,
        sink: &str,
        since_unix_ns: u64,
        notices: Notices,
    ) -> Result<Self, Error> {
        let (mut own, mut others, mut troubles) = (Vec::new(), Vec::new(), Vec::new());
        for recorder in spool.recorders()? {
            let dir = spool.recorder_path(&recorder);
            let states = Cursor::peek(&dir, sink).and_then(|state| Ok((state, Cursor::peek_all(&dir)?)));
            match states {
                Ok((state, all)) => {
                    if state.position > Position::default() {
                        own.push((recorder.clone(), state.position));
                    }
                    let furthest = all.into_iter().map(|(_, state)| state.position).max();
                    others.extend(furthest.map(|position| (recorder, position)));
                }
                Err(error) => troubles.push(trouble(&recorder, &error)),
            }
        }
        let recorders = if own.is_empty() { others } else { own }.into_iter();
        let skipped = Vec::new();
        Ok(Past { spool, since_unix_ns, notices, recorders, open: None, skipped, troubles })
    }

    /// The next block; `None` when there are no more.
    pub(super) fn next_block(&mut self) -> Option<PastBlock<'_>> {
        let block = loop {
            let Some(open) = &mut self.open else {
                let (recorder, until) = self.recorders.next()?;
                match self.open(&recorder, until) {
                    Ok(open) => self.open = Some(open),
                    Err(error) => self.troubles.push(trouble(&recorder, &error)),
                }
                continue;
            };
            match open.next_block() {
                Ok(Some(block)) if block.spans.iter().any(|span| span.end_unix_ns >= self.since_unix_ns) => {
                    break block;
                }
                Ok(Some(_)) => {}
                Ok(None) => self.close(),
                Err(error) => {
                    self.troubles.push(trouble(&open.recorder, &error));
                    self.close();
                }
            }
        };
        let Open { recorder, resource, .. } = self.open.as_ref()?;
        Some(PastBlock { recorder, resource, block })
    }

    fn open(&self, recorder: &RecorderId, until: Position) -> Result<Open, Error> {
        let reader = self.spool.reader(recorder)?;
        // A resource that cannot be read costs its attributes, and no span.
        let resource = self.spool.resource(recorder).unwrap_or_else(|error| {
            let reason = format!("its spans go without their resource: {}", with_causes(&error));
            self.notices.tell(Notice::Trouble { recorder: Some(recorder.clone()), reason });
            Resource::default()
        });
        Ok(Open { recorder: recorder.clone(), resource, reader, until, removed: None })
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let skipped = open.skipped();
        if skipped.is_damage() {
            let notice = Notice::Skipped { recorder: open.recorder, skipped };
            self.skipped.push(notice.to_string());
            self.notices.tell(notice);
        }
    }
}

impl Open {
    fn next_block(&mut self) -> Result<Option<Block>, Error> {
        let Some(block) = self.reader.next_block()? else { return Ok(None) };
        // Places are compared without the sequence behind them, which depends on where a reader began.
        let place = |position: Position| (position.segment, position.offset);
        if self.removed.is_none() && place(block.position) <= place(self.until) {
            let Skipped { missing_segments, missing_rows, .. } = *self.reader.skipped();
            self.removed = Some((missing_segments, missing_rows));
        }
        Ok(Some(block).filter(|block| place(block.position) <= place(self.until)))
    }

    /// What was left out that should have been there.
    fn skipped(&self) -> Skipped {
        let mut skipped = self.reader.skipped().clone();
        // Behind the last block, or where there is none, nothing is missed.
        let (segments, rows) = self.removed.unwrap_or((u64::MAX, u64::MAX));
        skipped.missing_segments = skipped.missing_segments.saturating_sub(segments);
        skipped.missing_rows = skipped.missing_rows.saturating_sub(rows);
        skipped
    }
}

fn trouble(recorder: &RecorderId, error: &Error) -> String {
    let reason = with_causes(error);
    Notice::Trouble { recorder: Some(recorder.clone()), reason }.to_string()
}
