//! Recovery: what the rings and tables of a dead recorder still hold is written into a recorder of its own.
//!
//! The recovery recorder's name follows from the dead one's, so that a repetition finds it. It is set up under another
//! name, synced, and renamed when it is complete; only then is the dead recorder marked as recovered, and only then are its
//! rings removed. So a recovery that is killed at any point is done again with the same result, and of several processes
//! that try at once one does it, as the dead recorder's lock is held exclusively from the proof of death to the end. The dead
//! recorder's segments are not touched.
//!
//! Which records of a ring are new is told by the positions in the headers of the committed blocks, and by what the ring says
//! was released: the larger of the two counts. Which spans are in flight is told by the cells (see the lane format in
//! `spanring`): one that is ENDING has ended if its ring's tail is above the position that it names.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use spanring::clock::Timeline;
use spanring::image::{ControlImage, Image, TableReport};
use spanring::record::{Body, Entry, Malformed, Record, Time};

use crate::block::{BlockBuilder, Compression, Names};
use crate::boot_id::BootId;
use crate::ledger::Ledger;
use crate::life::{self, DeathProof, Life};
use crate::lock::RecorderLock;
use crate::progress::{Progress, Sealed};
use crate::reader::{LastPositions, last_positions};
use crate::ring_files::{left_in_shared_memory, remove_memory};
use crate::segment::BlockHeader;
use crate::segment_writer::{NotAppended, SegmentWriter};
use crate::storage::{is_unreadable, open_regular};
use crate::sync_thread::Preparer;
use crate::{Error, RecorderId, Resource, Skipped, SpoolDir, layout};

/// A block of the recovery recorder is closed when it is about as long before compression, in bytes.
const BLOCK_RAW_LEN: usize = 1 << 20;
/// No file of a recorder's memory is longer: the largest ring, and its cells.
const FILE_LEN_MAX: u64 = (1 << 30) + (1 << 20);

/// What a recovery found.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The dead recorder.
    pub recorder: RecorderId,
    /// Whether it had been recovered before, or stopped in order: the counts below are 0 then.
    pub already_done: bool,
    /// Whether it died in another boot, whose rings nobody can trust: they are kept aside, and what they held is counted in
    /// the ledger as damaged.
    pub another_boot: bool,
    /// Spans that stand in its segments, those delivered and removed since included.
    pub from_segments: u64,
    /// Spans that had ended and stood in rings only.
    pub from_rings: u64,
    /// Spans that were in flight, and are interrupted now.
    pub from_tables: u64,
    /// The account of the dead recorder, after recovery.
    pub ledger: Ledger,
    /// Spans that the account misses: above 0 only where memory was damaged.
    pub unaccounted: u64,
    /// What could not be read.
    pub skipped: Skipped,
}

impl SpoolDir {
    /// Recovers a recorder whose process has died: what its rings and tables hold is written into the recovery recorder
    /// [`RecorderId::recovery`], synced, and removed from the dead one. To do it again, or where nothing is left to do, is no
    /// error.
    ///
    /// # Errors
    ///
    /// [`Error::StillAlive`], also while another process recovers it; [`Error::Unproven`], where nobody can tell;
    /// [`Error::NoSuchRecorder`]; [`Error::LaterVersion`]; [`Error::Io`]. Nothing is lost by an error: what could not be read is read when it is tried again.
    /// A file that nobody will ever be able to read, such as one on a bad block, is no error: it is set aside, and counted in
    /// [`skipped`](RecoveryReport::skipped).
    pub fn recover(&self, id: &RecorderId) -> Result<RecoveryReport, Error> {
        let dir = self.recorder_dir(id)?;
        let mut report = RecoveryReport::nothing_done(id);
        if !life::look(&dir, id)?.is_over() {
            // Held to the end: its lock keeps others from recovering at the same time.
            let proof = DeathProof::obtain(&**self.storage(), &dir, id)?;
            if !proof.life().is_over() {
                self.recover_dead(id, &dir, proof.life(), &mut report)?;
            }
        }
        remove_memory(&**self.storage(), &dir)?;
        if let Some(dir) = left_in_shared_memory(id) {
            remove_memory(&**self.storage(), &dir)?;
        }
        Ok(report)
    }

