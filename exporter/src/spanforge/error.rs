//! Why something is no event of SpanForge's. No message shows what is in it.

use std::fmt;

/// Why something is no event of SpanForge's.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum EventError {
    /// It is longer than SpanForge reads.
    TooLong {
        /// How long it is, in bytes.
        len: usize,
        /// How long it may be.
        max: usize,
    },
    /// It is no JSON, or no object.
    NotAnObject,
    /// A field is missing or has another type.
    Field {
        /// Which.
        name: &'static str,
    },
    /// The payload nests deeper than SpanForge reads.
    TooDeep {
        /// How many levels it may have.
        max: usize,
    },
    /// It has more tags than SpanForge reads.
    TooManyTags {
        /// How many it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// The payload lacks fields, has other types in them, or is of a sort that is not known.
    Payload,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventError::TooLong { len, max } => {
                write!(f, "an event of {len} bytes, more than the limit of {max}")
            }
            EventError::NotAnObject => f.write_str("it is no object of JSON"),
            EventError::Field { name } => write!(f, "the field {name} is missing or has another type"),
            EventError::TooDeep { max } => write!(f, "the payload nests deeper than {max} levels"),
            EventError::TooManyTags { count, max } => write!(f, "{count} tags, more than the limit of {max}"),
            EventError::Payload => f.write_str("the payload is not that of a span, step or run"),
        }
    }
}

impl std::error::Error for EventError {}
