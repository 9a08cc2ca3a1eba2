//! Whether an exporter is well, and why not.

use std::time::{Duration, Instant};

use crate::engine::{SinkState, Snapshot};

/// An exporter that has not got on for so long is stuck. The longest that is in order is to recover one recorder of many full rings from a slow
/// disk.
const STUCK_AFTER: Duration = Duration::from_secs(120);

/// Whether an exporter gets on that is watched since `since`. A sink that fails does not keep it from that.
pub(super) fn alive(snapshot: &Snapshot, since: Instant, now: Instant) -> Result<String, String> {
    let last = snapshot.turned_at.map_or(since, |turned_at| turned_at.max(since));
    let idle = now.saturating_duration_since(last);
    match idle < STUCK_AFTER {
        true => Ok("it gets on".to_owned()),
        false => Err(format!("it is stuck: it has not looked at the spool for {} s", idle.as_secs())),
    }
}

/// Whether it delivers to all sinks, but for those that are out for now.
pub(super) fn ready(snapshot: &Snapshot) -> Result<String, String> {
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
            assert_eq!(alive(&snapshot, since, now).err(), expected, "{turned_at:?} {now:?}");
        }
    }

    #[test]
    fn it_is_ready_while_it_delivers_and_no_sink_is_parked() {
        let mut snapshot = Snapshot::default();
        let why_not = |snapshot: &Snapshot| ready(snapshot).unwrap_or_else(|why| why);
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
}
