//! A strict reader of Prometheus' text format, version 0.0.4: stricter than Prometheus itself, as what we write has one form.
//!
//! A family is a HELP line, a TYPE line and one sample or more, all of one name. Families are sorted by name. The samples of a family have the same
//! label names, and no two the same labels. Counters, and nothing else, end in `_total`. Names have base units.

use std::collections::{BTreeMap, BTreeSet};

/// The families, by name.
#[derive(Debug)]
pub(crate) struct Exposition(BTreeMap<String, Family>);

#[derive(Debug)]
struct Family {
    kind: String,
    samples: BTreeMap<Labels, f64>,
}

type Labels = BTreeMap<String, String>;

/// What stands behind the last `_` of a name of another unit than the base one.
const OTHER_UNITS: [&str; 10] = [
    "ms",
    "milliseconds",
    "us",
    "ns",
    "nanoseconds",
    "minutes",
    "hours",
    "kilobytes",
    "megabytes",
    "percent",
];

impl Exposition {
    /// Reads a text; what is wrong with it, and in which line, if anything is.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let Some(body) = text.strip_suffix('\n') else { return Err("the last line has no end".into()) };
        let mut lines = body.split('\n').enumerate().peekable();
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        while let Some((number, line)) = lines.next() {
            let wrong = |what: &str| format!("line {}: {what}", number + 1);
            let Some(help) = line.strip_prefix("# HELP ") else {
                return Err(wrong("no HELP where a family begins"));
            };
            let (name, help) = help.split_once(' ').ok_or_else(|| wrong("no text of HELP"))?;
            if !is_name(name, true) || !is_help(help) {
                return Err(wrong("no name, or no text"));
            }
            if families.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
                return Err(wrong("the family is not sorted, or comes twice"));
            }
            let kind = lines.next().and_then(|(_, line)| line.strip_prefix("# TYPE ")?.strip_prefix(name));
            let kind =
                kind.and_then(|rest| rest.strip_prefix(' ')).ok_or_else(|| wrong("no TYPE behind it"))?;
            if !matches!(kind, "counter" | "gauge") {
                return Err(wrong("an unknown type"));
            }
            if (kind == "counter") != name.ends_with("_total") {
                return Err(wrong("a counter that does not end in _total, or a gauge that does"));
            }
            let base = name.strip_suffix("_total").unwrap_or(name);
            if OTHER_UNITS.iter().any(|unit| base.ends_with(&format!("_{unit}"))) {
                return Err(wrong("another unit than the base one"));
            }
            let mut samples = BTreeMap::new();
            while let Some((number, line)) = lines.next_if(|(_, line)| !line.starts_with('#')) {
                let wrong = |what: &str| format!("line {}: {what}", number + 1);
                let (labels, value) = sample(line, name).ok_or_else(|| wrong("no sample of the family"))?;
                if kind == "counter" && !(value >= 0.0 && value.is_finite()) {
                    return Err(wrong("a counter below zero"));
                }
                let keys = |labels: &Labels| labels.keys().cloned().collect::<BTreeSet<_>>();
                if samples.keys().next().is_some_and(|first| keys(first) != keys(&labels)) {
                    return Err(wrong("other labels than the samples before"));
                }
                if samples.insert(labels, value).is_some() {
                    return Err(wrong("the sample comes twice"));
                }
            }
            if samples.is_empty() {
                return Err(wrong("a family without samples"));
            }
            families.insert(name.to_owned(), Family { kind: kind.to_owned(), samples });
        }
        Ok(Exposition(families))
    }

    /// The names of the families.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The value of the only sample with these labels, if there is one; the others do not matter.
    #[track_caller]
    pub(crate) fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |of: &Labels| labels.iter().all(|(key, value)| of.get(*key).is_some_and(|v| v == value));
        let samples = self.0.get(name).into_iter().flat_map(|family| &family.samples);
        let fitting = samples.filter(|(of, _)| fits(of)).map(|(_, value)| *value).collect::<Vec<_>>();
        assert!(fitting.len() <= 1, "{} samples of {name} with {labels:?}", fitting.len());
        fitting.first().copied()
    }

    /// The value of such a sample, which is there.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no sample of {name} with {labels:?}: {self:#?}"))
    }

    /// The values of a label.
    pub(crate) fn label(&self, name: &str, key: &str) -> BTreeSet<&str> {
        let samples = self.0.get(name).into_iter().flat_map(|family| family.samples.keys());
        samples.filter_map(|labels| labels.get(key)).map(String::as_str).collect()
    }

    /// Whether no counter is lower than it was, where both have it.
    pub(crate) fn is_not_before(&self, earlier: &Exposition) -> bool {
        let counters = earlier.0.iter().filter(|(_, family)| family.kind == "counter");
        let mut samples =
            counters.flat_map(|(name, family)| family.samples.iter().map(move |sample| (name, sample)));
        samples.all(|(name, (labels, value))| {
            let now = self.0.get(name).and_then(|family| family.samples.get(labels));
            now.is_some_and(|now| now >= value)
        })
    }
}

