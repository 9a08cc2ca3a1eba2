//! `spanring config`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use spanring_exporter::config::Config;

use super::Failure;
use super::output::{complain, print};

/// Look at the configuration of an export
#[derive(Args, Debug)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    Check(Check),
}

/// Read a configuration, and say what `spanring export --config` would do
///
/// Looks at the spool, the files of secrets, the certificates and the environment, and shows no secret. Nothing is sent, and nothing is
/// opened for writing; so whether the files that are delivered to can be written to is not known.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
struct Check {
    /// The file, in TOML: see docs/export.example.toml
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const AFTER_HELP: &str = "\
Exit status:
  0  the configuration can be used
  2  it cannot, and why is said on one line, with the place";

impl ConfigCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Action::Check(Check { file }) = self.action;
        let plan = Config::read(file)?.plan()?;
        plan.warnings.iter().for_each(|warning| complain(warning));
        print(&plan)
    }
}
