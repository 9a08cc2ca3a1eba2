//! What does nothing unless it is used must be used.
#![deny(unused_must_use)]

use spanring::InSpan;

fn main() {
    spanring::tool("search");
    spanring::tool("search").start();
    let run = spanring::trace("research").start();
    run.enter();
    async {}.in_span(&run);
}
