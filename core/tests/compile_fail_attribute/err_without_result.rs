use spanring::prelude::*;

type Count = u32;

#[span(err)]
fn nothing() {}

#[span(err)]
fn pair() -> (u32, u32) {
    (1, 2)
}

#[span(err)]
fn number() -> Count {
    1
}

#[span(err)]
async fn later() -> Option<u32> {
    None
}

#[derive(Debug)]
struct NoError;

#[span(err)]
fn fails_with_what_is_no_error() -> Result<(), NoError> {
    Err(NoError)
}

fn main() {}
