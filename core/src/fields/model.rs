//! Calls of models: what was asked for, what was said, what it used and cost.

use std::time::Duration;

use super::fields;
use crate::{Cost, Tokens, names};

fields! {
    "Calls of models: what was asked for and what answered." : {
        /// The model that is asked for.
        model: &str => REQUEST_MODEL;
        /// Who provides the model: `openai`, `anthropic`.
        provider: &str => PROVIDER_NAME;
        /// The provider's name where it is none that is well known.
        custom_provider: &str => CUSTOM_PROVIDER;
        /// The model that answered.
        response_model: &str => RESPONSE_MODEL;
        /// The version of the model.
        model_version: &str => MODEL_VERSION;
        /// What is done, where it does not follow from the kind: `text_completion`, `image_generation`.
        operation: &str => OPERATION_NAME;
        /// The temperature.
        temperature: f64 => REQUEST_TEMPERATURE;
        /// The nucleus to sample from, 0 to 1.
        top_p: f64 => REQUEST_TOP_P;
        /// How many tokens to sample from; of a retrieval, how many documents to find.
        top_k: u64 => REQUEST_TOP_K;
        /// How many tokens may be generated.
        max_tokens: u64 => REQUEST_MAX_TOKENS;
        /// What ends the generation: a list of texts.
        stop_sequences: value => REQUEST_STOP_SEQUENCES;
        /// The seed.
        seed: i64 => REQUEST_SEED;
        /// The frequency penalty.
        frequency_penalty: f64 => REQUEST_FREQUENCY_PENALTY;
        /// The presence penalty.
        presence_penalty: f64 => REQUEST_PRESENCE_PENALTY;
        /// How many candidates to generate.
        choice_count: u64 => REQUEST_CHOICE_COUNT;
        /// Whether the answer is to be streamed.
        stream: bool => REQUEST_STREAM;
        /// Parameters of the model that have no method of their own. Given several times, maps are merged.
        parameters: value => MODEL_PARAMETERS;
        /// The kind of output that is asked for: `text`, `json`, `image`, `speech`.
        output_modality: &str => OUTPUT_TYPE;
        /// The provider's identity of the answer.
        response_id: &str => RESPONSE_ID;
        /// Why the generation ended. Each call adds one, for models that give several candidates.
        finish_reason: &str => RESPONSE_FINISH_REASONS;
        /// How long the first part of the answer took.
        time_to_first_token(time: Duration) |span| {
            span.set(names::RESPONSE_TIME_TO_FIRST_CHUNK, time.as_secs_f64());
        }
    }
    "What was said to a model, and what it said." : {
        /// The instructions, apart from the messages.
        system_instructions: value => SYSTEM_INSTRUCTIONS;
        /// The messages given to the model.
        input_messages: value => INPUT_MESSAGES;
        /// The messages that the model answered with.
        output_messages: value => OUTPUT_MESSAGES;
        /// The text of the answer.
        response_content: value => RESPONSE_CONTENT;
        /// The messages that an agent's run began with.
        initial_messages: value => INITIAL_MESSAGES;
        /// The messages that an agent's run ended with.
        final_messages: value => FINAL_MESSAGES;
    }
    "What a call of a model used, and what it cost." : {
        /// The tokens that were used.
        tokens(tokens: Tokens) |span| {
            span.set(names::USAGE_INPUT_TOKENS, tokens.input)
                .set(names::USAGE_OUTPUT_TOKENS, tokens.output)
                .set(names::USAGE_TOTAL_TOKENS, tokens.total)
                .set(names::USAGE_CACHED_TOKENS, tokens.cached)
                .set(names::USAGE_CACHE_CREATION_TOKENS, tokens.cache_creation)
                .set(names::USAGE_REASONING_TOKENS, tokens.reasoning)
                .set(names::USAGE_IMAGE_TOKENS, tokens.image)
                .set(names::USAGE_REQUESTS, tokens.requests);
        }
        /// What else the provider says about usage. Given several times, maps are merged.
        usage_details: value => USAGE_DETAILS;
        /// What it cost.
        cost(cost: Cost<'_>) |span| {
            span.set(names::COST_INPUT, cost.input)
                .set(names::COST_OUTPUT, cost.output)
                .set(names::COST_TOTAL, cost.total)
                .set(names::COST_CACHED_DISCOUNT, cost.cached_discount)
                .set(names::COST_REASONING, cost.reasoning)
                .set(names::COST_CURRENCY, cost.currency)
                .set(names::COST_PRICING_DATE, cost.pricing_date);
        }
    }
}
