//! Which model was asked, how, and what it answered.

use spanring::names;

use crate::{SpanData, Value};

impl SpanData {
    /// The model that was asked for.
    pub fn model(&self) -> Option<&str> {
        self.text(names::REQUEST_MODEL)
    }

    /// The model that answered, where that was said.
    pub fn response_model(&self) -> Option<&str> {
        self.text(names::RESPONSE_MODEL)
    }

    /// The version of the model.
    pub fn model_version(&self) -> Option<&str> {
        self.text(names::MODEL_VERSION)
    }

    /// Who provides the model.
    pub fn provider(&self) -> Option<&str> {
        self.text(names::PROVIDER_NAME)
    }

    /// What was done, in OpenTelemetry's words: `chat`, `execute_tool`.
    pub fn operation(&self) -> Option<&str> {
        self.text(names::OPERATION_NAME)
    }

    /// The temperature.
    pub fn temperature(&self) -> Option<f64> {
        self.number(names::REQUEST_TEMPERATURE)
    }

    /// The nucleus to sample from.
    pub fn top_p(&self) -> Option<f64> {
        self.number(names::REQUEST_TOP_P)
    }

    /// How many tokens to sample from; how many documents to retrieve.
    pub fn top_k(&self) -> Option<u64> {
        self.unsigned(names::REQUEST_TOP_K)
    }

    /// How many tokens may be generated.
    pub fn max_tokens(&self) -> Option<u64> {
        self.unsigned(names::REQUEST_MAX_TOKENS)
    }

    /// What ends the generation.
    pub fn stop_sequences(&self) -> Vec<&str> {
        self.list(names::REQUEST_STOP_SEQUENCES).iter().filter_map(Value::as_str).collect()
    }

    /// Parameters of the model that have no name of their own.
    pub fn parameters(&self) -> Option<&Value> {
        self.get(names::MODEL_PARAMETERS)
    }

    /// The provider's identity of the answer.
    pub fn response_id(&self) -> Option<&str> {
        self.text(names::RESPONSE_ID)
    }

    /// Why the generation ended, for each candidate.
    pub fn finish_reasons(&self) -> Vec<&str> {
        self.list(names::RESPONSE_FINISH_REASONS).iter().filter_map(Value::as_str).collect()
    }

    /// The text of the answer.
    pub fn response_content(&self) -> Option<&Value> {
        self.get(names::RESPONSE_CONTENT)
    }

    /// The instructions, apart from the messages.
    pub fn system_instructions(&self) -> Option<&Value> {
        self.get(names::SYSTEM_INSTRUCTIONS)
    }

    /// The messages given to the model.
    pub fn input_messages(&self) -> Option<&Value> {
        self.get(names::INPUT_MESSAGES)
    }

    /// The messages that the model answered with.
    pub fn output_messages(&self) -> Option<&Value> {
        self.get(names::OUTPUT_MESSAGES)
    }
}
