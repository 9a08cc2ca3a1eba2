//! Which traces are recorded.

use crate::context::Context;
use crate::{Kind, TraceId};

/// Decides whether a trace is recorded, once: when its first span in this process starts.
pub trait Sampler: Send + Sync {
    /// Whether the trace is recorded.
    fn is_sampled(&self, root: &Root<'_>) -> bool;
}

/// The first span of a trace in this process, before it starts.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Root<'a> {
    /// The trace.
    pub trace_id: TraceId,
    /// The span of another process that it belongs to, if any.
    pub parent: Context,
    /// What it stands for.
    pub kind: Kind,
    /// Its name, in up to three parts.
    pub name: [&'a str; 3],
}

/// How many of the spans of each kind are recorded.
#[derive(Clone, Debug, Default)]
pub struct KindRates {}
