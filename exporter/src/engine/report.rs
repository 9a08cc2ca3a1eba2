//! What an export came to.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use spanring_spool::{Doubt, RecorderId, RecoveryReport, Skipped};

use super::json::{recovery_json, skipped_json};

/// What an export came to, for people (`Display`) and for programs (`Serialize`).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExportReport {
    /// What each sink was delivered, in the order in which they were named.
    pub sinks: Vec<SinkReport>,
    /// How many recorders there were.
    pub recorders: u64,
    /// How many of them are gone, since all they held was delivered or set aside.
    pub recorders_removed: u64,
    /// How many segments were removed, those of removed recorders included.
    pub segments_removed: u64,
    /// How many segments every sink had got behind in the end, and that stay since they are [in grace](super::Exporter::grace).
    pub segments_in_grace: u64,
    /// How many recorders were recovered, since their process had died.
    pub recoveries: u64,
    /// What was recovered of each. An exporter that follows its spool keeps none of it; its notices told.
    pub recovered: Vec<RecoveryReport>,
    /// The recorders of which nobody can tell whether their process lives.
    pub unproven: BTreeMap<RecorderId, Doubt>,
    /// Of how many recorders something could not be read.
    pub recorders_skipped_in: u64,
    /// What could not be read, by recorder. An exporter that follows its spool forgets that of recorders that are gone; its
    /// notices told.
    pub skipped: BTreeMap<RecorderId, Skipped>,
    /// What did not work and was not mended until the end.
    pub troubles: Vec<String>,
}

/// What one sink was delivered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct SinkReport {
    /// Its address.
    pub sink: String,
    /// How many spans it has taken.
    pub delivered: u64,
    /// How many spans it took and did not want (partial success). They are not sent again.
    pub rejected: u64,
    /// How many spans it refused one by one, and that were set aside as dead letters.
    pub dead_lettered: u64,
    /// How much was damaged in the spool before it got it: spans, and announcements of spans that had started.
    pub lost: u64,
    /// How many spans it was not sent, since the rules of its route do not keep their traces.
    pub sampled_out: u64,
    /// How many batches were sent, again or not.
    pub requests: u64,
    /// How many of those were sent again.
    pub retries: u64,
    /// How many of those it refused, so that their halves were sent.
    pub divided: u64,
    /// How it ended.
    #[serde(flatten)]
    pub end: SinkEnd,
}

/// How the delivery to a sink ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "end", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SinkEnd {
    /// Everything that was there is delivered, or set aside as dead letters.
    Complete,
    /// The exporter was asked to stop.
    Stopped,
    /// Some recorder could not be read; the others are delivered.
    Incomplete,
    /// The sink could not be reached, or did not take anything, until the deadline.
    GaveUp {
        /// What was wrong last.
        reason: String,
    },
    /// The sink takes nothing, or what it refuses cannot be set aside.
    Refused {
        /// Why.
        reason: String,
    },
}

impl SinkReport {
    pub(super) fn new(sink: &str) -> Self {
        SinkReport {
            sink: sink.to_owned(),
            delivered: 0,
            rejected: 0,
            dead_lettered: 0,
            lost: 0,
            sampled_out: 0,
            requests: 0,
            retries: 0,
            divided: 0,
            end: SinkEnd::Stopped,
        }
    }

    /// Adds what it was delivered otherwise. How it ended is left as it is.
    pub(super) fn add(&mut self, earlier: &SinkReport) {
        self.delivered += earlier.delivered;
        self.rejected += earlier.rejected;
        self.dead_lettered += earlier.dead_lettered;
        self.lost += earlier.lost;
        self.sampled_out += earlier.sampled_out;
        self.requests += earlier.requests;
        self.retries += earlier.retries;
        self.divided += earlier.divided;
    }
}

impl SinkEnd {
    /// How bad it is; the higher, the worse.
    fn rank(&self) -> u8 {
        match self {
            SinkEnd::Complete => 0,
            SinkEnd::Stopped => 1,
            SinkEnd::Incomplete => 2,
            SinkEnd::GaveUp { .. } => 3,
            SinkEnd::Refused { .. } => 4,
        }
    }

