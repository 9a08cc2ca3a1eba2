//! What arrived, whatever the system's form.

/// A span.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) number: usize,
    /// Its identity there.
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    /// The identity of its trace there; empty where the system has none.
    pub(crate) trace: String,
    /// The parent that it names in its metadata, where it is under none.
    pub(crate) named_parent: Option<String>,
}

/// What a system says of a whole trace, beside the number of its root or first span.
#[derive(Debug, Default)]
pub(crate) struct Total {
    pub(crate) number: usize,
    pub(crate) spans: u64,
    pub(crate) calls: u64,
    pub(crate) tokens: u64,
    pub(crate) cost: f64,
    pub(crate) duration_ms: f64,
}