    fn recover_dead(
        &self,
        id: &RecorderId,
        dir: &Path,
        life: &Life,
        report: &mut RecoveryReport,
    ) -> Result<(), Error> {
        // An earlier recovery may have been killed before it could mark the recorder.
        if !self.recorder_path(&id.recovery()).exists() {
            report.already_done = false;
            if *life == Life::DeadInAnotherBoot {
                report.another_boot = true;
                self.recover_segments_only(id, dir, report)?;
            } else {
                self.recover_memory(id, dir, report)?;
            }
        }
        self.mark_recovered(dir)
    }

    fn recover_memory(&self, id: &RecorderId, dir: &Path, report: &mut RecoveryReport) -> Result<(), Error> {
        let last = positions(dir, report)?;
        let memory = Memory::read(dir, id, &mut report.skipped)?;
        let mut image = Image::default();
        memory.lanes.iter().for_each(|file| file.note(image.add_lane(&file.bytes), &mut report.skipped));
        memory.tables.iter().for_each(|file| file.note(image.add_table(&file.bytes), &mut report.skipped));
        let control = memory.control.as_ref().and_then(|file| {
            let control = ControlImage::parse(&file.bytes);
            file.note(control, &mut report.skipped);
            control.ok()
        });
        let tables = image.tables();
        let clock = DeadClock::new(id, control.as_ref(), &image, &tables);

        let resource = resource(dir, &mut report.skipped)?;

        let mut writer = RecoveryWriter::create(self, id, &resource)?;
        let last_ledger = Ledger::decode(&last.ledger);
        let mut ended = 0;
        for lane in image.lanes() {
            let (released, released_ended) = lane.released();
            let (from, mut lane_ended) = match last.rings.get(&lane.number()) {
                Some(ring) if ring.position > released => (ring.position, ring.ended),
                _ => (released, released_ended),
            };
            let mut records = lane.records(from);
            while let Some(record) = records.next() {
                match record {
                    Ok((Record::Ended { ordinal, end, body }, _)) => {
                        lane_ended = lane_ended.max(ordinal);
                        report.from_rings += 1;
                        writer.builder.push_ended(&body, end, &clock.timeline, &memory.names);
                    }
                    Ok((Record::Started { body }, _)) => {
                        writer.builder.push_started(&body, &clock.timeline, &memory.names);
                    }
                    Ok((Record::Padding, _)) => {}
                    Err(malformed) => {
                        let unread = records.unread();
                        report.skipped.hole(
                            dir.join(layout::lane(lane.number())),
                            malformed.offset as u64,
                            unread,
                            malformed.reason.to_owned(),
                        );
                    }
                }
                writer.write_if_full(&last_ledger)?;
            }
            ended += lane_ended;
        }
        let has_image = |number: u16| image.lanes().any(|lane| lane.number() == number);
        ended += last.rings.values().filter(|ring| !has_image(ring.lane)).map(|ring| ring.ended).sum::<u64>();
        for in_flight in &tables.in_flight {
            match Body::parse(&in_flight.body) {
                Ok(body) => {
                    report.from_tables += 1;
                    writer.builder.push_interrupted(
                        &body,
                        clock.last_sign_of_life_ns,
                        &clock.timeline,
                        &memory.names,
                    );
                }
                Err(malformed) => report.skipped.hole(
                    dir.join(layout::lane(in_flight.lane)),
                    malformed.offset as u64,
                    in_flight.body.len() as u64,
                    malformed.reason.to_owned(),
                ),
            }
            writer.write_if_full(&last_ledger)?;
        }
        report.from_segments = last_ledger.spooled;
        report.settle(&last_ledger, ended, &tables, control.as_ref());
        report.skipped.missing_rows += writer.complete(&report.ledger)?;
        // What lies in shared memory is gone with the machine's next start in any case.
        memory
            .unreadable
            .iter()
            .filter(|path| path.starts_with(dir))
            .try_for_each(|path| self.set_aside(path))
    }

