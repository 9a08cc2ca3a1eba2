//! Hours of outage, in virtual time: the clock jumps to the next moment that anybody waits for.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use spanring_spool::{SpanData, SpoolDir};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::{Seen, export, run_on, spool};
use crate::backoff::Backoff;
use crate::engine::{ExportReport, Exporter, PARKED_INTERVAL, SPANS_MAX, SinkEnd};
use crate::sink::Outcome;

const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long each outage lasts.
const OUTAGE: Duration = HOUR.saturating_mul(3);
/// How much later a timer of tokio may be ready than it was set to.
const TICK: Duration = Duration::from_millis(2);
/// More spans than a batch has.
const SPANS: usize = SPANS_MAX + 88;

/// What a sink says in its outages, one after the other. After those it takes everything.
fn outages() -> [Outcome; 3] {
    [
        Outcome::Retry { after: None, reason: "it answered 500".into() },
        Outcome::Parked { reason: "it answered 401".into() },
        Outcome::Retry { after: Some(HOUR), reason: "it answered 429".into() },
    ]
}

/// What came of an exporter that follows a spool.
struct Followed {
    report: ExportReport,
    /// When its sink was asked.
    asked: Vec<Duration>,
    /// When it ended.
    ended: Duration,
}

impl Followed {
    /// When the sink was asked in its outage of this number, all others aside.
    fn asked_in(&self, number: u32) -> Vec<Duration> {
        let outage = OUTAGE * number..OUTAGE * (number + 1);
        self.asked.iter().copied().filter(|asked| outage.contains(asked)).collect()
    }
}

/// How long it is from each to the next.
fn waits(asked: &[Duration]) -> Vec<Duration> {
    asked.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Follows the spool until its sink has taken so many spans, or for so long.
fn follow(dir: &Path, seen: &Seen, enough: usize, most: Duration) -> Followed {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let began = runtime.block_on(async { Instant::now() });
    let (asked, has_enough) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
    let (asked_seen, enough_seen) = (Arc::clone(&asked), Arc::clone(&has_enough));
    let mut taken = 0;
    let answer = move |spans: &[SpanData]| {
        let now = began.elapsed();
        asked_seen.lock().unwrap().push(now);
        let number = usize::try_from(now.as_nanos() / OUTAGE.as_nanos()).unwrap();
        let outage = outages().get(number).cloned();
        outage.unwrap_or_else(|| {
            taken += spans.len();
            if taken >= enough {
                enough_seen.notify_one();
            }
            Outcome::DELIVERED
        })
    };
    let exporter = Exporter::new(SpoolDir::open(dir).unwrap()).to(Box::new(seen.told(answer)));
    let stop = async move {
        tokio::select! {
            () = has_enough.notified() => {}
            () = sleep(most) => {}
        }
    };
    let report = run_on(&runtime, exporter, stop);
    let ended = runtime.block_on(async { began.elapsed() });
    let asked = asked.lock().unwrap().clone();
    Followed { report, asked, ended }
}

#[test]
fn hours_of_outage_cost_few_requests_of_one_batch_and_no_span() {
    let (dir, spans) = spool(SPANS);
    let seen = Seen::default();
    let followed = follow(dir.path(), &seen, SPANS, HOUR * 24);
    let Followed { report, asked, .. } = &followed;
    assert!(!report.is_failure() && report.recorders_removed == 1, "{report}");
    assert_eq!(seen.taken(), spans.iter().map(|&span| (span, 1)).collect());
    // Both batches of the block: the second was not asked for as long as the first was not taken.
    assert_eq!(seen.requests(), 2);
    let in_outages = asked.len() - 2;
    let report = &report.sinks[0];
    assert_eq!((report.delivered, report.retries), (SPANS as u64, in_outages as u64), "{report}");

    // It fails: once it has for some minutes, each wait is drawn from half of the cap up to it.
    let failing = followed.asked_in(0);
    assert!(waits(&failing).iter().all(|&wait| wait <= Backoff::CAP + TICK), "{failing:?}");
    let intervals = usize::try_from(OUTAGE.as_secs() / Backoff::CAP.as_secs()).unwrap();
    assert!((intervals..intervals * 2).contains(&failing.len()), "{} times", failing.len());

    // Parked: it is asked at its interval, to the tick.
    let parked = followed.asked_in(1);
    let is_exact = |&wait: &Duration| (PARKED_INTERVAL..=PARKED_INTERVAL + TICK).contains(&wait);
    assert!(waits(&parked).iter().all(is_exact), "{parked:?}");
    assert!(parked.len() as u64 >= OUTAGE.as_secs() / PARKED_INTERVAL.as_secs() - 1, "{parked:?}");

    // Overloaded: it is left alone for as long as it asks.
    let overloaded = followed.asked_in(2);
    assert!(waits(&overloaded).iter().all(|wait| (HOUR..=HOUR + TICK).contains(wait)), "{overloaded:?}");
    assert!((2..=3).contains(&overloaded.len()), "{overloaded:?}");

    // When it is over, the first attempt delivers, and the next batch follows at once.
    let [.., before, first, second] = asked.as_slice() else { panic!("{asked:?}") };
    assert!((*before..=*before + HOUR + TICK).contains(first) && *first >= OUTAGE * 3, "{asked:?}");
    assert!(*second <= *first + TICK, "{asked:?}");
}

#[test]
fn a_stop_in_an_outage_is_no_wait_and_keeps_everything() {
    for number in 0..3 {
        let (dir, spans) = spool(SPANS);
        let seen = Seen::default();
        // In the second hour of the outage, at no moment at which the sink is asked.
        let at = OUTAGE * number + HOUR + Duration::from_secs(100);
        let Followed { report, ended, .. } = follow(dir.path(), &seen, SPANS, at);
        assert_eq!((&report.sinks[0].end, report.sinks[0].delivered), (&SinkEnd::Stopped, 0), "{report}");
        assert!((at..=at + TICK).contains(&ended), "{ended:?} instead of {at:?}");
        assert_eq!(report.recorders_removed, 0, "{report}");

        let kept = Seen::default();
        assert!(export(dir.path(), kept.told(|_| Outcome::DELIVERED)).is_complete());
        assert_eq!(kept.taken(), spans.iter().map(|&span| (span, 1)).collect());
    }
}