    /// The worse one of two; the first of two that are as bad.
    pub(super) fn worse(self, other: &SinkEnd) -> SinkEnd {
        if other.rank() > self.rank() { other.clone() } else { self }
    }
}

impl ExportReport {
    /// What this export and an earlier one of the same spool came to together. How a sink ended is what it came to last, and what went
    /// wrong is what was not mended since.
    #[must_use]
    pub fn following(mut self, earlier: ExportReport) -> Self {
        for sink in earlier.sinks {
            match self.sinks.iter_mut().find(|later| later.sink == sink.sink) {
                Some(later) => later.add(&sink),
                None => self.sinks.push(sink),
            }
        }
        // Those that were removed are not among the later ones.
        self.recorders += earlier.recorders_removed;
        self.recorders_removed += earlier.recorders_removed;
        self.segments_removed += earlier.segments_removed;
        self.recoveries += earlier.recoveries;
        self.recovered.splice(0..0, earlier.recovered);
        self.recorders_skipped_in = self.recorders_skipped_in.max(earlier.recorders_skipped_in);
        for (recorder, skipped) in earlier.skipped {
            self.skipped.entry(recorder).or_insert(skipped);
        }
        self
    }

    /// Whether every sink has all that was there, and nothing else went wrong. What it refused and was set aside a sink has not, nor what is
    /// damaged, nor what the memory of a recorder holds that was left alone, since its process may live.
    pub fn is_complete(&self) -> bool {
        self.troubles.is_empty()
            && self.unproven.is_empty()
            && self.recorders_skipped_in == 0
            && self
                .sinks
                .iter()
                .all(|sink| sink.end == SinkEnd::Complete && sink.dead_lettered == 0 && sink.lost == 0)
    }

    /// Whether some sink failed, or something else went wrong. A stop that was asked for is no failure.
    pub fn is_failure(&self) -> bool {
        let is_failure = |sink: &SinkReport| !matches!(sink.end, SinkEnd::Complete | SinkEnd::Stopped);
        !self.troubles.is_empty() || !self.unproven.is_empty() || self.sinks.iter().any(is_failure)
    }
}

impl ExportReport {
    /// How much it was, without what each recorder came to.
    pub(super) fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for sink in &self.sinks {
            writeln!(f, "{sink}")?;
        }
        write!(f, "{}, {} removed", counted(self.recorders, "recorder"), self.recorders_removed)?;
        if self.segments_in_grace > 0 {
            write!(f, ", {} kept in grace", counted(self.segments_in_grace, "segment"))?;
        }
        if self.recoveries > 0 {
            write!(f, ", {} recovered", self.recoveries)?;
        }
        if !self.unproven.is_empty() {
            write!(f, ", {} not recovered since their process may live", self.unproven.len())?;
        }
        if self.recorders_skipped_in > 0 {
            write!(f, ", {} not read in full", self.recorders_skipped_in)?;
        }
        Ok(())
    }
}

impl fmt::Display for ExportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_counts(f)?;
        for (recorder, skipped) in &self.skipped {
            write!(f, "\nrecorder {recorder}: {skipped}")?;
        }
        for trouble in &self.troubles {
            write!(f, "\n{trouble}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SinkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SinkReport {
            sink,
            delivered,
            rejected,
            dead_lettered,
            lost,
            sampled_out,
            requests,
            retries,
            divided,
            end,
        } = self;
        write!(f, "{sink}: {} delivered in {}", counted(*delivered, "span"), counted(*requests, "request"))?;
        if *retries > 0 {
            write!(f, ", {} again", retries)?;
        }
        if *divided > 0 {
            write!(f, ", {divided} divided")?;
        }
        if *rejected > 0 {
            write!(f, ", {} rejected by the receiver", counted(*rejected, "span"))?;
        }
        if *dead_lettered > 0 {
            write!(f, ", {} refused and set aside as dead letters", counted(*dead_lettered, "span"))?;
        }
        if *lost > 0 {
            write!(f, ", {} and announcements damaged in the spool", counted(*lost, "span"))?;
        }
        if *sampled_out > 0 {
            write!(f, ", {} of traces that are not kept", counted(*sampled_out, "span"))?;
        }
        match end {
            SinkEnd::Complete => Ok(()),
            SinkEnd::Stopped => write!(f, "; stopped"),
            SinkEnd::Incomplete => write!(f, "; some recorders could not be read"),
            SinkEnd::GaveUp { reason } => write!(f, "; gave up, the rest is kept: {reason}"),
            SinkEnd::Refused { reason } => write!(f, "; refused, the rest is kept: {reason}"),
        }
    }
}

