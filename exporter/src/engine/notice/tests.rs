use std::time::UNIX_EPOCH;

use spanring_spool::SpoolDir;

use super::*;
use crate::engine::tests::spool;
use crate::log;

const HOSTILE: &str =
    "no\r\n\"\\\u{0}\u{7}\u{1b}[2J\u{7f}\u{85}\u{9b}\u{2028}\u{2029}\u{202e}{\"event\":\"forged\"}\n";

/// One of each variant, each with hostile text wherever it has any.
fn each() -> Vec<Notice> {
    let (text, recorder) = (|| HOSTILE.to_owned(), RecorderId::from_parts(1, 2));
    let (span_id, trace_id) = (SpanId::from_bytes([7; 8]), TraceId::from_bytes([7; 16]));
    let notices = vec![
        Notice::Recovered(recovery()),
        Notice::Unproven { recorder: recorder.clone(), doubt: Doubt::SharedFileSystem { kind: text() } },
        Notice::Skipped { recorder: recorder.clone(), skipped: Skipped::default() },
        Notice::Lost { recorder: recorder.clone(), spans: 3 },
        Notice::BeganLate { sink: text(), recorder: recorder.clone(), segments: 3 },
        Notice::Trouble { recorder: Some(recorder.clone()), reason: text() },
        Notice::Trouble { recorder: None, reason: text() },
        Notice::Retrying { sink: text(), wait: Duration::from_millis(1500), reason: text() },
        Notice::Opened { sink: text(), reason: text() },
        Notice::Closed { sink: text(), after: Duration::from_secs(9) },
        Notice::Answered { sink: text(), batch: text(), rejected: 0, message: text() },
        Notice::Answered { sink: text(), batch: text(), rejected: 2, message: text() },
        Notice::Divided { sink: text(), batch: text(), reason: text() },
        Notice::SetAside { sink: text(), span_id, reason: text() },
        Notice::TraceSetAside { sink: text(), trace_id, spans: 3, reason: text() },
        Notice::TraceRefused { sink: text(), trace_id, spans: 3, reason: text() },
        Notice::Refused { sink: text(), span_id, reason: text() },
        Notice::NotTaken { sink: text(), span_id, reason: text() },
        Notice::Abandoned { sink: text(), batch: text() },
        Notice::Termination { sink: text(), recorder, reason: text() },
        Notice::Ended { sink: text(), reason: text() },
    ];
    for notice in &notices {
        // A new variant does not compile here until it is in the list above.
        match notice {
            Notice::Recovered(_)
            | Notice::Unproven { .. }
            | Notice::Skipped { .. }
            | Notice::Lost { .. }
            | Notice::BeganLate { .. }
            | Notice::Trouble { .. }
            | Notice::Retrying { .. }
            | Notice::Opened { .. }
            | Notice::Closed { .. }
            | Notice::Answered { .. }
            | Notice::Divided { .. }
            | Notice::SetAside { .. }
            | Notice::TraceSetAside { .. }
            | Notice::TraceRefused { .. }
            | Notice::Refused { .. }
            | Notice::NotTaken { .. }
            | Notice::Abandoned { .. }
            | Notice::Termination { .. }
            | Notice::Ended { .. } => {}
        }
    }
    notices
}

/// What a recovery says of a recorder that had stopped in order.
fn recovery() -> RecoveryReport {
    let (dir, _) = spool(1);
    let spool = SpoolDir::open(dir.path()).unwrap();
    let recorder = spool.recorders().unwrap().remove(0);
    spool.recover(&recorder).unwrap()
}

fn level(notice: &Notice) -> String {
    serde_json::to_string(&notice.level()).unwrap().trim_matches('"').to_owned()
}

#[test]
fn every_notice_is_one_object_on_one_line_whatever_its_texts_hold() {
    let mut told = Vec::new();
    for notice in each() {
        let line = log::line(UNIX_EPOCH, notice.level(), &notice).unwrap();
        assert!(!line.chars().any(|c| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}')), "{line:?}");
        let object: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(object["level"], level(&notice));
        assert_eq!(object["event"], notice.event());
        for key in ["sink", "reason", "batch", "message"] {
            assert!(object.get(key).is_none_or(|value| value == HOSTILE), "{line}");
        }
        let keys = object.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        told.push(format!("{} {} {}", notice.event(), level(&notice), keys.join(" ")));
    }
    let expected = "\
recovered warn already_done another_boot event from_rings from_segments from_tables ledger level recorder skipped time unaccounted
unproven warn doubt event level recorder time
skipped error event level recorder skipped time
lost error event level recorder spans time
began_late info event level recorder segments sink time
trouble warn event level reason recorder time
trouble warn event level reason recorder time
retrying warn event level reason sink time wait_seconds
opened error event level reason sink time
closed info after_seconds event level sink time
answered warn batch event level message rejected sink time
answered error batch event level message rejected sink time
divided warn batch event level reason sink time
set_aside error event level reason sink span_id time
trace_set_aside error event level reason sink spans time trace_id
trace_refused error event level reason sink spans time trace_id
refused error event level reason sink span_id time
not_taken error event level reason sink span_id time
abandoned warn batch event level sink time
termination warn event level reason recorder sink time
ended error event level reason sink time";
    assert_eq!(told.join("\n"), expected);
}

#[test]
fn the_table_in_the_documentation_has_the_names_and_levels() {
    let source = include_str!("../notice.rs");
    for notice in each() {
        let row = source.lines().find(|line| line.starts_with(&format!("//! | `{}` |", notice.event())));
        assert!(row.is_some_and(|row| row.contains(&level(&notice))), "{notice:?}: {row:?}");
    }
}
