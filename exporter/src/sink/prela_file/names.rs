//! What Prela's files are called: `traces-2026-11-20-001.jsonl`.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// The name of a file. A later one is greater.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct FileName {
    date: String,
    number: u64,
}

impl FileName {
    /// The first of a day.
    pub(super) fn first_of(date: &str) -> Self {
        FileName { date: date.to_owned(), number: 1 }
    }

    /// The one behind it.
    pub(super) fn next(&self) -> Self {
        FileName { number: self.number.saturating_add(1), ..self.clone() }
    }

    /// Its day: `2026-11-20`.
    pub(super) fn date(&self) -> &str {
        &self.date
    }

    /// Those in a directory, the latest first.
    pub(super) fn all_in(directory: &Path) -> io::Result<Vec<Self>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            names.extend(entry?.file_name().to_str().and_then(Self::parse));
        }
        names.sort_unstable_by(|one, other| other.cmp(one));
        Ok(names)
    }

    /// The opposite of its text.
    fn parse(name: &str) -> Option<Self> {
        let (date, number) = name.strip_prefix("traces-")?.strip_suffix(".jsonl")?.rsplit_once('-')?;
        let is_date = date.len() == "2026-11-20".len()
            && date.bytes().enumerate().all(|(at, byte)| match at {
                4 | 7 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        let parsed = FileName { date: date.to_owned(), number: number.parse().ok()? };
        // A number has one way to be written.
        (is_date && parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "traces-{}-{:03}.jsonl", self.date, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_exactly_one_form_are_prelas() {
        for name in
            ["traces-2026-11-20-001.jsonl", "traces-2026-11-20-999.jsonl", "traces-2026-11-20-1000.jsonl"]
        {
            assert_eq!(FileName::parse(name).unwrap().to_string(), name);
        }
        for name in [
            "",
            "traces-2026-11-20.jsonl",
            "traces-2026-11-20-1.jsonl",
            "traces-2026-11-20-0001.jsonl",
            "traces-2026-11-20-+01.jsonl",
            "traces-2026-11-20-001.ndjson",
            "traces-2026-11-20-001.jsonl.gz",
            "traces-20261120-001.jsonl",
            "traces-2026-11-2x-001.jsonl",
            "other-2026-11-20-001.jsonl",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_later_name_is_greater_however_many_files_a_day_has() {
        let mut names = vec![FileName::first_of("2026-11-20")];
        for _ in 0..1100 {
            names.push(names[names.len() - 1].next());
        }
        names.push(FileName::first_of("2026-11-21"));
        assert!(names.is_sorted_by(|one, other| one < other));
    }
}
