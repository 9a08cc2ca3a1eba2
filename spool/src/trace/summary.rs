//! What the spans of a trace come to.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeStruct, Serializer};
use spanring::{Kind, SpanId, Status, Tokens, TraceId};

use super::critical_path::critical_path;
use super::shown::{Count, Duration, Money, Shown};
use super::{Trace, never_started};

/// What the spans of a trace come to.
///
/// A span that never started counts as a span, and as cancelled or interrupted if it is. It is no call of a model or a tool, since
/// nothing was called, and takes no time. One that was still waiting for its start when its process died is interrupted, and no error:
/// it did nothing that could fail.
///
/// As JSON it is an object of the fields' names; identities are hexadecimal text, and tokens of which nothing was said are 0.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The trace.
    pub trace_id: TraceId,
    /// Its [name](Trace::name).
    pub name: String,
    /// How many spans it has, those that never started included.
    pub spans: u64,
    /// How many of them are calls of a language model: of kind llm or response.
    pub llm_calls: u64,
    /// How many are calls of a tool.
    pub tool_calls: u64,
    /// How many failed. One that was interrupted failed too, unless its deadline had passed or it never started.
    pub errors: u64,
    /// How many took longer than their deadline allowed.
    pub timed_out: u64,
    /// How many were given up.
    pub cancelled: u64,
    /// How many were under way, or waited for their start, when their process died.
    pub interrupted: u64,
    /// How many are announced, and not known to have ended or to be interrupted. Those of a process that died are among them until
    /// it is recovered, since their end may be in what it left.
    pub open: u64,
    /// How many values of the spans were cut or left out: see [`SpanData::cut`](crate::SpanData::cut).
    pub cut: u64,
    /// Tokens, as [`Figures`](crate::Figures) add up.
    pub tokens: Tokens,
    /// Costs by currency, likewise.
    pub cost: BTreeMap<String, f64>,
    /// How many costs are left out since there are too many currencies.
    pub costs_left_out: u64,
    /// From the start of the first span to the end of the last, in nanoseconds.
    pub wall_ns: u64,
    /// What all spans took together, in nanoseconds, those under others included. What never started took nothing.
    pub summed_ns: u64,
    /// What the trace had to wait for: spans, in depth-first order, whose own times add up to what the roots took.
    ///
    /// From each root's end the path goes back over the child that ended last until then; behind its start over the child that ended
    /// last until there, and so on, and likewise within each of those. A child that outlives its parent was not waited for. A span
    /// that is open counts as under way until the last moment that the trace knows of.
    pub critical_path: Vec<PathStep>,
}

/// A span on the critical path of a [`Summary`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PathStep {
    /// The span.
    pub span_id: SpanId,
    /// Its name.
    pub name: String,
    /// How many nanoseconds of the path are its own, and not of spans under it.
    pub own_ns: u64,
}

