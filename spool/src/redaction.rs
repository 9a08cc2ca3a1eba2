//! Takes what looks like a secret out of texts before they are recorded: regular expressions for
//! [`Redaction::texts`](spanring::redaction::Redaction::texts).
//!
//! The engine knows no backtracking, so the time that a text takes grows with its length and the number of patterns, and no text is a trap.
//! All patterns are looked for at once, some hundred megabytes a second, and one by one only where some match. Compiling them takes
//! milliseconds, so it is done once, when a program starts.

mod secrets;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use regex::{Regex, RegexSet};
use spanring::redaction::RedactText;

/// Regular expressions of what must not be recorded.
///
/// ```
/// use spanring::redaction::Redaction;
/// use spanring_spool::Patterns;
///
/// # fn main() -> Result<(), spanring_spool::PatternError> {
/// let own = Patterns::new(["ACME-[0-9]{8}", r"customer (?<secret>\w+)"])?;
/// let redaction = Redaction::new().texts(Patterns::secrets()).texts(Patterns::emails()).texts(own);
/// # drop(redaction);
/// # Ok(())
/// # }
/// ```
///
/// They are written as for the crate `regex`. What a pattern matches is replaced, or where it has a group of the name `secret`, what that
/// matches. Where matches meet or lie over each other, all of it is replaced once.
#[derive(Clone)]
pub struct Patterns {
    /// All of them, to see which match.
    set: RegexSet,
    patterns: Vec<Pattern>,
    marker: String,
}

#[derive(Clone)]
struct Pattern {
    regex: Regex,
    /// Whether there is a group of the name `secret`.
    has_group: bool,
    /// What a match must be beside.
    check: fn(&str) -> bool,
}

/// A pattern that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PatternError {
    reason: String,
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a pattern of what is not to be recorded cannot be used: {}", self.reason)
    }
}

impl std::error::Error for PatternError {}

impl Patterns {
    /// Patterns of one's own.
    ///
    /// # Errors
    ///
    /// Where one of them is no regular expression, or they are too large together.
    pub fn new<P: AsRef<str>>(patterns: impl IntoIterator<Item = P>) -> Result<Self, PatternError> {
        let patterns: Vec<P> = patterns.into_iter().collect();
        Self::checked(patterns.iter().map(|pattern| (pattern.as_ref(), (|_| true) as fn(&str) -> bool)))
    }

    /// Secrets that are told by how they look: API keys and tokens of well-known providers, bearer tokens, JSON web tokens, private keys,
    /// passwords in URLs, and what is assigned to `password`, `api_key`, `secret` and their like, as in JSON that is a text.
    pub fn secrets() -> Self {
        secrets::known(secrets::SECRETS)
    }

    /// Addresses of e-mail.
    pub fn emails() -> Self {
        secrets::known(secrets::EMAILS)
    }

    /// Numbers of payment cards, whose check digit is right.
    pub fn card_numbers() -> Self {
        secrets::known(secrets::CARD_NUMBERS)
    }

    fn checked<'p>(
        patterns: impl Iterator<Item = (&'p str, fn(&str) -> bool)> + Clone,
    ) -> Result<Self, PatternError> {
        let error = |error: regex::Error| PatternError { reason: error.to_string() };
        let set = RegexSet::new(patterns.clone().map(|(pattern, _)| pattern)).map_err(error)?;
        let compile = |(pattern, check)| {
            let regex = Regex::new(pattern).map_err(error)?;
            let has_group = regex.capture_names().any(|name| name == Some("secret"));
            Ok(Pattern { regex, has_group, check })
        };
        let patterns = patterns.map(compile).collect::<Result<_, _>>()?;
        Ok(Patterns { set, patterns, marker: "[redacted]".to_owned() })
    }

    /// What stands for what is replaced: `[redacted]` unless said otherwise.
    pub fn marker(mut self, marker: &str) -> Self {
        marker.clone_into(&mut self.marker);
        self
    }

    /// Where in a text the secrets are, in order and apart from each other.
    fn found(&self, text: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for index in &self.set.matches(text) {
            self.patterns[index].find(text, &mut found);
        }
        found.retain(|range| !range.is_empty());
        found.sort_unstable_by_key(|range| range.start);
        found.dedup_by(|next, before| {
            let meets = next.start <= before.end;
            if meets {
                before.end = before.end.max(next.end);
            }
            meets
        });
        found
    }
}

impl Pattern {
    fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        if self.has_group {
            let matches = self.regex.captures_iter(text).filter_map(|captures| captures.name("secret"));
            found.extend(matches.filter(|found| (self.check)(found.as_str())).map(|found| found.range()));
        } else {
            let matches = self.regex.find_iter(text);
            found.extend(matches.filter(|found| (self.check)(found.as_str())).map(|found| found.range()));
        }
    }
}

impl RedactText for Patterns {
    fn redact<'t>(&self, _: &str, text: &'t str) -> Cow<'t, str> {
        if !self.set.is_match(text) {
            return Cow::Borrowed(text);
        }
        let found = self.found(text);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len());
        let mut from = 0;
        for range in found {
            shown.push_str(&text[from..range.start]);
            shown.push_str(&self.marker);
            from = range.end;
        }
        shown.push_str(&text[from..]);
        Cow::Owned(shown)
    }
}

impl fmt::Debug for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patterns").field("patterns", &self.set.patterns()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(patterns: &Patterns, text: &str) -> String {
        patterns.redact("key", text).into_owned()
    }

    #[test]
    fn matches_are_replaced_once_where_they_meet_and_a_group_says_what() {
        let patterns = Patterns::new(["abc", "cde", "x+", r"user (?<secret>\w+)"]).unwrap();
        assert_eq!(shown(&patterns, "abcde"), "[redacted]");
        assert_eq!(shown(&patterns, "abcxxx, cde"), "[redacted], [redacted]");
        assert_eq!(shown(&patterns, "user anna: user bert"), "user [redacted]: user [redacted]");
        assert_eq!(shown(&patterns.marker(""), "1abc2"), "12");
    }

    #[test]
    fn a_text_without_matches_is_lent() {
        let patterns = Patterns::new(["abc", "q*"]).unwrap();
        assert!(matches!(patterns.redact("", "nothing"), Cow::Borrowed("nothing")));
    }

    #[test]
    fn what_is_no_pattern_is_an_error_that_names_it() {
        let error = Patterns::new(["fine", "(unclosed"]).unwrap_err();
        assert!(error.to_string().contains("(unclosed"), "{error}");
        assert!(Patterns::new([r"\p{L}{1000}{1000}"]).is_err(), "it is too large");
        let none: [&str; 0] = [];
        assert_eq!(shown(&Patterns::new(none).unwrap(), "text"), "text");
    }

    proptest! {
        #[test]
        fn what_is_replaced_is_every_letter_that_some_match_has(text in "[abcx]{0,24}") {
            let patterns = Patterns::new(["ab", "bc", "xx", "c"]).unwrap().marker("");
            let mut left: Vec<Option<char>> = text.chars().map(Some).collect();
            for pattern in ["ab", "bc", "xx", "c"] {
                for (at, found) in text.match_indices(pattern) {
                    left[at..at + found.len()].fill(None);
                }
            }
            prop_assert_eq!(shown(&patterns, &text), left.into_iter().flatten().collect::<String>());
        }
    }
}
