//! What redaction makes of a value while it is encoded.
//!
//! The encoder asks before it writes: whether a key's value is encoded at all, and for each value that is no map and no list what is written
//! in its place. A key is told by the texts and numbers that are encoded for it, so it may be of any type. A text that is a key is held
//! back until it is known whether it is written.

use std::fmt::{self, Write as _};

use rmp::encode;
use serde::Serializer as _;

use super::{Packing, Stopped};
use crate::control::{Control, Counter};
use crate::redaction::{End, Fate, Judged, KEY, Redaction, Value, gather};
use crate::slot::Slot;
use crate::slot::chain::{Chain, Mark};

/// How a value is to be looked at, and where in it the encoder is.
pub(crate) struct Redacting {
    redaction: &'static Redaction,
    control: &'static Control,
    max: usize,
    /// The attribute's key, and the keys down to what is being encoded.
    path: String,
    /// The parts of maps that are recorded of content; `None` where all are.
    parts: Option<&'static [&'static str]>,
    /// Whether the encoder is within one of these parts.
    is_open: bool,
    key: Key,
    key_text: String,
    /// Nothing was written for the value that was encoded last.
    is_left_out: bool,
    /// The lists and maps that are being encoded.
    frames: Vec<Frame>,
}

/// A list or map that is being encoded. It is kept here, since where nothing is redacted it would only be in the way.
pub(super) struct Frame {
    /// Where it lies.
    path_len: usize,
    is_open: bool,
    /// Where the element began that is being encoded, and what becomes of its value.
    pub(super) before: Option<Mark>,
    pub(super) fate: Fate,
    /// Nothing of it is encoded, as something stands for it, or nothing does.
    pub(super) is_none: bool,
}

/// Whether what is being encoded is a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    No,
    Whole,
    /// Text, which is not written yet.
    Held,
    /// It is a list, a map or a variant, and what is being encoded lies in it.
    Within,
}

impl Redacting {
    pub(crate) fn new(
        redaction: &'static Redaction,
        slot: &Slot,
        key: &str,
        parts: Option<&'static [&'static str]>,
    ) -> Self {
        Redacting {
            redaction,
            control: slot.recorder().control(),
            max: slot.text_max(),
            path: key.to_owned(),
            parts,
            is_open: parts.is_none(),
            key: Key::No,
            key_text: String::new(),
            is_left_out: false,
            frames: Vec::new(),
        }
    }

    pub(crate) fn is_left_out(&self) -> bool {
        self.is_left_out
    }

    /// Goes to the value of `key`, and says what becomes of it, counted.
    fn enter(&mut self, key: &str) -> Fate {
        self.path.push('.');
        self.path.push_str(key);
        if !self.is_open {
            self.is_open = self.parts.is_some_and(|parts| parts.contains(&key));
        }
        let fate = if self.is_open { self.redaction.fate(&self.path) } else { Fate::LeftOut };
        if fate != Fate::Recorded {
            self.control.count(Counter::Redacted);
        }
        fate
    }

    fn leave_out(&mut self) {
        self.control.count(Counter::Redacted);
        self.is_left_out = true;
    }
}

