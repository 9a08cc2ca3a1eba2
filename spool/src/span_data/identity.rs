//! Who a span belongs to, and what it is called elsewhere.

use spanring::names;

use crate::{LinkData, SpanData};

impl SpanData {
    /// The free name of what kind of work it is: `agent:llm_call`.
    pub fn type_name(&self) -> Option<&str> {
        self.text(names::TYPE)
    }

    /// The session of a user.
    pub fn session(&self) -> Option<&str> {
        self.text(names::SESSION_ID)
    }

    /// The conversation or thread.
    pub fn conversation(&self) -> Option<&str> {
        self.text(names::CONVERSATION_ID)
    }

    /// The user on whose behalf.
    pub fn user(&self) -> Option<&str> {
        self.text(names::USER_ID)
    }

    /// The organization on whose behalf.
    pub fn organization(&self) -> Option<&str> {
        self.text(names::ORGANIZATION_ID)
    }

    /// The team on whose behalf.
    pub fn team(&self) -> Option<&str> {
        self.text(names::TEAM_ID)
    }

    /// Who acts.
    pub fn actor(&self) -> Option<&str> {
        self.text(names::ACTOR_ID)
    }

    /// What links several traces.
    pub fn group(&self) -> Option<&str> {
        self.text(names::GROUP_ID)
    }

    /// The workflow that its trace is a run of.
    pub fn workflow(&self) -> Option<&str> {
        self.text(names::WORKFLOW_NAME)
    }

    /// The run of an agent.
    pub fn run_id(&self) -> Option<&str> {
        self.text(names::RUN_ID)
    }

    /// Its identity in another system, verbatim.
    pub fn foreign_span_id(&self) -> Option<&str> {
        self.text(names::FOREIGN_SPAN_ID)
    }

    /// Its trace's identity in another system, verbatim.
    pub fn foreign_trace_id(&self) -> Option<&str> {
        self.text(names::FOREIGN_TRACE_ID)
    }

    /// Its parent's identity in another system, verbatim.
    pub fn foreign_parent_id(&self) -> Option<&str> {
        self.text(names::FOREIGN_PARENT_ID)
    }

    /// Its status in another system, verbatim.
    pub fn foreign_status(&self) -> Option<&str> {
        self.text(names::FOREIGN_STATUS)
    }

    /// W3C trace state.
    pub fn trace_state(&self) -> Option<&str> {
        self.text(names::TRACE_STATE)
    }
}

impl LinkData {
    /// W3C trace state of the span that is linked to.
    pub fn trace_state(&self) -> Option<&str> {
        let (_, value) = self.attributes.iter().rev().find(|(key, _)| key == names::TRACE_STATE)?;
        value.as_str()
    }
}
