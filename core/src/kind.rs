//! What a span stands for, and how it ended.

/// What a span stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// Anything that has no kind of its own below.
    #[default]
    Custom = 0,
    /// An agent's run, or the run of an agent within another's.
    Agent = 1,
    /// A call of a language model.
    Llm = 2,
    /// A call of a tool or function.
    Tool = 3,
    /// A look-up of documents.
    Retrieval = 4,
    /// A computation of embeddings.
    Embedding = 5,
    /// A step that links others: a chain, a graph node, a workflow.
    Chain = 6,
}

impl Kind {
    /// Every kind, in the order of its number.
    pub const ALL: [Kind; 7] =
        [Kind::Custom, Kind::Agent, Kind::Llm, Kind::Tool, Kind::Retrieval, Kind::Embedding, Kind::Chain];

    /// The lower-case name: `llm`, `tool`.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Custom => "custom",
            Kind::Agent => "agent",
            Kind::Llm => "llm",
            Kind::Tool => "tool",
            Kind::Retrieval => "retrieval",
            Kind::Embedding => "embedding",
            Kind::Chain => "chain",
        }
    }

    /// The kind with this number in a record or block. A number from a later version is [`Kind::Custom`].
    pub fn from_number(number: u8) -> Kind {
        Kind::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }
}

/// How a span ended, or stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum Status {
    /// Nobody said.
    #[default]
    Unset = 0,
    /// The work succeeded.
    Ok = 1,
    /// The work failed.
    Error = 2,
}

impl Status {
    /// The status with this number in a record or block. An unknown number is [`Status::Unset`].
    pub fn from_number(number: u8) -> Status {
        match number {
            1 => Status::Ok,
            2 => Status::Error,
            _ => Status::Unset,
        }
    }
}
