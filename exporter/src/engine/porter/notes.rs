//! What the sink has to know again after a restart: its notes on each process, in a [`Notebook`] beside the cursor.
//!
//! Notes are taken after each batch, written when there are many, and synced before a cursor is stored that passes what they are about. What is not written
//! by then holds the cursor up, as one does that cannot be stored itself.
//!
//! The notes of so many processes are with the sink as there is room for, those that had their turn last; the others it forgets, and is handed again.

use std::collections::BTreeMap;
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
    turns: u64,
    held_max: usize,
}

impl Default for Notes {
    fn default() -> Self {
        Notes { open: BTreeMap::new(), turns: 0, held_max: HELD_MAX }
    }
}

struct Open {
    notebook: Notebook,
    /// What was taken and is not written.
    waiting: Vec<Note>,
    /// When it had its turn last.
    turn: u64,
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
        for damage in noted.damage {
            let reason = format!(
                "what stood there is not known to {} any more: {}",
                self.sink.name(),
                with_causes(&damage)
            );
            self.tell(Notice::Trouble { recorder: Some(recorder.clone()), reason });
        }
        self.sink.recall_notes(&process(recorder), noted.notes);
        self.notes.open.insert(recorder.clone(), Open { notebook, waiting: Vec::new(), turn });
        self.make_room_for_notes(recorder);
        Ok(())
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
            open.waiting.extend(notes);
            if open.waiting.len() >= WAITING_MAX {
                // Where that fails it is tried again, and told, before the cursor is stored.
                drop(open.write());
            }
        }
    }

    /// Makes durable what the sink has noted of the process of a recorder: before a cursor of it is stored.
    pub(in crate::engine) fn keep_notes(&mut self, recorder: &RecorderId) -> Result<(), Error> {
        self.take_notes(recorder);
        match self.notes.open.get_mut(recorder) {
            Some(open) => open.write().and_then(|()| open.notebook.sync()),
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
            self.close_notes(|other| *other == oldest);
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

    /// Notes two things of each process, and remembers what it was told.
    struct Noting(Arc<Mutex<Vec<String>>>);

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
            [1, 2].map(|key| Note { key: vec![key], value: Vec::new() }).into()
        }

        fn forget(&mut self, recorder: &RecorderId) {
            self.0.lock().unwrap().push(format!("forget {recorder}"));
        }
    }

    #[test]
    fn the_notes_of_those_that_had_their_turn_longest_ago_are_kept_and_forgotten_where_there_are_many() {
        let (dir, _) = crate::engine::tests::spool(1);
        let [a, b, c] = [1, 2, 3].map(|number| RecorderId::from_parts(number, number));
        for recorder in [&a, &b, &c] {
            std::fs::DirBuilder::new().mode(0o700).create(dir.path().join(recorder.as_str())).unwrap();
        }
        let spool = spanring_spool::SpoolDir::open(dir.path()).unwrap();
        let (_, stop) = watch::channel(false);
        let deadline = Duration::from_secs(60);
        let terms = Terms {
            letters: Some(spool.dead_letters()),
            spool,
            mode: Mode::Once { deadline },
            status: Status::default(),
            notices: Notices(Arc::new(drop)),
            stop,
            stop_deadline: deadline,
        };
        let told = Arc::<Mutex<Vec<String>>>::default();
        let mut porter = Porter::new(0, Box::new(Noting(Arc::clone(&told))), None, terms);
        porter.notes.held_max = 3;
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
