//! What a program has given to look at texts and values, and how it is called.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use crate::caught::caught;
use crate::control::{Control, Counter};
use crate::slot::floor_char_boundary;

/// How much is not recorded at the end of a text of which only the beginning was looked at, in bytes: no secret that begins there is
/// longer.
const MARGIN: usize = 64 << 10;

/// Takes out of texts what must not be recorded.
///
/// It is called on the thread that records, before anything is written. The crate `spanring-spool` has one for regular expressions.
/// A function that gives the text to be recorded, or `None` where all of it may be, is one too.
pub trait RedactText: Send + Sync {
    /// The text to be recorded in place of `text`, which is set under `key`: see [`Redaction::values`](super::Redaction::values). The key
    /// of a name or key itself is [`SPAN_NAME`](super::SPAN_NAME) or [`KEY`](super::KEY), and that of a message
    /// [`STATUS_MESSAGE`](crate::names::STATUS_MESSAGE).
    fn redact<'t>(&self, key: &str, text: &'t str) -> Cow<'t, str>;
}

impl<F: Fn(&str, &str) -> Option<String> + Send + Sync> RedactText for F {
    fn redact<'t>(&self, key: &str, text: &'t str) -> Cow<'t, str> {
        self(key, text).map_or(Cow::Borrowed(text), Cow::Owned)
    }
}

/// A value that is no map and no list.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    I64(i64),
    /// A whole number that is not negative.
    U64(u64),
    /// A number.
    F64(f64),
    /// Text.
    Text(&'a str),
    /// Bytes, or a whole number of 128 bits, the highest first.
    Bytes(&'a [u8]),
}

/// What becomes of a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is recorded.
    Keep,
    /// This text is recorded in its place.
    Replace(String),
    /// It is left out, and its key with it. A name or key is replaced by the marker, as there must be one.
    LeaveOut,
}

/// Decides about each value, given its key.
pub(super) type Decide = dyn Fn(&str, Value<'_>) -> Verdict + Send + Sync;

/// One thing that texts, or all values, pass through.
#[derive(Clone)]
pub(super) enum Step {
    Texts(Arc<dyn RedactText>),
    Values(Arc<Decide>),
}

/// A text as it is recorded.
#[derive(Debug)]
pub(super) struct Shown<'t> {
    pub(super) text: Cow<'t, str>,
    /// It goes on, but what follows was not looked at.
    pub(super) is_beginning: bool,
    pub(super) is_changed: bool,
}

/// How much of a text is looked at of which at most `max` bytes are recorded.
fn beginning_max(max: usize) -> usize {
    max.saturating_add(2 * MARGIN)
}

/// Passes a text through all steps, of which at most `max` bytes are recorded. `None`: it must not be recorded.
pub(super) fn through<'t>(
    steps: &[Step],
    control: &Control,
    key: &str,
    text: Cow<'t, str>,
    mut is_beginning: bool,
    max: usize,
) -> Option<Shown<'t>> {
    let mut text = text;
    if text.len() > beginning_max(max) {
        is_beginning = true;
        text = beginning(text, beginning_max(max));
    }
    let mut is_changed = false;
    for step in steps {
        let changed = match step {
            Step::Texts(redactor) => guarded(control, || match redactor.redact(key, &text) {
                same if *same == *text => None,
                other => Some(other.into_owned()),
            })?,
            Step::Values(decide) => match guarded(control, || decide(key, Value::Text(&text)))? {
                Verdict::Keep => None,
                Verdict::LeaveOut => return None,
                Verdict::Replace(other) => {
                    is_beginning = false;
                    Some(other)
                }
            },
        };
        if let Some(changed) = changed {
            is_changed = true;
            text = Cow::Owned(changed);
        }
    }
    if is_beginning {
        let len = text.len().saturating_sub(MARGIN);
        text = beginning(text, len);
    }
    Some(Shown { text, is_beginning, is_changed })
}

fn beginning(text: Cow<'_, str>, len: usize) -> Cow<'_, str> {
    let len = floor_char_boundary(&text, len);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..len]),
        Cow::Owned(mut text) => {
            text.truncate(len);
            Cow::Owned(text)
        }
    }
}

/// How a text ends that was gathered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Whole,
    /// It goes on, but no more of it is looked at.
    Cut,
    /// What displays it failed or panicked.
    Failed,
}

/// What `value` displays, or as much of it as is looked at.
pub(crate) fn gather(value: &dyn fmt::Display, max: usize) -> (String, End) {
    let mut gathered = Gathered { text: String::new(), left: beginning_max(max), is_cut: false };
    let displayed = caught(|| write!(gathered, "{value}").is_ok());
    let end = match displayed {
        Some(true) if !gathered.is_cut => End::Whole,
        _ if gathered.is_cut => End::Cut,
        _ => End::Failed,
    };
    (gathered.text, end)
}

struct Gathered {
    text: String,
    left: usize,
    is_cut: bool,
}

impl fmt::Write for Gathered {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nothing follows what was left out, however short it is.
        let kept = if self.is_cut { 0 } else { floor_char_boundary(text, self.left) };
        self.text.push_str(&text[..kept]);
        self.left -= kept;
        self.is_cut |= kept < text.len();
        if self.is_cut { Err(fmt::Error) } else { Ok(()) }
    }
}

thread_local! {
    /// Whether this thread is within a call of a step.
    static IS_ASKING: Cell<bool> = const { Cell::new(false) };
}

/// Asks a step. `None` where it panics, which is counted, and where it is asked by what a step sets itself.
pub(super) fn guarded<T>(control: &Control, ask: impl FnOnce() -> T) -> Option<T> {
    if IS_ASKING.replace(true) {
        return None;
    }
    let asked = caught(ask);
    IS_ASKING.set(false);
    if asked.is_none() {
        control.count(Counter::HooksFailed);
    }
    asked
}
