//! `spanring export` with OpenTelemetry's variables, TLS included.

mod agent;
mod authority;
mod grpc_server;

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use self::agent::{Arrived, TestSpool, complaint, receiver};
use self::authority::Authority;
use self::grpc_server::{Server, Setup};

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
    for other in ["otlp+http://127.0.0.1:9", "otlp+grpc://127.0.0.1:9"] {
        let both = [other, "otlp"];
        let output = export_once(&spool, &both, &[("HEADERS", "api-key=secret")]).output().unwrap();
        let expected = "spanring: the headers and certificates of OTEL_EXPORTER_OTLP_* would go to more than one OTLP sink\n";
        assert_eq!(complaint(output), (2, expected.into()));
    }
    let output = export_once(&spool, &["otlp"], &[("TRACES_HEADERS", "secret")]).output().unwrap();
    let expected = "spanring: cannot use OTEL_EXPORTER_OTLP_TRACES_HEADERS: a header has no =\n";
    assert_eq!(complaint(output), (2, expected.into()));
}

/// A server of gRPC that keeps what arrives, and what came as `api-key`.
fn grpc_server(setup: &Setup) -> (Server, Arrived, Receiver<Option<String>>) {
    let arrived = Arrived::default();
    let kept = arrived.clone();
    let (sender, keys) = mpsc::channel();
    let server = Server::start(setup, move |received| {
        let key = received.metadata.get("api-key").map(|key| key.to_str().unwrap().to_owned());
        sender.send(key).unwrap();
        kept.add(&received.request.encode_to_vec());
        Ok(ExportTraceServiceResponse::default())
    });
    (server, arrived, keys)
}

#[test]
fn the_sink_otlp_is_asked_over_grpc_where_the_environment_says_so() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (server, arrived, keys) = grpc_server(&Setup::default());
    let variables = [
        ("PROTOCOL", "grpc"),
        ("ENDPOINT", &server.address().to_string()),
        ("INSECURE", "true"),
        ("HEADERS", "api-key=a%20b"),
    ];
    let output = export_once(&spool, &["otlp"], &variables).output().unwrap();
    assert_eq!(complaint(output), (0, String::new()));
    arrived.assert_each_once(10);
    assert!(keys.try_iter().all(|key| key.as_deref() == Some("a b")));
    assert_eq!(spool.recorders(), [""; 0]);
}

#[test]
fn a_sink_named_by_its_address_is_asked_as_its_scheme_says() {
    let spool = TestSpool::new();
    let (server, over_grpc, keys) = grpc_server(&Setup::default());
    let (_receiver, http, over_http) = receiver(|_| None);
    let grpc = format!("otlp+grpc://{}", server.address());
    for protocol in ["grpc", "http/protobuf"] {
        spool.record(0, 10);
        let variables = [("PROTOCOL", protocol), ("ENDPOINT", "http://127.0.0.1:9")];
        let output = export_once(&spool, &[&grpc, &http], &variables).output().unwrap();
        assert_eq!(complaint(output), (0, String::new()));
    }
    for arrived in [over_grpc, over_http] {
        arrived.assert_all(10);
        assert!(arrived.numbers().values().all(|&times| times == 2));
    }
    assert!(keys.try_iter().all(|key| key.is_none()));
}

/// A proxy that connects whoever asks to `address`, and tells what was asked for.
fn proxy(address: SocketAddr) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(address).unwrap());
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                client.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            if sender.send(String::from_utf8(head).unwrap()).is_err() {
                return;
            }
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            // Each direction ends when a side has hung up.
            thread::spawn(move || drop(io::copy(&mut from, &mut to)));
            thread::spawn(move || drop(io::copy(&mut client, &mut server)));
        }
    });
    (at, asked)
}

