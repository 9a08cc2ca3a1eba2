//! OTLP/JSON lines on standard output, one request a line, for whatever reads them there: `spanring export --to stdout --once | jq`.
//!
//! A batch is delivered once its line is written to the end; what the reader does with it, nobody knows here. A line that
//! is cut short by an error is finished first when there is something to write again, so the reader only sees whole
//! lines, each batch's once; also where several spools have their spans there. Where the process dies within a line, that stays without its end. In a file, which the next process goes on with
//! (`>> spans.jsonl`), it is ended by a line break, and the batch follows once more; of a pipe nobody can tell. What must survive that
//! goes to a [file](super::FileSink).

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Batch, Delivery, Outcome, Sink};
use crate::Error;
use crate::error::with_causes;
use crate::otlp::Names;

/// A sink that writes to standard output. Its clones write there too, a line at a time.
#[derive(Clone, Debug)]
pub struct StdoutSink {
    names: Names,
    output: Arc<Mutex<Output<File>>>,
}

impl StdoutSink {
    /// What the sink is called.
    pub const NAME: &str = "stdout";

    /// The sink of this process's standard output, to which nothing else should be printed then.
    ///
    /// # Errors
    ///
    /// [`Error::Sink`] where the process has too many files open.
    pub fn open() -> Result<Self, Error> {
        // By a descriptor of its own, since the standard library's standard output has a buffer: nobody could tell how much of a line
        // that failed has been written.
        let file = io::stdout().as_fd().try_clone_to_owned().map_err(Error::sink(Self::NAME, "open"))?;
        Ok(Self::to(file.into()))
    }

    /// Has attributes under these names.
    #[must_use]
    pub fn names(mut self, names: Names) -> Self {
        self.names = names;
        self
    }

    fn to(file: File) -> Self {
        // Of a line that another process has cut, only the break can be written.
        let (line, written) = if is_cut(&file) { (b"?\n".to_vec(), 1) } else { (Vec::new(), 0) };
        StdoutSink {
            names: Names::default(),
            output: Arc::new(Mutex::new(Output { to: file, line, written, finished: Vec::new() })),
        }
    }
}

impl Sink for StdoutSink {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        let (output, names) = (Arc::clone(&self.output), self.names);
        Box::pin(async move {
            let line = batch.json_line(names);
            // Whoever reads a pipe may take long, and other sinks go on meanwhile.
            let written = tokio::task::spawn_blocking(move || {
                output.lock().unwrap_or_else(PoisonError::into_inner).write(line)
            });
            match written.await {
                Ok(Ok(())) => Outcome::DELIVERED,
                Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                    Outcome::Parked { reason: "nobody reads standard output any more".to_owned() }
                }
                Ok(Err(error)) => Outcome::Retry { after: None, reason: with_causes(&error) },
                Err(error) => Outcome::Retry { after: None, reason: with_causes(&error) },
            }
        })
    }
}

/// Whether it is a file that ends within a line. One that may not be read counts as whole.
fn is_cut(file: &File) -> bool {
    let last = || {
        // Standard output is open for writing only.
        let file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let mut last = [b'\n'];
        if let Some(at) = file.metadata()?.len().checked_sub(1) {
            file.read_exact_at(&mut last, at)?;
        }
        Ok::<_, io::Error>(last[0])
    };
    // To open a pipe is to hold it open, or to wait for its other end.
    file.metadata().is_ok_and(|metadata| metadata.is_file()) && last().is_ok_and(|last| last != b'\n')
}

/// What is written to, without a buffer, and how far its last line has come.
#[derive(Debug)]
struct Output<W> {
    to: W,
    line: Vec<u8>,
    written: usize,
    /// Lines that were cut and have been written to the end since, for the sake of others behind them. Of each sink that writes here it is one
    /// at most, whose batch comes again unless that sink is stopped.
    finished: Vec<Vec<u8>>,
}

impl<W: Write> Output<W> {
    /// Writes one line, its line break included.
    fn write(&mut self, line: Vec<u8>) -> io::Result<()> {
        if let Some(at) = self.finished.iter().position(|finished| *finished == line) {
            self.finished.swap_remove(at);
            return Ok(());
        }
        // The same batch comes again after an error, and goes on where its line was cut.
        if self.line != line {
            if self.written > 0 {
                let cut = self.line.clone();
                self.finish()?;
                self.finished.push(cut);
            }
            self.line = line;
        }
        self.finish()
    }

