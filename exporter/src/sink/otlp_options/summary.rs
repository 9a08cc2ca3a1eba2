//! How an OTLP receiver is asked, on one line for a person, without a secret.

use std::fmt;

use super::{OtlpOptions, Protocol};
use crate::sink::http::Limits;

impl fmt::Display for OtlpOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.protocol {
            Protocol::Protobuf => "http/protobuf",
            Protocol::Json => "http/json",
            Protocol::Grpc => "grpc",
        })?;
        f.write_str(if self.is_plain { ", not compressed" } else { ", gzip" })?;
        write!(f, ", {:?} a request", self.timeout.unwrap_or(Limits::default().request))?;
        for (name, _) in &self.headers {
            write!(f, ", header {name}")?;
        }
        if let Some(certificate) = &self.certificate {
            write!(f, ", certificate {}", certificate.display())?;
        }
        if let Some(identity) = &self.identity {
            write!(f, ", client_certificate {}", identity.certificate.display())?;
        }
        Ok(())
    }
}
