//! A spool: whether it can be exported, and how far that has come. Nothing is written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spanring_spool::{Cursor, CursorState, Error, Life, RecorderId, SpoolDir};

use super::{Check, Verdict, free_space};
use crate::engine::counted;
use crate::error::with_causes;

/// Where the oldest span that a sink has not had ended longer ago than this, that is worth a warning.
const LATE: Duration = Duration::from_secs(5 * 60);
/// No more spans behind a sink are counted.
const COUNTED_MAX: u64 = 1_000_000;

/// Checks the spool at this path, and how far these sinks are behind, and all others that have a place in it.
pub fn check(path: &Path, sinks: &[String]) -> Vec<Check> {
    let about = "spool";
    let spool = match SpoolDir::open(path) {
        Ok(spool) => spool,
        Err(error) => return vec![Check::new(Verdict::Fail, about, with_causes(&error))],
    };
    let mut checks = vec![permissions(about, &spool), free_space(about, spool.path()), claim(about, &spool)];
    match spool.recorders() {
        Ok(recorders) => {
            checks.extend(lives(about, &spool, &recorders));
            checks.extend(progress(&spool, &recorders, sinks));
        }
        Err(error) => checks.push(Check::new(Verdict::Fail, about, with_causes(&error))),
    }
    checks.push(dead_letters(about, &spool));
    checks
}

fn permissions(about: &str, spool: &SpoolDir) -> Check {
    let path = spool.path();
    match fs::metadata(path) {
        Ok(metadata) if metadata.mode() & 0o022 != 0 => {
            let text = format!("{} may be written to by other users: chmod 700 it", path.display());
            Check::new(Verdict::Warn, about, text)
        }
        Ok(_) => Check::new(Verdict::Ok, about, format!("{} is a spool, and this user's", path.display())),
        Err(error) => Check::new(Verdict::Fail, about, format!("cannot inspect {}: {error}", path.display())),
    }
}

fn claim(about: &str, spool: &SpoolDir) -> Check {
    match spool.is_claimed_for_export() {
        Ok(true) => Check::new(Verdict::Ok, about, "an exporter is at it"),
        Ok(false) => Check::new(Verdict::Ok, about, "no exporter is at it now"),
        Err(error) => Check::new(Verdict::Fail, about, with_causes(&error)),
    }
}

/// How it stands with the recorders: all in all, and with those that need somebody.
fn lives(about: &str, spool: &SpoolDir, recorders: &[RecorderId]) -> Vec<Check> {
    let (mut alive, mut over, mut dead) = (0, 0, 0);
    let mut checks = Vec::new();
    for recorder in recorders {
        match spool.life(recorder) {
            Ok(life) if life.is_over() => over += 1,
            Ok(Life::Dead | Life::DeadInAnotherBoot) => dead += 1,
            Ok(Life::Unproven { doubt }) => {
                let text =
                    format!("recorder {recorder} is not recovered, since its process may live: {doubt}");
                checks.push(Check::new(Verdict::Warn, about, text));
            }
            Ok(_) => {
                alive += 1;
                checks.extend(termination(about, spool, recorder));
            }
            // It was delivered and removed since it was listed.
            Err(Error::NoSuchRecorder { .. }) => {}
            Err(error) => {
                let text = format!("recorder {recorder}: {}", with_causes(&error));
                checks.push(Check::new(Verdict::Fail, about, text));
            }
        }
    }
    let text = format!("recorders: {alive} alive, {over} over, {dead} dead, which an exporter recovers");
    checks.insert(0, Check::new(Verdict::Ok, about, text));
    checks
}

/// Whether a receiver wants a recorder's process stopped, which runs.
fn termination(about: &str, spool: &SpoolDir, recorder: &RecorderId) -> Option<Check> {
    match spool.termination(recorder) {
        Ok(None) | Err(Error::NoSuchRecorder { .. }) => None,
        Ok(Some(termination)) => {
            let text = format!("recorder {recorder}: its process was told to stop, and runs: {termination}");
            Some(Check::new(Verdict::Warn, about, text))
        }
        Err(error) => {
            Some(Check::new(Verdict::Warn, about, format!("recorder {recorder}: {}", with_causes(&error))))
        }
    }
}

/// What a sink has not had yet.
#[derive(Default)]
struct Behind {
    spans: u64,
    oldest_unix_ns: Option<u64>,
    troubles: Vec<String>,
}

