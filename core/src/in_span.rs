//! Futures and streams that run within a span.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{self, Poll};
use std::thread;

use pin_project_lite::pin_project;

use crate::context::{Context, Scope};
use crate::span::Span;
use crate::thread::local;

/// Runs futures and streams within a span: it is current whenever they are polled, on whichever thread, and while they are
/// dropped, and not in between. A span that is dropped right after its future was, which had begun and was not done, is
/// [cancelled](crate::Status::Cancelled): so a `select!`, a timeout or an abort shows. This is what a guard of [`enter`](Span::enter) must not be used for.
///
/// ```
/// use spanring::InSpan;
///
/// # async fn chat(question: &str) -> Result<String, std::io::Error> { Ok(question.to_owned()) }
/// async fn ask() -> Result<String, std::io::Error> {
///     let call = spanring::llm("mistral-small").start();
///     let reply = chat("why?").in_span(&call).await;
///     call.finish(reply)
/// }
///
/// # fn spawn(task: impl Future + Send + 'static) {}
/// let run = spanring::trace("research").start();
/// spawn(ask().in_context(run.context())); // a task outlives the borrow of a span
/// ```
pub trait InSpan: Sized {
    /// Within this span, which cannot end meanwhile.
    fn in_span(self, span: &Span) -> Within<'_, Self> {
        Within { inner: Some(self), context: span.context(), work: Work::OfSpan, span: PhantomData }
    }

    /// Within the span of this context: for what outlives the borrow of a span, such as a task that is spawned.
    fn in_context(self, context: Context) -> Within<'static, Self> {
        Within { inner: Some(self), context, work: Work::NotOfSpan, span: PhantomData }
    }
}

impl<T> InSpan for T {}

/// What a future's being dropped says about the span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Work {
    /// Nothing: the span is somewhere else.
    NotOfSpan,
    /// Nothing, since it has not begun or is done.
    OfSpan,
    /// That its work was given up.
    Begun,
}

pin_project! {
    /// A future or stream that runs within a span: see [`InSpan`].
    #[derive(Debug)]
    #[must_use = "a future does nothing before it is awaited"]
    pub struct Within<'a, T> {
        // `None` once it was dropped.
        #[pin]
        inner: Option<T>,
        context: Context,
        work: Work,
        // The span is borrowed; but what is kept of it can be sent.
        span: PhantomData<&'a ()>,
    }

    impl<T> PinnedDrop for Within<'_, T> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            {
                let _scope = Scope::enter(*this.context);
                this.inner.set(None);
            }
            if *this.work == Work::Begun && !thread::panicking() {
                local().give_up(this.context.span_id());
            }
        }
    }
}

impl<T: Future> Future for Within<'_, T> {
    type Output = T::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<T::Output> {
        let this = self.project();
        let _scope = Scope::enter(*this.context);
        if *this.work == Work::OfSpan {
            *this.work = Work::Begun;
        }
        let polled = this.inner.as_pin_mut().expect("it is taken away only when this is dropped").poll(cx);
        if polled.is_ready() && *this.work == Work::Begun {
            *this.work = Work::OfSpan;
            local().go_on(this.context.span_id());
        }
        polled
    }
}

#[cfg(feature = "stream")]
impl<T: futures_core::Stream> futures_core::Stream for Within<'_, T> {
    type Item = T::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<T::Item>> {
        let this = self.project();
        let _scope = Scope::enter(*this.context);
        this.inner.as_pin_mut().expect("it is taken away only when this is dropped").poll_next(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.as_ref().map_or((0, Some(0)), T::size_hint)
    }
}
