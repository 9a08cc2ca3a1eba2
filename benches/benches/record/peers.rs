//! What others record spans with, as a user of theirs would in hot code.
//!
//! They carry the same names and values as ours. What they take cheaper at a span's start is given to them there: ours
//! are set one by one, as an agent learns them. Where a library takes only texts, its user makes them, and that is timed too.

pub(crate) mod fastrace;
pub(crate) mod opentelemetry;
pub(crate) mod puffin;
pub(crate) mod tracing_opentelemetry;
pub(crate) mod tracy;

mod kept;
mod one_text;

/// What this was built with.
const LOCK: &str = include_str!("../../../Cargo.lock");
const CRATES: [&str; 6] =
    ["fastrace", "opentelemetry_sdk", "tracing", "tracing-opentelemetry", "puffin", "tracy-client"];

/// The versions of the libraries.
pub(crate) fn versions() -> String {
    CRATES.map(|name| format!("{name} {}", version(name))).join(", ")
}

fn version(name: &str) -> &'static str {
    let entry = format!("name = \"{name}\"\nversion = \"");
    LOCK.split_once(&entry).and_then(|(_, after)| after.split('"').next()).expect("it is in the lock file")
}
