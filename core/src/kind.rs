//! What a span stands for, and how it stands with it.

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $number:literal $name:literal,)*) => {
        /// What a span stands for.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Kind {
            $($(#[$doc])* $kind = $number,)*
        }

        impl Kind {
            /// Every kind, in the order of its number.
            pub const ALL: &[Kind] = &[$(Kind::$kind),*];

            /// The name in lower case: `llm`, `mcp_tools`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// Anything that has no kind of its own below.
    #[default]
    Custom = 0 "custom",
    /// An agent's run, or the run of an agent within another's.
    Agent = 1 "agent",
    /// A call of a language model: a generation.
    Llm = 2 "llm",
    /// A call of a tool or function.
    Tool = 3 "tool",
    /// A look-up of documents.
    Retrieval = 4 "retrieval",
    /// A computation of embeddings.
    Embedding = 5 "embedding",
    /// A step that links others: a chain, a graph's node, a workflow's step.
    Chain = 6 "chain",
    /// A check of what goes in or comes out.
    Guardrail = 7 "guardrail",
    /// The handing over from one agent to another.
    Handoff = 8 "handoff",
    /// Reasoning apart from a call of a model.
    Reasoning = 9 "reasoning",
    /// A choice between options.
    Decision = 10 "decision",
    /// An answer that the provider keeps.
    Response = 11 "response",
    /// A listing of an MCP server's tools.
    McpTools = 12 "mcp_tools",
    /// Text to speech.
    Speech = 13 "speech",
    /// Speech to text.
    Transcription = 14 "transcription",
    /// Several pieces of speech that belong together.
    SpeechGroup = 15 "speech_group",
    /// A whole task given to agents.
    Task = 16 "task",
    /// One turn of an agent's loop.
    Turn = 17 "turn",
}

impl Kind {
    /// The kind with this number in a record or block. A number from a later version is [`Kind::Custom`].
    pub fn from_number(number: u8) -> Kind {
        Kind::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }

    /// The kind with this name; `None` for a name that is none.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.name() == name)
    }
}

/// How a span ended, or stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
#[repr(u8)]
pub enum Status {
    /// Nobody said. A span that ends so is complete.
    #[default]
    Unset = 0,
    /// The work succeeded.
    Ok = 1,
    /// The work failed.
    Error = 2,
    /// The work was given up, perhaps before it started.
    Cancelled = 3,
    /// The work took longer than its deadline allowed.
    TimedOut = 4,
}

impl Status {
    /// Every status, in the order of its number.
    pub const ALL: &[Status] =
        &[Status::Unset, Status::Ok, Status::Error, Status::Cancelled, Status::TimedOut];

    /// The name in lower case: `ok`, `timed_out`.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Unset => "unset",
            Status::Ok => "ok",
            Status::Error => "error",
            Status::Cancelled => "cancelled",
            Status::TimedOut => "timed_out",
        }
    }

    /// The status with this number in a record or block. An unknown number is [`Status::Unset`].
    pub fn from_number(number: u8) -> Status {
        Status::ALL.get(usize::from(number)).copied().unwrap_or_default()
    }

    /// The status with this name; `None` for a name that is none.
    pub fn from_name(name: &str) -> Option<Status> {
        Status::ALL.iter().copied().find(|status| status.name() == name)
    }
}

/// Where a span is in its life: pending, then active, then one of the others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Lifecycle {
    /// It has an identity and has not started.
    Pending,
    /// It is under way.
    Active,
    /// It ended, and nobody said that it failed.
    Complete,
    /// It ended as a failure, or its process died.
    Failed,
    /// It was given up.
    Cancelled,
    /// It took longer than its deadline allowed.
    TimedOut,
}

impl Lifecycle {
    /// The name in lower case: `active`, `timed_out`.
    pub const fn name(self) -> &'static str {
        match self {
            Lifecycle::Pending => "pending",
            Lifecycle::Active => "active",
            Lifecycle::Complete => "complete",
            Lifecycle::Failed => "failed",
            Lifecycle::Cancelled => "cancelled",
            Lifecycle::TimedOut => "timed_out",
        }
    }

    /// Whether the span has ended.
    pub const fn is_over(self) -> bool {
        !matches!(self, Lifecycle::Pending | Lifecycle::Active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_their_kind() {
        for (number, &kind) in Kind::ALL.iter().enumerate() {
            let number = u8::try_from(number).unwrap();
            assert_eq!((kind as u8, Kind::from_number(number)), (number, kind));
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
        assert_eq!((Kind::from_number(200), Kind::from_name("?")), (Kind::Custom, None));
        for (number, &status) in Status::ALL.iter().enumerate() {
            let number = u8::try_from(number).unwrap();
            assert_eq!((status as u8, Status::from_number(number)), (number, status));
            assert_eq!(Status::from_name(status.name()), Some(status));
        }
        assert_eq!((Status::from_number(9), Status::from_name("?")), (Status::Unset, None));
    }
}
