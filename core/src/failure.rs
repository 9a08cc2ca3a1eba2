//! What can be said to have made a span fail.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::caught::caught;
use crate::names;
use crate::span::Span;

/// How many causes of an error are recorded.
const CAUSES_MAX: usize = 16;

/// A failure: any [`Error`], `Box<dyn Error>`, `anyhow::Error` and others that lend a `dyn Error`, references to these, and text.
///
/// Recorded are the message, up to 16 causes (`spanring.error.causes`), and the class of error (`error.type`):
///
/// | the error is | `error.type` |
/// |---|---|
/// | of a type that the compiler knows | its path, `shop::PaymentError` |
/// | one of the standard library's I/O, formatting or number errors, behind a `dyn Error` too | its public path, `std::io::Error` |
/// | another behind a `dyn Error` | what its `Debug` begins with, where that looks like a type's name: `PaymentError { … }` |
/// | another still, such as context that `anyhow` wraps around an error | that of its deepest cause |
/// | text | none |
///
/// `Via` tells the compiler which of these it is, and is never written out. For what can only be displayed, see
/// [`Span::finish_display`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an error that spanring can record",
    note = "for types that can only be displayed there is `Span::finish_display`, `#[span(err = display)]`, and `error(value.to_string())`"
)]
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
            name if name.contains("dyn ") => record_dyn(span, self, None),
            name => {
                // The standard library's errors lie in modules that are not public.
                span.error_type(PUBLIC_NAMES.iter().find(|of| of.0 == name).map_or(name, |of| of.1));
                record_chain(span, self);
            }
        }
    }
}

impl<E: AsRef<dyn Error>> Failure<ViaLent> for E {
    fn record(&self, span: &Span) {
        // A loan that panics leaves a failure without a message.
        _ = caught(|| record_lent(span, self.as_ref()));
    }
}

impl Failure<ViaBox> for Box<dyn Error + Send + Sync> {
    fn record(&self, span: &Span) {
        record_lent(span, &**self);
    }
}

impl Failure<ViaBox> for &Box<dyn Error + Send + Sync> {
    fn record(&self, span: &Span) {
        record_lent(span, &***self);
    }
}

impl Failure<ViaBox> for Box<dyn Error + Send> {
    fn record(&self, span: &Span) {
        record_lent(span, &**self);
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

/// Errors of the standard library: what the compiler calls them, and what everybody else does.
const PUBLIC_NAMES: [(&str, &str); 6] = [
    ("std::io::error::Error", "std::io::Error"),
    ("core::fmt::Error", "std::fmt::Error"),
    ("core::num::error::ParseIntError", "std::num::ParseIntError"),
    ("core::num::error::TryFromIntError", "std::num::TryFromIntError"),
    ("core::str::error::Utf8Error", "std::str::Utf8Error"),
    ("alloc::string::FromUtf8Error", "std::string::FromUtf8Error"),
];

fn record_lent(span: &Span, error: &(dyn Error + 'static)) {
    record_dyn(span, error, well_known(error));
}

/// Records an error whose type the compiler does not know.
fn record_dyn(span: &Span, error: &dyn Error, known: Option<&'static str>) {
    tell_type_or_deepest(error, known, |name| _ = span.error_type(name));
    record_chain(span, error);
}

/// The type of an error, where it can be told.
#[cfg(feature = "tracing")]
pub(crate) fn type_of(error: &(dyn Error + 'static)) -> Option<String> {
    let mut told = None;
    tell_type_or_deepest(error, well_known(error), |name| told = Some(name.to_owned()));
    told
}

/// What caused an error, the nearest first: as much as is recorded.
pub(crate) fn causes(error: &dyn Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(source_of(error), |cause| source_of(*cause)).take(CAUSES_MAX)
}

fn tell_type_or_deepest(error: &dyn Error, known: Option<&'static str>, mut tell: impl FnMut(&str)) {
    if !tell_type(error, known, &mut tell)
        && let Some(deepest) = causes(error).last()
    {
        tell_type(deepest, well_known(deepest), tell);
    }
}

/// Tells the type of an error: as it is known, else as a derived `Debug` begins with it. `false` where neither tells.
fn tell_type(error: &dyn Error, known: Option<&'static str>, mut tell: impl FnMut(&str)) -> bool {
    let mut name = Prefix { bytes: [0; 96], len: 0 };
    if known.is_none() {
        // The name is as long as it fits; a `Debug` that panics has none.
        let formatted = caught(|| _ = fmt::write(&mut name, format_args!("{error:?}")));
        if formatted.is_none() {
            return false;
        }
    }
    // What calls itself just an error wraps another.
    let name = known.or_else(|| name.type_name().filter(|name| *name != "Error"));
    if let Some(name) = name {
        tell(name);
    }
    name.is_some()
}

/// The name of an error of the standard library's.
fn well_known(error: &(dyn Error + 'static)) -> Option<&'static str> {
    macro_rules! known {
        ($($type:ty),*) => {
            $(if error.is::<$type>() {
                return Some(stringify!($type));
            })*
        };
    }
    known!(
        std::io::Error,
        std::fmt::Error,
        std::num::ParseIntError,
        std::num::ParseFloatError,
        std::num::TryFromIntError,
        std::str::Utf8Error,
        std::string::FromUtf8Error
    );
    None
}

fn record_chain(span: &Span, error: &dyn Error) {
    span.status_display(error);
    let mut source = source_of(error);
    for _ in 0..CAUSES_MAX {
        let Some(cause) = source else { break };
        span.set_display(names::ERROR_CAUSES, cause);
        source = source_of(cause);
    }
    if source.is_some() {
        span.count_left_out();
    }
}

/// What caused an error; `None` too where asking for it panics.
fn source_of(error: &dyn Error) -> Option<&(dyn Error + 'static)> {
    caught(|| error.source()).flatten()
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
