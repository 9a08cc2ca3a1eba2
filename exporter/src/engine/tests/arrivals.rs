//! Exporters that are told what happens in their spool.

use std::time::Duration;

use spanring_spool::{Level, Spool};
use tokio::sync::mpsc;

use super::*;

const HOUR: Duration = Duration::from_secs(60 * 60);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn what_is_spooled_is_delivered_because_it_is_told_and_not_because_it_is_looked_for() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    drop(Spool::open(dir.path()).rings(1, 1).tables(0, 0).start().unwrap().stop(MINUTE));
    let (sender, mut taken) = mpsc::unbounded_channel();
    let sink = Seen::default().told(move |spans| {
        sender.send(spans.len()).unwrap();
        Outcome::DELIVERED
    });
    let mut exporter = Exporter::new(SpoolDir::open(dir.path()).unwrap()).to(Box::new(sink));
    let intervals = Intervals { first: HOUR, cap: HOUR, discovery: HOUR };
    exporter.mode = Mode::Follow { parked_interval: HOUR, intervals };

    let status = exporter.status();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let report = runtime.block_on(async {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let recording = async {
            // The first look is over then, and removed what was there.
            while status.now().recorders_removed == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // It comes while the exporter is there, and grows while the exporter waits for it.
            let spool = Spool::open(dir.path()).linger(MINUTE).rings(1, 1).tables(0, 0).start().unwrap();
            for _ in 0..5 {
                drop(spanring::span("step").root().start());
                spool.flush(Level::Spooled, MINUTE).unwrap();
                let told = tokio::time::timeout(MINUTE, taken.recv()).await;
                assert_eq!(told.expect("it is told long before it is looked for"), Some(1));
            }
            drop(spool.stop(MINUTE));
            drop(stop);
        };
        let stopped = async { drop(stopped.await) };
        let (report, ()) = tokio::join!(exporter.run(stopped), recording);
        report.unwrap()
    });
    assert_eq!(report.sinks[0].delivered, 5, "{report}");
}
