//! What waits to be taken by any thread, and is brought back by any other: lanes, and further tables.
//!
//! # Ordering
//!
//! | by Release     | pairs with (Acquire)      | and makes visible                                           |
//! |----------------|---------------------------|-------------------------------------------------------------|
//! | `push` of one  | `pop` of the same one     | what was done with it before                                |
//! | `push`         | a `len` that counts it    | the same                                                    |
//! | `pop`, a fence | a fence, `len`            | that it is gone, or else the one who popped sees what the one who counts did before: see `registry.rs` |
//!
//! It is a queue of crossbeam's, which promises that and more. The models cannot look into that one, so in their place stands a
//! queue that promises no more than the table says: what is shown to hold with it holds with crossbeam's.

pub(crate) use queue::Pool;

#[cfg(not(all(test, any(loom, shuttle))))]
mod queue {
    use crossbeam::queue::ArrayQueue;

    /// See the file's head.
    #[derive(Debug)]
    pub(crate) struct Pool<T>(ArrayQueue<T>);

    impl<T> Pool<T> {
        /// A pool with room for so many.
        pub(crate) fn new(capacity: usize) -> Self {
            Pool(ArrayQueue::new(capacity))
        }

        /// Adds one, and returns it where there is no room.
        pub(crate) fn push(&self, value: T) -> Result<(), T> {
            self.0.push(value)
        }

        pub(crate) fn pop(&self) -> Option<T> {
            self.0.pop()
        }

        /// How many there are: exact where nobody pushes or pops.
        pub(crate) fn len(&self) -> usize {
            self.0.len()
        }
    }
}

#[cfg(all(test, any(loom, shuttle)))]
mod queue {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use crate::sync::{AtomicU32, Ordering};

    /// A queue whose order the models choose, by the accesses to `count` and `places`. The locks of the standard library are held for no
    /// longer than a step of a model, and order nothing in it.
    #[derive(Debug)]
    pub(crate) struct Pool<T> {
        queue: Mutex<VecDeque<(usize, T)>>,
        count: AtomicU32,
        /// One for each place, by which what is pushed there is handed over.
        places: Box<[AtomicU32]>,
        vacant: Mutex<Vec<usize>>,
    }

    impl<T> Pool<T> {
        pub(crate) fn new(capacity: usize) -> Self {
            let capacity = capacity.min(4);
            Pool {
                queue: Mutex::new(VecDeque::new()),
                count: AtomicU32::new(0),
                places: (0..capacity).map(|_| AtomicU32::new(0)).collect(),
                vacant: Mutex::new((0..capacity).collect()),
            }
        }

        pub(crate) fn push(&self, value: T) -> Result<(), T> {
            let Some(place) = self.vacant.lock().unwrap().pop() else { return Err(value) };
            // Read-modify-writes throughout, which see the latest value: by their orderings alone is anything made visible.
            self.places[place].fetch_add(1, Ordering::Release);
            self.queue.lock().unwrap().push_back((place, value));
            self.count.fetch_add(1, Ordering::Release);
            Ok(())
        }

        pub(crate) fn pop(&self) -> Option<T> {
            let mut count = self.count.load(Ordering::Relaxed);
            loop {
                let left = count.checked_sub(1)?;
                match self.count.compare_exchange(count, left, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(newer) => count = newer,
                }
            }
            let (place, value) =
                self.queue.lock().unwrap().pop_front().expect("the count says that there is one");
            self.places[place].fetch_add(1, Ordering::Acquire);
            self.vacant.lock().unwrap().push(place);
            Some(value)
        }

        pub(crate) fn len(&self) -> usize {
            self.count.load(Ordering::Acquire) as usize
        }
    }
}
