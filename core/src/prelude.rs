//! What a program that is instrumented imports: `use spanring::prelude::*`.
//!
//! ```
//! use spanring::prelude::*;
//!
//! # #[cfg(feature = "macros")]
//! #[span(kind = tool, args, err)]
//! fn search(query: &str) -> Result<Vec<String>, std::io::Error> {
//!     std::fs::read_dir("/dev")?.filter(|_| !query.is_empty()).map(|entry| Ok(entry?.path().display().to_string())).collect()
//! }
//! ```
//!
//! The attribute `#[span]` is here, and not at the root of the crate, where [`span!`](crate::span!) has that name. All of them, and the
//! function [`span()`](crate::span()), can be imported into one module: what is used as an attribute is found as an attribute.

#[cfg(feature = "macros")]
pub use spanring_macros::span;

pub use crate::in_span::InSpan;
pub use crate::{CancelOnDrop, Context, Ended, Kind, Span, Tokens};
