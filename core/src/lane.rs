//! A lane: the in-flight table and the ring that one thread at a time records into, in one mapped file.
//!
//! # The lane and table formats, version 0
//!
//! All integers are little-endian, offsets in bytes. Both files begin as `file_head.rs` says.
//!
//! ```text
//! lane      0        8         12         16     20      24           32
//!           ┌────────┬─────────┬──────────┬──────┬───────┬────────────┬─────┐
//!           │ magic  │ version │ incompat │ lane │ cells │ ring bytes │     │
//!           ├────────┼─────────┼──────────┴──────┴───────┴────────────┴─────┤
//!      128  │ tail   │ ended   │ started │ dropped × 8 │                    │  stored by the producer
//!           ├────────┼─────────┼──────────────────────────────────────────────┤
//!      256  │ read   │ read ended │                                           │  stored by the consumer
//!           ├────────┴────────────────────────────────────────────────────────┤
//!     4096  │ cell × cells                                                    │
//!           ├─────────────────────────────────────────────────────────────────┤
//!           │ the ring: records, as `record.rs` has them                      │
//!           └─────────────────────────────────────────────────────────────────┘
//!
//! table     0        8         12         16       20      24
//!           ┌────────┬─────────┬──────────┬────────┬───────┬────────────┐
//!           │ magic  │ version │ incompat │ lane+1 │ cells │ first cell │  4096  cell × cells
//!           └────────┴─────────┴──────────┴────────┴───────┴────────────┘
//!           lane+1   0 while it belongs to no lane; stored last when one takes it
//!
//! cell      0       8        16        24     32     40    64                  1024
//!           ┌───────┬────────┬─────────┬──────┬──────┬─────┬───────────────────┐
//!           │ state │ detail │ ordinal │ next │ link │     │ content           │
//!           └───────┴────────┴─────────┴──────┴──────┴─────┴───────────────────┘
//!           state    bits 0–7 the stage, 8–15 a drop's reason, 16–31 a lane, 32–63 the length of the body;
//!                    8–31 mean nothing in stage LIVE
//!           ordinal  of the last span that started here, among those that started in this lane
//!           next     where the body goes on: lane << 32 | cell + 1, or 0
//!           link     of the free and return lists; means nothing to other processes
//! ```
//!
//! A span's body (`record.rs`) lies in the content of its first cell and of the cells chained behind it. Cells are
//! numbered within their lane: those of the lane file from 0, those of further tables from their first cell.
//!
//! | stage | name    | detail                       | the span is                                                |
//! |-------|---------|------------------------------|------------------------------------------------------------|
//! | 0     | FREE    |                              | none                                                       |
//! | 1     | LIVE    |                              | in flight                                                  |
//! | 2     | ENDING  | a position of the lane's ring | ended if that ring's tail is above the position, else in flight |
//! | 3     | DROPPED | how many the lane dropped for the reason, this one included | ended and dropped           |
//!
//! A cell whose span ended into the ring of the cell's own file is free as soon as that ring's tail says so, and stays ENDING until another
//! span has it. So `ordinal` counts only in stage LIVE: elsewhere it may be that of a span which was about to start.
//!
//! # Invariants
//!
//! * **N1** A thread that holds a lane, by taking it from its recorder's pool or under the orphan lane's lock, is the only
//!   one that uses the lane's `Owner`, claims its cells and produces into its ring. It holds at most one at a time
//!   by pool and gives it back through the same queue, which synchronises (G1 in `registry.rs`).
//! * **N2** A cell that is not free belongs to the one `Span` (or chain) that claimed it; `Span` is not `Sync`.
//! * **N3** `state` is stored last, by Release, so whatever a stage and a length promise is in the mapping.
//! * **N4** A recorder's mappings are leaked: they stay mapped until the process ends.
//!
//! # Ordering
//!
//! Beside those of the ring, the table, the tally and the return list, which carry all that threads tell each other about a lane:
//!
//! | store (Release)                     | pairs with                        | and makes visible          |
//! |-------------------------------------|-----------------------------------|----------------------------|
//! | `state`                             | a reader of the file after a kill | the content up to length   |
//! | `lane + 1` in `take_table`          | the same                          | the number of its first cell |
#![expect(unsafe_code, reason = "cells are exclusive by N1 and N2, which the compiler cannot see")]

use std::fmt;
use std::ptr::NonNull;

