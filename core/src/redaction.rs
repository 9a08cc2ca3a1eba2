//! What of the values is recorded.

/// What of the values is recorded.
#[derive(Clone, Debug, Default)]
pub struct Redaction {}