impl Summary {
    pub(super) fn of(trace: &Trace) -> Self {
        let tree = trace.tree();
        let total = tree.total();
        let step = |(at, own_ns): (usize, u64)| {
            let span = tree.nodes()[at].span;
            PathStep { span_id: span.span_id, name: span.name.clone(), own_ns }
        };
        let mut summary = Summary {
            trace_id: trace.trace_id(),
            name: trace.name().to_owned(),
            spans: trace.spans().len() as u64,
            llm_calls: 0,
            tool_calls: 0,
            errors: 0,
            timed_out: 0,
            cancelled: 0,
            interrupted: 0,
            open: 0,
            cut: 0,
            tokens: total.tokens.unwrap_or_default(),
            cost: total.cost.into_iter().map(|(currency, amount)| (currency.to_owned(), amount)).collect(),
            costs_left_out: total.costs_left_out,
            wall_ns: trace.end_unix_ns().saturating_sub(trace.start_unix_ns()),
            summed_ns: 0,
            critical_path: critical_path(&tree).into_iter().map(step).collect(),
        };
        for span in trace.spans() {
            let never_started = never_started(span);
            match span.kind {
                _ if never_started => {}
                Kind::Llm | Kind::Response => summary.llm_calls += 1,
                Kind::Tool => summary.tool_calls += 1,
                _ => {}
            }
            match span.status {
                Status::Error if span.interrupted && never_started => {}
                Status::Error => summary.errors += 1,
                Status::TimedOut => summary.timed_out += 1,
                Status::Cancelled => summary.cancelled += 1,
                _ => {}
            }
            summary.interrupted += u64::from(span.interrupted && !span.is_open);
            summary.open += u64::from(span.is_open);
            summary.cut = summary.cut.saturating_add(span.cut.into());
            if !never_started {
                summary.summed_ns = summary.summed_ns.saturating_add(span.duration_ns());
            }
        }
        summary
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Summary", 17)?;
        fields.serialize_field("trace_id", &self.trace_id.to_string())?;
        fields.serialize_field("name", &self.name)?;
        for (name, count) in [
            ("spans", self.spans),
            ("llm_calls", self.llm_calls),
            ("tool_calls", self.tool_calls),
            ("errors", self.errors),
            ("timed_out", self.timed_out),
            ("cancelled", self.cancelled),
            ("interrupted", self.interrupted),
            ("open", self.open),
            ("cut", self.cut),
        ] {
            fields.serialize_field(name, &count)?;
        }
        fields.serialize_field("tokens", &TokenSums(&self.tokens))?;
        fields.serialize_field("cost", &self.cost)?;
        fields.serialize_field("costs_left_out", &self.costs_left_out)?;
        fields.serialize_field("wall_ns", &self.wall_ns)?;
        fields.serialize_field("summed_ns", &self.summed_ns)?;
        fields.serialize_field("critical_path", &self.critical_path)?;
        fields.end()
    }
}

struct TokenSums<'a>(&'a Tokens);

impl Serialize for TokenSums<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let tokens = self.0;
        let mut map = serializer.serialize_map(Some(7))?;
        for (name, count) in [
            ("input", tokens.input),
            ("output", tokens.output),
            ("total", tokens.total),
            ("cached", tokens.cached),
            ("cache_creation", tokens.cache_creation),
            ("reasoning", tokens.reasoning),
            ("image", tokens.image),
        ] {
            map.serialize_entry(name, &count.unwrap_or(0))?;
        }
        map.end()
    }
}

impl Serialize for PathStep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("PathStep", 3)?;
        fields.serialize_field("span_id", &self.span_id.to_string())?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("own_ns", &self.own_ns)?;
        fields.end()
    }
}

/// How many spans of the critical path are shown: those that took longest.
const STEPS_SHOWN_MAX: usize = 10;
const NAME_CHARS_MAX: usize = 60;

