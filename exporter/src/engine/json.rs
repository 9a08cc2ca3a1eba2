//! What recoveries and readers report, as JSON.

use serde_json::{Value, json};
use spanring_spool::{Ledger, RecoveryReport, Skipped};

/// A recovery's report, for programs.
pub fn recovery_json(report: &RecoveryReport) -> Value {
    json!({
        "recorder": report.recorder.as_str(),
        "already_done": report.already_done,
        "another_boot": report.another_boot,
        "from_segments": report.from_segments,
        "from_rings": report.from_rings,
        "from_tables": report.from_tables,
        "unaccounted": report.unaccounted,
        "ledger": ledger_json(&report.ledger),
        "skipped": skipped_json(&report.skipped),
    })
}

pub(super) fn skipped_json(skipped: &Skipped) -> Value {
    json!({
        "files": skipped.files,
        "holes": skipped.holes,
        "bytes": skipped.bytes,
        "missing_segments": skipped.missing_segments,
        "missing_rows": skipped.missing_rows,
        "uncommitted_bytes": skipped.uncommitted_bytes,
        "last": skipped.last.as_ref().map(|last| json!({
            "path": last.path.to_string_lossy(),
            "offset": last.offset,
            "reason": last.reason,
        })),
    })
}

/// A recorder's account, for programs.
pub fn ledger_json(ledger: &Ledger) -> Value {
    json!({
        "started": ledger.started,
        "ended": ledger.ended,
        "interrupted": ledger.interrupted,
        "in_flight": ledger.in_flight,
        "spooled": ledger.spooled,
        "dropped": {
            "ring_full": ledger.dropped.ring_full,
            "no_cell": ledger.dropped.no_cell,
            "no_lane": ledger.dropped.no_lane,
            "damaged": ledger.dropped.damaged,
        },
        "starts_lost": ledger.starts_lost,
        "values_cut": ledger.values_cut,
        "values_left_out": ledger.values_left_out,
        "values_failed": ledger.values_failed,
        "guards_out_of_order": ledger.guards_out_of_order,
        "reentered": ledger.reentered,
        "misused": ledger.misused,
        "sampled_out": ledger.sampled_out,
        "redacted": ledger.redacted,
        "hooks_failed": ledger.hooks_failed,
    })
}
