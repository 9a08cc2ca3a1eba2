//! JSON as Python's `json` module writes it, byte for byte: checksums are made of it.
//!
//! | | here | elsewhere in this crate |
//! |---|---|---|
//! | numbers with a fraction | `1e-07`, `1e+16`, `0.0001` | `1e-7`, `1e16`, `0.0001` |
//! | separators, unless compact | `, ` and `: ` | `,` and `:` |
//! | what is not ASCII, unless compact | `\u00fc`, in two halves beyond the first plane | as it is |
//!
//! Keys are in the order of their code points where they come from a [`serde_json::Map`], as `sort_keys` has them.

use std::io;

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

use crate::dumps;

/// As `json.dumps(…, separators=(",", ":"), ensure_ascii=False)`.
pub(super) fn compact(json: &impl Serialize) -> String {
    written(json, Python { is_compact: true })
}

/// As `json.dumps(…)`.
pub(super) fn spaced(json: &impl Serialize) -> String {
    written(json, Python { is_compact: false })
}

fn written(json: &impl Serialize, form: Python) -> String {
    let mut bytes = Vec::new();
    json.serialize(&mut Serializer::with_formatter(&mut bytes, form))
        .expect("documents have keys of text, and memory takes all bytes");
    String::from_utf8(bytes).expect("of text, text is made")
}

struct Python {
    is_compact: bool,
}

impl Python {
    fn separate<W: ?Sized + io::Write>(&self, writer: &mut W, is_first: bool) -> io::Result<()> {
        match (is_first, self.is_compact) {
            (true, _) => Ok(()),
            (false, true) => writer.write_all(b","),
            (false, false) => writer.write_all(b", "),
        }
    }
}

impl Formatter for Python {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        writer.write_all(dumps::repr(value).as_bytes())
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        self.separate(writer, is_first)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        self.separate(writer, is_first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(if self.is_compact { b":" } else { b": " })
    }

    /// Text without what all JSON escapes.
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_escaped = |character: char| !self.is_compact && !(' '..='~').contains(&character);
        let mut rest = fragment;
        while let Some(at) = rest.find(is_escaped) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut characters = from.chars();
            let character = characters.next().unwrap_or_default();
            writer.write_all(dumps::escaped(character).as_bytes())?;
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_forms_are_those_of_python() {
        let json = json!({"b": [1, 2.5e-7, null, true], "a": {}, "ü": "é\u{1d11e}\u{7f}\n\"/\u{1}", "c": []});
        let expected =
            "{\"a\":{},\"b\":[1,2.5e-07,null,true],\"c\":[],\"ü\":\"é\u{1d11e}\u{7f}\\n\\\"/\\u0001\"}";
        assert_eq!(compact(&json), expected);
        let expected = r#"{"a": {}, "b": [1, 2.5e-07, null, true], "c": [], "\u00fc": "\u00e9\ud834\udd1e\u007f\n\"/\u0001"}"#;
        assert_eq!(spaced(&json), expected);
    }
}
