//! How far sinks are behind what recorders have written.

use std::collections::BTreeMap;

use spanring_spool::{Cursor, CursorState, Error, Ledger, RecorderEnd, RecorderId, SpoolDir};

use super::discovery::{Census, Standing};

/// How many recorders are looked at for the first time in one go. A spool with very many of them is known after some rounds.
const NEW_MAX: usize = 64;

/// Where recorders have got, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Ends {
    known: BTreeMap<RecorderId, End>,
    /// The accounts of recorders that are gone.
    gone: Ledger,
}

/// Where one recorder has got.
#[derive(Debug)]
struct End {
    ledger: Ledger,
    /// What follows it, while more may be written.
    growing: Option<RecorderEnd>,
}

impl Ends {
    /// Looks where the recorders have got. What cannot be read stays as it was known; whoever delivers it will say so.
    pub(super) fn look(&mut self, spool: &SpoolDir, census: &Census) {
        let is_there =
            |id: &RecorderId| census.recorders.binary_search_by(|(listed, _)| listed.cmp(id)).is_ok();
        let gone = &mut self.gone;
        self.known.retain(|id, end| {
            let is_there = is_there(id);
            if !is_there {
                gone.add(&end.ledger);
            }
            is_there
        });
        let mut new = 0;
        for (id, standing) in &census.recorders {
            match self.known.get_mut(id) {
                Some(end) => drop(end.follow(*standing)),
                None if new < NEW_MAX => {
                    new += 1;
                    if let Ok(end) = End::find(spool, id, *standing) {
                        self.known.insert(id.clone(), end);
                    }
                }
                None => {}
            }
        }
    }

    /// The account of all recorders that were looked at.
    pub(super) fn ledger(&self) -> Ledger {
        let mut ledger = self.gone;
        self.known.values().for_each(|end| ledger.add(&end.ledger));
        // Of those that are gone no span is open any more.
        ledger.in_flight = self.known.values().map(|end| end.ledger.in_flight).sum();
        ledger
    }

    /// How many spans a sink is behind, in the recorders of which that is known.
    pub(super) fn backlog(&self, spool: &SpoolDir, sink: &str) -> u64 {
        let behind = |(id, end): (&RecorderId, &End)| {
            let state = Cursor::peek(&spool.recorder_path(id), sink).ok()?;
            let CursorState { delivered, dead_lettered, dropped, .. } = state;
            Some(end.ledger.spooled.saturating_sub(delivered + dead_lettered + dropped))
        };
        self.known.iter().filter_map(behind).sum()
    }
}

impl End {
    fn find(spool: &SpoolDir, id: &RecorderId, standing: Standing) -> Result<Self, Error> {
        let mut end = End { ledger: Ledger::default(), growing: Some(spool.end(id)?) };
        end.follow(standing)?;
        Ok(end)
    }

    fn follow(&mut self, standing: Standing) -> Result<(), Error> {
        let Some(end) = &mut self.growing else { return Ok(()) };
        if standing == Standing::Over {
            end.set_dead();
        }
        self.ledger = end.ledger()?;
        if standing == Standing::Over {
            self.growing = None;
        }
        Ok(())
    }
}
