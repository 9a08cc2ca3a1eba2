//! `baggage`: what an application hands on with its requests, whoever traces them.
//!
//! ```text
//! baggage: user=alice,server=DF%2028;region=eu;cached
//!          │    │     │      │       └── properties of the member: a key, and perhaps a value
//!          │    │     │      └── a space, as all that is not allowed, is percent-encoded UTF-8
//!          │    │     └── the next member
//!          │    └── its value
//!          └── a key: a token of HTTP
//! ```
//!
//! A member that is not of this form is left out, and the others count. Baggage comes from outside: at most 180 members are kept, and
//! 8,192 bytes of text, which is what every system passes on and more; those that find no room are left out.

use std::borrow::Cow;
use std::fmt;

use super::OWS;

/// How many members there are at most.
const MEMBERS_MAX: usize = 180;
/// How long the text is at most, in bytes.
const LEN_MAX: usize = 8192;

/// What an application hands on. A key may stand more than once in what came; the last one counts.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Baggage {
    /// Members as they are written, without any space: none is empty.
    text: String,
}

/// A member of a [`Baggage`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member<'a> {
    key: &'a str,
    value: &'a str,
    /// With a semicolon between two.
    properties: Option<&'a str>,
}

/// Why something cannot be put into baggage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BaggageError {
    /// A key is no token of HTTP: letters, digits and ``!#$%&'*+-.^_`|~``, at least one.
    Key,
    /// There would be more than 180 members, or 8,192 bytes.
    Full,
}

impl Baggage {
    /// Reads one header.
    pub fn parse(header: &str) -> Self {
        Self::from_headers([header])
    }

    /// Reads the headers of a request, in their order, as if they were one.
    pub fn from_headers<'a>(headers: impl IntoIterator<Item = &'a str>) -> Self {
        let mut baggage = Baggage::default();
        headers.into_iter().for_each(|header| baggage.add_header(header));
        baggage
    }

    /// Reads one more header.
    pub(super) fn add_header(&mut self, header: &str) {
        let mut count = self.iter().count();
        for member in header.split(',') {
            if count == MEMBERS_MAX {
                return;
            }
            let before = self.text.len();
            // Nothing that can find no room is looked at, however long it is.
            if member.len() <= LEN_MAX && self.add_member(member).is_some() && self.text.len() <= LEN_MAX {
                count += 1;
            } else {
                self.text.truncate(before);
            }
        }
    }

    /// Writes a member as it came, without its spaces. `None` where it is none: then some of it may be written.
    fn add_member(&mut self, member: &str) -> Option<()> {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        let mut parts = member.split(';');
        let (key, value) = parts.next()?.split_once('=')?;
        self.add_pair(key, Some(value))?;
        for property in parts {
            let (key, value) = key_and_value(property);
            self.text.push(';');
            self.add_pair(key, value)?;
        }
        Some(())
    }

    fn add_pair(&mut self, key: &str, value: Option<&str>) -> Option<()> {
        let (key, value) = (key.trim_matches(OWS), value.map(|value| value.trim_matches(OWS)));
        if !is_token(key) || !value.unwrap_or_default().bytes().all(is_octet) {
            return None;
        }
        self.text.push_str(key);
        if let Some(value) = value {
            self.text.extend(["=", value]);
        }
        Some(())
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<Cow<'_, str>> {
        self.iter().filter(|member| member.key == key).last().map(|member| member.value())
    }

    /// Puts a value under a key, behind all others. What was under the key goes.
    ///
    /// # Errors
    ///
    /// Says why it cannot. Then nothing is changed.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), BaggageError> {
        self.set_with(key, value, [])
    }

    /// Puts a value with properties under a key, behind all others. What was under the key goes.
    ///
    /// # Errors
    ///
    /// Says why it cannot. Then nothing is changed.
    pub fn set_with<'a>(
        &mut self,
        key: &str,
        value: &str,
        properties: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Result<(), BaggageError> {
        let mut text = self.without(key);
        if !text.is_empty() {
            text.push(',');
        }
        encode_pair(&mut text, key, Some(value))?;
        for (key, value) in properties {
            text.push(';');
            encode_pair(&mut text, key, value)?;
        }
        let changed = Baggage { text };
        if changed.text.len() > LEN_MAX || changed.iter().count() > MEMBERS_MAX {
            return Err(BaggageError::Full);
        }
        *self = changed;
        Ok(())
    }

    /// Takes away what is under a key, and tells whether there was something.
    pub fn remove(&mut self, key: &str) -> bool {
        let len = self.text.len();
        self.text = self.without(key);
        self.text.len() < len
    }

    fn without(&self, key: &str) -> String {
        let others = self.members().filter(|member| Member::of(member).is_some_and(|other| other.key != key));
        others.collect::<Vec<_>>().join(",")
    }

    fn members(&self) -> impl Iterator<Item = &str> {
        self.text.split(',')
    }

    /// The members, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Member<'_>> {
        self.members().filter_map(Member::of)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// What is passed on: all of it, as a header has it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<'a> Member<'a> {
    /// A member as it is written.
    fn of(text: &'a str) -> Option<Self> {
        let (pair, properties) = match text.split_once(';') {
            Some((pair, properties)) => (pair, Some(properties)),
            None => (text, None),
        };
        pair.split_once('=').map(|(key, value)| Member { key, value, properties })
    }

    /// The key.
    pub fn key(&self) -> &'a str {
        self.key
    }

    /// The value. What is no UTF-8 in it is shown as U+FFFD.
    pub fn value(&self) -> Cow<'a, str> {
        decoded(self.value)
    }

    /// What is said about the member: keys, and values where they have one.
    pub fn properties(&self) -> impl Iterator<Item = (&'a str, Option<Cow<'a, str>>)> {
        let properties = self.properties.into_iter().flat_map(|properties| properties.split(';'));
        properties.map(key_and_value).map(|(key, value)| (key, value.map(decoded)))
    }
}

