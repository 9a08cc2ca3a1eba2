//! `spanring export --config`, reloads and stops, and `spanring config check`.

#[path = "../agent/mod.rs"]
mod agent;
mod asked;
mod checks;
mod reloads;
mod stops;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver as Requests};
use std::sync::{Arc, Mutex};
use std::thread;

use spanring_exporter::demo::receiver::{Answer, Received, Receiver};

use self::agent::{TestSpool, complaint, receiver, spanring, wait_until};

#[test]
fn a_recording_process() {
    agent::main();
}

/// Writes a configuration of this spool with these further lines, and returns where it is.
fn configure(spool: &TestSpool, lines: &str) -> PathBuf {
    let path = spool.file("export.toml");
    // At once, as editors and orchestrators do it: an exporter never reads half of it.
    fs::write(spool.file("new"), format!("spool = \"spool\"\n{lines}")).unwrap();
    fs::rename(spool.file("new"), &path).unwrap();
    path
}

fn export(config: &Path) -> Command {
    let mut command = spanring();
    command.arg("export").arg("--config").arg(config);
    command
}

fn check(config: &Path) -> (i32, String, String) {
    let output = spanring().args(["config", "check"]).arg(config).output().unwrap();
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    let (status, complaints) = complaint(output);
    (status, printed, complaints)
}

/// A receiver that takes everything and tells of each request.
fn telling() -> (Receiver, String, Requests<Received>) {
    let (sender, requests) = mpsc::channel();
    let (receiver, sink, _) = receiver(move |request| {
        // Nobody may listen any more.
        drop(sender.send(request.clone()));
        Some(Answer::status(200))
    });
    (receiver, sink, requests)
}

/// An exporter at work.
struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&said));
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push_str(&(line + "\n"));
            }
        });
        Running { child, said }
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.child.id())]).status();
        assert!(kill.unwrap().success());
    }

    fn times(&self, what: &str) -> usize {
        self.said().matches(what).count()
    }

    /// Asks for a reload, and waits until this is said once more.
    fn reload(&mut self, until: &str) {
        let before = self.times(until);
        self.signal("HUP");
        wait_until(until, || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the exporter ended with {ended:?}: {}", self.said());
            self.times(until) > before
        });
    }

    /// Waits for its end, and returns what it printed, as far as nobody else has read it.
    fn end(mut self) -> (ExitStatus, String) {
        let mut ended = None;
        wait_until("the exporter ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        let mut printed = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut printed).unwrap();
        }
        (ended.unwrap(), printed)
    }

    fn stop(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, unless the test failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
