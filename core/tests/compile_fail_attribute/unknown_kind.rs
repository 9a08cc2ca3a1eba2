use spanring::prelude::*;

#[span(kind = tol)]
fn near() {}

#[span(kind = database)]
fn far() {}

fn main() {}
