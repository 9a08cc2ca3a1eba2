//! A span does not end while something runs within it.

use spanring::InSpan;

async fn search() {}

async fn research() {
    let run = spanring::trace("research").start();
    let search = search().in_span(&run);
    run.end();
    search.await;
}

fn main() {
    drop(research());
}
