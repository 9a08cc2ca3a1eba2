use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use super::*;
use crate::Exporter;
use crate::engine::tests::spool;
use crate::sink::SinkAddress;

/// The status line's code, and the body.
fn get(monitor: &Monitor, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(monitor.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

#[test]
fn it_shows_the_exporter_that_it_was_handed_last() {
    let monitor = Monitor::start((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    assert_eq!(get(&monitor, "/healthz"), (200, "nothing to deliver yet\n".into()));
    assert_eq!(get(&monitor, "/readyz"), (503, "nothing to deliver yet\n".into()));
    let (status, metrics) = get(&monitor, "/metrics");
    assert!(status == 200 && metrics.contains("spanring_exporter_delivering 0\n"), "{metrics}");

    let (dir, _) = spool(3);
    let spool = SpoolDir::open(dir.path()).unwrap();
    let file = tempfile::tempdir().unwrap();
    let sink: SinkAddress = format!("file:{}/spans.jsonl", file.path().display()).parse().unwrap();
    let mut exporter = Exporter::new(spool.clone()).to(sink.open().unwrap()).once(Duration::ZERO);
    monitor.watch(&spool, exporter.status());
    assert_eq!(get(&monitor, "/readyz"), (503, "it has not claimed the spool yet\n".into()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert!(runtime.block_on(exporter.run(std::future::pending())).unwrap().is_complete());
    let delivered = format!("spanring_sink_spans_delivered_total{{sink=\"{sink}\"}} 3\n");
    assert!(get(&monitor, "/metrics").1.contains(&delivered));
    assert_eq!(get(&monitor, "/readyz"), (503, "it has ended\n".into()));

    monitor.watch(&spool, Status::default());
    assert!(!get(&monitor, "/metrics").1.contains(&delivered));
    assert_eq!(get(&monitor, "/readyz"), (503, "it has not claimed the spool yet\n".into()));
    assert_eq!(get(&monitor, "/healthz"), (200, "it gets on\n".into()));
}

#[test]
fn an_address_is_free_once_its_monitor_is_dropped_and_taken_before() {
    let monitor = Monitor::start((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = monitor.address();
    let in_use = Monitor::start(address).unwrap_err();
    assert!(matches!(&in_use, Error::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse));
    assert_eq!(in_use.to_string(), format!("cannot listen at {address}"));
    drop(monitor);
    assert_eq!(Monitor::start(address).unwrap().address(), address);
}
