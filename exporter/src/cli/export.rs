//! `spanring export`.

mod runs;
mod signals;

use std::cell::Cell;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;
use spanring_exporter::config::{Config, Plan, open_another};
use spanring_exporter::log::Level;
use spanring_exporter::monitor::Monitor;
use spanring_exporter::sink::{Compression, FileOptions, SinkAddress, SinkOptions};
use spanring_exporter::{ExportReports, Exporters, Keep, RouteOptions, STOP_DEADLINE, quantity};

use self::signals::Signals;
use super::Failure;
use super::environment;
use super::log::{LogFormat, write_line};
use super::output::{print, print_report};

/// Deliver what is recorded in one spool, or in several.
///
/// Follows the recorders of each spool until SIGTERM or SIGINT, recovers those whose process died, retries for ever, and
/// removes what all sinks have. With --once it delivers what is there and ends. SIGHUP opens the sinks anew, as the
/// configuration, the certificates and the files of secrets say by then; where they make no sense, nothing changes.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Export {
    /// The file that says what to deliver, where to and how, in place of --spool and --to
    ///
    /// TOML. See docs/export.example.toml; `spanring config check` says what a file comes to.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["spools", "sinks", "rotate", "keep", "compress", "spans_per_second", "trace_share"])]
    config: Option<PathBuf>,

    /// The directory of a spool; may be repeated
    ///
    /// Each spool is delivered to all sinks, with its own place at each, and by itself: what goes wrong with one holds up no other. If one of them
    /// cannot be opened when the exporter starts, or has another exporter, nothing begins.
    #[arg(long = "spool", value_name = "DIR", required_unless_present = "config")]
    spools: Vec<PathBuf>,

    /// Where to deliver to: file:PATH, stdout, otlp, otlp+http[s]://HOST[:PORT], otlp+grpc[s]://HOST[:PORT], openai, openai+http[s]://HOST[:PORT], prefactor, prefactor+http[s]://HOST[:PORT], prela, prela+http[s]://HOST[:PORT]/PATH, prela-file:DIR, spanforge, spanforge+https://HOST[:PORT], spanforge-webhook+http[s]://HOST[:PORT]/PATH or spanforge-file:PATH; may be repeated
    ///
    /// file:PATH appends OTLP/JSON lines. stdout prints them; the report is printed to standard error then. otlp+http:// and otlp+https:// send OTLP protobuf to /v1/traces, otlp+grpc:// and otlp+grpcs:// over gRPC;
    /// the port is 4318 or 4317 where none is named, and 443 with TLS. otlp is where OTEL_EXPORTER_OTLP_ENDPOINT says, asked as
    /// OTEL_EXPORTER_OTLP_PROTOCOL says; it and the other OTLP sinks heed OTEL_EXPORTER_OTLP_HEADERS and the like. With SPANRING_OTLP_NAMES=openinference OTLP, in files and on standard output too, has attributes under OpenInference's names. openai is OpenAI's traces, as the OpenAI Agents SDK
    /// fills them, openai+http:// and openai+https:// are servers in its place; they need OPENAI_API_KEY or OPENAI_API_KEY_FILE, and heed
    /// OPENAI_ORG_ID and OPENAI_PROJECT_ID. prefactor+https:// registers an instance for each run of a process and creates each span of a trace once that is over, with the token in PREFACTOR_API_TOKEN; prefactor is where PREFACTOR_API_URL says. prela+https:// sends each trace in one request once it is over, with the key in PRELA_API_KEY; prela is where PRELA_HTTP_ENDPOINT says. prela-file:DIR writes spans to files as Prela's file exporter does; it heeds PRELA_SERVICE_NAME. spanforge+https:// sends SpanForge's events to /v1/events, each trace once it is over, with the key in
    /// SPANFORGE_CLOUD_API_KEY; spanforge is where SPANFORGE_CLOUD_ENDPOINT says, or else SpanForge's own cloud. spanforge-webhook+https:// posts
    /// them to this very URL, and spanforge-file:PATH appends them, one a line. Each sink has its own place in the spool, and what is delivered is removed once all
    /// sinks named here have it.
    #[arg(long = "to", value_name = "SINK", required_unless_present = "config")]
    sinks: Vec<String>,

    /// Deliver what is there now, and end
    #[arg(long)]
    once: bool,

    /// With --once: give a sink up that has failed for so long without a success in between
    ///
    /// A number with the unit ms, s, m or h.
    #[arg(long, value_name = "TIME", default_value = "30s", requires = "once", value_parser = quantity::duration)]
    deadline: Duration,

    /// How long a sink has for the batch that it is at when a stop is asked for; 10s unless this or the configuration says otherwise
    ///
    /// A number with the unit ms, s, m or h. A batch without an answer by then is sent again next time.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration)]
    stop_deadline: Option<Duration>,

    /// Keep what is delivered until it was last written so long ago, for `spanring replay`
    ///
    /// A number with the unit ms, s, m or h. With --once, what is in grace at the end is left for a later run.
    #[arg(long, value_name = "TIME", value_parser = quantity::duration)]
    grace: Option<Duration>,

    /// Send each sink at most so many spans a second, on average, from all spools together
    #[arg(long, value_name = "N")]
    spans_per_second: Option<NonZeroU32>,

    /// Deliver traces once they are over: those with an error or an interrupted span, and this share of the others, from 0 to 1
    ///
    /// A configuration can say more: slow traces, dear ones, for each sink.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    trace_share: Option<f64>,

    /// Begin a new file before one grows longer than this, for file:PATH and spanforge-file:PATH
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

    /// Let others watch over HTTP at this IP address and port, as 127.0.0.1:9464: /metrics for Prometheus, /healthz, /readyz
    ///
    /// With port 0 a free one is taken. The address is printed. /healthz says 503 where the exporter is stuck. /readyz does before delivery
    /// begins, once a stop was asked for, and while a sink takes nothing until somebody changes something, such as after 401; while a
    /// sink is out it says 200.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,

    /// With --listen: let it be an address that other machines reach, as 0.0.0.0:9464
    #[arg(long, requires = "listen")]
    listen_any: bool,

    /// How to say on standard error what happens
    ///
    /// With json each line is an object with time, level (info, warn, error), event, and what belongs to that. The report is the last of them then,
    /// and printed to standard output only with --json.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,

    /// Print the report as one JSON object
    #[arg(long)]
    json: bool,
}

