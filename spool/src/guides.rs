//! The front page, and the pages for users of other systems: their examples are compiled, and run, as tests.

#[doc = include_str!("../../README.md")]
struct FrontPage;

#[doc = include_str!("../../docs/instrumenting.md")]
struct Instrumenting;

#[doc = include_str!("../../docs/from/prefactor.md")]
struct Prefactor;

#[doc = include_str!("../../docs/from/prefactor_langchain.md")]
struct PrefactorLangchain;

#[doc = include_str!("../../docs/from/openai_agents.md")]
struct OpenAiAgents;

#[doc = include_str!("../../docs/from/prela.md")]
struct Prela;

#[doc = include_str!("../../docs/from/spanforge.md")]
struct SpanForge;

#[doc = include_str!("../../docs/from/opentelemetry.md")]
struct OpenTelemetry;
