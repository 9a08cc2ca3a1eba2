//! The exporter: follows the spool until its standard input ends, and says what it has done.

use std::io::{self, Read as _, Write as _};
use std::path::Path;

use spanring_exporter::Exporter;
use spanring_exporter::sink::{OtlpOptions, SinkAddress, SinkOptions};
use spanring_spool::SpoolDir;

/// As which argument this role is asked for.
pub(crate) const ROLE: &str = "--as-exporter";

pub(crate) fn run(spool: &Path, sink: &str) {
    let sink: SinkAddress = sink.parse().expect("it is an address");
    let dir = SpoolDir::open(spool).expect("the spool is there");
    let otlp = OtlpOptions::from_environment().expect("the environment makes sense");
    let options = SinkOptions { otlp, ..SinkOptions::default() };
    let exporter = Exporter::new(dir).to(sink.open_with(&options).expect("the sink can be opened"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be built");
    let report = runtime.block_on(exporter.run(async {
        // An error is an end too.
        let listening = tokio::task::spawn_blocking(|| io::stdin().lock().read_to_end(&mut Vec::new()));
        drop(listening.await);
    }));
    let report = report.expect("the export can begin");
    writeln!(io::stdout().lock(), "{report}").expect("who started the exporter listens");
}
