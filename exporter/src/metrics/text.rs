//! Prometheus' text format, version 0.0.4.
//!
//! ```text
//! # HELP spanring_recorders Recorders in the spool.
//! # TYPE spanring_recorders gauge
//! spanring_recorders 2
//! ```
//!
//! Families are sorted by name. One without samples is left out. Samples that are of one spool among several have its path as the label `spool`, before
//! the others.

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
pub(super) struct Text {
    families: Vec<Family>,
    /// Whose samples are next, where there are several.
    spool: Option<String>,
}

/// Samples of one name.
#[derive(Debug)]
pub(super) struct Family {
    name: String,
    head: String,
    samples: String,
    spool: Option<String>,
}

impl Text {
    /// From now on samples are of this spool, and labelled with it; of none in particular without one.
    pub(super) fn of_spool(&mut self, spool: Option<String>) {
        self.spool = spool;
    }

    /// Begins a family, or goes on with the one of that name. `help` is one line without backslashes.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) -> &mut Family {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let head = format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
        let at = self.families.iter().position(|family| family.name == name).unwrap_or(self.families.len());
        if at == self.families.len() {
            self.families.push(Family { name: name.to_owned(), head, samples: String::new(), spool: None });
        }
        let family = &mut self.families[at];
        family.spool.clone_from(&self.spool);
        family
    }

    /// The text.
    pub(super) fn finish(mut self) -> String {
        self.families.retain(|family| !family.samples.is_empty());
        self.families.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        self.families.into_iter().flat_map(|family| [family.head, family.samples]).collect()
    }
}

impl Family {
    /// Adds a sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl fmt::Display) {
        self.samples += &self.name;
        let of_spool = self.spool.iter().map(|spool| ("spool", spool.as_str()));
        let labels: Vec<_> = of_spool.chain(labels.iter().copied()).collect();
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
    fn samples_of_several_spools_are_of_one_family_and_labelled_with_theirs() {
        let mut text = Text::default();
        for spool in ["/x", "/y"] {
            text.of_spool(Some(spool.to_owned()));
            text.family("a", Kind::Gauge, "As.").sample(&[("b", "c")], spool.len());
        }
        text.of_spool(None);
        text.family("d", Kind::Gauge, "Ds.").sample(&[], 1);
        let expected = "\
# HELP a As.
# TYPE a gauge
a{spool=\"/x\",b=\"c\"} 2
a{spool=\"/y\",b=\"c\"} 2
# HELP d Ds.
# TYPE d gauge
d 1
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
