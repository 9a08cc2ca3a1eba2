//! From a process to those that it starts: the headers as variables of the environment, whose names are theirs in upper case.
//!
//! The environment is read, and never written: a child's is written before it starts.

use std::env;
use std::process::Command;

use super::{BAGGAGE, Headers, HeadersMut, Propagated, TRACEPARENT, TRACESTATE};
use crate::context::Context;

/// The environment of this process.
struct Own;

/// The environment that a child will have.
struct OfChild<'a>(&'a mut Command);

fn variable(header: &str) -> Option<&'static str> {
    match header {
        TRACEPARENT => Some("TRACEPARENT"),
        TRACESTATE => Some("TRACESTATE"),
        BAGGAGE => Some("BAGGAGE"),
        _ => None,
    }
}

impl Headers for Own {
    fn each_value(&self, name: &str, look: &mut dyn FnMut(&str)) {
        if let Some(value) = variable(name).and_then(env::var_os) {
            look(value.to_str().unwrap_or("\u{fffd}"));
        }
    }
}

impl HeadersMut for OfChild<'_> {
    fn set(&mut self, name: &'static str, value: &str) {
        if let Some(variable) = variable(name) {
            self.0.env(variable, value);
        }
    }

    fn remove(&mut self, name: &'static str) {
        if let Some(variable) = variable(name) {
            self.0.env_remove(variable);
        }
    }
}

impl Propagated {
    /// What the process that started this one has told it, by the variables `TRACEPARENT`, `TRACESTATE` and `BAGGAGE`.
    pub fn from_environment() -> Self {
        Propagated::extract(&Own)
    }

    /// Tells a process that is about to be started. The three variables that it would inherit are replaced, and those that there is
    /// nothing to say by are removed.
    ///
    /// ```
    /// # use std::process::Command;
    /// # use spanring::propagation::Propagated;
    /// let call = spanring::tool("make").start();
    /// let mut command = Command::new("make");
    /// Propagated::from_environment().with_context(call.context()).set_in(&mut command);
    /// ```
    pub fn set_in(&self, command: &mut Command) {
        self.inject(&mut OfChild(command));
    }
}

impl Context {
    /// The span that the process which started this one has named, by the variable `TRACEPARENT`. [`Context::NONE`], under which a root
    /// starts, where there is none or it makes no sense.
    ///
    /// ```
    /// let run = spanring::trace("agent").parent(spanring::Context::from_environment()).start();
    /// ```
    pub fn from_environment() -> Self {
        Context::extract(&Own)
    }
}
