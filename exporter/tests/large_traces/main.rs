//! A trace that is very large, one that is open for days, very many at once, and parents that never come: what the command makes of them for each
//! system, and in how much memory.
//!
//! One process records all of them, and each sink is delivered a copy of its spool. Each span must arrive once, under its parent and in its trace, and what
//! systems say of a whole trace must be the sum of what was recorded. The trace that is open for days has its days by the times that its spans say.
//!
//! `SPANRING_LARGE_SPANS` sets how many spans the large trace has (6,000 unless said otherwise, more than are held in memory at once), and a tenth of that how
//! many traces are open at once.

#[path = "../agent/mod.rs"]
mod agent;
mod arrived;
mod recorded;
mod servers;

use std::collections::BTreeMap;
use std::process::Command;

use self::agent::{TestSpool, run_watched};
use self::arrived::Arrived;
use self::recorded::{Recorded, recorded};
use self::servers::Server;

const MEMORY_MAX_KIB: u64 = 64 * 1024;

/// Delivers a copy of what was recorded, by the command with these variables, in as much memory as that may take.
fn delivered(server: &Server, variables: &[(&str, &str)]) -> (&'static Recorded, Vec<Arrived>) {
    let recorded = recorded();
    let spool = TestSpool::new();
    let copied = Command::new("cp").arg("-a").arg(recorded.spool.path()).arg(spool.path()).status();
    assert!(copied.unwrap().success());
    let mut command = spool.export(&[server.sink()]);
    let (output, peak) = run_watched(command.args(["--once", "--json"]).envs(variables.iter().copied()));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(spool.recorders(), [""; 0], "all is delivered");
    eprintln!("{}: {} spans, {peak} KiB at most", server.sink(), recorded.spans.len());
    assert!(peak <= MEMORY_MAX_KIB, "{peak} KiB");
    (recorded, server.arrived())
}

/// Whether each span arrived once, in its trace, and under its parent; `parent` says how one is named that never came.
#[track_caller]
fn assert_whole(recorded: &Recorded, arrived: &[Arrived], elsewhere: impl Fn(&Recorded) -> Option<String>) {
    let mut by_number = BTreeMap::new();
    for span in arrived {
        assert!(by_number.insert(span.number, span).is_none(), "{span:?} arrived twice");
    }
    assert!(by_number.keys().copied().eq(0..recorded.spans.len()), "{} spans arrived", by_number.len());
    let mut traces = BTreeMap::new();
    for (number, span) in recorded.spans.iter().enumerate() {
        let there = by_number[&number];
        let parent = match span.parent {
            recorded::Parent::None => None,
            recorded::Parent::Elsewhere => elsewhere(recorded),
            recorded::Parent::Span(parent) => Some(by_number[&parent].id.clone()),
        };
        assert_eq!(there.parent, parent, "span {number}");
        let trace = traces.entry(span.trace).or_insert(&there.trace);
        assert_eq!(*trace, &there.trace, "span {number} is in another trace");
    }
    let distinct: std::collections::BTreeSet<_> = traces.values().filter(|trace| !trace.is_empty()).collect();
    assert!(distinct.is_empty() || distinct.len() == traces.len(), "traces have become one");
}

/// Whether the trace that was open for days held up none of those that began and ended meanwhile.
#[track_caller]
fn assert_others_went_on(recorded: &Recorded, arrived: &[Arrived]) {
    let place_of = |number| arrived.iter().position(|span| span.number == number).unwrap();
    let root = place_of(recorded.days.root);
    let before = recorded.days.others.iter().filter(|&&other| place_of(other) < root).count();
    assert!(before * 10 >= recorded.days.others.len() * 9, "{before} came before it");
}

#[test]
fn openai_has_each_span_once_under_its_parent() {
    let server = Server::openai();
    let (recorded, arrived) = delivered(&server, &[("OPENAI_API_KEY", "secret")]);
    let digits =
        |recorded: &Recorded| Some(format!("span_{}{}", recorded.elsewhere.1, &recorded.elsewhere.0[..8]));
    assert_whole(recorded, &arrived, digits);
}

#[test]
fn prela_has_each_trace_in_one_document_with_the_sums_of_its_spans() {
    let server = Server::prela();
    let (recorded, arrived) = delivered(&server, &[("PRELA_API_KEY", "secret")]);
    let uuid = |recorded: &Recorded| {
        let digits = format!("{}{}", recorded.elsewhere.1, &recorded.elsewhere.0[..16]);
        Some([&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
    };
    assert_whole(recorded, &arrived, uuid);
    assert_others_went_on(recorded, &arrived);
    let totals = server.totals();
    assert_eq!(totals.len(), recorded.traces(), "a document a trace");
    for total in totals {
        let of_trace = recorded.sums(recorded.spans[total.number].trace);
        assert_eq!(total.spans, of_trace.spans, "{total:?}");
        let ms = of_trace.duration_ns as f64 / 1e6;
        // Microseconds are all that Prela has.
        let cut = of_trace.spans as f64 * 2e-3;
        assert!((total.duration_ms - ms).abs() <= cut, "{total:?} and not {ms} ms");
    }
}

#[test]
fn spanforge_has_each_event_once_and_runs_with_all_that_is_under_them() {
    let server = Server::spanforge();
    let (recorded, arrived) = delivered(&server, &[("SPANFORGE_CLOUD_API_KEY", "secret")]);
    assert_whole(recorded, &arrived, |recorded| Some(recorded.elsewhere.1.clone()));
    assert_others_went_on(recorded, &arrived);
    let runs = server.totals();
    assert_eq!(runs.len(), recorded.runs(), "a run a trace that has a root");
    for run in runs {
        let of_trace = recorded.sums(recorded.spans[run.number].trace);
        assert_eq!(run.spans, of_trace.spans - 1, "all but itself: {run:?}");
        assert_eq!((run.calls, run.tokens), (of_trace.calls, of_trace.tokens), "{run:?}");
        assert_eq!(run.cost, 0.75 * of_trace.calls as f64, "{run:?}");
    }
}

#[test]
fn prefactor_has_each_span_once_after_its_parent_and_under_it() {
    let server = Server::prefactor();
    let variables = [("PREFACTOR_API_TOKEN", "secret"), ("PREFACTOR_AGENT_ID", "my-agent")];
    let (recorded, arrived) = delivered(&server, &variables);
    // A parent that never came is named in metadata.
    assert_whole(recorded, &arrived, |_| None);
    assert_others_went_on(recorded, &arrived);
    let named = arrived.iter().filter(|span| span.named_parent.as_ref() == Some(&recorded.elsewhere.1));
    let orphans = recorded.spans.iter().filter(|span| span.parent == recorded::Parent::Elsewhere);
    assert_eq!(named.count(), orphans.count());
}
