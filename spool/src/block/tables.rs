//! The tables of a block that is being built: its traces, and its names and keys.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use spanring::TraceId;
use spanring::names::{DEADLINE, DEFAULT_INPUT};

use super::columns::{Column, Columns, put_bytes};

/// The traces of the block.
#[derive(Default)]
pub(super) struct Traces {
    indices: HashMap<TraceId, u64>,
    last: Option<(TraceId, u64)>,
}

impl Traces {
    #[inline]
    pub(super) fn index(&mut self, id: TraceId, ids: &mut Column) -> u64 {
        match self.last {
            Some((last, index)) if last == id => index,
            _ => {
                let next = self.indices.len() as u64;
                let index = *self.indices.entry(id).or_insert(next);
                if index == next {
                    ids.extend_from_slice(&id.to_bytes());
                }
                self.last = Some((id, index));
                index
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.indices.clear();
        self.last = None;
    }
}

/// What a key means to the row that an attribute of it stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    None,
    Deadline,
    DefaultInput,
}

impl Role {
    pub(super) fn of(key: &[u8]) -> Self {
        if key == DEADLINE.as_bytes() {
            Role::Deadline
        } else if key == DEFAULT_INPUT.as_bytes() {
            Role::DefaultInput
        } else {
            Role::None
        }
    }
}

/// A name or key of the dictionary that the block has.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) index: u32,
    pub(super) role: Role,
    len: u32,
}

/// The names and keys of the block.
#[derive(Default)]
pub(super) struct Texts {
    /// By their number in the dictionary.
    known: Vec<Option<Known>>,
    /// By the hash of the text, for those that are in no dictionary.
    inline: HashMap<u64, u32>,
    hasher: RandomState,
    /// Where each one lies in the column.
    ranges: Vec<(usize, usize)>,
    /// How many bytes they take where each is written out.
    pub(super) spread_len: usize,
}

impl Texts {
    #[inline]
    pub(super) fn known(&self, number: u16) -> Option<Known> {
        *self.known.get(usize::from(number))?
    }

    /// The index of a name or key that is used once more.
    #[inline]
    pub(super) fn used(&mut self, known: Known) -> u64 {
        self.spread_len += known.len as usize;
        known.index.into()
    }

    pub(super) fn learn(&mut self, number: u16, text: &str, columns: &mut Columns<Column>) -> u64 {
        let index = self.add(text, columns);
        let number = usize::from(number);
        if number >= self.known.len() {
            self.known.resize(number + 1, None);
        }
        let len = u32::try_from(text.len()).expect("a text of the dictionary is no 4 GiB long");
        self.known[number] = Some(Known { index, len, role: Role::of(text.as_bytes()) });
        index.into()
    }

    /// Two texts of the same hash are rare, and the later one then simply stands there as often as it is used.
    pub(super) fn inline(&mut self, text: &str, columns: &mut Columns<Column>) -> u64 {
        let hash = self.hasher.hash_one(text);
        if let Some(&index) = self.inline.get(&hash) {
            let (start, end) = self.ranges[index as usize];
            if columns.texts[start..end] == *text.as_bytes() {
                self.spread_len += text.len();
                return index.into();
            }
        }
        let index = self.add(text, columns);
        self.inline.insert(hash, index);
        index.into()
    }

    fn add(&mut self, text: &str, columns: &mut Columns<Column>) -> u32 {
        let start = columns.texts.len();
        put_bytes(&mut columns.text_lens, &mut columns.texts, text.as_bytes());
        let index = u32::try_from(self.ranges.len()).expect("memory holds no 4 billion texts");
        self.ranges.push((start, columns.texts.len()));
        self.spread_len += text.len();
        index
    }

    pub(super) fn clear(&mut self) {
        self.known.fill(None);
        self.inline.clear();
        self.ranges.clear();
        self.spread_len = 0;
    }
}
