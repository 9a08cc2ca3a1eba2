//! What somebody who watches an exporter is shown and told, in virtual time.

use std::num::NonZeroU32;

use tokio::time::Instant;

use super::*;
use crate::engine::{SinkState, Snapshot, Status};

/// How long the sink is out.
const OUTAGE: Duration = Duration::from_secs(60);

fn paused() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// What was told, without waits, which are random.
fn told(notices: &Mutex<Vec<Notice>>) -> Vec<String> {
    let word = |notice: &Notice| match notice {
        Notice::Retrying { reason, .. } => format!("retrying: {reason}"),
        Notice::Opened { reason, .. } => format!("opened: {reason}"),
        Notice::Closed { .. } => "closed".to_owned(),
        other => other.to_string(),
    };
    notices.lock().unwrap().iter().map(word).collect()
}

#[test]
fn an_outage_is_told_when_it_begins_when_its_reason_changes_and_when_it_is_over() {
    let (dir, spans) = spool(3);
    let runtime = paused();
    let began = runtime.block_on(async { Instant::now() });
    let states = Arc::new(Mutex::new(Vec::new()));
    let (seen, notices) = (Seen::default(), Arc::new(Mutex::new(Vec::new())));
    let status: Arc<Mutex<Option<Status>>> = Arc::default();
    let (watched, noted) = (Arc::clone(&status), Arc::clone(&states));
    let answer = move |_: &[SpanData]| {
        let now = watched.lock().unwrap().as_ref().unwrap().now();
        noted.lock().unwrap().push((now.sinks[0].state, now.sinks[0].failing_since.is_some()));
        match began.elapsed() {
            out if out < OUTAGE / 2 => Outcome::Retry { after: None, reason: "no".into() },
            out if out < OUTAGE => Outcome::Retry { after: None, reason: "still no".into() },
            _ => Outcome::DELIVERED,
        }
    };
    let notice_seen = Arc::clone(&notices);
    let mut exporter = Exporter::new(SpoolDir::open(dir.path()).unwrap())
        .to(Box::new(seen.told(answer)))
        .once(OUTAGE * 10)
        .on_notice(move |notice| notice_seen.lock().unwrap().push(notice));
    *status.lock().unwrap() = Some(exporter.status());
    let report = run_on(&runtime, exporter, std::future::pending());
    assert!(report.is_complete(), "{report}");
    assert_eq!(seen.taken(), spans.iter().map(|&span| (span, 1)).collect());

    let told = told(&notices);
    let expected = ["retrying: no"; 4].into_iter().chain(["opened: no", "retrying: still no", "closed"]);
    assert_eq!(told, expected.collect::<Vec<_>>());
    let states = states.lock().unwrap();
    let shown = |state, failing| move |&shown: &(SinkState, bool)| shown == (state, failing);
    assert!(states[..1].iter().all(shown(SinkState::Closed, false)), "{states:?}");
    assert!(states[1..5].iter().all(shown(SinkState::Closed, true)), "{states:?}");
    assert!(states[5..].iter().all(shown(SinkState::HalfOpen, true)), "{states:?}");

    let Snapshot { sinks, has_ended, recorders, recorders_removed, .. } =
        status.lock().unwrap().as_ref().unwrap().now();
    let sink = &sinks[0];
    assert!(has_ended && sink.failing_since.is_none() && sink.delivered_at.is_some());
    assert_eq!((sink.state, sink.report.delivered), (SinkState::Ended, 3));
    assert_eq!((recorders, recorders_removed), (1, 1));
    assert_eq!(sink.report, report.sinks[0]);
}

#[test]
fn a_sink_is_seen_to_be_behind_until_it_has_taken_what_is_there() {
    let (dir, _) = spool(3);
    let mut exporter = Exporter::new(SpoolDir::open(dir.path()).unwrap());
    let status = exporter.status();
    let (at, watched) = (Arc::new(Mutex::new(None)), status.clone());
    let asked_at = Arc::clone(&at);
    let answer = move |spans: &[SpanData]| {
        let backlog = watched.now().sinks[0].backlog;
        *asked_at.lock().unwrap() = Some((backlog, spans[0].end_unix_ns));
        Outcome::DELIVERED
    };
    let exporter = exporter.to(Box::new(Seen::default().told(answer)));
    let caught_up = async {
        let is_behind = || {
            let now = status.now();
            now.sinks
                .first()
                .is_none_or(|sink| sink.backlog != Default::default() || sink.report.delivered < 3)
        };
        while is_behind() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let report = run(exporter, caught_up);
    assert_eq!(report.sinks[0].delivered, 3);
    let (backlog, first_end) = at.lock().unwrap().unwrap();
    assert_eq!((backlog.spans, backlog.oldest_unix_ns), (3, first_end));
    let now = status.now();
    assert_eq!((now.sinks[0].backlog, now.ledger.spooled), (Default::default(), 3));
}

#[test]
fn what_waits_longest_counts_whichever_recorder_the_sink_is_at() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let record = || {
        let spool = Spool::open(dir.path()).linger(OUTAGE).rings(1, 1).tables(0, 0).start().unwrap();
        drop(spanring::span("step").root().start());
        spool.flush(spanring_spool::Level::Spooled, OUTAGE).unwrap();
        spool
    };
    // A backlog of a process that is over, and one of a process that runs, which has its turn before.
    assert!(record().stop(OUTAGE).is_complete);
    std::thread::sleep(Duration::from_millis(20));
    let living = record();

    let mut exporter = Exporter::new(SpoolDir::open(dir.path()).unwrap());
    let status = exporter.status();
    let (asked, watched) = (Arc::new(Mutex::new(Vec::new())), status.clone());
    let noted = Arc::clone(&asked);
    let answer = move |spans: &[SpanData]| {
        let mut asked = noted.lock().unwrap();
        asked.push((spans[0].end_unix_ns, watched.now().sinks[0].backlog.oldest_unix_ns));
        match asked.len() {
            1 | 3 => Outcome::Retry { after: None, reason: "not yet".into() },
            _ => Outcome::DELIVERED,
        }
    };
    let caught_up = async {
        while status
            .now()
            .sinks
            .first()
            .is_none_or(|sink| sink.report.delivered < 2 || sink.backlog.spans > 0)
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(status.now().sinks[0].backlog.oldest_unix_ns, 0);
    };
    run(exporter.to(Box::new(Seen::default().told(answer))), caught_up);
    let asked = asked.lock().unwrap();
    let [(fresh, one), (_, two), (old, three), (_, four)] = asked[..] else { panic!("{asked:?}") };
    assert!(old + 20_000_000 <= fresh);
    // It is not read yet, and no more than the time of its segment is known.
    for at in [one, two] {
        assert!(at <= old && old - at < 10_000_000_000, "{at} of {old}");
    }
    assert_eq!((three, four), (old, old));
    drop(living);
}