use crate::file_head;
use crate::mapping::{Leaked, Mapping};
use crate::ring::{Producer, Ring};
use crate::slot::Slot;
use crate::sync::{AtomicU32, AtomicU64, Bytes, Ordering};
use crate::table::{Cells, FURTHER_MAX, Table};
use crate::tally::ProducerLine;

pub(crate) use crate::table::cell_number;
pub(crate) use crate::tally::DROP_REASONS;

pub(crate) const LANE_MAGIC: [u8; 8] = *b"SPRNGLAN";
pub(crate) const TABLE_MAGIC: [u8; 8] = *b"SPRNGTAB";
pub(crate) const VERSION: u32 = 0;
/// Where cells start in both files.
pub(crate) const CELLS_AT: usize = 4096;
/// Length of a cell.
pub(crate) const CELL_LEN: usize = 1024;
/// Length of a cell before its content.
pub(crate) const CELL_HEADER_LEN: usize = 64;
/// How much of a body fits one cell.
pub(crate) const CELL_CONTENT_LEN: usize = CELL_LEN - CELL_HEADER_LEN;
/// Cells in a lane file: spans that one thread has open at once before it needs a further table.
pub(crate) const LANE_CELLS: u32 = 256;
/// Cells in a further table.
pub(crate) const TABLE_CELLS: u32 = 1024;
/// Further tables that one lane can take: 65,792 cells in all.
pub(crate) const TABLES_MAX: usize = FURTHER_MAX;

pub(crate) const PRODUCER_AT: usize = 128;
pub(crate) const CONSUMER_AT: usize = 256;

pub(crate) const FREE: u64 = 0;
pub(crate) const LIVE: u64 = 1;
pub(crate) const ENDING: u64 = 2;
pub(crate) const DROPPED: u64 = 3;

/// How long a lane file is.
pub fn lane_file_len(ring_bytes: usize) -> usize {
    CELLS_AT + LANE_CELLS as usize * CELL_LEN + ring_bytes
}

/// How long a table file is.
pub fn table_file_len() -> usize {
    CELLS_AT + TABLE_CELLS as usize * CELL_LEN
}

/// The part of a lane file that the consumer stores.
#[repr(C, align(128))]
pub(crate) struct ConsumerLine {
    pub(crate) read: AtomicU64,
    pub(crate) read_ended: AtomicU64,
}

/// The words in front of a cell's content.
#[repr(C)]
pub(crate) struct CellHeader {
    pub(crate) state: AtomicU64,
    pub(crate) detail: AtomicU64,
    pub(crate) ordinal: AtomicU64,
    pub(crate) next: AtomicU64,
    link: AtomicU64,
}

const _: () = assert!(size_of::<ProducerLine>() <= CONSUMER_AT - PRODUCER_AT);
const _: () = assert!(CONSUMER_AT + size_of::<ConsumerLine>() <= CELLS_AT);
const _: () = assert!(size_of::<CellHeader>() <= CELL_HEADER_LEN);
const _: () = assert!(CELL_CONTENT_LEN.is_multiple_of(8));

/// What only the thread that holds the lane touches (N1).
#[derive(Default)]
struct Owner {
    producer: Producer,
}

/// A lane of a recorder. See the file's head.
// On lines of memory of its own: its holder writes to it with every span, and lanes lie one behind the other.
#[repr(align(128))]
pub(crate) struct Lane {
    number: u16,
    producer_line: &'static ProducerLine,
    consumer_line: &'static ConsumerLine,
    pub(crate) ring: Ring<&'static AtomicU64>,
    memory: Leaked,
    table: Table<LaneCells>,
    owner: Owner,
}

/// The cells of a lane's own file.
struct LaneCells {
    cells: NonNull<u8>,
    slots: &'static [Slot],
}

impl Cells for LaneCells {
    type Further = SpareTable;
    const OWN: u32 = LANE_CELLS;
    const FURTHER: u32 = TABLE_CELLS;

    #[inline]
    fn own_link(&self, number: u32) -> &AtomicU64 {
        &self.cell(number).header().link
    }

    fn link_within(further: &SpareTable, within: u32) -> &AtomicU64 {
        &further.cell(within).header().link
    }
}

impl LaneCells {
    /// The cell with this number, which is below `LANE_CELLS`.
    #[inline]
    fn cell(&self, number: u32) -> CellRef {
        debug_assert!(number < LANE_CELLS);
        // SAFETY: the lane file holds that many cells.
        CellRef(unsafe { self.cells.add(number as usize * CELL_LEN) })
    }
}

