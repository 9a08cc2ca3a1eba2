//! What spans used and cost, and how that adds up.

use spanring::{Cost, Kind, Tokens};

use crate::SpanData;

/// In how many currencies a sum is kept. Costs in further ones are left out of it, and counted.
const CURRENCIES_MAX: usize = 16;

/// Tokens and costs: a span's own, or those of a span with all that stands under it.
///
/// # How figures add up
///
/// What a span says about tokens and cost is its own. Its total is its own and the totals of its children, with one exception: a span of
/// kind agent, task or turn tells what its parts came to, where its parts tell it too. So its own tokens do not count in totals where
/// any span under it has tokens, and likewise its own cost. This holds through agents within agents.
///
/// ```text
///  task            in=30   ── not counted: it is the sum of what stands under it
///  ├─ turn         in=20   ── not counted likewise
///  │  └─ llm       in=20   ── counted
///  └─ turn         in=10   ── counted: nothing under it says anything
///                  in=30   total of the task
/// ```
///
/// Sums of tokens stop at the largest number there is, and sums of costs at the largest finite one. A cost that is not finite is as good
/// as none.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct Figures<'a> {
    /// Tokens; `None` where nothing was said. [`Tokens::total`] is the sum of what each span says in all, see [`Tokens::sum`].
    pub tokens: Option<Tokens>,
    /// Costs by currency, in the order of the currencies' names.
    pub cost: Vec<(&'a str, f64)>,
    /// How many costs are left out since there are too many currencies.
    pub costs_left_out: u64,
}

impl<'a> Figures<'a> {
    /// What a span says itself.
    pub(super) fn of(span: &'a SpanData) -> Self {
        let tokens = span.tokens().map(|tokens| Tokens { total: tokens.sum(), ..tokens });
        let cost = span.cost().and_then(|cost| {
            let amount = cost.sum().filter(|amount| amount.is_finite())?;
            Some((cost.currency.filter(|currency| !currency.is_empty()).unwrap_or(Cost::CURRENCY), amount))
        });
        Figures { tokens, cost: cost.into_iter().collect(), costs_left_out: 0 }
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_none() && self.cost.is_empty()
    }

    /// The cost in this currency.
    pub fn cost_in(&self, currency: &str) -> Option<f64> {
        self.cost.iter().find(|(name, _)| *name == currency).map(|&(_, amount)| amount)
    }

    /// The total of a span that has these figures under it.
    pub(super) fn and_of_parent(mut self, kind: Kind, own: &Figures<'a>) -> Self {
        let tells_of_parts = matches!(kind, Kind::Agent | Kind::Task | Kind::Turn);
        if !tells_of_parts || self.tokens.is_none() {
            self.add_tokens(own);
        }
        if !tells_of_parts || self.cost.is_empty() {
            self.add_cost(own);
        }
        self
    }

    pub(super) fn add(&mut self, other: &Figures<'a>) {
        self.add_tokens(other);
        self.add_cost(other);
    }

