//! Traces that are shown to the sink before they go.

use super::*;

#[test]
fn small_traces_that_are_shown_before_share_batches_and_none_of_them_is_divided() {
    let (dir, recorded) = interleaved(700, 3);
    let (sink, seen) = ByTrace::new(Needs::Overview, takes);
    let report = export_along(dir.path(), Route::to(Box::new(sink)));
    let seen = seen.lock().unwrap();
    // 170 traces in a batch, and one for all that the process is over by.
    assert_eq!((seen.sent.len(), report.sinks[0].delivered), (5, 2_100), "{report}");
    assert!(seen.sent.values().all(|spans| spans.len() <= SPANS_MAX && spans.len().is_multiple_of(3)));
    let in_order = |spans: &Vec<SpanData>| spans.is_sorted_by_key(|span| span.end_unix_ns);
    assert!(seen.taken.iter().all(|spans| whole(&recorded, spans) && in_order(spans)));
}

/// A sink that looks at what is to come for ever.
struct Looking;

impl Sink for Looking {
    fn name(&self) -> &str {
        "looking"
    }

    fn needs(&self) -> Needs {
        Needs::Overview
    }

    fn overview<'a>(&'a mut self, _: &'a mut dyn TraceSpans) -> Overview<'a> {
        Box::pin(std::future::pending())
    }

    fn deliver<'a>(&'a mut self, _: &'a Batch<'a>) -> Delivery<'a> {
        unreachable!("it has not seen all")
    }
}

#[test]
fn a_stop_does_not_wait_for_a_sink_to_look_at_a_trace() {
    let (dir, _) = interleaved(1, 2);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let exporter = Exporter::new(SpoolDir::open(dir.path()).unwrap()).to(Box::new(Looking));
    let report = run_on(&runtime, exporter, async { tokio::time::sleep(MINUTE).await });
    assert_eq!((report.sinks[0].delivered, &report.sinks[0].end), (0, &SinkEnd::Stopped), "{report}");
}