/// How far behind each sink is.
fn progress(spool: &SpoolDir, recorders: &[RecorderId], sinks: &[String]) -> Vec<Check> {
    let mut places: BTreeMap<String, BTreeMap<&RecorderId, CursorState>> =
        sinks.iter().map(|sink| (sink.clone(), BTreeMap::new())).collect();
    let mut checks = Vec::new();
    for recorder in recorders {
        let dir = spool.recorder_path(recorder);
        match Cursor::peek_all(&dir) {
            Ok(all) => {
                for (sink, state) in all {
                    places.entry(sink).or_default().insert(recorder, state);
                }
            }
            Err(_) if !dir.exists() => {}
            Err(error) => {
                let text = format!("recorder {recorder}: {}", with_causes(&error));
                checks.push(Check::new(Verdict::Fail, "spool", text));
            }
        }
    }
    for (sink, states) in places {
        let mut behind = Behind::default();
        for recorder in recorders {
            behind.add(spool, recorder, &states.get(recorder).copied().unwrap_or_default());
        }
        checks.push(behind.check(&sink, !states.is_empty()));
    }
    checks
}

impl Behind {
    fn add(&mut self, spool: &SpoolDir, recorder: &RecorderId, state: &CursorState) {
        match self.count(spool, recorder, state) {
            Ok(()) | Err(Error::NoSuchRecorder { .. }) => {}
            Err(error) => self.troubles.push(format!("recorder {recorder}: {}", with_causes(&error))),
        }
    }

    fn count(&mut self, spool: &SpoolDir, recorder: &RecorderId, state: &CursorState) -> Result<(), Error> {
        let mut reader = spool.reader(recorder)?;
        reader.seek(state.position);
        let (mut spans, mut oldest_unix_ns) = (0, u64::MAX);
        while self.spans + spans < COUNTED_MAX
            && let Some(block) = reader.next_block_ref()?
        {
            for span in block.spans() {
                spans += 1;
                oldest_unix_ns = oldest_unix_ns.min(span.end_unix_ns());
            }
        }
        if state.ahead != state.position {
            // Of what is behind the first open trace, it has had the traces that were over.
            let CursorState { delivered, dead_lettered, dropped, .. } = state;
            let spooled = spool.end(recorder)?.ledger()?.spooled;
            spans = spans.min(spooled.saturating_sub(delivered + dead_lettered + dropped));
        }
        if spans > 0 {
            self.spans += spans;
            self.oldest_unix_ns = Some(self.oldest_unix_ns.unwrap_or(u64::MAX).min(oldest_unix_ns));
        }
        Ok(())
    }

    fn check(self, sink: &str, is_known: bool) -> Check {
        let Behind { spans, oldest_unix_ns, troubles } = self;
        if !troubles.is_empty() {
            return Check::new(Verdict::Fail, sink, troubles.join(", "));
        }
        let at_least = if spans < COUNTED_MAX { "" } else { "at least " };
        let age = oldest_unix_ns.map(|oldest| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Duration::from_secs(now.saturating_sub(Duration::from_nanos(oldest)).as_secs())
        });
        let verdict = if age.is_some_and(|age| age > LATE) { Verdict::Warn } else { Verdict::Ok };
        let spans = format!("{at_least}{}", counted(spans, "span"));
        let text = match (age, is_known) {
            (None, true) => "it has had all that is in the spool".to_owned(),
            (None, false) => "it is new to the spool, in which nothing waits for it".to_owned(),
            (Some(age), true) => format!("{spans} behind; the oldest ended {age:?} ago"),
            (Some(age), false) => {
                format!(
                    "it is new to the spool, in which it has {spans} before it; the oldest ended {age:?} ago"
                )
            }
        };
        Check::new(verdict, sink, text)
    }
}

fn dead_letters(about: &str, spool: &SpoolDir) -> Check {
    match spool.dead_letters().names() {
        Ok(names) if names.is_empty() => Check::new(Verdict::Ok, about, "no dead letters"),
        Ok(names) => {
            let text = format!(
                "{}: spanring dead-letters lists and replays them",
                counted(names.len() as u64, "dead letter")
            );
            Check::new(Verdict::Warn, about, text)
        }
        Err(error) => Check::new(Verdict::Fail, about, with_causes(&error)),
    }
}
