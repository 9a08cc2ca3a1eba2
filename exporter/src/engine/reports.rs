//! What exports of several spools came to.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::report::ExportReport;

/// What exports of several spools came to, for people (`Display`) and for programs (`Serialize`).
///
/// Of one spool both are those of its [`ExportReport`]. The object of several is that of their [total](Self::total), and has a list `spools` besides:
/// the object of each, with its directory as `spool`. So a program that knows the report of one spool can read that of several.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExportReports {
    /// What each came to, in the order in which they were named.
    pub spools: Vec<SpoolReport>,
}

/// What the export of one spool came to.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SpoolReport {
    /// The directory of the spool.
    #[serde(serialize_with = "shown")]
    pub spool: PathBuf,
    /// What it came to.
    #[serde(flatten)]
    pub report: ExportReport,
}

impl ExportReports {
    /// What these exports and earlier ones came to together, [spool by spool](ExportReport::following). Spools that only the earlier ones were
    /// of follow the others.
    #[must_use]
    pub fn following(mut self, earlier: ExportReports) -> Self {
        for earlier in earlier.spools {
            match self.spools.iter_mut().find(|later| later.spool == earlier.spool) {
                Some(later) => later.report = std::mem::take(&mut later.report).following(earlier.report),
                None => self.spools.push(earlier),
            }
        }
        self
    }

    /// What all of them came to. A sink ended as it did for the spool where it ended worst, and a trouble says of which spool it is if there are
    /// several.
    pub fn total(&self) -> ExportReport {
        if let [only] = &self.spools[..] {
            return only.report.clone();
        }
        let mut total = ExportReport::default();
        for SpoolReport { spool, report } in &self.spools {
            let ExportReport {
                sinks,
                recorders,
                recorders_removed,
                segments_removed,
                segments_in_grace,
                recoveries,
                recovered,
                unproven,
                recorders_skipped_in,
                skipped,
                troubles,
            } = report;
            for sink in sinks {
                match total.sinks.iter_mut().find(|known| known.sink == sink.sink) {
                    Some(known) => {
                        known.add(sink);
                        known.end = known.end.clone().worse(&sink.end);
                    }
                    None => total.sinks.push(sink.clone()),
                }
            }
            total.recorders += recorders;
            total.recorders_removed += recorders_removed;
            total.segments_removed += segments_removed;
            total.segments_in_grace += segments_in_grace;
            total.recoveries += recoveries;
            total.recovered.extend_from_slice(recovered);
            total.unproven.extend(unproven.iter().map(|(recorder, doubt)| (recorder.clone(), doubt.clone())));
            total.recorders_skipped_in += recorders_skipped_in;
            total.skipped.extend(skipped.iter().map(|(recorder, bytes)| (recorder.clone(), bytes.clone())));
            let spool = spool.display();
            total.troubles.extend(troubles.iter().map(|trouble| format!("spool {spool}: {trouble}")));
        }
        total
    }

    /// Whether [all](ExportReport::is_complete) is delivered, of every spool.
    pub fn is_complete(&self) -> bool {
        self.spools.iter().all(|spool| spool.report.is_complete())
    }

    /// Whether something [failed](ExportReport::is_failure), of any spool.
    pub fn is_failure(&self) -> bool {
        self.spools.iter().any(|spool| spool.report.is_failure())
    }
}

impl fmt::Display for ExportReports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = &self.spools[..] {
            return only.report.fmt(f);
        }
        for SpoolReport { spool, report } in &self.spools {
            writeln!(f, "spool {}:\n{report}", spool.display())?;
        }
        writeln!(f, "all spools:")?;
        self.total().write_counts(f)
    }
}

impl Serialize for ExportReports {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Several<'a> {
            #[serde(flatten)]
            total: ExportReport,
            spools: &'a [SpoolReport],
        }
        match &self.spools[..] {
            [only] => only.report.serialize(serializer),
            spools => Several { total: self.total(), spools }.serialize(serializer),
        }
    }
}

