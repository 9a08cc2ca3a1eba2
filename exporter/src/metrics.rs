//! How an exporter stands, as Prometheus reads it.
//!
//! | metric | type | labels | |
//! |---|---|---|---|
//! | `process_start_time_seconds` | gauge | | when the process started to listen |
//! | `spanring_build_info` | gauge | `version` | 1 |
//! | `spanring_dead_letters` | gauge | | dead letters that are held |
//! | `spanring_dead_letters_bytes` | gauge | | what they take |
//! | `spanring_exporter_delivering` | gauge | | 1 while spans are delivered |
//! | `spanring_exporter_start_time_seconds` | gauge | | when delivery began |
//! | `spanring_exporter_troubles` | gauge | | what does not work, apart from sinks |
//! | `spanring_recorder_calls_misused_total` | counter | `reason` | calls that were wrong or came too late |
//! | `spanring_recorder_hooks_failed_total` | counter | | samplers, redactors and processors that panicked |
//! | `spanring_recorder_spans_dropped_total` | counter | `reason` | spans lost |
//! | `spanring_recorder_spans_ended_total` | counter | | spans that ended, those dropped included |
//! | `spanring_recorder_spans_in_flight` | gauge | | spans that are open |
//! | `spanring_recorder_spans_interrupted_total` | counter | | spans whose process died |
//! | `spanring_recorder_spans_sampled_out_total` | counter | | spans not recorded by a decision |
//! | `spanring_recorder_spans_spooled_total` | counter | | spans in segments |
//! | `spanring_recorder_spans_started_total` | counter | | spans that were started |
//! | `spanring_recorder_starts_lost_total` | counter | | announcements that found no room |
//! | `spanring_recorder_values_lost_total` | counter | `reason` | values cut, left out or failed |
//! | `spanring_recorder_values_redacted_total` | counter | | values that redaction took out |
//! | `spanring_recorders` | gauge | | recorders in the spool |
//! | `spanring_recorders_found_total` | counter | | recorders that were found |
//! | `spanring_recorders_recovered_total` | counter | | recorders that were recovered |
//! | `spanring_recorders_removed_total` | counter | | recorders that were removed |
//! | `spanring_recorders_unproven` | gauge | | recorders of which nobody can tell whether their process lives |
//! | `spanring_segments_removed_total` | counter | | segments that were removed |
//! | `spanring_sink_backlog_spans` | gauge | `sink` | spans in the spool that it has yet to get |
//! | `spanring_sink_batches_divided_total` | counter | `sink` | batches that it refused and that were halved |
//! | `spanring_sink_failing_seconds` | gauge | `sink` | for how long all attempts have failed |
//! | `spanring_sink_lag_seconds` | gauge | `sink` | age of the oldest span that it has yet to get, of all recorders and of traces that are open; at most, where that was not read yet |
//! | `spanring_sink_last_success_timestamp_seconds` | gauge | `sink` | when it took a batch last; not there before |
//! | `spanring_sink_requests_total` | counter | `sink` | batches that were sent, again or not |
//! | `spanring_sink_retries_total` | counter | `sink` | requests for batches that had been sent and not taken |
//! | `spanring_sink_spans_dead_lettered_total` | counter | `sink` | spans that it refused, set aside |
//! | `spanring_sink_spans_delivered_total` | counter | `sink` | spans that it took |
//! | `spanring_sink_spans_lost_total` | counter | `sink` | spans, and announcements of some, damaged in the spool before it got them |
//! | `spanring_sink_spans_rejected_total` | counter | `sink` | spans that it took and did not want |
//! | `spanring_sink_spans_sampled_out_total` | counter | `sink` | spans of traces that its rules do not keep, not sent |
//! | `spanring_sink_state` | gauge | `sink`, `state` | 1 of the state that it is in, 0 of the others |
//! | `spanring_spool_filesystem_free_bytes` | gauge | | free to the spool's user |
//! | `spanring_spool_filesystem_size_bytes` | gauge | | of the spool's file system |
//! | `spanring_spool_segment_bytes` | gauge | | what the segments take |
//! | `spanring_spool_segments` | gauge | | segments in the spool |
//!
//! Counters are since the exporter began; those of recorders are the accounts of all recorders that were there since, from the start of each
//! on, as of the last block that each wrote. They are not there before the spool was looked through. At rest
//! `started = ended + interrupted + in_flight`, and for a sink that is new to its spool `spooled = backlog + delivered + rejected +
//! dead_lettered + sampled_out`, and where something is damaged about `+ lost`, which has announcements too.
//!
//! A sink's label is its address, which has no secrets.
//!
//! Where [several](crate::Exporters) spools are delivered, all but `process_start_time_seconds` and `spanring_build_info` are of one of them each, and
//! have its directory as the label `spool`. What is said of a sink is then what it is to that spool: `sum without (spool)` is all of it.

mod room;
mod text;

pub(crate) use room::Rooms;
pub use room::{Held, Taken};

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use spanring_spool::Ledger;

