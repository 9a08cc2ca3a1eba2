//! Prometheus' text format, version 0.0.4.
//!
//! ```text
//! # HELP spanring_recorders Recorders in the spool.
//! # TYPE spanring_recorders gauge
//! spanring_recorders 2
//! ```
//!
//! Families are sorted by name. One without samples is left out.

use std::fmt;

/// What a family's samples are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Only grows, until the exporter begins anew. Its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Families of samples, on their way to be text.
#[derive(Debug, Default)]
pub(super) struct Text(Vec<Family>);

/// Samples of one name.
#[derive(Debug)]
pub(super) struct Family {
    name: String,
    head: String,
    samples: String,
}

impl Text {
    /// Begins a family. `help` is one line without backslashes.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) -> &mut Family {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        let at = self.0.len();
        self.0.push(Family { name: name.to_owned(), head, samples: String::new() });
        &mut self.0[at]
    }

    /// The text.
    pub(super) fn finish(mut self) -> String {
        self.0.retain(|family| !family.samples.is_empty());
        self.0.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        self.0.into_iter().flat_map(|family| [family.head, family.samples]).collect()
    }
}

impl Family {
    /// Adds a sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.samples += &self.name;
        for (number, (label, text)) in labels.iter().enumerate() {
            self.samples.push(if number == 0 { '{' } else { ',' });
            self.samples += label;
            self.samples += "=\"";
            for c in text.chars() {
                match c {
                    '\\' => self.samples += "\\\\",
                    '"' => self.samples += "\\\"",
                    '\n' => self.samples += "\\n",
                    c => self.samples.push(c),
                }
            }
            self.samples.push('"');
        }
        if !labels.is_empty() {
            self.samples.push('}');
        }
        self.samples += &format!(" {value}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_sorted_and_those_without_samples_are_left_out() {
        let mut text = Text::default();
        text.family("b_total", Kind::Counter, "Bs.").sample(&[], u64::MAX);
        text.family("c", Kind::Gauge, "Cs.");
        let mut a = text.family("a", Kind::Gauge, "As.");
        a.sample(&[("x", "1"), ("y", "")], 0.5);
        a = text.family("aa", Kind::Gauge, "More.");
        a.sample(&[], 2);
        let expected = "\
# HELP a As.
# TYPE a gauge
a{x=\"1\",y=\"\"} 0.5
# HELP aa More.
# TYPE aa gauge
aa 2
# HELP b_total Bs.
# TYPE b_total counter
b_total 18446744073709551615
";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn what_would_end_a_label_is_escaped() {
        let mut text = Text::default();
        text.family("a", Kind::Gauge, "As.").sample(&[("x", "\"\\\n\\n\r\u{2028}é}")], 1);
        let sample = "a{x=\"\\\"\\\\\\n\\\\n\r\u{2028}é}\"} 1\n";
        assert!(text.finish().ends_with(sample));
    }
}