/// The report, as the last line of a log.
#[derive(Serialize)]
struct ReportEvent<'a> {
    event: &'static str,
    #[serde(flatten)]
    report: &'a ExportReports,
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
     answer until the deadline, a recorder is damaged, could not be read or recovered or may have a living process,
     another exporter is at a spool or at a file, somebody else listens at the address of --listen, or, with
     --once, a stop was asked for; what was not delivered is kept. Of several spools the worst counts
  2  bad input: no such spool, not a spool, one named twice, no permission, an unknown sink, an address where nobody can listen, a
     wrong option, a configuration with a mistake";

impl Export {
    pub(super) fn run(self) -> Result<(), Failure> {
        let log = self.log_format;
        self.export(log).map_err(|failure| log.failure(failure))
    }

    fn export(self, log: LogFormat) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::incomplete(format!("cannot start: {error}")))?;
        // First, so that no signal ends the process that it should only tell something.
        let signals = runtime.block_on(async { Signals::listen(!self.once, log) })?;
        let monitor = self.listen.map(|address| self.monitor(address)).transpose()?;
        let export = Arc::new(self);
        // Said once there is something to be seen.
        let is_said = Cell::new(false);
        let adjust = |plan: &Plan, exporters| {
            let exporters = export.adjust(plan, exporters, monitor.as_ref());
            if let Some(monitor) = monitor.as_ref().filter(|_| !is_said.replace(true)) {
                export.say_listening(monitor.address());
            }
            exporters
        };
        let plan = async || {
            let export = Arc::clone(&export);
            runs::blocking(move || export.plan()).await
        };
        let done = runtime.block_on(runs::run(signals, log, plan, adjust));
        // A write that is under way when the time to stop is over may never end.
        runtime.shutdown_background();
        let (report, has_stdout) = done?;
        let failed = if export.once { !report.is_complete() } else { report.is_failure() };
        export.print(&report, failed, has_stdout)?;
        if failed { Err(Failure::told()) } else { Ok(()) }
    }

    /// What is to be done, as the configuration or the flags and the environment say now.
    fn plan(&self) -> Result<Plan, Failure> {
        let mut plan = match &self.config {
            Some(path) => {
                let plan = Config::read(path)?.plan()?;
                plan.warnings.iter().for_each(|warning| environment::ignored(self.log_format, warning));
                plan
            }
            None => self.plan_of_flags()?,
        };
        if let Some(deadline) = self.stop_deadline {
            plan.stop_deadline = deadline;
        }
        if let Some(grace) = self.grace {
            plan.grace = grace;
        }
        Ok(plan)
    }

    fn plan_of_flags(&self) -> Result<Plan, Failure> {
        let mut spools = Vec::new();
        for path in &self.spools {
            open_another(&mut spools, path)?;
        }
        let (addresses, options) = environment::sinks(&self.sinks, self.log_format)?;
        if self.rotate.is_some() && !addresses.iter().any(SinkAddress::is_file) {
            let message = "--rotate is about sinks that are files, and none is named";
            return Err(Failure { status: Failure::BAD_INPUT, message: Some(message.to_owned()) });
        }
        let options = SinkOptions { file: self.file_options(), route: self.route_options(), ..options };
        let sinks = addresses.into_iter().map(|address| (address, options.clone())).collect();
        Ok(Plan { spools, sinks, stop_deadline: STOP_DEADLINE, grace: Duration::ZERO, warnings: Vec::new() })
    }

    fn adjust(&self, plan: &Plan, exporters: Exporters, monitor: Option<&Monitor>) -> Exporters {
        let log = self.log_format;
        let mut watched = Vec::new();
        let exporters = exporters.each(|exporter| {
            let spool = (plan.spools.len() > 1).then(|| exporter.spool().path().to_owned());
            let mut exporter = exporter.on_notice(move |notice| log.notice(&notice, spool.as_deref()));
            if monitor.is_some() {
                watched.push((exporter.spool().clone(), exporter.status()));
            }
            if self.once { exporter.once(self.deadline) } else { exporter }
        });
        if let Some(monitor) = monitor {
            monitor.watch_all(watched);
        }
        exporters
    }

    fn print(&self, report: &ExportReports, failed: bool, has_stdout: bool) -> Result<(), Failure> {
        let object = || serde_json::to_string(report).unwrap_or_default();
        match (self.log_format, self.json) {
            (LogFormat::Text, false) => return print_report(report, has_stdout),
            (LogFormat::Text, true) => return print_report(object(), has_stdout),
            (LogFormat::Json, true) if !has_stdout => print(object())?,
            (LogFormat::Json, _) => {}
        }
        let level = if failed { Level::Error } else { Level::Info };
        write_line(level, &ReportEvent { event: "report", report });
        Ok(())
    }

    /// Listens.
    fn monitor(&self, address: SocketAddr) -> Result<Monitor, Failure> {
        if !self.listen_any && !address.ip().to_canonical().is_loopback() {
            let message = format!("--listen {address} lets other machines watch, which needs --listen-any");
            return Err(Failure { status: Failure::BAD_INPUT, message: Some(message) });
        }
        Ok(Monitor::start(address)?)
    }

    fn say_listening(&self, address: SocketAddr) {
        let event = json!({"event": "listening", "address": address.to_string()});
        self.log_format.say(Level::Info, &format!("listening at http://{address}/metrics"), &event);
    }

    fn route_options(&self) -> RouteOptions {
        let keep = self.trace_share.map(Keep::errors_and_share);
        RouteOptions { spans_per_second: self.spans_per_second, keep }
    }

    fn file_options(&self) -> FileOptions {
        let compression = match self.compress {
            Some(Compress::Zstd) => Compression::Zstd,
            None => Compression::None,
        };
        FileOptions { rotate_bytes: self.rotate, keep: self.keep, compression }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is a number from 0 to 1".to_owned())
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
