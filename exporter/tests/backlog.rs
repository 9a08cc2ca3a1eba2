//! However much has been recorded, the exporter needs little memory.
//!
//! `SPANRING_BACKLOG_MIB` sets how much lies in the spool (16 unless said otherwise): each mebibyte is 320 spans with 4 KiB that hardly compress, and
//! 3,000 small ones. A backlog of 10 GiB is
//!
//! ```sh
//! SPANRING_BACKLOG_MIB=10240 cargo test --release -p spanring-exporter --test backlog -- --nocapture
//! ```

mod agent;

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use prost::Message as _;
use spanring::Overflow;
use spanring_exporter::demo::receiver::{Answer, Receiver};
use spanring_exporter::otlp::ExportTraceServiceRequest;
use spanring_spool::Spool;

use self::agent::{TestSpool, peak_kib};

/// How many recorders hold it. Each is a run of its own.
const RECORDERS: u64 = 4;
const LARGE_PER_MIB: u64 = 320;
const SMALL_PER_MIB: u64 = 3_000;
const LARGE_LEN: usize = 4096;

#[test]
fn a_backlog_of_any_size_needs_little_memory() {
    let mib: u64 = env::var("SPANRING_BACKLOG_MIB").map_or(16, |text| text.parse().expect("a number"));
    let spool = TestSpool::new();
    let mut noise = Noise(1);
    for recorder in 0..RECORDERS {
        let overflow = Overflow::Block(Duration::from_secs(60));
        let recording = Spool::open(spool.path()).overflow(overflow).start().unwrap();
        for _ in recorder * mib / RECORDERS..(recorder + 1) * mib / RECORDERS {
            for _ in 0..LARGE_PER_MIB {
                drop(spanring::span("large").root().set("text", &*noise.text(LARGE_LEN)).start());
            }
            for number in 0..SMALL_PER_MIB {
                let span = spanring::span("small").root().set("number", number).set("rate", 0.5);
                drop(span.set("ok", true).set("text", "sixteen letters!").start());
            }
        }
        let stopped = recording.stop(Duration::from_secs(60));
        assert!(stopped.is_complete, "{stopped:?}");
    }
    let len = disk_len(&spool.path());
    let spans = mib * (LARGE_PER_MIB + SMALL_PER_MIB);

    let arrived = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&arrived);
    let receiver = Receiver::start(move |received| {
        let request = ExportTraceServiceRequest::decode(&*received.body).expect("a request");
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        counter.fetch_add(scopes.map(|scope| scope.spans.len() as u64).sum(), Ordering::Relaxed);
        Answer::status(200)
    });
    let sink = format!("otlp+http://{}", receiver.as_ref().expect("a receiver").address());
    let began = Instant::now();
    let mut exporter = spool.export(&[&sink]).arg("--once").stdout(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_kib(exporter.id()).unwrap_or(0));
        match exporter.try_wait().unwrap() {
            Some(status) => break status,
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let took = began.elapsed().as_secs_f64();
    eprintln!("{spans} spans, {} MiB on disk: delivered in {took:.1} s within {peak} KiB", len >> 20);
    assert!(status.success());
    assert_eq!(arrived.load(Ordering::Relaxed), spans, "spans in are spans out");
    assert!(len >> 20 >= mib && peak <= 64 * 1024, "{} MiB on disk, {peak} KiB in memory", len >> 20);
}

/// How many bytes the files below a directory take on disk.
fn disk_len(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let len = |entry: fs::DirEntry| match entry.metadata().unwrap() {
        metadata if metadata.is_dir() => disk_len(&entry.path()),
        metadata => metadata.blocks() * 512,
    };
    entries.map(len).sum()
}

/// Texts that nothing compresses much, by xorshift.
struct Noise(u64);

impl Noise {
    fn text(&mut self, len: usize) -> String {
        let mut text = String::with_capacity(len);
        while text.len() < len {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            text.extend(self.0.to_le_bytes().map(|byte| char::from(b' ' + byte % 94)));
        }
        text.truncate(len);
        text
    }
}
