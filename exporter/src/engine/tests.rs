use std::sync::atomic::{AtomicUsize, Ordering};

use spanring_spool::Spool;

use super::*;
use crate::sink::{Batch, Delivery, Outcome};

/// Refuses everything so many times, and takes everything after that.
struct Parked {
    times: usize,
    taken: Arc<AtomicUsize>,
}

impl Sink for Parked {
    fn name(&self) -> &str {
        "parked"
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(async move {
            if let Some(times) = self.times.checked_sub(1) {
                self.times = times;
                return Outcome::Parked { reason: "no such key".into() };
            }
            self.taken.fetch_add(batch.spans.len(), Ordering::SeqCst);
            Outcome::DELIVERED
        })
    }
}

#[test]
fn a_sink_that_takes_nothing_is_asked_again_as_long_as_the_spool_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).start().unwrap();
    assert!(matches!(spanring::span("step").root().start().end(), spanring::Ended::Recorded));
    let stopped = spool.stop(Duration::from_secs(60));
    assert!(stopped.is_complete, "{stopped}");

    let export = |follows: bool| {
        let taken = Arc::new(AtomicUsize::new(0));
        let sink = Parked { times: 2, taken: Arc::clone(&taken) };
        let mut exporter = Exporter::new(SpoolDir::open(dir.path()).unwrap()).to(Box::new(sink));
        exporter.mode = match follows {
            true => Mode::Follow { parked_interval: Duration::from_millis(1) },
            false => Mode::Once { deadline: Duration::from_secs(60) },
        };
        let stop = async move {
            while taken.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(exporter.run(stop)).unwrap()
    };
    let report = export(false);
    assert_eq!(report.sinks[0].end, SinkEnd::Refused { reason: "no such key".into() }, "{report}");
    assert_eq!(report.sinks[0].delivered, 0, "{report}");
    let report = export(true);
    assert_eq!((report.sinks[0].delivered, report.sinks[0].retries), (1, 2), "{report}");
    assert!(!report.is_failure(), "{report}");
}
