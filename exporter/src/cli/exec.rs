//! `spanring exec`: a command that knows nothing of spans, as a span.
//!
//! ```text
//! caller ──TRACEPARENT──► spanring exec ──TRACEPARENT──► command
//!                         execute_tool make              (whatever it records is under that span)
//! ```
//!
//! It stands between a caller and a command, and must not be noticed: the command has the caller's input, output and errors, signals that are sent
//! here are sent on, the status is the command's, and what keeps spans from being recorded does not keep the command from running.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::task::Poll;
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use spanring::Span;
use spanring::propagation::Propagated;
use spanring_exporter::with_causes;
use spanring_spool::Spool;
use tokio::process::Child;
use tokio::signal::unix::{self, SignalKind};

use super::Failure;
use super::output::complain;

/// Run a command as a span of the caller's trace
///
/// Records a span of kind tool, `execute_tool COMMAND`, with the command line as its arguments and how the command ended. It belongs to
/// the span that the variable TRACEPARENT names, or is a root. The command finds its own span in TRACEPARENT, so that what it
/// records, and what it starts, belongs to the same trace; TRACESTATE and BAGGAGE are handed on.
///
/// The command has this process's input, output and errors. SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1 and SIGUSR2 are sent on to it, unless
/// they were ignored from the start; what a terminal sends it gets from the terminal.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(super) struct Exec {
    /// The directory of the spool, which is made where there is none
    #[arg(long, value_name = "DIR")]
    spool: PathBuf,

    /// The service that records, as `service.name`
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    /// The name of the tool; that of the command's file unless said otherwise
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Do not run the command where it cannot be recorded
    ///
    /// Without this it is run all the same, and a line on standard error says that it is not recorded.
    #[arg(long)]
    require_spool: bool,

    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

const AFTER_HELP: &str = "\
The command line is recorded as it is: what is secret does not belong on it.

Exit status: that of the command, 128 and the signal's number where a signal ended it, or
  2    a wrong option; the command was not run
  125  the command was not run: the spool cannot be opened and --require-spool was given, or something is exhausted
  126  the command cannot be run
  127  there is no such command";

/// How long what is recorded may take to get to the disk. What takes longer is recovered later.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

const NOT_RUN: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
const KILLED: i32 = 128;

const EXECUTABLE_NAME: &str = "process.executable.name";
const PID: &str = "process.pid";
const EXIT_CODE: &str = "process.exit.code";

impl Exec {
    pub(super) fn run(self) -> Result<(), Failure> {
        let spool = match self.open_spool() {
            Ok(spool) => Some(spool),
            Err(error) if self.require_spool => return Err(not_run(with_causes(&error))),
            Err(error) => {
                complain(&format!("the command is run and not recorded: {}", with_causes(&error)));
                None
            }
        };
        let status = self.run_recorded();
        if let Some(spool) = spool
            && !spool.stop(STOP_TIMEOUT).is_complete
        {
            complain("not all that was recorded is on disk; what is missing will be recovered");
        }
        match status? {
            0 => Ok(()),
            status => Err(Failure { status, message: None }),
        }
    }

    fn open_spool(&self) -> Result<Spool, spanring_spool::Error> {
        // One thread records one span, which shows while the command runs.
        let mut spool = Spool::open(&self.spool).live(true).rings(1, 1).tables(0, 0);
        if let Some(service) = &self.service {
            spool = spool.service(service);
        }
        spool.start()
    }

