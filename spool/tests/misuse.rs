//! Calls on a span that come too late do nothing, and show in the ledger.

use std::thread;
use std::time::Duration;

use spanring::Ended;
use spanring_spool::Spool;

#[test]
fn a_second_end_and_a_change_after_the_end_are_counted() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let spool = Spool::open(dir.path().join("spool")).start().unwrap();
    let recording = || {
        let span = spanring::span("shared").start().shared();
        assert_eq!(span.end(), Ended::Recorded);
        assert_eq!(span.clone().end(), Ended::AlreadyEnded);
        let change = |span: &spanring::Span| {
            span.set("late", true);
        };
        assert!(!span.with(change));
    };
    thread::spawn(recording).join().unwrap();
    let report = spool.stop(Duration::from_secs(60));
    assert_eq!((report.ledger.started, report.ledger.ended, report.ledger.misused), (1, 1, 2), "{report}");
    assert!(report.to_string().contains("calls that came too late or were wrong: 2"), "{report}");
}
