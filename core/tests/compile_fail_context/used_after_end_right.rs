//! A context outlives its span.

pub(crate) fn main() {
    let run = spanring::trace("research").start();
    let context = run.context();
    run.set("answer", 42);
    run.end();
    drop(spanring::guardrail("length").parent(context).start());
}
