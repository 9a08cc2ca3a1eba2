//! What can be said to have made a span fail.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::names;
use crate::span::Span;

/// How many causes of an error are recorded.
const CAUSES_MAX: usize = 16;

/// A failure: any [`Error`], `Box<dyn Error>`, `anyhow::Error` and others that lend a `dyn Error`, and text.
///
/// `Via` tells the compiler which of these it is, and is never written out. For what can only be displayed, see
/// [`Span::finish_display`].
pub trait Failure<Via> {
    #[doc(hidden)]
    fn record(&self, span: &Span);
}

/// It is an [`Error`].
#[doc(hidden)]
#[derive(Debug)]
pub struct ViaError;

/// It lends an [`Error`].
#[doc(hidden)]
#[derive(Debug)]
pub struct ViaLent;

/// It is a box of an [`Error`] that can be sent.
#[doc(hidden)]
#[derive(Debug)]
pub struct ViaBox;

/// It is text.
#[doc(hidden)]
#[derive(Debug)]
pub struct ViaText;

impl<E: Error> Failure<ViaError> for E {
    fn record(&self, span: &Span) {
        match std::any::type_name::<E>().trim_start_matches('&') {
            // A pointer says nothing about the error behind it.
            name if name.contains("dyn ") => record_dyn(span, self),
            name => {
                span.error_type(name);
                record_chain(span, self);
            }
        }
    }
}

impl<E: AsRef<dyn Error>> Failure<ViaLent> for E {
    fn record(&self, span: &Span) {
        // A loan that panics leaves a failure without a message.
        _ = catch_unwind(AssertUnwindSafe(|| record_dyn(span, self.as_ref())));
    }
}

impl Failure<ViaBox> for Box<dyn Error + Send + Sync> {
    fn record(&self, span: &Span) {
        record_dyn(span, &**self);
    }
}

impl Failure<ViaBox> for Box<dyn Error + Send> {
    fn record(&self, span: &Span) {
        record_dyn(span, &**self);
    }
}

impl Failure<ViaText> for &str {
    fn record(&self, span: &Span) {
        span.status_message(self);
    }
}

impl Failure<ViaText> for String {
    fn record(&self, span: &Span) {
        span.status_message(self);
    }
}

impl Failure<ViaText> for &String {
    fn record(&self, span: &Span) {
        span.status_message(self);
    }
}

impl Failure<ViaText> for Cow<'_, str> {
    fn record(&self, span: &Span) {
        span.status_message(self);
    }
}

/// Records an error whose type the compiler does not know: its `Debug` begins with the type's name where it is derived.
fn record_dyn(span: &Span, error: &dyn Error) {
    let mut name = Prefix { bytes: [0; 96], len: 0 };
    // The name is as long as it fits; a `Debug` that panics has none.
    let formatted = catch_unwind(AssertUnwindSafe(|| _ = fmt::write(&mut name, format_args!("{error:?}"))));
    if formatted.is_ok()
        && let Some(name) = name.type_name()
    {
        span.error_type(name);
    }
    record_chain(span, error);
}

fn record_chain(span: &Span, error: &dyn Error) {
    span.status_display(error);
    let mut source = source_of(error);
    for _ in 0..CAUSES_MAX {
        let Some(cause) = source else { break };
        span.set_display(names::ERROR_CAUSES, cause);
        source = source_of(cause);
    }
}

/// What caused an error; `None` too where asking for it panics.
fn source_of(error: &dyn Error) -> Option<&(dyn Error + 'static)> {
    catch_unwind(AssertUnwindSafe(|| error.source())).ok().flatten()
}

/// The beginning of a text.
struct Prefix {
    bytes: [u8; 96],
    len: usize,
}

impl Prefix {
    /// The name of a type at the beginning, as derived `Debug`s have it: `ParseIntError { … }`.
    fn type_name(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.bytes[..self.len]).ok()?;
        let end = text.find(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        let is_followed_as_types_are =
            rest.is_empty() || rest.starts_with(" {") || rest.starts_with('(') || rest.starts_with('{');
        (name.starts_with(|first: char| first.is_ascii_uppercase()) && is_followed_as_types_are)
            .then_some(name)
    }
}

impl fmt::Write for Prefix {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len;
        let kept = text.floor_char_boundary(room);
        self.bytes[self.len..self.len + kept].copy_from_slice(&text.as_bytes()[..kept]);
        self.len += kept;
        if kept < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn type_name(debug: &str) -> Option<String> {
        let mut prefix = Prefix { bytes: [0; 96], len: 0 };
        let _cut = prefix.write_str(debug).is_err();
        prefix.type_name().map(str::to_owned)
    }

    #[test]
    fn the_name_of_a_type_is_found_where_debug_is_derived() {
        assert_eq!(type_name("ParseIntError { kind: InvalidDigit }").as_deref(), Some("ParseIntError"));
        assert_eq!(type_name("Elapsed(())").as_deref(), Some("Elapsed"));
        assert_eq!(type_name("Unit").as_deref(), Some("Unit"));
        for text in ["", "\"text\"", "no type", "Not a type either", "\u{e9}"] {
            assert_eq!(type_name(text), None, "{text:?}");
        }
        assert_eq!(type_name(&"A".repeat(200)), Some("A".repeat(96)));
    }
}
