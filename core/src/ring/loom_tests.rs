#![expect(unsafe_code, reason = "the models are producer and consumer, and keep to their rules")]

use super::*;
use crate::sync::{Arc, thread};

/// One producer pushes records of `LEN` bytes, a multiple of 8 and at least 16, into a ring of 64, so that it fills and wraps; one consumer reads on.
/// loom checks every access to the bytes for races, in all interleavings.
fn pushes_arrive<const LEN: usize>(pushes: u64, pops: usize) {
    loom::model(move || {
        let ring =
            Arc::new(Ring::new(Box::new(AtomicU64::new(0)), Box::new(AtomicU64::new(0)), Bytes::zeros(64)));
        let producing = ring.clone();
        let producer = thread::spawn(move || {
            let (ring, producer) = (producing, Producer::default());
            (1..=pushes).filter(|&value| push::<LEN>(&ring, &producer, value)).collect::<Vec<_>>()
        });
        let mut popped = Vec::new();
        let mut at = 0;
        for _ in 0..pops {
            at = pop(&ring, at, &mut popped);
        }
        let pushed = producer.join().unwrap();
        assert!(pushed.len() >= 64 / LEN, "what fits an empty ring is taken");
        while at < ring.tail() {
            at = pop(&ring, at, &mut popped);
        }
        assert_eq!(popped, pushed);
    });
}

#[test]
fn records_arrive_whole_and_in_order_through_a_ring_that_wraps() {
    pushes_arrive::<32>(3, 2);
}

#[test]
fn records_arrive_whole_and_in_order_through_a_ring_that_wraps_twice() {
    pushes_arrive::<32>(5, 2);
}

/// Two records leave 16 bytes at the ring's end, which the third one jumps over.
#[test]
fn records_arrive_whole_and_in_order_where_padding_fills_the_end_of_the_ring() {
    pushes_arrive::<24>(3, 2);
}

/// Three records leave 16 bytes at the ring's end, which is too few for the fourth: there must be room for the padding too, and it is asked
/// for again after it was refused.
#[test]
fn a_record_that_does_not_fit_the_end_waits_for_room_behind_the_padding() {
    loom::model(|| {
        let ring =
            Arc::new(Ring::new(Box::new(AtomicU64::new(0)), Box::new(AtomicU64::new(0)), Bytes::zeros(64)));
        let producer = Producer::default();
        let mut pushed = Vec::new();
        assert!(push::<16>(&ring, &producer, 1));
        let consuming = ring.clone();
        let consumer = thread::spawn(move || {
            let mut popped = Vec::new();
            let at = pop(&consuming, 0, &mut popped);
            let at = pop(&consuming, at, &mut popped);
            (at, popped)
        });
        assert!(push::<16>(&ring, &producer, 2) && push::<16>(&ring, &producer, 3));
        pushed.extend((4..6).filter(|&value| push::<24>(&ring, &producer, value)));
        let (at, mut popped) = consumer.join().unwrap();
        pop(&ring, pop(&ring, at, &mut popped), &mut popped);
        pushed.splice(0..0, 1..4);
        assert_eq!(popped, pushed);
    });
}

/// The consumer's release and the producer's look at it meet: what `make_room` finds is free, and no less than what was free
/// when it began.
#[test]
fn what_make_room_finds_is_room_that_the_consumer_is_done_with() {
    loom::model(|| {
        let ring =
            Arc::new(Ring::new(Box::new(AtomicU64::new(0)), Box::new(AtomicU64::new(0)), Bytes::zeros(64)));
        let producer = Producer::default();
        assert!(push::<32>(&ring, &producer, 1) && push::<32>(&ring, &producer, 2));
        let consuming = ring.clone();
        let consumer = thread::spawn(move || pop(&consuming, 0, &mut Vec::new()));
        match ring.make_room(&producer, 32) {
            Room::None => assert_eq!(ring.reserve(&producer, 32), None),
            Room::Short(_) => panic!("the consumer gives both back at once"),
            Room::Ample(_) => assert!(push::<32>(&ring, &producer, 3)),
        }
        assert_eq!(consumer.join().unwrap(), 64);
        assert!(ring.make_room(&producer, 32) != Room::None);
    });
}

fn push<const LEN: usize>(ring: &Ring<Box<AtomicU64>>, producer: &Producer, value: u64) -> bool {
    let Some(position) = ring.place(producer, LEN) else { return false };
    let word = record_word(u32::try_from(LEN).unwrap(), 0, 0);
    // SAFETY: the record was placed just now.
    unsafe { ring.write(position, &word.to_le_bytes()) };
    // SAFETY: as above.
    unsafe { ring.write(position + 8, &(value * 7).to_le_bytes().repeat(LEN / 8 - 1)) };
    ring.publish(position + LEN as u64);
    true
}

fn pop(ring: &Ring<Box<AtomicU64>>, at: u64, popped: &mut Vec<u64>) -> u64 {
    let tail = ring.tail();
    if at == tail {
        return at;
    }
    // SAFETY: the model is the consumer, and `at` steps from record to record.
    let seen = unsafe {
        ring.records(at, tail, |mut bytes| {
            let all = bytes.len();
            while let Some((word, content)) = bytes.split_first_chunk::<8>() {
                let word = u64::from_le_bytes(*word);
                let len = usize::try_from(word & 0xffff_ffff).unwrap();
                if word == record_word(u32::try_from(len).unwrap(), KIND_PADDING, 0) {
                    assert_eq!(len, bytes.len(), "padding reaches to the end of the ring");
                } else {
                    let value = u64::from_le_bytes(content[..8].try_into().unwrap());
                    assert!(value != 0 && value % 7 == 0);
                    assert_eq!(content[..len - 8], value.to_le_bytes().repeat(len / 8 - 1));
                    popped.push(value / 7);
                }
                bytes = &bytes[len..];
            }
            all
        })
    };
    ring.release(at + seen as u64);
    at + seen as u64
}
