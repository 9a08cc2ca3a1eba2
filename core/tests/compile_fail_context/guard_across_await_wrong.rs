//! A guard that is held across an await would make its span current for whatever else the thread does meanwhile.

fn spawn(future: impl Future + Send + 'static) {
    drop(future);
}

async fn search() {}

async fn research() {
    let run = spanring::trace("research").start();
    let _entered = run.enter();
    search().await;
}

fn main() {
    spawn(research());
}
