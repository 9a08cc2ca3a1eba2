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
    /// The same calls for the same seed.
    pub fn seeded(seed: u64) -> Self {
        let mut random = Random(seed);
        let identities = (0..VALUES).map(|_| format!("{:016x}", random.next())).collect();
        let replies = (0..VALUES).map(|_| random.reply()).collect();
        Calls { identities, replies }
    }

    /// A step of a run: a span with nothing on it.
    #[inline]
    pub fn step(&self, run: &Span) -> Ended {
        run.child("step").start().end()
    }

    /// A tool call: four attributes, an integer, a floating-point number, a text of 16 bytes, and a boolean.
    #[inline]
    pub fn tool(&self, run: &Span, number: usize) -> Ended {
        let span = run.child("execute_tool").kind(Kind::Tool).start();
        span.set("tool.attempt", (number & 3) as i64);
        span.set("tool.score", number as f64 * 0.25);
        span.set("tool.call_id", &self.identities[number % VALUES]);
        span.set("tool.cached", number & 1 == 0);
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
        let span = run.child("chat").kind(Kind::Llm).start();
        span.set("gen_ai.request.model", "mistral-small-latest");
        span.set("gen_ai.request.temperature", 0.7);
        span.set("gen_ai.request.max_tokens", 4096);
        span.set("gen_ai.request.stream", true);
        span.event("first token");
        span.set("gen_ai.response.id", &self.identities[number % VALUES]);
        span.set("gen_ai.output.messages", &self.replies[number % VALUES]);
        span.set("gen_ai.usage.input_tokens", (number & 0xfff) as u64);
        span.set("gen_ai.usage.output_tokens", (number & 0xff) as u64);
        span.end()
    }
}

/// A generator for workloads: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
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
