//! Captures in which one value is another.

use std::rc::Rc;

use serde_json::{Value as Json, json};

use crate::moments::{isoformat, unix_ns};
use crate::rules::leaves;

/// The values that one value could be as well. No span comes to end before it starts.
pub(crate) fn others(path: &[String], value: &Json) -> Vec<Json> {
    let name = path.last().map(String::as_str).unwrap_or_default();
    let is_start = name.starts_with("start") || name == "received_at";
    match value {
        Json::Null => panic!("say what else {} could be", path.join("/")),
        Json::Bool(value) => vec![json!(!value)],
        Json::Number(number) => match number.as_u64() {
            Some(number) => vec![json!(number ^ 1)],
            None => vec![json!(number.as_f64().unwrap() + if is_start { -0.5 } else { 0.5 })],
        },
        Json::String(text) if is_moment(text) => {
            let moment = unix_ns(text);
            let other = if is_start { moment - 1_000 } else { moment + 1_000 };
            vec![json!(text.replace(&isoformat(moment), &isoformat(other)))]
        }
        Json::String(text) => vec![json!(other_text(text))],
        Json::Array(_) => vec![json!(["other"])],
        Json::Object(_) => vec![json!({"other": 1})],
    }
}

fn is_moment(text: &str) -> bool {
    text.len() >= 19 && text.is_ascii() && text.as_bytes()[10] == b'T' && text.as_bytes()[13] == b':'
}

/// The text with its last letter or digit changed, such that a number and an identity in hexadecimal digits stay one.
fn other_text(text: &str) -> String {
    let Some(at) = text.rfind(|last: char| last.is_ascii_alphanumeric()) else {
        return format!("{text}other");
    };
    let other = match text.as_bytes()[at] {
        b'9' => '0',
        b'f' | b'z' => 'a',
        b'Z' => 'A',
        byte => char::from(byte + 1),
    };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

/// The capture with long texts cut short: that these are held in full need not be shown for every other value.
pub(crate) fn shortened(capture: &Json) -> Json {
    let mut short = capture.clone();
    leaves(capture, &mut |path, value| {
        if let Some(text) = value.as_str()
            && text.len() > 1_000
        {
            *at(&mut short, path) = json!(text.chars().take(100).collect::<String>());
        }
    });
    short
}

/// A capture in which one value is another.
pub(crate) struct Mutant {
    pub(crate) of: Rc<Original>,
    pub(crate) path: Vec<String>,
    pub(crate) other: Json,
}

/// A capture, and what of it is held.
pub(crate) struct Original {
    pub(crate) capture: Json,
    pub(crate) held: Json,
}

impl Mutant {
    pub(crate) fn capture(&self) -> Json {
        self.applied_to(&self.of.capture)
    }

    pub(crate) fn held(&self) -> Json {
        self.applied_to(&self.of.held)
    }

    fn applied_to(&self, json: &Json) -> Json {
        let mut mutant = json.clone();
        *at(&mut mutant, &self.path) = self.other.clone();
        mutant
    }
}

fn at<'a>(json: &'a mut Json, path: &[String]) -> &'a mut Json {
    path.iter().fold(json, |json, name| match json {
        Json::Array(items) => &mut items[name.parse::<usize>().unwrap()],
        _ => json.get_mut(name).unwrap(),
    })
}

#[test]
fn another_text_is_of_the_same_sort() {
    let cases = [
        ("aa127cf6c9c804df", "aa127cf6c9c804da"),
        ("1795158295620395009", "1795158295620395000"),
        ("[{'a': 1}]", "[{'a': 2}]"),
        ("größe", "größf"),
        ("é", "éother"),
        ("", "other"),
    ];
    for (text, other) in cases {
        assert_eq!(other_text(text), other);
    }
    let moments = |name: &str, text: &str| others(&[name.to_owned()], &json!(text));
    assert_eq!(moments("started_at", "2026-11-20T07:00:00Z"), [json!("2026-11-20T06:59:59.999999Z")]);
    assert_eq!(
        moments("timestamp", "2026-11-20T07:00:00+00:00Z"),
        [json!("2026-11-20T07:00:00.000001+00:00Z")]
    );
}
