//! `tracing`, with the layer that makes OpenTelemetry spans of its own. What the layer adds unasked is turned off.

use std::hint::black_box;
use std::sync::Once;

use opentelemetry::trace::TracerProvider as _;
use spanring_benches::Calls;
use tracing::{Span, info, info_span};
use tracing_subscriber::layer::SubscriberExt as _;

use super::kept;
use crate::ways::{Recording, Session, Way, Work};

pub(crate) const WAY: Way =
    Way { name: "tracing_opentelemetry", is_variant: false, start: || Box::new(Kept::new()), off };

struct Kept;

impl Kept {
    fn new() -> Self {
        static SUBSCRIBED: Once = Once::new();
        SUBSCRIBED.call_once(|| {
            let layer = tracing_opentelemetry::layer()
                .with_tracer(kept::provider().tracer("benchmark"))
                .with_location(false)
                .with_threads(false)
                .with_tracked_inactivity(false);
            let subscriber = tracing_subscriber::registry().with(layer);
            tracing::subscriber::set_global_default(subscriber).expect("there is no other");
        });
        Kept
    }
}

impl Recording for Kept {
    fn session(&self) -> Box<dyn Session + '_> {
        Box::new(Run(info_span!(parent: None, "run")))
    }

    fn arrived(&self, _: u64) -> u64 {
        kept::counted()
    }
}

struct Run(Span);

impl Session for Run {
    fn record(&mut self, work: Work, calls: &Calls, count: usize) {
        let Run(run) = self;
        match work {
            Work::Child => {
                for _ in 0..count {
                    drop(info_span!(parent: &*run, "step"));
                }
            }
            Work::FourAttributes => {
                for number in 0..count {
                    let tool = calls.tool_values(number);
                    drop(info_span!(
                        parent: &*run,
                        "execute_tool",
                        tool.attempt = tool.attempt,
                        tool.score = tool.score,
                        tool.call_id = tool.call_id,
                        tool.cached = tool.is_cached,
                    ));
                }
            }
            Work::Llm => {
                for number in 0..count {
                    let model = calls.model_values(number);
                    let span = info_span!(
                        parent: &*run,
                        "chat",
                        gen_ai.request.model = model.model,
                        gen_ai.request.temperature = model.temperature,
                        gen_ai.request.max_tokens = model.max_tokens,
                        gen_ai.request.stream = model.is_stream,
                        gen_ai.response.id = model.response_id,
                        gen_ai.output.messages = model.reply,
                        gen_ai.usage.input_tokens = model.input_tokens,
                        gen_ai.usage.output_tokens = model.output_tokens,
                    );
                    info!(parent: &span, "first token");
                }
            }
        }
    }

    fn hand_over(&mut self) {
        kept::count();
    }
}

/// There is no subscriber.
fn off(count: u64) {
    let run = Span::none();
    for _ in 0..count {
        let span = info_span!(parent: black_box(&run), "step");
        black_box(&span);
    }
}
