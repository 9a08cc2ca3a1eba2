//! Agent runs made from a seed: as many as are asked for, no two alike, about 411 logical bytes a span.
//!
//! A run is an agent with four to ten steps. A step is a chain that calls a model and then no, one or two tools, of which
//! one in sixteen fails. Names, models, tools, limits and reasons are of the few that a program has. What says how much
//! is spread as it is in life: token counts over thousands, latencies over all floating-point numbers. What identifies
//! is random and of full length: besides the ids of traces and spans, the id of each reply and of each tool call.
//!
//! What is said is words: of a vocabulary of 4096 that the seed makes, a few are used often and most rarely (the n-th most
//! frequent n times less often than the first), so that a byte of it carries about 1.5 bits, as it does in written
//! language. No text is made twice; but a model is given what was said last, by the user or a tool, as models are, and
//! that is the only thing that stands in a run again. Real runs repeat themselves much more, since a model is given all
//! that was said before.

use spanring::Kind;

use super::{AgentRun, Attribute, Recorded};
use crate::calls::Random;

const WORDS: usize = 4096;
const AGENTS: [&str; 6] = ["researcher", "planner", "reviewer", "translator", "support", "coder"];
const MODELS: [&str; 5] =
    ["mistral-small-latest", "gpt-4.1-mini", "claude-sonnet-4-5", "llama-3.3-70b", "gemini-2.5-flash"];
const PROVIDERS: [&str; 5] = ["mistral_ai", "openai", "anthropic", "groq", "gcp.gemini"];
const TOOLS: [&str; 8] = [
    "search_web",
    "read_file",
    "run_tests",
    "edit_file",
    "list_directory",
    "query_database",
    "send_message",
    "fetch_page",
];
const ARGUMENTS: [&str; 4] = ["query", "path", "command", "text"];
const FINISHES: [&str; 3] = ["tool_calls", "stop", "length"];

/// Whole runs of at least so many spans together.
pub(super) fn runs(seed: u64, spans: u64) -> Vec<AgentRun> {
    let mut maker = Maker::seeded(seed);
    let (mut runs, mut made) = (Vec::new(), 0);
    while made < spans {
        let run = maker.run();
        made += run.len();
        runs.push(run);
    }
    runs
}

struct Maker {
    random: Random,
    words: Vec<String>,
    /// For each word how often it or one before it is used, of the last one's.
    up_to: Vec<u64>,
}

