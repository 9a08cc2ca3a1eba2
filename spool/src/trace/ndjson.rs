//! Traces in files: lines of JSON, a span each.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::{Path, PathBuf};

use spanring::{SpanId, TraceId};

use super::Trace;
use super::json::{Json, OTLP, is_too_deep, read_span};
use super::replace::replace;
use crate::SpanData;

/// No line is longer, in bytes. The largest span that can be recorded takes less, unless it consists of control characters.
const LINE_LEN_MAX: usize = 256 << 20;

/// Why a trace could not be saved or loaded. Its text never shows what was recorded. The error of the operating system, where there
/// is one, is its [`source`](std::error::Error::source).
#[derive(Debug)]
#[non_exhaustive]
pub enum TraceError {
    /// The operating system refused an operation.
    Io {
        /// What was to be done, as it follows "cannot".
        action: &'static str,
        /// The file; `None` for a reader or writer that was given.
        path: Option<PathBuf>,
        /// Why not.
        source: io::Error,
    },
    /// A line is no span.
    Line {
        /// The file; `None` for a reader that was given.
        path: Option<PathBuf>,
        /// Which line, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no span.
    NoTrace {
        /// The file; `None` for a reader that was given.
        path: Option<PathBuf>,
    },
    /// There are spans of more than one trace.
    SeveralTraces {
        /// The file; `None` for a reader that was given.
        path: Option<PathBuf>,
        /// One trace.
        one: TraceId,
        /// Another.
        other: TraceId,
    },
    /// A span cannot be saved so that it could be loaded.
    Unsavable {
        /// The span.
        span_id: SpanId,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Trace {
    /// Saves the trace as lines of JSON, a span each, from which [`load`](Self::load) makes the same trace, but for unsigned integers:
    /// they become signed ones where they fit, as JSON does not tell them apart. A file that is there is replaced by a new one when that is whole and on the disk: until then, and where saving fails, it stays as it was. What is
    /// there and no regular file, a pipe for example, is written in place. Others than this user may not read the new file: spans hold
    /// what people said.
    ///
    /// The form of a line is told at the head of `spool/src/trace/json.rs`, and shown by an example:
    ///
    /// ```json
    /// {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "name": "chat gpt-4o", "kind": "llm",
    ///  "start_unix_ns": "1795158297918436314", "end_unix_ns": "1795158297919566961", "attributes": {"gen_ai.usage.input_tokens": 12}}
    /// ```
    ///
    /// # Errors
    ///
    /// [`TraceError::Io`], [`TraceError::Unsavable`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), TraceError> {
        Trace::save_all([self], path)
    }

    /// Saves several traces in one file, as [`save`](Self::save) does one.
    ///
    /// # Errors
    ///
    /// As for [`save`](Self::save).
    pub fn save_all<'a>(
        traces: impl IntoIterator<Item = &'a Trace>,
        path: impl AsRef<Path>,
    ) -> Result<(), TraceError> {
        let path = path.as_ref();
        replace(path, |to| {
            let mut traces = traces.into_iter();
            traces.try_for_each(|trace| trace.to_ndjson(&mut *to)).map_err(|error| error.in_file(path))
        })
    }

    /// Writes the lines that [`save`](Self::save) saves.
    ///
    /// # Errors
    ///
    /// As for [`save`](Self::save).
    pub fn to_ndjson(&self, mut to: impl Write) -> Result<(), TraceError> {
        self.spans().iter().try_for_each(|span| write_line(&mut to, span, LINE_LEN_MAX))
    }

    /// Loads the trace that a file holds.
    ///
    /// # Errors
    ///
    /// [`TraceError::Io`]; [`TraceError::Line`] for the first line that is no span; [`TraceError::NoTrace`],
    /// [`TraceError::SeveralTraces`].
    pub fn load(path: impl AsRef<Path>) -> Result<Trace, TraceError> {
        let path = path.as_ref();
        open(path).and_then(|file| Trace::from_ndjson(file).map_err(|error| error.in_file(path)))
    }

    /// Loads all traces that a file holds, in the order in which they started.
    ///
    /// # Errors
    ///
    /// [`TraceError::Io`]; [`TraceError::Line`] for the first line that is no span.
    pub fn load_all(path: impl AsRef<Path>) -> Result<Vec<Trace>, TraceError> {
        let path = path.as_ref();
        open(path).and_then(|file| Trace::all_from_ndjson(file).map_err(|error| error.in_file(path)))
    }

    /// Reads the one trace that there is, as [`load`](Self::load) does.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn from_ndjson(from: impl BufRead) -> Result<Trace, TraceError> {
        let mut traces = Trace::all_from_ndjson(from)?.into_iter();
        match (traces.next(), traces.next()) {
            (None, _) => Err(TraceError::NoTrace { path: None }),
            (Some(trace), None) => Ok(trace),
            (Some(one), Some(other)) => {
                Err(TraceError::SeveralTraces { path: None, one: one.trace_id(), other: other.trace_id() })
            }
        }
    }

