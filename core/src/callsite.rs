//! The places in the code where spans start, and whether they are enabled.

/// Decides which callsites are enabled.
pub trait Filter: Send + Sync {
    /// Whether spans that start there are recorded.
    fn is_enabled(&self, callsite: &Callsite) -> bool;
}

/// A place in the code where spans start.
#[derive(Debug)]
pub struct Callsite {}