    /// After another boot the pages of rings and tables are a mixture of what they held at different times. They are kept
    /// aside; what the last block's account does not find in segments is lost.
    fn recover_segments_only(
        &self,
        id: &RecorderId,
        dir: &Path,
        report: &mut RecoveryReport,
    ) -> Result<(), Error> {
        let last = positions(dir, report)?;
        let storage = &**self.storage();
        for name in
            storage.list(dir).map_err(Error::io("list", dir))?.iter().filter(|name| layout::is_memory(name))
        {
            let path = dir.join(name);
            self.set_aside(&path)?;
            report.skipped.file(path, 0, "it was written in another boot");
        }
        let mut ledger = Ledger::decode(&last.ledger);
        report.from_segments = ledger.spooled;
        ledger.interrupted += std::mem::take(&mut ledger.in_flight);
        ledger.dropped.damaged += ledger.unspooled();
        report.ledger = ledger;
        let resource = resource(dir, &mut report.skipped)?;
        RecoveryWriter::create(self, id, &resource)?.complete(&ledger).map(drop)
    }

    /// Gives a file of a recorder's memory a name under which nobody looks for it.
    fn set_aside(&self, path: &Path) -> Result<(), Error> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(layout::QUARANTINED_SUFFIX);
        match self.storage().rename(path, Path::new(&aside)) {
            // Somebody else's, who has planted it. What was to go there is removed with the rest.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            renamed => renamed.map_err(Error::io("set aside", path)),
        }
    }

    fn mark_recovered(&self, dir: &Path) -> Result<(), Error> {
        let marker = dir.join(layout::RECOVERED);
        let file = self.storage().create(&marker, 0).map_err(Error::io("create", &marker))?;
        file.syncer().sync().map_err(Error::io("sync", &marker))?;
        self.storage().sync_dir(dir).map_err(Error::io("sync", dir))
    }
}

/// What the segments say, without counting as damage what was delivered and removed.
fn positions(dir: &Path, report: &mut RecoveryReport) -> Result<LastPositions, Error> {
    let last = last_positions(dir)?;
    let skipped = Skipped { missing_segments: 0, missing_rows: 0, ..last.skipped.clone() };
    report.skipped.add(&skipped);
    Ok(last)
}

/// The resource of a recorder. One that is lost is no reason to keep the spans.
fn resource(dir: &Path, skipped: &mut Skipped) -> Result<Resource, Error> {
    match Resource::load(dir) {
        Err(error) if Resource::is_lost(&error) => {
            skipped.file(dir.join(layout::RESOURCE), 0, &error.to_string());
            Ok(Resource::default())
        }
        loaded => loaded,
    }
}

impl RecoveryReport {
    fn nothing_done(id: &RecorderId) -> Self {
        RecoveryReport {
            recorder: id.clone(),
            already_done: true,
            another_boot: false,
            from_segments: 0,
            from_rings: 0,
            from_tables: 0,
            ledger: Ledger::default(),
            unaccounted: 0,
            skipped: Skipped::default(),
        }
    }

