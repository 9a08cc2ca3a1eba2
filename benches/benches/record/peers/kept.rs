//! The cheapest span processor that still takes the spans: each thread keeps its own.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::{Context, SpanId};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor};

thread_local! {
    static KEPT: RefCell<Vec<SpanData>> = const { RefCell::new(Vec::new()) };
}
static COUNTED: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct Keep;

impl SpanProcessor for Keep {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        KEPT.with_borrow_mut(|kept| kept.push(span));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// A provider that records everything and keeps it.
pub(super) fn provider() -> SdkTracerProvider {
    SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn).with_span_processor(Keep).build()
}

/// Lets go of what this thread keeps, and counts it.
pub(super) fn count() {
    KEPT.with_borrow_mut(|kept| {
        let children = kept.iter().filter(|span| span.parent_span_id != SpanId::INVALID).count();
        COUNTED.fetch_add(children as u64, Ordering::Relaxed);
        kept.clear();
    });
}

/// How many were counted since the last time.
pub(super) fn counted() -> u64 {
    COUNTED.swap(0, Ordering::Relaxed)
}
