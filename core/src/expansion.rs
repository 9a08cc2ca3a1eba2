//! What the attribute [`#[span]`](crate::prelude) expands to: not for use by hand, and not part of what stays the same between versions.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll};

use pin_project_lite::pin_project;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::Status;
use crate::cancel::CancelOnDrop;
use crate::context::Context;
use crate::failure::Failure;
use crate::in_span::{InSpan, Within};
use crate::shared::SharedSpan;
use crate::span::Span;

/// A call of a function, and its span where it is recorded.
#[must_use]
#[derive(Debug)]
pub struct Call {
    span: Option<CancelOnDrop>,
}

impl Call {
    /// A call that is recorded as this span.
    #[inline]
    pub fn of(span: Span) -> Self {
        Call { span: Some(span.cancel_on_drop()) }
    }

    /// A call that nobody wants to see.
    #[inline]
    pub fn unrecorded() -> Self {
        Call { span: None }
    }

    /// What the call's work is done within, if anything.
    #[inline]
    pub fn context(&self) -> Option<Context> {
        self.span.as_ref().map(|span| span.context())
    }

    /// The span, if there is one.
    #[inline]
    pub fn span(&self) -> Option<&Span> {
        self.span.as_deref()
    }

    /// The span, for a body that has a name for it: where there is none, one that records nothing.
    pub fn span_mut(&mut self) -> &mut Span {
        self.span.get_or_insert_with(|| Span::disabled().cancel_on_drop())
    }

    /// Ends the span: the call was not given up.
    #[inline]
    pub fn end(self) {
        if let Some(span) = self.span {
            // Not dropped, which may mean more. Whether it was recorded is counted.
            _ = span.keep().end();
        }
    }
}

/// Calls `body` within the span of this context.
#[inline]
pub fn within<T>(context: Option<Context>, body: impl FnOnce() -> T) -> T {
    match context {
        Some(context) => context.in_scope(body),
        None => body(),
    }
}

pin_project! {
    /// The body of an `async` function.
    #[project = Project]
    #[derive(Debug)]
    #[must_use = "a future does nothing before it is awaited"]
    pub enum Body<F> {
        Recorded { #[pin] body: Within<'static, F> },
        Unrecorded { #[pin] body: F },
    }
}

impl<F: Future> Body<F> {
    /// Runs within the span of this context.
    #[inline]
    pub fn new(context: Option<Context>, body: F) -> Self {
        match context {
            Some(context) => Body::Recorded { body: body.in_context(context) },
            None => Body::Unrecorded { body },
        }
    }
}

impl<F: Future> Future for Body<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        match self.project() {
            Project::Recorded { body } => body.poll(cx),
            Project::Unrecorded { body } => body.poll(cx),
        }
    }
}

/// What a function with the option `err` returns: a value or an error.
#[diagnostic::on_unimplemented(
    message = "`err` needs a function that returns a `Result`",
    label = "this is not a `Result`"
)]
pub trait Outcome<T, E> {
    /// The one or the other.
    ///
    /// # Errors
    ///
    /// What went wrong.
    fn outcome(&self) -> Result<&T, &E>;
}

impl<T, E> Outcome<T, E> for Result<T, E> {
    #[inline]
    fn outcome(&self) -> Result<&T, &E> {
        self.as_ref()
    }
}

/// Whether a result is a success, and of what.
///
/// # Errors
///
/// The result's own.
#[inline]
pub fn outcome<T, E>(result: &impl Outcome<T, E>) -> Result<&T, &E> {
    result.outcome()
}

/// The work succeeded.
#[inline]
pub fn succeed(span: &Span) {
    span.set_status(Status::Ok);
}

/// The work failed.
pub fn fail<E: Failure<Via>, Via>(span: &Span, error: &E) {
    span.record_failure(error);
}

/// The work failed with what can only be displayed.
pub fn fail_display<E: fmt::Display>(span: &Span, error: &E) {
    span.record_display(error);
}

