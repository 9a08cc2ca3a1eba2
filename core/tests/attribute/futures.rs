//! What is recorded of futures: from their first poll to their last, on whichever threads, and that they were given up.

use std::future::{pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as PollContext, Poll, Waker};

use async_trait::async_trait;
use spanring::prelude::*;
use spanring::{Status, names};
use tokio::runtime;
use tokio::sync::Barrier;
use tokio::task::yield_now;

use crate::flight::{Flight, Plan, Value, alone};
use crate::tree;

fn block_on<F: Future>(future: F) -> F::Output {
    runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut PollContext::from_waker(Waker::noop()))
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[span(kind = agent, name = "planner")]
async fn plan(number: u64, together: Arc<Barrier>) -> u64 {
    let mut sum = 0;
    for step in 0..3 {
        together.wait().await;
        sum += search(number, step).await;
    }
    sum
}

#[span(kind = tool, fields(number, step), as = call, err, ret)]
async fn search_or_fail(number: u64, step: u64) -> Result<u64, String> {
    call.event("before");
    yield_now().await;
    call.event("after");
    look_up().await;
    Ok(number)
}

async fn search(number: u64, step: u64) -> u64 {
    search_or_fail(number, step).await.unwrap()
}

#[span]
async fn look_up() {
    yield_now().await;
}

#[test]
fn tasks_on_several_threads_keep_their_spans_apart() {
    const TASKS: u64 = 8;
    let mut flight = Flight::start(Plan::default());
    let runtime = runtime::Builder::new_multi_thread().worker_threads(3).build().unwrap();
    let together = Arc::new(Barrier::new(usize::try_from(TASKS).unwrap()));
    let tasks: Vec<_> = (0..TASKS).map(|number| runtime.spawn(plan(number, together.clone()))).collect();
    for (number, task) in (0..).zip(tasks) {
        assert_eq!(runtime.block_on(task).unwrap(), 3 * number);
    }
    drop(runtime);

    let spans = flight.take();
    let roots: Vec<_> = spans.iter().filter(|span| !span.parent_id.is_valid()).collect();
    assert_eq!(roots.len(), 8);
    for root in roots {
        let mut of_trace: Vec<_> =
            spans.iter().filter(|span| span.trace_id == root.trace_id).cloned().collect();
        of_trace.sort_by_key(|span| match span.get("step") {
            Some(&Value::U64(step)) => step,
            _ => 9,
        });
        let step = "  execute_tool search_or_fail\n    look_up\n";
        assert_eq!(tree(&of_trace), format!("invoke_agent planner\n{step}{step}{step}"));
        let steps: Vec<_> = of_trace.iter().filter(|span| span.kind == Kind::Tool).collect();
        for step in &steps {
            assert_eq!(step.get("number"), steps[0].get("number"));
            assert_eq!(step.status, Status::Ok);
            assert_eq!(
                step.events.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(),
                ["before", "after"]
            );
        }
    }
    flight.counters(0);
}

#[test]
fn a_future_can_be_sent_whatever_is_recorded_of_it() {
    #[span(kind = llm, args, err, ret, fields(n = text.len(), %text), as = call, parent = Context::NONE)]
    async fn everything(text: &str) -> Result<String, String> {
        call.tokens(Tokens::new(1, 2));
        yield_now().await;
        call.event("between");
        let reply = format!("{text}!");
        yield_now().await;
        call.output(&reply);
        Ok(reply)
    }

    #[span(err, as = call)]
    async fn generic<T: Send + Sync + AsRef<str>>(value: T) -> Result<usize, std::io::Error> {
        call.set("text", value.as_ref());
        yield_now().await;
        Ok(value.as_ref().len())
    }

    let mut flight = Flight::start(Plan::default());
    assert_eq!(block_on(is_send(everything("why"))), Ok("why!".to_owned()));
    assert_eq!(block_on(is_send(generic("why".to_owned()))).unwrap(), 3);
    assert_eq!(block_on(is_send(look_up().in_context(Context::NONE))), ());
    let spans = flight.take();
    assert_eq!(spans[0].get(names::USAGE_INPUT_TOKENS), Some(&Value::U64(1)));
    assert_eq!(spans[1].status, Status::Ok);
}

