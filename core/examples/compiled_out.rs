//! A function that is instrumented, to look at what the compiler makes of it where recording is compiled out:
//!
//! ```sh
//! cargo rustc -p spanring --release --features off --example compiled_out -- --emit asm
//! ```
//!
//! In `target/release/examples/compiled_out-*.s`, `instrumented` multiplies and returns.

use std::hint::black_box;

use spanring::Tokens;

/// Multiplies by three, with spans, attributes, events, a guard and a scope around it.
#[inline(never)]
pub fn instrumented(number: u64) -> u64 {
    let run = spanring::trace("agent").user("u7").start();
    let call = run.llm("gpt-4o").temperature(0.2).input(&[number]).start();
    let _current = call.enter();
    let tool = spanring::span!("tool", number = number);
    spanring::event!(tool, "retry", attempt = number);
    call.tokens(Tokens::new(number, 94).cached(600)).output("text");
    let tripled = run.in_scope(|| number.wrapping_mul(3));
    tool.finish(Ok::<u64, std::io::Error>(tripled)).unwrap_or(0)
}

fn main() {
    assert_eq!(instrumented(black_box(4)), 12);
}
