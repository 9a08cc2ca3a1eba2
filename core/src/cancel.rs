//! Spans of work that may be given up halfway.

use std::ops::{Deref, DerefMut};
use std::thread;

use crate::context::Context;
use crate::span::Span;
use crate::{Ended, Status};

/// A span that is [cancelled](Status::Cancelled) where it is dropped: for futures, which are given up by being dropped.
///
/// A [`Span`] that is dropped is complete. In a future that is wrong, as it may be dropped at any `.await`: by a timeout, by a
/// `select!`, by the task being aborted.
///
/// ```
/// use spanring::InSpan;
///
/// # async fn chat(question: &str) -> Result<String, std::io::Error> { Ok(question.to_owned()) }
/// async fn ask() -> Result<String, std::io::Error> {
///     let call = spanring::llm("mistral-small").start().cancel_on_drop();
///     let reply = chat("why?").in_span(&call).await; // dropped here, the call is cancelled
///     call.keep().finish(reply)
/// }
/// ```
///
/// One that failed or was completed before it is dropped stays so, and one that is dropped by a panic has failed. The attribute
/// [`#[span]`](crate::prelude) does this for `async` functions.
#[must_use = "a span that is dropped at once is cancelled at once"]
#[derive(Debug)]
pub struct CancelOnDrop {
    /// Records nothing any more once it was taken out.
    span: Span,
}

impl Span {
    /// From now on the span is cancelled where it is dropped: see [`CancelOnDrop`].
    pub fn cancel_on_drop(self) -> CancelOnDrop {
        CancelOnDrop { span: self }
    }
}

impl CancelOnDrop {
    /// The span, which is complete where it is dropped.
    #[inline]
    pub fn keep(mut self) -> Span {
        std::mem::replace(&mut self.span, Span::off(Context::NONE))
    }

    /// Ends the span as a success: as [`Span::complete`].
    pub fn complete(self) -> Ended {
        self.keep().complete()
    }
}

impl Deref for CancelOnDrop {
    type Target = Span;

    #[inline]
    fn deref(&self) -> &Span {
        &self.span
    }
}

impl DerefMut for CancelOnDrop {
    #[inline]
    fn deref_mut(&mut self) -> &mut Span {
        &mut self.span
    }
}

impl Drop for CancelOnDrop {
    #[inline]
    fn drop(&mut self) {
        if self.span.is_recording() && self.span.status() == Status::Unset && !thread::panicking() {
            self.span.set_status(Status::Cancelled);
        }
    }
}
