//! The OpenTelemetry SDK's batch processor and its OTLP exporter, over HTTP in protobuf.

use std::time::{Duration, Instant};

use opentelemetry::trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Compression, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};
use spanring_benches::Calls;
use spanring_exporter::engine::SPANS_MAX;

use crate::inbox::Inbox;

/// All spans of a sample find room, whatever has been sent: what finds none is dropped.
const QUEUE_LEN: usize = 1 << 17;

/// A tracer provider, and a receiver.
pub(crate) struct Line {
    provider: SdkTracerProvider,
    inbox: Inbox,
}

impl Line {
    pub(crate) fn new(is_compressed: bool) -> Self {
        // The client has TLS compiled in without a provider of cryptography, and wants one even where it has no use for it. The
        // second line finds that of the first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let inbox = Inbox::new();
        let endpoint = format!("http://{}/v1/traces", inbox.address());
        let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint);
        let exporter = if is_compressed { exporter.with_compression(Compression::Gzip) } else { exporter };
        let exporter = exporter.build().expect("the exporter can be built");
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE_LEN)
            .with_max_export_batch_size(SPANS_MAX)
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_span_processor(processor)
            .build();
        Line { provider, inbox }
    }

    /// Makes that many tool calls under a run, has them delivered, and counts them there. How long it took, the making of them included.
    pub(crate) fn carry(&self, calls: &Calls, count: usize) -> Duration {
        let tracer = self.provider.tracer("benchmark");
        let start = Instant::now();
        let run = Context::new().with_span(tracer.start("run"));
        for number in 0..count {
            let tool = calls.tool_values(number);
            let builder = tracer.span_builder("execute_tool").with_attributes([
                KeyValue::new("tool.attempt", tool.attempt),
                KeyValue::new("tool.score", tool.score),
                KeyValue::new("tool.call_id", tool.call_id.to_owned()),
                KeyValue::new("tool.cached", tool.is_cached),
            ]);
            builder.start_with_context(&tracer, &run).end();
        }
        drop(run);
        self.provider.force_flush().expect("all can be sent");
        let timed = start.elapsed();
        assert_eq!(self.inbox.take(), count as u64 + 1, "spans in are spans out");
        timed
    }
}
