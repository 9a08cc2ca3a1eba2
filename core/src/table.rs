//! Which cells of a lane are free, who may take one, and how it comes home.
//!
//! ```text
//!                    claim                          free
//!   free: cell ─► cell ─► cell ──► spans, wherever they are ──► free       by the thread that holds the lane
//!    ▲                                    │
//!    └── take_all, when free is empty ◄── returned ◄── return_cell        by any other
//! ```
//!
//! A lane starts with the cells of its own file and takes further tables as it needs them, for ever. What a cell is made of
//! and where it lies is `lane.rs`'s matter; here it is a number and a link.
//!
//! # Invariants
//!
//! * **T1** Only the thread that holds the lane (N1) calls what is marked so, and it is the only one that reaches `free` and
//!   `further_count`.
//! * **T2** Each cell is in one of three places: in the list `free`, in the list `returned`, or with whoever claimed it (N2). Its link belongs
//!   to the list that it is in.
//! * **T3** Whoever knows a cell's number has it from its claim, directly or through somebody who synchronised with him.
//!
//! # Ordering
//!
//! Nothing here orders anything by itself. What the holder keeps goes to the next one through the pool of lanes (`registry.rs`, `pool.rs`) or the
//! orphan lane's lock (`busy.rs`); a returned cell's link comes home through the return list (`return_list.rs`), and with it what its
//! last user did; and further tables lie in `OnceLock`s, which publish what they hold.

use std::sync::OnceLock;

use crate::return_list::{END, ReturnList};
use crate::sync::{AtomicU64, Cell, Ordering};

/// Further tables that one lane can take.
pub(crate) const FURTHER_MAX: usize = if cfg!(all(test, any(loom, shuttle))) { 2 } else { 64 };

/// Where the links of cells lie.
pub(crate) trait Cells {
    /// A further table.
    type Further: Sync + 'static;
    /// How many cells a lane has of its own, and how many a further table has.
    const OWN: u32;
    const FURTHER: u32;

    /// The link of the lane's own cell with this number, below `OWN`.
    fn own_link(&self, number: u32) -> &AtomicU64;

    /// The link of a further table's cell, whose number within it is below `FURTHER`.
    fn link_within(further: &Self::Further, within: u32) -> &AtomicU64;
}

/// The cells of a lane. See the file's head.
pub(crate) struct Table<C: Cells> {
    cells: C,
    /// The free cells: a number plus one, or [`END`]; the rest by their links.
    free: Cell<u64>,
    further_count: Cell<u32>,
    further: [OnceLock<&'static C::Further>; FURTHER_MAX],
    returned: ReturnList<Box<AtomicU64>>,
}

impl<C: Cells> Table<C> {
    /// A table whose own cells are free.
    pub(crate) fn new(cells: C) -> Self {
        let table = Table {
            cells,
            free: Cell::new(END),
            further_count: Cell::new(0),
            further: [const { OnceLock::new() }; FURTHER_MAX],
            returned: ReturnList::new(Box::new(AtomicU64::new(END))),
        };
        table.add_free(0, C::OWN);
        table
    }

    /// Where they lie.
    #[inline]
    pub(crate) fn cells(&self) -> &C {
        &self.cells
    }

    /// Takes a cell, from the free ones or from those that came home. Only for the holder.
    #[inline]
    pub(crate) fn claim(&self) -> Option<u32> {
        let free = self.free.get();
        if free == END { self.claim_returned() } else { Some(self.unlink(free)) }
    }

    /// The first free cell, which need not be one of the lane's own, and none where it is beyond all. Only for the holder.
    #[inline(always)]
    pub(crate) fn first_free(&self) -> u32 {
        cell_number(self.free.get())
    }

    /// Takes the first free cell, which has this number and is one of the lane's own. Only for the holder.
    #[inline(always)]
    pub(crate) fn take_own(&self, number: u32) {
        self.free.set(self.cells.own_link(number).load(Ordering::Relaxed)); // as in `unlink`
    }

    #[inline]
    fn unlink(&self, free: u64) -> u32 {
        let number = cell_number(free);
        // Relaxed: the link was stored by this thread, by a holder before it (T1), or by one that `take_all` has synchronised with.
        self.free.set(self.link(number).load(Ordering::Relaxed));
        number
    }

    #[cold]
    #[inline(never)]
    fn claim_returned(&self) -> Option<u32> {
        let head = self.returned.take_all();
        (head != END).then(|| self.unlink(head))
    }

    /// Gives a cell back. Only for the holder.
    #[inline]
    pub(crate) fn free(&self, number: u32) {
        // Relaxed: read by this thread, or by a later holder (T1).
        self.link(number).store(self.free.get(), Ordering::Relaxed);
        self.free.set(u64::from(number) + 1);
    }

    /// Gives a cell back, from any thread.
    pub(crate) fn return_cell(&self, number: u32) {
        self.returned.push(number, self.link(number));
    }

    /// Whether there is room for a further table. Only for the holder.
    pub(crate) fn can_take(&self) -> bool {
        (self.further_count.get() as usize) < FURTHER_MAX
    }

    /// Takes a further table, once `label` has noted in it what number its first cell has. Only for the holder; `false` where the
    /// lane has as many as it can.
    pub(crate) fn take(&self, further: &'static C::Further, label: impl FnOnce(u32)) -> bool {
        let count = self.further_count.get();
        let Some(place) = self.further.get(count as usize) else { return false };
        let first = C::OWN + count * C::FURTHER;
        label(first);
        if place.set(further).is_err() {
            return false; // only the holder sets it, and once
        }
        self.further_count.set(count + 1);
        self.add_free(first, C::FURTHER);
        true
    }

    fn add_free(&self, first: u32, count: u32) {
        for number in (first..first + count).rev() {
            self.free(number);
        }
    }

    #[inline]
    fn link(&self, number: u32) -> &AtomicU64 {
        if number < C::OWN { self.cells.own_link(number) } else { self.further_link(number) }
    }

    #[cold]
    fn further_link(&self, number: u32) -> &AtomicU64 {
        let (further, within) = self.further(number);
        C::link_within(further, within)
    }

    /// The further tables.
    pub(crate) fn all_further(&self) -> impl Iterator<Item = &'static C::Further> {
        self.further.iter().map_while(|place| place.get().copied())
    }

    /// The further table that holds the cell with this number, and the cell's number within it.
    pub(crate) fn further(&self, number: u32) -> (&'static C::Further, u32) {
        let beyond = number - C::OWN;
        let further = self.further[(beyond / C::FURTHER) as usize].get();
        (further.expect("a cell's number is only known once its table was taken (T3)"), beyond % C::FURTHER)
    }
}

/// The number that a link or a `next` means, which is one above it.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the low half of the word is the number plus one")]
pub(crate) fn cell_number(link: u64) -> u32 {
    (link as u32).wrapping_sub(1)
}

#[cfg(all(test, any(loom, shuttle)))]
pub(crate) mod modelled;

#[cfg(all(test, loom))]
mod loom_tests;

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
