//! The last so many notes, found by their keys.
//!
//! The bytes of each lie behind those of the one before, and an index says where the last one of a key lies. One that was written again since lies where
//! it is until it is the oldest.
//!
//! ```text
//!   │ note │ note │ … │     │ note │ note │ … │     │ note │ note │ … │
//!     ▲                              ▲                              ▲
//!     oldest                         middle                         end
//! ```
//!
//! So a note takes its bytes, 4 for their lengths, and about 12 of the index, and grows by no doubling: a hundred thousand notes of 75 bytes take 9 MB.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

const CHUNK_LEN: usize = 32 * 1024;
/// Two lengths, of two bytes each.
const HEAD_LEN: usize = 4;

pub(super) struct Latest {
    notes: Notes,
    /// Where the last note of each key lies.
    index: HashTable<u64>,
    /// What keys are is said by others too, who shall not choose which of them share a place in the index.
    hasher: RandomState,
    /// How many there were.
    count: u64,
    /// How many are kept.
    max: u64,
    /// Where the oldest lies that is kept.
    oldest: u64,
    /// Where the oldest of the newer half of as many as are kept lies.
    middle: u64,
}

/// The notes where they lie. A place counts from the first that ever was.
#[derive(Default)]
struct Notes {
    /// Whole ones, so many bytes at most.
    chunks: VecDeque<Vec<u8>>,
    /// How many chunks were before these.
    gone: u64,
}

impl Latest {
    /// None, of which the last `max` are kept, one at least.
    pub(super) fn new(max: u64) -> Self {
        Latest {
            notes: Notes::default(),
            index: HashTable::new(),
            hasher: RandomState::new(),
            count: 0,
            max: max.max(1),
            oldest: 0,
            middle: 0,
        }
    }

    /// What the last note of a key says.
    pub(super) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        Some(self.notes.at(self.place(key)?).1)
    }

    /// Whether as many notes as half of those that are kept came behind the last one of a key.
    pub(super) fn is_old(&self, key: &[u8]) -> bool {
        self.place(key).is_some_and(|place| place < self.middle)
    }

    /// The last note of each key, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut place = self.oldest;
        let all = (0..self.count.min(self.max)).map(move |_| {
            let (at, (key, value)) = (place, self.notes.at(place));
            place = self.notes.behind(place);
            (at, key, value)
        });
        all.filter(|&(at, key, _)| self.place(key) == Some(at)).map(|(_, key, value)| (key, value))
    }

    /// Adds a note, and lets the oldest one go if there are too many. One that is longer than any is counted only, as one without a key is.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        let is_known = !key.is_empty() && HEAD_LEN + key.len() + value.len() <= CHUNK_LEN;
        let (key, value) = if is_known { (key, value) } else { (&[][..], &[][..]) };
        let place = self.notes.push(key, value);
        if is_known {
            let Latest { notes, index, hasher, .. } = self;
            let entry = index.entry(
                hasher.hash_one(key),
                |&place| notes.at(place).0 == key,
                |&place| hasher.hash_one(notes.at(place).0),
            );
            // Also where the key was there: the place is another.
            *entry.or_insert(place).get_mut() = place;
        }
        self.count += 1;
        if self.count > self.max / 2 + 1 {
            self.middle = self.notes.behind(self.middle);
        }
        if self.count > self.max {
            self.let_go();
        }
    }

    /// Forgets what was noted under a key.
    pub(super) fn forget(&mut self, key: &[u8]) {
        let Latest { notes, index, hasher, .. } = self;
        if let Ok(entry) = index.find_entry(hasher.hash_one(key), |&place| notes.at(place).0 == key) {
            entry.remove();
        }
    }

    fn place(&self, key: &[u8]) -> Option<u64> {
        self.index.find(self.hasher.hash_one(key), |&place| self.notes.at(place).0 == key).copied()
    }

    fn let_go(&mut self) {
        let Latest { notes, index, hasher, oldest, .. } = self;
        let hash = hasher.hash_one(notes.at(*oldest).0);
        // Of a key that was noted again the index says another place.
        if let Ok(entry) = index.find_entry(hash, |place| place == oldest) {
            entry.remove();
        }
        *oldest = notes.behind(*oldest);
        notes.let_go(*oldest);
    }
}

