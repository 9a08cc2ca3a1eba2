//! How far sinks are behind what recorders have written.

use std::collections::{BTreeMap, BTreeSet};

use spanring_spool::{Cursor, CursorState, Error, Ledger, RecorderEnd, RecorderId, SpoolDir};

use super::discovery::{Census, Standing};

/// How many recorders are looked at for the first time in one go. A spool with very many of them is known after some rounds.
const NEW_MAX: usize = 64;

/// Where recorders have got, as far as that is known.
#[derive(Debug, Default)]
pub(super) struct Ends {
    known: BTreeMap<RecorderId, End>,
    /// Those that are there and were recovered: their account is that of their recovery recorder, which has it all.
    recovered: BTreeSet<RecorderId>,
    /// The accounts of recorders that are gone.
    gone: Ledger,
}

/// Where one recorder has got.
#[derive(Debug)]
struct End {
    ledger: Ledger,
    /// How many rows it has written.
    rows: u64,
    /// What follows it, while more may be written.
    growing: Option<RecorderEnd>,
}

impl Ends {
    /// Looks where the recorders have got. What cannot be read stays as it was known; whoever delivers it will say so.
    pub(super) fn look(&mut self, spool: &SpoolDir, census: &Census) {
        let is_there =
            |id: &RecorderId| census.recorders.binary_search_by(|(listed, _)| listed.cmp(id)).is_ok();
        let (recovered, gone) = (&self.recovered, &mut self.gone);
        self.known.retain(|id, end| {
            let is_there_still = is_there(id);
            if !is_there_still && !recovered.contains(id) && !is_there(&id.recovery()) {
                gone.add(&end.ledger);
            }
            is_there_still
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
        let has_account = |(id, end): (&RecorderId, &End)| id.origin().filter(|_| end.ledger.started > 0);
        self.recovered.extend(self.known.iter().filter_map(has_account));
        self.recovered.retain(is_there);
    }

    /// The account of all recorders that were looked at.
    pub(super) fn ledger(&self) -> Ledger {
        let mut ledger = self.gone;
        // Of those that are gone no span is open any more.
        ledger.in_flight = 0;
        let counted = self.known.iter().filter(|(id, _)| !self.recovered.contains(id));
        counted.for_each(|(_, end)| ledger.add(&end.ledger));
        ledger
    }

    /// How many spans a sink is behind, in the recorders of which that is known.
    pub(super) fn backlog(&self, spool: &SpoolDir, sink: &str) -> u64 {
        let behind = |(id, end): (&RecorderId, &End)| {
            let state = Cursor::peek(&spool.recorder_path(id), sink).ok()?;
            let CursorState { position, delivered, dead_lettered, dropped, .. } = state;
            let spans = end.ledger.spooled.saturating_sub(delivered + dead_lettered + dropped);
            // The account of a recovery recorder has the spans of the dead one too, which are not here.
            Some(spans.min(end.rows.saturating_sub(position.next_sequence)))
        };
        self.known.iter().filter_map(behind).sum()
    }
}

impl End {
    fn find(spool: &SpoolDir, id: &RecorderId, standing: Standing) -> Result<Self, Error> {
        let mut end = End { ledger: Ledger::default(), rows: 0, growing: Some(spool.end(id)?) };
        end.follow(standing)?;
        Ok(end)
    }

    fn follow(&mut self, standing: Standing) -> Result<(), Error> {
        let Some(end) = &mut self.growing else { return Ok(()) };
        if standing == Standing::Over {
            end.set_dead();
        }
        self.ledger = end.ledger()?;
        self.rows = end.rows();
        if standing == Standing::Over {
            self.growing = None;
        }
        Ok(())
    }
}
