//! How far one sink has got in what one recorder wrote.
//!
//! A cursor may lag behind the truth and never leads it: to lag costs that some spans are delivered twice, to lead would
//! lose them. So the order is: the sink has answered, the cursor is [stored](Cursor::store), the cursor is
//! [synced](Cursor::sync), and only then is a segment removed.
//!
//! # The cursor format, version 0
//!
//! A file of 8192 bytes, whose space is secured when it is created, so that it can be written on a full disk. A recorder makes a few spare ones, all zeros,
//! which become cursors where there is no space for others: only delivery gives some back. It has two
//! slots of 512 bytes, at 0 and at 4096, which no disk writes in one go; the rest is zero. All integers are little-endian.
//!
//! ```text
//! slot   0          8         10         12     16           24     32        40       48
//!        ┌──────────┬─────────┬──────────┬──────┬────────────┬──────┬─────────┬────────┬──────
//!        │ SPRGCURS │ version │ name len │ crc  │ generation │ hash │ segment │ offset │ ...
//!        └──────────┴─────────┴──────────┴──────┴────────────┴──────┴─────────┴────────┴──────
//!           48              56          64              72        80      104       112     120       128      128 + name len  512
//!        ───┬───────────────┬───────────┬───────────────┬─────────┬───────┬─────────┬───────┬─────────┬──────────────────┬───────┐
//!           │ next sequence │ delivered │ dead-lettered │ dropped │ ahead │ settled │ clock │ endless │ name of the sink │ zeros │
//!        ───┴───────────────┴───────────┴───────────────┴─────────┴───────┴─────────┴───────┴─────────┴──────────────────┴───────┘
//!        crc          CRC-32C over every other byte of the slot
//!        generation   from 1 on, one more with each store: odd ones in the first slot, even ones in the second
//!        hash         FNV-1a of 64 bits over the whole name of the sink
//!        ahead        segment, offset and next sequence of the second place
//!        clock        the latest moment that any row before told, in nanoseconds since the Unix epoch
//!        endless      how many spans the recorder had dropped by then
//!        name         its first 384 bytes, up to a whole character
//! ```
//!
//! Of the slots that check and are of the sink, the one with the higher generation holds. Where none does, the cursor
//! stands at the very beginning. A store overwrites the slot that does not hold, so a write that is torn leaves the place
//! before it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::position::Position;
use crate::storage::{
    DiskStorage, HeldLock, Storage, StorageFile, StorageSync, is_for_want_of_space, open_regular,
};
use crate::{Error, layout};

/// What a cursor holds: the place, and what became of all spans that the sink is done with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CursorState {
    /// Behind the last block that the sink is done with.
    pub position: Position,
    /// Where the sink is handed traces once they are over: behind the last block that was looked through for such. Of the blocks from
    /// [`position`](Self::position) up to here it is done with all traces that were over by then, and with no others. For all other sinks it is
    /// the same place.
    pub ahead: Position,
    /// What of that it was handed since nothing more came for a while: 0 nothing, 1 the traces that had no open span, 2 everything, as the
    /// recorder is over.
    pub settled: u64,
    /// Where the sink is handed traces once they are over: the latest moment that any row before [`position`](Self::position) told, in
    /// nanoseconds since the Unix epoch, as far as that was believed. 0 for all other sinks.
    pub clock: u64,
    /// The same of how many spans the recorder had dropped by then, whose ends never come.
    pub endless: u64,
    /// How many spans it acknowledged.
    pub delivered: u64,
    /// How many it refused for good, and that were set aside.
    pub dead_lettered: u64,
    /// How many were given up for other reasons, damage included.
    pub dropped: u64,
}

/// The durable place of one sink in one recorder. One process at a time has it open.
pub struct Cursor {
    file: Box<dyn StorageFile>,
    syncer: Arc<dyn StorageSync>,
    path: PathBuf,
    sink: Sink,
    newest: Slot,
    sync_failed: bool,
    _lock: HeldLock,
}

