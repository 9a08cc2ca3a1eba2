//! How a recorder works, and how much its spans may hold.

use std::time::Duration;

/// How a recorder works.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Length of each ring in bytes: a power of two from 4 KiB to 1 GiB.
    pub ring_bytes: usize,
    /// What happens when there is no room.
    pub overflow: Overflow,
    /// Whether every span is announced when it starts, and not just roots.
    pub live: bool,
    /// How much a span may hold.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Options { ring_bytes: 1 << 20, overflow: Overflow::Drop, live: false, limits: Limits::default() }
    }
}

/// How much a span may hold, beside the limit of a quarter of its ring. What goes beyond is cut or left out, and counted: in the
/// span too, under [`DROPPED_ATTRIBUTES`](crate::names::DROPPED_ATTRIBUTES) and its like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// How many attributes a span may have, and each of its events and links; 1,024 unless said otherwise. Each time that
    /// one is set counts.
    pub attributes: u32,
    /// How many events a span may have; 1,024 unless said otherwise.
    pub events: u32,
    /// How many links a span may have; 1,024 unless said otherwise.
    pub links: u32,
    /// How many bytes a value may take, text and encoded values alike; no limit unless said otherwise.
    pub value_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { attributes: 1024, events: 1024, links: 1024, value_bytes: usize::MAX }
    }
}

/// What a span does that finds its ring full, or no cell free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
    /// It is dropped and counted.
    #[default]
    Drop,
    /// It waits for room, this long at most, and is then dropped and counted.
    Block(Duration),
}
