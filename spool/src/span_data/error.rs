//! What went wrong.

use spanring::{Status, names};

use crate::{SpanData, Value};

impl SpanData {
    /// What was said about its failure; `None` for a span that did not fail, or where nothing was said.
    pub fn error_message(&self) -> Option<&str> {
        let is_failure = matches!(self.status, Status::Error | Status::TimedOut);
        (is_failure && !self.status_message.is_empty()).then_some(self.status_message.as_str())
    }

    /// The class of error.
    pub fn error_type(&self) -> Option<&str> {
        self.text(names::ERROR_TYPE)
    }

    /// The stack trace.
    pub fn stack_trace(&self) -> Option<&str> {
        self.text(names::ERROR_STACKTRACE)
    }

    /// The category of the error: `timeout_error`.
    pub fn error_category(&self) -> Option<&str> {
        self.text(names::ERROR_CATEGORY)
    }

    /// Anything else about the error.
    pub fn error_data(&self) -> Option<&Value> {
        self.get(names::ERROR_DATA)
    }

    /// What caused the error, the nearest first.
    pub fn error_causes(&self) -> Vec<&str> {
        self.list(names::ERROR_CAUSES).iter().filter_map(Value::as_str).collect()
    }
}
