//! What a call of a model used, and what it cost.

use spanring::{Cost, Tokens, names};

use crate::{SpanData, Value};

impl SpanData {
    /// The tokens that it used itself, without those of its children; `None` where nothing was said.
    pub fn tokens(&self) -> Option<Tokens> {
        let tokens = Tokens {
            input: self.unsigned(names::USAGE_INPUT_TOKENS),
            output: self.unsigned(names::USAGE_OUTPUT_TOKENS),
            total: self.unsigned(names::USAGE_TOTAL_TOKENS),
            cached: self.unsigned(names::USAGE_CACHED_TOKENS),
            cache_creation: self.unsigned(names::USAGE_CACHE_CREATION_TOKENS),
            reasoning: self.unsigned(names::USAGE_REASONING_TOKENS),
            image: self.unsigned(names::USAGE_IMAGE_TOKENS),
            requests: self.unsigned(names::USAGE_REQUESTS),
        };
        (tokens != Tokens::default()).then_some(tokens)
    }

    /// What else its provider says about usage.
    pub fn usage_details(&self) -> Option<&Value> {
        self.get(names::USAGE_DETAILS)
    }

    /// What it cost itself, without its children; `None` where nothing was said.
    pub fn cost(&self) -> Option<Cost<'_>> {
        let cost = Cost {
            input: self.number(names::COST_INPUT),
            output: self.number(names::COST_OUTPUT),
            total: self.number(names::COST_TOTAL),
            cached_discount: self.number(names::COST_CACHED_DISCOUNT),
            reasoning: self.number(names::COST_REASONING),
            currency: self.text(names::COST_CURRENCY),
            pricing_date: self.text(names::COST_PRICING_DATE),
        };
        (cost != Cost::default()).then_some(cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(attributes: Vec<(&str, Value)>) -> SpanData {
        let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        SpanData { attributes, ..SpanData::default() }
    }

    #[test]
    fn what_was_not_said_about_usage_stays_unsaid() {
        assert_eq!((SpanData::default().tokens(), SpanData::default().cost()), (None, None));
        let span = span(vec![
            (names::USAGE_INPUT_TOKENS, 12.into()),
            (names::USAGE_CACHED_TOKENS, 0_u64.into()),
            (names::COST_TOTAL, 1.into()),
            (names::COST_CURRENCY, "EUR".into()),
        ]);
        let tokens = Tokens { input: Some(12), cached: Some(0), ..Tokens::default() };
        assert_eq!(span.tokens(), Some(tokens));
        assert_eq!(span.cost(), Some(Cost::of(1.0).currency("EUR")));
    }

    #[test]
    fn usage_of_a_wrong_type_is_as_good_as_absent() {
        let wrong = [Value::I64(-1), Value::F64(3.0), Value::from("12"), Value::Null];
        for value in wrong {
            assert_eq!(span(vec![(names::USAGE_OUTPUT_TOKENS, value)]).tokens(), None);
        }
        for value in [Value::from("0.1"), Value::Null, Value::Bool(true)] {
            assert_eq!(span(vec![(names::COST_INPUT, value)]).cost(), None);
        }
    }
}