    /// Reads all traces that there are, as [`load_all`](Self::load_all) does. Empty lines are passed over.
    ///
    /// # Errors
    ///
    /// As for [`load_all`](Self::load_all).
    pub fn all_from_ndjson(from: impl BufRead) -> Result<Vec<Trace>, TraceError> {
        Ok(Trace::collect(read_lines(from, LINE_LEN_MAX)?))
    }
}

fn open(path: &Path) -> Result<BufReader<File>, TraceError> {
    let failed = |source| TraceError::Io { action: "open", path: Some(path.to_owned()), source };
    File::open(path).map(BufReader::new).map_err(failed)
}

fn write_line(mut to: impl Write, span: &SpanData, len_max: usize) -> Result<(), TraceError> {
    let unsavable = |reason| TraceError::Unsavable { span_id: span.span_id, reason };
    if is_too_deep(span) {
        return Err(unsavable("a value is nested too deep"));
    }
    let mut line = serde_json::to_vec(&Json(span)).map_err(|_| unsavable("it has no form in JSON"))?;
    if line.len() > len_max {
        return Err(unsavable("it is too large for a line"));
    }
    line.push(b'\n');
    to.write_all(&line).map_err(|source| TraceError::Io { action: "write", path: None, source })
}

fn read_lines(mut from: impl BufRead, len_max: usize) -> Result<Vec<SpanData>, TraceError> {
    let mut spans = Vec::new();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        // One more than the limit, and the line break.
        from.by_ref()
            .take(len_max as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|source| TraceError::Io { action: "read", path: None, source })?;
        let wrong = |reason| TraceError::Line { path: None, line: number, reason };
        if line.is_empty() {
            break;
        }
        if line.len() > len_max && !line.ends_with(b"\n") {
            return Err(wrong(format!("it is longer than {len_max} bytes")));
        }
        if !line.trim_ascii().is_empty() {
            let span = read_span(&line);
            spans.push(span.map_err(|reason| wrong(spread(&line, &mut from).unwrap_or(reason)))?);
        }
    }
    Ok(spans)
}

/// What is wrong where the line only starts a JSON value that goes on behind it: which value that may be.
fn spread(line: &[u8], from: &mut impl BufRead) -> Option<String> {
    if !matches!(line.trim_ascii(), b"{" | b"[" | b"[{") {
        return None;
    }
    // The reader's error is not the first.
    let behind = from.fill_buf().unwrap_or_default().trim_ascii_start();
    let is_otlp = behind.starts_with(b"\"resourceSpans\"");
    let over_lines = "it starts JSON that goes over several lines, and each span has a line of its own here";
    Some(if is_otlp { OTLP } else { over_lines }.to_owned())
}

impl TraceError {
    /// The same, and in which file that is.
    fn in_file(mut self, file: &Path) -> Self {
        match &mut self {
            TraceError::Io { path, .. }
            | TraceError::Line { path, .. }
            | TraceError::NoTrace { path }
            | TraceError::SeveralTraces { path, .. } => *path = Some(file.to_owned()),
            TraceError::Unsavable { .. } => {}
        }
        self
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TraceError::Io { action, path, source } => write!(f, "cannot {action} {}: {source}", Place(path)),
            TraceError::Line { path, line, reason } => write!(f, "{}, line {line}: {reason}", Place(path)),
            TraceError::NoTrace { path } => write!(f, "{} holds no span", Place(path)),
            TraceError::SeveralTraces { path, one, other } => {
                write!(f, "{} holds several traces, {one} and {other} among them", Place(path))
            }
            TraceError::Unsavable { span_id, reason } => write!(f, "cannot save span {span_id}: {reason}"),
        }
    }
}