/// Exports to a receiver of gRPC, with and without TLS, at the endpoint that `endpoint` makes of its scheme and port, with the proxy named
/// that `proxy` makes of one that is there; what the proxy was asked for.
fn exported_past_a_proxy(
    endpoint: fn(&str, u16) -> String,
    proxy_named: fn(SocketAddr) -> String,
) -> [Vec<String>; 2] {
    let authority = Authority::new();
    let mut config = authority.server(false);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let over_tls = Setup { tls: Some(Arc::new(config)), ..Setup::default() };
    [(Setup::default(), "http"), (over_tls, "https")].map(|(setup, scheme)| {
        let spool = TestSpool::new();
        spool.record(0, 10);
        let (server, arrived, _keys) = grpc_server(&setup);
        let (proxy, asked) = proxy(server.address());
        let certificate = authority.path("authority.pem");
        let variables = [
            ("PROTOCOL", "grpc"),
            ("ENDPOINT", &endpoint(scheme, server.address().port())),
            ("CERTIFICATE", text(&certificate)),
        ];
        let mut command = export_once(&spool, &["otlp"], &variables);
        command.env_remove("NO_PROXY").env_remove("no_proxy");
        command.env(format!("{}_PROXY", scheme.to_uppercase()), proxy_named(proxy));
        assert_eq!(complaint(command.output().unwrap()), (0, String::new()));
        arrived.assert_each_once(10);
        asked.try_iter().collect()
    })
}

#[test]
fn a_receiver_of_grpc_is_reached_through_the_proxy_of_the_environment() {
    // A name that nobody knows: who asks for it without the proxy, fails.
    let endpoint = |scheme: &str, _| format!("{scheme}://receiver.invalid");
    let asked = exported_past_a_proxy(endpoint, |proxy| format!("http://me:secret@{proxy}"));
    for (asked, port) in asked.iter().zip([80, 443]) {
        let to = format!("receiver.invalid:{port}");
        let expected = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        let [head] = asked.as_slice() else { panic!("{asked:?}") };
        assert!(head.starts_with(&expected), "{head}");
        assert!(head.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"), "{head}");
    }
}

#[test]
fn a_receiver_of_grpc_on_this_machine_is_reached_without_a_proxy() {
    let endpoint = |scheme: &str, port| format!("{scheme}://localhost:{port}");
    let asked = exported_past_a_proxy(endpoint, |proxy| format!("http://{proxy}"));
    assert_eq!(asked, [[""; 0]; 2]);
}

#[test]
fn a_receiver_of_http_is_reached_through_the_proxy_of_the_environment_unless_that_excepts_it() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let (sender, asked) = mpsc::channel();
    // What a proxy is asked over plain HTTP is the request itself: so a receiver can stand for it, and for what is behind it.
    let (proxy, _, arrived) = receiver(move |request| {
        let of_proxy = ["host", "proxy-authorization"].map(|name| request.header(name).map(str::to_owned));
        sender.send(of_proxy).unwrap();
        None
    });
    // A name that nobody knows: who asks for it without the proxy, fails.
    let export = |variables: &[(&str, &str)]| {
        let mut command = export_once(&spool, &["otlp+http://receiver.invalid:4318"], &[]);
        command.env_remove("no_proxy").env_remove("NO_PROXY");
        command.env("HTTP_PROXY", format!("http://me:secret@{}", proxy.address()));
        command.envs(variables.iter().copied());
        complaint(command.output().unwrap())
    };
    let (status, complaints) = export(&[("NO_PROXY", "receiver.invalid")]);
    assert_ne!(status, 0, "{complaints}");
    assert!(!complaints.contains("secret"), "{complaints}");
    assert_eq!(asked.try_iter().count(), 0);
    assert_eq!(export(&[]), (0, String::new()));
    arrived.assert_each_once(10);
    let expected = ["receiver.invalid:4318", "Basic bWU6c2VjcmV0"].map(|text| Some(text.to_owned()));
    assert!(asked.try_iter().all(|of_proxy| of_proxy == expected));
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
