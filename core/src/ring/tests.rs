#![expect(unsafe_code, reason = "the test is producer and consumer at once, and keeps to their rules")]

use std::collections::VecDeque;
use std::ptr::NonNull;

use proptest::prelude::*;

use super::*;
use crate::mapping::Mapping;
use crate::record::Record;

fn ring(capacity: usize) -> Ring<Box<AtomicU64>> {
    let memory = Mapping::anonymous(capacity).unwrap().leak();
    let base: NonNull<u8> = memory.base;
    // SAFETY: leaked, so mapped until the process ends; mappings start at a page.
    let bytes = unsafe { Bytes::new(base, capacity) };
    Ring::new(Box::new(AtomicU64::new(0)), Box::new(AtomicU64::new(0)), bytes)
}

/// A padding record is the smallest thing that parses, so the model's records are paddings told apart by length.
fn push(ring: &Ring<Box<AtomicU64>>, producer: &Producer, len: usize) -> bool {
    let Some(position) = ring.place(producer, len) else { return false };
    let word = record_word(u32::try_from(len).unwrap(), 9, 0);
    // SAFETY: the record was placed just now, and is no shorter.
    unsafe { ring.begin(position, &[word, 0, 0], &[]) };
    ring.publish(position + len as u64);
    true
}

/// The lengths of the records between `read` and `tail`, paddings left out; then gives their space back.
fn pop_all(ring: &Ring<Box<AtomicU64>>) -> Vec<usize> {
    let mut lens = Vec::new();
    let mut at = ring.read();
    let tail = ring.tail();
    while at < tail {
        // SAFETY: the test is the consumer, and `at` steps from record to record.
        let seen = unsafe {
            ring.records(at, tail, |mut bytes| {
                let all = bytes.len();
                while !bytes.is_empty() {
                    let word = u64::from_le_bytes(bytes[..8].try_into().unwrap());
                    let len = usize::try_from(word & 0xffff_ffff).unwrap();
                    if matches!(Record::parse(bytes), Ok((Record::Padding, _))) {
                        assert_eq!(len, bytes.len(), "padding reaches to the end of the ring");
                    } else {
                        lens.push(len);
                    }
                    bytes = &bytes[len..];
                }
                all
            })
        };
        at += seen as u64;
    }
    ring.release(at);
    lens
}

proptest! {
    #[test]
    fn a_ring_does_what_a_queue_with_a_byte_limit_does(ops in prop::collection::vec(prop::option::of(1usize..12), 1..300)) {
        let (ring, producer) = (ring(4096), Producer::default());
        let mut model: VecDeque<usize> = VecDeque::new();
        for op in ops {
            if let Some(words) = op {
                let len = words * 64;
                if push(&ring, &producer, len) {
                    model.push_back(len);
                } else {
                    // Beside the records, one padding may be in use or needed, shorter than the longest record.
                    let used: usize = model.iter().sum();
                    prop_assert!(used + len + 11 * 64 > 4096, "refused {len} bytes with only {used} in use");
                }
                prop_assert!(model.iter().sum::<usize>() <= 4096);
            } else {
                prop_assert_eq!(pop_all(&ring), model.drain(..).collect::<Vec<_>>());
            }
        }
        prop_assert_eq!(pop_all(&ring), model.drain(..).collect::<Vec<_>>());
    }
}

#[test]
fn a_full_ring_refuses_and_overwrites_nothing() {
    let (ring, producer) = (ring(4096), Producer::default());
    let pushed = (0..100).filter(|_| push(&ring, &producer, 128)).count();
    assert_eq!(pushed, 32);
    assert_eq!(pop_all(&ring), [128; 32]);
    assert!(push(&ring, &producer, 128));
}

#[test]
fn the_consumer_is_asked_for_only_when_half_the_ring_is_used() {
    let (ring, producer) = (ring(4096), Producer::default());
    assert_eq!(ring.make_room(&producer, 64), Room::Ample(0));
    while let Some(position) = ring.reserve(&producer, 64) {
        ring.publish(position + 64);
    }
    assert_eq!(ring.tail(), 2048, "the cached limit is half a ring");
    assert_eq!(ring.make_room(&producer, 64), Room::Short(2048));
}

#[test]
fn a_new_producer_goes_on_where_the_last_one_stopped() {
    let (ring, first) = (ring(4096), Producer::default());
    assert!(push(&ring, &first, 256));
    let second = Producer::default();
    ring.adopt(&second);
    assert!(push(&ring, &second, 128));
    assert_eq!(pop_all(&ring), [256, 128]);
}
