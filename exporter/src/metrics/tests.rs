use std::collections::BTreeMap;

use spanring_spool::Dropped;

use super::*;

fn at(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

/// An exporter of which everything is known, and no two counts are the same.
fn full() -> (Snapshot, Taken) {
    let dropped = Dropped { ring_full: 1, no_cell: 2, no_lane: 3, damaged: 4 };
    let ledger = Ledger {
        started: 5,
        ended: 6,
        interrupted: 7,
        in_flight: 8,
        spooled: 9,
        dropped,
        starts_lost: 10,
        values_cut: 11,
        values_left_out: 12,
        values_failed: 13,
        guards_out_of_order: 14,
        reentered: 15,
        misused: 16,
        sampled_out: 17,
        redacted: 18,
        hooks_failed: 19,
    };
    let mut snapshot = Snapshot {
        began: Some(at(20_000)),
        is_looked_through: true,
        recorders: 21,
        recorders_present: 22,
        recoveries: 23,
        unproven: 24,
        ledger,
        recorders_removed: 25,
        segments_removed: 26,
        troubles: 27,
        ..Snapshot::default()
    };
    let mut sink = SinkSnapshot::new("otlp+http://a");
    sink.report.delivered = 28;
    sink.report.rejected = 29;
    sink.report.dead_lettered = 30;
    sink.report.lost = 42;
    sink.report.sampled_out = 38;
    sink.report.requests = 31;
    sink.report.retries = 32;
    sink.report.divided = 33;
    sink.state = SinkState::Open;
    sink.failing_since = Some(at(66_000));
    sink.delivered_at = Some(at(35_250));
    sink.backlog.spans = 36;
    sink.backlog.oldest_unix_ns = 63_000_000_000;
    snapshot.sinks.push(sink);
    let mut room = spanring_spool::Room::default();
    (room.segments, room.segment_bytes, room.free_bytes, room.total_bytes) = (38, 39, 40, 41);
    (snapshot, Taken { room: Some(room), held: Some(Held { letters: 42, bytes: 43 }) })
}

fn shown(snapshot: &Snapshot, taken: &Taken) -> String {
    let standing = SpoolSnapshot { spool: "/s".into(), snapshot: snapshot.clone(), taken: *taken };
    exposition(&[standing], at(44_000), at(100_000))
}

#[test]
fn every_count_is_shown_under_its_name() {
    let (snapshot, taken) = full();
    let shown = shown(&snapshot, &taken);
    let samples = shown.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let expected = r#"process_start_time_seconds 44.000
spanring_build_info{version="0.0.0"} 1
spanring_dead_letters 42
spanring_dead_letters_bytes 43
spanring_exporter_delivering 1
spanring_exporter_start_time_seconds 20.000
spanring_exporter_troubles 27
spanring_recorder_calls_misused_total{reason="misused"} 16
spanring_recorder_calls_misused_total{reason="reentered"} 15
spanring_recorder_calls_misused_total{reason="guard_out_of_order"} 14
spanring_recorder_hooks_failed_total 19
spanring_recorder_spans_dropped_total{reason="ring_full"} 1
spanring_recorder_spans_dropped_total{reason="no_cell"} 2
spanring_recorder_spans_dropped_total{reason="no_lane"} 3
spanring_recorder_spans_dropped_total{reason="damaged"} 4
spanring_recorder_spans_ended_total 6
spanring_recorder_spans_in_flight 8
spanring_recorder_spans_interrupted_total 7
spanring_recorder_spans_sampled_out_total 17
spanring_recorder_spans_spooled_total 9
spanring_recorder_spans_started_total 5
spanring_recorder_starts_lost_total 10
spanring_recorder_values_lost_total{reason="cut"} 11
spanring_recorder_values_lost_total{reason="left_out"} 12
spanring_recorder_values_lost_total{reason="failed"} 13
spanring_recorder_values_redacted_total 18
spanring_recorders 22
spanring_recorders_found_total 21
spanring_recorders_recovered_total 23
spanring_recorders_removed_total 25
spanring_recorders_unproven 24
spanring_segments_removed_total 26
spanring_sink_backlog_spans{sink="otlp+http://a"} 36
spanring_sink_batches_divided_total{sink="otlp+http://a"} 33
spanring_sink_failing_seconds{sink="otlp+http://a"} 34.000
spanring_sink_lag_seconds{sink="otlp+http://a"} 37.000
spanring_sink_last_success_timestamp_seconds{sink="otlp+http://a"} 35.250
spanring_sink_requests_total{sink="otlp+http://a"} 31
spanring_sink_retries_total{sink="otlp+http://a"} 32
spanring_sink_spans_dead_lettered_total{sink="otlp+http://a"} 30
spanring_sink_spans_delivered_total{sink="otlp+http://a"} 28
spanring_sink_spans_lost_total{sink="otlp+http://a"} 42
spanring_sink_spans_rejected_total{sink="otlp+http://a"} 29
spanring_sink_spans_sampled_out_total{sink="otlp+http://a"} 38
spanring_sink_state{sink="otlp+http://a",state="closed"} 0
spanring_sink_state{sink="otlp+http://a",state="open"} 1
spanring_sink_state{sink="otlp+http://a",state="half_open"} 0
spanring_sink_state{sink="otlp+http://a",state="parked"} 0
spanring_sink_state{sink="otlp+http://a",state="ended"} 0
spanring_spool_filesystem_free_bytes 40
spanring_spool_filesystem_size_bytes 41
spanring_spool_segment_bytes 39
spanring_spool_segments 38"#;
    assert_eq!(samples, expected);
}

#[test]
fn of_several_spools_every_sample_is_there_for_each_and_labelled_with_it() {
    let (snapshot, taken) = full();
    let spool = |path: &str| SpoolSnapshot { spool: path.into(), snapshot: snapshot.clone(), taken };
    let several = exposition(&[spool("/x"), spool("/y")], at(44_000), at(100_000));
    let of_one = shown(&snapshot, &taken);
    let expected: Vec<String> = of_one
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| {
            let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
            let labelled = |spool| match rest.strip_prefix('{') {
                Some(rest) => format!("{name}{{spool=\"{spool}\",{rest}"),
                None => format!("{name}{{spool=\"{spool}\"}}{rest}"),
            };
            match name {
                "process_start_time_seconds" | "spanring_build_info" => vec![line.to_owned()],
                _ => ["/x", "/y"].map(labelled).into(),
            }
        })
        .collect();
    let mut shown: Vec<_> = several.lines().filter(|line| !line.starts_with('#')).collect();
    let mut expected: Vec<_> = expected.iter().map(String::as_str).collect();
    shown.sort_unstable();
    expected.sort_unstable();
    assert_eq!(shown, expected);
    let heads =
        |text: &str| text.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(heads(&several), heads(&of_one), "each family has one head");
}