#[test]
fn what_cannot_be_sent_need_not_be() {
    #[span(ret)]
    async fn local(value: std::rc::Rc<u32>) -> u32 {
        yield_now().await;
        *value
    }

    let mut flight = Flight::start(Plan::default());
    assert_eq!(block_on(local(7.into())), 7);
    assert_eq!(flight.take_one().get(names::OUTPUT), Some(&Value::packed(&7)));
}

#[test]
fn what_is_never_polled_records_nothing() {
    let mut flight = Flight::start(Plan::default());
    drop(look_up());
    assert_eq!(flight.take(), []);
    assert_eq!(flight.counters(0).started, 0);
}

#[test]
fn a_future_that_is_dropped_before_it_is_done_was_cancelled() {
    #[span(err, ret)]
    async fn waits() -> Result<(), String> {
        let inner = spanring::span("inner").start();
        pending::<()>().in_span(&inner).await;
        Ok(())
    }

    #[span(as = call)]
    async fn fails_first() {
        call.error("no answer");
        pending().await
    }

    let mut flight = Flight::start(Plan::default());
    let mut waiting = Box::pin(waits());
    assert!(poll(waiting.as_mut()).is_pending());
    assert!(!Context::current().is_valid());
    assert_eq!(flight.take(), []);
    drop(waiting);
    // What the future itself holds is dropped within the call.
    let [inner, call] = flight.take().try_into().unwrap();
    assert_eq!((inner.name.as_str(), inner.parent_id), ("inner", call.span_id));
    assert_eq!((call.name.as_str(), call.status), ("waits", Status::Cancelled));
    assert_eq!((call.message, call.attributes), (None, Vec::new()));

    let mut failing = Box::pin(fails_first());
    assert!(poll(failing.as_mut()).is_pending());
    drop(failing);
    let span = flight.take_one();
    assert_eq!((span.status, span.message.as_deref()), (Status::Error, Some("no answer")));
}

#[test]
fn a_call_that_gives_up_a_part_of_its_work_and_returns_was_not_cancelled() {
    #[span(as = call)]
    async fn hurry() -> u32 {
        let mut slow = Box::pin(pending::<u32>().in_span(call));
        let found = poll(slow.as_mut());
        drop(slow);
        if let Poll::Ready(found) = found { found } else { 0 }
    }

    let mut flight = Flight::start(Plan::default());
    assert_eq!(block_on(hurry()), 0);
    assert_eq!(flight.take_one().status, Status::Unset);
}

#[test]
fn a_task_that_is_aborted_was_cancelled() {
    #[span]
    async fn waits(started: tokio::sync::oneshot::Sender<()>) {
        started.send(()).unwrap();
        pending().await
    }

    let mut flight = Flight::start(Plan::default());
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let (sender, started) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(waits(sender));
        started.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    drop(runtime);
    assert_eq!(flight.take_one().status, Status::Cancelled);
}

#[test]
fn a_future_that_panics_has_failed() {
    #[span]
    async fn breaks() {
        yield_now().await;
        panic!("broken");
    }

    let mut flight = Flight::start(Plan::default());
    std::panic::catch_unwind(|| block_on(breaks())).unwrap_err();
    let span = flight.take_one();
    assert_eq!((span.status, span.get(names::ERROR_TYPE)), (Status::Error, Some(&Value::text("panic"))));
}

#[test]
fn a_span_can_be_cancelled_on_drop_by_hand() {
    let mut flight = Flight::start(Plan::default());
    let call = || spanring::span("call").start().cancel_on_drop();
    drop(call());
    call().complete();
    drop(call().keep());
    _ = call().keep().finish("x".parse::<u32>());
    let failed = call();
    failed.error("no");
    drop(failed);
    std::panic::catch_unwind(|| {
        let _call = call();
        panic!("broken");
    })
    .unwrap_err();
    let statuses: Vec<_> = flight.take().iter().map(|span| span.status).collect();
    assert_eq!(
        statuses,
        [Status::Cancelled, Status::Ok, Status::Unset, Status::Error, Status::Error, Status::Error]
    );
}

#[span]
fn returns_impl(n: u32) -> impl Future<Output = u32> + Send {
    drop(spanring::span("at the call").start());
    async move {
        look_up().await;
        n
    }
}

#[span(err, as = call)]
fn returns_boxed(
    text: &str,
) -> Pin<Box<dyn Future<Output = Result<u32, std::num::ParseIntError>> + Send + '_>> {
    Box::pin(async {
        call.set("text", text);
        let number: u32 = text.parse()?;
        look_up().await;
        Ok(number)
    })
}

