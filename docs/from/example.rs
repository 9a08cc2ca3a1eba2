// What the examples of these pages record into: a spool in a temporary directory.

use std::ops::Deref;
use std::time::Duration;

use spanring_spool::{Level, Reader, SpanData, Spool};

pub struct Example {
    spool: Spool,
    dir: tempfile::TempDir,
}

pub fn spool() -> Example {
    let dir = tempfile::tempdir().unwrap();
    Example { spool: Spool::open(dir.path().join("spool")).service("example").start().unwrap(), dir }
}

impl Example {
    /// The spans that have ended, in that order. There must be as many as the caller takes.
    pub fn read<const N: usize>(&self) -> [SpanData; N] {
        self.spool.flush(Level::Spooled, Duration::from_secs(30)).unwrap();
        let reader = Reader::open(self.dir.path().join("spool")).unwrap();
        let mut spans = reader.collect::<Result<Vec<_>, _>>().unwrap();
        // Threads have an order of their own each.
        spans.sort_by_key(|span| span.end_unix_ns);
        spans.try_into().unwrap_or_else(|spans| panic!("other spans than expected: {spans:#?}"))
    }
}

/// The tree is the one that the page shows, whatever its identity and durations.
pub fn assert_shown(tree: &str) {
    let is_time =
        |part: &&str| ["ns", "µs", "ms", "s"].iter().any(|unit| part.ends_with(&format!(" {unit}")));
    let line = |line: &str| {
        let parts = line.split("  ").filter(|part| !is_time(part) && !part.starts_with("Trace "));
        parts.collect::<Vec<_>>().join("  ")
    };
    let shown = |text: &str| text.lines().map(line).collect::<Vec<_>>();
    let page = include_str!("spanforge.md");
    let block = page.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(shown(tree), shown(block));
}

impl Deref for Example {
    type Target = Spool;

    fn deref(&self) -> &Spool {
        &self.spool
    }
}
