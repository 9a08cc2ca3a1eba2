//! What the fuzz targets share: the damage that files can suffer, and files worth damaging.
//!
//! ```text
//! cargo install cargo-fuzz
//! cargo +nightly fuzz run segment -- -max_total_time=60
//! ```
//!
//! | target     | bytes that it makes up                                   | what it demands                                      |
//! |------------|----------------------------------------------------------|------------------------------------------------------|
//! | `record`   | one record of a ring                                     | what is read lies within it, and is read the same twice |
//! | `memory`   | rings, tables, clock and dictionary, damaged             | no more spans than there is room for; a dictionary never lies |
//! | `recovery` | the same, as files of a process that died                | a repetition gives the same, and all of it can be read |
//! | `segment`  | a segment, damaged as disks do it                        | every whole block is read, and nothing that was not written |
//! | `block`    | the content of a block whose checksum is right           | no more spans than the block claims                  |
//! | `cursor`   | the place of a sink, damaged                             | a place that was stored, or the beginning            |
//! | `notebook` | what a sink has noted, damaged                          | notes that were written, in that order, and what is written then behind them |
//! | `resource` | what a process was, damaged                              | the truth or an error                                |
//! | `dead_letter` | a span that a sink refused, damaged, or in JSON that nobody wrote | the truth or an error; what is read is written and read again as the same |
//! | `dead_trace` | a trace that a sink refused, damaged                   | the truth or an error                                |
//! | `trace`    | files of saved traces, tables of prices                  | what is read can be saved and read again; each span stands once in the tree; costs are numbers |
//! | `propagation` | headers of callers                                    | what is passed on is read again as the same          |
//! | `answer`   | what servers answer; spans in Prela's form               | what counts as delivered follows from the status; what is told is one short line; what is read is written and read again as the same |
//! | `grpc_answer` | what servers answer to a call of gRPC                 | what counts as delivered follows from the status that comes first; waits and rejected spans are those that were written; what is told is one short line |
//! | `config`   | configurations of an exporter                            | a mistake is told on one line, with a place within the text and without a secret |

use std::path::{Path, PathBuf};
use std::time::Duration;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use spanring_spool::{Level, RecorderId, Spool, SpoolDir};

/// What can happen to a file without anybody's ill will.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Damage {
    /// It ends here.
    Cut(u32),
    /// Up to three bits are wrong: as many as CRC-32C sees in any frame, whatever they are.
    Flips([u32; 3]),
    /// Some bytes are zeros.
    Zeros {
        /// Where they start.
        at: u32,
        /// How many there are.
        len: u32,
    },
    /// Some bytes are those of another place, as after a write that went astray.
    Stale {
        /// Where they were.
        from: u32,
        /// Where they are.
        to: u32,
        /// How many there are.
        len: u16,
    },
}

impl Damage {
    /// Damages a file.
    pub fn apply(self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        if len == 0 {
            return;
        }
        match self {
            Damage::Cut(at) => bytes.truncate(at as usize % len),
            Damage::Flips(bits) => {
                bits.iter().for_each(|&bit| bytes[bit as usize / 8 % len] ^= 1 << (bit % 8))
            }
            Damage::Zeros { at, len: zeros } => {
                let at = at as usize % len;
                bytes[at..len.min(at + zeros as usize % 65_536)].fill(0);
            }
            Damage::Stale { from, to, len: stale } => {
                let (from, to) = (from as usize % len, to as usize % len);
                let end = len.min(from + usize::from(stale)).min(from + len - to);
                bytes.copy_within(from..end, to);
            }
        }
    }
}

/// A directory for the files of this process. It stays: a fuzzer does not end in order.
pub fn directory() -> PathBuf {
    tempfile::tempdir().expect("a directory can be made").keep()
}

/// Records what a small agent does, and returns what its last span is.
pub fn record_runs(spool: &Spool) -> spanring::Span {
    for run_number in 0..4_u64 {
        let run = spanring::trace("run").set("number", run_number).label("env", "fuzz").start();
        for step in 0..25_i64 {
            let call = run.child("chat").kind(spanring::Kind::Llm).start();
            call.set("gen_ai.request.model", "mistral-small");
            call.set("step", -step);
            call.set("ratio", 0.25);
            call.set("stream", step % 2 == 0);
            call.set("raw", &[0_u8, 255]);
            call.set_named(&format!("key {step}"), "text ".repeat(7));
            call.set_value("packed", &[Some("a"), None]);
            call.event_with("first token", |event| event.set("index", 1));
            call.link_with(run.context(), |link| link.set("index", 1));
            call.tag("first").tag("second").deadline(Duration::from_secs(9));
            match step {
                20 => _ = call.fail("no answer"),
                21 => _ = call.cancel(),
                22 => drop(run.tool("never").prepare().default_input(&[1])),
                23 => _ = run.tool("never").prepare().cancel(),
                _ => {}
            }
        }
        drop(run);
        spool.flush(Level::Spooled, Duration::from_secs(10)).expect("the run is spooled");
    }
    let open = spanring::span("open").root().start();
    open.set("long", "x".repeat(3_000));
    open.child("ended").start().set("number", 1);
    open
}

/// A spool whose one process stopped in order.
pub fn closed_spool() -> (SpoolDir, RecorderId) {
    let path = directory();
    let spool = Spool::open(&path).service("fuzz").rings(1, 1).start().expect("a spool starts");
    let id = spool.id().clone();
    drop(record_runs(&spool));
    let report = spool.stop(Duration::from_secs(10));
    assert!(report.is_complete, "{report}");
    (SpoolDir::open(path).expect("the spool is there"), id)
}

/// The files in the directory of a recorder whose names begin so, with their content, by name.
pub fn files(dir: &Path, prefix: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = dir.read_dir().expect("the directory can be listed").flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    let mut files: Vec<_> = named
        .map(|entry| (entry.path(), std::fs::read(entry.path()).expect("the file can be read")))
        .collect();
    files.sort();
    files
}
