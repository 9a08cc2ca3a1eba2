//! The attribute that records a function's calls as spans.
