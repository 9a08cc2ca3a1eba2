//! Workloads for benchmarks of spanring, and what they are measured against.
//!
//! Each file in `benches/` asks one question; the groups' documentation says which decision the answer informs. What they share
//! is here: the spans of an agent ([`Calls`], and whole runs, real and made, in [`AgentRun`]), the least that recording a span could cost
//! ([`Floor`]), and a spool whose ledger is checked ([`Bed`]). A sample counts only when nothing was dropped: spans are recorded in
//! bursts that fit the ring, which is drained in between without being timed, and every burst asserts that as many
//! spans came out as went in.

mod agent_runs;
mod bed;
mod calls;
mod captured;
mod floor;
mod full_disk;
mod logical;
mod place;

pub use agent_runs::AgentRun;
pub use bed::{Bed, Carried};
pub use calls::{Calls, ModelValues, ToolValues};
pub use captured::Captured;
pub use floor::{Floor, ticks, ticks_after};
pub use full_disk::FullDisk;
pub use logical::logical_len;
pub use place::Place;

/// The examples of the project's README are compiled with the tests of this crate, which is not published and so may
/// reach outside of its directory.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
