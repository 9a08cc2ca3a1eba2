//! `spanring doctor`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use spanring_exporter::doctor::{self, Check, Verdict};
use spanring_exporter::sink::{SinkAddress, SinkOptions, System};

use super::Failure;
use super::output::print;

/// Check whether spans arrive, and say what keeps them from it
///
/// Checks the variables of the systems that are delivered to, the spool if one is named, and each sink. A receiver is sent one span, called
/// spanring.doctor, once, and its answer is explained. Of files it is checked that it can be written, and of stdout what it is: no span is written there.
/// Nothing is written to the spool, and an exporter may be at it meanwhile.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct DoctorCommand {
    /// A sink, by its address as for `spanring export`; may be repeated
    #[arg(long = "to", value_name = "SINK", required_unless_present = "spool")]
    sinks: Vec<String>,

    /// The directory of a spool
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
Each line begins with ok, with warn where spans arrive and yet somebody should know, or with fail.

Exit status:
  0  nothing failed
  1  something did
  2  bad input: an unknown sink, a wrong option";

impl DoctorCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut report = Report { is_json: self.json, checks: Vec::new() };
        let (mut options, mut environment, mut unclear) = (SinkOptions::default(), Vec::new(), Vec::new());
        let named = self.sinks.iter().filter_map(|sink| System::of(sink));
        for system in named.chain([System::Otlp]).collect::<BTreeSet<_>>() {
            let checks = doctor::environment(system, &mut options);
            if checks.iter().any(|check| check.verdict == Verdict::Fail) {
                unclear.push(system);
            }
            environment.extend(checks);
        }
        let addresses: Vec<SinkAddress> =
            self.sinks.iter().map(|sink| SinkAddress::parse(sink, &options)).collect::<Result<_, _>>()?;
        options.check_secrets(&addresses)?;
        report.add(environment)?;
        if let Some(path) = &self.spool {
            let names: Vec<_> = addresses.iter().map(SinkAddress::to_string).collect();
            report.add(doctor::spool(path, &names))?;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::incomplete(format!("cannot start: {error}")))?;
        // What the environment meant to say, nobody knows.
        let is_clear =
            |address: &&SinkAddress| address.system().is_none_or(|system| !unclear.contains(&system));
        for address in addresses.iter().filter(is_clear) {
            report.add(runtime.block_on(doctor::sink(address, &options)))?;
        }
        // A name that is still being looked up holds nobody up.
        runtime.shutdown_background();
        report.end()
    }
}

/// The checks, of which each is printed as it comes, but for JSON.
struct Report {
    is_json: bool,
    checks: Vec<Check>,
}

impl Report {
    fn add(&mut self, checks: Vec<Check>) -> Result<(), Failure> {
        if !self.is_json {
            checks.iter().try_for_each(print)?;
        }
        self.checks.extend(checks);
        Ok(())
    }

    fn end(self) -> Result<(), Failure> {
        let failed = self.checks.iter().filter(|check| check.verdict == Verdict::Fail).count();
        if self.is_json {
            print(json!({ "failed": failed, "checks": self.checks }))?;
        }
        if failed == 0 { Ok(()) } else { Err(Failure::told()) }
    }
}
