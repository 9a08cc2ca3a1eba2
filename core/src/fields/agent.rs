//! Agents, their steps, and what is needed to run them again.

use serde::Serialize;

use super::fields;
use super::payload::Entry;
use crate::{DecisionPoint, ReasoningStep, ReplaySlot, names};

/// How good the work was, in one respect.
#[derive(Serialize)]
struct Quality<'a, T: ?Sized> {
    name: &'a str,
    payload: &'a T,
}

fields! {
    "Agents." : {
        /// The agent's name.
        agent_name: &str => AGENT_NAME;
        /// The agent's identity.
        agent_id: &str => AGENT_ID;
        /// What the agent does.
        agent_description: &str => AGENT_DESCRIPTION;
        /// The agent's version.
        agent_version: &str => AGENT_VERSION;
        /// How the agent is configured. Given several times, maps are merged.
        agent_config: value => AGENT_CONFIG;
        /// How often the agent went round.
        iterations: u64 => AGENT_ITERATIONS;
        /// The agents that it can hand over to: a list of names.
        handoffs: value => AGENT_HANDOFFS;
        /// Its tools: a list of names.
        tools: value => AGENT_TOOLS;
        /// The type of its result, as its program calls it.
        output_type: &str => AGENT_OUTPUT_TYPE;
        /// Why its run ended.
        termination_reason: &str => TERMINATION_REASON;
        /// What another system says the run came to: steps, calls, tokens, cost. Roll-ups do not count it. Given several times, maps are
        /// merged.
        run_totals: value => RUN_TOTALS;
        /// How good the work was, in the respect of this name. Each call adds one; a null takes an earlier one back.
        quality<T>(name: &str, payload: &T) |span| {
            span.set_value(names::QUALITY, &Quality { name, payload });
        }
    }
    "Steps, guardrails and handoffs." : {
        /// The number of the step or turn.
        step_index: u64 => STEP_INDEX;
        /// The name of the step.
        step_name: &str => STEP_NAME;
        /// A step of reasoning that has no span of its own. Each call adds one.
        reasoning_step(step: &ReasoningStep<'_>) |span| {
            span.set_value(names::REASONING_STEPS, step);
        }
        /// A decision that has no span of its own. Each call adds one.
        decision_point(decision: &DecisionPoint<'_>) |span| {
            span.set_value(names::DECISIONS, decision);
        }
        /// The guardrail's name.
        guardrail_name: &str => GUARDRAIL_NAME;
        /// Whether the guardrail was triggered.
        triggered: bool => GUARDRAIL_TRIGGERED;
        /// The agent that hands over.
        handoff_from: &str => HANDOFF_FROM;
        /// The agent that takes over.
        handoff_to: &str => HANDOFF_TO;
    }
    "What is needed to run a span again." : {
        /// One thing of it. Given several times, the last counts.
        replay<T>(slot: ReplaySlot, value: &T) |span| {
            span.set_value(names::REPLAY, &Entry(slot.name(), value));
        }
    }
}
