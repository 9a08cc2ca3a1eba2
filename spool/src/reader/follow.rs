//! Reading all recorders of a spool, one after another.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::block::BlockRef;
use super::recorder::RecorderReader;
use crate::{Error, Life, RecorderId, Skipped, SpanData, SpoolDir};

/// Yields the spans of a whole spool: recorder by recorder, and those of each in the order of their sequence.
///
/// `None` says that there are no more at present: as long as processes record, asking again may give more, of them
/// and of recorders that have appeared since. An error concerns one recorder, and the next call goes on with another.
///
/// ```no_run
/// # fn main() -> Result<(), spanring_spool::Error> {
/// let mut reader = spanring_spool::Reader::open("/var/spool/agent")?;
/// for span in &mut reader {
///     let span = span?;
///     assert!(span.start_unix_ns <= span.end_unix_ns, "{} ends before it starts", span.name);
/// }
/// eprintln!("{}", reader.skipped());
/// # Ok(())
/// # }
/// ```
pub struct Reader {
    spool: SpoolDir,
    recorders: Vec<(RecorderId, RecorderReader)>,
    known: BTreeSet<RecorderId>,
    /// Those that could not be opened, and are tried again once all others were read.
    failed: Vec<RecorderId>,
    /// Whether the next call says that there is nothing more, since the last one could not list the recorders.
    unlisted: bool,
    /// The recorder that is being read; behind the last one when there was nothing more in any.
    at: usize,
    spans: std::vec::IntoIter<SpanData>,
    /// What was skipped in recorders that are gone.
    skipped: Skipped,
}

impl SpoolDir {
    /// A reader of one recorder, from its very beginning.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchRecorder`], [`Error::Refused`], [`Error::Io`].
    pub fn reader(&self, id: &RecorderId) -> Result<RecorderReader, Error> {
        let live = is_live(&self.life(id)?);
        RecorderReader::open(&self.recorder_path(id), live)
    }

    /// The same for somebody who only looks at what is there.
    pub(crate) fn reader_of_bystander(&self, id: &RecorderId) -> Result<RecorderReader, Error> {
        let live = is_live(&self.life(id)?);
        RecorderReader::of_bystander(&self.recorder_path(id), live)
    }
}

/// Whether something may still be added to the recorder's segments.
fn is_live(life: &Life) -> bool {
    matches!(life, Life::Alive | Life::Unproven { .. })
}

impl Reader {
    /// Reads the spool at a path, from its very beginning.
    ///
    /// # Errors
    ///
    /// As for [`SpoolDir::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Reader {
            spool: SpoolDir::open(path)?,
            recorders: Vec::new(),
            known: BTreeSet::new(),
            failed: Vec::new(),
            unlisted: false,
            at: 0,
            spans: Vec::new().into_iter(),
            skipped: Skipped::default(),
        })
    }

    /// What had to be left out so far, in all recorders.
    pub fn skipped(&self) -> Skipped {
        let mut skipped = self.skipped.clone();
        self.recorders.iter().for_each(|(_, reader)| skipped.add(reader.skipped()));
        skipped
    }

    /// The next block of any recorder, without a copy of its spans; `None` as for the iterator. Of a block of which the
    /// iterator has given out a span, it gives out the others too.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn main() -> Result<(), spanring_spool::Error> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path().join("spool");
    /// # let spool = spanring_spool::Spool::open(&path).start()?;
    /// # for tokens in [200, 700] { drop(spanring::span!("chat", tokens = tokens)); }
    /// # spool.stop(Duration::from_secs(5));
    /// use spanring_spool::{Reader, ValueRef};
    ///
    /// let mut reader = Reader::open(&path)?;
    /// let mut tokens = 0;
    /// while let Some(block) = reader.next_block_ref()? {
    ///     for span in block.spans().filter(|span| span.name() == "chat") {
    ///         if let Some(ValueRef::I64(number)) = span.get("tokens") {
    ///             tokens += number;
    ///         }
    ///     }
    /// }
    /// assert_eq!(tokens, 900);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Io`] and what else reading a recorder meets. An error concerns one recorder, and the next call goes on with
    /// another.
    pub fn next_block_ref(&mut self) -> Result<Option<BlockRef<'_>>, Error> {
        Ok(if self.find_block()? { self.decode_block() } else { None })
    }

    fn decode_block(&mut self) -> Option<BlockRef<'_>> {
        self.recorders.get_mut(self.at).and_then(|(_, reader)| reader.decode_block())
    }

    /// Goes on to the next block; false where there is none in any recorder.
    fn find_block(&mut self) -> Result<bool, Error> {
        loop {
            let Some((id, reader)) = self.recorders.get_mut(self.at) else {
                if self.find_recorders()? {
                    continue;
                }
                self.at = 0;
                for id in self.failed.drain(..) {
                    self.known.remove(&id);
                }
                return Ok(false);
            };
            match find_block_of(&self.spool, id, reader) {
                Ok(true) => return Ok(true),
                Ok(false) => self.at += 1,
                Err(error) if is_gone(&error) => {
                    let (_, reader) = self.recorders.remove(self.at);
                    self.skipped.add(reader.skipped());
                }
                Err(error) => {
                    self.at += 1;
                    return Err(error);
                }
            }
        }
    }

    /// Adds recorders that are new; false where there are none.
    fn find_recorders(&mut self) -> Result<bool, Error> {
        if std::mem::take(&mut self.unlisted) {
            return Ok(false);
        }
        let found = self.spool.recorders().inspect_err(|_| self.unlisted = true)?;
        let known = self.recorders.len();
        for id in found {
            if !self.known.insert(id.clone()) {
                continue;
            }
            match self.spool.reader_of_bystander(&id) {
                Ok(reader) => self.recorders.push((id, reader)),
                Err(error) if is_gone(&error) => {}
                Err(error) => {
                    self.failed.push(id);
                    return Err(error);
                }
            }
        }
        Ok(self.recorders.len() > known)
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

fn find_block_of(spool: &SpoolDir, id: &RecorderId, reader: &mut RecorderReader) -> Result<bool, Error> {
    if reader.find_block()? {
        return Ok(true);
    }
    if !reader.is_live() || is_live(&spool.life(id)?) {
        return Ok(false);
    }
    reader.set_dead();
    reader.find_block()
}

impl Iterator for Reader {
    type Item = Result<SpanData, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(span) = self.spans.next() {
                return Some(Ok(span));
            }
            match self.next_block_ref() {
                Ok(Some(block)) => {
                    self.spans = block.to_block().map(|block| block.spans).unwrap_or_default().into_iter();
                }
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
