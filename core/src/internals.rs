//! The ring of a lane by itself, to be measured beside other rings by the project's own benchmarks. No part of what this crate
//! promises: it may change or go with any version.
#![expect(
    unsafe_code,
    reason = "records are reserved, written and shown as by their other users, with their proofs"
)]

use std::slice;

use crate::lane::{Lane, lane_file_len};
use crate::mapping::Mapping;
use crate::ring::Room;

/// The producer of a ring. There is one.
#[derive(Debug)]
pub struct RingProducer(&'static Lane);

/// The consumer of a ring. There is one.
#[derive(Debug)]
pub struct RingConsumer(&'static Lane);

/// A ring of `ring_bytes`, a power of two, in memory that stays until the process ends.
///
/// # Panics
///
/// Where there is no memory, or the length is none.
pub fn ring(ring_bytes: usize) -> (RingProducer, RingConsumer) {
    let mapping = Mapping::anonymous(lane_file_len(ring_bytes)).expect("there is memory");
    let lane: &'static Lane = Box::leak(Box::new(Lane::format(0, mapping, ring_bytes)));
    lane.ring.adopt(lane.producer());
    (RingProducer(lane), RingConsumer(lane))
}

impl RingProducer {
    /// Appends a record; says whether there was room. All records of a ring have one length, which divides the ring's.
    #[inline]
    pub fn push<const WORDS: usize>(&mut self, record: &[u64; WORDS]) -> bool {
        const { assert!(WORDS.is_power_of_two() && WORDS <= 64, "without padding") };
        let (ring, producer, len) = (&self.0.ring, self.0.producer(), 8 * WORDS);
        let place =
            ring.reserve(producer, len as u64).or_else(|| match ring.make_room(producer, len as u64) {
                // Where recording wakes the drain.
                Room::Ample(position) | Room::Short(position) => Some(position),
                Room::None => None,
            });
        let Some(position) = place else { return false };
        // SAFETY: as many bytes as the array has; any of its bits are bytes.
        let bytes = unsafe { slice::from_raw_parts(record.as_ptr().cast::<u8>(), len) };
        // SAFETY: a record of as many bytes has been placed at `position`, and is not published yet.
        unsafe { ring.write(position, bytes) };
        ring.publish(position + len as u64);
        true
    }
}

impl RingConsumer {
    /// Shows all records that are there, in one or two runs of bytes, and gives their space back.
    pub fn pop_all(&mut self, mut look: impl FnMut(&[u8])) {
        let ring = &self.0.ring;
        let (mut at, tail) = (ring.read(), ring.tail());
        while at < tail {
            let look_at = |bytes: &[u8]| {
                look(bytes);
                bytes.len() as u64
            };
            // SAFETY: there is one consumer of the lane; `at` is where all before was shown, and records of one length that
            // divides the ring's start at both.
            at += unsafe { ring.records(at, tail, look_at) };
        }
        ring.release(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in_over_many_laps() {
        let (mut producer, mut consumer) = ring(4096);
        let (mut pushed, mut popped) = (0_u64, 0_u64);
        for _ in 0..100 {
            while producer.push(&[pushed; 8]) {
                pushed += 1;
            }
            consumer.pop_all(|bytes| {
                for record in bytes.chunks_exact(64) {
                    assert_eq!(record, [popped.to_le_bytes(); 8].as_flattened());
                    popped += 1;
                }
            });
        }
        assert_eq!((pushed, popped), (6400, 6400));
    }
}
