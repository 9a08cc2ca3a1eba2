#![expect(unsafe_code, reason = "the models are producer and consumer, and keep to their rules")]

use loom::sync::Arc;
use loom::thread;

use super::*;

/// One producer pushes words of 32 bytes into a ring of 64, so that it fills and wraps; one consumer reads on.
/// loom checks every access to the bytes for races, in all interleavings.
#[test]
fn records_arrive_whole_and_in_order_through_a_ring_that_wraps() {
    loom::model(|| {
        let ring =
            Arc::new(Ring::new(Box::new(AtomicU64::new(0)), Box::new(AtomicU64::new(0)), Bytes::zeros(64)));
        let producing = ring.clone();
        let producer = thread::spawn(move || {
            let (ring, producer) = (producing, Producer::default());
            let mut pushed = Vec::new();
            for value in 1..=3_u64 {
                let mut position = ring.reserve(&producer, 32);
                if position.is_none() && ring.refresh(&producer, 32) != Room::None {
                    position = ring.reserve(&producer, 32);
                }
                let Some(position) = position else { continue };
                // SAFETY: the record was reserved just now.
                unsafe { ring.write(position, &[value.to_le_bytes(), (value * 7).to_le_bytes()].concat()) };
                ring.publish(&producer, position + 32);
                pushed.push(value);
            }
            pushed
        });
        let mut popped = Vec::new();
        let mut at = 0;
        for _ in 0..2 {
            at = pop(&ring, at, &mut popped);
        }
        let pushed = producer.join().unwrap();
        while at < ring.tail() {
            at = pop(&ring, at, &mut popped);
        }
        assert_eq!(popped, pushed);
    });
}

fn pop(ring: &Ring<Box<AtomicU64>>, at: u64, popped: &mut Vec<u64>) -> u64 {
    let tail = ring.tail();
    if at == tail {
        return at;
    }
    // SAFETY: the model is the consumer, and `at` steps from record to record.
    let seen = unsafe {
        ring.records(at, tail, |bytes| {
            for record in bytes.chunks(32) {
                let value = u64::from_le_bytes(record[..8].try_into().unwrap());
                assert_eq!(u64::from_le_bytes(record[8..16].try_into().unwrap()), value * 7);
                popped.push(value);
            }
            bytes.len()
        })
    };
    ring.release(at + seen as u64);
    at + seen as u64
}
