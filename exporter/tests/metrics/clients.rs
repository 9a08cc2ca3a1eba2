//! Clients of every kind: many, slow, wrong and hostile ones.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::agent::{TestSpool, complaint, receiver, wait_until};
use crate::watched::{Exporting, ask, connect, get};

/// More than the server lets in at a time.
const CROWD: usize = 100;

#[test]
fn paths_and_methods_are_answered_as_the_table_says() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let (_receiver, sink, _) = receiver(|_| None);
    let exporting = Exporting::start(&spool, &[&sink], &[]);
    exporting
        .metrics_when("it delivers", |metrics| metrics.value("spanring_exporter_delivering", &[]) == 1.0);
    let known = ["/metrics", "/healthz", "/readyz"];
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "NONSENSE"] {
        for path in known.into_iter().chain([
            "/metrics?name[]=x",
            "/",
            "/metrics/",
            "/metric",
            "/METRICS",
            "//metrics",
            "*",
        ]) {
            let request = format!("{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
            let Some(answered) = ask(exporting.address, request.as_bytes()) else {
                panic!("no answer to {method} {path}");
            };
            let is_known = known.contains(&path.split('?').next().unwrap());
            let expected = match (method, is_known) {
                // A target of this form is none of CONNECT's.
                ("CONNECT", _) => 400..=405,
                (_, false) => 404..=404,
                ("GET" | "HEAD", true) => 200..=200,
                (_, true) => 405..=405,
            };
            assert!(expected.contains(&answered.status), "{method} {path}: {answered:?}");
            if answered.status == 405 && method != "CONNECT" {
                assert!(answered.head.contains("allow: get, head\r\n"), "{answered:?}");
            }
            assert_eq!(answered.body.is_empty(), method == "HEAD", "{method} {path}: {answered:?}");
        }
    }
}

#[test]
fn a_connection_is_for_one_request() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let (_receiver, sink, _) = receiver(|_| None);
    let exporting = Exporting::start(&spool, &[&sink], &[]);
    let request = "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: keep-alive\r\n\r\n";
    // It reads until the server ends the connection, and would wait in vain for that.
    let answered = ask(exporting.address, request.repeat(3).as_bytes()).unwrap();
    assert_eq!((answered.status, answered.body.as_str()), (200, "it gets on\n"));
    assert!(answered.head.contains("connection: close\r\n"), "{answered:?}");
}

#[test]
fn garbage_ends_its_connection_and_nothing_else() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let (_receiver, sink, _) = receiver(|_| None);
    let exporting = Exporting::start(&spool, &[&sink], &[]);
    let long = "a".repeat(1 << 20);
    let bytes = |text: String| text.into_bytes();
    let cases: [(Vec<u8>, &[u16]); 14] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), &[400]),
        (b"\r\n\r\n\r\n \r\n".to_vec(), &[400]),
        (b"GET\r\n\r\n".to_vec(), &[400]),
        (b"GET /metrics\r\n\r\n".to_vec(), &[400]),
        (b"GET /metrics HTTP/9.9\r\n\r\n".to_vec(), &[400]),
        (b"GET /me\x00trics HTTP/1.1\r\n\r\n".to_vec(), &[400]),
        (b"\xff\xfe\x00 / HTTP/1.1\r\n\r\n".to_vec(), &[400]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[400, 404]),
        (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n".to_vec(), &[400]),
        (b"GET /metrics HTTP/1.1\r\ncontent-length: x\r\n\r\n".to_vec(), &[400]),
        (bytes(format!("GET /{long} HTTP/1.1\r\n\r\n")), &[414, 431]),
        (bytes(format!("GET / HTTP/1.1\r\n{long}: 1\r\n\r\n")), &[400, 431]),
        (bytes(format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n")), &[431]),
        (bytes(format!("GET / HTTP/1.1\r\n{}\r\n", "x: 1\r\n".repeat(5000))), &[431]),
    ];
    for (request, expected) in cases {
        let shown = String::from_utf8_lossy(&request[..request.len().min(60)]);
        // A server that goes before it has read all may take its answer with it.
        if let Some(answered) = ask(exporting.address, &request) {
            assert!(expected.contains(&answered.status), "{shown:?}: {answered:?}");
        }
        assert_eq!(exporting.health("/healthz").0, 200, "after {shown:?}");
    }
    // A body is not read.
    let post = format!("POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{long}", long.len());
    assert!(ask(exporting.address, post.as_bytes()).is_none_or(|answered| answered.status == 405));
    exporting.metrics();
}

#[test]
fn more_slow_clients_than_are_let_in_hold_up_neither_delivery_nor_others_for_long() {
    let spool = TestSpool::new();
    spool.record(0, 2000);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let exporting = Exporting::start(&spool, &[&sink], &[]);
    let mut slow: Vec<TcpStream> = (0..CROWD).map(|_| connect(exporting.address)).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut request = b"GET /metrics HTTP/1.1\r\nx: ".to_vec();
            request.resize(4096, b'x');
            // A byte now and then, and never the last.
            for byte in request {
                for client in &mut slow {
                    // It may have been ended.
                    drop(client.write_all(&[byte]));
                }
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        wait_until("all is delivered", || arrived.numbers().len() == 2000);
        let sockets = exporting.sockets();
        assert!(sockets < CROWD, "{sockets} sockets, though only so many clients are let in");
        // It is answered once slow ones have been ended, and else not at all.
        let answered = get(exporting.address, "/readyz");
        is_over.store(true, Ordering::SeqCst);
        assert_eq!((answered.status, answered.body.as_str()), (200, "it delivers\n"));
    });
    arrived.assert_each_once(2000);
    let ended = slow.iter_mut().filter_map(|client| client.read(&mut [0; 1024]).ok()).count();
    assert!(ended > 0, "no slow client was ended");
}

