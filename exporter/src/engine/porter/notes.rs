//! What the sink has to know again after a restart: its notes on each process, in a [`Notebook`] beside the cursor.
//!
//! Notes are taken after each batch, written when there are many, and synced before a cursor is stored that passes what they are about. What is not written
//! by then holds the cursor up, as one does that cannot be stored itself.
//!
//! The notes of so many processes are with the sink as there is room for, those that had their turn last; the others it forgets, and is handed again when
//! it is to be handed something of them: where nothing comes, nothing is read and nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use spanring_spool::{Error, NOTES_MAX, Note, Notebook, RecorderId};

use super::super::notice::Notice;
use super::Porter;
use crate::error::with_causes;

/// How many notes wait to be written at most, unless the disk fails.
const WAITING_MAX: usize = 4096;
/// How many notes the sink has at once, unless a single process has more.
const HELD_MAX: usize = 2 * NOTES_MAX;

/// The notebooks that are open, by the recorders that they lie with.
pub(super) struct Notes {
    open: BTreeMap<RecorderId, Open>,
    /// Those of whose notes it was told that they are damaged.
    told: BTreeSet<RecorderId>,
    turns: u64,
    held_max: usize,
}

impl Default for Notes {
    fn default() -> Self {
        Notes { open: BTreeMap::new(), told: BTreeSet::new(), turns: 0, held_max: HELD_MAX }
    }
}

struct Open {
    notebook: Notebook,
    /// What was taken and is not written.
    waiting: Vec<Note>,
    /// When it had its turn last.
    turn: u64,
    /// Whether a cursor may come to be stored on the strength of what is in it, and it was not synced since that was so.
    is_relied_on: bool,
}

impl Open {
    /// Writes what waits. What could not be written goes on waiting, as far as anybody would be handed it again.
    fn write(&mut self) -> Result<(), Error> {
        let written = self.notebook.append(&self.waiting);
        match written {
            Ok(()) => self.waiting.clear(),
            Err(_) => drop(self.waiting.drain(..self.waiting.len().saturating_sub(NOTES_MAX))),
        }
        written
    }

    fn len(&self) -> usize {
        (self.notebook.len() + self.waiting.len()).min(NOTES_MAX)
    }
}

/// As what the sink knows a recorder.
fn process(recorder: &RecorderId) -> RecorderId {
    recorder.origin().unwrap_or_else(|| recorder.clone())
}

impl Porter {
    /// Has the sink know what it has noted of the process of a recorder, before it is handed anything of it.
    pub(in crate::engine) fn recall_notes(&mut self, recorder: &RecorderId) -> Result<(), Error> {
        if !self.sink.takes_notes() || self.terms.letters.is_none() {
            return Ok(());
        }
        self.notes.turns += 1;
        let turn = self.notes.turns;
        if let Some(open) = self.notes.open.get_mut(recorder) {
            open.turn = turn;
            self.make_room_for_notes(recorder);
            return Ok(());
        }
        let (notebook, noted) = self.terms.spool.notebook(recorder, self.sink.name())?;
        let is_new = noted.damage.is_empty() || self.notes.told.insert(recorder.clone());
        for damage in noted.damage.into_iter().filter(|_| is_new) {
            let reason = format!(
                "what stood there is not known to {} any more: {}",
                self.sink.name(),
                with_causes(&damage)
            );
            self.tell(Notice::Trouble { recorder: Some(recorder.clone()), reason });
        }
        self.sink.recall_notes(&process(recorder), noted.notes);
        let open = Open { notebook, waiting: Vec::new(), turn, is_relied_on: false };
        self.notes.open.insert(recorder.clone(), open);
        self.make_room_for_notes(recorder);
        Ok(())
    }

    /// The same where it is about to be handed what a cursor then passes: what an earlier run has noted and not synced is synced before that.
    pub(in crate::engine) fn rely_on_notes(&mut self, recorder: &RecorderId) -> Result<(), Error> {
        self.recall_notes(recorder)?;
        if let Some(open) = self.notes.open.get_mut(recorder) {
            open.is_relied_on = true;
        }
        Ok(())
    }

    /// Has the sink know how it has sent what is delivered again of the process of a recorder. Where that cannot be read it goes without.
    pub(in crate::engine) fn recall_past(&mut self, recorder: &RecorderId) {
        if self.sink.takes_notes()
            && let Ok(noted) = self.terms.spool.notes(recorder, self.sink.name())
        {
            self.sink.recall_past(&process(recorder), noted.notes);
        }
    }

