use spanring::prelude::*;

#[span]
fn wrong_type(text: &str) -> u32 {
    text
}

#[span]
fn nothing_returned(text: &str) -> u32 {
    text.len();
}

#[span(err, ret, as = call)]
async fn wrong_type_later(text: &str) -> Result<u32, String> {
    call.event("here");
    Ok(text)
}

fn main() {}