// SAFETY: everything shared is atomic or proved by the ring; `owner`, and what the table keeps for its holder, is one thread's
// at a time (N1, T1), and the pointers are addresses in a leaked mapping (N4).
unsafe impl Send for Lane {}
// SAFETY: as for Send.
unsafe impl Sync for Lane {}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("number", &self.number).field("ring", &self.ring).finish_non_exhaustive()
    }
}

/// A further table that is ready for a lane to take.
#[derive(Debug)]
pub(crate) struct SpareTable {
    memory: Leaked,
    slots: &'static [Slot],
}

// SAFETY: a table belongs to one lane at a time, and a slot to whoever has its cell (N2).
unsafe impl Sync for SpareTable {}
// SAFETY: as for Sync.
unsafe impl Send for SpareTable {}

impl SpareTable {
    /// Formats `mapping`, of zeros and [`table_file_len`] bytes.
    pub(crate) fn format(mut mapping: Mapping) -> Self {
        assert_eq!(mapping.len(), table_file_len(), "a table has one size");
        mapping.write(20, &TABLE_CELLS.to_le_bytes());
        file_head::write(&mut mapping, &TABLE_MAGIC, VERSION);
        let memory = mapping.leak();
        SpareTable { memory, slots: slots(cells_of(memory), TABLE_CELLS) }
    }

    pub(crate) fn memory(&self) -> Leaked {
        self.memory
    }

    /// The cell with this number within the table, which is below `TABLE_CELLS`.
    fn cell(&self, within: u32) -> CellRef {
        debug_assert!(within < TABLE_CELLS);
        // SAFETY: a table holds that many cells.
        CellRef(unsafe { cells_of(self.memory).add(within as usize * CELL_LEN) })
    }

    /// Notes which lane it belongs to, and what number its first cell has there.
    fn label(&self, lane: u16, first: u32) {
        // SAFETY: offset 24 lies within a table file.
        let first_cell = unsafe { self.memory.base.add(24) }.cast::<AtomicU32>();
        // SAFETY: mapped for ever (N4), aligned, and any bits are an AtomicU32.
        unsafe { first_cell.as_ref() }.store(first.to_le(), Ordering::Relaxed);
        // SAFETY: offset 16 lies within a table file.
        let owner = unsafe { self.memory.base.add(16) }.cast::<AtomicU32>();
        // SAFETY: as for the first cell.
        unsafe { owner.as_ref() }.store((u32::from(lane) + 1).to_le(), Ordering::Release);
    }
}

impl Lane {
    /// Formats `mapping`, of zeros and as long as [`lane_file_len`] says, as the lane with this number.
    pub(crate) fn format(number: u16, mut mapping: Mapping, ring_bytes: usize) -> Self {
        assert_eq!(
            mapping.len(),
            lane_file_len(ring_bytes),
            "a lane file has the length that its ring asks for"
        );
        assert!(ring_bytes.is_power_of_two(), "a ring's length is a power of two");
        mapping.write(16, &u32::from(number).to_le_bytes());
        mapping.write(20, &LANE_CELLS.to_le_bytes());
        mapping.write(24, &(ring_bytes as u64).to_le_bytes());
        file_head::write(&mut mapping, &LANE_MAGIC, VERSION);
        let memory = mapping.leak();
        // SAFETY: the offset lies within the file's length, asserted above.
        let producer_line = unsafe { memory.base.add(PRODUCER_AT) }.cast::<ProducerLine>();
        // SAFETY: mapped for ever (N4), aligned to 128 as mappings start at a page, and zeros are valid atomics.
        let producer_line: &'static ProducerLine = unsafe { producer_line.as_ref() };
        // SAFETY: as for the producer's line.
        let consumer_line = unsafe { memory.base.add(CONSUMER_AT) }.cast::<ConsumerLine>();
        // SAFETY: as for the producer's line.
        let consumer_line: &'static ConsumerLine = unsafe { consumer_line.as_ref() };
        let cells = cells_of(memory);
        // SAFETY: as above.
        let ring_base = unsafe { cells.add(LANE_CELLS as usize * CELL_LEN) };
        // SAFETY: the ring ends with the mapping, which stays (N4); its start is a multiple of a cell's length.
        let bytes = unsafe { Bytes::new(ring_base, ring_bytes) };
        Lane {
            number,
            producer_line,
            consumer_line,
            ring: Ring::new(&producer_line.tail, &consumer_line.read, bytes),
            memory,
            table: Table::new(LaneCells { cells, slots: slots(cells, LANE_CELLS) }),
            owner: Owner::default(),
        }
    }

