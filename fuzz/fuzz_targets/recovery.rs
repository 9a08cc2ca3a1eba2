//! The files of a process that died, damaged, and recovered.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring_fuzz::{Damage, directory, files, record_runs};
use spanring_spool::{RecorderId, RecoveryReport, SpanData, Spool, SpoolDir};

/// Says to a process that it is the one that dies, and where its spool is.
const VICTIM: &str = "SPANRING_FUZZ_VICTIM";

struct Template {
    spool: SpoolDir,
    recorder: RecorderId,
    files: Vec<(PathBuf, Vec<u8>)>,
}

static TEMPLATE: OnceLock<Template> = OnceLock::new();

#[derive(Arbitrary, Debug)]
struct Input {
    damages: Vec<(u8, Damage)>,
    /// Two that are missing, perhaps.
    missing: [u8; 2],
}

fuzz_target!(init: {
    if let Some(path) = std::env::var_os(VICTIM) {
        die(Path::new(&path));
    }
    TEMPLATE.set(template()).ok().expect("made once");
}, |input: Input| {
    let template = TEMPLATE.get().expect("it is made first");
    let mut files = template.files.clone();
    for (index, damage) in input.damages.iter().take(4) {
        let index = usize::from(*index) % files.len();
        damage.apply(&mut files[index].1);
    }
    for index in input.missing {
        if usize::from(index) < files.len() {
            files.remove(usize::from(index));
        }
    }
    let once = template.recover(&files);
    let twice = template.recover(&files);
    match (once, twice) {
        (Some((report, spans)), Some((report_again, spans_again))) => {
            assert_eq!(report.from_rings + report.from_tables, spans.len() as u64, "{report}");
            assert_eq!(report.ledger, report_again.ledger);
            // Where no clock is left, times are those of the recovery.
            assert_eq!(identities(&spans), identities(&spans_again), "a repetition gives the same");
        }
        (None, None) => {}
        _ => panic!("a repetition gives the same"),
    }
});

fn identities(spans: &[SpanData]) -> Vec<(&str, spanring::SpanId, bool)> {
    spans.iter().map(|span| (span.name.as_str(), span.span_id, span.interrupted)).collect()
}

impl Template {
    /// Recovers what these files hold. `None` where nothing is taken from them.
    fn recover(&self, files: &[(PathBuf, Vec<u8>)]) -> Option<(RecoveryReport, Vec<SpanData>)> {
        let dir = self.spool.recorder_path(&self.recorder);
        for (path, _) in &self.files {
            drop(fs::remove_file(path));
        }
        for (path, bytes) in files {
            fs::write(path, bytes).expect("a file can be written");
        }
        drop(fs::remove_file(dir.join("recovered")));
        drop(fs::remove_dir_all(self.spool.recorder_path(&self.recorder.recovery())));

        let report = self.spool.recover(&self.recorder).ok()?;
        let again = self.spool.recover(&self.recorder).expect("to recover twice is no error");
        assert!(again.already_done && !report.already_done);
        let mut spans = Vec::new();
        let mut reader = self.spool.reader(&self.recorder.recovery()).expect("there is something to read");
        while let Some(block) = reader.next_block().expect("what was recovered can be read") {
            spans.extend(block.spans);
        }
        assert!(!reader.skipped().is_damage(), "{}", reader.skipped());
        Some((report, spans))
    }
}

fn template() -> Template {
    let path = directory();
    let this = std::env::current_exe().expect("the fuzzer has a path");
    let victim = Command::new(this).env(VICTIM, &path).status().expect("the fuzzer can be started again");
    assert!(victim.success());
    let spool = SpoolDir::open(path).expect("the spool is there");
    let recorder = spool.recorders().expect("the spool can be listed").remove(0);
    let dir = spool.recorder_path(&recorder);
    let files = ["callsites", "control", "lane-", "table-", "0"]
        .iter()
        .flat_map(|prefix| files(&dir, prefix))
        .collect();
    let template = Template { spool, recorder, files };
    let (report, spans) = template.recover(&template.files).expect("what is whole is recovered");
    assert_eq!((report.from_tables, report.unaccounted), (1, 0), "{report}");
    assert!(spans.iter().any(|span| span.interrupted && span.name == "open"));
    template
}

/// Records, and ends in the middle of it.
fn die(path: &Path) -> ! {
    let spool = Spool::open(path).ring_bytes(8192).rings(1, 1).tables(0, 0).start().expect("a spool starts");
    std::mem::forget(record_runs(&spool));
    std::mem::forget(spool);
    std::process::exit(0)
}
