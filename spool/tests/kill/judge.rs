//! The judge: what came back, against what the witness saw, span by span.

use std::collections::HashMap;

use spanring::{SpanId, Status};
use spanring_spool::{RecoveryReport, SpanData, Value};

use crate::agent::Plan;
use crate::content;
use crate::witness::{DROPPED, Note, RECORDED, SET, STARTED, WITHOUT_CELL};

/// How the spans of one round came back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) recorded: usize,
    pub(crate) dropped: usize,
    pub(crate) interrupted: usize,
    pub(crate) from_segments: u64,
    pub(crate) from_rings: u64,
    pub(crate) from_tables: u64,
}

/// What is known of a span from its witnesses.
#[derive(Default)]
struct Seen {
    started: Option<Note>,
    set: u32,
    ended: Option<u32>,
}

/// Compares. `threads` is how many could be killed between a call's return and the witness of it: each may be one short.
pub(crate) fn judge(
    plan: Plan,
    notes: &[Note],
    spans: &[SpanData],
    reports: &[RecoveryReport],
    threads: usize,
) -> Verdict {
    let mut seen: HashMap<u64, Seen> = HashMap::new();
    for note in notes {
        let seen = seen.entry(note.span).or_default();
        match note.what {
            STARTED => seen.started = Some(*note),
            SET => seen.set = seen.set.max(note.number),
            what => seen.ended = Some(what),
        }
    }
    let mut delivered: HashMap<u64, &SpanData> = HashMap::new();
    for span in spans {
        let twice = delivered.insert(word(span.span_id), span);
        assert!(twice.is_none(), "span {} came back twice", span.span_id);
    }

    let mut verdict = Verdict::default();
    let mut unwitnessed_ends = 0;
    for (id, seen) in &seen {
        // An end can be witnessed by one thread before the start is by another, never without it.
        let started = seen.started.expect("whoever ends a span has it from who started it");
        match (delivered.get(id), seen.ended) {
            (Some(span), Some(RECORDED)) => {
                verdict.recorded += 1;
                check_whole(plan, &started, span);
            }
            (None, Some(RECORDED)) => panic!("span {:016x} was recorded and is lost", id.swap_bytes()),
            (None, Some(DROPPED)) => verdict.dropped += 1,
            (Some(span), Some(DROPPED)) => panic!("span {} was dropped and came back", span.span_id),
            (Some(span), None) if span.interrupted => {
                verdict.interrupted += 1;
                check_interrupted(plan, &started, seen.set, span);
            }
            (Some(span), None) => {
                unwitnessed_ends += 1;
                check_whole(plan, &started, span);
            }
            (None, None) if started.number == WITHOUT_CELL => verdict.dropped += 1,
            (None, None) => {
                assert!(!plan.blocks, "span {:016x} was open and is lost", id.swap_bytes());
                unwitnessed_ends += 1;
            }
            (_, Some(other)) => panic!("the witness says {other}"),
        }
    }
    assert!(unwitnessed_ends <= threads, "{unwitnessed_ends} spans ended unseen by {threads} threads");
    let phantoms = delivered.keys().filter(|id| !seen.contains_key(id)).count();
    assert!(phantoms <= threads, "{phantoms} spans came back that {threads} threads have not started");
    check_accounts(&mut verdict, reports, spans.len(), seen.len(), threads);
    verdict
}

fn check_accounts(
    verdict: &mut Verdict,
    reports: &[RecoveryReport],
    spans: usize,
    started: usize,
    threads: usize,
) {
    let mut sum = (0, 0);
    for report in reports {
        let ledger = &report.ledger;
        assert_eq!(report.unaccounted, 0, "{report}");
        assert_eq!(ledger.started, ledger.ended + ledger.interrupted, "{report}");
        assert_eq!(ledger.ended + ledger.interrupted, ledger.spooled + ledger.dropped.total(), "{report}");
        assert_eq!(ledger.dropped.damaged, 0, "{report}");
        assert!(!report.skipped.is_damage(), "{report}");
        sum = (sum.0 + ledger.started, sum.1 + ledger.spooled);
        verdict.from_segments += report.from_segments;
        verdict.from_rings += report.from_rings;
        verdict.from_tables += report.from_tables;
    }
    assert_eq!(sum.1, spans as u64, "the accounts say how many spans there are");
    let unseen = sum.0.checked_sub(started as u64).expect("what was seen to start is accounted for");
    assert!(unseen <= threads as u64, "{unseen} spans started unseen by {threads} threads");
}