    #[inline]
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn memory(&self) -> Leaked {
        self.memory
    }

    #[inline]
    pub(crate) fn producer(&self) -> &Producer {
        &self.owner.producer
    }

    #[inline]
    pub(crate) fn producer_line(&self) -> &'static ProducerLine {
        self.producer_line
    }

    pub(crate) fn consumer_line(&self) -> &'static ConsumerLine {
        self.consumer_line
    }

    /// Takes a cell. Only for the holder.
    #[inline]
    pub(crate) fn claim(&self) -> Option<u32> {
        self.table.claim()
    }

    /// Takes a free cell of the lane's own file, with its slot. `None` where there is none, or it takes longer to find one. Only for the
    /// holder.
    #[inline(always)]
    pub(crate) fn claim_near(&self) -> Option<(u32, &'static Slot)> {
        let number = self.table.first_free();
        let slot = self.table.cells().slots.get(number as usize)?; // nor does the end of the list have one
        self.table.take_own(number);
        Some((number, slot))
    }

    /// Gives a cell of this lane back. Only for the holder.
    #[inline]
    pub(crate) fn free(&self, number: u32) {
        self.table.free(number);
    }

    /// Gives a cell of this lane back, from any thread.
    pub(crate) fn return_cell(&self, number: u32) {
        self.table.return_cell(number);
    }

    /// Whether the lane can take a further table. Only for the holder.
    pub(crate) fn can_take_table(&self) -> bool {
        self.table.can_take()
    }

    /// Takes a further table. Only for the holder; `false` where the lane has as many as it can.
    pub(crate) fn take_table(&self, table: &'static SpareTable) -> bool {
        self.table.take(table, |first| table.label(self.number, first))
    }

    /// The cell with this number.
    #[inline]
    pub(crate) fn cell(&self, number: u32) -> CellRef {
        if number < LANE_CELLS { self.table.cells().cell(number) } else { self.cell_of_table(number) }
    }

    #[cold]
    fn cell_of_table(&self, number: u32) -> CellRef {
        let (table, within) = self.table.further(number);
        table.cell(within)
    }

    /// In a forked child, for a lane of its parent: see [`Slot::close`].
    pub(crate) fn close_slots(&self) {
        let further = self.table.all_further().flat_map(|table| table.slots);
        self.table.cells().slots.iter().chain(further).for_each(Slot::close);
    }

    /// The slot of the cell with this number: this thread's, as long as the cell is.
    #[inline]
    pub(crate) fn slot(&self, number: u32) -> &'static Slot {
        match self.table.cells().slots.get(number as usize) {
            Some(slot) => slot,
            None => self.slot_of_table(number),
        }
    }

    #[cold]
    fn slot_of_table(&self, number: u32) -> &'static Slot {
        let (table, within) = self.table.further(number);
        &table.slots[within as usize]
    }
}

/// Where the cells of a lane or table file start.
fn cells_of(memory: Leaked) -> NonNull<u8> {
    // SAFETY: both kinds of files are longer than what lies before their cells.
    unsafe { memory.base.add(CELLS_AT) }
}

/// The slots of so many cells, which live as long as their mapping.
fn slots(cells: NonNull<u8>, count: u32) -> &'static [Slot] {
    let slot = |number: u32| {
        // SAFETY: the caller's file holds that many cells.
        Slot::of(CellRef(unsafe { cells.add(number as usize * CELL_LEN) }))
    };
    Box::leak((0..count).map(slot).collect())
}

/// A cell in a mapping that stays (N4).
#[derive(Clone, Copy, Debug)]
pub(crate) struct CellRef(NonNull<u8>);

// SAFETY: it is an address in a leaked mapping (N4); who may use the content is N2's matter.
unsafe impl Send for CellRef {}

impl CellRef {
    /// The words in front of the content.
    #[inline]
    pub(crate) fn header(&self) -> &'static CellHeader {
        // SAFETY: mapped for ever (N4), aligned to the length of a cell, and any bits are valid atomics.
        unsafe { self.0.cast::<CellHeader>().as_ref() }
    }

    /// The first byte of the content.
    #[inline]
    pub(crate) fn content(&self) -> NonNull<u8> {
        // SAFETY: the header is shorter than the cell.
        unsafe { self.0.add(CELL_HEADER_LEN) }
    }
}