impl std::error::Error for TraceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TraceError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A file, or what else there is.
struct Place<'a>(&'a Option<PathBuf>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(path) => write!(f, "{}", path.display()),
            None => f.write_str("the stream"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::tests::{Made, TRACE, arbitrary, trace};
    use super::*;

    proptest::proptest! {
        #[test]
        fn traces_are_loaded_as_they_were_saved(spans in proptest::collection::vec(arbitrary::span(), 1..5)) {
            let traces = Trace::collect(spans);
            let mut lines = Vec::new();
            traces.iter().for_each(|trace| trace.to_ndjson(&mut lines).unwrap());
            let loaded = Trace::all_from_ndjson(lines.as_slice()).unwrap();
            // NaN is equal to nothing, but looks alike.
            proptest::prop_assert_eq!(format!("{loaded:?}"), format!("{traces:?}"));
        }
    }

    fn ids(traces: &[Trace]) -> Vec<TraceId> {
        traces.iter().map(Trace::trace_id).collect()
    }

    #[test]
    fn a_file_holds_one_trace_or_several() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.ndjson");
        let one = trace(vec![Made::new(1).span(), Made::new(2).under(1).span()]);
        let mut span = Made::new(3).span();
        span.trace_id = TraceId::from_bytes([7; 16]);
        let other = trace(vec![span]);

        Trace::save_all([&one, &other], &path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ids(&Trace::load_all(&path).unwrap()), [TRACE, other.trace_id()]);
        let error = Trace::load(&path).unwrap_err().to_string();
        let expected =
            format!("{} holds several traces, {TRACE} and {} among them", path.display(), other.trace_id());
        assert_eq!(error, expected);

        one.save(&path).unwrap();
        assert_eq!(Trace::load(&path).unwrap(), one);
        std::fs::write(&path, "\n  \n").unwrap();
        assert_eq!(Trace::load(&path).unwrap_err().to_string(), format!("{} holds no span", path.display()));
        assert_eq!(Trace::load_all(&path).unwrap(), []);
    }

    #[test]
    fn an_error_names_file_line_and_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.ndjson");
        let mut lines = Vec::new();
        trace(vec![Made::new(1).span()]).to_ndjson(&mut lines).unwrap();
        lines.extend_from_slice(b"\r\n{\"trace_id\":\"\xff\"}\n");
        std::fs::write(&path, &lines).unwrap();
        let expected = format!("{}, line 3: column 14: invalid unicode code point", path.display());
        assert_eq!(Trace::load(&path).unwrap_err().to_string(), expected);
        assert!(Trace::from_ndjson(&lines[..]).unwrap_err().to_string().starts_with("the stream, line 3: "));

        let error = Trace::load(dir.path().join("none")).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot open {}/none: ", dir.path().display())));
        assert!(error.source().is_some());
        let error = trace(vec![Made::new(1).span()]).save(dir.path()).unwrap_err();
        assert!(error.to_string().starts_with("cannot create "), "{error}");
        assert!(matches!(Trace::load(dir.path()), Err(TraceError::Io { action: "read", path: Some(_), .. })));
    }

    #[test]
    fn another_form_of_json_is_named() {
        let told = |text: &str| Trace::from_ndjson(text.as_bytes()).unwrap_err().to_string();
        let one = trace(vec![Made::new(1).span()]);
        let json = told(&one.to_json().to_string());
        assert!(json.contains("line 1: it is a whole trace, as `--json` prints it"), "{json}");
        let summary = told(&serde_json::to_string(&one.summary()).unwrap());
        assert!(summary.contains("line 1: it is a summary, as `--json --summary` prints it"), "{summary}");
        for otlp in [r#"{"resourceSpans":[]}"#, "{\n  \"resourceSpans\": []\n}\n"] {
            assert!(told(otlp).contains("line 1: it is OTLP/JSON"), "{}", told(otlp));
        }
        for text in ["{\n\"trace_id\": 3", "\n[", "[{\n\"name\":"] {
            assert!(told(text).contains("it starts JSON that goes over several lines"), "{}", told(text));
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_neither_written_nor_read() {
        let span = Made::new(1).span();
        let mut line = Vec::new();
        write_line(&mut line, &span, LINE_LEN_MAX).unwrap();
        let len = line.len() - 1;
        let twice = line.repeat(2);
        assert_eq!(read_lines(&twice[..], len).unwrap().len(), 2);
        assert_eq!(read_lines(line.trim_ascii(), len).unwrap().len(), 1);
        let error = read_lines(&twice[..], len - 1).unwrap_err();
        assert_eq!(error.to_string(), format!("the stream, line 1: it is longer than {} bytes", len - 1));
        assert!(write_line(io::sink(), &span, len).is_ok());
        let error = write_line(io::sink(), &span, len - 1).unwrap_err();
        assert_eq!(error.to_string(), "cannot save span 0100000000000000: it is too large for a line");
    }

    #[test]
    fn a_value_that_is_nested_too_deep_is_not_saved() {
        let deep = (0..200).fold(crate::Value::Null, |value, _| crate::Value::List(vec![value]));
        let error = trace(vec![Made::new(1).with("deep", deep).span()]).to_ndjson(io::sink()).unwrap_err();
        assert_eq!(error.to_string(), "cannot save span 0100000000000000: a value is nested too deep");
    }
}