    /// Runs the command within its span, and gives the status to end with.
    fn run_recorded(&self) -> Result<u8, Failure> {
        let [program, arguments @ ..] = &self.command[..] else {
            return Err(not_run("there is no command".to_owned()));
        };
        let executable = Path::new(program).file_name().unwrap_or(program).to_string_lossy();
        let line: Vec<Cow<'_, str>> = self.command.iter().map(|word| word.to_string_lossy()).collect();
        let came = Propagated::from_environment();
        let span = spanring::tool(self.name.as_deref().unwrap_or(&executable))
            .parent(came.context)
            .arguments(&line)
            .set(EXECUTABLE_NAME, &*executable)
            .start();

        let mut command = Command::new(program);
        command.args(arguments);
        came.with_context(span.context()).set_in(&mut command);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ended = runtime.map_err(|error| not_run(format!("cannot start: {error}"))).and_then(|runtime| {
            runtime.block_on(async {
                // Before there is a command that could be left alone by a signal that ends this process.
                let signals = Signals::listen()?;
                Ok(run(command, signals, &span).await)
            })
        });
        match ended {
            Ok(Ok(status)) => Ok(record(span, status)),
            Ok(Err(error)) => {
                let status = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
                let message = Some(format!("cannot run {}: {error}", program.to_string_lossy()));
                span.fail(error);
                Err(Failure { status, message })
            }
            Err(failure) => {
                span.fail(failure.message.as_deref().unwrap_or_default());
                Err(failure)
            }
        }
    }
}

fn not_run(why: String) -> Failure {
    Failure { status: NOT_RUN, message: Some(format!("the command is not run: {why}")) }
}

async fn run(command: Command, mut signals: Signals, span: &Span) -> io::Result<ExitStatus> {
    let mut child = tokio::process::Command::from(command).spawn()?;
    span.set(PID, child.id().map(i64::from));
    loop {
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => send_on(signal, &child),
        }
    }
}

/// Ends the span as the command has ended, and gives the status that a shell would.
fn record(span: Span, ended: ExitStatus) -> u8 {
    let status = ended.code().or(ended.signal().map(|number| KILLED + number));
    span.set(EXIT_CODE, status.map(i64::from));
    match (ended.code(), ended.signal()) {
        (Some(0), _) => _ = span.complete(),
        (Some(code), _) => {
            span.error_type(&code.to_string());
            span.fail(format!("exit status {code}"));
        }
        (None, number) => {
            let name = signal_name(number.unwrap_or_default());
            span.error_type(&name);
            span.fail(format!("killed by {name}"));
        }
    }
    status.and_then(|status| u8::try_from(status).ok()).unwrap_or(NOT_RUN)
}

fn signal_name(number: i32) -> Cow<'static, str> {
    let known = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ];
    let name = known.iter().find(|(signal, _)| signal.as_raw() == number);
    name.map_or_else(|| format!("signal {number}").into(), |(_, name)| Cow::Borrowed(*name))
}

/// The signals that are sent on.
struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    /// From now on none of them ends this process. One that was ignored when it started still is, here and in the command: so `nohup`
    /// keeps its meaning.
    fn listen() -> Result<Self, Failure> {
        let sent_on = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2];
        let ignored = ignored();
        let heard = sent_on.into_iter().filter(|signal| ignored & (1 << (signal.as_raw() - 1)) == 0);
        let listen = |signal: Signal| {
            let listener = unix::signal(SignalKind::from_raw(signal.as_raw()));
            listener
                .map(|listener| (signal, listener))
                .map_err(|error| not_run(format!("cannot listen to signals: {error}")))
        };
        heard.map(listen).collect::<Result<_, _>>().map(Signals)
    }

    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (signal, listener) in &mut self.0 {
                if listener.poll_recv(context).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// The signals that this process ignores, a bit each from the lowest on. None where the kernel does not tell.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn send_on(signal: Signal, child: &Child) {
    if [Signal::INT, Signal::QUIT].contains(&signal) && is_in_foreground() {
        // A key was pressed, and the terminal has told the command too. To many programs a second time means something else.
        return;
    }
    // It is there as long as nobody has waited for it. What it does not want to hear is its own affair.
    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)) {
        _ = kill_process(pid, signal);
    }
}

/// Whether the keys of a terminal send signals to this process and to the command.
fn is_in_foreground() -> bool {
    let terminal = File::open(OsStr::new("/dev/tty")).ok();
    terminal.is_some_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}