impl Notes {
    /// Adds a note that fits a chunk, and says where it lies.
    fn push(&mut self, key: &[u8], value: &[u8]) -> u64 {
        let len = HEAD_LEN + key.len() + value.len();
        if self.chunks.back().is_none_or(|last| last.len() + len > CHUNK_LEN) {
            // The first grows, as most processes say little.
            self.chunks.push_back(Vec::with_capacity(if self.chunks.is_empty() { 0 } else { CHUNK_LEN }));
        }
        let nth = self.gone + self.chunks.len() as u64 - 1;
        let chunk = self.chunks.back_mut().expect("there is one with room");
        let place = nth * CHUNK_LEN as u64 + chunk.len() as u64;
        for len in [key.len(), value.len()] {
            let len = u16::try_from(len).expect("no chunk is longer than two bytes say");
            chunk.extend(len.to_le_bytes());
        }
        chunk.extend(key);
        chunk.extend(value);
        place
    }

    /// The key and the value of the note that lies at this place.
    fn at(&self, place: u64) -> (&[u8], &[u8]) {
        let (nth, at) = self.split(place);
        let bytes = &self.chunks[nth][at..];
        let [key_len, value_len] =
            [0, 2].map(|at| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]])));
        bytes[HEAD_LEN..HEAD_LEN + key_len + value_len].split_at(key_len)
    }

    /// Where the note lies that comes behind the one at this place, or would.
    fn behind(&self, place: u64) -> u64 {
        let (key, value) = self.at(place);
        let (nth, at) = self.split(place);
        let end = at + HEAD_LEN + key.len() + value.len();
        match end == self.chunks[nth].len() && nth + 1 < self.chunks.len() {
            true => (self.gone + nth as u64 + 1) * CHUNK_LEN as u64,
            false => place + (end - at) as u64,
        }
    }

    /// Lets the chunks go that lie before this place.
    fn let_go(&mut self, place: u64) {
        while self.split(place).0 > 0 {
            self.chunks.pop_front();
            self.gone += 1;
        }
    }

    /// Which of the chunks that are here a place is in, and where in it.
    fn split(&self, place: u64) -> (usize, usize) {
        let (nth, at) = (place / CHUNK_LEN as u64 - self.gone, place % CHUNK_LEN as u64);
        let whole = |of| usize::try_from(of).expect("no more chunks and bytes are here than fit in memory");
        (whole(nth), whole(at))
    }
}

const _: () = assert!(CHUNK_LEN <= u16::MAX as usize, "lengths have two bytes");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: u64 = 20;

    proptest! {
        /// Against a list of all notes.
        #[test]
        fn the_last_notes_are_there_and_no_others(
            ops in prop::collection::vec((0..30_u8, 0..3_000_usize, 0..8_u8), 0..300),
        ) {
            let mut latest = Latest::new(MAX);
            let mut all = Vec::<Option<(Vec<u8>, Vec<u8>)>>::new();
            for (number, len, op) in ops {
                let (key, value) = (vec![number; 1 + usize::from(number)], vec![number ^ op; len]);
                match op {
                    0 => {
                        latest.forget(&key);
                        all.iter_mut().for_each(|note| *note = note.take_if(|note| note.0 != key));
                    }
                    1 => {
                        latest.push(&[], b"of nothing");
                        all.push(None);
                    }
                    2 => {
                        latest.push(&key, &vec![0; CHUNK_LEN]);
                        all.push(None);
                    }
                    _ => {
                        latest.push(&key, &value);
                        all.push(Some((key, value)));
                    }
                }
                let kept = all.len().saturating_sub(20)..;
                for number in 0..30_u8 {
                    let key = vec![number; 1 + usize::from(number)];
                    let is_of = |note: &Option<(Vec<u8>, Vec<u8>)>| note.as_ref().is_some_and(|note| note.0 == key);
                    let at = all[kept.clone()].iter().rposition(is_of).map(|at| kept.start + at);
                    let value = at.map(|at| &*all[at].as_ref().unwrap().1);
                    prop_assert_eq!(latest.get(&key), value);
                    prop_assert_eq!(latest.is_old(&key), at.is_some_and(|at| at + 11 < all.len()));
                }
                let is_last = |at: &usize| {
                    let key_of = |at: usize| all[at].as_ref().map(|note| &note.0);
                    key_of(*at).is_some() && (at + 1..all.len()).all(|later| key_of(later) != key_of(*at))
                };
                let expected = (kept.start..all.len()).filter(is_last);
                let expected = expected.map(|at| all[at].as_ref().map(|(key, value)| (&key[..], &value[..])).unwrap());
                prop_assert!(latest.iter().eq(expected));
                let bytes: usize = all[kept].iter().flatten().map(|(key, value)| key.len() + value.len()).sum();
                prop_assert!(latest.notes.chunks.len() * CHUNK_LEN <= 2 * bytes + 2 * CHUNK_LEN);
            }
        }
    }
}
