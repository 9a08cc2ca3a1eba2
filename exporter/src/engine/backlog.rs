//! How far sinks are behind what recorders have written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use spanring_spool::{Cursor, CursorState, Error, Ledger, Position, RecorderEnd, RecorderId, SpoolDir};

use super::discovery::{Census, Standing};
use super::waiting::Waiting;

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
    /// When it was looked at last, in nanoseconds since the Unix epoch.
    looked_unix_ns: u64,
}

/// Where one recorder has got.
#[derive(Debug)]
struct End {
    ledger: Ledger,
    /// How many rows it has written.
    rows: u64,
    /// What follows it, while more may be written.
    growing: Option<RecorderEnd>,
    /// By the number of the sink.
    of_sinks: BTreeMap<usize, OfSink>,
}

/// Since when what a sink has yet to get can be waiting, in nanoseconds since the Unix epoch.
#[derive(Debug, Default)]
struct OfSink {
    /// When it was seen last to have everything.
    had_all: u64,
    /// The segment that it has got to, and when what follows stands in was made.
    segment: Option<(u64, u64)>,
}

impl Ends {
    /// Looks where the recorders have got. What cannot be read stays as it was known; whoever delivers it will say so.
    pub(super) fn look(&mut self, spool: &SpoolDir, census: &Census) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        self.looked_unix_ns = u64::try_from(now).unwrap_or(u64::MAX);
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

    /// How many spans the sink of this number and name is behind, in the recorders of which that is known; in which, and since when, is noted.
    pub(super) fn backlog(&mut self, spool: &SpoolDir, number: usize, sink: &str, waiting: &Waiting) -> u64 {
        let mut behind = 0;
        for (id, end) in &mut self.known {
            let Ok(state) = Cursor::peek(&spool.recorder_path(id), sink) else { continue };
            let CursorState { position, delivered, dead_lettered, dropped, .. } = state;
            let spans = end.ledger.spooled.saturating_sub(delivered + dead_lettered + dropped);
            // The account of a recovery recorder has the spans of the dead one too, which are not here.
            let spans = spans.min(end.rows.saturating_sub(position.next_sequence));
            behind += spans;
            let not_before = match spans {
                0 => {
                    end.of_sinks.entry(number).or_default().had_all = self.looked_unix_ns;
                    None
                }
                _ => Some(end.not_before(spool, id, number, position)),
            };
            waiting.look(id, not_before);
        }
        behind
    }
}

impl End {
    fn find(spool: &SpoolDir, id: &RecorderId, standing: Standing) -> Result<Self, Error> {
        let growing = Some(spool.end(id)?);
        let mut end = End { ledger: Ledger::default(), rows: 0, growing, of_sinks: BTreeMap::new() };
        end.follow(standing)?;
        Ok(end)
    }

    /// The moment before which nothing ended that this sink has yet to get, which has got to this place.
    fn not_before(&mut self, spool: &SpoolDir, id: &RecorderId, number: usize, position: Position) -> u64 {
        let of_sink = self.of_sinks.entry(number).or_default();
        let made = match of_sink.segment {
            Some((segment, made)) if segment == position.segment => made,
            _ => {
                let reader = spool.reader(id).ok();
                let made =
                    reader.and_then(|reader| reader.segment_created_unix_ns(position).ok()?).unwrap_or(0);
                of_sink.segment = Some((position.segment, made));
                made
            }
        };
        // What was recovered was written long after it ended, perhaps.
        let made = if id.is_recovery() { 0 } else { made };
        made.max(of_sink.had_all).max(id.created_unix_ns())
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
