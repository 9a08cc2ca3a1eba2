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
#[derive(Default)]
pub(super) struct Notes {
    open: BTreeMap<RecorderId, Open>,
    turns: u64,
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
        while self.notes.open.values().map(Open::len).sum::<usize>() > HELD_MAX {
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
