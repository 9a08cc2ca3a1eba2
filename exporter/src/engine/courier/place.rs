//! Where a sink has got in one recorder.

use std::fs;
use std::path::Path;

use spanring_spool::{Cursor, CursorState, Error, Position, RecorderId, RecorderReader, Resource, Skipped};
use tokio::time::Instant;

use super::super::Mode;
use super::super::notice::Notice;
use super::{Courier, SYNC_INTERVAL};
use crate::error::with_causes;

/// Where the sink has got in one recorder.
pub(super) struct Place {
    pub(super) reader: RecorderReader,
    pub(super) cursor: Cursor,
    pub(super) resource: Resource,
    /// What the sink has acknowledged. The cursor lags behind it while it cannot be stored.
    pub(super) state: CursorState,
    /// What of it is durable and was published, and since when.
    pub(super) synced: Option<(CursorState, Instant)>,
    /// How many rows the reader has missed that the state counts as dropped.
    pub(super) missed: u64,
    /// Where to stop in a recorder that grows, when only what is there now is wanted.
    pub(super) last_segment: u64,
    /// Whether the sink is new to a recorder that another sink has a cursor in, and no block was read yet.
    is_late: bool,
    /// How many segments and rows had been removed before a sink that is new. The reader calls them missing.
    late: (u64, u64),
}

impl Place {
    /// The sink has its first block. If segments before that are not there and nothing else is amiss, they were removed once
    /// the other sinks had them. Returns how many there were.
    pub(super) fn begin(&mut self) -> u64 {
        let skipped = self.reader.skipped();
        if !std::mem::take(&mut self.is_late) || skipped.files + skipped.holes > 0 {
            return 0;
        }
        self.late = (skipped.missing_segments, skipped.missing_rows);
        self.missed = skipped.missing_rows;
        skipped.missing_segments
    }

    /// The sink is done with all before this place, before which so many rows are missing: they count as dropped.
    pub(super) fn go_to(&mut self, position: Position, missing_rows: u64, lost: &mut u64) {
        self.state =
            CursorState { position, ahead: position, settled: 0, clock: 0, endless: 0, ..self.state };
        self.count_missing(missing_rows, lost);
    }

    /// Counts what has been missing since the last time as dropped, and as lost. Rows that were missing may come late, and are not missing then.
    pub(super) fn count_missing(&mut self, missed: u64, lost: &mut u64) {
        for count in [&mut self.state.dropped, lost] {
            *count = (*count + missed).saturating_sub(self.missed);
        }
        self.missed = missed;
    }

    /// Goes behind what is there and holds nothing for the sink, where there is nothing more: damage, and blocks that were written again. Else the
    /// recorder would not be taken for one that is delivered, and they would be read once more after a restart.
    pub(super) fn pass_over_the_rest(&mut self, lost: &mut u64) -> Result<(), Error> {
        let position = self.reader.position();
        if position > self.state.position && !self.is_late {
            self.go_to(position, self.reader.skipped().missing_rows, lost);
            self.cursor.store(self.state)?;
        }
        Ok(())
    }

    /// Whether it is time that what is stored becomes durable.
    pub(super) fn is_sync_due(&self) -> bool {
        self.synced.is_none_or(|(state, at)| state != self.state && at.elapsed() >= SYNC_INTERVAL)
    }

    /// What was left out that should have been there.
    pub(super) fn skipped(&self) -> Skipped {
        let mut skipped = self.reader.skipped().clone();
        let (segments, rows) = match self.is_late {
            true => (skipped.missing_segments, skipped.missing_rows),
            false => self.late,
        };
        skipped.missing_segments = skipped.missing_segments.saturating_sub(segments);
        skipped.missing_rows = skipped.missing_rows.saturating_sub(rows);
        skipped
    }
}

/// How many sinks have a cursor in the directory of a recorder.
fn cursors(recorder_dir: &Path) -> usize {
    let names = fs::read_dir(recorder_dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_str().is_some_and(|name| name.starts_with("cursor-"))).count()
}

impl Courier {
    /// Opens a recorder at the place that the sink has got to in it.
    pub(super) fn open(&self, recorder: &RecorderId) -> Result<Place, Error> {
        let spool = &self.porter.terms.spool;
        let mut reader = spool.reader(recorder)?;
        let cursor = spool.cursor(recorder, self.porter.sink.name())?;
        let state = cursor.state();
        let last_segment = match self.porter.terms.mode {
            Mode::Once { .. } => reader.last_segment()?,
            Mode::Follow { .. } => u64::MAX,
        };
        let is_late = state == CursorState::default() && cursors(&spool.recorder_path(recorder)) > 1;
        reader.seek(state.position);
        // A resource that is lost costs its attributes, and no span. One that could not be read just now is read later, and its spans wait for it.
        let resource = match spool.resource(recorder) {
            Ok(resource) => resource,
            Err(error) if !Resource::is_lost(&error) => return Err(error),
            Err(error) => {
                let reason = format!("its spans go without their resource: {}", with_causes(&error));
                self.porter.tell(Notice::Trouble { recorder: Some(recorder.clone()), reason });
                Resource::default()
            }
        };
        Ok(Place {
            reader,
            cursor,
            resource,
            state,
            synced: None,
            missed: 0,
            last_segment,
            is_late,
            late: (0, 0),
        })
    }
}