#[test]
fn what_is_not_known_is_not_shown_as_zero() {
    let names = |text: &str| {
        let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).map(str::to_owned);
        names.collect::<Vec<_>>().join("\n")
    };
    let before = shown(&Snapshot::default(), &Taken::default());
    let expected = "\
process_start_time_seconds gauge
spanring_build_info gauge
spanring_exporter_delivering gauge
spanring_exporter_troubles gauge";
    assert_eq!(names(&before), expected);
    let (mut snapshot, taken) = full();
    snapshot.sinks[0].delivered_at = None;
    assert!(!shown(&snapshot, &taken).contains("last_success"));
}

#[test]
fn what_was_is_in_the_past_whatever_the_clock_does() {
    let (mut snapshot, taken) = full();
    snapshot.sinks[0].failing_since = Some(at(200_000));
    snapshot.sinks[0].backlog.oldest_unix_ns = u64::MAX;
    let shown = shown(&snapshot, &taken);
    assert!(shown.contains("failing_seconds{sink=\"otlp+http://a\"} 0.000\n"), "{shown}");
    assert!(shown.contains("lag_seconds{sink=\"otlp+http://a\"} 0.000\n"), "{shown}");
    snapshot.sinks[0].backlog.oldest_unix_ns = 0;
    assert!(shown.contains("lag_seconds{sink=\"otlp+http://a\"} 0.000\n"), "{shown}");
}

#[test]
fn the_table_in_the_documentation_is_what_is_shown() {
    let (snapshot, taken) = full();
    let shown = shown(&snapshot, &taken);
    let mut labels = BTreeMap::new();
    for sample in shown.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = sample.split_once(['{', ' ']).unwrap();
        let pairs = rest.rsplit_once('}').map_or("", |(pairs, _)| pairs);
        let keys =
            pairs.split(',').filter_map(|pair| pair.split_once('=')).map(|(key, _)| format!("`{key}`"));
        labels.insert(name, keys.collect::<Vec<_>>().join(", "));
    }
    let kinds = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let rows = kinds.map(|(name, kind)| format!("//! | `{name}` | {kind} | {} | ", labels[name]));
    let documented = include_str!("../metrics.rs").lines().filter(|line| line.starts_with("//! | `"));
    for (row, documented) in rows.clone().zip(documented.clone()) {
        assert!(documented.starts_with(&row.replace("  ", " ")), "{row:?} is documented as {documented:?}");
    }
    assert_eq!(rows.count(), documented.count());
}
