//! Blocks by themselves, for the benchmarks of this workspace. It is no part of what this crate promises, and there only
//! with the feature `measured`.

use std::fmt;

use spanring::clock::Timeline;
use spanring::record::Record;

use crate::block::{BlockBuilder, BlockDecoder, Compression, Payload};
use crate::drain::Callsites;

/// Makes blocks of what rings hold, as the drain does, and reads them back, as a reader does.
pub struct Blocks {
    builder: BlockBuilder,
    decoder: BlockDecoder,
    timeline: Timeline,
}

/// A block's payload.
#[derive(Clone, Debug)]
pub struct Encoded {
    payload: Payload,
    rows: u32,
    spans: u64,
}

impl Encoded {
    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a block has rows")]
    pub fn len(&self) -> usize {
        self.payload.bytes.len()
    }

    /// How many spans it has that ended.
    pub fn spans(&self) -> u64 {
        self.spans
    }
}

impl Blocks {
    /// With the clock of this process.
    pub fn new() -> Self {
        let (builder, decoder) = (BlockBuilder::new(), BlockDecoder::default());
        Blocks { builder, decoder, timeline: Timeline::measure().1 }
    }

    /// Encodes records, as blocks of the length and the compression that the drain makes, and shows each.
    pub fn encode<'a>(&mut self, records: impl Iterator<Item = Record<'a>>, mut look: impl FnMut(&Encoded)) {
        let mut spans = 0;
        for record in records {
            match record {
                Record::Ended { end, body, .. } => {
                    spans += 1;
                    self.builder.push_ended(&body, end, &self.timeline, &Callsites);
                }
                Record::Started { body } => {
                    self.builder.push_started(&body, &self.timeline, &Callsites);
                }
                Record::Padding => {}
            }
            if self.builder.raw_len() >= crate::drain::BLOCK_RAW_LEN {
                self.finish(std::mem::take(&mut spans), &mut look);
            }
        }
        if self.builder.rows() > 0 {
            self.finish(spans, &mut look);
        }
    }

    fn finish(&mut self, spans: u64, look: &mut impl FnMut(&Encoded)) {
        let rows = self.builder.rows();
        let payload = self.builder.finish(Compression::default()).expect("the block is not too large");
        let encoded = Encoded { payload, rows, spans };
        look(&encoded);
        self.builder.take_back(encoded.payload);
    }

    /// How many spans that ended there are in a block, all of them decoded.
    pub fn decode(&mut self, encoded: &Encoded) -> u64 {
        let Encoded { payload, rows, .. } = encoded;
        let decoded = self.decoder.decode(&payload.bytes, payload.codec, payload.raw_len, *rows, 0);
        decoded.expect("what was encoded is decoded").spans.len() as u64
    }
}

impl Default for Blocks {
    fn default() -> Self {
        Blocks::new()
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").finish_non_exhaustive()
    }
}