/// Whether the large value may be cut: it is too large, or it found too few free cells and was not to wait for more.
fn may_be_cut(plan: Plan, index: u64) -> bool {
    content::is_large(index) && (plan.ring_bytes / 4 < 100_000 || !plan.blocks)
}

/// A span without its long values.
fn told(span: &SpanData) -> String {
    let SpanData { span_id, name, kind, parent_id, status, interrupted, cut, .. } = span;
    let keys: Vec<_> = span.attributes.iter().map(|(key, _)| key).collect();
    format!(
        "{span_id} {name:?} {kind:?} under {parent_id:?}: {status:?}, interrupted {interrupted}, cut {cut}, {keys:?}"
    )
}

fn word(id: SpanId) -> u64 {
    u64::from_le_bytes(id.to_bytes())
}

fn check_head(started: &Note, span: &SpanData) {
    assert_eq!(span.parent_id.map_or(0, word), started.parent, "{}", told(span));
    assert_eq!(span.name, content::name(started.index), "{}", told(span));
    assert_eq!(span.kind, content::kind(started.index), "{}", told(span));
    assert!(span.trace_id.is_valid() && span.start_unix_ns <= span.end_unix_ns, "{}", told(span));
}

/// A span that ended holds all that was set.
fn check_whole(plan: Plan, started: &Note, span: &SpanData) {
    let index = started.index;
    check_head(started, span);
    let expected = content::attributes(index);
    let is_too_large = content::is_large(index) && plan.ring_bytes / 4 < 100_000;
    assert!(!is_too_large || span.cut > 0, "{}", told(span));
    if span.cut > 0 && may_be_cut(plan, index) {
        check_cut(&expected, &span.attributes, expected.len() - 1);
        return;
    }
    assert_eq!(span.cut, 0, "{}", told(span));
    assert!(span.attributes == expected, "{}", told(span));
    let events = usize::from(content::has_event(index));
    assert_eq!(span.events.len(), events, "{}", told(span));
    for event in &span.events {
        assert_eq!(
            (event.name.as_str(), &event.attributes[..]),
            ("tick", &[("index".to_owned(), Value::U64(index))][..])
        );
    }
    let (status, message) = if content::has_failed(index) {
        (Status::Error, format!("failed {index}"))
    } else {
        (Status::Unset, String::new())
    };
    assert_eq!((span.status, &span.status_message), (status, &message), "{}", told(span));
}

/// A span that was interrupted holds a beginning of what was to be set, with all that the witness saw being set.
fn check_interrupted(plan: Plan, started: &Note, set: u32, span: &SpanData) {
    if started.number == u32::MAX {
        let by: Vec<_> = span.attributes.iter().filter(|(key, _)| key == "by").collect();
        assert_eq!(
            by,
            [&("by".to_owned(), Value::Str("the agent".to_owned()))],
            "the parent's span is the parent's"
        );
        return;
    }
    check_head(started, span);
    assert_eq!(span.status, Status::Error, "{}", told(span));
    let (last, attributes) = span.attributes.split_last().expect("an interrupted span says why");
    assert_eq!(*last, ("error.type".to_owned(), Value::Str("process_exit".to_owned())));
    let expected = content::attributes(started.index);
    let may_be_cut = may_be_cut(plan, started.index);
    check_cut(
        &expected,
        attributes,
        if may_be_cut { (set as usize).min(expected.len() - 1) } else { set as usize },
    );
}

/// Each attribute is the expected one, and at least so many are there; only the last may be the beginning of a text.
fn check_cut(expected: &[(String, Value)], found: &[(String, Value)], at_least: usize) {
    assert!(found.len() >= at_least, "of {at_least} attributes there are {}: {found:?}", found.len());
    assert!(found.len() <= expected.len(), "{found:?}");
    for (expected, found) in expected.iter().zip(found) {
        assert_eq!(expected.0, found.0);
        match (&expected.1, &found.1) {
            (Value::Str(whole), Value::Str(beginning)) if expected.0 == "large" => {
                assert!(whole.starts_with(beginning.as_str()));
            }
            (expected, found) => assert_eq!(expected, found),
        }
    }
}