#[test]
fn a_crowd_is_answered_in_full_while_spans_are_delivered() {
    let spool = TestSpool::new();
    let agent = spool.start(0, 20_000);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let exporting = Exporting::start(&spool, &[&sink], &[]);
    thread::scope(|scope| {
        let scrapes: Vec<_> = (0..CROWD).map(|_| scope.spawn(|| exporting.metrics())).collect();
        for scrape in scrapes {
            scrape.join().unwrap();
        }
    });
    let done = exporting.metrics_when("all is delivered", |metrics| {
        metrics.find("spanring_sink_spans_delivered_total", &[("sink", &sink)]) == Some(20_000.0)
    });
    arrived.assert_each_once(20_000);
    assert_eq!(done.find("spanring_recorder_spans_dropped_total", &[("reason", "ring_full")]), Some(0.0));
    agent.kill();
}

#[test]
fn a_stop_ends_the_server_with_clients_that_wait() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let exporting = Exporting::start(&spool, &[&sink], &[]);
    wait_until("all is delivered", || arrived.numbers().len() == 10);
    let mut waiting = connect(exporting.address);
    waiting.write_all(b"GET /met").unwrap();
    let address = exporting.address;
    let (status, _, said) = exporting.stop();
    assert_eq!(status.code(), Some(0), "{said:?}");
    assert!(TcpStream::connect(address).is_err(), "somebody still listens at {address}");
    assert!(!matches!(waiting.read(&mut [0; 64]), Ok(1..)), "half a request was answered");
}

#[test]
fn where_it_cannot_listen_it_says_so_on_a_line_and_touches_nothing() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let (_receiver, sink, arrived) = receiver(|_| None);
    let file = spool.file("spans.jsonl");
    let file_sink = format!("file:{}", file.display());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = taken.local_addr().unwrap().to_string();
    // 192.0.2.1 is set aside for documentation, so that nobody has it.
    let cases: [(&[&str], i32, &[&str]); 6] = [
        (&["--listen", &in_use], 1, &["cannot listen at", &in_use, "in use"]),
        (&["--listen", "192.0.2.1:9464", "--listen-any"], 2, &["cannot listen at 192.0.2.1:9464"]),
        (&["--listen", "0.0.0.0:0"], 2, &["--listen 0.0.0.0:0", "--listen-any"]),
        (&["--listen", "[::]:0"], 2, &["--listen [::]:0", "--listen-any"]),
        (&["--listen", "192.0.2.1:9464"], 2, &["--listen-any"]),
        (&["--listen", "[::ffff:192.0.2.1]:1"], 2, &["--listen-any"]),
    ];
    for (arguments, expected, parts) in cases {
        let output = spool.export(&[&sink, &file_sink]).args(arguments).arg("--once").output().unwrap();
        let (status, said) = complaint(output);
        assert_eq!((status, said.lines().count()), (expected, 1), "{arguments:?}: {said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{arguments:?}: {said}");
        assert!(!file.exists() && arrived.numbers().is_empty(), "{arguments:?}");
    }
    for arguments in [&["--listen", "localhost"][..], &["--listen", "127.0.0.1"], &["--listen-any"]] {
        let output = spool.export(&[&sink]).args(arguments).arg("--once").output().unwrap();
        assert_eq!(complaint(output).0, 2, "{arguments:?}");
    }
    let output =
        spool.export(&[&sink]).args(["--listen", "0.0.0.0:0", "--listen-any", "--once"]).output().unwrap();
    let (status, said) = complaint(output);
    assert!(status == 0 && said.starts_with("spanring: listening at http://0.0.0.0:"), "{said}");
}