use self::text::{Kind, Text};
use crate::engine::{SinkSnapshot, SinkState, Snapshot};

/// What the format calls itself in HTTP.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The states of a sink, as its label has them.
const STATES: [(SinkState, &str); 5] = [
    (SinkState::Closed, "closed"),
    (SinkState::Open, "open"),
    (SinkState::HalfOpen, "half_open"),
    (SinkState::Parked, "parked"),
    (SinkState::Ended, "ended"),
];

/// How the exporter of a spool stands.
#[derive(Clone, Debug, Default)]
pub struct SpoolSnapshot {
    /// The directory of the spool.
    pub spool: PathBuf,
    /// How its exporter stands.
    pub snapshot: Snapshot,
    /// What the spool takes, as far as that is known.
    pub taken: Taken,
}

/// How exporters stand at the time of `now`, in Prometheus' text format, version 0.0.4, sorted by name.
pub fn exposition(spools: &[SpoolSnapshot], started: SystemTime, now: SystemTime) -> String {
    let mut text = Text::default();
    text.family(
        "process_start_time_seconds",
        Kind::Gauge,
        "When the process started to listen, in seconds since the Unix epoch.",
    )
    .sample(&[], seconds(since_epoch(started)));
    text.family("spanring_build_info", Kind::Gauge, "1, labelled with the version.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    for SpoolSnapshot { spool, snapshot, taken } in spools {
        text.of_spool((spools.len() > 1).then(|| spool.display().to_string()));
        exporter(&mut text, snapshot);
        if snapshot.is_looked_through {
            recorders(&mut text, snapshot);
            recording(&mut text, &snapshot.ledger);
        }
        sinks(&mut text, &snapshot.sinks, now);
        room(&mut text, taken);
    }
    text.finish()
}

fn exporter(text: &mut Text, snapshot: &Snapshot) {
    text.family("spanring_exporter_delivering", Kind::Gauge, "1 while spans are delivered, else 0.")
        .sample(&[], u8::from(snapshot.is_delivering()));
    if let Some(began) = snapshot.began {
        let help = "When delivery began, in seconds since the Unix epoch.";
        text.family("spanring_exporter_start_time_seconds", Kind::Gauge, help)
            .sample(&[], seconds(since_epoch(began)));
    }
    text.family(
        "spanring_exporter_troubles",
        Kind::Gauge,
        "What does not work at present, apart from sinks.",
    )
    .sample(&[], snapshot.troubles);
}

fn recorders(text: &mut Text, snapshot: &Snapshot) {
    let Snapshot { recorders, recorders_present, recoveries, unproven, .. } = snapshot;
    text.family("spanring_recorders", Kind::Gauge, "Recorders in the spool.").sample(&[], recorders_present);
    text.family("spanring_recorders_unproven", Kind::Gauge, "Recorders whose process may live or not.")
        .sample(&[], unproven);
    for (name, help, count) in [
        ("spanring_recorders_found_total", "Recorders that were found.", recorders),
        ("spanring_recorders_recovered_total", "Recorders recovered, since their process died.", recoveries),
        ("spanring_recorders_removed_total", "Recorders removed as delivered.", &snapshot.recorders_removed),
        ("spanring_segments_removed_total", "Segments removed as delivered.", &snapshot.segments_removed),
    ] {
        text.family(name, Kind::Counter, help).sample(&[], count);
    }
}

fn recording(text: &mut Text, ledger: &Ledger) {
    for (name, help, count) in [
        ("spans_started", "Spans that were started.", ledger.started),
        ("spans_ended", "Spans that ended, those that were dropped included.", ledger.ended),
        ("spans_interrupted", "Spans whose process died before they ended.", ledger.interrupted),
        (
            "spans_spooled",
            "Spans that stand in segments, or stood in some that were removed.",
            ledger.spooled,
        ),
        ("spans_sampled_out", "Spans that were not recorded because of a decision.", ledger.sampled_out),
        ("starts_lost", "Announcements of started spans that found no room.", ledger.starts_lost),
        ("values_redacted", "Values that redaction replaced or left out.", ledger.redacted),
        ("hooks_failed", "Samplers, redactors and processors that panicked.", ledger.hooks_failed),
    ] {
        text.family(&format!("spanring_recorder_{name}_total"), Kind::Counter, help).sample(&[], count);
    }
    text.family("spanring_recorder_spans_in_flight", Kind::Gauge, "Spans that are open.")
        .sample(&[], ledger.in_flight);
    let dropped = &ledger.dropped;
    for (name, help, counts) in [
        (
            "spans_dropped",
            "Spans that were lost.",
            &[
                ("ring_full", dropped.ring_full),
                ("no_cell", dropped.no_cell),
                ("no_lane", dropped.no_lane),
                ("damaged", dropped.damaged),
            ][..],
        ),
        (
            "values_lost",
            "Values that were not recorded as they were.",
            &[
                ("cut", ledger.values_cut),
                ("left_out", ledger.values_left_out),
                ("failed", ledger.values_failed),
            ],
        ),
        (
            "calls_misused",
            "Calls that were wrong or came too late.",
            &[
                ("misused", ledger.misused),
                ("reentered", ledger.reentered),
                ("guard_out_of_order", ledger.guards_out_of_order),
            ],
        ),
    ] {
        let family = text.family(&format!("spanring_recorder_{name}_total"), Kind::Counter, help);
        for &(reason, count) in counts {
            family.sample(&[("reason", reason)], count);
        }
    }
}

