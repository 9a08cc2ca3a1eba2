//! Appends blocks to segments.
//!
//! A block's bytes are written behind its length, and then the length is stored: that is the commit. A segment that has
//! no room for the next block is sealed and handed to the sync thread, and the standby takes its place. So a full disk
//! is learned when the standby cannot be prepared, one segment before space runs out, as an error and not as a signal.

use std::io;
use std::sync::Arc;

use crate::progress::{Progress, Sealed, Standby};
use crate::segment::{BlockHeader, SEGMENT_HEADER_LEN, Seal, encode_block, encode_seal};
use crate::storage::StorageSync;

/// Room for the seal, which every segment keeps free, in bytes.
const SEAL_LEN: u64 = 64;

pub(crate) struct SegmentWriter {
    progress: Arc<Progress>,
    active: Option<Active>,
    encoded: Vec<u8>,
    /// Whether it has asked for a standby that is long enough, and has not got one.
    has_asked: bool,
}

struct Active {
    standby: Standby,
    syncer: Arc<dyn StorageSync>,
    position: u64,
    seal: Seal,
}

/// Why a block was not appended. It can be tried again.
#[derive(Debug)]
pub(crate) enum NotAppended {
    /// There is no segment with enough room yet; one was asked for.
    NoSegment,
    /// Writing failed; the segment is given up.
    Failed(io::Error),
}

impl SegmentWriter {
    pub(crate) fn new(progress: Arc<Progress>) -> Self {
        SegmentWriter { progress, active: None, encoded: Vec::new(), has_asked: false }
    }

    /// Appends a block and commits it.
    pub(crate) fn append(&mut self, header: &BlockHeader, payload: &[u8]) -> Result<(), NotAppended> {
        if let Some(active) = &self.active {
            self.encoded.clear();
            encode_block(header, payload, active.standby.nonce, active.position, &mut self.encoded);
            if active.position + self.encoded.len() as u64 + SEAL_LEN > active.standby.len {
                self.seal();
            }
        }
        if self.active.is_none() {
            if self.has_asked && self.progress.lock().standby.is_none() {
                return Err(NotAppended::NoSegment); // without encoding it again
            }
            // The length does not depend on the place; the checksum does, so it is encoded again.
            self.encoded.clear();
            encode_block(header, payload, 0, SEGMENT_HEADER_LEN as u64, &mut self.encoded);
            let standby = self.take_standby(SEGMENT_HEADER_LEN as u64 + self.encoded.len() as u64 + SEAL_LEN);
            self.has_asked = standby.is_none();
            let standby = standby.ok_or(NotAppended::NoSegment)?;
            let position = SEGMENT_HEADER_LEN as u64;
            self.encoded.clear();
            encode_block(header, payload, standby.nonce, position, &mut self.encoded);
            let (syncer, first_sequence) = (standby.file.syncer(), header.first_sequence);
            let seal = Seal { blocks: 0, rows: 0, first_sequence, next_sequence: first_sequence };
            self.active = Some(Active { standby, syncer, position, seal });
        }
        let Some(active) = &mut self.active else { return Err(NotAppended::NoSegment) };
        if let Err(error) = active.write(&self.encoded) {
            // What was written is unknown, so nothing is written there any more. What it holds is committed, and synced
            // as it is.
            self.give_up();
            return Err(NotAppended::Failed(error));
        }
        let end = header.first_sequence + u64::from(header.rows);
        active.seal.blocks += 1;
        active.seal.rows += u64::from(header.rows);
        active.seal.next_sequence = end;
        let rows = header.first_sequence..end;
        let mut state = self.progress.lock();
        state.commit(active.standby.number, &active.syncer, rows, self.encoded.len() as u64);
        Ok(())
    }

    /// Ends the segment that is being written, if there is one.
    pub(crate) fn seal(&mut self) {
        let Some(mut active) = self.active.take() else { return };
        self.encoded.clear();
        encode_seal(&active.seal, active.standby.nonce, active.position, &mut self.encoded);
        // Without its seal a segment is read just as well: its end is found and not told.
        if active.write(&self.encoded).is_ok() {
            let mut state = self.progress.lock();
            let rows = active.seal.next_sequence..active.seal.next_sequence;
            state.commit(active.standby.number, &active.syncer, rows, self.encoded.len() as u64);
            state.sealed.push(Sealed { file: active.standby.file, len: active.position });
            drop(state);
            self.progress.notify_work();
        }
    }

    /// Stops writing to the present segment, which or whose sync has failed. What it does not hold of its space is given back.
    pub(crate) fn give_up(&mut self) {
        let Some(active) = self.active.take() else { return };
        self.progress.lock().sealed.push(Sealed { file: active.standby.file, len: active.position });
        self.progress.notify_work();
    }

    fn take_standby(&self, len: u64) -> Option<Standby> {
        let mut state = self.progress.lock();
        let standby = state.standby.take_if(|standby| standby.len >= len);
        state.standby_wanted = if standby.is_some() { 1 } else { len };
        drop(state);
        self.progress.notify_work();
        standby
    }
}

impl Active {
    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let (len, rest) = frame.split_at(4);
        let &[a, b, c, d] = len else { return Err(io::ErrorKind::InvalidInput.into()) };
        self.standby.file.write(self.position + 4, rest)?;
        self.standby.file.commit(self.position, u32::from_le_bytes([a, b, c, d]))?;
        self.position += frame.len() as u64;
        Ok(())
    }
}