/// Where a span can belong.
#[diagnostic::on_unimplemented(message = "`parent` needs a `Context` or a span, and not `{Self}`")]
pub trait Parent {
    /// Its identities.
    fn context_of(&self) -> Context;
}

impl Parent for Context {
    fn context_of(&self) -> Context {
        *self
    }
}

impl Parent for Span {
    fn context_of(&self) -> Context {
        self.context()
    }
}

impl Parent for CancelOnDrop {
    fn context_of(&self) -> Context {
        self.context()
    }
}

impl Parent for SharedSpan {
    fn context_of(&self) -> Context {
        self.context()
    }
}

impl<P: Parent + ?Sized> Parent for &P {
    fn context_of(&self) -> Context {
        (**self).context_of()
    }
}

impl<P: Parent + ?Sized> Parent for &mut P {
    fn context_of(&self) -> Context {
        (**self).context_of()
    }
}

/// Where a span belongs that is said to be under this.
pub fn context_of(parent: &impl Parent) -> Context {
    parent.context_of()
}

/// A value that a field can be set to without being taken from whoever has it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a value that `fields` takes as it is",
    note = "`%value` records it by `Display`, `?value` by `Debug`, and `#value` by `serde::Serialize`"
)]
pub trait Field {
    /// Sets it.
    fn set_on(&self, span: &Span, key: &'static str);
}

macro_rules! field {
    ($($type:ty),* => |$value:ident| $attribute:expr) => {$(
        impl Field for $type {
            #[inline]
            fn set_on(&self, span: &Span, key: &'static str) {
                let $value = self;
                span.set(key, $attribute);
            }
        }
    )*};
}

field!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, f32, f64, bool => |value| *value);
field!(str, String, [u8], Vec<u8> => |value| value);

impl Field for Cow<'_, str> {
    fn set_on(&self, span: &Span, key: &'static str) {
        span.set(key, &**self);
    }
}

impl<const N: usize> Field for [u8; N] {
    fn set_on(&self, span: &Span, key: &'static str) {
        span.set(key, self);
    }
}

impl<T: Field> Field for Option<T> {
    fn set_on(&self, span: &Span, key: &'static str) {
        if let Some(value) = self {
            value.set_on(span, key);
        }
    }
}

macro_rules! pointer {
    ($($type:ty),*) => {$(
        impl<T: Field + ?Sized> Field for $type {
            #[inline]
            fn set_on(&self, span: &Span, key: &'static str) {
                (**self).set_on(span, key);
            }
        }
    )*};
}

pointer!(&T, &mut T, Box<T>, Rc<T>, Arc<T>);

/// Sets a field.
#[inline]
pub fn set(span: &Span, key: &'static str, value: &impl Field) {
    value.set_on(span, key);
}

/// An argument by its name and value, and those after it.
#[derive(Debug)]
pub struct Argument<'a, T: ?Sized, Rest>(&'static str, &'a T, Rest);

/// An argument before others.
#[inline]
pub fn argument<'a, T: Serialize + ?Sized, Rest>(
    name: &'static str,
    value: &'a T,
    rest: Rest,
) -> Argument<'a, T, Rest> {
    Argument(name, value, rest)
}

/// A call's arguments, as a map.
#[derive(Debug)]
pub struct Arguments<A>(pub A);

/// Some arguments.
pub trait Entries {
    /// How many they are.
    const COUNT: usize;

    /// Puts them into a map.
    ///
    /// # Errors
    ///
    /// Those of the map.
    fn put<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

impl Entries for () {
    const COUNT: usize = 0;

    fn put<M: SerializeMap>(&self, _: &mut M) -> Result<(), M::Error> {
        Ok(())
    }
}

impl<T: Serialize + ?Sized, Rest: Entries> Entries for Argument<'_, T, Rest> {
    const COUNT: usize = 1 + Rest::COUNT;

    fn put<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry(self.0, self.1)?;
        self.2.put(map)
    }
}

impl<A: Entries> Serialize for Arguments<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(A::COUNT))?;
        self.0.put(&mut map)?;
        map.end()
    }
}
