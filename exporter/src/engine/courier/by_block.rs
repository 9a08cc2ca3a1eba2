//! The blocks of a recorder, one after the other, or several together where the sink takes several batches at once.
//!
//! A block may have fewer batches than the sink takes at once, and what is on its way is waited for before the cursor goes on. So blocks are read
//! until there is enough for all that may be on its way, several times over, or until memory says otherwise.

use spanring_spool::{Error, Position, RecorderId, Resource, SpanData};

use super::super::batching::Cut;
use super::super::discovery::Standing;
use super::super::porter::{Done, Load, Places};
use super::super::report::SinkEnd;
use super::super::waiting::Since;
use super::{BLOCKS_PER_TURN, Courier, Place, Turn, now_unix_ns};

/// How many batches are read for each that may be on its way at once: it is waited for the last ones only at the end.
const BATCHES_AHEAD: usize = 4;
/// Blocks whose batches are estimated at so many bytes are enough at once.
const BYTES_AHEAD: usize = 4 * 1024 * 1024;

/// Blocks that are delivered together.
struct Read {
    blocks: Vec<ReadBlock>,
    then: Then,
}

/// A block as far as a sink that takes spans as they end is concerned.
struct ReadBlock {
    /// Behind it.
    position: Position,
    spans: Vec<SpanData>,
    cuts: Vec<Cut>,
    /// How many rows are missing before it.
    missing_rows: u64,
}

/// What comes behind blocks that were read.
enum Then {
    More,
    /// Nothing that is wanted; whether there is nothing at all.
    Rest {
        is_end: bool,
    },
    Unread(Error),
}

impl ReadBlock {
    /// When its spans ended.
    fn ends(&self) -> impl Iterator<Item = u64> {
        self.spans.iter().map(|span| span.end_unix_ns)
    }

    fn load<'a>(&'a self, recorder: &'a RecorderId, resource: &'a Resource) -> Load<'a> {
        let ReadBlock { position, spans, cuts, .. } = self;
        Load { recorder, resource, spans, starts: &[], places: Places::Block(*position), cuts }
    }
}

impl Courier {
    pub(super) async fn blocks(
        &mut self,
        recorder: &RecorderId,
        standing: Standing,
        place: &mut Place,
    ) -> Result<Result<Turn, Error>, SinkEnd> {
        if place.cursor.state() != place.state
            && let Err(error) = place.cursor.store(place.state)
        {
            return Ok(Err(error));
        }
        let mut left = BLOCKS_PER_TURN;
        while left > 0 {
            let Read { blocks, then } = self.read(recorder, place, left);
            left -= blocks.len();
            if let Err(error) = self.deliver(recorder, place, &blocks).await? {
                return Ok(Err(error));
            }
            match then {
                Then::More => {}
                Then::Rest { is_end } => {
                    if is_end && let Err(error) = place.pass_over_the_rest(&mut self.porter.report.lost) {
                        return Ok(Err(error));
                    }
                    self.show_waiting(std::iter::once(recorder), None);
                    return Ok(self.caught_up(recorder, standing, place));
                }
                Then::Unread(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(Turn::More))
    }

    /// Reads the blocks that are delivered next: one, or as many up to `most` as the sink is kept busy by.
    fn read(&self, recorder: &RecorderId, place: &mut Place, most: usize) -> Read {
        let at_once = self.porter.batches_max();
        let (mut blocks, mut batches, mut bytes) = (Vec::new(), 0, 0);
        let is_enough = |blocks: usize, batches: usize, bytes: usize| {
            blocks >= if at_once > 1 { most } else { 1 }
                || batches >= BATCHES_AHEAD * at_once
                || bytes >= BYTES_AHEAD
        };
        while !is_enough(blocks.len(), batches, bytes) {
            let block = match place.reader.next_block() {
                Ok(Some(block)) if block.position.segment <= place.last_segment => block,
                Ok(more) => return Read { blocks, then: Then::Rest { is_end: more.is_none() } },
                Err(error) => return Read { blocks, then: Then::Unread(error) },
            };
            self.note_late(recorder, place);
            let cuts = self.porter.cuts(&block.spans);
            batches += cuts.len();
            bytes += cuts.iter().map(|cut| cut.bytes).sum::<usize>();
            let missing_rows = place.reader.skipped().missing_rows;
            blocks.push(ReadBlock { position: block.position, spans: block.spans, cuts, missing_rows });
        }
        Read { blocks, then: Then::More }
    }

    /// Delivers blocks, and goes on behind those that are done, also where it ends before all are.
    async fn deliver(
        &mut self,
        recorder: &RecorderId,
        place: &mut Place,
        blocks: &[ReadBlock],
    ) -> Result<Result<(), Error>, SinkEnd> {
        let oldest = blocks.iter().flat_map(ReadBlock::ends).min();
        if let Some(oldest) = oldest {
            self.show_waiting(std::iter::once(recorder), Some(Since::Exactly(oldest)));
        }
        let loads: Vec<_> = blocks.iter().map(|block| block.load(recorder, &place.resource)).collect();
        let mut done = vec![Done::default(); loads.len()];
        let end = self.porter.deliver_all(&loads, &mut done).await;
        drop(loads);
        let before = place.state.position;
        let is_done = |(block, done): &(&ReadBlock, Done)| done.batches == block.cuts.len();
        for (block, Done { rejected, dead_lettered, .. }) in blocks.iter().zip(done).take_while(is_done) {
            place.state.delivered += block.spans.len() as u64 - rejected - dead_lettered;
            place.state.dead_lettered += dead_lettered;
            place.state.dropped += rejected;
            place.go_to(block.position, block.missing_rows, &mut self.porter.report.lost);
            if let Some(latest) = block.ends().max() {
                self.waiting().set(recorder, Some(Since::NotBefore(latest.min(now_unix_ns()))));
            }
        }
        if place.state.position == before {
            return end.map(Ok);
        }
        let stored = place.cursor.store(place.state);
        let synced = stored.and_then(|()| match before.segment < place.state.position.segment {
            true => self.publish(recorder, place),
            false => Ok(()),
        });
        end.map(|()| synced)
    }
}