#[test]
fn a_sink_that_is_parked_stays_so_while_it_is_asked_until_it_answers() {
    let (dir, _) = spool(3);
    let runtime = paused();
    let mut exporter = Exporter::new(SpoolDir::open(dir.path()).unwrap());
    let status = exporter.status();
    let (states, watched) = (Arc::new(Mutex::new(Vec::new())), status.clone());
    let noted = Arc::clone(&states);
    let answer = move |_: &[SpanData]| {
        let mut noted = noted.lock().unwrap();
        noted.push(watched.now().sinks[0].state);
        match noted.len() {
            1..=3 => Outcome::Parked { reason: "no such key".into() },
            _ => Outcome::DELIVERED,
        }
    };
    let done = async {
        while status.now().sinks.first().is_none_or(|sink| sink.report.delivered < 3) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(status.now().sinks[0].state, SinkState::Closed);
    };
    run_on(&runtime, exporter.to(Box::new(Seen::default().told(answer))), done);
    let expected = [SinkState::Closed, SinkState::Parked, SinkState::Parked, SinkState::Parked];
    assert_eq!(*states.lock().unwrap(), expected);
}

#[test]
fn an_exporter_is_seen_to_get_on_from_its_beginning_to_its_end() {
    let (dir, _) = spool(3);
    let mut exporter = Exporter::new(SpoolDir::open(dir.path()).unwrap());
    let status = exporter.status();
    let Snapshot { is_looked_through, is_stopping, has_ended, turned_at, .. } = status.now();
    assert!(!is_looked_through && !is_stopping && !has_ended && turned_at.is_none());
    assert!(!status.now().is_delivering());
    // The sink is out, which keeps it from nothing else.
    let (delivering, watched) = (Arc::new(Mutex::new(Vec::new())), status.clone());
    let noted = Arc::clone(&delivering);
    let answer = move |_: &[SpanData]| {
        noted.lock().unwrap().push(watched.now().is_delivering());
        Outcome::Retry { after: Some(Duration::from_secs(3600)), reason: "no".into() }
    };
    let turns = async {
        let (mut turns, deadline) = (BTreeSet::new(), Instant::now() + Duration::from_secs(60));
        while turns.len() < 4 {
            assert!(Instant::now() < deadline, "it is not seen to get on");
            turns.extend(status.now().turned_at);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(status.now().is_delivering());
    };
    run(exporter.to(Box::new(Seen::default().told(answer))), turns);
    assert_eq!(*delivering.lock().unwrap(), [true]);
    let Snapshot { is_looked_through, is_stopping, has_ended, .. } = status.now();
    assert!(is_looked_through && is_stopping && has_ended && !status.now().is_delivering());
}

#[test]
fn a_route_with_a_rate_is_kept_to_it_and_a_stop_does_not_wait_for_it() {
    // Ten batches, and a rate of a span a second.
    let (dir, spans) = spool(SPANS_MAX * 10);
    for is_stopped in [true, false] {
        let runtime = paused();
        let began = runtime.block_on(async { Instant::now() });
        let seen = Seen::default();
        let route = Route::to(Box::new(seen.told(|_| Outcome::DELIVERED)))
            .spans_per_second(NonZeroU32::new(1).unwrap());
        let exporter =
            Exporter::new(SpoolDir::open(dir.path()).unwrap()).along(route).once(Duration::from_secs(1));
        let stop = async move {
            match is_stopped {
                true => tokio::time::sleep(Duration::from_secs(700)).await,
                false => std::future::pending().await,
            }
        };
        let report = run_on(&runtime, exporter, stop);
        let took = runtime.block_on(async { began.elapsed() });
        let delivered = report.sinks[0].delivered;
        match is_stopped {
            // The first batch at once, and one more.
            true => assert_eq!((delivered, took.as_secs()), (2 * SPANS_MAX as u64, 700), "{report}"),
            false => {
                assert!(report.is_complete(), "{report}");
                // All but the last batch had to be paid for when that was sent, less the second that comes for nothing.
                let (all, batch) = (spans.len() as u64, SPANS_MAX as u64);
                assert!((all - batch - 1..all).contains(&took.as_secs()), "{took:?}");
                assert_eq!(seen.taken(), spans.iter().map(|&span| (span, 1)).collect());
            }
        }
    }
}
