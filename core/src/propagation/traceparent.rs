//! `traceparent`: a span's identities in 55 bytes of text.
//!
//! ```text
//!  0  3                                36               53
//!  00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
//!  │  │                                │                └── flags: the lowest bit says that the trace is sampled
//!  │  │                                └── the span, not all zeros
//!  │  └── the trace, not all zeros
//!  └── the version: 00 is this; ff is none; what is above 00 begins like this, and may go on behind another dash
//! ```
//!
//! All digits are hexadecimal and in lower case.

use std::fmt;

use super::OWS;
use crate::context::Context;
use crate::{SpanId, TraceId};

const LEN: usize = 55;
const DASHES: [usize; 3] = [2, 35, 52];

/// A `traceparent` of version 00, as it is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Traceparent([u8; LEN]);

/// Why a text is no `traceparent`. Places are bytes of the text, counted without the space around it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TraceparentError {
    /// It has not 55 bytes, or fewer than 55 in a later version.
    Length {
        /// How many it has.
        len: usize,
    },
    /// There is not the digit or the dash that belongs there.
    Character {
        /// Where.
        at: usize,
    },
    /// The version is `ff`, which none is.
    Version,
    /// The trace's identity is all zeros.
    TraceId,
    /// The span's identity is all zeros.
    SpanId,
}

impl Context {
    /// The span that a `traceparent` names, of another process. Spaces and tabs around the text do not count.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the text. [`Context::extract`] and [`Context::from_environment`] make [`Context::NONE`] of that.
    pub fn from_traceparent(text: &str) -> Result<Self, TraceparentError> {
        let text = text.trim_matches(OWS);
        let len = text.len();
        let fields = text.as_bytes().get(..LEN).ok_or(TraceparentError::Length { len })?;
        let is_wrong = |(at, byte): (usize, &u8)| match DASHES.contains(&at) {
            true => *byte != b'-',
            false => !matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        };
        if let Some(at) = fields.iter().enumerate().position(is_wrong) {
            return Err(TraceparentError::Character { at });
        }
        match (&fields[..2], text.as_bytes().get(LEN)) {
            (b"ff", _) => return Err(TraceparentError::Version),
            (b"00", Some(_)) => return Err(TraceparentError::Length { len }),
            (_, None | Some(b'-')) => {}
            _ => return Err(TraceparentError::Character { at: LEN }),
        }
        let trace_id = text.get(3..35).and_then(TraceId::parse).filter(|id| id.is_valid());
        let span_id = text.get(36..52).and_then(SpanId::parse).filter(|id| id.is_valid());
        let is_sampled = char::from(fields[54]).to_digit(16).is_some_and(|digit| digit & 1 == 1);
        Ok(Context::remote(
            trace_id.ok_or(TraceparentError::TraceId)?,
            span_id.ok_or(TraceparentError::SpanId)?,
            is_sampled,
        ))
    }

    /// The `traceparent` that hands this span on; `None` for an invalid context. It is flagged as sampled (`01`) unless the trace was
    /// decided against.
    pub fn traceparent(&self) -> Option<Traceparent> {
        if !self.is_valid() {
            return None;
        }
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        write_digits(&mut text[3..35], &self.trace_id().to_bytes());
        write_digits(&mut text[36..52], &self.span_id().to_bytes());
        if self.is_sampled() {
            text[54] = b'1';
        }
        Some(Traceparent(text))
    }
}

fn write_digits(digits: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    }
}

impl Traceparent {
    /// The text.
    pub fn as_str(&self) -> &str {
        // Digits and dashes are UTF-8.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl AsRef<str> for Traceparent {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traceparent").field(&self.as_str()).finish()
    }
}

impl fmt::Display for TraceparentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceparentError::Length { len } => {
                write!(f, "a traceparent has {LEN} bytes, and this has {len}")
            }
            TraceparentError::Character { at } => {
                write!(f, "a traceparent has another character at byte {at}")
            }
            TraceparentError::Version => f.write_str("ff is no version of traceparent"),
            TraceparentError::TraceId => f.write_str("the trace's identity is all zeros"),
            TraceparentError::SpanId => f.write_str("the span's identity is all zeros"),
        }
    }
}

impl std::error::Error for TraceparentError {}
