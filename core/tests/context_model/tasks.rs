//! Tasks: async functions that do a program's steps, and combinators that poll several, drop losers and catch panics.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use spanring::{Context, InSpan};

use crate::program::{Choice, Parent, Step};
use crate::stream;
use crate::world::{Guard, World, caught};

/// Whether a task moves between threads, and so what it can hold.
pub(crate) trait Mode: Sized + 'static {
    /// A guard that lives in a task.
    type Held;
    /// Steps of a task.
    type Block: Future<Output = ()> + Unpin;

    fn block(world: &Arc<World>, steps: Vec<Step>) -> Self::Block;

    fn hold(world: &Arc<World>, choice: Choice) -> Self::Held;
}

/// Tasks that are polled on any thread. They hold no guards: the compiler sees to it.
pub(crate) enum Sent {}

/// Tasks that stay on one thread.
pub(crate) enum Local {}

impl Mode for Sent {
    type Held = ();
    type Block = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn block(world: &Arc<World>, steps: Vec<Step>) -> Self::Block {
        Box::pin(block::<Self>(Arc::clone(world), steps))
    }

    fn hold(_: &Arc<World>, _: Choice) {}
}

impl Mode for Local {
    type Held = Guard;
    type Block = Pin<Box<dyn Future<Output = ()>>>;

    fn block(world: &Arc<World>, steps: Vec<Step>) -> Self::Block {
        Box::pin(block::<Self>(Arc::clone(world), steps))
    }

    fn hold(world: &Arc<World>, choice: Choice) -> Guard {
        world.enter(choice)
    }
}

/// Polls a task once. A panic ends it.
pub(crate) fn poll<B: Future<Output = ()> + Unpin>(mut task: B) -> Option<B> {
    let mut cx = task::Context::from_waker(Waker::noop());
    match caught(|| Pin::new(&mut task).poll(&mut cx)) {
        Some(Poll::Pending) => Some(task),
        Some(Poll::Ready(())) | None => None,
    }
}

async fn block<M: Mode>(world: Arc<World>, steps: Vec<Step>) {
    let mut held: Vec<M::Held> = Vec::new();
    let mut at_drop = Vec::new();
    for step in steps {
        match step {
            Step::Do(op) => world.perform(op),
            Step::Wait => {
                world.check("what comes before an await");
                wait().await;
            }
            Step::InContext(choice, steps) => {
                let context = world.choose(choice);
                within(&world, context, M::block(&world, steps).in_context(context)).await;
            }
            Step::InSpan(parent, steps) => {
                let span = world.start(parent);
                within(&world, span.context(), M::block(&world, steps).in_span(&span)).await;
            }
            Step::Join(left, right) => {
                let (mut left, mut right) = (Some(M::block(&world, left)), Some(M::block(&world, right)));
                poll_fn(|cx| {
                    for child in [&mut left, &mut right] {
                        if child.as_mut().is_some_and(|child| Pin::new(child).poll(cx).is_ready()) {
                            *child = None;
                        }
                    }
                    if left.is_none() && right.is_none() { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            Step::Select(left, right) => {
                let mut children = [M::block(&world, left), M::block(&world, right)];
                poll_fn(|cx| {
                    let is_any_ready = children.iter_mut().any(|child| Pin::new(child).poll(cx).is_ready());
                    if is_any_ready { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            Step::Catch(steps) => {
                let mut inner = M::block(&world, steps);
                poll_fn(|cx| caught(|| Pin::new(&mut inner).poll(cx)).unwrap_or(Poll::Ready(()))).await;
            }
            Step::Stream(choice, items) => stream::run(&world, world.choose(choice), items).await,
            Step::Hold(choice) => held.push(M::hold(&world, choice)),
            Step::LetGo(index) => {
                if !held.is_empty() {
                    drop(held.remove(index.index(held.len())));
                }
            }
            Step::StartAtDrop => at_drop.push(StartAtDrop(Arc::clone(&world))),
        }
        world.check("a step");
    }
}

/// Is pending once.
async fn wait() {
    let mut is_over = false;
    poll_fn(|_| if std::mem::replace(&mut is_over, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// A local of a task, which records as it is dropped.
struct StartAtDrop(Arc<World>);

impl Drop for StartAtDrop {
    fn drop(&mut self) {
        self.0.check("the beginning of a drop");
        drop(self.0.start(Parent::Current));
    }
}

/// Expects what is polled and dropped to be within a context.
fn within<T>(world: &Arc<World>, context: Context, inner: T) -> Expect<T> {
    Expect::new(world, context, inner)
}

/// Something that is expected to be within a context whenever it is polled, and while it is dropped.
pub(crate) struct Expect<T> {
    world: Arc<World>,
    context: Context,
    inner: Option<Pin<Box<T>>>,
}

impl<T> Expect<T> {
    pub(crate) fn new(world: &Arc<World>, context: Context, inner: T) -> Self {
        Expect { world: Arc::clone(world), context, inner: Some(Box::pin(inner)) }
    }

    /// Calls `poll` where that is expected.
    pub(crate) fn poll_with<P>(&mut self, poll: impl FnOnce(Pin<&mut T>) -> Poll<P>) -> Poll<P> {
        let _expected = self.world.begin(self.context);
        poll(self.inner.as_mut().expect("it is there until it is dropped").as_mut())
    }
}

impl<T: Future> Future for Expect<T> {
    type Output = T::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<T::Output> {
        self.get_mut().poll_with(|inner| inner.poll(cx))
    }
}

impl<T> Drop for Expect<T> {
    fn drop(&mut self) {
        let _expected = self.world.begin(self.context);
        self.inner = None;
    }
}
