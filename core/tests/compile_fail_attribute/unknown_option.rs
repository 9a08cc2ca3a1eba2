use spanring::prelude::*;

#[span(kinds = tool)]
fn near() {}

#[span(database)]
fn far() {}

#[span(err, ret, err)]
fn doubled() -> Result<(), String> {
    Ok(())
}

#[span(ret = serde)]
fn unknown_way() {}

#[span(root, parent = Context::NONE)]
fn root_with_parent() {}

#[span(skip(client))]
fn no_such_argument(clients: u32) {
    drop(clients);
}

#[span(name = "")]
fn nameless() {}

fn main() {
    near();
}
