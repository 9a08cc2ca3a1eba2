//! Spans are sent to OTLP as they lie in their block: of every capture, the same bytes as of copies of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Url;
use spanring_exporter::Exporter;
use spanring_exporter::otlp::{self, Names};
use spanring_exporter::sink::{Batch, Delivery, HttpApi as _, OtlpHttp, OtlpOptions, Outcome, Sink};
use spanring_spool::SpoolDir;

use crate::FORMS;
use crate::recording::Recording;

/// Compares the request of each batch with that of copies of its spans.
struct Compared {
    otlp: OtlpHttp,
    spans: Arc<AtomicUsize>,
}

impl Sink for Compared {
    fn name(&self) -> &str {
        "compared"
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        let request = self.otlp.request(batch).body;
        let copies = batch.spans.to_vec();
        let of_copies = otlp::to_protobuf(Names::GenAi, &batch.resource.attributes, &copies);
        assert!(request == of_copies, "batch {}: {copies:?}", batch.id);
        self.spans.fetch_add(copies.len(), Ordering::Relaxed);
        Box::pin(async { Outcome::DELIVERED })
    }
}

/// How many spans were compared of those in this spool.
fn compare(spool: &Path) -> usize {
    let spans = Arc::default();
    let url = Url::parse("http://localhost:4318").unwrap();
    let otlp = OtlpHttp::new(&url, false, &OtlpOptions::default());
    let exporter = Exporter::new(SpoolDir::open(spool).unwrap())
        .to(Box::new(Compared { otlp, spans: Arc::clone(&spans) }))
        .once(Duration::from_secs(60));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let report = runtime.block_on(exporter.run(std::future::pending())).unwrap();
    assert!(report.is_complete(), "{report}");
    spans.load(Ordering::Relaxed)
}

#[test]
fn every_capture_makes_the_same_request_where_its_spans_lie() {
    for form in FORMS {
        for capture in (form.captures)() {
            let mut recording = Recording::for_delivery();
            (form.rebuild)(&capture.json, &mut recording);
            let recorded = recording.len();
            let dir = recording.leave();
            assert!(recorded > 0 && compare(&dir.path().join("spool")) == recorded, "{}", capture.name);
        }
    }
}
