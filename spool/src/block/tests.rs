//! Claims about blocks: what goes in comes out, and what nobody put in is refused.

mod hostile;
mod life;
mod model;
mod rows;

use spanring::clock::Timeline;
use spanring::names;
use spanring::record::Time;

use super::decode::Rows;
use super::{BlockBuilder, BlockDecoder, Compression, Payload, Undecodable};
use crate::SpanData;
use crate::body_writer::{BodyWriter, Dictionary};

const NAMES: Dictionary = Dictionary(&[
    "chat",
    "model",
    "tokens",
    "",
    "retry \u{2764}",
    "gen_ai.prompt",
    "output",
    "temperature",
    "stream",
    "id",
    "try",
    names::INPUT,
    names::TAGS,
    names::DEFAULT_INPUT,
    names::DEADLINE,
]);
/// A tick is half a nanosecond.
const TIMELINE: Timeline =
    Timeline { base_ticks: 1_000_000, base_unix_ns: 1_700_000_000_000_000_000, ticks_per_second: 2e9 };

fn decode(payload: &Payload, rows: u32) -> Result<Rows, Undecodable> {
    BlockDecoder::default().decode(&payload.bytes, payload.codec, payload.raw_len, rows, 0)
}

/// What one span that ended at `end` reads back as.
fn read_back(body: &BodyWriter, end: Time) -> SpanData {
    let mut builder = BlockBuilder::new();
    assert_eq!(builder.push_ended(&body.body(), end, &TIMELINE, &NAMES), None);
    let mut rows = decode(&builder.finish(Compression::default()).unwrap(), 1).unwrap();
    rows.spans.pop().unwrap()
}