impl Maker {
    fn seeded(seed: u64) -> Self {
        const SYLLABLES: [&str; 32] = [
            "a", "be", "con", "di", "en", "fa", "gra", "hi", "in", "jo", "ka", "le", "men", "no", "or",
            "pro", "qui", "re", "sta", "tion", "un", "ver", "wi", "ex", "ly", "zo", "er", "th", "s", "al",
            "ing", "ed",
        ];
        let mut random = Random(seed);
        // The more frequent a word, the shorter.
        let word = |at: usize, random: &mut Random| {
            let syllables = 1 + (at + 4).ilog2() as usize / 4;
            (0..syllables).map(|_| SYLLABLES[below(random, 32)]).collect::<String>()
        };
        let words = (0..WORDS).map(|at| word(at, &mut random)).collect();
        let weights = (1..=WORDS as u64).map(|rank| (1 << 32) / rank);
        let up_to = weights.scan(0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Maker { up_to: up_to.collect(), random, words }
    }

    /// The root, and below it each step with its calls.
    fn run(&mut self) -> AgentRun {
        let agent = below(&mut self.random, AGENTS.len());
        let model = below(&mut self.random, MODELS.len());
        let mut said = self.said(200);
        let mut spans = vec![span("invoke_agent", Kind::Agent, None)];
        spans[0].attributes = vec![
            ("gen_ai.agent.name", text(AGENTS[agent])),
            ("gen_ai.conversation.id", Attribute::Str(self.identity("conv_"))),
            ("gen_ai.input.messages", Attribute::Str(said.clone())),
            ("gen_ai.output.messages", Attribute::Str(self.said(240))),
        ];
        for step in 0..4 + below(&mut self.random, 7) {
            let chain = spans.len();
            spans.push(span("step", Kind::Chain, Some(0)));
            spans[chain].attributes = vec![
                ("agent.step", Attribute::I64(step as i64)),
                ("agent.thought", Attribute::Str(self.said(85))),
            ];
            spans.push(self.model(model, &said, chain));
            for _ in 0..below(&mut self.random, 3) {
                said = self.said(130);
                spans.push(self.tool(&said, chain));
            }
        }
        AgentRun { spans }
    }

    fn model(&mut self, model: usize, input: &str, parent: usize) -> Recorded {
        let mut span = span("chat", Kind::Llm, Some(parent));
        span.attributes = vec![
            ("gen_ai.provider.name", text(PROVIDERS[model])),
            ("gen_ai.request.model", text(MODELS[model])),
            ("gen_ai.request.temperature", Attribute::F64(0.7)),
            ("gen_ai.request.max_tokens", Attribute::I64(4096)),
            ("gen_ai.request.stream", Attribute::Bool(true)),
            ("gen_ai.input.messages", text(input)),
            ("gen_ai.output.messages", Attribute::Str(self.said(85))),
            ("gen_ai.response.id", Attribute::Str(self.identity("resp_"))),
            ("gen_ai.response.finish_reason", text(FINISHES[below(&mut self.random, 3)])),
            ("gen_ai.usage.input_tokens", Attribute::I64(below(&mut self.random, 8000) as i64)),
            ("gen_ai.usage.output_tokens", Attribute::I64(below(&mut self.random, 900) as i64)),
        ];
        let latency = below(&mut self.random, 1 << 40) as f64 / 1e12;
        span.events = vec![("first token", vec![("latency_s", Attribute::F64(latency))])];
        span
    }

    fn tool(&mut self, result: &str, parent: usize) -> Recorded {
        let mut span = span("execute_tool", Kind::Tool, Some(parent));
        span.failed = self.random.next().is_multiple_of(16);
        let argument = ARGUMENTS[below(&mut self.random, ARGUMENTS.len())];
        let arguments = format!("{{\"{argument}\":\"{}\"}}", self.said(30));
        span.attributes = vec![
            ("gen_ai.tool.name", text(TOOLS[below(&mut self.random, TOOLS.len())])),
            ("gen_ai.tool.call.id", Attribute::Str(self.identity("call_"))),
            ("gen_ai.tool.call.arguments", Attribute::Str(arguments)),
            ("gen_ai.tool.call.result", text(result)),
            ("tool.attempt", Attribute::I64(below(&mut self.random, 3) as i64)),
        ];
        span
    }

    /// Words of about `len` bytes together: from half as many up to half more.
    fn said(&mut self, len: usize) -> String {
        let len = len / 2 + below(&mut self.random, len + 1);
        let mut said = String::new();
        while said.len() < len {
            let total = self.up_to[WORDS - 1];
            let at = self.random.next() % total;
            said.push_str(&self.words[self.up_to.partition_point(|&up_to| up_to <= at)]);
            said.push(' ');
        }
        said.pop();
        said
    }

    /// 16 random digits of base 16, behind what says of what sort it is.
    fn identity(&mut self, sort: &str) -> String {
        format!("{sort}{:016x}", self.random.next())
    }
}

fn span(name: &'static str, kind: Kind, parent: Option<usize>) -> Recorded {
    Recorded { parent, name, kind, failed: false, attributes: Vec::new(), events: Vec::new() }
}

fn text(text: &str) -> Attribute {
    Attribute::Str(text.to_owned())
}

/// A number below `end`.
fn below(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.next() % end as u64).expect("it is below a number of memory's size")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_about_411_logical_bytes() {
        for seed in 0..4 {
            let runs = runs(seed, 20_000);
            let spans = runs.iter().map(AgentRun::len).sum::<u64>();
            let bytes = runs.iter().map(AgentRun::logical_len).sum::<u64>();
            assert!((408 * spans..=414 * spans).contains(&bytes), "{}", bytes as f64 / spans as f64);
        }
    }

    #[test]
    fn a_byte_of_what_is_said_carries_a_bit_and_a_half() {
        let mut maker = Maker::seeded(1);
        let total = maker.up_to[WORDS - 1] as f64;
        let shares = (1..=WORDS as u64).map(|rank| ((1_u64 << 32) / rank) as f64 / total);
        let bits_a_word = shares.map(|share| -share * share.log2()).sum::<f64>();
        let said = maker.said(100_000);
        let bits = bits_a_word * said.split(' ').count() as f64 / said.len() as f64;
        assert!((1.5..1.8).contains(&bits), "{bits}");
    }
}
