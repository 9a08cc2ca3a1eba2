//! What of the values is recorded: redaction, and whether content is.
//!
//! Rings and tables are files already, so what must not be on disk is taken out before it gets there, on the thread that records.
//!
//! ```
//! use spanring::redaction::{Capture, Redaction, SECRET_KEYS, Value, Verdict};
//!
//! let redaction = Redaction::new()
//!     .keys(SECRET_KEYS)                        // `{"auth": {"password": "x"}}` becomes `{"auth": {"password": "[redacted]"}}`
//!     .leave_out("debug.*")                     // keys and values are not there at all
//!     .texts(|_: &str, text: &str| Some(text.replace("acme", "a customer")).filter(|shown| shown != text))
//!     .values(|key, value| match value {
//!         Value::F64(_) if key.ends_with(".salary") => Verdict::LeaveOut,
//!         _ => Verdict::Keep,
//!     })
//!     .capture(Capture::NoContent);             // no prompts, completions, arguments, results, documents
//! # drop(redaction);
//! ```
//!
//! # What it reaches
//!
//! | | keys | texts | values |
//! |---|---|---|---|
//! | attributes of spans, events and links, of whatever type | ✓ | ✓ | ✓ |
//! | what lies within them: maps, structs, variants, lists | ✓ | ✓ | ✓ |
//! | status messages, the messages and causes of errors | ✓ | ✓ | ✓ |
//! | names of spans and events, keys of attributes and maps, made at run time | | ✓ | ✓ |
//! | bytes | ✓ | | ✓ |
//!
//! Literals are names and keys of the program's own, and are not looked at; nor are identities, times, kinds, statuses, and the names of
//! fields and variants. A message that is only displayed is gathered before it is looked at, so what is written in pieces is found.
//! Text within text, such as JSON that is a string, is text: only patterns find what is in it.
//!
//! Texts are looked at as they were set, and cut after that. Of a text that is far longer than a span can hold, only the beginning is
//! looked at and recorded, and its last 64 KiB are not: what a pattern finds may begin there.
//!
//! # What it promises
//!
//! * What is replaced or left out was never in a ring or table. Each value counts once in
//!   [`Counters::redacted`](crate::recorder::Counters::redacted); what lies within one that is replaced or left out does not count.
//! * A redactor that panics has kept the value out: it is left out, a name or key is replaced, and that is counted in
//!   [`Counters::hooks_failed`](crate::recorder::Counters::hooks_failed). The panic goes no further. What a redactor sets on spans itself
//!   is left out where it would have to be asked.
//!
//! # What it costs
//!
//! Without a redaction, one branch for each value. With one, matching an attribute's key against each pattern; texts and values are passed
//! to what was given here; and memory is allocated for a nested value (the path of its keys), for names and messages that are looked at,
//! for what is displayed, and for what is replaced.

mod capture;
mod keys;
mod steps;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

pub use capture::Capture;
pub(crate) use keys::Fate;
pub use keys::KeyPattern;
pub(crate) use steps::{End, gather};
pub use steps::{RedactText, Value, Verdict};
use steps::{Shown, Step, guarded, through};

use crate::control::{Control, Counter};
use crate::names::{self, Class};

/// The key under which names of spans are passed to redactors.
pub const SPAN_NAME: &str = "spanring.name";
/// The key under which names of events, and keys, are passed to redactors.
pub const KEY: &str = "spanring.key";

/// Keys that usually hold secrets, for [`Redaction::keys`].
pub const SECRET_KEYS: &[&str] = &[
    "*password",
    "*passwd",
    "*passphrase",
    "pwd",
    "*secret",
    "*secret_key",
    "*api_key",
    "*access_key",
    "*private_key",
    "*signing_key",
    "*encryption_key",
    "*access_token",
    "*refresh_token",
    "*id_token",
    "*auth_token",
    "*bearer_token",
    "*session_token",
    "token",
    "bearer",
    "*authorization",
    "*cookie",
    "*credential",
    "*credentials",
    "*connection_string",
];

/// What of the values is recorded. See [the module](self).
#[derive(Clone)]
#[must_use = "nothing is redacted before a recorder has it"]
pub struct Redaction {
    keys: Vec<(KeyPattern, Fate)>,
    steps: Vec<Step>,
    content_keys: Vec<KeyPattern>,
    capture: Capture,
    marker: Arc<str>,
}

