//! Programs that use the OpenTelemetry SDK, exported by the SDK and recorded by our processor at the same time: what comes out is compared as OTLP,
//! byte for byte, with what `opentelemetry-proto` makes of the SDK's own spans.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::trace::{
    InMemorySpanExporter, SdkTracerProvider, SpanData as Upstream, SpanProcessor, TracerProviderBuilder,
};
use prost::Message;
use spanring::bridge::opentelemetry::SpanringProcessor;
use spanring_exporter::otlp;
use spanring_spool::{Dropped, Reader, SpanData, Spool, SpoolBuilder, StopReport};

mod choosing;
mod contexts;
mod differences;
mod exported;
mod kill;
mod life;
mod programs;
mod random;
mod threads;

/// A process has one spool, so one test records at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A spool in a temporary directory, and a provider that both records into it and keeps the SDK's spans.
struct Both {
    provider: SdkTracerProvider,
    upstream: InMemorySpanExporter,
    spool: Spool,
    dir: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// What came of it on either side.
struct Outcome {
    upstream: Vec<Upstream>,
    spans: Vec<SpanData>,
    report: StopReport,
}

impl Both {
    fn new() -> Self {
        Both::with(|builder| builder)
    }

    fn with(configure: impl FnOnce(TracerProviderBuilder) -> TracerProviderBuilder) -> Self {
        Both::around(SpanringProcessor::new(), configure)
    }

    /// With so many tables for spans that are open at once, each for 1,024, and a ring for each of a few threads from the start.
    fn with_tables(tables: u16) -> Self {
        let spool = |builder: SpoolBuilder| builder.tables(tables.into(), tables).rings(16, 16);
        Both::start(SpanringProcessor::new(), spool, |builder| builder)
    }

    /// With this processor, which is ours or has ours within, as the first one.
    fn around(
        processor: impl SpanProcessor + 'static,
        configure: impl FnOnce(TracerProviderBuilder) -> TracerProviderBuilder,
    ) -> Self {
        Both::start(processor, |builder| builder, configure)
    }

    fn start(
        processor: impl SpanProcessor + 'static,
        spool: impl FnOnce(SpoolBuilder) -> SpoolBuilder,
        configure: impl FnOnce(TracerProviderBuilder) -> TracerProviderBuilder,
    ) -> Self {
        let alone = alone();
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let spool = spool(Spool::open(dir.path().join("spool")).service("bridge")).start().unwrap();
        let upstream = InMemorySpanExporter::default();
        let builder = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_simple_exporter(upstream.clone());
        Both { provider: configure(builder).build(), upstream, spool, dir, _alone: alone }
    }

    /// Stops the spool, without a word to the provider, and reads it.
    fn finish(self) -> Outcome {
        let upstream = self.upstream.get_finished_spans().unwrap();
        let report = self.spool.stop(Duration::from_secs(30));
        let spans = read(self.dir.path());
        Outcome { upstream, spans, report }
    }
}

fn read(dir: &std::path::Path) -> Vec<SpanData> {
    Reader::open(dir.join("spool")).unwrap().collect::<Result<_, _>>().unwrap()
}

impl Outcome {
    /// Nothing is lost, and all is as the SDK's exporter would have sent it.
    fn assert_same(&self) {
        assert!(self.report.is_complete, "{}", self.report);
        assert_eq!(self.report.ledger.dropped, Dropped::default());
        assert_same(&self.upstream, &self.spans);
    }

    fn span(&self, name: &str) -> &SpanData {
        let mut found = self.spans.iter().filter(|span| span.name == name);
        let span = found.next().unwrap_or_else(|| panic!("no {name} in {:#?}", self.spans));
        assert!(found.next().is_none(), "two spans {name}");
        span
    }
}

/// Each span with its scope, as bytes, and the scope's schema URL.
type ByIdentity = BTreeMap<Vec<u8>, (Vec<u8>, String, Span)>;

fn assert_same(upstream: &[Upstream], spans: &[SpanData]) {
    let theirs = as_upstream_exports(upstream);
    let ours = as_we_export(spans);
    assert_eq!(theirs.len(), upstream.len(), "the SDK gave out an identity twice");
    assert_eq!(ours.len(), spans.len(), "a span was recorded twice");
    assert_eq!(ours.len(), theirs.len(), "as many spans");
    for (id, (scope, schema_url, theirs)) in theirs {
        let (our_scope, our_schema_url, ours) =
            ours.get(&id).unwrap_or_else(|| panic!("not recorded: {theirs:#?}"));
        assert_eq!((our_scope, our_schema_url), (&scope, &schema_url));
        // As bytes: a NaN is the same as itself then.
        assert!(ours.encode_to_vec() == theirs.encode_to_vec(), "ours: {ours:#?}\ntheirs: {theirs:#?}");
    }
}

fn as_upstream_exports(spans: &[Upstream]) -> ByIdentity {
    by_identity(group_spans_by_resource_and_scope(spans.to_vec(), &Default::default()))
}

fn as_we_export(spans: &[SpanData]) -> ByIdentity {
    by_identity(otlp::request(&[], spans).resource_spans)
}

fn by_identity(resource_spans: Vec<ResourceSpans>) -> ByIdentity {
    let groups = resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    groups
        .flat_map(|group| {
            let (scope, schema_url) = (group.scope.unwrap(), group.schema_url);
            group.spans.into_iter().map(move |span| {
                let id = [&span.trace_id[..], &span.span_id].concat();
                (id, (scope.encode_to_vec(), schema_url.clone(), span))
            })
        })
        .collect()
}
