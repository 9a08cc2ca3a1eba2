//! Whether an exporter is well, and why not; where there are several, whether all of them are.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::engine::{SinkState, Snapshot};

/// An exporter that has not got on for so long is stuck. The longest that is in order is to recover one recorder of many full rings from a slow
/// disk.
const STUCK_AFTER: Duration = Duration::from_secs(120);

/// How the exporter of a spool stands.
pub(super) struct Spool {
    /// The directory of the spool.
    pub(super) path: PathBuf,
    pub(super) snapshot: Snapshot,
    /// Since when it is watched.
    pub(super) since: Instant,
}

/// Whether all that have not ended get on. Where all have, it is about them: the process should have ended too.
pub(super) fn alive(spools: &[Spool], now: Instant) -> Result<String, String> {
    let goes_on = spools.iter().any(|spool| !spool.snapshot.has_ended);
    let counts = |spool: &&Spool| !(goes_on && spool.snapshot.has_ended);
    worst(spools, spools.iter().filter(counts), |spool| one_alive(&spool.snapshot, spool.since, now))
}

/// Whether each delivers to all sinks, but for those that are out for now.
pub(super) fn ready(spools: &[Spool]) -> Result<String, String> {
    worst(spools, spools.iter(), |spool| one_ready(&spool.snapshot))
}

/// What is wrong with the first of which something is, with its spool where there are several; else what is said of the last.
fn worst<'a>(
    all: &[Spool],
    asked: impl Iterator<Item = &'a Spool>,
    verdict: impl Fn(&Spool) -> Result<String, String>,
) -> Result<String, String> {
    let mut well = String::new();
    for spool in asked {
        well = verdict(spool).map_err(|why| match all.len() {
            1 => why,
            _ => format!("{}: {why}", spool.path.display()),
        })?;
    }
    Ok(well)
}

/// Whether an exporter gets on that is watched since `since`. A sink that fails does not keep it from that.
fn one_alive(snapshot: &Snapshot, since: Instant, now: Instant) -> Result<String, String> {
    let last = snapshot.turned_at.map_or(since, |turned_at| turned_at.max(since));
    let idle = now.saturating_duration_since(last);
    match idle < STUCK_AFTER {
        true => Ok("it gets on".to_owned()),
        false => Err(format!("it is stuck: it has not looked at the spool for {} s", idle.as_secs())),
    }
}

/// Whether it delivers to all sinks, but for those that are out for now.
fn one_ready(snapshot: &Snapshot) -> Result<String, String> {
    let parked = snapshot.sinks.iter().find(|sink| sink.state == SinkState::Parked);
    let why_not = match parked {
        _ if snapshot.has_ended => "it has ended".to_owned(),
        _ if snapshot.is_stopping => "it is stopping".to_owned(),
        _ if snapshot.began.is_none() => "it has not claimed the spool yet".to_owned(),
        _ if !snapshot.is_looked_through => "it has not looked through the spool yet".to_owned(),
        Some(sink) => format!("{} takes nothing until somebody changes something", sink.report.sink),
        None => return Ok("it delivers".to_owned()),
    };
    Err(why_not)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::engine::SinkSnapshot;

    #[test]
    fn it_is_stuck_when_it_has_not_got_on_for_a_while_since_it_is_watched() {
        let since = Instant::now() + STUCK_AFTER * 10;
        let at = |seconds| since + Duration::from_secs(seconds);
        for (turned_at, now, idle) in [
            (None, at(0), None),
            (None, at(119), None),
            (None, at(120), Some(120)),
            (Some(at(100)), at(219), None),
            (Some(at(100)), at(221), Some(121)),
            // What was handed over may be of an earlier life.
            (Some(since - STUCK_AFTER), at(119), None),
            (Some(since - STUCK_AFTER), at(120), Some(120)),
            (Some(at(100)), at(50), None),
        ] {
            let snapshot = Snapshot { turned_at, ..Snapshot::default() };
            let expected =
                idle.map(|idle| format!("it is stuck: it has not looked at the spool for {idle} s"));
            assert_eq!(one_alive(&snapshot, since, now).err(), expected, "{turned_at:?} {now:?}");
        }
    }

    #[test]
    fn it_is_ready_while_it_delivers_and_no_sink_is_parked() {
        let mut snapshot = Snapshot::default();
        let why_not = |snapshot: &Snapshot| one_ready(snapshot).unwrap_or_else(|why| why);
        assert_eq!(why_not(&snapshot), "it has not claimed the spool yet");
        snapshot.began = Some(SystemTime::now());
        assert_eq!(why_not(&snapshot), "it has not looked through the spool yet");
        snapshot.is_looked_through = true;
        snapshot.sinks = vec![SinkSnapshot::new("file:/a"), SinkSnapshot::new("file:/b")];
        for (state, expected) in [
            (SinkState::Closed, "it delivers"),
            (SinkState::Open, "it delivers"),
            (SinkState::HalfOpen, "it delivers"),
            (SinkState::Parked, "file:/b takes nothing until somebody changes something"),
            (SinkState::Ended, "it delivers"),
        ] {
            snapshot.sinks[1].state = state;
            assert_eq!(why_not(&snapshot), expected, "{state:?}");
        }
        snapshot.is_stopping = true;
        assert_eq!(why_not(&snapshot), "it is stopping");
        snapshot.has_ended = true;
        assert_eq!(why_not(&snapshot), "it has ended");
    }

    #[test]
    fn several_are_as_well_as_the_worst_of_them_and_one_that_has_ended_is_not_stuck() {
        let since = Instant::now();
        let now = since + STUCK_AFTER * 2;
        let spool = |path: &str, turned_at, has_ended| {
            let began = Some(SystemTime::now());
            let snapshot =
                Snapshot { began, is_looked_through: true, turned_at, has_ended, ..Snapshot::default() };
            Spool { path: path.into(), snapshot, since }
        };
        let (well, ended) = (|| spool("/well", Some(now), false), || spool("/ended", None, true));
        let stuck = || spool("/stuck", None, false);
        let why = |verdict: Result<String, String>| verdict.unwrap_or_else(|why| why);
        let is_stuck = "it is stuck: it has not looked at the spool for 240 s";
        for (spools, is_alive, is_ready) in [
            (vec![well()], "it gets on", "it delivers"),
            (vec![well(), well()], "it gets on", "it delivers"),
            (vec![well(), ended()], "it gets on", "/ended: it has ended"),
            (vec![ended(), well()], "it gets on", "/ended: it has ended"),
            (vec![stuck()], is_stuck, "it delivers"),
            (vec![ended()], is_stuck, "it has ended"),
            (vec![ended(), ended()], &format!("/ended: {is_stuck}"), "/ended: it has ended"),
            (vec![well(), ended(), stuck()], &format!("/stuck: {is_stuck}"), "/ended: it has ended"),
        ] {
            let paths: Vec<_> = spools.iter().map(|spool| spool.path.display()).collect();
            assert_eq!(why(alive(&spools, now)), is_alive, "{paths:?}");
            assert_eq!(why(ready(&spools)), is_ready, "{paths:?}");
        }
    }
}
