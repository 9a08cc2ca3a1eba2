//! The queues that are compared, each used as it is meant to be: one producer, and one consumer that takes all there is.

use std::sync::Arc;

use crossbeam::channel::{self, Receiver, Sender};
use crossbeam::queue::ArrayQueue;
use spanring::internals::{self, RingConsumer, RingProducer};

/// A queue of records of so many words.
pub(crate) trait Queue<const WORDS: usize> {
    const NAME: &str;
    type In: Push<WORDS>;
    type Out: Pop + Send;

    /// An empty queue that takes so many bytes of records.
    fn of_len(len: usize) -> (Self::In, Self::Out);
}

pub(crate) trait Push<const WORDS: usize> {
    /// Says whether there was room.
    fn push(&mut self, record: [u64; WORDS]) -> bool;
}

pub(crate) trait Pop {
    /// Takes all records that are there, and shows the last word of each.
    fn pop_all(&mut self, look: impl FnMut(u64));
}

/// The ring of core, whose consumer sees bytes.
pub(crate) struct Spanring;

pub(crate) struct Words<const WORDS: usize>(RingConsumer);

impl<const WORDS: usize> Queue<WORDS> for Spanring {
    const NAME: &str = "spanring";
    type In = RingProducer;
    type Out = Words<WORDS>;

    fn of_len(len: usize) -> (RingProducer, Words<WORDS>) {
        let (producer, consumer) = internals::ring(len);
        (producer, Words(consumer))
    }
}

impl<const WORDS: usize> Push<WORDS> for RingProducer {
    #[inline]
    fn push(&mut self, record: [u64; WORDS]) -> bool {
        RingProducer::push(self, &record)
    }
}

impl<const WORDS: usize> Pop for Words<WORDS> {
    fn pop_all(&mut self, mut look: impl FnMut(u64)) {
        self.0.pop_all(|bytes| {
            for record in bytes.chunks_exact(8 * WORDS) {
                look(record.last_chunk().map_or(0, |word| u64::from_le_bytes(*word)));
            }
        });
    }
}

/// Of the crate `rtrb`.
pub(crate) struct Rtrb;

impl<const WORDS: usize> Queue<WORDS> for Rtrb {
    const NAME: &str = "rtrb";
    type In = rtrb::Producer<[u64; WORDS]>;
    type Out = rtrb::Consumer<[u64; WORDS]>;

    fn of_len(len: usize) -> (Self::In, Self::Out) {
        rtrb::RingBuffer::new(len / (8 * WORDS))
    }
}

impl<const WORDS: usize> Push<WORDS> for rtrb::Producer<[u64; WORDS]> {
    #[inline]
    fn push(&mut self, record: [u64; WORDS]) -> bool {
        rtrb::Producer::push(self, record).is_ok()
    }
}

impl<const WORDS: usize> Pop for rtrb::Consumer<[u64; WORDS]> {
    fn pop_all(&mut self, mut look: impl FnMut(u64)) {
        let there = self.slots();
        if let Ok(records) = self.read_chunk(there) {
            let (first, second) = records.as_slices();
            first.iter().chain(second).for_each(|record| look(record[WORDS - 1]));
            records.commit_all();
        }
    }
}

/// Of the crate `crossbeam`: many producers and consumers.
pub(crate) struct CrossbeamArrayQueue;

impl<const WORDS: usize> Queue<WORDS> for CrossbeamArrayQueue {
    const NAME: &str = "crossbeam_array_queue";
    type In = Arc<ArrayQueue<[u64; WORDS]>>;
    type Out = Arc<ArrayQueue<[u64; WORDS]>>;

    fn of_len(len: usize) -> (Self::In, Self::Out) {
        let queue = Arc::new(ArrayQueue::new(len / (8 * WORDS)));
        (queue.clone(), queue)
    }
}

impl<const WORDS: usize> Push<WORDS> for Arc<ArrayQueue<[u64; WORDS]>> {
    #[inline]
    fn push(&mut self, record: [u64; WORDS]) -> bool {
        ArrayQueue::push(self, record).is_ok()
    }
}

impl<const WORDS: usize> Pop for Arc<ArrayQueue<[u64; WORDS]>> {
    fn pop_all(&mut self, mut look: impl FnMut(u64)) {
        while let Some(record) = self.pop() {
            look(record[WORDS - 1]);
        }
    }
}

/// Of the crate `crossbeam`: many producers and consumers, who can wait for each other.
pub(crate) struct CrossbeamChannel;

impl<const WORDS: usize> Queue<WORDS> for CrossbeamChannel {
    const NAME: &str = "crossbeam_channel";
    type In = Sender<[u64; WORDS]>;
    type Out = Receiver<[u64; WORDS]>;

    fn of_len(len: usize) -> (Self::In, Self::Out) {
        channel::bounded(len / (8 * WORDS))
    }
}

impl<const WORDS: usize> Push<WORDS> for Sender<[u64; WORDS]> {
    #[inline]
    fn push(&mut self, record: [u64; WORDS]) -> bool {
        self.try_send(record).is_ok()
    }
}

impl<const WORDS: usize> Pop for Receiver<[u64; WORDS]> {
    fn pop_all(&mut self, mut look: impl FnMut(u64)) {
        while let Ok(record) = self.try_recv() {
            look(record[WORDS - 1]);
        }
    }
}
