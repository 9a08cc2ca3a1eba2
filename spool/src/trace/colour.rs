//! Colours for terminals.

use std::env;
use std::io::IsTerminal;

/// Whether text for a terminal is coloured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Colour {
    /// Without colours.
    #[default]
    Never,
    /// With colours, wherever it goes.
    Always,
}

impl Colour {
    /// With colours where the text goes to a terminal, unless the environment variable `NO_COLOR` is set and not empty.
    ///
    /// ```
    /// use spanring_spool::Colour;
    ///
    /// let colour = Colour::auto(&std::io::stdout());
    /// # assert!(colour == Colour::Never || std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
    /// ```
    pub fn auto(to: &impl IsTerminal) -> Self {
        let is_wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if is_wanted && to.is_terminal() { Colour::Always } else { Colour::Never }
    }
}

pub(super) const GREEN: &str = "\u{1b}[32m";
pub(super) const YELLOW: &str = "\u{1b}[33m";
pub(super) const RED: &str = "\u{1b}[31m";

/// The control sequences of colours, where there are to be any.
#[derive(Clone, Copy)]
pub(super) struct Paint {
    is_on: bool,
}

impl Paint {
    pub(super) fn of(colour: Colour) -> Self {
        Paint { is_on: colour == Colour::Always }
    }

    pub(super) fn colour(self, sequence: &'static str) -> &'static str {
        if self.is_on { sequence } else { "" }
    }

    pub(super) fn bold(self) -> &'static str {
        self.colour("\u{1b}[1m")
    }

    pub(super) fn dim(self) -> &'static str {
        self.colour("\u{1b}[2m")
    }

    pub(super) fn off(self) -> &'static str {
        self.colour("\u{1b}[0m")
    }
}
