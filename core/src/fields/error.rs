//! Errors, apart from their message: see [`Span::error`](crate::Span::error) for all at once.

use super::fields;

fields! {
    "Errors, apart from their message." : {
        /// The class of error: `TimeoutError`.
        error_type: &str => ERROR_TYPE;
        /// The stack trace.
        stack_trace: &str => ERROR_STACKTRACE;
        /// The category: `timeout_error`, `tool_error`.
        error_category: &str => ERROR_CATEGORY;
        /// What caused the error. Each call adds one, the nearest first.
        error_cause: &str => ERROR_CAUSES;
        /// Anything else about the error. Given several times, maps are merged.
        error_data: value => ERROR_DATA;
    }
}
