//! What is set on a span, and what became of it, need not be looked at.
#![deny(unused_must_use)]

pub(crate) fn main() {
    let run = spanring::trace("research").start();
    let _entered = run.enter();
    let search = spanring::tool("search").start();
    search.set("answer", 42).event("found");
    search.end();
}