/// Length of a cursor's file in bytes.
pub const CURSOR_LEN: usize = SLOTS_AT[1] + 4096;
const SLOTS_AT: [usize; 2] = [0, 4096];
const SLOT_LEN: usize = 512;
const MAGIC: &[u8; 8] = b"SPRGCURS";
const VERSION: u16 = 0;
const CRC_AT: usize = 12;
const NAME_AT: usize = 128;
const NAME_LEN_MAX: usize = SLOT_LEN - NAME_AT;

impl Cursor {
    /// Opens the cursor of a sink in the directory of a recorder, and creates it where there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] while it is open elsewhere; [`Error::Damaged`] where it belongs to another sink whose name has the
    /// same hash; [`Error::Io`].
    pub fn open(recorder_dir: &Path, sink_name: &str) -> Result<Self, Error> {
        Self::open_in(&DiskStorage, recorder_dir, sink_name)
    }

    /// As [`open`](Cursor::open), in a storage of one's own.
    ///
    /// # Errors
    ///
    /// As for [`open`](Cursor::open).
    pub fn open_in(storage: &dyn Storage, recorder_dir: &Path, sink_name: &str) -> Result<Self, Error> {
        let sink = Sink::new(sink_name);
        let path = recorder_dir.join(sink.file_name());
        let created = match storage.create(&path, CURSOR_LEN as u64) {
            Err(error) if is_for_want_of_space(&error) => take_spare(storage, recorder_dir, &path, error),
            created => created.map(drop),
        };
        match created {
            // Its name survives a power cut from here on; else a sync of its content would be for nothing.
            Ok(()) => storage.sync_dir(recorder_dir).map_err(Error::io("sync", recorder_dir))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", &path)(error)),
        }
        let lock = storage.lock(&path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::Locked { action: "open the cursor", path: path.clone() },
            _ => Error::io("lock", &path)(error),
        })?;
        let file = storage.open(&path, CURSOR_LEN as u64).map_err(Error::io("open", &path))?;
        let newest = sink.newest(&lock, &path)?;
        Ok(Cursor {
            syncer: file.syncer(),
            file,
            path,
            sink,
            // Whoever had it open may have failed to sync what it stored last.
            sync_failed: newest.generation > 0,
            newest,
            _lock: HeldLock::new(lock),
        })
    }

    /// What the cursor of a sink holds, without opening it for writing; the beginning where there is none.
    ///
    /// # Errors
    ///
    /// As for [`open`](Cursor::open), [`Error::Locked`] excepted.
    pub fn peek(recorder_dir: &Path, sink_name: &str) -> Result<CursorState, Error> {
        let sink = Sink::new(sink_name);
        let path = recorder_dir.join(sink.file_name());
        match open_regular(&path, OFlags::RDONLY) {
            Ok(file) => Ok(sink.newest(&file, &path)?.state),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(CursorState::default()),
            Err(error) => Err(Error::io("open", &path)(error)),
        }
    }

    /// The sinks that have got somewhere in a recorder, and what their cursors hold, without opening any for writing. Of a name that is longer
    /// than a cursor holds it is the beginning, up to 384 bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn peek_all(recorder_dir: &Path) -> Result<Vec<(String, CursorState)>, Error> {
        let mut all = Vec::new();
        let names = DiskStorage.list(recorder_dir).map_err(Error::io("list", recorder_dir))?;
        for hash in names.iter().filter_map(|name| layout::cursor_hash(name)) {
            let path = recorder_dir.join(layout::cursor(hash));
            let file = match open_regular(&path, OFlags::RDONLY) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("open", &path)(error)),
            };
            for (_, _, sink) in slots(&file, &path)?.into_iter().filter(|(_, _, sink)| sink.hash == hash) {
                let newest = sink.newest(&file, &path)?;
                if newest.generation > 0 {
                    all.push((sink.name, newest.state));
                    break;
                }
            }
        }
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(all)
    }

    /// What was stored last.
    pub fn state(&self) -> CursorState {
        self.newest.state
    }

    /// Stores a new state, in place of the one before the last. It survives a kill from here on, and a power cut once it is
    /// [synced](Cursor::sync).
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; the cursor then stays at the last state that was stored, and its file holds that one or this one.
    pub fn store(&mut self, state: CursorState) -> Result<(), Error> {
        let next = Slot { generation: self.newest.generation + 1, state };
        let at = slot_at(next.generation) as u64;
        let bytes = next.encode(&self.sink);
        self.file.write(at, &bytes).map_err(Error::io("write", &self.path))?;
        self.newest = next;
        Ok(())
    }

    /// Makes what was stored last survive a power cut.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; what was stored since the last success may then be lost with a power cut, so nothing may be
    /// removed on its strength. A later call stores it again before it syncs.
    pub fn sync(&mut self) -> Result<(), Error> {
        if self.sync_failed {
            // The kernel calls the pages clean although they were not written: another sync alone would do nothing.
            self.store(self.newest.state)?;
        }
        let synced = self.syncer.sync();
        self.sync_failed = synced.is_err();
        synced.map_err(Error::io("sync", &self.path))
    }
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor")
            .field("path", &self.path)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// Makes a spare file the cursor at `path`, which could not be created for this reason.
