//! All attributes in one text, for libraries that take no more.

use std::fmt::Write as _;

use spanring_benches::Calls;

/// A text that is written again for each span, without allocating.
#[derive(Default)]
pub(super) struct OneText(String);

impl OneText {
    pub(super) fn tool(&mut self, calls: &Calls, number: usize) -> &str {
        let tool = calls.tool_values(number);
        self.0.clear();
        write!(
            self.0,
            "tool.attempt={} tool.score={} tool.call_id={} tool.cached={}",
            tool.attempt, tool.score, tool.call_id, tool.is_cached
        )
        .expect("a text takes all");
        &self.0
    }

    pub(super) fn model(&mut self, calls: &Calls, number: usize) -> &str {
        let model = calls.model_values(number);
        self.0.clear();
        write!(
            self.0,
            "gen_ai.request.model={} gen_ai.request.temperature={} gen_ai.request.max_tokens={} \
             gen_ai.request.stream={} gen_ai.response.id={} gen_ai.output.messages={} \
             gen_ai.usage.input_tokens={} gen_ai.usage.output_tokens={}",
            model.model,
            model.temperature,
            model.max_tokens,
            model.is_stream,
            model.response_id,
            model.reply,
            model.input_tokens,
            model.output_tokens
        )
        .expect("a text takes all");
        &self.0
    }
}
