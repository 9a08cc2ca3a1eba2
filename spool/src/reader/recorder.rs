//! Reading the segments of one recorder, dead or alive, in the order of their sequence.
//!
//! Files are read, never mapped: a file that is cut short meanwhile is then short, and no signal.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::block::{Block, BlockBuffer, BlockRef, FoundBlock};
use crate::block::BlockDecoder;
use crate::segment::{
    Found, Frame, HeaderFault, LEDGER_LEN, RingPosition, SEGMENT_HEADER_LEN, Scanner, SegmentHeader, Source,
};
use crate::storage::open_regular;
use crate::{Cursor, Error, FileId, Ledger, Position, Skipped, layout};

/// Reads one recorder's blocks in the order in which they were written, and follows a live recorder as it writes.
///
/// Damage is no error: what is damaged is skipped and counted in [`skipped`](Self::skipped). Rows that stand in two
/// segments, because the first could not be synced, are read once, and from the second where a power cut took the first:
/// then they come after rows of a higher sequence. Whether rows before the place of a [`seek`](Self::seek) were read is not
/// known, so where they stand in a later segment again they are read again.
pub struct RecorderReader {
    path: PathBuf,
    live: bool,
    /// All segments up to this number are done with.
    done: u64,
    /// Where to start in the segment behind `done`.
    offset: u64,
    /// What this reader knows about begins here.
    known_from: u64,
    next_sequence: u64,
    /// Rows in `known_from..next_sequence` that were not there when it was their turn, oldest first.
    missing: Vec<Range<u64>>,
    open: Option<OpenSegment>,
    /// The sequence of the first row of the block that was found last which was not read before.
    first_unread: u64,
    /// Behind the block that was found last, or passed over as one that was read before.
    position: Position,
    decoder: BlockDecoder,
    skipped: Skipped,
    /// Whether what was delivered and removed is not missing.
    is_bystander: bool,
    /// Whether such lies right before the block that is found next.
    is_behind_removed: bool,
}

/// How many holes in the sequence a reader remembers, to fill them later. Each is a segment that a power cut took.
const MISSING_MAX: usize = 1024;

struct OpenSegment {
    number: u64,
    path: PathBuf,
    file: File,
    scanner: Scanner,
    /// Whether nobody writes to it any more.
    over: bool,
}

impl OpenSegment {
    /// The block that was found last.
    fn found(&self, first_unread: u64, next_sequence: u64) -> Option<FoundBlock<'_>> {
        let OpenSegment { number, path, scanner, .. } = self;
        let Frame::Block(header, payload) = scanner.frame()? else { return None };
        let position = Position { segment: *number, offset: scanner.offset(), next_sequence };
        Some(FoundBlock { path, position, header, payload, first_unread })
    }
}

impl RecorderReader {
    /// Reads the recorder in this directory from its very beginning. `live` says that its process may still write: what
    /// is not whole then counts as not there yet.
    pub(crate) fn open(path: &Path, live: bool) -> Result<Self, Error> {
        segment_numbers(path)?;
        Ok(RecorderReader {
            path: path.to_owned(),
            live,
            done: 0,
            offset: 0,
            known_from: 0,
            next_sequence: 0,
            missing: Vec::new(),
            open: None,
            first_unread: 0,
            position: Position::default(),
            decoder: BlockDecoder::default(),
            skipped: Skipped::default(),
            is_bystander: false,
            is_behind_removed: false,
        })
    }

    /// The same for somebody who only looks at what is there: what some sink has had and an exporter has removed is not missing then.
    pub(crate) fn of_bystander(path: &Path, live: bool) -> Result<Self, Error> {
        Ok(RecorderReader { is_bystander: true, ..Self::open(path, live)? })
    }

    /// Says that the recorder's process is dead: what it left incomplete is then skipped.
    pub fn set_dead(&mut self) {
        self.live = false;
    }

    /// The account that the block carries which was found last.
    pub(super) fn found_ledger(&self) -> Option<Ledger> {
        match self.open.as_ref()?.scanner.frame()? {
            Frame::Block(header, _) => Some(Ledger::decode(&header.ledger)),
            _ => None,
        }
    }

