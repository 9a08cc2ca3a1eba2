//! `spanring doctor`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use spanring_exporter::doctor::{self, Check, Verdict};
use spanring_exporter::sink::{OtlpOptions, SinkAddress, SinkOptions};

use super::Failure;
use super::output::print;

/// Check whether spans arrive, and say what keeps them from it
///
/// Checks OpenTelemetry's variables, the spool if one is named, and each sink. An OTLP receiver is sent one span, called spanring.doctor, once,
/// and its answer is explained. Of file:PATH it is checked that it can be written, and of stdout what it is: no span is written there.
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
        let read = OtlpOptions::from_environment();
        let mut report = Report { is_json: self.json, checks: Vec::new() };
        let environment = doctor::environment(&read);
        let options = SinkOptions { otlp: read.unwrap_or_default(), ..SinkOptions::default() };
        let addresses: Vec<SinkAddress> =
            self.sinks.iter().map(|sink| SinkAddress::parse(sink, &options)).collect::<Result<_, _>>()?;
        if options.otlp.has_secrets() && addresses.iter().filter(|address| address.is_otlp()).count() > 1 {
            let message =
                "the headers and certificates of OTEL_EXPORTER_OTLP_* would go to more than one OTLP sink";
            return Err(Failure { status: Failure::BAD_INPUT, message: Some(message.to_owned()) });
        }
        let makes_sense = environment.iter().all(|check| check.verdict != Verdict::Fail);
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
        for address in addresses.iter().filter(|address| makes_sense || !address.is_otlp()) {
            report.add(runtime.block_on(doctor::sink(address, &options.otlp)))?;
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
