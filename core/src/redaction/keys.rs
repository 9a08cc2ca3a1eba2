//! Keys whose values are not recorded.

use std::str::Chars;

/// What becomes of a value because of its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Fate {
    #[default]
    Recorded,
    Replaced,
    LeftOut,
}

/// A pattern of keys: see [`Redaction::key`](super::Redaction::key).
///
/// ```
/// use spanring::redaction::KeyPattern;
///
/// let pattern = KeyPattern::new("auth.api_key");
/// assert!(pattern.matches("login.auth.apiKey") && !pattern.matches("login.api_key"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPattern {
    /// As [`Letters`] gives them, behind a star and a dot.
    letters: Box<[char]>,
}

impl KeyPattern {
    /// Reads a pattern; any text is one.
    pub fn new(pattern: &str) -> Self {
        KeyPattern { letters: ['*', '.'].into_iter().chain(Letters(pattern.chars())).collect() }
    }

    /// Whether it is the whole of `path`, or what follows one of its dots.
    pub fn matches(&self, path: &str) -> bool {
        // Keys may come from outside, and be long. Most are told by their last letters, and so are most patterns.
        let pattern = &self.letters[2..];
        let behind_star = pattern.iter().rposition(|letter| *letter == '*').map_or(0, |at| at + 1);
        let mut before = Letters(path.chars());
        if pattern[behind_star..].iter().rev().any(|letter| before.next_back() != Some(*letter)) {
            return false;
        }
        match &pattern[..behind_star] {
            [] => matches!(before.next_back(), None | Some('.')),
            ['*'] => true,
            // Not from dot to dot, which would take the square of the key's length.
            _ => is(pattern, Letters(path.chars())) || is(&self.letters, Letters(path.chars())),
        }
    }
}

/// Whether a pattern is all of `key`. Goes back to the last star only, so it takes no more than the product of both lengths.
fn is(pattern: &[char], mut key: Letters<'_>) -> bool {
    let mut at = 0;
    let mut star = None;
    loop {
        let rest = key.clone();
        let letter = key.next();
        match (pattern.get(at), letter) {
            (None, None) => return true,
            (Some('*'), _) => {
                at += 1;
                key = rest;
                star = Some((at, key.clone()));
                continue;
            }
            (Some(expected), Some(letter)) if *expected == letter => {
                at += 1;
                continue;
            }
            _ => {}
        }
        // The last star takes one letter more.
        let Some((behind_star, mut from)) = star.take() else { return false };
        if from.next().is_none() {
            return false;
        }
        at = behind_star;
        key = from.clone();
        star = Some((behind_star, from));
    }
}

/// The letters of a key that count: upper and lower case are the same, and what only joins words is left out.
#[derive(Clone)]
struct Letters<'a>(Chars<'a>);

impl Iterator for Letters<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        self.0.find(counts).and_then(lowered)
    }
}

impl DoubleEndedIterator for Letters<'_> {
    fn next_back(&mut self) -> Option<char> {
        self.0.rfind(counts).and_then(lowered)
    }
}

fn counts(letter: &char) -> bool {
    !matches!(letter, '-' | '_' | ' ')
}

fn lowered(letter: char) -> Option<char> {
    if letter.is_ascii() { Some(letter.to_ascii_lowercase()) } else { letter.to_lowercase().next() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        KeyPattern::new(pattern).matches(path)
    }

    #[test]
    fn a_pattern_is_a_key_or_its_last_parts_however_it_is_written() {
        for path in ["password", "Password", "PASSWORD", "pass_word", "db.password", "input.auth.PassWord"] {
            assert!(matches("password", path), "{path}");
        }
        for path in ["", "passwords", "password.hint", "db.password2", "xpassword", "pass.word"] {
            assert!(!matches("password", path), "{path}");
        }
        for path in ["api_key", "apiKey", "API-KEY", "x.api_key", "openai.apikey"] {
            assert!(matches("Api-Key", path), "{path}");
        }
        assert!(matches("auth.token", "input.auth.token") && !matches("auth.token", "input.token"));
        assert!(matches("schlüssel", "SCHLÜSSEL"));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        assert!(matches("*.api_key", "openai.api_key") && !matches("*.api_key", "api_key"));
        assert!(matches("*secret*", "my.client_secrets.list"));
        assert!(matches("http.*.authorization", "http.request.header.authorization"));
        assert!(matches("*", "") && matches("*", "anything.at.all"));
        assert!(matches("a*b*c", "a.b.b.c") && !matches("a*b*c", "acb"));
        assert!(!matches("*_key", "keys"));
    }

    /// What a pattern means, by trying all that a star can stand for.
    fn obvious(pattern: &[char], key: &[char]) -> bool {
        match pattern {
            [] => key.is_empty(),
            ['*', rest @ ..] => (0..=key.len()).any(|taken| obvious(rest, &key[taken..])),
            [first, rest @ ..] => key.first() == Some(first) && obvious(rest, &key[1..]),
        }
    }

    /// From dot to dot it would take hours.
    #[test]
    fn a_key_of_nothing_but_dots_is_looked_at_as_any_other() {
        let key = ".a".repeat(1 << 20);
        for pattern in ["*x", "a*x", "*.a*x"] {
            assert!(!matches(pattern, &key), "{pattern}");
            assert!(matches(pattern, &(key.clone() + "x")), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn it_matches_what_the_obvious_thing_matches(pattern in "[ab*._]{0,8}", key in "[ab._]{0,10}") {
            let letters = |text: &str| text.chars().filter(|letter| *letter != '_').collect::<Vec<_>>();
            let behind_dots = key.match_indices('.').map(|(at, _)| &key[at + 1..]);
            let expected =
                std::iter::once(&*key).chain(behind_dots).any(|key| obvious(&letters(&pattern), &letters(key)));
            prop_assert_eq!(matches(&pattern, &key), expected);
        }
    }
}
