//! Prefactor's server, while it fails, the process that records is killed, and exporters are killed.
//!
//! The server remembers every idempotency key, with the body that came with it and what it answered, and fails the test where a key comes with another
//! body. In each round a process records spans and is killed with one more open. Exporters deliver to a server that fails in every way, and are killed at
//! random moments; a last one delivers what is left. Then there is one instance, each span was created once, under a parent that was there before it,
//! what the server refuses are dead letters, and no others, and what spans say of quality was recorded once. Some say types that turn up one after the
//! other: the server takes another version of the schemas, makes another instance of each, of which there are no more than types and all are finished in the
//! end, or refuses.
//!
//! In other rounds exporters in live mode show trees of spans while they are recorded: each is created once and finished once, and has all that was said of
//! it. Either is done with bulk requests too, of which the server takes some and breaks the connection. Beside these an agent is stopped from the server,
//! and holds spans open that are seen there.
//!
//! `SPANRING_PREFACTOR_ROUNDS` sets how many rounds there are (10 unless said otherwise), `SPANRING_PREFACTOR_SEED` with which one they begin. A failure
//! names its seed.

#[path = "../agent/mod.rs"]
mod agent;
mod bulk;
mod finished;
mod live;
mod restarts;
mod rounds;
mod schemas_that_grow;
mod server;
mod waves;

use std::env;
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use spanring_spool::Spool;

use self::agent::TestSpool;

#[test]
fn a_recording_process() {
    agent::main();
}

fn export(spool: &TestSpool, sink: &str) -> Command {
    let mut command = spool.export(&[sink]);
    command.env("PREFACTOR_API_TOKEN", "secret").env("PREFACTOR_AGENT_ID", "my-agent");
    command
}

fn live(spool: &TestSpool, sink: &str) -> Command {
    let mut command = export(spool, sink);
    command.env("PREFACTOR_MODE", "live");
    command
}

fn copied(spool: &TestSpool) -> TestSpool {
    let copy = TestSpool::new();
    let copied = Command::new("cp").arg("-a").arg(spool.path()).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    copy
}

/// A process that is killed when this is dropped, also where a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A process has one recorder at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Records a tree of spans: each that has children has three, and one that was given up before it started.
fn record_tree(spool: &TestSpool, depth: usize) -> usize {
    fn grow(under: &spanring::Span, depth: usize) -> usize {
        spanring::span("given up").parent(under.context()).prepare().cancel();
        let mut count = 1;
        for number in 0..3 {
            let child =
                spanring::span("child").parent(under.context()).input(&json!({ "number": number })).start();
            count += 1 + if depth > 1 { grow(&child, depth - 1) } else { 0 };
            child.complete();
        }
        count
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let recorder = Spool::open(spool.path()).service("shop").start().unwrap();
    let root = spanring::trace("root").start();
    let count = 1 + grow(&root, depth);
    root.complete();
    assert!(recorder.stop(Duration::from_secs(60)).is_complete);
    count
}

fn setting(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// splitmix64.
#[derive(Default)]
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}
