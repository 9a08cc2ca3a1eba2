//! Which tool was called, with what, and what came back.

use spanring::names;

use crate::{SpanData, Value};

impl SpanData {
    /// The tool's name.
    pub fn tool_name(&self) -> Option<&str> {
        self.text(names::TOOL_NAME)
    }

    /// The model's identity of the call.
    pub fn call_id(&self) -> Option<&str> {
        self.text(names::TOOL_CALL_ID)
    }

    /// The arguments.
    pub fn arguments(&self) -> Option<&Value> {
        self.get(names::TOOL_CALL_ARGUMENTS)
    }

    /// The result.
    pub fn result(&self) -> Option<&Value> {
        self.get(names::TOOL_CALL_RESULT)
    }

    /// The MCP server.
    pub fn mcp_server(&self) -> Option<&str> {
        self.text(names::MCP_SERVER)
    }

    /// Calls of tools that have no span of their own: maps with the keys of [`spanring::ToolCall`].
    pub fn tool_calls(&self) -> &[Value] {
        self.list(names::TOOL_CALLS)
    }
}