    /// The sequence of the first row behind all that was found.
    pub(super) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Whether the recorder's process may still write, as far as this reader was told.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// The number of the last segment that is there now; 0 where there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn last_segment(&self) -> Result<u64, Error> {
        Ok(segment_numbers(&self.path)?.last().copied().unwrap_or(0))
    }

    /// When the segment was made in which what follows a place stands, in nanoseconds since the Unix epoch: that was spooled later. `None` where
    /// there is no such segment, or its header cannot be read.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn segment_created_unix_ns(&self, place: Position) -> Result<Option<u64>, Error> {
        let numbers = segment_numbers(&self.path)?;
        let Some(&number) = numbers.iter().find(|&&number| number >= place.segment) else { return Ok(None) };
        Ok(match open_segment(&self.path.join(layout::segment(number)))? {
            Opened::Segment(_, header) => Some(header.created_unix_ns),
            _ => None,
        })
    }

    /// Continues behind a block that was read earlier, at its [`position`](Block::position).
    pub fn seek(&mut self, position: Position) {
        self.done = position.segment.saturating_sub(1);
        self.offset = if position.segment == 0 { 0 } else { position.offset };
        self.known_from = position.next_sequence;
        self.next_sequence = position.next_sequence;
        self.missing.clear();
        self.position = position;
        self.open = None;
    }

    /// The place behind all that was read, blocks that could not be decoded and those that were passed over included: rows that had been read
    /// from another segment. Whoever continues there after [`next_block`](Self::next_block) found nothing more misses nothing.
    pub fn position(&self) -> Position {
        self.position
    }

    /// What had to be left out so far.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// Reads the next block with rows that were not read before. `None` says that there is no more at present; a live
    /// recorder may have more later.
    ///
    /// # Errors
    ///
    /// The operating system's, when it refuses to list, open or read a file. The block is not skipped.
    pub fn next_block(&mut self) -> Result<Option<Block>, Error> {
        loop {
            let Some(block) = self.next_block_ref()? else { return Ok(None) };
            if let Some(block) = block.to_block() {
                return Ok(Some(block));
            }
        }
    }

    /// As [`next_block`](Self::next_block), without a copy of any span: many times as fast, where what is read need not be
    /// kept.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), spanring_spool::Error> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("spool");
    /// # let spool = spanring_spool::Spool::open(&path).start()?;
    /// # drop(spanring::span!("chat", tokens = 7));
    /// # let id = spool.id().clone();
    /// # spool.stop(Duration::from_secs(5));
    /// # let spool_dir = spanring_spool::SpoolDir::open(&path)?;
    /// let mut reader = spool_dir.reader(&id)?;
    /// let mut texts = 0;
    /// while let Some(block) = reader.next_block_ref()? {
    ///     for span in block.spans() {
    ///         texts += span.name().len();
    ///         texts += span.attributes().map(|(key, _)| key.len()).sum::<usize>();
    ///     }
    /// }
    /// assert_eq!(texts, "chat".len() + "tokens".len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`next_block`](Self::next_block).
    pub fn next_block_ref(&mut self) -> Result<Option<BlockRef<'_>>, Error> {
        Ok(if self.find_block()? { self.decode_block() } else { None })
    }

    /// As [`next_block_ref`](Self::next_block_ref), with the block in memory that the caller brings: so several may be looked at together. One that
    /// cannot be decoded has no spans.
    ///
    /// # Errors
    ///
    /// As for [`next_block`](Self::next_block).
    pub fn next_block_in<'a>(&mut self, buffer: &'a mut BlockBuffer) -> Result<Option<BlockRef<'a>>, Error> {
        if !self.find_block()? {
            return Ok(None);
        }
        let RecorderReader { open, skipped, next_sequence, first_unread, .. } = self;
        let found = open.as_ref().and_then(|open| open.found(*first_unread, *next_sequence));
        Ok(found.map(|found| found.decoded_in(buffer, skipped)))
    }

    /// Goes on to the next block with rows that were not read before, whatever it holds; false where there is none at
    /// present.
    pub(super) fn find_block(&mut self) -> Result<bool, Error> {
        loop {
            if !self.next_frame()? {
                return Ok(false);
            }
            let Some(open) = &self.open else { continue };
            let Some(Frame::Block(header, _)) = open.scanner.frame() else { continue };
            let end_sequence = header.first_sequence + u64::from(header.rows);
            self.position = Position {
                segment: open.number,
                offset: open.scanner.offset(),
                next_sequence: self.next_sequence.max(end_sequence),
            };
            let first_sequence = if end_sequence <= self.next_sequence {
                let is_unknown = header.first_sequence < self.known_from;
                if !is_unknown && !find(&mut self.missing, header.first_sequence..end_sequence) {
                    continue;
                }
                // What was not known was not counted.
                let found = if is_unknown { 0 } else { end_sequence - header.first_sequence };
                self.skipped.missing_rows = self.skipped.missing_rows.saturating_sub(found);
                header.first_sequence
            } else {
                header.first_sequence.max(self.next_sequence)
            };
            let is_behind_removed = std::mem::take(&mut self.is_behind_removed);
            if first_sequence > self.next_sequence && !is_behind_removed {
                let missing = first_sequence - self.next_sequence;
                self.skipped.missing_rows = self.skipped.missing_rows.saturating_add(missing);
                if self.missing.len() < MISSING_MAX {
                    self.missing.push(self.next_sequence..first_sequence);
                }
            }
            self.next_sequence = self.next_sequence.max(end_sequence);
            self.first_unread = first_sequence;
            return Ok(true);
        }
    }

    /// Decodes the block that was found last.
    pub(super) fn decode_block(&mut self) -> Option<BlockRef<'_>> {
        let RecorderReader { open, decoder, skipped, next_sequence, first_unread, .. } = self;
        Some(open.as_ref()?.found(*first_unread, *next_sequence)?.decoded(decoder, skipped))
    }

    /// Goes on to the next whole frame of the open segment or a later one; false where there is none at present.
    fn next_frame(&mut self) -> Result<bool, Error> {
        loop {
            let Some(mut open) = self.open.take() else {
                if self.open_next()? { continue } else { return Ok(false) }
            };
            let step = match open.scanner.step(&open.file, open.over || !self.live) {
                Ok(step) => step,
                Err(source) => {
                    let error = Error::Io { action: "read", path: open.path.clone(), source };
                    self.open = Some(open);
                    return Err(error);
                }
            };
            if let Some(gap) = step.gap {
                if gap.is_uncommitted() {
                    self.skipped.uncommitted_bytes += gap.len;
                } else {
                    self.skipped.hole(open.path.clone(), gap.offset, gap.len, gap.fault.to_string());
                }
            }
            match step.found {
                Found::Frame => {
                    self.open = Some(open);
                    return Ok(true);
                }
                Found::End if !is_at(&open)? => self.reopen(open.number),
                Found::End => {
                    self.done = open.number;
                    self.offset = 0;
                }
                Found::NotYet if !is_at(&open)? => self.reopen(open.number),
                Found::NotYet => {
                    // Looked at only after the tail was found incomplete, so that what was completed in between is
                    // found by the next step.
                    let number = open.number;
                    self.open = Some(open);
                    if !self.is_later_in_use(number)? {
                        return Ok(false);
                    }
                    if let Some(open) = &mut self.open {
                        open.over = true;
                    }
                }
            }
        }
    }

    /// Goes back to the beginning of a segment that was prepared anew after it had been opened: the recorder found that it
    /// was too short, or could not sync it. Nothing stood in the file that was open.
    fn reopen(&mut self, number: u64) {
        self.done = number - 1;
        self.offset = 0;
    }

    /// Opens the first segment that is not done with; false where there is none that can be read yet.
    fn open_next(&mut self) -> Result<bool, Error> {
        loop {
            let numbers = segment_numbers(&self.path)?;
            let Some(&number) = numbers.iter().find(|&&number| number > self.done) else { return Ok(false) };
            let path = self.path.join(layout::segment(number));
            let opened = match open_segment(&path) {
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            let fault = match opened {
                Opened::Segment(file, header) if header.number == number => {
                    let is_next = number == self.done + 1;
                    self.miss_segments_before(number)?;
                    let scanner = Scanner::new(header.nonce, if is_next { self.offset } else { 0 });
                    self.done = number - 1;
                    self.open = Some(OpenSegment { number, path, file, scanner, over: false });
                    return Ok(true);
                }
                Opened::Segment(file, _) => {
                    Some((len_of(&file, &path)?, "it holds another segment than it is named for"))
                }
                Opened::Unused if self.live => None,
                Opened::Unused => {
                    self.done = number;
                    self.offset = 0;
                    continue;
                }
                Opened::Faulty(len, reason) => Some((len, reason)),
            };
            let Some((len, reason)) = fault else { return Ok(false) };
            if self.live && !self.is_later_in_use(number)? {
                return Ok(false);
            }
            self.miss_segments_before(number)?;
            self.skipped.file(path, len, reason);
            self.done = number;
            self.offset = 0;
        }
    }

    /// Counts the segments as missing that should be there before this one.
    fn miss_segments_before(&mut self, number: u64) -> Result<(), Error> {
        let missing = number - self.done - 1;
        if missing == 0 {
            return Ok(());
        }
        // An exporter removes a segment once the cursor of each of its sinks has gone on to a later one.
        let is_removed = self.is_bystander
            && Cursor::peek_all(&self.path)?.iter().any(|(_, state)| state.position.segment >= number);
        if is_removed {
            self.is_behind_removed = true;
        } else {
            self.skipped.missing_segments = self.skipped.missing_segments.saturating_add(missing);
        }
        Ok(())
    }

    /// Whether a block stands in a later segment, so that its writer has done with this one. A later segment by itself
    /// says nothing: one is always prepared.
    fn is_later_in_use(&self, number: u64) -> Result<bool, Error> {
        for later in segment_numbers(&self.path)?.into_iter().filter(|&later| later > number) {
            let path = self.path.join(layout::segment(later));
            let file = match open_segment(&path) {
                Ok(Opened::Segment(file, _)) => file,
                Ok(_) => continue,
                Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let mut len = [0; 4];
            file.read_at(SEGMENT_HEADER_LEN as u64, &mut len).map_err(Error::io("read", &path))?;
            if len != [0; 4] {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether the file that is open still has its name, or nothing else has it.
fn is_at(open: &OpenSegment) -> Result<bool, Error> {
    let inspect = |error| Error::io("inspect", &open.path)(error);
    let found = FileId::of(&open.file).map_err(inspect)?;
    let is_gone = !open.path.try_exists().map_err(inspect)?;
    Ok(is_gone || found.is_at(&open.path).map_err(inspect)?)
}

/// Whether rows that come late are among those that were missing, which they then are no more.
fn find(missing: &mut Vec<Range<u64>>, rows: Range<u64>) -> bool {
    // Blocks are written again as they were, so what is missing is missing by whole blocks.
    let Some(at) = missing.iter().position(|range| range.start <= rows.start && rows.end <= range.end) else {
        return false;
    };
    let range = missing.remove(at);
    missing
        .extend([range.start..rows.start, rows.end..range.end].into_iter().filter(|range| !range.is_empty()));
    true
}

/// What the blocks of a dead recorder say about the rings that they were filled from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LastPositions {
    /// How far each ring was consumed, by lane.
    pub(crate) rings: BTreeMap<u16, RingPosition>,
    /// The counters behind the last block; zeros where there is none.
    pub(crate) ledger: [u64; LEDGER_LEN],
    /// The sequence behind the last block.
    pub(crate) next_sequence: u64,
    /// What is damaged. Spans in damaged blocks are lost where no ring holds them any more.
    pub(crate) skipped: Skipped,
}

/// Goes through the blocks of a dead recorder for what they say about its rings.
pub(crate) fn last_positions(path: &Path) -> Result<LastPositions, Error> {
    let mut reader = RecorderReader::open(path, false)?;
    let mut rings = BTreeMap::<u16, RingPosition>::new();
    let mut ledger = [0; LEDGER_LEN];
    let mut next_sequence = 0;
    while reader.next_frame()? {
        let Some(Frame::Block(header, _)) = reader.open.as_ref().and_then(|open| open.scanner.frame()) else {
            continue;
        };
        for ring in header.rings {
            let last = rings.entry(ring.lane).or_insert(ring);
            if ring.position > last.position {
                *last = ring;
            }
        }
        let end_sequence = header.first_sequence + u64::from(header.rows);
        if end_sequence >= next_sequence {
            let missing = header.first_sequence.saturating_sub(next_sequence);
            reader.skipped.missing_rows = reader.skipped.missing_rows.saturating_add(missing);
            next_sequence = end_sequence;
            ledger = header.ledger;
        }
    }
    Ok(LastPositions { rings, ledger, next_sequence, skipped: reader.skipped })
}

enum Opened {
    Segment(File, SegmentHeader),
    /// It was prepared, and nothing stands in it yet.
    Unused,
    /// Nothing can be read from it, for a reason, and it is so long.
    Faulty(u64, &'static str),
}

fn open_segment(path: &Path) -> Result<Opened, Error> {
    let file = match open_regular(path, OFlags::RDONLY) {
        Ok(file) => file,
        // Whatever was planted under the name: a link, a pipe, a directory, a socket.
        Err(error)
            if error.kind() == io::ErrorKind::InvalidInput
                || [Errno::LOOP, Errno::NXIO]
                    .map(Errno::raw_os_error)
                    .map(Some)
                    .contains(&error.raw_os_error()) =>
        {
            return Ok(Opened::Faulty(0, "it is no regular file"));
        }
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    let reason = match SegmentHeader::read(&file).map_err(Error::io("read", path))? {
        Ok(header) => return Ok(Opened::Segment(file, header)),
        Err(HeaderFault::Unused) => return Ok(Opened::Unused),
        Err(HeaderFault::Damaged) => "both copies of its header are damaged",
        Err(HeaderFault::LaterVersion) => return Err(Error::LaterVersion { path: path.to_owned() }),
    };
    Ok(Opened::Faulty(len_of(&file, path)?, reason))
}

fn len_of(file: &File, path: &Path) -> Result<u64, Error> {
    file.len().map_err(Error::io("read", path))
}

/// The numbers of the segments in a directory, in order.
fn segment_numbers(path: &Path) -> Result<Vec<u64>, Error> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(path).map_err(Error::io("list", path))? {
        let name = entry.map_err(Error::io("list", path))?.file_name();
        numbers.extend(name.to_str().and_then(layout::segment_number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
