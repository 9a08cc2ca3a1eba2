//! Whether recording is compiled in. With the feature `off` it is not: no span can be open, the compiler knows it, and leaves nothing of
//! a span in the program.

use std::ops::Deref;

/// Whether recording was compiled out, by the feature `off`: then no span is ever recorded.
pub const IS_COMPILED_OUT: bool = cfg!(feature = "off");

/// What a span has only when it is recorded, or lost. Where recording is compiled out there is no such value, and it takes no place.
#[cfg(not(feature = "off"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded<T>(T);

/// What a span has only when it is recorded, or lost. Where recording is compiled out there is no such value, and it takes no place.
#[cfg(feature = "off")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded<T>(std::convert::Infallible, std::marker::PhantomData<T>);

#[cfg(not(feature = "off"))]
impl<T> Recorded<T> {
    #[inline(always)]
    pub(crate) fn new(value: T) -> Option<Self> {
        Some(Recorded(value))
    }
}

#[cfg(feature = "off")]
impl<T> Recorded<T> {
    #[inline(always)]
    pub(crate) fn new(_: T) -> Option<Self> {
        None
    }
}

impl<T> Deref for Recorded<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        #[cfg(not(feature = "off"))]
        return &self.0;
        #[cfg(feature = "off")]
        match self.0 {}
    }
}
