//! What was looked for, and what was found.

use spanring::names;

use crate::{SpanData, Value};

impl SpanData {
    /// What was looked for.
    pub fn query(&self) -> Option<&str> {
        self.text(names::RETRIEVAL_QUERY)
    }

    /// Where it was looked for.
    pub fn data_source(&self) -> Option<&str> {
        self.text(names::DATA_SOURCE_ID)
    }

    /// What was found.
    pub fn documents(&self) -> Option<&Value> {
        self.get(names::RETRIEVAL_DOCUMENTS)
    }

    /// How many documents were found: as was said, else as many as there are.
    pub fn document_count(&self) -> Option<u64> {
        let said = self.unsigned(names::RETRIEVAL_DOCUMENT_COUNT);
        said.or_else(|| Some(self.documents()?.as_list()?.len() as u64))
    }

    /// How well each document fits.
    pub fn scores(&self) -> Option<&Value> {
        self.get(names::RETRIEVAL_SCORES)
    }

    /// How many dimensions an embedding has.
    pub fn dimensions(&self) -> Option<u64> {
        self.unsigned(names::EMBEDDING_DIMENSIONS)
    }
}
