//! An agent as its parent sees it: a process that is started, watched and killed.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use spanring_spool::{Dropped, Ledger, RecorderId};

use super::agent::Agent;
use super::error::DemoError;
use super::witness;

/// How long an agent may take until it has started its first span.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// The number of SIGKILL.
const SIGKILL: i32 = 9;

/// A running agent. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct AgentProcess {
    number: u32,
    witness: PathBuf,
    recorder: RecorderId,
    child: Child,
    output: BufReader<ChildStdout>,
    /// The agent stops when this is closed.
    _input: Option<ChildStdin>,
}

impl AgentProcess {
    /// Starts `program` as this agent, and waits until it records.
    pub(super) fn start(program: &Path, agent: &Agent) -> Result<Self, DemoError> {
        let mut command = Command::new(program);
        command.arg("demo-agent").arg("--spool").arg(&agent.spool).arg("--witness").arg(&agent.witness);
        command.args(["--number", &agent.number.to_string(), "--threads", &agent.threads.to_string()]);
        if let Some(rounds) = agent.rounds {
            command.args(["--rounds", &rounds.to_string()]);
        }
        // It is to record, whatever the environment says of programs that merely could.
        command.env_remove("OTEL_SDK_DISABLED");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(DemoError::io("start", program))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let Some(mut output) = output.map(BufReader::new) else {
            return Err(DemoError::Agent { number: agent.number, reason: "has no output".to_owned() });
        };
        let first = line(&mut output);
        let recorder = first.as_ref().and_then(|line| RecorderId::parse(line.get("recorder")?.as_str()?));
        let Some(recorder) = recorder else {
            // Ended, or about to: it is waited for lest it stays a zombie.
            drop(input);
            drop(child.kill());
            let status = child.wait().map_err(DemoError::io("wait for", program))?;
            let reason = format!("did not start to record: {status}");
            return Err(DemoError::Agent { number: agent.number, reason });
        };
        let witness = agent.witness.clone();
        Ok(AgentProcess { number: agent.number, witness, recorder, child, output, _input: input })
    }

    /// Its recorder.
    pub(super) fn recorder(&self) -> &RecorderId {
        &self.recorder
    }

    /// Waits until it has started a span.
    pub(super) fn wait_until_it_works(&mut self) -> Result<(), DemoError> {
        let deadline = Instant::now() + BEGIN_TIMEOUT;
        while !witness::has_begun(&self.witness) {
            if let Some(status) = self.child.try_wait().map_err(self.io("look after"))? {
                return Err(self.fault(format!("ended by itself: {status}")));
            }
            if Instant::now() > deadline {
                return Err(self.fault(format!("has started no span in {} s", BEGIN_TIMEOUT.as_secs())));
            }
            thread::sleep(LOOK_INTERVAL);
        }
        Ok(())
    }

    /// Kills it with SIGKILL, and makes sure that it did not end otherwise.
    pub(super) fn kill(mut self) -> Result<(), DemoError> {
        self.child.kill().map_err(self.io("kill"))?;
        let status = self.wait()?;
        match status.signal() {
            Some(SIGKILL) => Ok(()),
            _ => Err(self.fault(format!("ended by itself: {status}"))),
        }
    }

    /// Waits until it has done its work, and returns its account.
    pub(super) fn finish(mut self) -> Result<Ledger, DemoError> {
        let last = line(&mut self.output);
        let status = self.wait()?;
        if !status.success() {
            return Err(self.fault(format!("did not finish: {status}")));
        }
        let Some(last) = last else { return Err(self.fault("finished without an account".to_owned())) };
        if last.get("is_complete") != Some(&Value::Bool(true)) {
            return Err(self.fault("could not empty its spool".to_owned()));
        }
        ledger(&last["ledger"]).ok_or_else(|| self.fault("gave an account that cannot be read".to_owned()))
    }

    fn wait(&mut self) -> Result<ExitStatus, DemoError> {
        self.child.wait().map_err(self.io("wait for"))
    }

    fn io(&self, action: &'static str) -> impl FnOnce(std::io::Error) -> DemoError + use<> {
        DemoError::io(action, format!("agent {}", self.number))
    }

    fn fault(&self, reason: String) -> DemoError {
        DemoError::Agent { number: self.number, reason }
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        // It has ended, or whoever started it does not want it any more.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn line(output: &mut BufReader<ChildStdout>) -> Option<Value> {
    let mut line = String::new();
    output.read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

fn ledger(json: &Value) -> Option<Ledger> {
    let number = |key: &str| json[key].as_u64();
    let dropped = |key: &str| json["dropped"][key].as_u64();
    Some(Ledger {
        started: number("started")?,
        ended: number("ended")?,
        interrupted: number("interrupted")?,
        in_flight: number("in_flight")?,
        spooled: number("spooled")?,
        dropped: Dropped {
            ring_full: dropped("ring_full")?,
            no_cell: dropped("no_cell")?,
            no_lane: dropped("no_lane")?,
            damaged: dropped("damaged")?,
        },
        ..Ledger::default()
    })
}