impl Packing<'_> {
    /// Begins a list or map, and gives its number. It may be a key.
    #[cold]
    #[inline(never)]
    pub(super) fn begin_frame(&mut self, is_none: bool) -> usize {
        self.go_within();
        let Some(redacting) = &mut self.redacting else { return 0 };
        let (path_len, is_open) = (redacting.path.len(), redacting.is_open);
        let fate = if is_none { Fate::LeftOut } else { Fate::Recorded };
        redacting.frames.push(Frame { path_len, is_open, before: None, fate, is_none });
        redacting.frames.len() - 1
    }

    /// The list or map of this number; those within it have ended.
    pub(super) fn frame(&mut self, number: usize) -> Option<&mut Frame> {
        let redacting = self.redacting.as_mut()?;
        redacting.frames.truncate(number + 1);
        redacting.frames.get_mut(number)
    }

    /// Goes back to where a list or map lies, and says where the element began that was encoded last if nothing was written for it.
    pub(super) fn leave(&mut self, number: usize) -> Option<Mark> {
        let redacting = self.redacting.as_mut()?;
        redacting.frames.truncate(number + 1);
        let frame = redacting.frames.get(number)?;
        redacting.path.truncate(frame.path_len);
        redacting.is_open = frame.is_open;
        std::mem::take(&mut redacting.is_left_out).then_some(frame.before).flatten()
    }

    /// Goes to the value of a field or variant. With [`Fate::Replaced`] what stands for it is to be written.
    #[cold]
    #[inline(never)]
    pub(super) fn enter(&mut self, name: &str) -> Fate {
        match &mut self.redacting {
            Some(redacting) if redacting.key == Key::No => redacting.enter(name),
            _ => Fate::Recorded,
        }
    }

    /// Writes what stands for a value.
    #[cold]
    #[inline(never)]
    pub(super) fn mark(&mut self) -> Result<(), Stopped> {
        let Some(redacting) = &self.redacting else { return Ok(()) };
        Ok(encode::write_str(&mut self.chain, redacting.redaction.mark())?)
    }

    /// Notes that a list, map or variant begins, which may be a key.
    pub(super) fn go_within(&mut self) {
        if let Some(redacting) = &mut self.redacting
            && redacting.key != Key::No
        {
            redacting.key = Key::Within;
        }
    }

    /// Leaves out the value that is a variant of this fate.
    pub(super) fn leave_variant_out(&mut self) {
        if let Some(redacting) = &mut self.redacting {
            redacting.is_left_out = true;
        }
    }

    /// Whether a map's key begins, and not one within a key.
    #[cold]
    #[inline(never)]
    pub(super) fn begin_key(&mut self) -> bool {
        let Some(redacting) = &mut self.redacting else { return false };
        let begins = redacting.key == Key::No;
        if begins {
            redacting.key = Key::Whole;
            redacting.key_text.clear();
        }
        begins
    }

    /// Ends a map's key, which is written now if it is to be, and goes to its value.
    #[cold]
    #[inline(never)]
    pub(super) fn end_key(&mut self) -> Result<Fate, Stopped> {
        let Some(redacting) = &mut self.redacting else { return Ok(Fate::Recorded) };
        let is_held = std::mem::replace(&mut redacting.key, Key::No) == Key::Held;
        let text = std::mem::take(&mut redacting.key_text);
        let fate = redacting.enter(&text);
        if is_held && fate != Fate::LeftOut {
            let shown = redacting.redaction.name(redacting.control, KEY, text.as_str().into(), redacting.max);
            encode::write_str(&mut self.chain, &shown)?;
        }
        redacting.key_text = text;
        Ok(fate)
    }

    /// Decides about a value that is no map and no list, and says whether that was all: else it is to be written as it is.
    #[cold]
    #[inline(never)]
    pub(super) fn judge(&mut self, value: Value<'_>) -> Result<bool, Stopped> {
        let Some(redacting) = &mut self.redacting else { return Ok(false) };
        if redacting.key != Key::No {
            return self.judge_key(value);
        }
        if !redacting.is_open {
            redacting.leave_out();
            return Ok(true);
        }
        let (redaction, control, max) = (redacting.redaction, redacting.control, redacting.max);
        let judged = redaction.value(control, &redacting.path, value, max);
        Self::put(&mut self.chain, &mut redacting.is_left_out, judged)
    }

    /// Writes what is displayed, after it was gathered: a secret may be written in pieces. `None` where that is not needed.
    #[cold]
    #[inline(never)]
    pub(super) fn judge_displayed(&mut self, value: &dyn fmt::Display) -> Option<Result<(), Stopped>> {
        let redacting = self.redacting.as_mut()?;
        let is_value = redacting.key == Key::No && redacting.is_open;
        if is_value && !redacting.redaction.looks_at_values() {
            return None;
        }
        let (text, end) = gather(value, redacting.max);
        Some(match end {
            End::Failed => Err(self.fail()),
            End::Whole => self.serialize_str(&text),
            End::Cut if !is_value => self.serialize_str(&text),
            End::Cut => {
                let (redaction, control, max) = (redacting.redaction, redacting.control, redacting.max);
                let judged = redaction.text(control, &redacting.path, text.into(), true, max);
                Self::put(&mut self.chain, &mut redacting.is_left_out, judged).map(|_| ())
            }
        })
    }

    /// Writes what a value was judged to come to, and says whether that was all.
    fn put(chain: &mut Chain<'_>, is_left_out: &mut bool, judged: Judged<'_>) -> Result<bool, Stopped> {
        match judged {
            Judged::Kept => return Ok(false),
            Judged::LeftOut => *is_left_out = true,
            Judged::Text(text, is_beginning) => {
                encode::write_str(chain, &text)?;
                if is_beginning {
                    chain.is_cut = true;
                    return Err(Stopped);
                }
            }
        }
        Ok(true)
    }

    /// Takes what is encoded for a key.
    fn judge_key(&mut self, value: Value<'_>) -> Result<bool, Stopped> {
        let Some(redacting) = &mut self.redacting else { return Ok(false) };
        if !redacting.key_text.is_empty() {
            redacting.key_text.push('.');
        }
        let text = &mut redacting.key_text;
        // Writing to a `String` does not fail.
        _ = match value {
            Value::Text(value) => write!(text, "{value}"),
            Value::Bool(value) => write!(text, "{value}"),
            Value::I64(value) => write!(text, "{value}"),
            Value::U64(value) => write!(text, "{value}"),
            Value::F64(value) => write!(text, "{value}"),
            Value::Bytes(value) => write!(text, "{}", String::from_utf8_lossy(value)),
        };
        match (value, redacting.key) {
            (Value::Text(_), Key::Whole) => {
                redacting.key = Key::Held;
                Ok(true)
            }
            (Value::Text(value), _) => {
                let shown = redacting.redaction.name(redacting.control, KEY, value.into(), redacting.max);
                encode::write_str(&mut self.chain, &shown)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
