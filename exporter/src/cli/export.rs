//! `spanring export`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use spanring_exporter::sink::{Compression, FileOptions, OtlpOptions, SinkAddress, SinkOptions};
use spanring_exporter::{Error, Exporter, quantity};
use spanring_spool::SpoolDir;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::Failure;
use super::output::{complain, print_report};

/// Deliver what is recorded in a spool.
///
/// Follows the recorders of the spool until SIGTERM or SIGINT, recovers those whose process died, retries for ever, and
/// removes what all sinks have. With --once it delivers what is there and ends.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Export {
    /// The directory of the spool
    #[arg(long, value_name = "DIR")]
    spool: PathBuf,

    /// Where to deliver to: file:PATH, stdout, otlp, otlp+http[s]://HOST[:PORT] or otlp+grpc[s]://HOST[:PORT]; may be repeated
    ///
    /// file:PATH appends OTLP/JSON lines. stdout prints them; the report is printed to standard error then. otlp+http:// and otlp+https:// send OTLP protobuf to /v1/traces, otlp+grpc:// and otlp+grpcs:// over gRPC;
    /// the port is 4318 or 4317 where none is named, and 443 with TLS. otlp is where OTEL_EXPORTER_OTLP_ENDPOINT says, asked as
    /// OTEL_EXPORTER_OTLP_PROTOCOL says; it and the other OTLP sinks heed OTEL_EXPORTER_OTLP_HEADERS and the like. Each sink has its own place in the spool, and what is delivered is removed once all
    /// sinks named here have it.
    #[arg(long = "to", value_name = "SINK", required = true)]
    sinks: Vec<String>,

    /// Deliver what is there now, and end
    #[arg(long)]
    once: bool,

    /// With --once: give a sink up that has failed for so long without a success in between
    ///
    /// A number with the unit ms, s, m or h.
    #[arg(long, value_name = "TIME", default_value = "30s", requires = "once", value_parser = quantity::duration)]
    deadline: Duration,

    /// Begin a new file before one grows longer than this, for file:PATH
    ///
    /// A number with the unit KiB, MiB or GiB. The file that was there is PATH.TIME-NUMBER then, with the time in UTC; the
    /// names sort by age. A single longer line has a file to itself.
    #[arg(long, value_name = "SIZE", value_parser = quantity::size)]
    rotate: Option<u64>,

    /// With --rotate: remove the oldest rotated files beyond so many, with the spans in them; all are kept unless this is given
    #[arg(long, value_name = "N", requires = "rotate")]
    keep: Option<NonZeroUsize>,

    /// With --rotate: compress rotated files
    #[arg(long, value_name = "HOW", requires = "rotate")]
    compress: Option<Compress>,

    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

/// How rotated files are compressed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Compress {
    Zstd,
}

const AFTER_HELP: &str = "\
Exit status:
  0  all was delivered, or, without --once, a stop was asked for; spans that a receiver took and rejected
     are in the report
  1  not all was delivered: a sink refused spans, which are dead letters now, or takes nothing, or did not
     answer until the deadline, a recorder could not be read or recovered or may have a living process,
     another exporter is at the spool or at a file, or, with --once, a stop was asked for; what was not
     delivered is kept
  2  bad input: no such spool, not a spool, no permission, an unknown sink, a wrong option";

impl Export {
    pub(super) fn run(self) -> Result<(), Failure> {
        let spool = SpoolDir::open(&self.spool)?;
        let options = otlp_options()?;
        let mut addresses = Vec::new();
        for sink in &self.sinks {
            let address = SinkAddress::parse(sink, &options)?;
            if addresses.contains(&address) {
                return Err(Error::SinkTwice { address: address.to_string() }.into());
            }
            addresses.push(address);
        }
        if options.has_secrets() && addresses.iter().filter(|address| address.is_otlp()).count() > 1 {
            let message =
                "the headers and certificates of OTEL_EXPORTER_OTLP_* would go to more than one OTLP sink";
            return Err(Failure { status: Failure::BAD_INPUT, message: Some(message.to_owned()) });
        }
        if self.rotate.is_some() && !addresses.iter().any(|address| matches!(address, SinkAddress::File(_))) {
            let message = "--rotate is about sinks file:PATH, and none is named";
            return Err(Failure { status: Failure::BAD_INPUT, message: Some(message.to_owned()) });
        }
        let options = SinkOptions { otlp: options, file: self.file_options() };
        let mut exporter = Exporter::new(spool).on_notice(|notice| complain(&notice.to_string()));
        if self.once {
            exporter = exporter.once(self.deadline);
        }
        let has_stdout = addresses.contains(&SinkAddress::Stdout);
        for address in addresses {
            exporter = exporter.to(address.open_with(&options)?);
        }

        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::incomplete(format!("cannot start: {error}")))?;
        let report = runtime.block_on(async { exporter.run(stop()?).await.map_err(Failure::from) })?;
        match self.json {
            true => print_report(serde_json::to_string(&report).unwrap_or_default(), has_stdout)?,
            false => print_report(&report, has_stdout)?,
        }
        let failed = if self.once { !report.is_complete() } else { report.is_failure() };
        if failed { Err(Failure::told()) } else { Ok(()) }
    }

    fn file_options(&self) -> FileOptions {
        let compression = match self.compress {
            Some(Compress::Zstd) => Compression::Zstd,
            None => Compression::None,
        };
        FileOptions { rotate_bytes: self.rotate, keep: self.keep, compression }
    }
}

/// What the environment says about OTLP; what of that is ignored is said.
pub(super) fn otlp_options() -> Result<OtlpOptions, Error> {
    let options = OtlpOptions::from_environment()?;
    options.warnings().iter().for_each(|warning| complain(warning));
    Ok(options)
}

/// Ready at the first SIGTERM or SIGINT. The second ends the process at once: whoever sends it does not want to wait for
/// an answer that may take 30 s. Nothing is lost by it.
fn stop() -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| Failure::incomplete(format!("cannot listen to signals: {error}")))
    };
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let (stop, stopped) = oneshot::channel();
    drop(tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        complain("stopping after the current batch; a second signal stops at once");
        if stop.send(()).is_err() {
            // The exporter has ended by itself.
            return;
        }
        either(&mut terminate, &mut interrupt).await;
        std::process::exit(i32::from(Failure::INCOMPLETE));
    }));
    Ok(async {
        if stopped.await.is_err() {
            std::future::pending().await
        }
    })
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use spanring_exporter::sink::FORMS;

    use super::*;

    #[test]
    fn the_help_names_the_forms_that_are_known() {
        let help = <Export as Args>::augment_args(clap::Command::new("export")).render_help().to_string();
        let squeezed = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.contains(FORMS), "{help}");
    }
}
