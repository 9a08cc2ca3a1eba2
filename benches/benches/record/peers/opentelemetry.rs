//! The OpenTelemetry SDK.

use std::hint::black_box;

use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use spanring_benches::Calls;

use super::kept;
use crate::ways::{Recording, Session, Way, Work};

pub(crate) const WAY: Way =
    Way { name: "opentelemetry", is_variant: false, start: || Box::new(Kept(kept::provider())), off };

struct Kept(SdkTracerProvider);

impl Recording for Kept {
    fn session(&self) -> Box<dyn Session + '_> {
        let tracer = self.0.tracer("benchmark");
        let run = Context::new().with_span(tracer.start("run"));
        Box::new(Run { tracer, run })
    }

    fn arrived(&self, _: u64) -> u64 {
        kept::counted()
    }
}

struct Run {
    tracer: SdkTracer,
    run: Context,
}

impl Session for Run {
    fn record(&mut self, work: Work, calls: &Calls, count: usize) {
        let Run { tracer, run } = self;
        match work {
            Work::Child => {
                for _ in 0..count {
                    tracer.span_builder("step").start_with_context(tracer, run).end();
                }
            }
            Work::FourAttributes => {
                for number in 0..count {
                    let tool = calls.tool_values(number);
                    let builder = tracer.span_builder("execute_tool").with_attributes([
                        KeyValue::new("tool.attempt", tool.attempt),
                        KeyValue::new("tool.score", tool.score),
                        KeyValue::new("tool.call_id", tool.call_id.to_owned()),
                        KeyValue::new("tool.cached", tool.is_cached),
                    ]);
                    builder.start_with_context(tracer, run).end();
                }
            }
            Work::Llm => {
                for number in 0..count {
                    let model = calls.model_values(number);
                    let builder = tracer.span_builder("chat").with_kind(SpanKind::Client).with_attributes([
                        KeyValue::new("gen_ai.request.model", model.model),
                        KeyValue::new("gen_ai.request.temperature", model.temperature),
                        KeyValue::new("gen_ai.request.max_tokens", model.max_tokens),
                        KeyValue::new("gen_ai.request.stream", model.is_stream),
                        KeyValue::new("gen_ai.response.id", model.response_id.to_owned()),
                        KeyValue::new("gen_ai.output.messages", model.reply.to_owned()),
                        KeyValue::new("gen_ai.usage.input_tokens", model.input_tokens),
                        KeyValue::new("gen_ai.usage.output_tokens", model.output_tokens),
                    ]);
                    let mut span = builder.start_with_context(tracer, run);
                    span.add_event("first token", Vec::new());
                    span.end();
                }
            }
        }
    }

    fn hand_over(&mut self) {
        kept::count();
    }
}

/// The tracer of a program that has installed no provider.
fn off(count: u64) {
    let tracer = global::tracer("benchmark");
    let run = Context::new();
    for _ in 0..count {
        let mut span = tracer.span_builder("step").start_with_context(&tracer, black_box(&run));
        span.end();
        black_box(&span);
    }
}
