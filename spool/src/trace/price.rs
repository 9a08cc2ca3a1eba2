//! Filling in what calls of models cost.

mod error;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use spanring::{Cost, Kind, Tokens, names};

use super::forest::plant;
use super::{Trace, never_started};
use crate::{SpanData, Value};

pub use error::{PriceError, PriceFault};

/// What models cost, by patterns of their names. There is none built in: prices are made by others, and change.
///
/// ```
/// use spanring_spool::PriceTable;
///
/// let prices = PriceTable::parse(
///     r#"
///     date = 2026-11-20   # of the prices; it is noted on each span that is priced
///     currency = "USD"    # ISO 4217; this is what counts where none is named
///
///     [[price]]
///     model = "gpt-4o*"   # a star stands for any characters, or none
///     provider = "openai" # may be left out: any provider
///     input = 2.50        # for a million tokens, as all that follow
///     cached_input = 1.25 # of the input, those from the provider's cache; as `input` where it is left out
///     cache_creation = 2.50 # of the input, those written to the cache; as `input` where it is left out
///     output = 10.00      # may be left out: then what has tokens of output is not priced
///     reasoning = 10.00   # of the output, those of reasoning; as `output` where it is left out
///     "#,
/// )?;
/// # assert_eq!(prices.date(), "2026-11-20");
/// # Ok::<(), spanring_spool::PriceError>(())
/// ```
///
/// Of several prices that fit a model the most specific counts: one that names the provider before one that does not, then the one
/// whose pattern has the most characters that are no star, then the first. Letters must have the same case.
///
/// A span that names no provider takes the price with the most specific pattern: the one for any provider, else the one for the only
/// provider that it is given for. Where it is given for several, the span is not priced, since nothing says which of them is meant.
#[derive(Clone, PartialEq, Debug)]
pub struct PriceTable {
    date: String,
    currency: String,
    prices: Vec<Price>,
}

/// What a million tokens cost.
#[derive(Clone, PartialEq, Debug)]
struct Price {
    model: String,
    provider: Option<String>,
    input: f64,
    output: Option<f64>,
    cached_input: Option<f64>,
    cache_creation: Option<f64>,
    reasoning: Option<f64>,
}

/// What became of the spans that a [`PriceTable`] was applied to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Priced {
    /// How many got their cost from the table.
    pub priced: u64,
    /// How many have tokens and no cost, since no price fits their model, or they name none. Agents, tasks and turns do not count where
    /// spans under them have tokens: what they tell is the sum of those.
    pub unpriced: u64,
    /// The models of these that no price fits.
    pub models_without_price: BTreeSet<String>,
    /// The models of these that have prices for several providers, and those: the span names none.
    pub models_of_several_providers: BTreeMap<String, BTreeSet<String>>,
}

/// No price is higher: whatever number of tokens is charged, the cost is a finite number.
const PRICE_MAX: f64 = 1e15;

/// How many tokens a price is for.
const TOKENS: f64 = 1e6;

impl Trace {
    /// Fills in what each span cost that has tokens and no cost: see [`PriceTable::price`].
    pub fn price(&mut self, prices: &PriceTable) -> Priced {
        let mut became = Priced::default();
        let are_sums = are_sums(&self.spans);
        for (span, is_sum) in self.spans.iter_mut().zip(are_sums) {
            if span.tokens().is_none() || has_cost(span) {
                continue;
            }
            if prices.price(span) {
                became.priced += 1;
            } else if !is_sum && !never_started(span) {
                became.unpriced += 1;
                became.name(prices, span);
            }
        }
        became
    }
}

impl Priced {
    /// Names the model of a span that got no price.
    fn name(&mut self, prices: &PriceTable, span: &SpanData) {
        if let Found::Several { model, providers } = prices.find(span) {
            let known = self.models_of_several_providers.entry(model.to_owned()).or_default();
            known.extend(providers.into_iter().map(str::to_owned));
        } else if let Some(model) = span.response_model().or(span.model()) {
            self.models_without_price.insert(model.to_owned());
        }
    }
}

/// Of each span whether its own tokens are the sum of those under it: see [`Figures`](super::Figures).
fn are_sums(spans: &[SpanData]) -> Vec<bool> {
    let planted = plant(spans);
    let mut tells_below = vec![false; planted.len()];
    let mut are_sums = vec![false; spans.len()];
    for (at, node) in planted.iter().enumerate().rev() {
        let span = &spans[node.span];
        are_sums[node.span] = tells_below[at] && matches!(span.kind, Kind::Agent | Kind::Task | Kind::Turn);
        if let Some(parent) = node.parent {
            tells_below[parent] |= tells_below[at] || span.tokens().is_some();
        }
    }
    are_sums
}

