//! The spans of an agent at work, made from a seed.

use std::hint::black_box;

use spanring::{Ended, Kind, Span};

/// How many different values there are of each sort.
const VALUES: usize = 1024;

/// What the calls of an agent carry. Made ahead of time, so that making it is not measured.
#[derive(Clone, Debug)]
pub struct Calls {
    identities: Vec<String>,
    replies: Vec<String>,
}

impl Calls {
    /// How many logical bytes a tool call is, counted as for [`AgentRun`](crate::AgentRun::logical_len): what all spans have, the
    /// name, four keys, and their values.
    pub const TOOL_LOGICAL_LEN: u64 = 50 + 12 + (12 + 10 + 12 + 11) + (8 + 8 + 16 + 1);

    /// The same calls for the same seed.
    pub fn seeded(seed: u64) -> Self {
        let mut random = Random(seed);
        let identities = (0..VALUES).map(|_| format!("{:016x}", random.next())).collect();
        let replies = (0..VALUES).map(|_| random.reply()).collect();
        Calls { identities, replies }
    }

    /// What a tool call carries.
    #[inline]
    pub fn tool_values(&self, number: usize) -> ToolValues<'_> {
        ToolValues {
            attempt: (number & 3) as i64,
            score: number as f64 * 0.25,
            call_id: &self.identities[number % VALUES],
            is_cached: number & 1 == 0,
        }
    }

    /// What a call of a language model carries.
    #[inline]
    pub fn model_values(&self, number: usize) -> ModelValues<'_> {
        ModelValues {
            model: "mistral-small-latest",
            temperature: 0.7,
            max_tokens: 4096,
            is_stream: true,
            response_id: &self.identities[number % VALUES],
            reply: &self.replies[number % VALUES],
            input_tokens: (number & 0xfff) as i64,
            output_tokens: (number & 0xff) as i64,
        }
    }

    /// A step of a run: a span with nothing on it.
    #[inline]
    pub fn step(&self, run: &Span) -> Ended {
        run.child("step").start().end()
    }

    /// A tool call: four attributes, an integer, a floating-point number, a text of 16 bytes, and a boolean.
    #[inline]
    pub fn tool(&self, run: &Span, number: usize) -> Ended {
        let tool = self.tool_values(number);
        let span = run.child("execute_tool").kind(Kind::Tool).start();
        span.set("tool.attempt", tool.attempt);
        span.set("tool.score", tool.score);
        span.set("tool.call_id", tool.call_id);
        span.set("tool.cached", tool.is_cached);
        span.end()
    }

    /// As many tool calls.
    ///
    /// # Panics
    ///
    /// Where the last was not recorded.
    pub fn tools(&self, run: &Span, count: usize) {
        let mut last = Ended::Recorded;
        for number in 0..count {
            last = black_box(self.tool(run, number));
        }
        assert_eq!(last, Ended::Recorded);
    }

    /// A call of a language model: eight attributes, one of them a text of 200 bytes, and an event.
    #[inline]
    pub fn model(&self, run: &Span, number: usize) -> Ended {
        let model = self.model_values(number);
        let span = run.child("chat").kind(Kind::Llm).start();
        span.set("gen_ai.request.model", model.model);
        span.set("gen_ai.request.temperature", model.temperature);
        span.set("gen_ai.request.max_tokens", model.max_tokens);
        span.set("gen_ai.request.stream", model.is_stream);
        span.event("first token");
        span.set("gen_ai.response.id", model.response_id);
        span.set("gen_ai.output.messages", model.reply);
        span.set("gen_ai.usage.input_tokens", model.input_tokens);
        span.set("gen_ai.usage.output_tokens", model.output_tokens);
        span.end()
    }
}

/// The values of a tool call's attributes.
#[derive(Clone, Copy, Debug)]
pub struct ToolValues<'a> {
    /// Which attempt it is.
    pub attempt: i64,
    /// How good it was.
    pub score: f64,
    /// 16 bytes, another for each call.
    pub call_id: &'a str,
    /// Whether its answer was known already.
    pub is_cached: bool,
}

/// The values of a model call's attributes.
#[derive(Clone, Copy, Debug)]
pub struct ModelValues<'a> {
    /// A literal of the program's.
    pub model: &'static str,
    /// How daring it was to be.
    pub temperature: f64,
    /// How long its answer might have been.
    pub max_tokens: i64,
    /// Whether it answered in pieces.
    pub is_stream: bool,
    /// 16 bytes, another for each call.
    pub response_id: &'a str,
    /// 200 bytes, another for each call.
    pub reply: &'a str,
    /// What it read.
    pub input_tokens: i64,
    /// What it wrote.
    pub output_tokens: i64,
}

/// A generator for workloads: splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 200 bytes of words.
    fn reply(&mut self) -> String {
        const WORDS: [&str; 16] = [
            "the", "file", "contains", "a", "test", "that", "fails", "because", "of", "an", "import",
            "which", "is", "missing", "in", "module",
        ];
        let mut reply = String::new();
        while reply.len() < 200 {
            reply.push_str(WORDS[usize::try_from(self.next() % 16).unwrap_or(0)]);
            reply.push(' ');
        }
        reply.truncate(200);
        reply
    }
}