/// A path as a text, whatever bytes it has.
fn shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engine::report::{SinkEnd, SinkReport};

    fn report(delivered: u64, end: SinkEnd, trouble: Option<&str>) -> ExportReport {
        let sink = |name: &str, end| SinkReport { delivered, requests: 1, end, ..SinkReport::new(name) };
        ExportReport {
            sinks: vec![sink("a", end), sink("b", SinkEnd::Complete)],
            recorders: delivered,
            recorders_removed: 1,
            troubles: trouble.map(str::to_owned).into_iter().collect(),
            ..ExportReport::default()
        }
    }

    fn reports(of: &[(&str, &ExportReport)]) -> ExportReports {
        let spools =
            of.iter().map(|&(spool, report)| SpoolReport { spool: spool.into(), report: report.clone() });
        ExportReports { spools: spools.collect() }
    }

    #[test]
    fn of_one_spool_the_report_is_that_of_its_exporter_in_every_form() {
        let one = report(3, SinkEnd::Stopped, Some("a trouble"));
        let reports = reports(&[("/s", &one)]);
        assert_eq!(reports.to_string(), one.to_string());
        assert_eq!(serde_json::to_string(&reports).unwrap(), serde_json::to_string(&one).unwrap());
        assert_eq!((reports.is_complete(), reports.is_failure()), (one.is_complete(), one.is_failure()));
    }

    #[test]
    fn several_are_listed_beside_what_they_come_to_together_and_the_worst_end_counts() {
        let out = SinkEnd::GaveUp { reason: "no answer".into() };
        let (x, y) = (report(3, SinkEnd::Complete, None), report(4, out.clone(), Some("no such directory")));
        for (reports, ends) in [
            (reports(&[("/x", &x), ("/y", &y)]), [&SinkEnd::Complete, &out]),
            (reports(&[("/y", &y), ("/x", &x)]), [&out, &SinkEnd::Complete]),
        ] {
            assert!(!reports.is_complete() && reports.is_failure());
            let total = reports.total();
            assert_eq!((total.sinks.len(), &total.sinks[0].end), (2, &out));
            assert_eq!((total.sinks[0].delivered, total.sinks[0].requests, total.recorders), (7, 2, 7));
            assert_eq!(total.troubles, ["spool /y: no such directory"]);
            let json = serde_json::to_value(&reports).unwrap();
            assert_eq!(json["sinks"][0]["delivered"], 7);
            let listed = json["spools"].as_array().unwrap();
            assert_eq!(listed[0]["sinks"][0]["end"], serde_json::to_value(ends[0]).unwrap()["end"]);
            assert_eq!(listed[1]["sinks"][0]["end"], serde_json::to_value(ends[1]).unwrap()["end"]);
            // All that a report of one spool has is in each, and in the whole.
            let keys = |value: &serde_json::Value| {
                value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>()
            };
            let of_one = keys(&serde_json::to_value(&x).unwrap());
            assert!(keys(&json).is_superset(&of_one) && keys(&listed[0]).is_superset(&of_one));
            let text = reports.to_string();
            assert!(text.contains("spool /y:\na: 4 spans delivered in 1 request; gave up"), "{text}");
            assert!(text.contains("all spools:\na: 7 spans delivered in 2 requests; gave up"), "{text}");
            assert!(text.ends_with("7 recorders, 2 removed"), "{text}");
        }
        let complete = reports(&[("/x", &x), ("/z", &x)]);
        assert!(complete.is_complete() && !complete.is_failure());
    }

    #[test]
    fn reports_follow_those_of_the_same_spool() {
        let (x, y) = (report(3, SinkEnd::Stopped, None), report(4, SinkEnd::Complete, None));
        let both = reports(&[("/y", &y), ("/x", &x)]).following(reports(&[("/x", &x), ("/gone", &x)]));
        let delivered: Vec<_> =
            both.spools.iter().map(|of| (of.spool.to_str().unwrap(), of.report.sinks[0].delivered)).collect();
        assert_eq!(delivered, [("/y", 4), ("/x", 6), ("/gone", 3)]);
    }
}
