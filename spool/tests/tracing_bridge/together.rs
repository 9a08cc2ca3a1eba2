//! All that can be chosen, at once and from several threads, against what the program counted itself.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Task, Poll, Waker};

use spanring::bridge::tracing::layer;
use spanring::processor::Processor;
use spanring::redaction::{Redaction, SECRET_KEYS};
use spanring::sampling::{KindRates, Root};
use spanring::{Callsite, Context, InSpan, Kind, Overflow, Span, Status, span};
use spanring_spool::{Ledger, SpoolDir};
use tracing::instrument::WithSubscriber;
use tracing::{Dispatch, Instrument, error, info_span};
use tracing_subscriber::prelude::*;

use crate::{MINUTE, Place};

const TASKS: u64 = 40;
const STEPS: u64 = 10;

/// What a processor was told, or the program did.
#[derive(Default)]
struct Counted {
    traces: AtomicU64,
    started: AtomicU64,
    ended: AtomicU64,
    traces_ended: AtomicU64,
}

impl Counted {
    fn all(&self) -> [u64; 4] {
        [&self.traces, &self.started, &self.ended, &self.traces_ended]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

struct Counts(Arc<Counted>);

impl Processor for Counts {
    fn on_trace_start(&self, _: &Span) {
        one_more(&self.0.traces);
    }

    fn on_start(&self, span: &Span) {
        one_more(&self.0.started);
        span.set("auth.password", "of the processor");
    }

    fn on_end(&self, _: &Span) {
        one_more(&self.0.ended);
    }

    fn on_trace_end(&self, _: &Span) {
        one_more(&self.0.traces_ended);
    }
}

/// Panics when a tool starts.
struct PanicsAtTools;

impl Processor for PanicsAtTools {
    fn on_start(&self, span: &Span) {
        if span.kind() == Kind::Tool {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
    }
}

/// One step of a task, in both worlds: five spans, of which one is left out by its kind and one by the filter, and one is given up.
async fn step() {
    let step = info_span!("step", password = "of the step");
    async {
        tokio::task::yield_now().await;
        let middle = info_span!("embed", spanring.kind = "embedding", password = "never looked at");
        async {
            let noise = span!("noise", password = "never evaluated");
            assert_eq!(noise.context(), Context::current());
            async {
                let tool = spanring::tool("search").start();
                tool.set("api_key", "of the tool").set("plain", "shown");
                tokio::task::yield_now().in_span(&tool).await;
                tool.complete();
            }
            .in_span(&noise)
            .await;
        }
        .instrument(middle)
        .await;
        error!(token = "of the event", "it failed");
        let given_up = spanring::llm("mistral-small").start();
        let mut work = Box::pin(pending::<()>().in_span(&given_up));
        assert!(poll_once(work.as_mut()).is_pending());
        drop(work);
    }
    .instrument(step)
    .await;
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Task::from_waker(Waker::noop()))
}

#[test]
fn the_ledger_is_what_the_program_counted_whatever_was_chosen() {
    let place = Place::new();
    let counted = Arc::new(Counted::default());
    let spool = place
        .spool()
        .sampler(|root: &Root<'_>| root.name() != "invoke_agent out")
        .kind_rates(KindRates::default().rate(Kind::Embedding, 0.0))
        .filter(|callsite: &Callsite| callsite.name() != "noise")
        .redact(Redaction::new().keys(SECRET_KEYS))
        .processor(PanicsAtTools)
        .processor(Counts(counted.clone()))
        .overflow(Overflow::Block(MINUTE))
        .ring_bytes(16 << 20)
        .start()
        .unwrap();
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer()));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let work = async move {
                let run = spanring::agent(if task % 4 == 0 { "out" } else { "in" }).start();
                assert_eq!(run.context().is_sampled(), task % 4 != 0);
                async {
                    for _ in 0..STEPS {
                        step().await;
                    }
                }
                .in_span(&run)
                .await;
                run.complete();
            };
            runtime.spawn(work.with_subscriber(dispatch.clone()))
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    drop(runtime);

    let (sampled, out) = (TASKS - TASKS / 4, TASKS / 4);
    // Of a step: `step`, the tool and the call of a model.
    let recorded = sampled * (1 + 3 * STEPS);
    let report = spool.stop(MINUTE);
    assert!(report.is_complete, "{}", report.ledger);
    let expected = Ledger {
        started: recorded,
        ended: recorded,
        spooled: recorded,
        // Those of kind embedding, and all that lies under the runs that are out.
        sampled_out: sampled * STEPS + out * (1 + 4 * STEPS),
        // What the processor sets on each span, and in each step the field, the attribute and the event's field.
        redacted: recorded + sampled * STEPS * 3,
        hooks_failed: sampled * STEPS,
        ..Ledger::default()
    };
    assert_eq!(report.ledger, expected);
    assert!(report.ledger.balances());
    assert_eq!(counted.all(), [sampled, recorded, recorded, sampled]);

    let mut spans = Vec::new();
    let dir = SpoolDir::open(place.dir.path().join("spool")).unwrap();
    for id in dir.recorders().unwrap() {
        let mut reader = dir.reader(&id).unwrap();
        while let Some(block) = reader.next_block().unwrap() {
            spans.extend(block.spans);
        }
    }
    let count = |name: &str, status: Status| {
        spans.iter().filter(|span| span.name == name && span.status == status).count() as u64
    };
    assert_eq!(count("invoke_agent in", Status::Ok), sampled);
    assert_eq!(count("step", Status::Error), sampled * STEPS);
    assert_eq!(count("execute_tool search", Status::Ok), sampled * STEPS);
    assert_eq!(count("chat mistral-small", Status::Cancelled), sampled * STEPS);
    assert_eq!(spans.len() as u64, recorded);
    assert!(
        spans
            .iter()
            .all(|span| span.get("auth.password").is_some_and(|value| value.as_str() == Some("[redacted]")))
    );
}
