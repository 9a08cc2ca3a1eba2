//! A lane for the models: the shipped ring, table and tally, with cells that the models watch in place of mapped ones.
#![expect(
    unsafe_code,
    reason = "watched cells are reached through raw pointers, and the models are producer and consumer"
)]

use super::{Cells, Table};
use crate::record::{KIND_ENDED, KIND_PADDING, RECORD_HEADER_LEN, record_word};
use crate::return_list::END;
use crate::ring::{Producer, Ring, Room};
use crate::sync::{AtomicU64, Bytes, Cell, UnsafeCell};
use crate::tally::{ProducerLine, RING_FULL};

/// How long the model's records are: a ring of 64 bytes holds two, and the third lies behind padding.
pub(crate) const RECORD_LEN: usize = RECORD_HEADER_LEN;

/// A cell: its link, and a content of one word, which belongs to whoever has claimed it.
pub(crate) struct ModelCell {
    link: AtomicU64,
    content: UnsafeCell<u64>,
}

/// The cells of a model's lane: as few as show what is to be shown.
pub(crate) struct ModelCells<const OWN: usize>([ModelCell; OWN]);

/// A further table, of one cell.
pub(crate) type ModelTable = ModelCells<1>;

// SAFETY: the content is reached as the cells' users are entitled to, which it checks.
unsafe impl<const OWN: usize> Send for ModelCells<OWN> {}
// SAFETY: as for Send.
unsafe impl<const OWN: usize> Sync for ModelCells<OWN> {}

impl<const OWN: usize> ModelCells<OWN> {
    pub(crate) fn new() -> Self {
        ModelCells(std::array::from_fn(|_| ModelCell {
            link: AtomicU64::new(END),
            content: UnsafeCell::new(0),
        }))
    }

    /// Writes to a cell, by whoever makes them.
    pub(crate) fn write(&self, number: usize, word: u64) {
        // SAFETY: nobody else has them yet; the cell checks it.
        self.0[number].content.with_mut(|content| unsafe { *content = word });
    }
}

impl<const OWN: usize> Cells for ModelCells<OWN> {
    type Further = ModelTable;
    #[expect(clippy::cast_possible_truncation, reason = "there are one or two")]
    const OWN: u32 = OWN as u32;
    const FURTHER: u32 = 1;

    fn own_link(&self, number: u32) -> &AtomicU64 {
        &self.0[number as usize].link
    }

    fn link_within(further: &ModelTable, within: u32) -> &AtomicU64 {
        &further.0[within as usize].link
    }
}

/// What `lane.rs` puts together, less the mapping.
pub(crate) struct ModelLane<const OWN: usize> {
    pub(crate) number: u16,
    pub(crate) table: Table<ModelCells<OWN>>,
    pub(crate) ring: Ring<Box<AtomicU64>>,
    pub(crate) producer: Producer,
    pub(crate) started: Cell<u64>,
    pub(crate) ended: Cell<u64>,
    /// Beside the line, as a load of that would hide another thread's from loom.
    dropped: Cell<u64>,
    pub(crate) line: ProducerLine,
}

// SAFETY: what is not atomic belongs to the lane's holder, which the models check.
unsafe impl<const OWN: usize> Send for ModelLane<OWN> {}
// SAFETY: as for Send.
unsafe impl<const OWN: usize> Sync for ModelLane<OWN> {}

impl<const OWN: usize> ModelLane<OWN> {
    pub(crate) fn new(number: u16, ring_bytes: usize) -> Self {
        ModelLane {
            number,
            table: Table::new(ModelCells::new()),
            ring: Ring::new(
                Box::new(AtomicU64::new(0)),
                Box::new(AtomicU64::new(0)),
                Bytes::zeros(ring_bytes),
            ),
            producer: Producer::default(),
            started: Cell::new(0),
            ended: Cell::new(0),
            dropped: Cell::new(0),
            line: ProducerLine {
                tail: AtomicU64::new(0),
                ended: AtomicU64::new(0),
                started: AtomicU64::new(0),
                dropped: std::array::from_fn(|_| AtomicU64::new(0)),
            },
        }
    }

