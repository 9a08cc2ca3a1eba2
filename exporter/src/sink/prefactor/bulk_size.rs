//! How many requests are sent in bulk: what was learned of the server.

use super::bulk::ITEMS_MAX;

/// How often a size has to be taken before a larger one is tried.
const TAKEN_MIN: u32 = 8;
/// How often in a row the server may refuse in bulk what it takes by itself.
const STRIKES_MAX: u32 = 8;

pub(super) struct BulkSize {
    is_bulk: bool,
    items_max: usize,
    /// How often this size was taken.
    taken: u32,
    /// How often in a row what was refused in bulk was taken by itself.
    strikes: u32,
}

impl BulkSize {
    /// As was asked for.
    pub(super) fn new(is_bulk: bool) -> Self {
        BulkSize { is_bulk, items_max: ITEMS_MAX, taken: 0, strikes: 0 }
    }

    /// How many requests are sent at once at most; 1 where none is sent in bulk.
    pub(super) fn items_max(&self) -> usize {
        if self.is_bulk { self.items_max } else { 1 }
    }

    /// As many as there may be at once were done, all of them.
    pub(super) fn taken(&mut self, len: usize) {
        if len > 1 {
            self.strikes = 0;
        }
        if len >= self.items_max {
            self.taken += 1;
        }
        if self.taken >= TAKEN_MIN {
            self.taken = 0;
            self.items_max = (2 * self.items_max).min(ITEMS_MAX);
        }
    }

    /// So many were too many, or were not answered.
    pub(super) fn not_taken(&mut self, len: usize) {
        self.taken = 0;
        self.items_max = self.items_max.min(len / 2).max(1);
    }

    /// Something was refused in bulk that is taken by itself. Whether that was so too often, and nothing is sent in bulk any more.
    pub(super) fn strike(&mut self) -> bool {
        self.strikes += 1;
        self.strikes >= STRIKES_MAX && self.give_up()
    }

    /// Sends nothing in bulk any more. Whether it did before.
    pub(super) fn give_up(&mut self) -> bool {
        std::mem::replace(&mut self.is_bulk, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_is_not_taken_is_halved_and_grows_again_once_it_was_taken_often() {
        let mut size = BulkSize::new(true);
        assert_eq!(size.items_max(), ITEMS_MAX);
        for expected in [ITEMS_MAX / 2, ITEMS_MAX / 4] {
            size.not_taken(size.items_max());
            assert_eq!(size.items_max(), expected);
        }
        // Others of the old size were on their way.
        size.not_taken(ITEMS_MAX);
        assert_eq!(size.items_max(), ITEMS_MAX / 4);
        for _ in 0..10 {
            size.not_taken(size.items_max());
        }
        assert_eq!(size.items_max(), 1);
        let mut taken = 0;
        while size.items_max() < ITEMS_MAX {
            let before = size.items_max();
            size.taken(before - 1);
            size.taken(before);
            taken += before;
            assert!(size.items_max() <= 2 * before && taken < 10_000);
        }
        assert!(taken > 100);
        size.taken(ITEMS_MAX);
        assert_eq!(size.items_max(), ITEMS_MAX);
    }

    #[test]
    fn what_is_refused_in_bulk_and_taken_alone_so_often_in_a_row_ends_it() {
        let mut size = BulkSize::new(true);
        for _ in 0..4 {
            assert!((1..STRIKES_MAX).all(|_| !size.strike()));
            size.taken(2);
        }
        assert!((1..STRIKES_MAX).all(|_| !size.strike()));
        assert!(size.strike());
        assert_eq!(size.items_max(), 1);
        assert!(!size.strike(), "it is told once");
        assert!(!size.give_up());
        assert_eq!(BulkSize::new(false).items_max(), 1);
    }
}