    /// Takes what the sink has noted of the process of a recorder.
    pub(in crate::engine) fn take_notes(&mut self, recorder: &RecorderId) {
        if !self.sink.takes_notes() {
            return;
        }
        let notes = self.sink.take_notes(&process(recorder));
        let origin = recorder.origin();
        let key = origin.as_ref().filter(|origin| self.notes.open.contains_key(origin)).unwrap_or(recorder);
        if let Some(open) = self.notes.open.get_mut(key) {
            open.is_relied_on |= !notes.is_empty();
            open.waiting.extend(notes);
            if open.waiting.len() >= WAITING_MAX {
                // Where that fails it is tried again, and told, before the cursor is stored.
                drop(open.write());
            }
        }
    }

    /// Writes what was taken, so that a kill leaves it. Where that fails it is tried again, and told, before a cursor is stored.
    pub(in crate::engine) fn write_notes(&mut self, recorder: &RecorderId) {
        self.take_notes(recorder);
        if let Some(open) = self.notes.open.get_mut(recorder).filter(|open| !open.waiting.is_empty()) {
            drop(open.write());
        }
    }

    /// Makes durable what the sink has noted of the process of a recorder: before a cursor of it is stored.
    pub(in crate::engine) fn keep_notes(&mut self, recorder: &RecorderId) -> Result<(), Error> {
        self.take_notes(recorder);
        match self.notes.open.get_mut(recorder) {
            Some(open) => {
                open.write()?;
                if open.is_relied_on {
                    open.notebook.sync()?;
                    open.is_relied_on = false;
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Keeps what there is of all processes, as nothing more is delivered. What cannot be kept is sent once more.
    pub(in crate::engine) fn keep_all_notes(&mut self) {
        let open: Vec<_> = self.notes.open.keys().cloned().collect();
        for recorder in open {
            if let Err(error) = self.keep_notes(&recorder) {
                self.tell(Notice::Trouble { recorder: Some(recorder), reason: with_causes(&error) });
            }
        }
    }

    /// Closes the notebooks of recorders that are done or gone.
    pub(in crate::engine) fn close_notes(&mut self, is_done: impl Fn(&RecorderId) -> bool) {
        self.notes.told.retain(|recorder| !is_done(recorder));
        self.put_away(is_done);
    }

    fn put_away(&mut self, is_done: impl Fn(&RecorderId) -> bool) {
        let (done, open) =
            mem::take(&mut self.notes.open).into_iter().partition(|(recorder, _)| is_done(recorder));
        self.notes.open = open;
        let done: BTreeMap<_, _> = done;
        done.into_keys().for_each(|recorder| self.sink.forget(&process(&recorder)));
    }

    /// Has the sink forget the processes that had their turn longest ago, as far as it must, and never this one.
    fn make_room_for_notes(&mut self, recorder: &RecorderId) {
        while self.notes.open.values().map(Open::len).sum::<usize>() > self.notes.held_max {
            let others = self.notes.open.iter().filter(|(other, _)| *other != recorder);
            let Some(oldest) = others.min_by_key(|(_, open)| open.turn).map(|(oldest, _)| oldest.clone())
            else {
                return;
            };
            if self.keep_notes(&oldest).is_err() {
                // It stays until that can be done, which is tried when it has its turn.
                return;
            }
            self.put_away(|other| *other == oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::DirBuilderExt as _;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tokio::sync::watch;

    use super::super::Terms;
    use super::*;
    use crate::engine::{Mode, Notices, Status};
    use crate::sink::{Batch, Delivery, Outcome, Sink};

    /// Notes so many things of each process, and remembers what it was told.
    struct Noting(Arc<Mutex<Vec<String>>>, u8);

    impl Sink for Noting {
        fn name(&self) -> &str {
            "noting"
        }

        fn deliver<'a>(&'a mut self, _: &'a Batch<'a>) -> Delivery<'a> {
            Box::pin(async { Outcome::DELIVERED })
        }

        fn takes_notes(&self) -> bool {
            true
        }

        fn recall_notes(&mut self, recorder: &RecorderId, notes: Vec<Note>) {
            self.0.lock().unwrap().push(format!("{recorder} has {}", notes.len()));
        }

        fn take_notes(&mut self, _: &RecorderId) -> Vec<Note> {
            (1..=self.1).map(|key| Note { key: vec![key], value: Vec::new() }).collect()
        }

        fn forget(&mut self, recorder: &RecorderId) {
            self.0.lock().unwrap().push(format!("forget {recorder}"));
        }
    }

    /// A porter of a sink that notes so many things at a time of some processes, and what the sink is told.
    fn porter(notes: u8) -> (tempfile::TempDir, Porter, [RecorderId; 3], Arc<Mutex<Vec<String>>>) {
        let (dir, _) = crate::engine::tests::spool(1);
        let recorders = [1, 2, 3].map(|number| RecorderId::from_parts(number, number));
        for recorder in &recorders {
            std::fs::DirBuilder::new().mode(0o700).create(dir.path().join(recorder.as_str())).unwrap();
        }
        let told = Arc::<Mutex<Vec<String>>>::default();
        let porter = open(dir.path(), notes, &told, Notices(Arc::new(drop)));
        (dir, porter, recorders, told)
    }

    fn open(dir: &std::path::Path, notes: u8, told: &Arc<Mutex<Vec<String>>>, notices: Notices) -> Porter {
        let spool = spanring_spool::SpoolDir::open(dir).unwrap();
        let (_, stop) = watch::channel(false);
        let deadline = Duration::from_secs(60);
        let terms = Terms {
            letters: Some(spool.dead_letters()),
            spool,
            mode: Mode::Once { deadline },
            status: Status::default(),
            notices,
            stop,
            stop_deadline: deadline,
        };
        let mut porter = Porter::new(0, Box::new(Noting(Arc::clone(told), notes)), None, terms);
        porter.notes.held_max = 3;
        porter
    }

    #[test]
    fn where_notes_come_and_go_of_which_nothing_was_used_no_file_is_written_and_damage_is_told_once() {
        let (dir, mut porter, [a, b, _], told) = porter(2);
        for recorder in [&a, &b] {
            porter.recall_notes(recorder).unwrap();
            porter.keep_notes(recorder).unwrap();
        }
        drop(porter);
        let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let file_of = |recorder: &RecorderId| {
            let path = std::fs::read_dir(dir.path().join(recorder.as_str())).unwrap().next().unwrap();
            std::fs::File::options().read(true).write(true).open(path.unwrap().path()).unwrap()
        };
        file_of(&a).set_modified(long_ago).unwrap();
        // Its head.
        std::os::unix::fs::FileExt::write_at(&file_of(&b), b"x", 20).unwrap();
        told.lock().unwrap().clear();
        let troubles = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&troubles);
        let notices = Notices(Arc::new(move |notice| kept.lock().unwrap().push(notice.to_string())));
        let mut porter = open(dir.path(), 0, &told, notices);
        for recorder in [&a, &b, &a, &b, &a, &b] {
            porter.recall_notes(recorder).unwrap();
            porter.take_notes(recorder);
        }
        assert_eq!(told.lock().unwrap().iter().filter(|told| told.ends_with("has 2")).count(), 6);
        assert_eq!(troubles.lock().unwrap().len(), 1, "{troubles:?}");
        assert_eq!(file_of(&a).metadata().unwrap().modified().unwrap(), long_ago);
    }

    #[test]
    fn the_notes_of_those_that_had_their_turn_longest_ago_are_kept_and_forgotten_where_there_are_many() {
        let (_dir, mut porter, [a, b, c], told) = porter(2);
        for recorder in [&a, &b, &b, &a, &c, &a] {
            porter.recall_notes(recorder).unwrap();
            porter.take_notes(recorder);
        }
        // Each is asked once more before it is forgotten, and notes two things again.
        let expected = [
            format!("{a} has 0"),
            format!("{b} has 0"),
            format!("forget {a}"),
            format!("{a} has 4"),
            format!("forget {b}"),
            format!("{c} has 0"),
            format!("forget {a}"),
            format!("{a} has 8"),
            format!("forget {c}"),
        ];
        assert_eq!(*told.lock().unwrap(), expected);
        porter.keep_notes(&a).unwrap();
        porter.close_notes(|recorder| *recorder == a);
        porter.recall_notes(&b).unwrap();
        assert_eq!(told.lock().unwrap()[9..], [format!("forget {a}"), format!("{b} has 6")]);
    }
}
