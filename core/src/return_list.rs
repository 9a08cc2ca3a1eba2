//! The way home for cells that were freed by another thread than their owner.
//!
//! ```text
//!   any thread: push ──► head ─► cell ─► cell ─► cell        owner: take_all, when its own free list is empty
//! ```
//!
//! # Invariants
//!
//! * **L1** A cell that is pushed belongs to nobody but the list until it is taken: its `link` is the list's.
//! * **L2** The owner takes the whole list at once and never a single cell, so a head that was read by a pushing thread
//!   cannot have been taken and pushed again unnoticed in a way that matters: the new cell just links to what is
//!   the head at the exchange.
//!
//! # Ordering
//!
//! | store (Release)  | pairs with load (Acquire) | and makes visible                                    |
//! |------------------|---------------------------|------------------------------------------------------|
//! | `head` in `push` | `head` in `take_all`      | the cell's link, and that its user is done with it |
//!
//! A push that finds a head links to it without reading through it, so a Relaxed load is enough; the exchange by
//! Release continues the release sequence of the pushes before it.

use std::ops::Deref;

use crate::sync::{AtomicU64, Ordering};

/// The end of a list of cells. Links are cell numbers plus one.
pub(crate) const END: u64 = 0;

/// Cells on their way to their owner. `H` is how the head is reached.
#[derive(Debug)]
pub(crate) struct ReturnList<H> {
    head: H,
}

impl<H: Deref<Target = AtomicU64>> ReturnList<H> {
    pub(crate) fn new(head: H) -> Self {
        ReturnList { head }
    }

    /// Adds the cell with number `cell`, whose link is `link`.
    pub(crate) fn push(&self, cell: u32, link: &AtomicU64) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            link.store(head, Ordering::Relaxed);
            let new = u64::from(cell) + 1;
            match self.head.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return, // pairs with `take_all`
                Err(newer) => head = newer,
            }
        }
    }

    /// Takes everything: the first cell's number plus one, or [`END`].
    pub(crate) fn take_all(&self) -> u64 {
        if self.head.load(Ordering::Relaxed) == END {
            return END;
        }
        self.head.swap(END, Ordering::Acquire) // pairs with `push`
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// Two threads return cells while the owner takes: each cell comes home exactly once, and clean.
    #[test]
    fn every_returned_cell_comes_home_once() {
        loom::model(|| {
            let links: Arc<[AtomicU64; 2]> = Arc::new(std::array::from_fn(|_| AtomicU64::new(u64::MAX)));
            let states: Arc<[loom::cell::UnsafeCell<bool>; 2]> =
                Arc::new(std::array::from_fn(|_| loom::cell::UnsafeCell::new(false)));
            let list = Arc::new(ReturnList::new(Box::new(AtomicU64::new(END))));
            let give = |cell: u32| {
                let (links, states, list) = (links.clone(), states.clone(), list.clone());
                thread::spawn(move || {
                    mark(&states[cell as usize]);
                    list.push(cell, &links[cell as usize]);
                })
            };
            let (first, second) = (give(0), give(1));
            let mut home = Vec::new();
            // Nothing but the list synchronises: the threads are joined only afterwards.
            while home.len() < 2 {
                match list.take_all() {
                    END => thread::yield_now(),
                    mut next => collect(&mut next, &links, &states, &mut home),
                }
            }
            first.join().unwrap();
            second.join().unwrap();
            assert_eq!(list.take_all(), END);
            home.sort_unstable();
            assert_eq!(home, [0, 1]);
        });
    }

    #[expect(unsafe_code, reason = "loom's cells are reached through raw pointers, and it checks the access")]
    fn mark(state: &loom::cell::UnsafeCell<bool>) {
        // SAFETY: by L1 the cell is this thread's until it is pushed; loom checks it.
        state.with_mut(|state| unsafe { *state = true });
    }

    #[expect(unsafe_code, reason = "loom's cells are reached through raw pointers, and it checks the access")]
    fn collect(
        next: &mut u64,
        links: &[AtomicU64; 2],
        states: &[loom::cell::UnsafeCell<bool>; 2],
        home: &mut Vec<usize>,
    ) {
        while *next != END {
            let cell = usize::try_from(*next - 1).unwrap();
            // SAFETY: by L1 a taken cell is the owner's; loom checks it.
            assert!(states[cell].with(|state| unsafe { *state }));
            home.push(cell);
            *next = links[cell].load(Ordering::Relaxed);
        }
    }
}
