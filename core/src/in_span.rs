//! Futures and streams that run within a span.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{self, Poll};
use std::thread;

use pin_project_lite::pin_project;

use crate::context::{Context, Scope};
use crate::span::Span;

/// Runs futures and streams within a span: it is current whenever they are polled, on whichever thread, and while they are
/// dropped, and not in between. A span that is dropped, and of whose work the last thing that is known is that a future
/// or stream of [`in_span`](Self::in_span) was dropped which had begun and was not done, is [cancelled](crate::Status::Cancelled), unless
/// somebody said how it went: so a `select!`, a timeout or an abort shows. This is what a guard of [`enter`](Span::enter) must not be used for.
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
///
/// It is for futures and streams alone, so that it does not take `in_span` from others who have it, such as OpenTelemetry's `Tracer`.
pub trait InSpan<Via = ViaFuture>: Sized {
    /// Within this span, which cannot end meanwhile.
    fn in_span(self, span: &Span) -> Within<'_, Self> {
        Within {
            inner: Some(self),
            context: span.context(),
            work: span.work_to_do(),
            begun: None,
            span: PhantomData,
        }
    }

    /// Within the span of this context: for what outlives the borrow of a span, such as a task that is spawned.
    fn in_context(self, context: Context) -> Within<'static, Self> {
        Within { inner: Some(self), context, work: None, begun: None, span: PhantomData }
    }
}

/// It is a future.
#[doc(hidden)]
#[derive(Debug)]
pub struct ViaFuture;

/// It is a stream.
#[cfg(feature = "stream")]
#[doc(hidden)]
#[derive(Debug)]
pub struct ViaStream;

impl<T: Future> InSpan for T {}

#[cfg(feature = "stream")]
impl<T: futures_core::Stream> InSpan<ViaStream> for T {}

/// How the work of a recorded span stands, as the futures know it that do it: how many are done, and in the lowest bit whether the last of
/// them was given up. It lies in the span's slot, so it is whose thread whatever, and there as long as the span is.
type Work = AtomicU32;

const GIVEN_UP: u32 = 1;
const ONE_DONE: u32 = 2;

/// Whether the last that is known of a span's work is that it was given up.
#[inline]
pub(crate) fn is_given_up(work: &Work) -> bool {
    work.load(Ordering::Relaxed) & GIVEN_UP != 0
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
        // Of the span, where that is recorded and borrowed.
        work: Option<&'static Work>,
        // How many were done when this was polled last; `None` before it was, and once it is done.
        begun: Option<u32>,
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
            // Where another future of the span was done meanwhile, this one lost a race, and nothing was given up.
            if let (Some(work), Some(begun)) = (*this.work, *this.begun)
                && work.load(Ordering::Relaxed) & !GIVEN_UP == begun
                && !thread::panicking()
            {
                work.fetch_or(GIVEN_UP, Ordering::Relaxed);
            }
        }
    }
}

/// Polls a future or stream of a span, and notes how its work stands.
#[inline]
fn poll_work<P>(
    work: Option<&Work>,
    begun: &mut Option<u32>,
    poll: impl FnOnce() -> P,
    is_done: impl FnOnce(&P) -> bool,
) -> P {
    if let Some(work) = work {
        *begun = Some(work.load(Ordering::Relaxed) & !GIVEN_UP);
    }
    let polled = poll();
    if let Some(work) = work
        && is_done(&polled)
    {
        *begun = None;
        // Whatever was given up before, the work has gone on.
        let done = work.load(Ordering::Relaxed).wrapping_add(ONE_DONE) & !GIVEN_UP;
        work.store(done, Ordering::Relaxed);
    }
    polled
}

impl<T: Future> Future for Within<'_, T> {
    type Output = T::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<T::Output> {
        let this = self.project();
        let _scope = Scope::enter(*this.context);
        let inner = this.inner.as_pin_mut().expect("it is taken away only when this is dropped");
        poll_work(*this.work, this.begun, || inner.poll(cx), Poll::is_ready)
    }
}

#[cfg(feature = "stream")]
impl<T: futures_core::Stream> futures_core::Stream for Within<'_, T> {
    type Item = T::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<T::Item>> {
        let this = self.project();
        let _scope = Scope::enter(*this.context);
        let inner = this.inner.as_pin_mut().expect("it is taken away only when this is dropped");
        poll_work(
            *this.work,
            this.begun,
            || inner.poll_next(cx),
            |polled| matches!(polled, Poll::Ready(None)),
        )
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.as_ref().map_or((0, Some(0)), T::size_hint)
    }
}