/// What becomes of a value.
#[derive(Debug)]
pub(crate) enum Judged<'v> {
    Kept,
    /// It is this text, or only begins so.
    Text(Cow<'v, str>, bool),
    LeftOut,
}

impl Default for Redaction {
    fn default() -> Self {
        Redaction::new()
    }
}

impl Redaction {
    /// All is recorded.
    pub fn new() -> Self {
        Redaction {
            keys: Vec::new(),
            steps: Vec::new(),
            content_keys: Vec::new(),
            capture: Capture::Full,
            marker: "[redacted]".into(),
        }
    }

    /// Replaces the values of these keys by a marker, whatever their type, before they are encoded.
    ///
    /// The pattern is a whole key, or its last parts after a dot: `password` is also `db.password`. A nested key is a part behind the key
    /// of its map, so it is the `password` of `{"auth": {"password": "x"}}` too, and `auth.password` is that one. `*` stands for any text.
    /// Upper and lower case are the same, and `-`, `_` and space do not count: `api_key` is `Api-Key` and `apiKey`.
    pub fn key(mut self, pattern: &str) -> Self {
        self.keys.push((KeyPattern::new(pattern), Fate::Replaced));
        self
    }

    /// [`key`](Self::key) for several patterns: see [`SECRET_KEYS`].
    pub fn keys<P: AsRef<str>>(self, patterns: impl IntoIterator<Item = P>) -> Self {
        patterns.into_iter().fold(self, |redaction, pattern| redaction.key(pattern.as_ref()))
    }

    /// Leaves these keys out, with their values. The pattern is one as for [`key`](Self::key), and wins over that. A message is left out
    /// too; a name never is.
    pub fn leave_out(mut self, pattern: &str) -> Self {
        self.keys.push((KeyPattern::new(pattern), Fate::LeftOut));
        self
    }

    /// Passes every text through `redactor`, after those that were given before.
    pub fn texts(mut self, redactor: impl RedactText + 'static) -> Self {
        self.steps.push(Step::Texts(Arc::new(redactor)));
        self
    }

