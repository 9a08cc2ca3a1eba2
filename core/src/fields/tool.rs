//! Tools, retrieval and embeddings.

use std::time::Duration;

use super::fields;
use crate::{ToolCall, names};

fields! {
    "Tools." : {
        /// The tool's name.
        tool_name: &str => TOOL_NAME;
        /// What the tool does.
        tool_description: &str => TOOL_DESCRIPTION;
        /// The sort of tool: `function`, `extension`, `datastore`, `retriever`.
        tool_type: &str => TOOL_TYPE;
        /// The schema of its arguments.
        tool_schema: value => TOOL_SCHEMA;
        /// The model's identity of this call.
        call_id: &str => TOOL_CALL_ID;
        /// The arguments of the call.
        arguments: value => TOOL_CALL_ARGUMENTS;
        /// The result of the call.
        result: value => TOOL_CALL_RESULT;
        /// How often the call was tried again.
        retries: u64 => TOOL_RETRIES;
        /// How long the tool itself took.
        execution_time(time: Duration) |span| {
            span.set(names::TOOL_EXECUTION_MS, time.as_secs_f64() * 1e3);
        }
        /// Whether the tool is somebody else's.
        external: bool => TOOL_EXTERNAL;
        /// The tools that a model may call, with their schemas.
        tool_definitions: value => TOOL_DEFINITIONS;
        /// A call of a tool that has no span of its own. Each call adds one.
        tool_call(call: &ToolCall<'_>) |span| {
            span.set_value(names::TOOL_CALLS, call);
        }
        /// The MCP server.
        mcp_server: &str => MCP_SERVER;
        /// What a call through MCP carried beside. Given several times, maps are merged.
        mcp_data: value => MCP_DATA;
    }
    "Retrieval and embeddings." : {
        /// What is looked for.
        query: &str => RETRIEVAL_QUERY;
        /// Where it is looked for.
        data_source: &str => DATA_SOURCE_ID;
        /// What was found.
        documents: value => RETRIEVAL_DOCUMENTS;
        /// How well each document fits.
        scores: value => RETRIEVAL_SCORES;
        /// How many documents were found.
        document_count: u64 => RETRIEVAL_DOCUMENT_COUNT;
        /// What else is known about the retrieval. Given several times, maps are merged.
        retrieval_metadata: value => RETRIEVAL_METADATA;
        /// How many dimensions the embedding has.
        dimensions: u64 => EMBEDDING_DIMENSIONS;
    }
}
