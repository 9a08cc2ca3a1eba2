//! The host of OpenAI, played on loopback: a proxy that leads nowhere else, with a certificate that only those trust who are told to.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use spanring_exporter::demo::receiver::Received;

const HOST: &str = "api.openai.com";

pub(crate) struct OpenAiHost {
    proxy: SocketAddr,
    dir: tempfile::TempDir,
    pub(crate) received: Receiver<Received>,
}

impl OpenAiHost {
    pub(crate) fn start() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([HOST.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("authority.pem"), issuer.pem()).unwrap();

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key);
        let config = Arc::new(config.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = listener.local_addr().unwrap();
        let (sender, received) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // What goes wrong is the client's to notice.
                if let Ok(request) = take(stream.unwrap(), Arc::clone(&config))
                    && sender.send(request).is_err()
                {
                    return;
                }
            }
        });
        OpenAiHost { proxy, dir, received }
    }

    /// By which variables a process is led here.
    pub(crate) fn variables(&self) -> [(&'static str, String); 2] {
        let authority: PathBuf = self.dir.path().join("authority.pem");
        [
            ("HTTPS_PROXY", format!("http://{}", self.proxy)),
            ("SSL_CERT_FILE", authority.into_os_string().into_string().unwrap()),
        ]
    }
}

/// Takes one request, through the tunnel that was asked for.
fn take(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<Received> {
    let (head, rest) = head(&mut stream)?;
    assert!(head.starts_with(&format!("CONNECT {HOST}:443 ")) && rest.is_empty(), "{head}");
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let mut stream = StreamOwned::new(ServerConnection::new(config).map_err(io::Error::other)?, stream);
    let (head, mut body) = self::head(&mut stream)?;
    let mut lines = head.lines();
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let headers = lines.filter_map(|line| line.split_once(": "));
    let mut received = Received {
        method: first.next().unwrap_or_default(),
        path: first.next().unwrap_or_default(),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
        body: Vec::new(),
    };
    let len = received.header("content-length").and_then(|len| len.parse::<usize>().ok()).unwrap();
    let mut rest = vec![0; len - body.len()];
    stream.read_exact(&mut rest)?;
    body.extend(rest);
    received.body = body;
    // What OpenAI answers.
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")?;
    stream.conn.send_close_notify();
    stream.flush()?;
    Ok(received)
}

/// The head of what is read, and what was read behind it.
fn head(stream: &mut impl Read) -> io::Result<(String, Vec<u8>)> {
    let (mut read, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            len => read.extend_from_slice(&chunk[..len]),
        }
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&read[..end]).into_owned(), rest));
        }
    }
}
