//! What a call of a model used, and what it cost.

/// Tokens that a call of a model used. What was not said is `None`.
///
/// ```
/// use spanring::Tokens;
///
/// let tokens = Tokens::new(812, 94).cached(600).reasoning(40);
/// assert_eq!(tokens.sum(), Some(906));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Tokens {
    /// Tokens of the input, cached ones included.
    pub input: Option<u64>,
    /// Tokens of the output, those of reasoning included.
    pub output: Option<u64>,
    /// Tokens in all, where the provider says so.
    pub total: Option<u64>,
    /// Tokens of the input that came from the provider's cache.
    pub cached: Option<u64>,
    /// Tokens of the input that were written to the provider's cache.
    pub cache_creation: Option<u64>,
    /// Tokens of the output that were reasoning.
    pub reasoning: Option<u64>,
    /// Tokens of images.
    pub image: Option<u64>,
    /// How many requests these are the sum of.
    pub requests: Option<u64>,
}

impl Tokens {
    /// Tokens of the input and of the output.
    #[inline]
    pub fn new(input: u64, output: u64) -> Self {
        Tokens { input: Some(input), output: Some(output), ..Tokens::default() }
    }

    /// Tokens in all, where the provider says so.
    #[inline]
    pub fn total(mut self, total: u64) -> Self {
        self.total = Some(total);
        self
    }

    /// Tokens of the input that came from the provider's cache.
    #[inline]
    pub fn cached(mut self, cached: u64) -> Self {
        self.cached = Some(cached);
        self
    }

    /// Tokens of the input that were written to the provider's cache.
    #[inline]
    pub fn cache_creation(mut self, cache_creation: u64) -> Self {
        self.cache_creation = Some(cache_creation);
        self
    }

    /// Tokens of the output that were reasoning.
    #[inline]
    pub fn reasoning(mut self, reasoning: u64) -> Self {
        self.reasoning = Some(reasoning);
        self
    }

    /// Tokens of images.
    #[inline]
    pub fn image(mut self, image: u64) -> Self {
        self.image = Some(image);
        self
    }

    /// How many requests these are the sum of.
    #[inline]
    pub fn requests(mut self, requests: u64) -> Self {
        self.requests = Some(requests);
        self
    }

    /// Tokens in all: as the provider says, else of input and output together. `None` where neither was said.
    pub fn sum(&self) -> Option<u64> {
        match (self.total, self.input, self.output) {
            (Some(total), ..) => Some(total),
            (None, None, None) => None,
            (None, input, output) => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
        }
    }
}

/// What something cost. What was not said is `None`.
///
/// ```
/// use spanring::Cost;
///
/// let cost = Cost::new(0.25, 0.5).currency("EUR");
/// assert_eq!(cost.sum(), Some(0.75));
/// ```
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Cost<'a> {
    /// What the input cost.
    pub input: Option<f64>,
    /// What the output cost.
    pub output: Option<f64>,
    /// What it cost in all, where that was said.
    pub total: Option<f64>,
    /// What caching saved.
    pub cached_discount: Option<f64>,
    /// What reasoning cost.
    pub reasoning: Option<f64>,
    /// The currency, ISO 4217; US dollars where it is not said.
    pub currency: Option<&'a str>,
    /// The date of the prices: `2026-11-20`.
    pub pricing_date: Option<&'a str>,
}

impl<'a> Cost<'a> {
    /// The currency of a cost that names none.
    pub const CURRENCY: &'static str = "USD";

    /// What input and output cost.
    #[inline]
    pub fn new(input: f64, output: f64) -> Self {
        Cost { input: Some(input), output: Some(output), ..Cost::default() }
    }

    /// Only what it cost in all.
    #[inline]
    pub fn of(total: f64) -> Self {
        Cost { total: Some(total), ..Cost::default() }
    }

    /// What it cost in all.
    #[inline]
    pub fn total(mut self, total: f64) -> Self {
        self.total = Some(total);
        self
    }

    /// What caching saved.
    #[inline]
    pub fn cached_discount(mut self, cached_discount: f64) -> Self {
        self.cached_discount = Some(cached_discount);
        self
    }

    /// What reasoning cost.
    #[inline]
    pub fn reasoning(mut self, reasoning: f64) -> Self {
        self.reasoning = Some(reasoning);
        self
    }

    /// The currency, ISO 4217.
    #[inline]
    pub fn currency(mut self, currency: &'a str) -> Self {
        self.currency = Some(currency);
        self
    }

    /// The date of the prices: `2026-11-20`.
    #[inline]
    pub fn pricing_date(mut self, pricing_date: &'a str) -> Self {
        self.pricing_date = Some(pricing_date);
        self
    }

    /// What it cost in all: as was said, else input, output and reasoning less the discount. `None` where nothing was said.
    pub fn sum(&self) -> Option<f64> {
        match (self.total, self.input, self.output, self.reasoning) {
            (Some(total), ..) => Some(total),
            (None, None, None, None) => None,
            (None, input, output, reasoning) => {
                let parts = [input, output, reasoning].map(|part| part.unwrap_or(0.0));
                Some(parts.iter().sum::<f64>() - self.cached_discount.unwrap_or(0.0))
            }
        }
    }
}
