//! Names, keys and messages, looked at before they are written.

use std::borrow::Cow;
use std::fmt;

use super::Slot;
use super::append::KEY_LEN_MAX;
use crate::names;
use crate::record::{INLINE, TAG_STATUS_MESSAGE};
use crate::recorder::Recorder;
use crate::redaction::{self, End, Judged, Redaction, Value, gather};

impl Recorder {
    /// What is recorded of a span's name.
    #[cold]
    #[inline(never)]
    pub(crate) fn shown_name(&self, name: String) -> String {
        self.shown(redaction::SPAN_NAME, Cow::Owned(name)).into_owned()
    }

    fn shown<'t>(&self, key: &str, text: Cow<'t, str>) -> Cow<'t, str> {
        match &self.hooks().redaction {
            // Of what a forked child has inherited, nothing is recorded.
            Some(redaction) if !self.is_forked() => redaction.name(self.control(), key, text, KEY_LEN_MAX),
            _ => text,
        }
    }
}

impl Slot {
    /// Whether values are to be looked at before they are written.
    #[inline]
    pub(crate) fn is_redacted(&self) -> bool {
        self.recorder().redacts()
    }

    /// What looks at values: nothing at those of a span that a forked child has inherited, of which nothing is recorded.
    pub(crate) fn redaction(&self) -> Option<&'static Redaction> {
        self.recorder().hooks().redaction.as_deref().filter(|_| !self.is_inherited())
    }

    /// Whether what is set under `key` is not recorded as it is because of the key.
    #[cfg(feature = "tracing")]
    pub(crate) fn withholds(&self, key: &str) -> bool {
        self.is_redacted() && self.redaction().is_some_and(|redaction| redaction.withholds(key))
    }

    /// How many bytes of a text are recorded at most.
    pub(crate) fn text_max(&self) -> usize {
        self.value_max().min(self.recorder().body_len_max())
    }

    #[cold]
    #[inline(never)]
    pub(super) fn shown_key<'t>(&self, key: &'t str) -> Cow<'t, str> {
        self.recorder().shown(redaction::KEY, Cow::Borrowed(key))
    }

    #[cold]
    #[inline(never)]
    pub(super) fn append_shown_message(&self, text: &str) {
        let Some(redaction) = self.redaction() else { return };
        let (control, max) = (self.recorder().control(), self.text_max());
        match redaction.attribute(control, names::STATUS_MESSAGE, Value::Text(text), max) {
            Judged::Kept => self.put_message(text, false),
            Judged::Text(text, is_beginning) => self.put_message(&text, is_beginning),
            Judged::LeftOut => {}
        }
    }

    /// What is displayed is gathered, as a secret may be written in pieces.
    #[cold]
    #[inline(never)]
    pub(super) fn append_shown_message_display(&self, message: &dyn fmt::Display) {
        let Some(redaction) = self.redaction() else { return };
        let (control, key, max) = (self.recorder().control(), names::STATUS_MESSAGE, self.text_max());
        let judged = match redaction.by_key(control, key) {
            Some(judged) => judged,
            None if redaction.looks_at_values() => {
                let (text, end) = gather(message, max);
                redaction.text(control, key, Cow::Owned(text), end != End::Whole, max)
            }
            None => Judged::Kept,
        };
        match judged {
            Judged::Kept => self.append_display(TAG_STATUS_MESSAGE, 0, INLINE, message),
            Judged::Text(text, is_beginning) => self.put_message(&text, is_beginning),
            Judged::LeftOut => {}
        }
    }
}
