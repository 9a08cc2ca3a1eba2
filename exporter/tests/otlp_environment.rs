//! `spanring export` with OpenTelemetry's variables, TLS included.

mod agent;
mod authority;

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use self::agent::{TestSpool, complaint, receiver};
use self::authority::Authority;

#[test]
fn a_recording_process() {
    agent::main();
}

fn export_once(spool: &TestSpool, sinks: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = spool.export(sinks);
    command.args(["--once", "--deadline", "0s"]);
    for (name, value) in variables {
        command.env(format!("OTEL_EXPORTER_OTLP_{name}"), value);
    }
    command
}

#[test]
fn the_sink_otlp_is_where_the_environment_says_and_asked_as_it_says() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (sender, requests) = mpsc::channel();
    let (_receiver, sink, _) = receiver(move |request| {
        sender.send(request.clone()).unwrap();
        Some(spanring_exporter::demo::receiver::Answer::status(200))
    });
    let endpoint = format!("{}/exactly/here/", sink.strip_prefix("otlp+").unwrap());
    let variables = [
        ("ENDPOINT", "http://127.0.0.1:9"),
        ("TRACES_ENDPOINT", &endpoint),
        ("HEADERS", "api-key=a%20b"),
        ("PROTOCOL", "http/json"),
        ("COMPRESSION", "none"),
        ("TIMEOUT", "never"),
    ];
    let output = export_once(&spool, &["otlp"], &variables).output().unwrap();
    let (status, complaints) = complaint(output);
    let expected =
        "spanring: OTEL_EXPORTER_OTLP_TIMEOUT is ignored: it is no number of milliseconds above 0\n";
    assert_eq!((status, complaints.as_str()), (0, expected));
    let requests: Vec<_> = requests.try_iter().collect();
    assert!(!requests.is_empty());
    for request in requests {
        assert_eq!((request.path.as_str(), request.header("api-key")), ("/exactly/here/", Some("a b")));
        assert_eq!(request.header("content-encoding"), None);
        assert!(request.body.starts_with(br#"{"resourceSpans""#));
    }
    assert_eq!(spool.recorders(), [""; 0]);
}

#[test]
fn secrets_go_to_one_receiver_only() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let both = ["otlp+http://127.0.0.1:9", "otlp"];
    let output = export_once(&spool, &both, &[("HEADERS", "api-key=secret")]).output().unwrap();
    let expected = "spanring: the headers and certificates of OTEL_EXPORTER_OTLP_* would go to more than one OTLP sink\n";
    assert_eq!(complaint(output), (2, expected.into()));
    let output = export_once(&spool, &["otlp"], &[("TRACES_HEADERS", "secret")]).output().unwrap();
    let expected = "spanring: cannot use OTEL_EXPORTER_OTLP_TRACES_HEADERS: a header has no =\n";
    assert_eq!(complaint(output), (2, expected.into()));
}

/// A server as `localhost` over TLS that takes clients of this authority only, and tells the first line of each request.
fn serve(authority: &Authority) -> (SocketAddr, Receiver<String>) {
    let config = Arc::new(authority.server(true));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, seen) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // Those that do not come to an understanding are the clients' to notice.
            if let Ok(line) = answer(stream.unwrap(), Arc::clone(&config))
                && sender.send(line).is_err()
            {
                return;
            }
        }
    });
    (address, seen)
}

/// Reads a request and takes it; its first line.
fn answer(stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<String> {
    let mut stream = StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, stream);
    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
    let head_end = loop {
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => request.extend_from_slice(&chunk[..len]),
        }
        if let Some(end) = request.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&request[..head_end]).to_ascii_lowercase();
    let len =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok()).unwrap();
    let mut rest = vec![0; len - (request.len() - head_end)];
    stream.read_exact(&mut rest)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
    stream.flush()?;
    Ok(head.lines().next().unwrap_or_default().to_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_receiver_is_verified_by_the_given_authority_and_verifies_the_exporter() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let (ours, theirs) = (Authority::new(), Authority::new());
    ours.certify("exporter");
    theirs.certify("exporter");
    let (address, seen) = serve(&ours);
    let endpoint = format!("https://localhost:{}", address.port());
    let export = |authority: &Path, certificate: &Path, key: &Path| {
        let variables = [
            ("ENDPOINT", endpoint.as_str()),
            ("CERTIFICATE", text(authority)),
            ("CLIENT_CERTIFICATE", text(certificate)),
            ("CLIENT_KEY", text(key)),
        ];
        complaint(export_once(&spool, &["otlp"], &variables).output().unwrap())
    };
    let ours_of = |name: &str| ours.path(name);
    let [authority, certificate, key] = ["authority.pem", "exporter.pem", "exporter.key"].map(ours_of);

    // An authority that has not signed the receiver, then a client that ours has not signed.
    let (status, told) = export(&theirs.path("authority.pem"), &certificate, &key);
    assert!(status == 1 && told.contains("invalid peer certificate"), "{told}");
    let (status, told) = export(&authority, &theirs.path("exporter.pem"), &theirs.path("exporter.key"));
    assert!(status == 1 && told.contains("gave up"), "{told}");
    // Files that hold something else, or are not there.
    for (certificate, key, wrong) in [
        (&certificate, &certificate, &certificate),
        (&key, &key, &key),
        (&certificate, &ours_of("none"), &ours_of("none")),
    ] {
        let (status, told) = export(&authority, certificate, key);
        let expected = format!("spanring: cannot set up TLS for otlp+{endpoint}: {}", wrong.display());
        assert!(status == 2 && told.starts_with(&expected) && told.lines().count() == 1, "{told}");
    }
    assert_eq!(seen.try_iter().count(), 0);

    assert_eq!(export(&authority, &certificate, &key), (0, String::new()));
    assert!(seen.try_iter().all(|line| line == "post /v1/traces http/1.1"));
    assert_eq!(spool.recorders(), [""; 0]);
}
