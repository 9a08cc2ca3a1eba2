//! Models, tokens and costs. What was said is written as it was said; what SpanForge's classes need besides, and nobody said, follows from it.

use spanring::{Cost, names};

use super::parts::{CostBreakdown, ModelInfo, TokenUsage};
use super::said::Said;

/// Whose models begin how, as SpanForge's SDK has it. All others are OpenAI's.
const SYSTEMS: [(&str, &str); 8] = [
    ("claude", "anthropic"),
    ("gemini", "vertex_ai"),
    ("command", "cohere"),
    ("mistral", "mistral_ai"),
    ("mixtral", "mistral_ai"),
    ("llama", "ollama"),
    ("phi", "ollama"),
    ("qwen", "ollama"),
];

/// The model that was asked for, or else the one that answered. Where there is neither, who runs it stays said.
pub(super) fn model(said: &mut Said) -> Option<ModelInfo> {
    let is_some = |text: &str| !text.is_empty();
    let asked = said.take_text(names::REQUEST_MODEL, is_some);
    let name = asked.or_else(|| said.take_text(names::RESPONSE_MODEL, is_some))?;
    let custom_system_name = said.take_text(names::CUSTOM_PROVIDER, is_some);
    let system = said.take_text(names::PROVIDER_NAME, is_some).unwrap_or_else(|| match custom_system_name {
        Some(_) => "_custom".to_owned(),
        None => system_of(&name).to_owned(),
    });
    Some(ModelInfo {
        system,
        name,
        response_model: said.take(names::RESPONSE_MODEL),
        version: said.take(names::MODEL_VERSION),
        custom_system_name,
    })
}

fn system_of(model: &str) -> &'static str {
    let model = model.to_lowercase();
    SYSTEMS.iter().find(|(beginning, _)| model.starts_with(beginning)).map_or("openai", |(_, system)| system)
}

/// Nothing was used where nothing was said of it, and the sum is input and output where nothing else was.
pub(super) fn token_usage(said: &mut Said) -> Option<TokenUsage> {
    let [input, output, total, cached_tokens, cache_creation_tokens, reasoning_tokens, image_tokens] = [
        names::USAGE_INPUT_TOKENS,
        names::USAGE_OUTPUT_TOKENS,
        names::USAGE_TOTAL_TOKENS,
        names::USAGE_CACHED_TOKENS,
        names::USAGE_CACHE_CREATION_TOKENS,
        names::USAGE_REASONING_TOKENS,
        names::USAGE_IMAGE_TOKENS,
    ]
    .map(|key| said.take::<u64>(key));
    let (input_tokens, output_tokens) = (input.unwrap_or(0), output.unwrap_or(0));
    let usage = TokenUsage {
        input_tokens,
        output_tokens,
        total_tokens: total.unwrap_or_else(|| input_tokens.saturating_add(output_tokens)),
        cached_tokens,
        cache_creation_tokens,
        reasoning_tokens,
        image_tokens,
    };
    let is_said = input.or(output).or(total).is_some() || usage != TokenUsage::default();
    is_said.then_some(usage)
}

pub(super) fn cost(said: &mut Said) -> Option<CostBreakdown> {
    let [input, output, total, cached_discount, reasoning] = [
        names::COST_INPUT,
        names::COST_OUTPUT,
        names::COST_TOTAL,
        names::COST_CACHED_DISCOUNT,
        names::COST_REASONING,
    ]
    .map(|key| said.take(key));
    input.or(output).or(total).or(cached_discount).or(reasoning)?;
    let parts = breakdown(&Cost { input, output, total, cached_discount, reasoning, ..Cost::default() });
    Some(CostBreakdown {
        currency: said.take_text(names::COST_CURRENCY, |code| !code.is_empty()).unwrap_or(parts.currency),
        pricing_date: said.take(names::COST_PRICING_DATE),
        ..parts
    })
}

/// A cost, currency aside. Its parts make up the total: what was not said of them is what is left of that.
pub(super) fn breakdown(cost: &Cost<'_>) -> CostBreakdown {
    let Cost { input, output, total, .. } = *cost;
    let [cached_discount_usd, reasoning_cost_usd] =
        [cost.cached_discount, cost.reasoning].map(Option::unwrap_or_default);
    let beside = reasoning_cost_usd - cached_discount_usd;
    let rest = |known: f64| total.map_or(0.0, |total| (total - beside - known).max(0.0));
    let input_cost_usd = input.unwrap_or_else(|| rest(output.unwrap_or_default()));
    let output_cost_usd = output.unwrap_or_else(|| rest(input_cost_usd));
    CostBreakdown {
        input_cost_usd,
        output_cost_usd,
        total_cost_usd: total.unwrap_or(input_cost_usd + output_cost_usd + beside),
        cached_discount_usd,
        reasoning_cost_usd,
        ..CostBreakdown::default()
    }
}