    /// Makes the account: what the tables counted as started, against all places where a span can be.
    fn settle(&mut self, last: &Ledger, ended: u64, tables: &TableReport, control: Option<&ControlImage>) {
        let of_control = |field: fn(&ControlImage) -> u64| control.map_or(0, field);
        let unslotted = of_control(|control| control.unslotted_started);
        let no_cell = of_control(|control| control.unslotted_no_cell);
        let no_lane =
            of_control(|control| control.unslotted_no_lane.saturating_add(control.abandoned_no_lane));
        // Those that had no cell and had not ended: there is nothing to deliver of them.
        let lost_in_flight =
            unslotted.saturating_sub(no_cell).saturating_sub(of_control(|control| control.unslotted_no_lane));

        let mut ledger = Ledger { spooled: last.spooled + self.from_rings + self.from_tables, ..*last };
        // Where a lane's file is missing, the last block's account knows more than what is left.
        ledger.started = tables.started.saturating_add(unslotted).max(last.started);
        ledger.in_flight = 0;
        ledger.interrupted = self.from_tables + lost_in_flight;
        ledger.dropped.ring_full = tables.dropped_ring_full;
        ledger.dropped.no_cell = no_cell + lost_in_flight;
        ledger.dropped.no_lane = no_lane;
        let ended = [tables.dropped_ring_full, no_cell, no_lane].into_iter().fold(ended, u64::saturating_add);
        ledger.ended = ended.max(last.ended);
        if let Some(control) = control {
            ledger.note_oddities(&control.counters);
        }
        // A span that was being dropped without a ring may have been counted already or not: the rest of the account tells.
        let missing = ledger.started.saturating_sub(ledger.ended + ledger.interrupted);
        let uncounted = missing.min(tables.dropping_without_ring);
        ledger.ended += uncounted;
        ledger.dropped.no_lane += uncounted;

        self.unaccounted = ledger.started.abs_diff(ledger.ended + ledger.interrupted);
        // They were open, or ended, in memory that is gone or damaged.
        ledger.interrupted += ledger.started.saturating_sub(ledger.ended + ledger.interrupted);
        // What ended and is in no segment is in a damaged one, or was in a damaged ring.
        ledger.dropped.damaged = last.dropped.damaged;
        ledger.dropped.damaged += ledger.unspooled();
        self.unaccounted +=
            (ledger.spooled + ledger.dropped.total()).saturating_sub(ledger.ended + ledger.interrupted);
        self.ledger = ledger;
    }
}

/// The files of a dead recorder's memory.
struct Memory {
    control: Option<MemoryFile>,
    names: DeadNames,
    lanes: Vec<MemoryFile>,
    tables: Vec<MemoryFile>,
    /// Files that nothing could be read from.
    unreadable: Vec<PathBuf>,
}

struct MemoryFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// The dictionary of a dead recorder.
struct DeadNames(Vec<String>);

impl Names for DeadNames {
    fn text(&self, number: u16) -> Option<&str> {
        self.0.get(usize::from(number)).map(String::as_str)
    }
}

impl Memory {
    /// Reads the files from the recorder's directory, or from where it had put them in shared memory.
    fn read(dir: &Path, id: &RecorderId, skipped: &mut Skipped) -> Result<Self, Error> {
        let mut memory = Memory {
            control: None,
            names: DeadNames(Vec::new()),
            lanes: Vec::new(),
            tables: Vec::new(),
            unreadable: Vec::new(),
        };
        let mut paths = Vec::new();
        for dir in [Some(dir.to_owned()), left_in_shared_memory(id)].into_iter().flatten() {
            let entries = match std::fs::read_dir(&dir) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(Error::io("list", &dir))?,
            };
            for entry in entries {
                paths.push(entry.map_err(Error::io("list", &dir))?.path());
            }
        }
        paths.sort_unstable();
        for path in paths {
            let Some(name) =
                path.file_name().and_then(|name| name.to_str()).filter(|name| layout::is_memory(name))
            else {
                continue;
            };
            let name = name.to_owned();
            let bytes = match read_file(&path) {
                Ok(bytes) => bytes,
                // The rest counts all the same.
                Err(error) if is_unreadable(&error) => {
                    skipped.file(path.clone(), 0, &error.to_string());
                    memory.unreadable.push(path);
                    continue;
                }
                Err(error) => return Err(Error::io("read", &path)(error)),
            };
            // A file begins with zeros until it is ready to be used: the process was killed before that.
            if bytes.iter().take(8).all(|&byte| byte == 0) {
                continue;
            }
            if spanring::is_of_later_version(&bytes) {
                return Err(Error::LaterVersion { path });
            }
            let file = MemoryFile { path, bytes };
            if name == layout::CALLSITES {
                let texts = spanring::dictionary::parse(&file.bytes);
                memory.names.0 = texts.clone().unwrap_or_default();
                file.note(texts, skipped);
            } else if name == layout::CONTROL {
                memory.control = Some(file);
            } else if layout::is_lane(&name) {
                memory.lanes.push(file);
            } else if layout::is_table(&name) {
                memory.tables.push(file);
            }
        }
        Ok(memory)
    }
}

