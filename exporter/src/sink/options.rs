//! What can be said about a sink beside its address.

use std::ffi::OsString;

use super::{
    FileOptions, OpenAiOptions, OtlpOptions, PrefactorOptions, PrelaOptions, SinkAddress, SpanForgeOptions,
    System,
};
use crate::Error;
use crate::engine::RouteOptions;

/// What can be said about a sink beside its address; each kind of sink heeds what is about it. The default is what an
/// address alone stands for.
#[derive(Clone, Debug, Default)]
pub struct SinkOptions {
    /// How an OTLP receiver is asked; whose names attributes have in OTLP, in a file or on standard output too.
    pub otlp: OtlpOptions,
    /// How a file grows.
    pub file: FileOptions,
    /// How it is served, whatever kind it is. Whoever opens a sink by itself sees to that.
    pub route: RouteOptions,
    /// As whom OpenAI's traces are filled.
    pub openai: OpenAiOptions,
    /// How Prela is asked, and what it is told.
    pub prela: PrelaOptions,
    /// How Prefactor is asked, and what it is told.
    pub prefactor: PrefactorOptions,
    /// How SpanForge is asked.
    pub spanforge: SpanForgeOptions,
}

impl SinkOptions {
    /// What this process's environment says about the systems that these sinks are of. Other systems' variables are not read, so that they
    /// may say what they like.
    ///
    /// # Errors
    ///
    /// [`Error::Variable`] for a variable that makes no sense and cannot be ignored.
    pub fn from_environment<'a>(sinks: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let mut options = SinkOptions::default();
        for sink in sinks {
            match System::of(sink) {
                Some(system) => options.heed(system)?,
                // What is of no system is a file of OTLP, or standard output.
                None => options.otlp.names = OtlpOptions::read_names(|name| std::env::var_os(name))?,
            }
        }
        Ok(options)
    }

    /// Heeds what this process's environment says about a system.
    ///
    /// # Errors
    ///
    /// As for [`from_environment`](Self::from_environment).
    pub fn heed(&mut self, system: System) -> Result<(), Error> {
        self.read(system, |name| std::env::var_os(name))
    }

    /// What of the environment was ignored, since it makes no sense; a line each.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.otlp.warnings().iter().chain(self.spanforge.warnings()).map(String::as_str)
    }

    /// Refuses to tell a secret to more than one sink.
    ///
    /// # Errors
    ///
    /// [`Error::SecretsShared`] where two of these would be sent the same.
    pub fn check_secrets(&self, sinks: &[SinkAddress]) -> Result<(), Error> {
        for system in System::ALL {
            let is_told = |sink: &&SinkAddress| sink.system() == Some(system) && sink.is_sent_secrets();
            if self.has_secrets(system) && sinks.iter().filter(is_told).count() > 1 {
                return Err(Error::SecretsShared { system });
            }
        }
        Ok(())
    }

    /// Heeds what the variables say about a system that `get` gives.
    pub(crate) fn read(
        &mut self,
        system: System,
        get: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), Error> {
        match system {
            System::Otlp => self.otlp = OtlpOptions::read(get)?,
            System::OpenAi => self.openai = OpenAiOptions::read(get)?,
            System::Prefactor => self.prefactor = PrefactorOptions::read(get)?,
            System::Prela => self.prela = PrelaOptions::read(get)?,
            System::SpanForge => self.spanforge = SpanForgeOptions::read(get)?,
        }
        Ok(())
    }

    /// The same for a sink that nobody but a dead letter names: secrets go to the systems' own sinks only.
    pub(crate) fn for_letter(&self, sink: &SinkAddress) -> Self {
        // Prela has one only where that is said.
        let own = sink.system().and_then(|system| SinkAddress::parse(system.name(), self).ok());
        if own.as_ref() == Some(sink) { self.clone() } else { self.without_secrets() }
    }

    /// Itself without what is sent to prove who asks, for a receiver that nobody said may see it.
    pub(crate) fn without_secrets(&self) -> Self {
        let mut prela = self.prela.clone();
        prela.credentials = None;
        SinkOptions {
            route: self.route,
            otlp: self.otlp.without_secrets(),
            file: self.file.clone(),
            openai: self.openai.without_key(),
            prefactor: self.prefactor.without_token(),
            prela,
            spanforge: self.spanforge.without_key(),
        }
    }

    fn has_secrets(&self, system: System) -> bool {
        match system {
            System::Otlp => self.otlp.has_secrets(),
            System::OpenAi => self.openai.has_secrets(),
            System::Prefactor => self.prefactor.has_secrets(),
            System::Prela => self.prela.has_secrets(),
            System::SpanForge => self.spanforge.has_key(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::Names;

    /// An environment in which every system's variables say something.
    fn get(name: &str) -> Option<OsString> {
        let value = match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => "https://otlp.example",
            "OTEL_EXPORTER_OTLP_HEADERS" => "key=secret",
            "SPANRING_OTLP_NAMES" => "openinference",
            "OPENAI_API_KEY" | "PREFACTOR_API_TOKEN" | "PRELA_API_KEY" | "SPANFORGE_CLOUD_API_KEY" => {
                "secret"
            }
            "PRELA_HTTP_ENDPOINT" => "https://prela.example/v1/traces",
            "SPANFORGE_CLOUD_ENDPOINT" => "https://forge.example/v1/events",
            _ => return None,
        };
        Some(value.into())
    }

    fn options() -> SinkOptions {
        let mut options = SinkOptions::default();
        for system in System::ALL {
            options.read(system, get).unwrap();
        }
        options
    }

    #[test]
    fn a_letter_sends_secrets_to_the_own_sink_of_a_system_and_to_no_other() {
        let options = options();
        for (sink, system, is_own) in [
            ("otlp", System::Otlp, true),
            ("otlp+https://otlp.example", System::Otlp, true),
            ("otlp+https://other", System::Otlp, false),
            ("openai", System::OpenAi, true),
            ("openai+https://other", System::OpenAi, false),
            ("prefactor", System::Prefactor, true),
            ("prefactor+https://other", System::Prefactor, false),
            ("prela", System::Prela, true),
            ("prela+https://prela.example/v1/traces", System::Prela, true),
            ("prela+https://other/v1/traces", System::Prela, false),
            ("prela-file:/d", System::Prela, false),
            ("spanforge", System::SpanForge, true),
            ("spanforge+https://forge.example", System::SpanForge, true),
            ("spanforge+https://other", System::SpanForge, false),
            ("spanforge-webhook+https://forge.example", System::SpanForge, false),
        ] {
            let address = SinkAddress::parse(sink, &options).unwrap();
            assert_eq!(options.for_letter(&address).has_secrets(system), is_own, "{sink}");
        }
    }

    #[test]
    fn a_secret_goes_to_one_sink_of_its_system() {
        let options = options();
        let told = |options: &SinkOptions, sinks: &[&str]| {
            let sinks: Vec<_> = sinks.iter().map(|sink| SinkAddress::parse(sink, options).unwrap()).collect();
            options.check_secrets(&sinks).map_err(|error| error.to_string())
        };
        let one_each = ["otlp", "openai", "spanforge", "prela-file:/d", "prela-file:/e", "file:/f"];
        assert_eq!(told(&options, &one_each), Ok(()));
        assert_eq!(
            told(&options, &["spanforge", "spanforge-webhook+https://h", "spanforge-file:/f"]),
            Ok(())
        );
        for (sinks, message) in [
            (
                ["otlp", "otlp+grpcs://h"],
                "the headers and certificates of OTEL_EXPORTER_OTLP_* would go to more than one OTLP sink",
            ),
            (
                ["openai", "openai+https://h"],
                "the key of OPENAI_API_KEY would go to more than one OpenAI sink",
            ),
            (
                ["spanforge+https://h", "spanforge"],
                "the key of SPANFORGE_CLOUD_API_KEY would go to more than one SpanForge sink",
            ),
        ] {
            assert_eq!(told(&options, &sinks).unwrap_err(), message);
            assert_eq!(told(&SinkOptions::default(), &sinks), Ok(()), "{sinks:?}");
        }
    }

    #[test]
    fn without_secrets_there_are_none_and_the_rest_stays() {
        let bare = options().without_secrets();
        for system in System::ALL {
            assert!(options().has_secrets(system) && !bare.has_secrets(system), "{system}");
        }
        assert_eq!(bare.otlp.given_names(), Names::OpenInference);
        let of_environment = |name| SinkAddress::parse(name, &bare).unwrap().to_string();
        assert_eq!(of_environment("otlp"), "otlp+https://otlp.example:443");
        assert_eq!(of_environment("spanforge"), "spanforge+https://forge.example");
    }
}
