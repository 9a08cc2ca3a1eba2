//! What is printed: results to standard output, everything else to standard error.

use std::fmt;
use std::io::{self, Write as _};

use super::Failure;

/// Prints a line. Standard output may be closed at any time: whoever closes a pipe wants no more of it, and that is no
/// failure.
pub(super) fn print(line: impl fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::incomplete(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Says what is wrong, or worth knowing, on one line of standard error. Where that is closed, nobody listens.
pub(super) fn complain(message: &str) {
    drop(writeln!(io::stderr().lock(), "spanring: {}", message.replace('\n', " ")));
}
