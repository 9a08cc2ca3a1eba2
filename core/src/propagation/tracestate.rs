//! `tracestate`: what each tracing system says about a trace, the last one first.
//!
//! ```text
//! tracestate: congo=t61rcWkgMzE,acme@rojo=00f067aa0ba902b7
//! ```
//!
//! | | |
//! |---|---|
//! | members | at most 32, with commas between them; empty ones do not count, nor does space around them |
//! | key | 1 to 256 of `a-z 0-9 _ - * /`, the first a letter or digit; or a tenant of up to 241 of these, `@`, and a system of up to 14 |
//! | value | 1 to 256 printable ASCII characters but `,` and `=`, the last no space |
//!
//! That is the grammar of trace context's level 1, which knows tenants, with level 2's leave for a key to begin with a digit.

use std::borrow::Cow;
use std::fmt;

use super::OWS;

/// How many members a trace state has at most.
const MEMBERS_MAX: usize = 32;
const KEY_LEN_MAX: usize = 256;
const TENANT_LEN_MAX: usize = 241;
const SYSTEM_LEN_MAX: usize = 14;
const VALUE_LEN_MAX: usize = 256;
/// How many bytes are passed on at most: those that every system promises to pass on.
const HEADER_LEN_MAX: usize = 512;
/// A member that is longer than this is the first to go where that is too little.
const LARGE_LEN: usize = 128;

/// What tracing systems say about a trace: a `tracestate`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct TraceState {
    /// Members as they are written, without any space around them: none is empty, and no key stands twice.
    text: String,
}

/// Why a text is no trace state, or no member of one. Members are counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TraceStateError {
    /// A member has no key, or one that is none.
    Key {
        /// Which.
        index: usize,
    },
    /// A member has no value, or one that is none.
    Value {
        /// Which.
        index: usize,
    },
    /// A member's key stands before already.
    Twice {
        /// Which.
        index: usize,
    },
    /// There are more than 32 members.
    TooMany,
}

impl TraceState {
    /// Reads one header.
    ///
    /// # Errors
    ///
    /// Says what is wrong. Then nothing in the header counts.
    pub fn parse(header: &str) -> Result<Self, TraceStateError> {
        Self::from_headers([header])
    }

    /// Reads the headers of a request, in their order, as if they were one.
    ///
    /// # Errors
    ///
    /// Says what is wrong. Then nothing in any of them counts.
    pub fn from_headers<'a>(headers: impl IntoIterator<Item = &'a str>) -> Result<Self, TraceStateError> {
        let mut state = TraceState::default();
        headers.into_iter().try_for_each(|header| state.add_header(header))?;
        Ok(state)
    }

    /// Reads one more header. After an error nothing that was read counts.
    pub(super) fn add_header(&mut self, header: &str) -> Result<(), TraceStateError> {
        let mut index = self.iter().count();
        for member in header.split(',').map(|member| member.trim_matches(OWS)) {
            if member.is_empty() {
                continue;
            }
            if index == MEMBERS_MAX {
                return Err(TraceStateError::TooMany);
            }
            let (key, value) = member.split_once('=').ok_or(TraceStateError::Key { index })?;
            check(key, value, index)?;
            if self.get(key).is_some() {
                return Err(TraceStateError::Twice { index });
            }
            if index > 0 {
                self.text.push(',');
            }
            self.text.push_str(member);
            index += 1;
        }
        Ok(())
    }

    /// What a system says.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == key).map(|(_, value)| value)
    }

    /// Says something for a system, in front of all others. Where there are 32 members already, the last one goes.
    ///
    /// # Errors
    ///
    /// [`TraceStateError::Key`], [`TraceStateError::Value`]: nothing is changed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), TraceStateError> {
        check(key, value, 0)?;
        let others = self.iter().filter(|(other, _)| *other != key).take(MEMBERS_MAX - 1);
        let first = std::iter::once((key, value));
        self.text = joined(first.chain(others));
        Ok(())
    }

    /// Takes away what a system says, and tells whether there was something.
    pub fn remove(&mut self, key: &str) -> bool {
        let is_there = self.get(key).is_some();
        if is_there {
            self.text = joined(self.iter().filter(|(other, _)| *other != key));
        }
        is_there
    }

    /// Keys and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.split(',').filter_map(|member| member.split_once('='))
    }

    /// Whether nobody says anything.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What is passed on: at most 512 bytes. Where it is more, members of more than 128 bytes are left out, the last ones first, and
    /// then the last of the others, until it is not.
    pub fn header(&self) -> Cow<'_, str> {
        let mut len = self.text.len();
        if len <= HEADER_LEN_MAX {
            return Cow::Borrowed(&self.text);
        }
        let mut members: Vec<&str> = self.text.split(',').collect();
        for least in [LARGE_LEN + 1, 0] {
            for index in (0..members.len()).rev() {
                if len > HEADER_LEN_MAX && members[index].len() >= least {
                    len = len.saturating_sub(members.remove(index).len() + ",".len());
                }
            }
        }
        Cow::Owned(members.join(","))
    }
}

fn joined<'a>(members: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (key, value) in members {
        if !text.is_empty() {
            text.push(',');
        }
        text.extend([key, "=", value]);
    }
    text
}

fn check(key: &str, value: &str, index: usize) -> Result<(), TraceStateError> {
    let is_key = match key.split_once('@') {
        None => is_name(key, KEY_LEN_MAX),
        Some((tenant, system)) => is_name(tenant, TENANT_LEN_MAX) && is_name(system, SYSTEM_LEN_MAX),
    };
    let is_value = (1..=VALUE_LEN_MAX).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b',' && byte != b'=')
        && !value.ends_with(' ');
    match (is_key, is_value) {
        (false, _) => Err(TraceStateError::Key { index }),
        (_, false) => Err(TraceStateError::Value { index }),
        _ => Ok(()),
    }
}

fn is_name(name: &str, len_max: usize) -> bool {
    name.len() <= len_max
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'))
}

impl fmt::Display for TraceState {
    /// All of it: see [`header`](TraceState::header) for what is passed on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Display for TraceStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceStateError::Key { index } => write!(f, "member {index} of a trace state has no valid key"),
            TraceStateError::Value { index } => {
                write!(f, "member {index} of a trace state has no valid value")
            }
            TraceStateError::Twice { index } => {
                write!(f, "member {index} of a trace state has a key that stands before")
            }
            TraceStateError::TooMany => write!(f, "a trace state has more than {MEMBERS_MAX} members"),
        }
    }
}

impl std::error::Error for TraceStateError {}
