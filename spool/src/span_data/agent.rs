//! What an agent is, and the steps of its run.

use spanring::{ReplaySlot, names};

use crate::{SpanData, Value};

impl SpanData {
    /// The agent's name.
    pub fn agent_name(&self) -> Option<&str> {
        self.text(names::AGENT_NAME)
    }

    /// The agent's identity.
    pub fn agent_id(&self) -> Option<&str> {
        self.text(names::AGENT_ID)
    }

    /// How often the agent went round.
    pub fn iterations(&self) -> Option<u64> {
        self.unsigned(names::AGENT_ITERATIONS)
    }

    /// What another system says that its run came to.
    pub fn run_totals(&self) -> Option<&Value> {
        self.get(names::RUN_TOTALS)
    }

    /// Why its run ended.
    pub fn termination_reason(&self) -> Option<&str> {
        self.text(names::TERMINATION_REASON)
    }

    /// The number of a step or turn.
    pub fn step_index(&self) -> Option<u64> {
        self.unsigned(names::STEP_INDEX)
    }

    /// The name of a step.
    pub fn step_name(&self) -> Option<&str> {
        self.text(names::STEP_NAME)
    }

    /// Steps of reasoning that have no span of their own: maps with the keys of [`spanring::ReasoningStep`].
    pub fn reasoning_steps(&self) -> &[Value] {
        self.list(names::REASONING_STEPS)
    }

    /// Decisions that have no span of their own: maps with the keys of [`spanring::DecisionPoint`].
    pub fn decision_points(&self) -> &[Value] {
        self.list(names::DECISIONS)
    }

    /// How good the work was: maps of `name` and `payload`.
    pub fn quality(&self) -> &[Value] {
        self.list(names::QUALITY)
    }

    /// The guardrail's name.
    pub fn guardrail_name(&self) -> Option<&str> {
        self.text(names::GUARDRAIL_NAME)
    }

    /// Whether the guardrail was triggered.
    pub fn triggered(&self) -> Option<bool> {
        self.boolean(names::GUARDRAIL_TRIGGERED)
    }

    /// The agent that handed over.
    pub fn handoff_from(&self) -> Option<&str> {
        self.text(names::HANDOFF_FROM)
    }

    /// The agent that took over.
    pub fn handoff_to(&self) -> Option<&str> {
        self.text(names::HANDOFF_TO)
    }

    /// What is needed to run the span again, in one slot.
    pub fn replay(&self, slot: ReplaySlot) -> Option<&Value> {
        self.get(names::REPLAY)?.get(slot.name())
    }
}
