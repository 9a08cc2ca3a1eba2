use spanring::prelude::*;

struct Client;

#[span(fields(client))]
fn field(client: Client) {}

#[span(args)]
fn argument(client: Client, query: &str) {}

#[span(ret)]
fn output() -> Client {
    Client
}

#[span(parent = client)]
fn parent(client: &Client) {}

fn main() {}
