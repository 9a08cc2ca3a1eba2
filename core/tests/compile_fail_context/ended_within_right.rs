//! It ends after what runs within it; or that goes on under its context.

use spanring::InSpan;

async fn search() {}

async fn research() {
    let run = spanring::trace("research").start();
    let late = search().in_context(run.context());
    search().in_span(&run).await;
    run.end();
    late.await;
}

pub(crate) fn main() {
    drop(research());
}
