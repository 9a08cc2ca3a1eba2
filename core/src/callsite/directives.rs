//! Which callsites are enabled, as text says it.

use std::fmt;
use std::str::FromStr;

use super::{Callsite, Filter};

/// No text is longer, in bytes.
const LEN_MAX: usize = 16 * 1024;

/// Which callsites are enabled, as text says it: `off,shop=on,shop::cache=off,name:heartbeat=off`.
///
/// Each part, between commas, is a selector, `=`, and `on` or `off`; without a selector it is about every callsite. A selector is the path of
/// a module, and is about those within it too; or `name:` and the name of the spans, whole. The last part that is about a callsite
/// counts. What no part is about is enabled.
///
/// ```
/// use spanring::callsite::Directives;
///
/// let directives: Directives = "shop=off,shop::checkout=on".parse().unwrap();
/// assert!("shop=of".parse::<Directives>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Directives {
    directives: Vec<(Selector, bool)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Selector {
    All,
    Within(String),
    Named(String),
}

/// What is wrong with the text of [`Directives`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DirectivesError {
    /// This part says neither `on` nor `off`.
    NeitherOnNorOff(String),
    /// A part has nothing in front of its `=`.
    NoSelector,
    /// The text is longer than 16 KiB.
    TooLong,
}

impl fmt::Display for DirectivesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DirectivesError::NeitherOnNorOff(part) => write!(f, "{part:?} in it says neither on nor off"),
            DirectivesError::NoSelector => f.write_str("a part of it has nothing in front of its ="),
            DirectivesError::TooLong => f.write_str("it is longer than 16 KiB"),
        }
    }
}

impl std::error::Error for DirectivesError {}

impl FromStr for Directives {
    type Err = DirectivesError;

    fn from_str(text: &str) -> Result<Self, DirectivesError> {
        if text.len() > LEN_MAX {
            return Err(DirectivesError::TooLong);
        }
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        Ok(Directives { directives: parts.map(directive).collect::<Result<_, _>>()? })
    }
}

fn directive(part: &str) -> Result<(Selector, bool), DirectivesError> {
    let (selector, state) = match part.rsplit_once('=') {
        Some((selector, state)) => (Some(selector.trim_end()), state.trim_start()),
        None => (None, part),
    };
    let is_on = match state {
        "on" => true,
        "off" => false,
        _ => return Err(DirectivesError::NeitherOnNorOff(part.to_owned())),
    };
    let selector = match selector {
        None => Selector::All,
        Some("" | "name:") => return Err(DirectivesError::NoSelector),
        Some(selector) => match selector.strip_prefix("name:") {
            Some(name) => Selector::Named(name.to_owned()),
            None => Selector::Within(selector.to_owned()),
        },
    };
    Ok((selector, is_on))
}

impl Selector {
    fn is_about(&self, callsite: &Callsite) -> bool {
        match self {
            Selector::All => true,
            Selector::Named(name) => callsite.name() == name,
            Selector::Within(module) => callsite
                .target()
                .strip_prefix(module.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::")),
        }
    }
}

impl Filter for Directives {
    fn is_enabled(&self, callsite: &Callsite) -> bool {
        let last = self.directives.iter().rev().find(|(selector, _)| selector.is_about(callsite));
        last.is_none_or(|(_, is_on)| *is_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn is_enabled(directives: &str, name: &'static str, target: &'static str) -> bool {
        let directives: Directives = directives.parse().unwrap();
        directives.is_enabled(&Callsite::new(name, Kind::Tool, target, "src/lib.rs", 1))
    }

    #[test]
    fn the_last_part_that_is_about_a_callsite_counts() {
        for (directives, expected) in [
            ("", true),
            (" , ", true),
            ("off", false),
            ("off,on", true),
            ("off, shop::cart = on", true),
            ("shop=off", false),
            ("shop::cart=off", false),
            ("shop::cart::row=off", true),
            ("sho=off", true),
            ("shop::ca=off", true),
            ("shop=off,shop::cart=on", true),
            ("shop::cart=on,shop=off", false),
            ("name:add=off", false),
            ("name:ad=off", true),
            ("shop=on,name:add=off", false),
            ("name:cart=off", true),
        ] {
            assert_eq!(is_enabled(directives, "add", "shop::cart"), expected, "{directives:?}");
        }
        assert!(!is_enabled("name:a=b=off", "a=b", "shop"), "a name may hold a =");
    }

    #[test]
    fn text_that_makes_no_sense_is_an_error() {
        use DirectivesError::{NeitherOnNorOff, NoSelector, TooLong};
        let of = |text: &str| text.parse::<Directives>().unwrap_err();
        for text in ["shop", "shop=", "shop=of", "shop=ON", "=", "on=shop"] {
            assert_eq!(of(text), NeitherOnNorOff(text.to_owned()));
        }
        assert_eq!(of("on,=off"), NoSelector);
        assert_eq!(of("name:=off"), NoSelector);
        assert_eq!(of(&" ".repeat(LEN_MAX + 1)), TooLong);
        assert_eq!(of("shop=of").to_string(), "\"shop=of\" in it says neither on nor off");
    }
}
