//! A stop waits for nobody.

use std::io::Read as _;
use std::process::ChildStdout;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use spanring_exporter::demo::receiver::Answer;

use crate::agent::{Arrived, TestSpool, complaint, receiver, wait_until};
use crate::{Running, configure, export};

#[test]
fn a_stop_does_not_wait_for_a_receiver_that_does_not_answer_and_its_batch_comes_again() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (sender, requests) = mpsc::channel();
    let (_silent, sink, _) = receiver(move |request| {
        sender.send(request.body.clone()).unwrap();
        Some(Answer { delay: Duration::from_secs(3600), ..Answer::status(200) })
    });
    let sink_of =
        |sink: &str| format!("stop_deadline = \"100ms\"\n[[sink]]\nto = \"{sink}\"\ntimeout = \"1h\"");
    let exporter = Running::start(export(&configure(&spool, &sink_of(&sink))));
    let sent = requests.recv().unwrap();
    exporter.signal("TERM");
    let said = Arc::clone(&exporter.said);
    let (status, printed) = exporter.end();
    assert_eq!(status.code(), Some(0), "{printed}");
    wait_until("all is said", || {
        said.lock().unwrap().contains("did not answer in the time that there is to stop")
    });
    assert!(printed.contains("0 spans delivered in 1 request; stopped"), "{printed}");

    let (_receiver, sink, arrived) = receiver(move |request| {
        assert_eq!(request.body, sent);
        None
    });
    let config = configure(&spool, &sink_of(&sink));
    assert_eq!(complaint(export(&config).arg("--once").output().unwrap()), (0, String::new()));
    arrived.assert_each_once(10);
}

#[test]
fn a_stop_does_not_wait_for_whoever_does_not_read_standard_output() {
    let spool = TestSpool::new();
    spool.record(0, 5000);
    let mut command = spool.export(&["stdout"]);
    command.args(["--stop-deadline", "0s"]);
    let mut exporter = Running::start(command);
    let mut stdout = exporter.child.stdout.take().unwrap();
    let mut first = [0];
    // From here on nobody reads, and the pipe is soon full.
    stdout.read_exact(&mut first).unwrap();
    wait_until("a write has to wait", || is_full(&stdout));
    assert_eq!(exporter.stop().0.code(), Some(0));
    // What was left is delivered by the next one.
    let file = spool.file("rest.jsonl");
    assert_eq!(spool.export_once(&[&format!("file:{}", file.display())]).0, 0);
    Arrived::in_file(&file).assert_all(5000);
}

/// Whether a pipe holds as much as it can, or too little less for a line.
fn is_full(pipe: &ChildStdout) -> bool {
    rustix::io::ioctl_fionread(pipe).unwrap() >= 60 * 1024
}
