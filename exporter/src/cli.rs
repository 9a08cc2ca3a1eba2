//! The command line.
//!
//! | exit status | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | not all could be done: a sink did not take what it was sent, a recorder could not be recovered or may have a living process, a check failed, or somebody else has what is needed: the spool, a file, the port to listen at |
//! | 2 | bad input: no such spool, not a spool, no permission, an unknown sink, a wrong option, a configuration with a mistake |
//!
//! `spanring exec` ends as the command that it runs, and says what keeps it from running one as shells do: see there.

mod config;
mod dead_letters;
mod demo;
mod doctor;
mod environment;
mod exec;
mod export;
mod log;
mod output;
mod recover;
mod replay;
mod trace;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use spanring_exporter::config::ConfigError;
use spanring_exporter::with_causes;

/// A crash-safe flight recorder for AI agents: delivers what was recorded, and recovers it after a crash.
#[derive(Parser, Debug)]
#[command(name = "spanring", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Export(export::Export),
    Config(config::ConfigCommand),
    Replay(replay::ReplayCommand),
    Recover(recover::Recover),
    DeadLetters(dead_letters::DeadLettersCommand),
    Doctor(doctor::DoctorCommand),
    Trace(trace::TraceCommand),
    Exec(exec::Exec),
    Demo(demo::DemoCommand),
    #[command(hide = true)]
    DemoAgent(demo::AgentCommand),
}

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody reads it where it cannot be printed, and the status tells the rest.
            drop(error.print());
            return if error.use_stderr() { Failure::BAD_INPUT.into() } else { ExitCode::SUCCESS };
        }
    };
    let done = match cli.command {
        Command::Export(export) => export.run(),
        Command::Config(config) => config.run(),
        Command::Replay(replay) => replay.run(),
        Command::Recover(recover) => recover.run(),
        Command::DeadLetters(letters) => letters.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Trace(trace) => trace.run(),
        Command::Exec(exec) => exec.run(),
        Command::Demo(demo) => demo.run(),
        Command::DemoAgent(agent) => agent.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message {
                output::complain(&message);
            }
            failure.status.into()
        }
    }
}

/// Why the exit status is not 0.
#[derive(Debug)]
struct Failure {
    status: u8,
    /// One line for stderr, unless all has been said.
    message: Option<String>,
}

impl Failure {
    const INCOMPLETE: u8 = 1;
    const BAD_INPUT: u8 = 2;

    fn incomplete(message: impl Into<String>) -> Self {
        Failure { status: Self::INCOMPLETE, message: Some(message.into()) }
    }

    /// Not all could be done, and why has been said already.
    fn told() -> Self {
        Failure { status: Self::INCOMPLETE, message: None }
    }

    fn bad_input(error: impl std::error::Error) -> Self {
        Failure { status: Self::BAD_INPUT, message: Some(with_causes(&error)) }
    }
}

impl From<spanring_spool::Error> for Failure {
    fn from(error: spanring_spool::Error) -> Self {
        match error {
            // It is what it should be, and in use.
            spanring_spool::Error::Locked { .. } | spanring_spool::Error::StillAlive { .. } => {
                Failure::incomplete(with_causes(&error))
            }
            error => Failure::bad_input(error),
        }
    }
}

impl From<spanring_exporter::Error> for Failure {
    fn from(error: spanring_exporter::Error) -> Self {
        match error {
            spanring_exporter::Error::Spool(error) => error.into(),
            // Another exporter writes to it.
            spanring_exporter::Error::Sink { ref source, .. } if source.kind() == ErrorKind::WouldBlock => {
                Failure::incomplete(with_causes(&error))
            }
            // Somebody else listens there.
            spanring_exporter::Error::Listen { ref source, .. } if source.kind() == ErrorKind::AddrInUse => {
                Failure::incomplete(with_causes(&error))
            }
            error => Failure::bad_input(error),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Failure::bad_input(error)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