fn take_spare(
    storage: &dyn Storage,
    recorder_dir: &Path,
    path: &Path,
    reason: io::Error,
) -> Result<(), io::Error> {
    for spare in layout::spare_cursors() {
        match storage.rename(&recorder_dir.join(spare), path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => return renamed,
        }
    }
    Err(reason)
}

/// A sink, as its cursor knows it.
struct Sink {
    hash: u64,
    name: String,
}

impl Sink {
    fn new(name: &str) -> Self {
        let cut = name.floor_char_boundary(NAME_LEN_MAX);
        Sink { hash: fnv1a(name.as_bytes()), name: name[..cut].to_owned() }
    }

    fn file_name(&self) -> String {
        layout::cursor(self.hash)
    }

    /// The slot that holds in the file of this sink's cursor.
    fn newest(&self, file: &File, path: &Path) -> Result<Slot, Error> {
        let mut newest = Slot::default();
        for (at, slot, sink) in slots(file, path)?.into_iter().filter(|(_, _, sink)| sink.hash == self.hash) {
            if sink.name != self.name {
                let reason = "it belongs to another sink, whose name has the same hash";
                return Err(Error::Damaged { path: path.to_owned(), offset: at as u64, reason });
            }
            // A generation elsewhere than in its own slot, or the last there can be, was stored by nobody.
            let own = slot_at(slot.generation) == at && slot.generation < u64::MAX;
            if own && slot.generation > newest.generation {
                newest = slot;
            }
        }
        Ok(newest)
    }
}

