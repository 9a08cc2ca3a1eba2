//! The pages on where spans can be delivered to: their examples are compiled, and run, as tests.

#[doc = include_str!("../../docs/to/openai_agents.md")]
struct OpenAiAgents;

#[doc = include_str!("../../docs/to/prefactor_langchain.md")]
struct PrefactorLangchain;
