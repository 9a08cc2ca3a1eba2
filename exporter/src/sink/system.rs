//! Systems: sinks of one heed the same variables, and are sent the same secrets.
//!
//! | system | its variables | a sink is its own by name | what proves the exporter |
//! |---|---|---|---|
//! | OTLP | `OTEL_EXPORTER_OTLP_*` | `otlp` | headers, certificates |
//! | OpenAI | `OPENAI_*` | `openai` | a key |
//! | Prefactor | `PREFACTOR_*` | `prefactor` | a token |
//! | Prela | `PRELA_*` | `prela` | a key |
//! | SpanForge | `SPANFORGE_*` | `spanforge` | a key |

use std::fmt;

/// A system that spans are delivered to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum System {
    /// Receivers of OTLP.
    Otlp,
    /// OpenAI's traces.
    OpenAi,
    /// Prefactor.
    Prefactor,
    /// Prela.
    Prela,
    /// SpanForge.
    SpanForge,
}

impl System {
    pub(crate) const ALL: [System; 5] =
        [System::Otlp, System::OpenAi, System::Prefactor, System::Prela, System::SpanForge];

    /// The system of the sink with this address, by how that begins. A file of OTLP/JSON has none, and neither has standard output.
    pub fn of(sink: &str) -> Option<Self> {
        let begins = sink.split([':', '+', '-']).next();
        Self::ALL.into_iter().find(|system| begins == Some(system.name()))
    }

    /// The system whose own sink is called so: where it is and what it is sent, its variables say.
    pub fn named(sink: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.name() == sink)
    }

    /// What its own sink is called.
    pub fn name(self) -> &'static str {
        match self {
            System::Otlp => "otlp",
            System::OpenAi => "openai",
            System::Prefactor => "prefactor",
            System::Prela => "prela",
            System::SpanForge => "spanforge",
        }
    }

    /// What its variables begin with.
    pub fn variables(self) -> &'static str {
        match self {
            System::Otlp => "OTEL_EXPORTER_OTLP_*",
            System::OpenAi => "OPENAI_*",
            System::Prefactor => "PREFACTOR_*",
            System::Prela => "PRELA_*",
            System::SpanForge => "SPANFORGE_*",
        }
    }

    /// The variable with what the exporter proves itself by.
    pub fn credentials(self) -> &'static str {
        match self {
            System::Otlp => "OTEL_EXPORTER_OTLP_HEADERS",
            System::OpenAi => "OPENAI_API_KEY",
            System::Prefactor => "PREFACTOR_API_TOKEN",
            System::Prela => "PRELA_API_KEY",
            System::SpanForge => "SPANFORGE_CLOUD_API_KEY",
        }
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            System::Otlp => "OTLP",
            System::OpenAi => "OpenAI",
            System::Prefactor => "Prefactor",
            System::Prela => "Prela",
            System::SpanForge => "SpanForge",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::{SinkAddress, SinkOptions};

    #[test]
    fn the_text_of_an_address_tells_the_same_system_as_the_address() {
        for (text, system) in [
            ("file:/otlp", None),
            ("stdout", None),
            ("otlp", Some(System::Otlp)),
            ("otlp+http://h", Some(System::Otlp)),
            ("otlp+grpcs://h", Some(System::Otlp)),
            ("openai", Some(System::OpenAi)),
            ("openai+http://h", Some(System::OpenAi)),
            ("prela-file:/d", Some(System::Prela)),
            ("spanforge", Some(System::SpanForge)),
            ("spanforge+https://h", Some(System::SpanForge)),
            ("spanforge-webhook+https://h", Some(System::SpanForge)),
            ("spanforge-file:/d", Some(System::SpanForge)),
        ] {
            let address = SinkAddress::parse(text, &SinkOptions::default()).unwrap();
            assert_eq!((System::of(text), address.system()), (system, system), "{text}");
            assert_eq!(System::of(&address.to_string()), system, "{address}");
        }
        for other in ["", "otlpx://h", "otlps", ":otlp", "OTLP", "file:otlp+x"] {
            assert_eq!(System::of(other), None, "{other}");
        }
    }

    #[test]
    fn the_names_of_systems_are_addresses_and_no_others_are_their_own() {
        for system in System::ALL {
            let name = system.name();
            assert_eq!(System::named(name), Some(system));
            match SinkAddress::parse(name, &SinkOptions::default()) {
                Ok(address) => {
                    assert!(address.system() == Some(system) && address.is_sent_secrets(), "{name}");
                }
                // There is no server of Prela's that all use.
                Err(error) => assert!(error.to_string().contains("PRELA_HTTP_ENDPOINT"), "{error}"),
            }
        }
        for other in ["openai+https://api.openai.com", "spanforge-file:/d", "stdout"] {
            assert_eq!(System::named(other), None, "{other}");
        }
    }
}
