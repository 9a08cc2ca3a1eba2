//! What has ended cannot be changed, or end again.

fn main() {
    let run = spanring::trace("research").start();
    run.end();
    run.set("answer", 42);
}
