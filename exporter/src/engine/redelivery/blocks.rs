//! The blocks that a sink has had which takes spans as they end.

use std::vec;

use spanring_spool::{Block, CursorState, RecorderId, Resource};

use super::past::{Open, Past};

/// The blocks of a sink's past that hold a span which ended since some moment, recorder by recorder.
pub(super) struct PastBlocks {
    pub(super) past: Past,
    /// Those that were not begun with.
    recorders: vec::IntoIter<(RecorderId, CursorState)>,
    open: Option<Open>,
}

/// A block, and whose it is.
pub(super) struct PastBlock<'a> {
    pub(super) recorder: &'a RecorderId,
    pub(super) resource: &'a Resource,
    pub(super) block: Block,
}

impl PastBlocks {
    pub(super) fn of(mut past: Past) -> Self {
        let recorders = std::mem::take(&mut past.recorders).into_iter();
        PastBlocks { past, recorders, open: None }
    }

    /// The next block; `None` when there are no more.
    pub(super) fn next(&mut self) -> Option<PastBlock<'_>> {
        let since = self.past.since_unix_ns;
        let block = loop {
            let Some(open) = &mut self.open else {
                let (recorder, state) = self.recorders.next()?;
                match self.past.open(&recorder, Some(state.position)) {
                    Ok(open) => self.open = Some(open),
                    Err(error) => self.past.trouble(&recorder, &error),
                }
                continue;
            };
            match open.next_block() {
                Ok(Some(block)) if block.spans.iter().any(|span| span.end_unix_ns >= since) => break block,
                Ok(Some(_)) => continue,
                Ok(None) => {}
                Err(error) => self.past.trouble(&open.recorder, &error),
            }
            self.open.take().into_iter().for_each(|open| self.past.close(open));
        };
        let Open { recorder, resource, .. } = self.open.as_ref()?;
        Some(PastBlock { recorder, resource, block })
    }
}
