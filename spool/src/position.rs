//! A place in what a recorder has written.

/// A place in the segments of one recorder, right behind a block. The default is the very beginning.
///
/// Places compare by segment and offset. A place carries the number of the next row, so that whoever continues there
/// can tell whether anything is missing in between.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position {
    /// The number of the segment that holds the block; segments count from 1, and 0 is before all of them.
    pub segment: u64,
    /// The offset in that segment, in bytes, at which the block ends.
    pub offset: u64,
    /// The sequence of the first row that lies behind.
    pub next_sequence: u64,
}
