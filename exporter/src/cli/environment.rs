//! Sinks that are named on the command line, and what the environment says about them.

use serde_json::json;
use spanring_exporter::Error;
use spanring_exporter::log::Level;
use spanring_exporter::sink::{SinkAddress, SinkOptions};

use super::log::LogFormat;

/// Where these sinks are, and what the environment says about their systems; what of that is ignored is said. No two are the same, and no two
/// are told the same secret.
pub(super) fn sinks(named: &[String], log: LogFormat) -> Result<(Vec<SinkAddress>, SinkOptions), Error> {
    let options = options(named.iter().map(String::as_str), log)?;
    let mut addresses = Vec::new();
    for sink in named {
        let address = SinkAddress::parse(sink, &options)?;
        if addresses.contains(&address) {
            return Err(Error::SinkTwice { address: address.to_string() });
        }
        addresses.push(address);
    }
    options.check_secrets(&addresses)?;
    Ok((addresses, options))
}

/// The same for one.
pub(super) fn sink(named: &str, log: LogFormat) -> Result<(SinkAddress, SinkOptions), Error> {
    let options = options([named], log)?;
    Ok((SinkAddress::parse(named, &options)?, options))
}

/// What the environment says about the systems of these sinks; what of that is ignored is said.
pub(super) fn options<'a>(
    named: impl IntoIterator<Item = &'a str>,
    log: LogFormat,
) -> Result<SinkOptions, Error> {
    let options = SinkOptions::from_environment(named)?;
    options.warnings().for_each(|warning| ignored(log, warning));
    Ok(options)
}

/// Says that a variable is ignored.
pub(super) fn ignored(log: LogFormat, warning: &str) {
    log.say(Level::Warn, warning, &json!({"event": "variable_ignored", "reason": warning}));
}