/// The slots of a file that check, with where they lie and the sink that each names.
fn slots(file: &File, path: &Path) -> Result<Vec<(usize, Slot, Sink)>, Error> {
    let mut slots = Vec::new();
    for at in SLOTS_AT {
        let mut bytes = [0; SLOT_LEN];
        match file.read_exact_at(&mut bytes, at as u64) {
            Ok(()) => slots.extend(Slot::decode(&bytes).map(|(slot, sink)| (at, slot, sink))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
    Ok(slots)
}

/// One state, and how many were stored before it. Generation 0 is the beginning, and is never stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Slot {
    generation: u64,
    state: CursorState,
}

impl Slot {
    fn encode(&self, sink: &Sink) -> [u8; SLOT_LEN] {
        let CursorState { position, ahead, settled, clock, endless, delivered, dead_lettered, dropped } =
            self.state;
        let name_len = u16::try_from(sink.name.len()).expect("a sink's name is cut to its room in a slot");
        let mut bytes = [0; SLOT_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&name_len.to_le_bytes());
        let [at, ahead] = [position, ahead].map(|place| [place.segment, place.offset, place.next_sequence]);
        let before = [self.generation, sink.hash].into_iter().chain(at);
        let numbers =
            before.chain([delivered, dead_lettered, dropped]).chain(ahead).chain([settled, clock, endless]);
        for (number, field) in numbers.zip(bytes[16..NAME_AT].chunks_exact_mut(8)) {
            field.copy_from_slice(&number.to_le_bytes());
        }
        bytes[NAME_AT..][..sink.name.len()].copy_from_slice(sink.name.as_bytes());
        let crc = checksum(&bytes);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; SLOT_LEN]) -> Option<(Self, Sink)> {
        if &bytes[..8] != MAGIC
            || bytes[8..10] != VERSION.to_le_bytes()
            || bytes[CRC_AT..CRC_AT + 4] != checksum(bytes).to_le_bytes()
        {
            return None;
        }
        let name_len = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
        let name = std::str::from_utf8(bytes.get(NAME_AT..NAME_AT + name_len)?).ok()?;
        let mut numbers = bytes[16..NAME_AT].chunks_exact(8).map(|field| {
            u64::from_le_bytes(field.try_into().expect("a chunk of 8 bytes is an array of 8 bytes"))
        });
        let mut number = || numbers.next();
        let (generation, hash) = (number()?, number()?);
        let position = Position { segment: number()?, offset: number()?, next_sequence: number()? };
        let (delivered, dead_lettered, dropped) = (number()?, number()?, number()?);
        let ahead = Position { segment: number()?, offset: number()?, next_sequence: number()? };
        let (settled, clock, endless) = (number()?, number()?, number()?);
        let state =
            CursorState { position, ahead, settled, clock, endless, delivered, dead_lettered, dropped };
        Some((Slot { generation, state }, Sink { hash, name: name.to_owned() }))
    }
}

/// Where the slot of a generation lies: those that follow each other lie in different ones.
fn slot_at(generation: u64) -> usize {
    SLOTS_AT[usize::from(generation.is_multiple_of(2))]
}

/// CRC-32C over everything but the checksum itself.
fn checksum(bytes: &[u8; SLOT_LEN]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..CRC_AT]), &bytes[CRC_AT + 4..])
}

