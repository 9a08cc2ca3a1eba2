//! Going through the frames of a segment, damaged or not.
//!
//! Memory is bounded by the longest frame: frames are read one by one, and holes are searched through a window.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::frame::Fault;
use super::{FRAME_START_LEN, Frame, HeaderFault, SEGMENT_HEADER_LEN, SegmentHeader};

/// How much of a hole is searched at a time.
const WINDOW_LEN: usize = 256 << 10;
/// How many bytes may be spent on what looks like a frame within holes and is none, in lengths of the segment: else a
/// segment made for it takes the square of its length.
const SEARCH_MAX: u64 = 4;
/// What looking at one costs at least, in bytes: two system calls.
const LOOK_COST: u64 = 512;

/// The bytes of a segment, wherever they are.
pub(crate) trait Source {
    /// How many there are.
    fn len(&self) -> io::Result<u64>;

    /// Reads bytes from `offset`: less than were asked for only where they end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl Source for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

impl SegmentHeader {
    /// Reads the header of a segment.
    pub(crate) fn read(source: &impl Source) -> io::Result<Result<Self, HeaderFault>> {
        let mut bytes = vec![0; SEGMENT_HEADER_LEN];
        let len = source.read_at(0, &mut bytes)?;
        Ok(SegmentHeader::decode(&bytes[..len]))
    }
}

/// Goes through a segment, frame by frame.
#[derive(Debug)]
pub(crate) struct Scanner {
    nonce: u64,
    /// Where the next frame is expected.
    offset: u64,
    /// The frame found last.
    frame: Vec<u8>,
    window: Vec<u8>,
    window_len: usize,
    /// Bytes spent on what looked like a frame, as [`SEARCH_MAX`] limits them.
    spent: u64,
    ended: bool,
}

/// One step through a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    /// What was skipped on the way.
    pub(crate) gap: Option<Gap>,
    /// What is there.
    pub(crate) found: Found,
}

/// What is there at some place of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// A frame: see [`Scanner::frame`].
    Frame,
    /// Nothing yet: the segment is still written to.
    NotYet,
    /// Nothing any more.
    End,
}

/// A part of a segment in which there is no whole frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gap {
    /// Where it starts.
    pub(crate) offset: u64,
    /// How long it is; zeros at the end of the segment do not count.
    pub(crate) len: u64,
    /// What was wrong at its start. [`Fault::Uncommitted`] at the end of a segment is what a kill leaves of a block
    /// that was being written, and no damage.
    pub(crate) fault: Fault,
    /// Whether it reaches to the end of the segment.
    pub(crate) at_end: bool,
}

impl Gap {
    /// Whether this is what a kill leaves of a block that was being written.
    pub(crate) fn is_uncommitted(&self) -> bool {
        self.at_end && self.fault == Fault::Uncommitted
    }
}

impl Scanner {
    /// Goes through the segment with this nonce from `offset`, or from the first frame if that is further.
    pub(crate) fn new(nonce: u64, offset: u64) -> Self {
        let offset = offset.max(SEGMENT_HEADER_LEN as u64).next_multiple_of(8);
        let (frame, window) = (Vec::new(), Vec::new());
        Scanner { nonce, offset, frame, window, window_len: WINDOW_LEN, spent: 0, ended: false }
    }

    /// Where the next frame is expected, behind the one found last.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The frame found last.
    pub(crate) fn frame(&self) -> Option<Frame<'_>> {
        Frame::read(&self.frame).ok()
    }

    /// Goes on to the next frame. `over` says that nobody writes to the segment any more, so that what is not there
    /// now never will be; until then nothing is skipped.
    pub(crate) fn step(&mut self, source: &impl Source, over: bool) -> io::Result<Step> {
        if self.ended {
            return Ok(Step { gap: None, found: Found::End });
        }
        match self.load(source, self.offset)? {
            Ok(()) => Ok(self.found(None)),
            Err(_) if !over => Ok(Step { gap: None, found: Found::NotYet }),
            Err(fault) => self.search(source, fault),
        }
    }

    /// Behind a frame that was just loaded.
    fn found(&mut self, gap: Option<Gap>) -> Step {
        self.offset += self.frame.len() as u64;
        self.ended = matches!(self.frame(), Some(Frame::Seal(_)));
        Step { gap, found: Found::Frame }
    }

    /// Looks for the next whole frame behind a place where none is.
    fn search(&mut self, source: &impl Source, mut fault: Fault) -> io::Result<Step> {
        let (start, end) = (self.offset, source.len()?);
        let mut content_end = start;
        let mut offset = start;
        while offset < end {
            let mut window = std::mem::take(&mut self.window);
            let rest = usize::try_from(end - offset).unwrap_or(usize::MAX);
            window.resize(rest.min(self.window_len + FRAME_START_LEN), 0);
            let filled = source.read_at(offset, &mut window)?;
            if let Some(last) = window[..filled].iter().rposition(|&byte| byte != 0) {
                content_end = content_end.max(offset + last as u64 + 1);
            }
            for at in (0..filled.saturating_sub(FRAME_START_LEN - 1).min(self.window_len)).step_by(8) {
                let candidate = offset + at as u64;
                let Some(Ok(len)) = window[at..].first_chunk().map(Frame::len) else { continue };
                if candidate == start {
                    continue;
                }
                if self.spent > end.saturating_mul(SEARCH_MAX) {
                    fault = Fault::SearchEnded;
                    break;
                }
                self.spent += u64::from(len).max(LOOK_COST);
                if self.load(source, candidate)?.is_ok() {
                    self.window = window;
                    self.offset = candidate;
                    let gap = Gap { offset: start, len: candidate - start, fault, at_end: false };
                    return Ok(self.found(Some(gap)));
                }
            }
            self.window = window;
            offset += self.window_len as u64;
        }
        self.ended = true;
        self.offset = end;
        let gap = Gap { offset: start, len: content_end - start, fault, at_end: true };
        Ok(Step { gap: (gap.len > 0).then_some(gap), found: Found::End })
    }

    /// Reads the frame at `offset` and checks it. The length is read before the rest: who sees it sees what was
    /// written before it.
    fn load(&mut self, source: &impl Source, offset: u64) -> io::Result<Result<(), Fault>> {
        let mut start = [0; FRAME_START_LEN];
        let filled = source.read_at(offset, &mut start)?;
        let len = match Frame::len(&start) {
            Ok(len) if offset + u64::from(len) > source.len()? => return Ok(Err(Fault::Truncated)),
            Ok(len) => len,
            // Zeros fill up what the file lacks.
            Err(Fault::NoFrame) if filled < start.len() => return Ok(Err(Fault::Truncated)),
            Err(fault) => return Ok(Err(fault)),
        };
        self.frame.resize(len as usize, 0);
        if source.read_at(offset, &mut self.frame)? < self.frame.len() {
            return Ok(Err(Fault::Truncated));
        }
        let checked =
            Frame::check(&self.frame, self.nonce, offset).and_then(|()| Frame::read(&self.frame).map(drop));
        if checked.is_err() {
            self.frame.clear();
        }
        Ok(checked)
    }

    #[cfg(test)]
    pub(super) fn with_window_len(mut self, window_len: usize) -> Self {
        self.window_len = window_len;
        self
    }
}