    fn finish(&mut self) -> io::Result<()> {
        while self.written < self.line.len() {
            match self.to.write(&self.line[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => self.written += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.to.flush()?;
        (self.line, self.written) = (Vec::new(), 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::tests::Spans;

    /// Takes `takes` bytes and fails once after each, until `fails` is used up.
    struct Failing {
        taken: Vec<u8>,
        takes: usize,
        room: usize,
        fails: usize,
    }

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 && self.fails > 0 {
                (self.room, self.fails) = (self.takes, self.fails - 1);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let len = if self.fails > 0 { bytes.len().min(self.room) } else { bytes.len() };
            self.room -= len.min(self.room);
            self.taken.extend(&bytes[..len]);
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn failing(takes: usize, fails: usize) -> Output<Failing> {
        let to = Failing { taken: Vec::new(), takes, room: takes, fails };
        Output { to, line: Vec::new(), written: 0, finished: Vec::new() }
    }

    #[test]
    fn a_line_that_is_cut_anywhere_any_number_of_times_arrives_whole_and_once() {
        for takes in 0..8 {
            for fails in 0..8 {
                let mut output = failing(takes, fails);
                for line in ["first\n", "second\n"] {
                    while output.write(line.into()).is_err() {}
                }
                assert_eq!(output.to.taken, b"first\nsecond\n", "{takes} bytes at once, {fails} failures");
            }
        }
    }

    #[test]
    fn another_line_after_one_that_was_cut_does_not_run_into_it() {
        for takes in 0..=6 {
            let mut output = failing(takes, 1);
            let first = output.write(b"first\n".into());
            assert_eq!(first.is_err(), takes < 6);
            output.write(b"second\n".into()).ok().or_else(|| output.write(b"second\n".into()).ok()).unwrap();
            let expected: &[u8] = if takes == 0 { b"second\n" } else { b"first\nsecond\n" };
            assert_eq!(output.to.taken, expected, "cut after {takes}");
        }
    }

    #[test]
    fn lines_of_two_sinks_that_are_cut_anywhere_arrive_whole_and_once() {
        for takes in 0..8 {
            for fails in 0..8 {
                let mut output = failing(takes, fails);
                let mut waiting: Vec<&[u8]> = vec![b"first\n", b"second\n"];
                // Each comes again until it is taken, in turns with the other.
                while !waiting.is_empty() {
                    waiting.retain(|line| output.write(line.to_vec()).is_err());
                }
                let mut lines: Vec<_> = output.to.taken.split_inclusive(|&byte| byte == b'\n').collect();
                lines.sort_unstable();
                assert_eq!(lines, [b"first\n" as &[u8], b"second\n"], "{takes} at once, {fails} failures");
                assert!(output.finished.is_empty());
            }
        }
    }

    #[test]
    fn a_file_that_ends_within_a_line_is_gone_on_with_on_the_next() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (before, lines) in [("", 1), ("a line\n", 2), ("{\"resourceSp", 2), ("a line\n{\"resourceSp", 3)]
        {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("lines");
            std::fs::write(&path, before).unwrap();
            let mut sink = StdoutSink::to(File::options().append(true).open(&path).unwrap());
            assert_eq!(runtime.block_on(sink.deliver(&Spans::new(3).batch())), Outcome::DELIVERED);
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), lines, "{text}");
            let last = text.strip_prefix(before).unwrap().trim_start_matches('\n');
            assert_eq!(last.as_bytes(), Spans::new(3).batch().json_line(Names::default()));
        }
    }

    #[test]
    fn a_batch_is_a_line_and_nobody_reading_keeps_the_rest() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let mut sink = StdoutSink::to(File::from(std::os::fd::OwnedFd::from(writer)));
        let spans = Spans::new(3);
        assert_eq!(runtime.block_on(sink.deliver(&spans.batch())), Outcome::DELIVERED);
        let mut line = String::new();
        io::BufRead::read_line(&mut io::BufReader::new(reader), &mut line).unwrap();
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().len(), 3);

        let outcome = runtime.block_on(sink.deliver(&spans.batch()));
        assert_eq!(outcome, Outcome::Parked { reason: "nobody reads standard output any more".into() });
    }
}