impl PriceTable {
    /// Loads a table from a file.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or is not as it has to be; the error names file and line.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, PriceError> {
        let path = path.as_ref();
        parse::load(path).map_err(|error| error.in_file(path))
    }

    /// Reads a table from text.
    ///
    /// # Errors
    ///
    /// Where it is not as it has to be; the error names the line.
    pub fn parse(text: &str) -> Result<Self, PriceError> {
        parse::parse(text)
    }

    /// The date of the prices: `2026-11-20`.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// The currency of the prices, ISO 4217.
    pub fn currency(&self) -> &str {
        &self.currency
    }

    /// Fills in what a span cost, if it has tokens and no cost and there is a price for its model: the one that answered, else the
    /// one that was asked for. Says whether it did.
    ///
    /// It sets the keys `COST_*` of [`names`], the date of the prices among them. Cached tokens, and those written to the
    /// cache, are part of the input, and those of reasoning part of the output: each token is charged once.
    pub fn price(&self, span: &mut SpanData) -> bool {
        let Some(tokens) = span.tokens() else { return false };
        if has_cost(span) {
            return false;
        }
        let Found::One(price) = self.find(span) else { return false };
        let Some(cost) = price.cost_of(&tokens) else { return false };
        let amounts = [
            (names::COST_INPUT, cost.input),
            (names::COST_OUTPUT, cost.output),
            (names::COST_TOTAL, cost.total),
            (names::COST_CACHED_DISCOUNT, cost.cached_discount),
            (names::COST_REASONING, cost.reasoning),
        ];
        for (key, amount) in amounts {
            span.attributes.extend(amount.map(|amount| (key.to_owned(), Value::F64(amount))));
        }
        for (key, text) in [(names::COST_CURRENCY, &self.currency), (names::COST_PRICING_DATE, &self.date)] {
            span.attributes.push((key.to_owned(), Value::Str(text.clone())));
        }
        true
    }

    fn find<'a>(&'a self, span: &'a SpanData) -> Found<'a> {
        let custom = span.get(names::CUSTOM_PROVIDER).and_then(Value::as_str);
        let providers: Vec<&str> =
            [span.provider(), custom].into_iter().flatten().filter(|name| !name.is_empty()).collect();
        let models = [span.response_model(), span.model()].into_iter().flatten();
        let mut found = models.map(|model| match providers.is_empty() {
            true => self.find_for_any(model),
            false => self.find_for(model, &providers),
        });
        found.find(|found| !matches!(found, Found::None)).unwrap_or(Found::None)
    }

    fn find_for(&self, model: &str, providers: &[&str]) -> Found<'_> {
        let is_from = |provider: &str| providers.contains(&provider);
        let fitting = self
            .prices
            .iter()
            .filter(|price| price.provider.as_deref().is_none_or(is_from) && fits(&price.model, model));
        // Of equals `max_by_key` takes the last.
        let found = fitting.rev().max_by_key(|price| (price.provider.is_some(), price.specificity()));
        found.map_or(Found::None, Found::One)
    }

    /// The price of a model that is from whatever provider.
    fn find_for_any<'a>(&'a self, model: &'a str) -> Found<'a> {
        let mut fitting: Vec<&Price> = self.prices.iter().filter(|price| fits(&price.model, model)).collect();
        let most = fitting.iter().map(|price| price.specificity()).max();
        fitting.retain(|price| Some(price.specificity()) == most);
        let of_any = fitting.iter().find(|price| price.provider.is_none());
        let providers: BTreeSet<&str> =
            fitting.iter().filter_map(|price| price.provider.as_deref()).collect();
        match of_any.or(fitting.first()) {
            Some(price) if price.provider.is_none() || providers.len() == 1 => Found::One(price),
            Some(_) => Found::Several { model, providers },
            None => Found::None,
        }
    }
}

/// What a table says about a span.
enum Found<'a> {
    None,
    One(&'a Price),
    /// The model has prices for several providers, and the span names none.
    Several {
        model: &'a str,
        providers: BTreeSet<&'a str>,
    },
}

/// Whether it says what it cost. A currency alone says nothing.
fn has_cost(span: &SpanData) -> bool {
    span.cost().is_some_and(|cost| cost.sum().is_some())
}

impl Price {
    fn specificity(&self) -> usize {
        self.model.chars().filter(|&character| character != '*').count()
    }

    /// `None` where tokens were used that it has no price for, or nothing is known of input or output.
    fn cost_of(&self, tokens: &Tokens) -> Option<Cost<'static>> {
        let of = |tokens: u64, price: f64| tokens as f64 * price / TOKENS;
        let mut cost = Cost::default();
        if let Some(input) = tokens.input {
            let cached = tokens.cached.unwrap_or(0).min(input);
            let created = tokens.cache_creation.unwrap_or(0).min(input - cached);
            let creation_price = self.cache_creation.unwrap_or(self.input);
            cost.input = Some(of(input - created, self.input) + of(created, creation_price));
            let discount = self.input - self.cached_input.unwrap_or(self.input);
            cost.cached_discount = tokens.cached.map(|_| of(cached, discount));
        }
        if let Some(output) = tokens.output {
            let reasoning = tokens.reasoning.unwrap_or(0).min(output);
            let price = match self.output {
                None if output > 0 => return None,
                price => price.unwrap_or(0.0),
            };
            cost.output = Some(of(output - reasoning, price));
            cost.reasoning = tokens.reasoning.map(|_| of(reasoning, self.reasoning.unwrap_or(price)));
        }
        cost.total = Some(cost.sum().filter(|total| total.is_finite())?);
        Some(cost)
    }
}

/// Whether the name is one that the pattern stands for.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    // Each part at the first place where it stands leaves the most for the parts behind it.
    for part in middle.split('*') {
        match name.split_once(part) {
            Some((_, behind)) => name = behind,
            None => return false,
        }
    }
    name.ends_with(last)
}
