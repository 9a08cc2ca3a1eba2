//! Who, on whose behalf, and what other systems call it.

use super::fields;

/// OpenTelemetry's kind of a span: which side of which sort of call it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SpanKind {
    /// Work within the program.
    Internal,
    /// The serving side of a call.
    Server,
    /// The calling side of a call.
    Client,
    /// The sending side of a message.
    Producer,
    /// The receiving side of a message.
    Consumer,
}

impl SpanKind {
    /// All of them.
    pub const ALL: [SpanKind; 5] =
        [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];

    /// The kind with this name; `None` for a name that is none.
    pub fn from_name(name: &str) -> Option<SpanKind> {
        SpanKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The name in lower case: `client`.
    pub const fn name(self) -> &'static str {
        match self {
            SpanKind::Internal => "internal",
            SpanKind::Server => "server",
            SpanKind::Client => "client",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
        }
    }
}

fields! {
    "Who, on whose behalf, and what other systems call it." : {
        /// The free name of what kind of work this is, beside the kind: `agent:llm_call`, `langchain:tool:search`.
        type_name: &str => TYPE;
        /// The session of a user.
        session: &str => SESSION_ID;
        /// The conversation or thread.
        conversation: &str => CONVERSATION_ID;
        /// The user on whose behalf.
        user: &str => USER_ID;
        /// The organization on whose behalf.
        organization: &str => ORGANIZATION_ID;
        /// The team on whose behalf.
        team: &str => TEAM_ID;
        /// Who acts.
        actor: &str => ACTOR_ID;
        /// What links several traces, such as the thread of a chat.
        group: &str => GROUP_ID;
        /// The workflow that the trace is a run of.
        workflow: &str => WORKFLOW_NAME;
        /// The identity of an agent's run.
        run_id: &str => RUN_ID;
        /// The span's identity in another system, kept verbatim.
        foreign_span_id: &str => FOREIGN_SPAN_ID;
        /// The trace's identity in another system, kept verbatim.
        foreign_trace_id: &str => FOREIGN_TRACE_ID;
        /// The parent's identity in another system, kept verbatim.
        foreign_parent_id: &str => FOREIGN_PARENT_ID;
        /// The status in another system, kept verbatim, where it says more than ours: `max_steps_exceeded`.
        foreign_status: &str => FOREIGN_STATUS;
        /// OpenTelemetry's kind of the span, where it does not follow from what the span stands for.
        span_kind(kind: SpanKind) |span| {
            span.set(crate::names::SPAN_KIND, kind.name());
        }
        /// W3C trace state.
        trace_state: &str => TRACE_STATE;
        /// W3C trace flags in the lowest byte, with OpenTelemetry's bits above.
        trace_flags: u32 => TRACE_FLAGS;
        /// The `traceparent` that a request came with, verbatim.
        incoming_traceparent: &str => INCOMING_TRACEPARENT;
        /// The name and version of the library that records the span, OpenTelemetry's instrumentation scope.
        scope(name: &str, version: &str) |span| {
            span.set(crate::names::SCOPE_NAME, name).set(crate::names::SCOPE_VERSION, version);
        }
    }
}
