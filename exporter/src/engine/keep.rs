//! Which traces are worth keeping, once they are over.

use std::fmt;
use std::time::Duration;

use spanring::{Status, TraceId};
use spanring_spool::SpanData;

/// Which traces a sink is delivered, decided when all is known about each (tail sampling). A trace is kept if any rule says so; of the
/// others, a share.
///
/// What ends more than two seconds after its trace was over, such as a task that nobody waited for, is judged by itself. A trace that several processes
/// recorded is judged by what each recorded of it; the share is the same in all of them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Keep {
    errors: bool,
    interrupted: bool,
    slower_than: Option<Duration>,
    dearer_than: Option<f64>,
    share: f64,
}

/// What the rules ask about a trace.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Facts {
    pub(super) first_start_unix_ns: u64,
    /// When the first of its spans ended; the greatest number while none has.
    pub(super) first_end_unix_ns: u64,
    pub(super) last_end_unix_ns: u64,
    has_error: bool,
    is_interrupted: bool,
    /// In whatever currency was said.
    cost: f64,
}

impl Keep {
    /// Keeps every trace that has a span which failed, timed out or was interrupted, and of all others this share, from 0 to 1.
    /// What lies outside counts as the nearer of both; what is no number, as 1.
    pub fn errors_and_share(share: f64) -> Self {
        let share = if share.is_nan() { 1.0 } else { share.clamp(0.0, 1.0) };
        Keep { errors: true, interrupted: true, slower_than: None, dearer_than: None, share }
    }

    /// Whether to keep a trace since a span of it failed or timed out.
    pub fn errors(mut self, errors: bool) -> Self {
        self.errors = errors;
        self
    }

    /// Whether to keep a trace since a span of it was interrupted.
    pub fn interrupted(mut self, interrupted: bool) -> Self {
        self.interrupted = interrupted;
        self
    }

    /// Keeps a trace that lasted longer than this, from its first start to its last end.
    pub fn slower_than(mut self, duration: Duration) -> Self {
        self.slower_than = Some(duration);
        self
    }

    /// Keeps a trace whose spans cost more than this together, as far as their cost was recorded: US dollars, unless other currencies were
    /// said, which are added as they are.
    pub fn dearer_than(mut self, cost: f64) -> Self {
        self.dearer_than = Some(cost);
        self
    }

    pub(super) fn keeps(&self, trace_id: TraceId, facts: &Facts) -> bool {
        self.errors && facts.has_error
            || self.interrupted && facts.is_interrupted
            || self.slower_than.is_some_and(|limit| facts.duration() > limit)
            || self.dearer_than.is_some_and(|limit| facts.cost > limit)
            || is_in_share(trace_id, self.share)
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Keep { errors, interrupted, slower_than, dearer_than, share } = self;
        let rules = [
            errors.then(|| "with an error".to_owned()),
            interrupted.then(|| "interrupted".to_owned()),
            slower_than.map(|limit| format!("slower than {limit:?}")),
            dearer_than.map(|limit| format!("dearer than {limit}")),
        ];
        let rules: Vec<_> = rules.into_iter().flatten().collect();
        match rules.as_slice() {
            [] => write!(f, "a share of {share}"),
            rules => write!(f, "those that are {}, and of the others a share of {share}", rules.join(" or ")),
        }
    }
}

/// Whether a trace is among this share of all: the same for whoever asks. The last eight bytes of an identity are its most random ones.
fn is_in_share(trace_id: TraceId, share: f64) -> bool {
    let low = trace_id.to_bytes()[8..].iter().fold(0_u64, |low, &byte| low << 8 | u64::from(byte));
    share >= 1.0 || (low as f64) < share * 2_f64.powi(64)
}

impl Facts {
    pub(super) fn add(&mut self, span: &SpanData) {
        self.first_start_unix_ns = self.first_start_unix_ns.min(span.start_unix_ns);
        self.first_end_unix_ns = self.first_end_unix_ns.min(span.end_unix_ns);
        self.last_end_unix_ns = self.last_end_unix_ns.max(span.end_unix_ns);
        self.has_error |= matches!(span.status, Status::Error | Status::TimedOut);
        self.is_interrupted |= span.interrupted;
        if let Some(cost) = span.cost() {
            // What is no number would take with it what all other spans cost.
            let said = |part: Option<f64>| part.filter(|part| part.is_finite());
            let parts = [cost.input, cost.output, cost.reasoning].into_iter().filter_map(said).sum::<f64>();
            self.cost += said(cost.total).unwrap_or(parts - said(cost.cached_discount).unwrap_or(0.0));
        }
    }

    fn duration(&self) -> Duration {
        Duration::from_nanos(self.last_end_unix_ns.saturating_sub(self.first_start_unix_ns))
    }
}

impl Default for Facts {
    fn default() -> Self {
        Facts {
            first_start_unix_ns: u64::MAX,
            first_end_unix_ns: u64::MAX,
            last_end_unix_ns: 0,
            has_error: false,
            is_interrupted: false,
            cost: 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use spanring_spool::Value;

    use super::*;

    #[test]
    fn a_cost_that_is_no_number_takes_nothing_from_what_the_others_cost() {
        let mut facts = Facts::default();
        for cost in [100.0, f64::NAN, f64::NEG_INFINITY] {
            let attributes = vec![(spanring::names::COST_TOTAL.to_owned(), Value::F64(cost))];
            facts.add(&SpanData { attributes, ..SpanData::default() });
        }
        let keep = Keep::errors_and_share(0.0).dearer_than(50.0);
        assert!(keep.keeps(TraceId::from_bytes([9; 16]), &facts), "{facts:?}");
    }
}