    fn add_tokens(&mut self, other: &Figures<'a>) {
        let Some(more) = &other.tokens else { return };
        let sum = self.tokens.get_or_insert_default();
        for (sum, more) in [
            (&mut sum.input, more.input),
            (&mut sum.output, more.output),
            (&mut sum.total, more.total),
            (&mut sum.cached, more.cached),
            (&mut sum.cache_creation, more.cache_creation),
            (&mut sum.reasoning, more.reasoning),
            (&mut sum.image, more.image),
            (&mut sum.requests, more.requests),
        ] {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0).saturating_add(more));
            }
        }
    }

    fn add_cost(&mut self, other: &Figures<'a>) {
        for &(currency, amount) in &other.cost {
            match self.cost.binary_search_by_key(&currency, |&(name, _)| name) {
                Ok(at) => self.cost[at].1 = (self.cost[at].1 + amount).clamp(f64::MIN, f64::MAX),
                Err(at) if self.cost.len() < CURRENCIES_MAX => self.cost.insert(at, (currency, amount)),
                Err(_) => self.costs_left_out += 1,
            }
        }
        self.costs_left_out += other.costs_left_out;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Made, trace};
    use super::*;

    fn total(spans: Vec<SpanData>) -> (Option<u64>, Option<f64>) {
        let trace = trace(spans);
        let total = trace.tree().total();
        (total.tokens.and_then(|tokens| tokens.total), total.cost_in("USD"))
    }

    #[test]
    fn sums_that_agents_tasks_and_turns_tell_are_not_counted_again() {
        let parts = |inner: Option<u64>| {
            let llm = Made::new(3).under(2).kind(Kind::Llm);
            vec![
                Made::new(1).kind(Kind::Task).tokens(10, 5).cost(1.0).span(),
                Made::new(2).under(1).kind(Kind::Turn).tokens(10, 5).span(),
                inner.map_or(llm.clone(), |input| llm.tokens(input, 0)).span(),
            ]
        };
        assert_eq!(total(parts(Some(7))), (Some(7), Some(1.0)), "cost is told by the task alone");
        assert_eq!(total(parts(Some(0))), (Some(0), Some(1.0)), "0 is something said");
        assert_eq!(total(parts(None)), (Some(15), Some(1.0)), "the turn tells it, once");
    }

    #[test]
    fn all_other_kinds_have_figures_of_their_own() {
        for &kind in Kind::ALL {
            let spans = vec![
                Made::new(1).kind(kind).tokens(10, 5).cost(1.0).span(),
                Made::new(2).under(1).kind(Kind::Llm).tokens(1, 1).cost(0.5).span(),
            ];
            let expected = match kind {
                Kind::Agent | Kind::Task | Kind::Turn => (Some(2), Some(0.5)),
                _ => (Some(17), Some(1.5)),
            };
            assert_eq!(total(spans), expected, "{kind:?}");
        }
    }

    #[test]
    fn what_was_not_said_stays_unsaid_in_sums() {
        let some = Tokens { output: Some(3), cached: Some(1), ..Tokens::default() };
        let trace = trace(vec![Made::new(1).span(), Made::new(2).under(1).all_tokens(some).span()]);
        let tree = trace.tree();
        let expected = Tokens { total: Some(3), ..some };
        assert_eq!(tree.nodes()[0].own, Figures::default());
        assert_eq!((tree.total().tokens, tree.total().cost), (Some(expected), vec![]));
    }

    #[test]
    fn costs_add_up_by_currency_and_those_that_are_no_number_not_at_all() {
        let trace = trace(vec![
            Made::new(1).cost(0.25).span(),
            Made::new(2).under(1).cost(1.0).currency("EUR").span(),
            Made::new(3).under(1).cost(f64::NAN).span(),
            Made::new(4).under(1).cost(f64::INFINITY).currency("EUR").span(),
            Made::new(5).under(1).cost(0.5).currency("").span(),
        ]);
        assert_eq!(trace.tree().total().cost, [("EUR", 1.0), ("USD", 0.75)]);
    }

    #[test]
    fn sums_stop_at_the_largest_number() {
        let trace = trace(vec![
            Made::new(1).tokens(u64::MAX, 1).cost(f64::MAX).span(),
            Made::new(2).tokens(u64::MAX, 1).cost(f64::MAX).span(),
        ]);
        let total = trace.tree().total();
        let tokens = total.tokens.unwrap();
        assert_eq!((tokens.input, tokens.output, tokens.total), (Some(u64::MAX), Some(2), Some(u64::MAX)));
        assert_eq!(total.cost, [("USD", f64::MAX)]);
    }

    #[test]
    fn currencies_beyond_the_limit_are_counted() {
        let codes: Vec<String> = (0..CURRENCIES_MAX + 3).map(|number| format!("X{number}")).collect();
        let spans =
            (1..).zip(&codes).map(|(id, code)| Made::new(id).under(1).cost(1.0).currency(code).span());
        let trace = trace(spans.collect());
        let total = trace.tree().total();
        assert_eq!((total.cost.len(), total.costs_left_out), (CURRENCIES_MAX, 3));
    }
}