fn sinks(text: &mut Text, sinks: &[SinkSnapshot], now: SystemTime) {
    type Count = fn(&SinkSnapshot) -> u64;
    let counts: [(&str, &str, Count); 8] = [
        ("spans_delivered", "Spans that the sink took.", |sink| sink.report.delivered),
        ("spans_rejected", "Spans that the sink took and did not want.", |sink| sink.report.rejected),
        ("spans_dead_lettered", "Spans that the sink refused.", |sink| sink.report.dead_lettered),
        (
            "spans_lost",
            "Spans, and announcements of some, damaged in the spool before the sink got them.",
            |sink| sink.report.lost,
        ),
        ("spans_sampled_out", "Spans of traces that its rules do not keep.", |sink| sink.report.sampled_out),
        ("requests", "Batches that were sent, again or not.", |sink| sink.report.requests),
        ("retries", "Requests for batches that had been sent and not taken.", |sink| sink.report.retries),
        ("batches_divided", "Batches that the sink refused, halved.", |sink| sink.report.divided),
    ];
    for (name, help, count) in counts {
        let family = text.family(&format!("spanring_sink_{name}_total"), Kind::Counter, help);
        for sink in sinks {
            family.sample(&[("sink", &sink.report.sink)], count(sink));
        }
    }
    let backlog = text.family(
        "spanring_sink_backlog_spans",
        Kind::Gauge,
        "Spans in the spool that the sink has yet to get.",
    );
    for sink in sinks {
        backlog.sample(&[("sink", &sink.report.sink)], sink.backlog.spans);
    }
    type Time = fn(&SinkSnapshot, SystemTime) -> Option<Duration>;
    let times: [(&str, &str, Time); 3] = [
        ("failing_seconds", "For how long all attempts have failed.", |sink, now| {
            Some(sink.failing_since.map_or(Duration::ZERO, |since| between(since, now)))
        }),
        (
            "lag_seconds",
            "Age of the oldest span that the sink has yet to get, also of traces that are open.",
            |sink, now| {
                let oldest = UNIX_EPOCH + Duration::from_nanos(sink.backlog.oldest_unix_ns);
                Some(if sink.backlog.oldest_unix_ns == 0 { Duration::ZERO } else { between(oldest, now) })
            },
        ),
        (
            "last_success_timestamp_seconds",
            "When the sink took a batch last, in seconds since the Unix epoch.",
            |sink, _| sink.delivered_at.map(since_epoch),
        ),
    ];
    for (name, help, time) in times {
        let family = text.family(&format!("spanring_sink_{name}"), Kind::Gauge, help);
        for sink in sinks {
            if let Some(time) = time(sink, now) {
                family.sample(&[("sink", &sink.report.sink)], seconds(time));
            }
        }
    }
    let states = text.family(
        "spanring_sink_state",
        Kind::Gauge,
        "1 of the state that the sink is in, 0 of the others.",
    );
    for sink in sinks {
        for (state, name) in STATES {
            states.sample(&[("sink", &sink.report.sink), ("state", name)], u8::from(sink.state == state));
        }
    }
}

fn room(text: &mut Text, taken: &Taken) {
    if let Some(Held { letters, bytes }) = taken.held {
        text.family("spanring_dead_letters", Kind::Gauge, "Dead letters that are held.").sample(&[], letters);
        text.family("spanring_dead_letters_bytes", Kind::Gauge, "What dead letters take.").sample(&[], bytes);
    }
    if let Some(room) = taken.room {
        for (name, help, value) in [
            ("segments", "Segments in the spool.", room.segments),
            ("segment_bytes", "What segments take on disk.", room.segment_bytes),
            (
                "filesystem_free_bytes",
                "What is free to the spool's user on its file system.",
                room.free_bytes,
            ),
            ("filesystem_size_bytes", "The size of the spool's file system.", room.total_bytes),
        ] {
            text.family(&format!("spanring_spool_{name}"), Kind::Gauge, help).sample(&[], value);
        }
    }
}

/// How long ago something was; nothing where the clock went back.
fn between(earlier: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(earlier).unwrap_or_default()
}

fn since_epoch(time: SystemTime) -> Duration {
    between(UNIX_EPOCH, time)
}

/// To the millisecond.
fn seconds(duration: Duration) -> impl std::fmt::Display {
    std::fmt::from_fn(move |f| write!(f, "{}.{:03}", duration.as_secs(), duration.subsec_millis()))
}

#[cfg(test)]
mod tests;