    /// Asks `decide` about every value that is no map and no list, with its key, and the keys of what it lies in before that:
    /// `spanring.input.auth.password`. Of what is there: a null is not asked about. It comes after what was given before.
    pub fn values(mut self, decide: impl Fn(&str, Value<'_>) -> Verdict + Send + Sync + 'static) -> Self {
        self.steps.push(Step::Values(Arc::new(decide)));
        self
    }

    /// Whether content is recorded. Said several times, the strictest counts: so what is said last can turn content off, and not on.
    pub fn capture(mut self, capture: Capture) -> Self {
        self.capture = self.capture.max(capture);
        self
    }

    /// Says that these keys of the program's own hold content too. The pattern is one as for [`key`](Self::key), of attributes.
    pub fn content_key(mut self, pattern: &str) -> Self {
        self.content_keys.push(KeyPattern::new(pattern));
        self
    }

    /// What stands for a value that is replaced: `[redacted]` unless said otherwise.
    pub fn marker(mut self, marker: &str) -> Self {
        self.marker = marker.into();
        self
    }

    /// What stands for a value that is replaced.
    pub(crate) fn mark(&self) -> &str {
        &self.marker
    }

    /// Whether values are looked at, and not just keys.
    pub(crate) fn looks_at_values(&self) -> bool {
        !self.steps.is_empty()
    }

    /// How much of what is set under `key` is recorded.
    pub(crate) fn class(&self, key: &str) -> Class {
        let is_content = || self.content_keys.iter().any(|pattern| pattern.matches(key));
        match self.capture.class(key) {
            Class::About if self.capture == Capture::NoContent && is_content() => Class::Content,
            class => class,
        }
    }

    /// What becomes of a value because of its key, and the keys before it.
    pub(crate) fn fate(&self, path: &str) -> Fate {
        let of = |path: &str| {
            let fates = self.keys.iter().filter(|(key, _)| key.matches(path)).map(|(_, fate)| *fate);
            fates.max().unwrap_or_default()
        };
        // It may become the input.
        let as_input =
            path.strip_prefix(names::DEFAULT_INPUT).map(|within| format!("{}{within}", names::INPUT));
        of(path).max(as_input.map_or_else(Fate::default, |path| of(&path)))
    }

    /// Whether a value is not recorded as it is because of its key.
    #[cfg(feature = "tracing")]
    pub(crate) fn withholds(&self, key: &str) -> bool {
        self.class(key) != Class::About || self.fate(key) != Fate::Recorded
    }

    /// What becomes of an attribute that is no map and no list, or of a message. At most `max` bytes of a text are recorded.
    pub(crate) fn attribute<'v>(
        &self,
        control: &Control,
        key: &str,
        value: Value<'v>,
        max: usize,
    ) -> Judged<'v> {
        if let Some(fate) = self.by_key(control, key) {
            return fate;
        }
        self.value(control, key, value, max)
    }

    /// What becomes of an attribute or message because of its key; `None` where that says nothing.
    pub(crate) fn by_key<'v>(&self, control: &Control, key: &str) -> Option<Judged<'v>> {
        let fate = match self.class(key) {
            Class::About => self.fate(key),
            Class::Content | Class::Mixed(_) => Fate::LeftOut,
        };
        self.judged(control, fate)
    }

    /// What a fate comes to, counted.
    pub(crate) fn judged<'v>(&self, control: &Control, fate: Fate) -> Option<Judged<'v>> {
        match fate {
            Fate::Recorded => return None,
            Fate::Replaced | Fate::LeftOut => control.count(Counter::Redacted),
        }
        let replaced = || Judged::Text(Cow::Owned(self.mark().to_owned()), false);
        Some(if fate == Fate::Replaced { replaced() } else { Judged::LeftOut })
    }

    /// What becomes of a value whose key says nothing.
    pub(crate) fn value<'v>(&self, control: &Control, key: &str, value: Value<'v>, max: usize) -> Judged<'v> {
        if self.steps.is_empty() {
            return Judged::Kept;
        }
        if let Value::Text(text) = value {
            return self.text(control, key, Cow::Borrowed(text), false, max);
        }
        if !self.steps.iter().any(|step| matches!(step, Step::Values(_))) {
            return Judged::Kept;
        }
        match guarded(control, || self.other(key, value)) {
            Some(Verdict::Keep) => Judged::Kept,
            // The text in a number's place is text as any other.
            Some(Verdict::Replace(text)) => {
                let shown = through(&self.steps, control, key, Cow::Owned(text), false, max);
                self.shown(control, shown.map(|shown| Shown { is_changed: true, ..shown }))
            }
            Some(Verdict::LeaveOut) | None => self.shown(control, None),
        }
    }

    /// What becomes of a text whose key says nothing, of which this may be only the beginning.
    pub(crate) fn text<'v>(
        &self,
        control: &Control,
        key: &str,
        text: Cow<'v, str>,
        is_beginning: bool,
        max: usize,
    ) -> Judged<'v> {
        self.shown(control, through(&self.steps, control, key, text, is_beginning, max))
    }

    /// What is shown of a text, counted if it is not the text.
    fn shown<'v>(&self, control: &Control, shown: Option<Shown<'v>>) -> Judged<'v> {
        if shown.as_ref().is_none_or(|shown| shown.is_changed) {
            control.count(Counter::Redacted);
        }
        match shown {
            Some(shown) => Judged::Text(shown.text, shown.is_beginning),
            None => Judged::LeftOut,
        }
    }

    /// A name or key, of which at most `max` bytes are recorded.
    pub(crate) fn name<'t>(
        &self,
        control: &Control,
        key: &str,
        text: Cow<'t, str>,
        max: usize,
    ) -> Cow<'t, str> {
        if self.steps.is_empty() {
            return text;
        }
        match self.text(control, key, text, false, max) {
            Judged::Text(text, _) => text,
            Judged::Kept | Judged::LeftOut => Cow::Owned(self.mark().to_owned()),
        }
    }

    /// The first word about a value that is no text.
    fn other(&self, key: &str, value: Value<'_>) -> Verdict {
        for step in &self.steps {
            if let Step::Values(decide) = step
                && let verdict @ (Verdict::Replace(_) | Verdict::LeaveOut) = decide(key, value)
            {
                return verdict;
            }
        }
        Verdict::Keep
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction")
            .field("keys", &self.keys)
            .field("steps", &self.steps.len())
            .field("content_keys", &self.content_keys)
            .field("capture", &self.capture)
            .field("marker", &self.marker)
            .finish()
    }
}
