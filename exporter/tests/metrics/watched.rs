//! An exporter that is watched over HTTP.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::agent::{TestSpool, wait_until};
use super::exposition::Exposition;

/// `spanring export --listen`, which is killed when it is dropped.
pub(crate) struct Exporting {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    listening: Option<JoinHandle<()>>,
    pub(crate) address: SocketAddr,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Exporting {
    /// Starts one that listens at a free port.
    pub(crate) fn start(spool: &TestSpool, sinks: &[&str], more: &[&str]) -> Self {
        let mut command = spool.export(sinks);
        command.args(["--listen", "127.0.0.1:0"]).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (stderr, saying) = (child.stderr.take().unwrap(), Arc::clone(&said));
        let listening = Some(thread::spawn(move || note(stderr, &saying)));
        let mut address = None;
        wait_until("the exporter listens", || {
            address = said.lock().unwrap().iter().find_map(|line: &String| {
                let (_, behind) = line.split_once("http://").or_else(|| line.split_once("\"address\":\""))?;
                behind.split(['/', '"']).next()?.parse().ok()
            });
            address.is_some()
        });
        Exporting { child, said, listening, address: address.unwrap() }
    }

    pub(crate) fn metrics(&self) -> Exposition {
        let Answered { status, head, body } = get(self.address, "/metrics");
        assert_eq!(status, 200, "{body}");
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
        Exposition::read(&body).unwrap_or_else(|wrong| panic!("{wrong}\n{body}"))
    }

    /// Waits until the metrics are as they should be, and returns them. No counter falls meanwhile.
    #[track_caller]
    pub(crate) fn metrics_when(&self, what: &str, mut is_so: impl FnMut(&Exposition) -> bool) -> Exposition {
        let mut last = self.metrics();
        wait_until(what, || {
            let now = self.metrics();
            assert!(now.is_not_before(&last), "a counter fell: {last:#?} {now:#?}");
            last = now;
            is_so(&last)
        });
        last
    }

    /// Status and body.
    pub(crate) fn health(&self, path: &str) -> (u16, String) {
        let Answered { status, body, .. } = get(self.address, path);
        (status, body)
    }

    /// How many sockets it has open.
    pub(crate) fn sockets(&self) -> usize {
        let descriptors = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.unwrap().path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// Asks it to stop, and returns how it ended, what it printed, and what it said.
    pub(crate) fn stop(mut self) -> (ExitStatus, String, Vec<String>) {
        let killed =
            Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status().unwrap();
        assert!(killed.success());
        self.end()
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> (ExitStatus, String, Vec<String>) {
        let status = self.child.wait().unwrap();
        let mut printed = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        self.listening.take().unwrap().join().unwrap();
        (status, printed, std::mem::take(&mut self.said.lock().unwrap()))
    }
}

impl Drop for Exporting {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn note(stderr: ChildStderr, said: &Mutex<Vec<String>>) {
    for line in BufReader::new(stderr).lines() {
        said.lock().unwrap().push(line.unwrap());
    }
}

/// How long a client waits for a server that owes it something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answered {
    ask(address, format!("GET {path} HTTP/1.1\r\nhost: exporter\r\n\r\n").as_bytes())
        .unwrap_or_else(|| panic!("no answer to GET {path}"))
}

/// Sends this, and reads until the server ends the connection; `None` where it ends without an answer.
pub(crate) fn ask(address: SocketAddr, request: &[u8]) -> Option<Answered> {
    let mut stream = connect(address);
    // The server may have answered and gone before it has read all.
    drop(stream.write_all(request));
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        answer.extend_from_slice(&piece[..read]);
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ").or_else(|| head.strip_prefix("HTTP/1.0 "))?;
    let status = status.get(..3)?.parse().ok()?;
    Some(Answered { status, head: format!("{}\r\n", head.to_lowercase()), body: body.to_owned() })
}