/// A number of things, in words.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

impl Serialize for ExportReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("sinks", &self.sinks)?;
        map.serialize_entry("recorders", &self.recorders)?;
        map.serialize_entry("recorders_removed", &self.recorders_removed)?;
        map.serialize_entry("segments_removed", &self.segments_removed)?;
        map.serialize_entry("segments_in_grace", &self.segments_in_grace)?;
        map.serialize_entry("recoveries", &self.recoveries)?;
        map.serialize_entry("recovered", &self.recovered.iter().map(recovery_json).collect::<Vec<_>>())?;
        map.serialize_entry("unproven", &by_recorder(&self.unproven, Doubt::to_string))?;
        map.serialize_entry("recorders_skipped_in", &self.recorders_skipped_in)?;
        map.serialize_entry("skipped", &by_recorder(&self.skipped, skipped_json))?;
        map.serialize_entry("troubles", &self.troubles)?;
        map.end()
    }
}

fn by_recorder<V, T>(values: &BTreeMap<RecorderId, V>, to: impl Fn(&V) -> T) -> BTreeMap<&str, T> {
    values.iter().map(|(recorder, value)| (recorder.as_str(), to(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(name: &str, delivered: u64, end: SinkEnd) -> SinkReport {
        let counts = SinkReport::new(name);
        SinkReport {
            delivered,
            rejected: 1,
            dead_lettered: 2,
            requests: 3,
            retries: 4,
            divided: 5,
            end,
            ..counts
        }
    }

    #[test]
    fn two_exports_come_to_the_sum_of_what_they_did_and_to_the_end_of_the_later() {
        let earlier = ExportReport {
            sinks: vec![sink("a", 10, SinkEnd::Stopped), sink("gone", 20, SinkEnd::Stopped)],
            recorders: 5,
            recorders_removed: 2,
            segments_removed: 7,
            recoveries: 1,
            recorders_skipped_in: 1,
            troubles: vec!["mended since".to_owned()],
            ..ExportReport::default()
        };
        let later = ExportReport {
            sinks: vec![sink("new", 30, SinkEnd::Complete), sink("a", 40, SinkEnd::Complete)],
            // Those three that were left, and one that is new.
            recorders: 4,
            recorders_removed: 4,
            segments_removed: 3,
            ..ExportReport::default()
        };
        let both = later.following(earlier);
        let counts = |sink: &SinkReport| {
            let SinkReport { delivered, rejected, dead_lettered, requests, retries, divided, .. } = *sink;
            [delivered, rejected, dead_lettered, requests, retries, divided]
        };
        let sinks: Vec<_> =
            both.sinks.iter().map(|sink| (sink.sink.as_str(), counts(sink), sink.end.clone())).collect();
        let expected = [
            ("new", [30, 1, 2, 3, 4, 5], SinkEnd::Complete),
            ("a", [50, 2, 4, 6, 8, 10], SinkEnd::Complete),
            ("gone", [20, 1, 2, 3, 4, 5], SinkEnd::Stopped),
        ];
        assert_eq!(sinks, expected);
        assert_eq!((both.recorders, both.recorders_removed, both.segments_removed), (6, 6, 10));
        assert_eq!((both.recoveries, both.recorders_skipped_in), (1, 1));
        assert!(both.troubles.is_empty());
    }
}