impl MemoryFile {
    /// Counts the file as skipped if it could not be understood.
    fn note<T>(&self, parsed: Result<T, Malformed>, skipped: &mut Skipped) {
        if let Err(malformed) = parsed {
            skipped.file(self.path.clone(), self.bytes.len() as u64, malformed.reason);
        }
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file: File = open_regular(path, OFlags::RDONLY)?;
    file.take(FILE_LEN_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The clock of a dead recorder.
struct DeadClock {
    timeline: Timeline,
    /// When it was seen alive last, in Unix nanoseconds.
    last_sign_of_life_ns: u64,
}

impl DeadClock {
    fn new(id: &RecorderId, control: Option<&ControlImage>, image: &Image<'_>, tables: &TableReport) -> Self {
        let mut last = LatestTicks(control.map_or(0, |control| control.alive));
        for lane in image.lanes() {
            for (record, _) in lane.records(lane.released().0).flatten() {
                match record {
                    Record::Ended { end, .. } => last.see(end),
                    Record::Started { body } => last.see(body.head.start),
                    Record::Padding => {}
                }
            }
        }
        for body in tables.in_flight.iter().filter_map(|in_flight| Body::parse(&in_flight.body).ok()) {
            last.see(body.head.start);
            for entry in body.entries().map_while(Result::ok) {
                if let Entry::Event { time, .. } = entry {
                    last.see(time);
                }
            }
        }
        // Without its control page a recorder's ticks cannot be turned into time: then the time of its creation has to do, and
        // ticks count as nanoseconds.
        let fallback =
            Timeline { base_ticks: last.0, base_unix_ns: id.created_unix_ns(), ticks_per_second: 1e9 };
        let timeline = control.and_then(|control| control.timeline).unwrap_or(fallback);
        let by_ticks = if last.0 == 0 { id.created_unix_ns() } else { timeline.unix_ns(last.0) };
        DeadClock { timeline, last_sign_of_life_ns: by_ticks.min(spanring::clock::unix_ns()) }
    }
}

/// The latest moment seen. Times that the caller gave say nothing about the process.
struct LatestTicks(u64);

impl LatestTicks {
    fn see(&mut self, time: Time) {
        if let Time::Ticks(ticks) = time {
            self.0 = self.0.max(ticks);
        }
    }
}

/// Writes a recovery recorder.
struct RecoveryWriter<'a> {
    spool: &'a SpoolDir,
    recovery: RecorderId,
    new: PathBuf,
    _lock: RecorderLock,
    preparer: Preparer,
    progress: std::sync::Arc<Progress>,
    writer: SegmentWriter,
    builder: BlockBuilder,
    sequence: u64,
    /// Rows that no block can hold.
    unbuildable: u64,
}

impl<'a> RecoveryWriter<'a> {
    /// Begins under another name, after taking away what an earlier recovery left there that was killed.
    fn create(spool: &'a SpoolDir, id: &RecorderId, resource: &Resource) -> Result<Self, Error> {
        let recovery = id.recovery();
        let new = spool.path().join(format!("{}{recovery}", layout::NEW_PREFIX));
        spool.clear(&new)?;
        let storage = spool.storage();
        let lock = RecorderLock::set_up(&**storage, &new, &recovery)?;
        resource.store(&**storage, &new)?;
        let preparer = Preparer {
            storage: storage.clone(),
            dir: new.clone(),
            recorder: recovery.clone(),
            boot: BootId::current()?,
        };
        let progress = std::sync::Arc::new(Progress::default());
        let writer = SegmentWriter::new(progress.clone());
        let builder = BlockBuilder::new();
        Ok(RecoveryWriter {
            spool,
            recovery,
            new,
            _lock: lock,
            preparer,
            progress,
            writer,
            builder,
            sequence: 0,
            unbuildable: 0,
        })
    }

    fn write_if_full(&mut self, ledger: &Ledger) -> Result<(), Error> {
        if self.builder.raw_len() < BLOCK_RAW_LEN { Ok(()) } else { self.write(ledger) }
    }

    /// Writes what was pushed as a block with this account.
    fn write(&mut self, ledger: &Ledger) -> Result<(), Error> {
        let rows = self.builder.rows();
        let payload = match self.builder.finish(Compression::default()) {
            Ok(payload) => payload,
            // No recorder makes a span that does not fit; memory that says so is damaged, and must not keep back the rest.
            Err(Error::TooLarge { .. }) => {
                self.unbuildable += u64::from(rows);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let header = BlockHeader {
            first_sequence: self.sequence,
            rows,
            raw_len: payload.raw_len,
            codec: payload.codec,
            ledger: ledger.encode(),
            rings: Vec::new(),
        };
        loop {
            match self.writer.append(&header, &payload.bytes) {
                Ok(()) => break,
                Err(NotAppended::Failed(error)) => return Err(Error::io("write", &self.new)(error)),
                Err(NotAppended::NoSegment) => self.prepare()?,
            }
        }
        self.sequence += u64::from(rows);
        Ok(())
    }

    fn prepare(&mut self) -> Result<(), Error> {
        let (number, len) = {
            let state = self.progress.lock();
            (state.segments + 1, state.standby_wanted)
        };
        let standby =
            self.preparer.prepare(number, len).map_err(Error::io("prepare a segment in", &self.new))?;
        let mut state = self.progress.lock();
        (state.segments, state.standby) = (number, Some(standby));
        Ok(())
    }

    /// Writes the rest with the final account, seals, syncs, and gives the recorder its name. Returns how many rows no block
    /// could hold.
    fn complete(mut self, ledger: &Ledger) -> Result<u64, Error> {
        self.write(ledger)?;
        self.writer.seal();
        let (sealed, dirty) = {
            let mut state = self.progress.lock();
            (std::mem::take(&mut state.sealed), std::mem::take(&mut state.dirty))
        };
        for Sealed { mut file, len } in sealed {
            file.truncate(len).map_err(Error::io("cut", &self.new))?;
        }
        for dirty in dirty {
            dirty.file.sync().map_err(Error::io("sync", &self.new))?;
        }
        let storage = &**self.spool.storage();
        let marker = self.new.join(layout::CLOSED);
        let file = storage.create(&marker, 0).map_err(Error::io("create", &marker))?;
        file.syncer().sync().map_err(Error::io("sync", &marker))?;
        storage.sync_dir(&self.new).map_err(Error::io("sync", &self.new))?;
        let path = self.spool.recorder_path(&self.recovery);
        storage.rename(&self.new, &path).map_err(Error::io("set up", &path))?;
        storage.sync_dir(self.spool.path()).map_err(Error::io("sync", self.spool.path()))?;
        Ok(self.unbuildable)
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RecoveryReport { recorder, from_segments, from_rings, from_tables, .. } = self;
        if self.already_done {
            return write!(f, "recorder {recorder}: nothing left to recover");
        }
        writeln!(
            f,
            "recorder {recorder}: {from_segments} spans were spooled, {from_rings} recovered from rings, \
             {from_tables} from tables (interrupted)"
        )?;
        if self.another_boot {
            writeln!(f, "it was written before the machine was restarted: rings and tables are set aside")?;
        }
        write!(f, "{}", self.ledger)?;
        if self.unaccounted > 0 {
            write!(f, "\n  unaccounted: {}", self.unaccounted)?;
        }
        if self.skipped.is_damage() {
            write!(f, "\n{}", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
