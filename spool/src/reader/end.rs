//! Where a recorder has got.

use std::fmt;

use super::RecorderReader;
use crate::{Error, Ledger, Position, RecorderId, SpoolDir};

/// Follows how far a recorder has written, without looking at any span.
pub struct RecorderEnd {
    reader: RecorderReader,
    ledger: Ledger,
}

impl SpoolDir {
    /// Where a recorder has got.
    ///
    /// # Errors
    ///
    /// As for [`reader`](Self::reader).
    pub fn end(&self, id: &RecorderId) -> Result<RecorderEnd, Error> {
        let mut reader = self.reader(id)?;
        // The last segment is prepared before it is needed, so the end may stand in the one before it.
        let segment = reader.last_segment()?.saturating_sub(1);
        reader.seek(Position { segment, ..Position::default() });
        Ok(RecorderEnd { reader, ledger: Ledger::default() })
    }
}

impl RecorderEnd {
    /// The recorder's account as of the last block that is committed now; `spooled` are the spans that stand in segments, or stood in some
    /// that were removed. That of a recovery recorder is the account of the recorder that was recovered, after recovery.
    ///
    /// # Errors
    ///
    /// The operating system's, when it refuses to list, open or read a file.
    pub fn ledger(&mut self) -> Result<Ledger, Error> {
        while self.reader.find_block()? {
            if let Some(ledger) = self.reader.found_ledger() {
                self.ledger = ledger;
            }
        }
        Ok(self.ledger)
    }

    /// How many rows, spans and announcements, the recorder has written, as of the last block that [`ledger`](Self::ledger) saw.
    pub fn rows(&self) -> u64 {
        self.reader.next_sequence()
    }

    /// Says that the recorder's process is dead, as for a [reader](RecorderReader::set_dead).
    pub fn set_dead(&mut self) {
        self.reader.set_dead();
    }
}

impl fmt::Debug for RecorderEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecorderEnd").finish_non_exhaustive()
    }
}