fn key_and_value(property: &str) -> (&str, Option<&str>) {
    property.split_once('=').map_or((property, None), |(key, value)| (key, Some(value)))
}

fn is_token(key: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !key.is_empty() && key.bytes().all(is_allowed)
}

/// Whether a byte may stand in a value as it is: ASCII that shows, but no `"`, `,`, `;` or `\`.
fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

fn encode_pair(text: &mut String, key: &str, value: Option<&str>) -> Result<(), BaggageError> {
    if !is_token(key) {
        return Err(BaggageError::Key);
    }
    text.push_str(key);
    let Some(value) = value else { return Ok(()) };
    // Before it is made three times as long.
    if value.len() > LEN_MAX {
        return Err(BaggageError::Full);
    }
    text.push('=');
    for byte in value.bytes() {
        if is_octet(byte) && byte != b'%' {
            text.push(char::from(byte));
        } else {
            let digit = |digit: u8| char::from(b"0123456789ABCDEF"[usize::from(digit)]);
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    Ok(())
}

/// Text without its percent-encoding. A `%` that two digits do not follow stands for itself.
fn decoded(text: &str) -> Cow<'_, str> {
    let Some((plain, rest)) = text.split_once('%') else { return Cow::Borrowed(text) };
    let mut bytes = plain.as_bytes().to_vec();
    for part in rest.split('%') {
        let digit = |at: usize| part.as_bytes().get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let byte = digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        match byte {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(&part.as_bytes()[2..]);
            }
            None => {
                bytes.push(b'%');
                bytes.extend(part.as_bytes());
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Display for BaggageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BaggageError::Key => f.write_str("a key of baggage is a token of HTTP"),
            BaggageError::Full => {
                write!(f, "baggage has at most {MEMBERS_MAX} members and {LEN_MAX} bytes")
            }
        }
    }
}

impl std::error::Error for BaggageError {}