    fn content(&self, number: u32) -> &UnsafeCell<u64> {
        if number < ModelCells::<OWN>::OWN {
            &self.table.cells().0[number as usize].content
        } else {
            let (further, within) = self.table.further(number);
            &further.0[within as usize].content
        }
    }

    /// Writes to a cell that the caller has claimed.
    pub(crate) fn write(&self, number: u32, word: u64) {
        // SAFETY: a claimed cell is its claimer's; the cell checks it.
        self.content(number).with_mut(|content| unsafe { *content = word });
    }

    /// Reads a cell that the caller has claimed.
    pub(crate) fn read(&self, number: u32) -> u64 {
        // SAFETY: a claimed cell is its claimer's; the cell checks it.
        self.content(number).with(|content| unsafe { *content })
    }

    /// As the lane's: takes a free cell of its own, if that is the first one.
    fn claim_near(&self) -> Option<u32> {
        let number = self.table.first_free();
        (number < ModelCells::<OWN>::OWN).then(|| {
            self.table.take_own(number);
            number
        })
    }

    /// Starts a span, as a slot does. Only for the holder.
    pub(crate) fn start(&self, word: u64) -> Option<u32> {
        let number = self.claim_near().or_else(|| self.table.claim())?;
        self.write(number, word);
        self.started.set(self.started.get() + 1);
        self.line.count_started(self.started.get());
        Some(number)
    }

    /// Ends a span, which may be of another lane, into this one's ring, as a slot does: whether there was room. Only for the holder.
    pub(crate) fn end(&self, home: &Self, number: u32) -> bool {
        let word = home.read(number);
        let ended = self.push(self.ended.get() + 1, word);
        if ended {
            self.ended.set(self.ended.get() + 1);
            self.line.count_ended(self.ended.get());
        } else {
            self.dropped.set(self.dropped.get() + 1);
            self.line.count_dropped(RING_FULL, self.dropped.get());
        }
        home.write(number, 0);
        if std::ptr::eq(self, home) {
            self.table.free(number)
        } else {
            home.table.return_cell(number)
        }
        ended
    }

    /// Fills the ring with a record that is no span's. Only for the holder.
    pub(crate) fn fill(&self) {
        self.push(0, 0);
    }

    /// Publishes a record of two words.
    fn push(&self, ordinal: u64, word: u64) -> bool {
        let Some(position) = self.ring.place(&self.producer, RECORD_LEN) else { return false };
        let head = record_word(u32::try_from(RECORD_LEN).unwrap(), KIND_ENDED, 0);
        // SAFETY: the record was placed just now, and is as long.
        unsafe { self.ring.begin(position, &[head, ordinal, word], &[]) };
        self.ring.publish(position + RECORD_LEN as u64);
        true
    }

    /// Shows the ordinals and words of the records from `at` on, as the only consumer does, and gives their space back; where it stopped.
    pub(crate) fn consume(&self, at: u64, mut look: impl FnMut(u64, u64)) -> u64 {
        let tail = self.ring.tail();
        if at == tail {
            return at;
        }
        // SAFETY: there is one consumer, and `at` steps from record to record.
        let seen = unsafe {
            self.ring.records(at, tail, |mut bytes| {
                let all = bytes.len();
                while let Some((word, rest)) = bytes.split_first_chunk::<8>() {
                    let word = u64::from_le_bytes(*word);
                    let len = usize::try_from(word & 0xffff_ffff).unwrap();
                    assert!(len >= 8 && len <= bytes.len(), "a record is whole");
                    if word != record_word(u32::try_from(len).unwrap(), KIND_PADDING, 0) {
                        let word = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().unwrap());
                        look(word(0), word(8));
                    }
                    bytes = &bytes[len..];
                }
                all
            })
        };
        self.ring.release(at + seen as u64);
        at + seen as u64
    }
}
