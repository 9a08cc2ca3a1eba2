//! What a program logs, as lines of JSON.
//!
//! ```json
//! {"time":"2026-11-29T02:51:57.042Z","level":"warn","event":"retrying","reason":"…","sink":"…","wait_seconds":1.5}
//! ```
//!
//! A line is one object: when (RFC 3339, UTC), how bad, what happened, and its fields. Whatever a field holds, the line is one line
//! and does nothing to a terminal: control characters, and what some programs take for the end of a line, are escaped.

use std::io;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::rfc3339;

/// How bad something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// All is well.
    Info,
    /// Somebody may want to know. Nothing is lost by it, and it may pass by itself.
    Warn,
    /// Something was lost, or does not work until somebody does something.
    Error,
}

/// The line of what happened at `time`, without its line break. `event` is an object with a member `event`, as a
/// [`Notice`](crate::engine::Notice) is, and without `time` and `level`.
///
/// # Errors
///
/// When `event` has no form in JSON.
pub fn line(time: SystemTime, level: Level, event: &impl Serialize) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    struct Line<'a, T> {
        time: String,
        level: Level,
        #[serde(flatten)]
        event: &'a T,
    }
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, OneLine);
    Line { time: rfc3339::text(time), level, event }.serialize(&mut serializer)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Compact, with texts that hold nothing but what is shown.
struct OneLine;

impl Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some((at, c)) = rest.char_indices().find(|&(_, c)| is_escaped(c)) {
            CompactFormatter.write_string_fragment(writer, &rest[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

/// Control characters beyond those that JSON escapes anyway, the two separators that are ends of lines to some, and what turns the order of
/// the text around.
fn is_escaped(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_line_has_time_level_event_and_fields() {
        let time = UNIX_EPOCH + Duration::from_millis(1_795_920_717_042);
        let event = json!({"event": "listening", "port": 1});
        assert_eq!(
            line(time, Level::Info, &event).unwrap(),
            r#"{"time":"2026-11-29T02:51:57.042Z","level":"info","event":"listening","port":1}"#
        );
    }

    #[test]
    fn every_character_stays_within_its_line_and_comes_back() {
        for c in '\0'..=char::MAX {
            // All that are odd, and some of the others.
            if u32::from(c) > 0x3000 && u32::from(c) % 1009 != 0 {
                continue;
            }
            let text = format!("a{c}{c}\"b\\");
            let line = line(UNIX_EPOCH, Level::Warn, &json!({"event": "e", &text: &text})).unwrap();
            assert!(!line.chars().any(|c| c.is_control() || is_escaped(c)), "{c:?}: {line:?}");
            let object: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(object[&text], text.as_str(), "{c:?}");
        }
    }
}
