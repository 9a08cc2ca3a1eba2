//! Tables of a configuration, read key by key, so that each mistake is told with its place.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::error::{ConfigError, Fault, Place};
use crate::quantity;

/// The text that is read, and the file that it stands in.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

/// A table of it.
pub(super) struct Table<'a> {
    pub(super) source: Source<'a>,
    /// What it is called.
    pub(super) name: &'static str,
    pub(super) span: Range<usize>,
    pub(super) keys: &'a DeTable<'a>,
}

/// A value, with where it stands.
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl Source<'_> {
    pub(super) fn place(self, offset: usize) -> Place {
        place(self.text.as_bytes(), offset)
    }

    pub(super) fn error(self, span: &Range<usize>, fault: Fault) -> ConfigError {
        ConfigError { path: self.path.to_owned(), place: Some(self.place(span.start)), fault }
    }
}

/// Where this byte stands in a text.
pub(super) fn place(text: &[u8], offset: usize) -> Place {
    let before = &text[..offset.min(text.len())];
    let line_start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    // The beginnings of characters; the others are continuations.
    let column = before[line_start..].iter().filter(|&&byte| byte & 0xc0 != 0x80).count() + 1;
    Place { line, column }
}

impl<'a> Table<'a> {
    /// Refuses the first key in it that is not among those that are known.
    pub(super) fn check(&self, known: &'static [&'static str]) -> Result<(), ConfigError> {
        let is_unknown = |key: &&Spanned<_>| !known.contains(&AsRef::<str>::as_ref(key.get_ref()));
        match self.keys.keys().filter(is_unknown).min_by_key(|key| key.span().start) {
            None => Ok(()),
            Some(unknown) => {
                let key = unknown.get_ref().clone().into_owned();
                Err(self.source.error(&unknown.span(), Fault::UnknownKey { key, table: self.name, known }))
            }
        }
    }

    /// Where a key stands, if it is there.
    pub(super) fn key(&self, key: &str) -> Option<Range<usize>> {
        self.keys.get_key_value(key).map(|(key, _)| key.span())
    }

    /// An error about the key, which is there.
    pub(super) fn error(&self, key: &str, fault: Fault) -> ConfigError {
        self.source.error(&self.key(key).unwrap_or_else(|| self.span.clone()), fault)
    }

    pub(super) fn required<T>(&self, key: &'static str, value: Option<T>) -> Result<T, ConfigError> {
        value.ok_or_else(|| self.source.error(&self.span, Fault::Missing { key, table: self.name }))
    }

    /// The value of a key, if it is there, as `read` understands it or says what it should be.
    pub(super) fn value<T>(
        &self,
        key: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Result<T, &'static str>,
    ) -> Result<Option<Placed<T>>, ConfigError> {
        let Some(value) = self.keys.get(key) else { return Ok(None) };
        match read(value.get_ref()) {
            Ok(read) => Ok(Some(Placed { value: read, span: value.span() })),
            Err(expected) => {
                Err(self.source.error(&value.span(), Fault::Unfit { key: key.to_owned(), expected }))
            }
        }
    }

    /// The same without its place.
    pub(super) fn plain<T>(
        &self,
        key: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Result<T, &'static str>,
    ) -> Result<Option<T>, ConfigError> {
        Ok(self.value(key, read)?.map(|placed| placed.value))
    }
}

pub(super) fn text<'a>(value: &'a DeValue<'a>) -> Result<&'a str, &'static str> {
    match value {
        DeValue::String(text) if !text.is_empty() => Ok(text),
        _ => Err("it is a text in quotes, and not an empty one"),
    }
}

/// What a text in quotes says, as `parse` reads it.
pub(super) fn quoted<T>(
    parse: impl FnOnce(&str) -> Result<T, &'static str>,
    expected: &'static str,
) -> impl FnOnce(&DeValue<'_>) -> Result<T, &'static str> {
    move |value| match value {
        DeValue::String(text) => parse(text),
        _ => Err(expected),
    }
}

pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, &'static str> {
    quoted(quantity::duration, "a time is a text with the unit ms, s, m or h, as in \"30s\"")(value)
}

pub(super) fn size(value: &DeValue<'_>) -> Result<u64, &'static str> {
    quoted(quantity::size, "a size is a text with the unit KiB, MiB or GiB, as in \"100MiB\"")(value)
}

pub(super) fn truth(value: &DeValue<'_>) -> Result<bool, &'static str> {
    match value {
        DeValue::Boolean(truth) => Ok(*truth),
        _ => Err("it is true or false"),
    }
}

/// A whole number above 0.
pub(super) fn count(value: &DeValue<'_>) -> Result<NonZeroUsize, &'static str> {
    let number = match value {
        DeValue::Integer(number) => usize::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    number.and_then(NonZeroUsize::new).ok_or("it is a whole number above 0")
}

pub(super) fn list<'a>(value: &'a DeValue<'a>) -> Result<&'a DeArray<'a>, &'static str> {
    match value {
        DeValue::Array(list) => Ok(list),
        _ => Err("each sink is a table of its own: [[sink]]"),
    }
}

/// A list of texts in quotes.
pub(super) fn texts<'a>(value: &'a DeValue<'a>) -> Result<Vec<&'a str>, &'static str> {
    const EXPECTED: &str = "it is a list of texts in quotes, as in [\"a\", \"b\"]";
    match value {
        DeValue::Array(list) => list.iter().map(|item| text(item.get_ref()).map_err(|_| EXPECTED)).collect(),
        _ => Err(EXPECTED),
    }
}

pub(super) fn table<'a>(value: &'a DeValue<'a>) -> Result<&'a DeTable<'a>, &'static str> {
    match value {
        DeValue::Table(table) => Ok(table),
        _ => Err("it is a table, as in { name = \"value\" }"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_line_and_the_character() {
        let text = "ab\nüx\r\n\ny";
        let expected =
            [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 2), (2, 3), (2, 4), (3, 1), (4, 1), (4, 2)];
        for (offset, (line, column)) in expected.into_iter().enumerate() {
            // Within a character counts as behind its first byte; no span begins there.
            assert_eq!(place(text.as_bytes(), offset), Place { line, column }, "byte {offset}");
        }
        assert_eq!(place(text.as_bytes(), usize::MAX), Place { line: 4, column: 2 });
        assert_eq!(place(b"", 3), Place { line: 1, column: 1 });
    }
}
