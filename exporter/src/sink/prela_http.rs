//! Prela's server, which takes a trace in one request.
//!
//! A trace is read twice: for what its document says of the whole, and to write its spans. The document is held in memory up to 4 MiB, and in
//! a file without a name, in the directory for temporary files, beyond: a trace may be as large as it likes.

use std::io::{self, Seek as _, SeekFrom, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Body, Url};
use spanring_spool::{Resource, SpanData};
use tempfile::{SpooledData, SpooledTempFile, spooled_tempfile};
use tokio::task::yield_now;

use super::http::{Caller, Limits, Transport};
use super::{Batch, Delivery, Needs, Outcome, Prela, PrelaOptions, Request, Sink, Trace, TraceSpans};
use crate::Error;
use crate::error::with_causes;
use crate::prela::TraceSummary;

/// How many bytes of a document are held in memory.
const MEMORY_MAX: usize = 4 << 20;
/// A request has a second more for each so many bytes.
const BYTES_A_SECOND: u64 = 1 << 20;

/// Prela, handed a trace at a time.
#[derive(Debug)]
pub struct PrelaSink {
    name: String,
    prela: Prela,
    caller: Caller,
}

/// The document of a trace, as it is sent.
struct Document {
    body: Body,
    len: u64,
}

impl PrelaSink {
    /// A sink that is called `name`, and sends traces to this endpoint.
    ///
    /// # Errors
    ///
    /// [`Error::Sink`] where TLS cannot be set up.
    pub fn open(name: String, endpoint: &Url, options: &PrelaOptions) -> Result<Self, Error> {
        let caller = Caller::new(&name, endpoint, &Transport::default())?;
        Ok(PrelaSink { name, prela: Prela::new(endpoint, options), caller })
    }

    async fn send(&self, resource: &Resource, spans: &mut dyn TraceSpans) -> Outcome {
        let document = match self.document(resource, spans).await {
            Ok(Some(document)) => document,
            Ok(None) => return Outcome::DELIVERED,
            Err(error) => {
                let reason = format!("the document of a trace cannot be written: {}", with_causes(&error));
                return Outcome::Retry { after: None, reason };
            }
        };
        let Document { body, len } = document;
        let Request { method, url, headers, .. } = self.prela.request(Vec::new());
        let mut headers: HeaderMap = headers.into_iter().collect();
        headers.insert(CONTENT_LENGTH, len.into());
        if self.prela.is_compressed() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let limit = Limits::default().request + Duration::from_secs(len / BYTES_A_SECOND);
        match self.caller.ask(method, url, headers, body, limit).await {
            Ok(response) => self.prela.outcome(&response),
            Err(outcome) => outcome,
        }
    }

    /// The document of these spans; `None` where there are none.
    async fn document(
        &self,
        resource: &Resource,
        spans: &mut dyn TraceSpans,
    ) -> io::Result<Option<Document>> {
        let mut summary: Option<TraceSummary> = None;
        spans.rewind();
        while let Some(chunk) = spans.next()? {
            for span in chunk.iter().map(|span| self.prela.span(span, resource)) {
                match &mut summary {
                    Some(summary) => summary.add(&span),
                    None => summary = Some(TraceSummary::new(&span)),
                }
            }
            // Other sinks, and whoever asks for a stop, have their turn while a large trace is read.
            yield_now().await;
        }
        let Some(summary) = summary else { return Ok(None) };
        let file = spooled_tempfile(MEMORY_MAX);
        let file = match self.prela.is_compressed() {
            true => {
                let gzip = GzEncoder::new(file, Compression::fast());
                self.write(&summary, resource, spans, gzip).await?.finish()?
            }
            false => self.write(&summary, resource, spans, file).await?,
        };
        Document::of(file).map(Some)
    }

    async fn write<W: Write>(
        &self,
        summary: &TraceSummary,
        resource: &Resource,
        spans: &mut dyn TraceSpans,
        to: W,
    ) -> io::Result<W> {
        let mut document = self.prela.head(summary, to)?;
        spans.rewind();
        while let Some(chunk) = spans.next()? {
            for span in chunk {
                document.span(&self.prela.span(span, resource))?;
            }
            yield_now().await;
        }
        document.end()
    }
}

impl Document {
    fn of(mut file: SpooledTempFile) -> io::Result<Self> {
        let len = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let body = match file.into_inner() {
            SpooledData::InMemory(bytes) => bytes.into_inner().into(),
            SpooledData::OnDisk(file) => tokio::fs::File::from_std(file).into(),
        };
        Ok(Document { body, len })
    }
}

impl Sink for PrelaSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn needs(&self) -> Needs {
        Needs::Traces
    }

    /// A span that was set aside with its trace goes as a trace by itself.
    fn deliver<'a>(&'a mut self, batch: &'a Batch<'a>) -> Delivery<'a> {
        Box::pin(async {
            let mut spans = Alone { spans: Some(batch.spans.as_slice()), all: batch.spans.as_slice() };
            self.send(batch.resource, &mut spans).await
        })
    }

    fn deliver_trace<'a>(&'a mut self, trace: &'a mut Trace<'_>) -> Delivery<'a> {
        Box::pin(async { self.send(trace.resource, trace.spans).await })
    }
}

/// Spans that are in memory.
struct Alone<'a> {
    spans: Option<&'a [SpanData]>,
    all: &'a [SpanData],
}

impl TraceSpans for Alone<'_> {
    fn rewind(&mut self) {
        self.spans = Some(self.all);
    }

    fn next(&mut self) -> io::Result<Option<&[SpanData]>> {
        Ok(self.spans.take())
    }
}
