//! What a program that is instrumented imports: `use spanring::prelude::*`.
//!
//! The attribute `#[span]` is here, as a macro of the same name, [`span!`](crate::span!), is at the root of the crate.

pub use crate::in_span::InSpan;
pub use crate::{Context, Ended, Kind, Span, Tokens};
