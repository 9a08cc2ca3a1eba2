use std::pin::Pin;

use spanring::prelude::*;

#[span]
const fn constant() -> u32 {
    7
}

#[span]
fn future_that_is_not_seen() -> impl Future<Output = ()> {
    std::future::ready(())
}

#[span]
fn boxed_future_that_is_not_seen() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let future = async {};
    Box::pin(future)
}

#[span]
struct NoFunction;

trait Searches {
    #[span]
    fn without_a_body(&self);
}

fn main() {}
