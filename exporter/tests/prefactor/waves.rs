//! Requests that are on their way at the same time.

use std::sync::PoisonError;
use std::time::Duration;

use serde_json::json;
use spanring_spool::Spool;

use crate::agent::TestSpool;
use crate::server::{Server, start};
use crate::{ONE_AT_A_TIME, export, live};

pub(crate) const WIDTH: usize = 40;
const DELAY: Duration = Duration::from_millis(100);

/// A root with many children, each of which has one of its own.
pub(crate) fn record_wide_tree(spool: &TestSpool) -> usize {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = Spool::open(spool.path()).service("shop").start().unwrap();
    let root = spanring::trace("root").start();
    for number in 0..WIDTH {
        let child = root.child("child").start();
        let grandchild = child.child("grandchild").start();
        grandchild.quality("accuracy", &json!({ "number": number }));
        grandchild.complete();
        child.complete();
    }
    root.complete();
    assert!(recorder.stop(Duration::from_secs(60)).is_complete);
    1 + 2 * WIDTH
}

/// The most requests about spans that were on their way at once, as far as the server can tell.
fn at_once(server: &Server) -> usize {
    let arrivals = &server.arrivals;
    let until = |last: usize| (0..=last).filter(|at| arrivals[*at] + DELAY > arrivals[last]).count();
    (0..arrivals.len()).map(until).max().unwrap_or(0)
}

/// What each grandchild says of quality was recorded once, in their order.
pub(crate) fn assert_recorded_in_order(server: &Server) {
    let recorded = &server.instances[0].quality;
    let scores: Vec<_> = recorded.iter().map(|(_, score)| score["number"].as_u64().unwrap()).collect();
    assert_eq!(scores, (0..WIDTH as u64).collect::<Vec<_>>());
}

fn assert_sent_eight_at_a_time(requests: usize, is_live: bool) {
    let spool = TestSpool::new();
    let count = record_wide_tree(&spool);
    let (_receiver, sink, server) = start(Server { delay: DELAY, ..Server::default() });
    let mut command = if is_live { live(&spool, &sink) } else { export(&spool, &sink) };
    let output = command.arg("--once").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let server = server.lock().unwrap();
    assert_eq!(server.wrong, [""; 0]);
    assert_eq!((server.spans.len(), server.arrivals.len()), (count, requests * count));
    assert_eq!(at_once(&server), 8);
    assert_recorded_in_order(&server);
}

#[test]
fn spans_whose_parents_are_there_are_created_eight_at_a_time() {
    assert_sent_eight_at_a_time(1, false);
}

#[test]
fn in_live_mode_they_are_created_and_finished_eight_at_a_time() {
    assert_sent_eight_at_a_time(2, true);
}