#[test]
fn of_a_function_that_returns_a_future_the_future_is_recorded() {
    let mut flight = Flight::start(Plan::default());
    let (first, second) = (is_send(returns_impl(1)), is_send(returns_boxed("2")));
    assert_eq!(tree(&flight.take()), "at the call\n");
    assert_eq!(block_on(async { (first.await, second.await) }), (1, Ok(2)));
    block_on(returns_boxed("x")).unwrap_err();
    let spans = flight.take();
    assert_eq!(tree(&spans), "returns_impl\n  look_up\nreturns_boxed\n  look_up\nreturns_boxed\n");
    assert_eq!(spans[4].status, Status::Error);
    assert_eq!(spans[4].get("text"), Some(&Value::text("x")));
}

trait Native {
    async fn with_default(&self, n: u32) -> u32;

    #[span]
    async fn by_default(&mut self) -> u32 {
        self.with_default(1).await
    }
}

#[async_trait]
trait Boxed: Send + Sync {
    async fn ask(&self, question: &str, (a, b): (u32, u32)) -> anyhow::Result<String>;

    #[span(ret)]
    async fn by_default(&mut self) -> String
    where
        Self: Sized,
    {
        self.ask("why", (1, 2)).await.unwrap()
    }
}

struct Model {
    name: String,
    calls: u32,
}

impl Native for Model {
    #[span(fields(model = self.name), ret)]
    async fn with_default(&self, n: u32) -> u32 {
        yield_now().await;
        self.calls + n
    }
}

#[async_trait]
impl Boxed for Model {
    #[span(kind = llm, fields(model = self.name), args, skip(question), err, ret, as = call)]
    async fn ask(&self, question: &str, (a, b): (u32, u32)) -> anyhow::Result<String> {
        call.tokens(Tokens::new(1, 2));
        yield_now().await;
        if question.is_empty() {
            anyhow::bail!("{} was asked nothing", self.name);
        }
        look_up().await;
        Ok(format!("{question}{a}{b}"))
    }
}

#[test]
fn methods_of_traits_are_recorded_native_or_boxed_declared_or_by_default() {
    let mut flight = Flight::start(Plan::default());
    let mut model = Model { name: "mistral-small".to_owned(), calls: 6 };
    assert_eq!(block_on(Native::by_default(&mut model)), 7);
    let spans = flight.take();
    assert_eq!(tree(&spans), "by_default\n  with_default\n");
    assert_eq!(spans[0].get(names::OUTPUT), Some(&Value::packed(&7)));

    assert_eq!(block_on(is_send(Boxed::by_default(&mut model))), "why12");
    block_on(is_send(model.ask("", (1, 2)))).unwrap_err();
    let spans = flight.take();
    assert_eq!(tree(&spans), "by_default\n  ask\n    look_up\nask\n");
    assert_eq!(spans[1].get("model"), Some(&Value::text("mistral-small")));
    assert_eq!(spans[1].get(names::OUTPUT), Some(&Value::packed("why12")));
    assert_eq!(spans[3].message.as_deref(), Some("mistral-small was asked nothing"));
}

#[test]
fn where_nothing_is_recorded_futures_run_all_the_same() {
    let _alone = alone();
    let outside = spanring::span("outside").start();
    let mut future = pin!(
        async {
            let yields = async {
                let mut polls = 0;
                poll_fn(|_| {
                    polls += 1;
                    if polls == 3 { Poll::Ready(polls) } else { Poll::Pending }
                })
                .await
            };
            counts(ready(1), yields).await
        }
        .in_span(&outside)
    );
    assert!(poll(future.as_mut()).is_pending());
    assert!(poll(future.as_mut()).is_pending());
    assert_eq!(poll(future.as_mut()), Poll::Ready((4, false)));
}

#[span(args, skip(one, other), err, as = call)]
async fn counts_or_fails(
    one: impl Future<Output = u32>,
    other: impl Future<Output = u32>,
) -> Result<(u32, bool), String> {
    Ok((one.await + other.await, call.is_recording()))
}

async fn counts(one: impl Future<Output = u32>, other: impl Future<Output = u32>) -> (u32, bool) {
    counts_or_fails(one, other).await.unwrap()
}
