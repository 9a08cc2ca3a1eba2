//! What is printed: results to standard output, unless spans go there, and everything else to standard error.

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

/// Prints what a command came to, on standard error where standard output is a sink's.
pub(super) fn print_report(report: impl fmt::Display, has_stdout: bool) -> Result<(), Failure> {
    if has_stdout {
        // Where standard error is closed, nobody listens.
        drop(writeln!(io::stderr().lock(), "{report}"));
        return Ok(());
    }
    print(report)
}

/// Says what is wrong, or worth knowing, on one line of standard error. Where that is closed, nobody listens.
pub(super) fn complain(message: &str) {
    drop(writeln!(io::stderr().lock(), "spanring: {}", message.replace('\n', " ")));
}