impl fmt::Display for Summary {
    /// Several lines, without a line break behind the last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace {}  {}", self.trace_id, Shown { text: &self.name, chars_max: NAME_CHARS_MAX })?;
        write!(f, "\n  spans          {}", self.spans)?;
        for (count, what) in [
            (self.llm_calls, "llm"),
            (self.tool_calls, "tool"),
            (self.errors, "error"),
            (self.timed_out, "timed out"),
            (self.cancelled, "cancelled"),
            (self.interrupted, "interrupted"),
            (self.open, "open"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if self.cut > 0 {
            write!(f, "\n  cut            {}", Count { count: self.cut, one: "value", many: "values" })?;
        }
        if self.tokens != Tokens::default() {
            write!(f, "\n  tokens         ")?;
            let mut separator = "";
            for (name, count) in [
                ("in", self.tokens.input),
                ("out", self.tokens.output),
                ("total", self.tokens.total),
                ("cached", self.tokens.cached),
                ("cache creation", self.tokens.cache_creation),
                ("reasoning", self.tokens.reasoning),
                ("image", self.tokens.image),
            ] {
                if let Some(count) = count {
                    write!(f, "{separator}{name}={count}")?;
                    separator = " ";
                }
            }
        }
        if !self.cost.is_empty() {
            write!(f, "\n  cost         ")?;
            for (currency, &amount) in &self.cost {
                write!(f, "  {}", Money { amount, currency })?;
            }
        }
        write!(f, "\n  wall time      {}", Duration(self.wall_ns))?;
        write!(f, "\n  summed time    {}", Duration(self.summed_ns))?;
        write!(f, "\n  critical path  ")?;
        let mut steps: Vec<(usize, &PathStep)> = self.critical_path.iter().enumerate().collect();
        steps.sort_by_key(|(_, step)| std::cmp::Reverse(step.own_ns));
        let left_out = steps.split_off(steps.len().min(STEPS_SHOWN_MAX));
        steps.sort_by_key(|&(at, _)| at);
        let sum = |sum: u64, step: &PathStep| sum.saturating_add(step.own_ns);
        write!(f, "{}", Duration(self.critical_path.iter().fold(0, sum)))?;
        for (_, step) in steps {
            let name = Shown { text: &step.name, chars_max: NAME_CHARS_MAX };
            write!(f, "\n    {:>11}  {name}", Duration(step.own_ns).to_string())?;
        }
        if !left_out.is_empty() {
            let rest = left_out.iter().map(|&(_, step)| step).fold(0, sum);
            write!(f, "\n    {:>11}  {} more", Duration(rest).to_string(), left_out.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Made, trace};
    use super::*;

    const MS: u64 = 1_000_000;

    /// SpanForge's example, and some more.
    fn example() -> Trace {
        let tokens = Tokens::new(12, 7).cached(3).reasoning(1);
        trace(vec![
            Made::new(1).named("research-agent").kind(Kind::Agent).time(0, 60 * MS).span(),
            Made::new(2)
                .under(1)
                .named("chat")
                .kind(Kind::Llm)
                .time(MS, 21 * MS)
                .all_tokens(tokens)
                .cost(0.0008)
                .span(),
            Made::new(3).under(2).named("nested").kind(Kind::Tool).time(2 * MS, 6 * MS).span(),
            Made::new(4)
                .under(1)
                .named("search")
                .kind(Kind::Tool)
                .status(Status::Error, "")
                .time(22 * MS, 25 * MS)
                .span(),
            Made::new(5)
                .under(1)
                .named("slow\u{1b}")
                .kind(Kind::Response)
                .status(Status::TimedOut, "")
                .time(25 * MS, 59 * MS)
                .span(),
            Made::new(6)
                .under(1)
                .named("cut")
                .interrupted()
                .time(30 * MS, 58 * MS)
                .cost(0.5)
                .currency("EUR")
                .span(),
            Made::new(7).under(1).status(Status::Cancelled, "").never_started().time(30 * MS, 50 * MS).span(),
            Made::new(8).under(1).open().time(59 * MS, 59 * MS).span(),
        ])
    }

    #[test]
    fn spans_are_counted_and_their_figures_summed() {
        let summary = example().summary();
        assert_eq!((summary.spans, summary.llm_calls, summary.tool_calls), (8, 2, 2));
        assert_eq!((summary.errors, summary.timed_out, summary.cancelled), (2, 1, 1));
        assert_eq!((summary.interrupted, summary.open), (1, 1));
        assert_eq!(summary.tokens, Tokens::new(12, 7).cached(3).reasoning(1).total(19));
        assert_eq!(summary.cost, BTreeMap::from([("EUR".into(), 0.5), ("USD".into(), 0.0008)]));
        assert_eq!((summary.wall_ns, summary.summed_ns), (60 * MS, (60 + 20 + 4 + 3 + 34 + 28) * MS));
    }

    #[test]
    fn a_span_that_never_started_is_no_call_takes_nothing_and_is_no_error() {
        let trace = trace(vec![
            Made::new(1).time(10, 60).span(),
            Made::new(2).kind(Kind::Tool).time(0, 90).never_started().status(Status::Cancelled, "").span(),
            Made::new(3).kind(Kind::Llm).time(20, 90).never_started().interrupted().span(),
            Made::new(4).kind(Kind::Llm).time(20, 30).interrupted().span(),
        ]);
        let summary = trace.summary();
        assert_eq!((summary.spans, summary.llm_calls, summary.tool_calls), (4, 1, 0));
        assert_eq!((summary.errors, summary.cancelled, summary.interrupted), (1, 1, 2));
        assert_eq!((summary.wall_ns, summary.summed_ns), (50, 60));
        assert_eq!((trace.start_unix_ns(), trace.end_unix_ns()), (10, 60));
    }

    #[test]
    fn a_span_whose_process_died_is_open_until_it_is_known_to_be_interrupted() {
        let mut announced = Made::new(1).open().span();
        announced.interrupted = true;
        let summary = trace(vec![announced]).summary();
        assert_eq!((summary.open, summary.interrupted, summary.errors), (1, 0, 0));
    }

    #[test]
    fn what_was_cut_is_counted() {
        let cut = |number| {
            let mut span = Made::new(number).span();
            span.cut = 2;
            span
        };
        let summary = trace(vec![cut(1), Made::new(2).span(), cut(3)]).summary();
        assert_eq!(summary.cut, 4);
        assert!(summary.to_string().contains("\n  cut            4 values\n"), "{summary}");
        assert_eq!(serde_json::to_value(&summary).unwrap()["cut"], 4);
    }

    #[test]
    fn a_person_is_told_on_a_few_lines() {
        let expected = "\
Trace 30313233343536373839616263646566  research-agent
  spans          8, 2 llm, 2 tool, 2 error, 1 timed out, 1 cancelled, 1 interrupted, 1 open
  tokens         in=12 out=7 total=19 cached=3 reasoning=1
  cost           0.50 EUR  $0.0008
  wall time      60.0 ms
  summed time    149.0 ms
  critical path  60.0 ms
         2.0 ms  research-agent
        16.0 ms  chat
         4.0 ms  nested
         3.0 ms  search
        34.0 ms  slow\\u{1b}
         1.0 ms  span 8";
        assert_eq!(example().summary().to_string(), expected);
    }

    #[test]
    fn of_a_long_path_the_longest_steps_are_shown_in_order() {
        let steps = (2..=14).map(|n| Made::new(n).under(1).time(n * n, (n + 1) * (n + 1)).span());
        let spans = [Made::new(1).time(4, 225).span()].into_iter().chain(steps).collect();
        let text = trace(spans).summary().to_string();
        let shown: Vec<&str> = text.lines().skip_while(|line| !line.contains("critical")).skip(1).collect();
        assert_eq!(shown.len(), STEPS_SHOWN_MAX + 1, "{text}");
        assert_eq!(shown[0].trim(), "11 ns  span 5");
        assert_eq!(shown[STEPS_SHOWN_MAX].trim(), "21 ns  4 more");
    }

    #[test]
    fn as_json_it_has_a_number_for_all_that_is_counted() {
        let summary = trace(vec![Made::new(1).cost(0.25).span()]).summary();
        let expected = serde_json::json!({
            "trace_id": "30313233343536373839616263646566",
            "name": "span 1",
            "spans": 1, "llm_calls": 0, "tool_calls": 0,
            "errors": 0, "timed_out": 0, "cancelled": 0, "interrupted": 0, "open": 0,
            "cut": 0,
            "tokens": {
                "input": 0, "output": 0, "total": 0, "cached": 0, "cache_creation": 0, "reasoning": 0, "image": 0,
            },
            "cost": {"USD": 0.25},
            "costs_left_out": 0,
            "wall_ns": 1000,
            "summed_ns": 1000,
            "critical_path": [{"span_id": "0100000000000000", "name": "span 1", "own_ns": 1000}],
        });
        assert_eq!(serde_json::to_value(summary).unwrap(), expected);
    }
}
