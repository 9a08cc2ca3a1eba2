//! Spans that are shown while they run.

use std::future::pending;

use spanring_spool::Level;

use super::*;
use crate::sink::{LiveSpan, Needs};

const MINUTE: Duration = Duration::from_secs(60);

/// A sink that is shown spans, and answers so where it is; `None` hangs.
struct Shown {
    answer: fn() -> Option<Outcome>,
    seen: Arc<Mutex<Looked>>,
}

#[derive(Default)]
struct Looked {
    /// The names of what was shown, and whether it had ended.
    shown: Vec<(String, bool)>,
    /// The names of what was delivered, and whether its announcement came with it.
    delivered: Vec<(String, bool)>,
}

impl Sink for Shown {
    fn name(&self) -> &str {
        "shown"
    }

    fn needs(&self) -> Needs {
        Needs::ParentsFirst
    }

    fn wants_starts(&self) -> bool {
        true
    }

    fn show<'a>(&'a mut self, span: &'a LiveSpan<'a>) -> Delivery<'a> {
        let name = span.end.or(span.start).unwrap().name.clone();
        self.seen.lock().unwrap().shown.push((name, span.end.is_some()));
        let answer = (self.answer)();
        Box::pin(async {
            match answer {
                Some(outcome) => outcome,
                None => pending().await,
            }
        })
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        let delivered = batch.spans.iter().map(|span| (span.name.clone(), batch.start_of(span).is_some()));
        self.seen.lock().unwrap().delivered.extend(delivered);
        Box::pin(async { Outcome::DELIVERED })
    }
}

/// Follows a process that has a span open, another in it that has ended, and a trace that is over, until that was delivered; then the first span ends, and
/// is delivered too. How long the first took by the clock of the runtime, and what the sink has seen by then and in the end.
fn followed(answer: fn() -> Option<Outcome>) -> (Duration, Vec<(String, bool)>, Looked) {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).linger(MINUTE).rings(1, 1).live(true).start().unwrap();
    let root = spanring::span("runs").root().start();
    let inner = root.child("inner").start();
    spool.flush(Level::Spooled, MINUTE).unwrap();
    drop(inner);
    drop(spanring::span("over").root().start());
    spool.flush(Level::Spooled, MINUTE).unwrap();

    let seen = Arc::<Mutex<Looked>>::default();
    let has_delivered = |count: usize| {
        let seen = Arc::clone(&seen);
        async move {
            while seen.lock().unwrap().delivered.len() < count {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    let follow = |count: usize| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let sink = Shown { answer, seen: Arc::clone(&seen) };
        let exporter = Exporter::new(SpoolDir::open(dir.path()).unwrap()).to(Box::new(sink));
        runtime.unwrap().block_on(async {
            let began = tokio::time::Instant::now();
            exporter.run(has_delivered(count)).await.unwrap();
            began.elapsed()
        })
    };
    let took = follow(1);
    let shown = std::mem::take(&mut seen.lock().unwrap().shown);
    drop(root);
    spool.flush(Level::Spooled, MINUTE).unwrap();
    follow(3);
    drop(spool.stop(MINUTE));
    (took, shown, std::mem::take(&mut seen.lock().unwrap()))
}

fn named<T: Copy>(named: &[(&str, T)]) -> Vec<(String, T)> {
    named.iter().map(|(name, of)| ((*name).to_owned(), *of)).collect()
}

#[test]
fn spans_are_shown_before_their_trace_is_over_and_delivered_with_what_was_announced() {
    let (_, shown, looked) = followed(|| Some(Outcome::DELIVERED));
    assert_eq!(shown[..3], named(&[("runs", false), ("inner", false), ("inner", true)]));
    assert!(shown[3..].iter().all(|(name, _)| name == "over"), "nothing is shown twice: {shown:?}");
    // What came with its end in one block tells nothing by itself.
    assert_eq!(looked.delivered, named(&[("over", false), ("runs", true), ("inner", true)]));
}

#[test]
fn a_sink_that_fails_or_hangs_where_it_is_shown_spans_is_delivered_all_the_same_and_soon() {
    let retry = || Some(Outcome::Retry { after: None, reason: "not now".to_owned() });
    let parked = || Some(Outcome::Parked { reason: "never".to_owned() });
    for answer in [retry, parked, || None] {
        let (took, shown, looked) = followed(answer);
        assert!(took < MINUTE / 4, "{took:?}");
        assert!((1..10).contains(&shown.len()), "{shown:?}");
        assert!(shown.iter().all(|(name, _)| name == "runs"), "one behind the other: {shown:?}");
        assert_eq!(looked.delivered.len(), 3);
    }
}

#[test]
fn what_a_sink_refuses_where_it_is_shown_is_delivered_and_no_dead_letter() {
    let (_, shown, looked) = followed(|| Some(Outcome::Rejected { reason: "no".to_owned() }));
    assert_eq!(shown[..1], named(&[("runs", false)]));
    assert!(shown.iter().all(|(name, _)| name != "inner"), "its parent was not shown: {shown:?}");
    assert_eq!(looked.delivered.len(), 3);
}
