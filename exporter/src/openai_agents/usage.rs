//! Tokens, as the SDK counts them, and how a model was asked.

use spanring::names;
use spanring_spool::Value;

use super::object::Object;
use super::reading::Reading;

/// What a call of a model used.
pub(super) fn of_call(reading: &mut Reading<'_>) -> Option<Object> {
    let tokens = totals(reading);
    let of_input = Object::default()
        .with_some("cached_tokens", reading.unsigned(names::USAGE_CACHED_TOKENS))
        .with_some("cache_write_tokens", reading.unsigned(names::USAGE_CACHE_CREATION_TOKENS));
    let of_output = Object::default()
        .with_some("reasoning_tokens", reading.unsigned(names::USAGE_REASONING_TOKENS))
        .with_some("image_tokens", reading.unsigned(names::USAGE_IMAGE_TOKENS));
    tokens
        .with_some("input_tokens_details", of_input.some())
        .with_some("output_tokens_details", of_output.some())
        .with_some("details", reading.map(names::USAGE_DETAILS))
        .some()
}

/// What a whole task or turn used.
pub(super) fn of_many_calls(reading: &mut Reading<'_>) -> Option<Object> {
    totals(reading)
        .with_some("cached_input_tokens", reading.unsigned(names::USAGE_CACHED_TOKENS))
        .with_some("cache_write_input_tokens", reading.unsigned(names::USAGE_CACHE_CREATION_TOKENS))
        .some()
}

fn totals(reading: &mut Reading<'_>) -> Object {
    Object::default()
        .with_some("requests", reading.unsigned(names::USAGE_REQUESTS))
        .with_some("input_tokens", reading.unsigned(names::USAGE_INPUT_TOKENS))
        .with_some("output_tokens", reading.unsigned(names::USAGE_OUTPUT_TOKENS))
        .with_some("total_tokens", reading.unsigned(names::USAGE_TOTAL_TOKENS))
}

/// What the SDK calls the parameters that have a name of their own here.
const PARAMETERS: [(&str, &str); 10] = [
    (names::REQUEST_TEMPERATURE, "temperature"),
    (names::REQUEST_TOP_P, "top_p"),
    (names::REQUEST_TOP_K, "top_k"),
    (names::REQUEST_FREQUENCY_PENALTY, "frequency_penalty"),
    (names::REQUEST_PRESENCE_PENALTY, "presence_penalty"),
    (names::REQUEST_MAX_TOKENS, "max_tokens"),
    (names::REQUEST_STOP_SEQUENCES, "stop"),
    (names::REQUEST_SEED, "seed"),
    (names::REQUEST_CHOICE_COUNT, "n"),
    (names::REQUEST_STREAM, "stream"),
];

/// How a model was asked; `None` where nothing is known of it.
pub(super) fn model_config(reading: &mut Reading<'_>) -> Option<Object> {
    let others = reading.map(names::MODEL_PARAMETERS);
    let mut config = Object::default();
    for (key, name) in PARAMETERS {
        let is_free = others.as_ref().is_none_or(|others| !others.has(name));
        if let Some(value) = is_free.then(|| reading.value(key)).flatten() {
            config.set(name, value);
        }
    }
    match others {
        Some(others) => Some(config.and(others)),
        None => {
            reading.take(names::MODEL_PARAMETERS, |value: &Value| value.is_null().then_some(()));
            config.some()
        }
    }
}
