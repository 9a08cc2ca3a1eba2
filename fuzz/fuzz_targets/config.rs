//! A configuration of an exporter, made up, or one that is right with something wrong in it.
#![no_main]

use std::path::Path;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring_exporter::config::Config;
use spanring_exporter::with_causes;

const EXAMPLE: &str = include_str!("../../docs/export.example.toml");
const SECRET: &str = "t0p-secret";

#[derive(Arbitrary, Debug)]
enum Input {
    /// TOML, perhaps.
    Text(String),
    /// The example, with something else in some place.
    Edited { at: u16, removed: u8, inserted: String },
    /// A header with a secret, in a sink of which more is said.
    Secret { to: String, header: String, before: String, behind: String, is_prefix: bool, lines: String },
}

fuzz_target!(|input: Input| {
    let text = match &input {
        Input::Text(text) => text.clone(),
        Input::Edited { at, removed, inserted } => {
            let mut text: Vec<char> = EXAMPLE.chars().collect();
            let at = usize::from(*at) % text.len();
            let end = text.len().min(at + usize::from(*removed));
            text.splice(at..end, inserted.chars());
            text.into_iter().collect()
        }
        Input::Secret { to, header, before, behind, is_prefix, lines } => {
            let [to, header] = [to, header].map(|text| quoted(text));
            let secret = quoted(&format!("{before}{SECRET}{behind}"));
            let secret = if *is_prefix { format!("{{ env = \"NONE\", prefix = {secret} }}") } else { secret };
            format!("spool = \"/s\"\n[[sink]]\nto = {to}\nheaders = {{ {header} = {secret} }}\n{lines}")
        }
    };
    let path = Path::new("/etc/export.toml");
    let told = match Config::parse(&text, path) {
        Ok(config) => format!("{config:?}"),
        Err(error) => {
            if let Some(place) = error.place {
                let line = text.split('\n').nth(place.line - 1).expect("it is a line of the text");
                assert!(place.column <= line.chars().count() + 1, "{place:?} is within its line");
            }
            let told = with_causes(&error);
            assert!(told.starts_with("/etc/export.toml:"), "{told}");
            assert!(!told.contains(char::is_control), "it is one line, and safe to print: {told:?}");
            told
        }
    };
    if let Input::Secret { to, header, lines, .. } = &input
        && [to, header, lines].iter().all(|text| !text.contains(SECRET))
    {
        assert!(!told.contains(SECRET), "{told}");
    }
});

/// A text in TOML, but for those that TOML has no form of.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text can be written")
}
