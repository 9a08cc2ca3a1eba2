//! The blocks of a recorder, one after the other, or several together where the sink takes several batches at once.
//!
//! A block may have fewer batches than the sink takes at once, and what is on its way is waited for before the cursor goes on. So blocks are read
//! until there is enough for all that may be on its way, several times over, or until memory says otherwise.

use spanring_spool::{BlockBuffer, BlockRef, Error, RecorderId, Resource};

use super::super::batching::Cut;
use super::super::discovery::Standing;
use super::super::porter::{Done, Load, Places};
use super::super::report::SinkEnd;
use super::super::waiting::Since;
use super::{BLOCKS_PER_TURN, Courier, Place, Turn, now_unix_ns};
use crate::sink::BlockSpans;

/// How many batches are read for each that may be on its way at once: it is waited for the last ones only at the end.
const BATCHES_AHEAD: usize = 4;
/// Blocks of so many bytes, decompressed, are enough at once.
const BYTES_AHEAD: usize = 4 * 1024 * 1024;
/// So many bytes of memory that blocks were decompressed to are kept for others.
const KEPT_BYTES_MAX: usize = 2 * BYTES_AHEAD;

/// Blocks that are delivered together.
struct Read<'a> {
    blocks: Vec<ReadBlock<'a>>,
    then: Then,
}

/// A block, as it lies in the memory that it was decompressed to.
struct ReadBlock<'a> {
    block: BlockRef<'a>,
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

/// A block as far as a sink that takes spans as they end is concerned.
struct Divided<'a> {
    block: &'a ReadBlock<'a>,
    spans: BlockSpans<'a>,
    cuts: Vec<Cut>,
}

impl ReadBlock<'_> {
    /// When its spans ended.
    fn ends(&self) -> impl Iterator<Item = u64> {
        self.block.spans().map(|span| span.end_unix_ns())
    }
}

impl Divided<'_> {
    fn load<'a>(&'a self, recorder: &'a RecorderId, resource: &'a Resource) -> Load<'a> {
        let Divided { block, spans, cuts } = self;
        let places = Places::Block(block.block.position());
        Load { recorder, resource, spans: spans.all(), starts: &[], places, cuts }
    }
}

impl Courier {
    pub(super) async fn blocks(
        &mut self,
        recorder: &RecorderId,
        standing: Standing,
        place: &mut Place,
    ) -> Result<Result<Turn, Error>, SinkEnd> {
        let mut buffers = std::mem::take(&mut self.buffers);
        let turn = self.blocks_in(&mut buffers, recorder, standing, place).await;
        forget_the_largest(&mut buffers);
        self.buffers = buffers;
        turn
    }

    async fn blocks_in(
        &mut self,
        buffers: &mut Vec<BlockBuffer>,
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
            forget_the_largest(buffers);
            buffers.resize_with(left, BlockBuffer::default);
            let Read { blocks, then } = self.read(recorder, place, buffers);
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

    /// Reads the blocks that are delivered next: one, or as many of those that there is memory for as the sink is kept busy by.
    fn read<'a>(&self, recorder: &RecorderId, place: &mut Place, buffers: &'a mut [BlockBuffer]) -> Read<'a> {
        let (at_once, spans_max) = (self.porter.batches_max(), self.porter.spans_max());
        let (mut blocks, mut batches, mut bytes) = (Vec::new(), 0, 0);
        for buffer in buffers {
            let block = match place.reader.next_block_in(buffer) {
                Ok(Some(block)) if block.position().segment <= place.last_segment => block,
                Ok(more) => return Read { blocks, then: Then::Rest { is_end: more.is_none() } },
                Err(error) => return Read { blocks, then: Then::Unread(error) },
            };
            if !block.is_decoded() {
                continue;
            }
            self.note_late(recorder, place);
            batches += block.rows_len().div_ceil(spans_max);
            bytes += block.raw_len();
            let missing_rows = place.reader.skipped().missing_rows;
            blocks.push(ReadBlock { block, missing_rows });
            if at_once == 1 || batches >= BATCHES_AHEAD * at_once || bytes >= BYTES_AHEAD {
                break;
            }
        }
        Read { blocks, then: Then::More }
    }

    /// Delivers blocks, and goes on behind those that are done, also where it ends before all are.
    async fn deliver(
        &mut self,
        recorder: &RecorderId,
        place: &mut Place,
        blocks: &[ReadBlock<'_>],
    ) -> Result<Result<(), Error>, SinkEnd> {
        let oldest = blocks.iter().flat_map(ReadBlock::ends).min();
        if let Some(oldest) = oldest {
            self.show_waiting(std::iter::once(recorder), Some(Since::Exactly(oldest)));
        }
        let blocks: Vec<_> = blocks.iter().map(|block| self.divided(block)).collect();
        let loads: Vec<_> = blocks.iter().map(|block| block.load(recorder, &place.resource)).collect();
        let mut done = vec![Done::default(); loads.len()];
        let end = self.porter.deliver_all(&loads, &mut done).await;
        drop(loads);
        let before = place.state.position;
        let is_done = |(block, done): &(&Divided<'_>, Done)| done.batches == block.cuts.len();
        for (block, Done { rejected, dead_lettered, .. }) in blocks.iter().zip(done).take_while(is_done) {
            let Divided { block, spans, .. } = block;
            place.state.delivered += spans.all().len() as u64 - rejected - dead_lettered;
            place.state.dead_lettered += dead_lettered;
            place.state.dropped += rejected;
            place.go_to(block.block.position(), block.missing_rows, &mut self.porter.report.lost);
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
    fn divided<'a>(&self, block: &'a ReadBlock<'a>) -> Divided<'a> {
        let spans = BlockSpans::of(&block.block);
        let cuts = self.porter.cuts(spans.all());
        Divided { block, spans, cuts }
    }
}

/// Leaves no more memory than may be kept.
fn forget_the_largest(buffers: &mut Vec<BlockBuffer>) {
    let mut kept = 0;
    buffers.sort_by_key(BlockBuffer::capacity);
    buffers.retain(|buffer| {
        kept += buffer.capacity();
        kept <= KEPT_BYTES_MAX
    });
}