/// FNV-1a of 64 bits: names files the same on every machine, and defends against nobody.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SINK: &str = "otlp+http://127.0.0.1:4318";

    fn state(number: u64) -> CursorState {
        CursorState {
            position: Position { segment: number, offset: number * 8, next_sequence: number * 100 },
            ahead: Position { segment: number * 3, offset: number * 16, next_sequence: number * 300 },
            settled: number % 3,
            clock: number * 7,
            endless: number * 5,
            delivered: number * 99,
            dead_lettered: number,
            dropped: 0,
        }
    }

    /// A cursor's file with states 1 to `stores` stored in it, and its bytes.
    fn stored(stores: u64) -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut cursor = Cursor::open(dir.path(), SINK).unwrap();
        for number in 1..=stores {
            cursor.store(state(number)).unwrap();
        }
        cursor.sync().unwrap();
        let path = cursor.path.clone();
        let bytes = fs::read(&path).unwrap();
        (dir, path, bytes)
    }

    fn number(dir: &tempfile::TempDir) -> u64 {
        let found = Cursor::peek(dir.path(), SINK).unwrap();
        let number = found.position.segment;
        assert_eq!(found, state(number));
        number
    }

    #[test]
    fn a_cursor_begins_at_the_beginning_and_keeps_what_was_stored_last() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Cursor::peek(dir.path(), SINK).unwrap(), CursorState::default());
        for number in 1..6 {
            let mut cursor = Cursor::open(dir.path(), SINK).unwrap();
            assert_eq!(cursor.state().delivered, (number - 1) * 99);
            cursor.store(state(number)).unwrap();
            assert_eq!(cursor.state(), state(number));
            cursor.sync().unwrap();
            assert_eq!(Cursor::peek(dir.path(), SINK).unwrap(), state(number));
        }
        assert_eq!(Cursor::peek(dir.path(), "file:other").unwrap(), CursorState::default());
    }

    #[test]
    fn a_cursor_is_open_once_and_can_be_looked_at_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let cursor = Cursor::open(dir.path(), SINK).unwrap();
        assert!(matches!(Cursor::open(dir.path(), SINK), Err(Error::Locked { .. })));
        assert_eq!(Cursor::peek(dir.path(), SINK).unwrap(), CursorState::default());
        drop(Cursor::open(dir.path(), "file:other").unwrap());
        drop(cursor);
        drop(Cursor::open(dir.path(), SINK).unwrap());
    }

    #[test]
    fn all_sinks_that_got_somewhere_are_found_with_what_was_stored_last() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Cursor::peek_all(dir.path()).unwrap(), []);
        let long = format!("file:/{}", "x".repeat(500));
        for (stores, sink) in [(1, SINK), (2, "file:/b"), (5, &long), (0, "stdout")] {
            let mut cursor = Cursor::open(dir.path(), sink).unwrap();
            (1..=stores).for_each(|number| cursor.store(state(number)).unwrap());
        }
        for foreign in ["cursor-", "cursor-1", "cursor-0123456789ABCDEF", "cursor-0123456789abcdef"] {
            fs::write(dir.path().join(foreign), "no cursor").unwrap();
        }
        let cut = long[..NAME_LEN_MAX].to_owned();
        let found = [("file:/b".to_owned(), state(2)), (cut, state(5)), (SINK.to_owned(), state(1))];
        assert_eq!(Cursor::peek_all(dir.path()).unwrap(), found);
        assert!(matches!(Cursor::peek_all(&dir.path().join("none")), Err(Error::Io { .. })));
    }

    #[test]
    fn any_flipped_bit_costs_at_most_the_last_store() {
        for (stores, older) in [(1, 0), (2, 1), (7, 6), (8, 7)] {
            let (dir, path, bytes) = stored(stores);
            let mut lagging = 0;
            for bit in (0..bytes.len() * 8).filter(|bit| SLOTS_AT.contains(&(bit / 8 / SLOT_LEN * SLOT_LEN)))
            {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                fs::write(&path, &flipped).unwrap();
                match number(&dir) {
                    found if found == stores => {}
                    found => {
                        assert_eq!(found, older, "bit {bit}");
                        lagging += 1;
                    }
                }
            }
            assert_eq!(lagging, SLOT_LEN * 8, "every bit of the newest slot counts");
        }
    }

    #[test]
    fn damage_to_both_slots_leads_back_to_the_beginning() {
        let (dir, path, bytes) = stored(5);
        for bit in 0..SLOT_LEN * 8 {
            let mut flipped = bytes.clone();
            for slot in SLOTS_AT {
                flipped[slot + bit / 8] ^= 1 << (bit % 8);
            }
            fs::write(&path, &flipped).unwrap();
            assert_eq!(number(&dir), 0);
        }
        let mut cursor = Cursor::open(dir.path(), SINK).unwrap();
        cursor.store(state(1)).unwrap();
        assert_eq!(number(&dir), 1);
    }

    #[test]
    fn a_file_cut_anywhere_never_leads_and_can_be_stored_to_again() {
        for stores in [1, 4, 5] {
            let (dir, path, bytes) = stored(stores);
            for cut in 0..=bytes.len() {
                fs::write(&path, &bytes[..cut]).unwrap();
                let found = number(&dir);
                let whole = |number: u64| number > 0 && slot_at(number) + SLOT_LEN <= cut;
                let expected = [stores, stores - 1].into_iter().find(|&number| whole(number));
                assert_eq!(found, expected.unwrap_or(0), "cut at {cut}");
            }
            fs::write(&path, &bytes[..100]).unwrap();
            let mut cursor = Cursor::open(dir.path(), SINK).unwrap();
            cursor.store(state(9)).unwrap();
            assert_eq!((number(&dir), fs::metadata(&path).unwrap().len()), (9, CURSOR_LEN as u64));
        }
    }

    #[test]
    fn a_store_torn_at_any_byte_leaves_the_place_before_it() {
        for stores in [1, 2, 3] {
            let (dir, path, before) = stored(stores);
            let mut cursor = Cursor::open(dir.path(), SINK).unwrap();
            cursor.store(state(stores + 1)).unwrap();
            drop(cursor);
            let after = fs::read(&path).unwrap();
            let slot = slot_at(stores + 1);
            for written in 0..=SLOT_LEN {
                let mut torn = before.clone();
                torn[slot..slot + written].copy_from_slice(&after[slot..slot + written]);
                fs::write(&path, &torn).unwrap();
                let whole = torn == after;
                assert_eq!(number(&dir), if whole { stores + 1 } else { stores }, "torn at {written}");
                // Backwards, as a disk may write it.
                let mut torn = before.clone();
                torn[slot + written..slot + SLOT_LEN]
                    .copy_from_slice(&after[slot + written..slot + SLOT_LEN]);
                fs::write(&path, &torn).unwrap();
                let whole = torn == after;
                assert_eq!(number(&dir), if whole { stores + 1 } else { stores }, "torn before {written}");
            }
        }
    }

    #[test]
    fn a_cursor_of_another_sink_is_not_taken_for_ones_own() {
        let (dir, path, bytes) = stored(3);
        let other = dir.path().join(Sink::new("file:other").file_name());
        fs::copy(&path, &other).unwrap();
        assert_eq!(Cursor::peek(dir.path(), "file:other").unwrap(), CursorState::default());

        let same_hash = Sink { hash: fnv1a(SINK.as_bytes()), name: "other".into() };
        let mut forged = bytes;
        forged[..SLOT_LEN].copy_from_slice(&Slot { generation: 9, state: state(9) }.encode(&same_hash));
        fs::write(&path, &forged).unwrap();
        assert!(matches!(Cursor::peek(dir.path(), SINK), Err(Error::Damaged { .. })));
        assert!(matches!(Cursor::open(dir.path(), SINK), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_generation_that_no_store_can_have_made_does_not_hold() {
        let (dir, path, bytes) = stored(4);
        for (generation, at) in [(u64::MAX, SLOTS_AT[0]), (6, SLOTS_AT[0]), (0, SLOTS_AT[1])] {
            let mut forged = bytes.clone();
            let slot = Slot { generation, state: state(99) };
            forged[at..at + SLOT_LEN].copy_from_slice(&slot.encode(&Sink::new(SINK)));
            fs::write(&path, &forged).unwrap();
            let mut cursor = Cursor::open(dir.path(), SINK).unwrap();
            assert!(cursor.state() == state(4) || cursor.state() == state(3));
            cursor.store(state(5)).unwrap();
            assert_eq!(number(&dir), 5);
        }
    }

    #[test]
    fn sinks_of_any_name_have_a_cursor_and_long_names_differ_behind_their_room() {
        let dir = tempfile::tempdir().unwrap();
        let long = "ä".repeat(3_000);
        let longer = "ä".repeat(3_001);
        for (at, name) in ["", "../../etc/passwd", "a\0b", &long, &longer].into_iter().enumerate() {
            let mut cursor = Cursor::open(dir.path(), name).unwrap();
            assert_eq!(cursor.path.parent(), Some(dir.path()));
            cursor.store(state(at as u64 + 1)).unwrap();
        }
        assert_eq!(Cursor::peek(dir.path(), &long).unwrap(), state(4));
        assert_eq!(Cursor::peek(dir.path(), &longer).unwrap(), state(5));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 5);
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
