//! The fields of a span or an event, formatted before anything is locked.
//!
//! To format a value is to run code of the program: it may log, open spans, panic, or never come to an end. So it is done first, into
//! buffers of the thread's, up to a limit. What is set on the span then is plain data.

use std::cell::Cell;
use std::error::Error;
use std::fmt::{self, Write};
use std::ops::Range;

use ::tracing::field::{Field, Visit};

use crate::caught::caught;
use crate::failure;

/// How many bytes of text are formatted at once: more than a span takes from a ring of the usual size.
const TEXT_LEN_MAX: usize = 4 << 20;
/// How much room a thread keeps for the next time.
const TEXT_KEPT: usize = 64 << 10;

/// What was recorded, by name.
#[derive(Debug, Default)]
pub(super) struct Values {
    text: String,
    fields: Vec<(&'static str, Value)>,
    /// How many values were cut, since they were too long or their formatting failed.
    pub(super) cut: u32,
}

/// A value; what is text lies in the text of all.
#[derive(Debug)]
enum Value {
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(Range<usize>),
    Bytes(Vec<u8>),
    Error { message: Range<usize>, type_name: Option<String>, causes: Vec<String> },
}

/// A value, to be set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen<'a> {
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Error { message: &'a str, type_name: Option<&'a str>, causes: &'a [String] },
}

thread_local! {
    static SPARE: Cell<Option<Values>> = const { Cell::new(None) };
}

impl Values {
    /// Calls `visit` with what takes the values, and then `then` with those.
    pub(super) fn collect<T>(visit: impl FnOnce(&mut dyn Visit), then: impl FnOnce(&Values) -> T) -> T {
        // None to spare where one collects while another one does, and where the thread is ending.
        let mut values = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
        visit(&mut values);
        let result = then(&values);
        values.text.clear();
        values.text.shrink_to(TEXT_KEPT);
        values.fields.clear();
        values.cut = 0;
        let _ending = SPARE.try_with(|spare| spare.set(Some(values)));
        result
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, Seen<'_>)> {
        self.fields.iter().map(|(name, value)| {
            let seen = match value {
                Value::Bool(value) => Seen::Bool(*value),
                Value::I64(value) => Seen::I64(*value),
                Value::U64(value) => Seen::U64(*value),
                Value::F64(value) => Seen::F64(*value),
                Value::Text(at) => Seen::Text(&self.text[at.clone()]),
                Value::Bytes(bytes) => Seen::Bytes(bytes),
                Value::Error { message, type_name, causes } => Seen::Error {
                    message: &self.text[message.clone()],
                    type_name: type_name.as_deref(),
                    causes,
                },
            };
            (*name, seen)
        })
    }

    /// The text with this name.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(of, seen)| match seen {
            Seen::Text(text) if of == name => Some(text),
            _ => None,
        })
    }

    /// The number with this name.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.iter().find_map(|(of, seen)| match seen {
            Seen::U64(number) if of == name => Some(number),
            Seen::I64(number) if of == name => u64::try_from(number).ok(),
            _ => None,
        })
    }

    fn add(&mut self, field: &Field, value: Value) {
        self.fields.push((field.name(), value));
    }

    /// Formats something, and says where it stands.
    fn format(&mut self, arguments: fmt::Arguments<'_>) -> Range<usize> {
        let start = self.text.len();
        let mut bounded = Bounded(&mut self.text);
        if !matches!(caught(|| bounded.write_fmt(arguments)), Some(Ok(()))) {
            self.cut += 1;
        }
        start..self.text.len()
    }
}

impl Visit for Values {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, Value::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, Value::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, Value::U64(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Value::F64(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let start = self.text.len();
        self.cut += u32::from(Bounded(&mut self.text).write_str(value).is_err());
        self.add(field, Value::Text(start..self.text.len()));
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        let kept = &value[..value.len().min(TEXT_LEN_MAX)];
        self.cut += u32::from(kept.len() < value.len());
        self.add(field, Value::Bytes(kept.to_owned()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let message = self.format(format_args!("{value}"));
        let mut causes = Vec::new();
        for cause in failure::causes(value) {
            let cause = self.format(format_args!("{cause}"));
            causes.push(self.text[cause.clone()].to_owned());
            self.text.truncate(cause.start);
        }
        let type_name = failure::type_of(value);
        self.add(field, Value::Error { message, type_name, causes });
    }

    // Integers of 128 bits come here too.
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = self.format(format_args!("{value:?}"));
        self.add(field, Value::Text(text));
    }
}

/// Text that does not grow beyond the limit.
struct Bounded<'a>(&'a mut String);

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let kept = text.floor_char_boundary(TEXT_LEN_MAX - self.0.len());
        self.0.push_str(&text[..kept]);
        if kept < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// What must be known of a span before it starts.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) name: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) operation: Option<String>,
}

impl Head {
    fn place(&mut self, field: &Field) -> Option<&mut Option<String>> {
        match field.name() {
            super::OTEL_NAME => Some(&mut self.name),
            crate::names::KIND => Some(&mut self.kind),
            crate::names::OPERATION_NAME => Some(&mut self.operation),
            _ => None,
        }
    }
}

impl Visit for Head {
    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(place) = self.place(field) {
            *place = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if let Some(place) = self.place(field) {
            let mut values = Values::default();
            let text = values.format(format_args!("{value:?}"));
            *place = Some(values.text[text].to_owned());
        }
    }
}