/// `name{label="text",…} value`, or without the braces.
fn sample(line: &str, name: &str) -> Option<(Labels, f64)> {
    let rest = line.strip_prefix(name)?;
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    let value = value.strip_prefix(' ')?;
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_number = is_plain && value.starts_with(|c: char| c.is_ascii_digit());
    is_number.then(|| value.parse().ok()).flatten().map(|value| (labels, value))
}

/// Reads from behind `{` to behind `}`, and returns what follows.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        let (key, behind) = rest.split_once("=\"")?;
        if !is_name(key, false) || key.starts_with("__") {
            return None;
        }
        let mut value = String::new();
        let mut chars = behind.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => value.push(match chars.next()? {
                    '\\' => '\\',
                    '"' => '"',
                    'n' => '\n',
                    _ => return None,
                }),
                c => value.push(c),
            }
        }
        if labels.insert(key.to_owned(), value).is_some() {
            return None;
        }
        rest = chars.as_str();
        match rest.as_bytes().first()? {
            b',' => rest = &rest[1..],
            b'}' => return Some((labels, &rest[1..])),
            _ => return None,
        }
    }
}

fn is_name(name: &str, may_have_colons: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (may_have_colons && c == ':');
    name.chars().all(fits) && name.starts_with(|c: char| !c.is_ascii_digit())
}

/// Of a help, backslashes and ends of lines are escaped; ours has neither.
fn is_help(help: &str) -> bool {
    !help.is_empty() && !help.contains('\\') && !help.chars().any(char::is_control)
}

const GOOD: &str = "\
# HELP a_seconds As.
# TYPE a_seconds gauge
a_seconds{x=\"1\",y=\"\\\"\\\\\\n}\"} 0.5
a_seconds{x=\"2\",y=\"\"} 2
# HELP b_total Bs.
# TYPE b_total counter
b_total 3
";

#[test]
fn what_is_right_is_read() {
    let read = Exposition::read(GOOD).unwrap();
    assert_eq!(read.names().collect::<Vec<_>>(), ["a_seconds", "b_total"]);
    assert_eq!(read.value("a_seconds", &[("x", "1"), ("y", "\"\\\n}")]), 0.5);
    assert_eq!(read.label("a_seconds", "x"), ["1", "2"].into());
    assert_eq!((read.value("b_total", &[]), read.find("c", &[])), (3.0, None));
}

#[test]
fn each_thing_that_is_wrong_is_seen() {
    for (right, wrong) in [
        ("b_total 3\n", "b_total 3"),
        ("# HELP a_seconds As.\n", ""),
        ("# TYPE a_seconds gauge\n", ""),
        ("# TYPE a_seconds gauge\n", "# TYPE a_seconds gauge\n# TYPE a_seconds gauge\n"),
        ("# TYPE a_seconds gauge", "# TYPE c_seconds gauge"),
        ("a_seconds gauge", "a_seconds counter"),
        ("a_seconds gauge", "a_seconds untyped"),
        ("b_total counter", "b_total gauge"),
        ("HELP a_seconds As.", "HELP a_seconds A\\s."),
        ("HELP a_seconds As.", "HELP a_seconds"),
        ("x=\"2\",y=\"\"} 2", "x=\"1\",y=\"\\\"\\\\\\n}\"} 0.5"),
        ("x=\"2\",y=\"\"", "x=\"2\",x=\"\""),
        ("x=\"2\",y=\"\"", "x=\"2\""),
        ("x=\"2\",y=\"\"", "x=\"2\",y=\"\"\""),
        ("x=\"2\",y=\"\"", "x=\"2\",y=\"\\t\""),
        ("x=\"2\",y=\"\"", "x=\"2\",y=\"\n\""),
        ("x=\"2\",y=\"\"", "x=\"2\",y=\"\","),
        ("x=\"2\",y=\"\"", "x=\"2\", y=\"\""),
        ("x=\"2\",y=\"\"", "x=\"2\",1y=\"\""),
        ("x=\"2\",y=\"\"", "x=\"2\",y=2"),
        ("b_total 3\n", "b_total  3\n"),
        ("b_total 3\n", "b_total -3\n"),
        ("b_total 3\n", "b_total NaN\n"),
        ("b_total 3\n", "b_total 3 1700000000000\n"),
        ("b_total 3\n", "b_total 3\r\n"),
        ("b_total 3\n", "b_total\n"),
        ("b_total 3\n", ""),
        ("b_total 3\n", "b_total 3\n\n"),
        ("b_total 3\n", "b_total 3\nb_total 3\n"),
        ("b_total 3\n", "b_totals 3\n"),
        ("# HELP b_total", "# HELP a_total"),
    ] {
        let text = GOOD.replacen(right, wrong, 1);
        assert_ne!(text, GOOD, "{right:?}");
        assert!(Exposition::read(&text).is_err(), "{wrong:?} for {right:?}");
    }
    for (name, other) in [("b_total", "a_secondr_total"), ("a_seconds", "a_ms"), ("a_seconds", "b_total")] {
        assert!(Exposition::read(&GOOD.replace(name, other)).is_err(), "{other}");
    }
    let twice = format!("{GOOD}{}", GOOD.split_once("# HELP b").unwrap().0);
    assert!(Exposition::read(&twice).is_err());
}
