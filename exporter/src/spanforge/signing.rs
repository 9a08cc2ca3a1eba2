//! Signed events, which show that none of a chain was changed or taken out.
//!
//! ```text
//! checksum   sha256:     SHA-256 of the payload as canonical JSON
//! signature  hmac-sha256: HMAC-SHA256 of "event_id|checksum|prev_id", with the key
//! prev_id    the event before; none for the first of a chain
//! ```

use std::fmt;

use ring::digest::{SHA256, digest};
use ring::hmac;
use serde_json::{Map, Value as Json};

use super::Event;
use super::python_json::compact;

/// A key that events are signed with.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// The key that this text is. `None` for one that is empty, or blank.
    pub fn new(text: &str) -> Option<Self> {
        let is_blank = text.trim().is_empty();
        (!is_blank).then(|| SigningKey(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())))
    }

    /// `hmac-sha256:` and the HMAC of these bytes in hexadecimal digits.
    pub(crate) fn sign(&self, bytes: &[u8]) -> String {
        hexadecimal("hmac-sha256:", hmac::sign(&self.0, bytes).as_ref())
    }

    /// Signs events, each as the one that follows the one before. The first begins a chain.
    pub fn chain(&self, events: &mut [Event]) {
        self.chain_behind(None, events);
    }

    /// Signs events, each as the one that follows the one before, and the first as the one that follows the event with this identity; it begins a chain
    /// where there is none.
    pub fn chain_behind(&self, last: Option<&str>, events: &mut [Event]) {
        let mut prev_id = last.map(str::to_owned);
        for event in events {
            event.prev_id = prev_id;
            let checksum = event.payload_checksum();
            event.signature = Some(self.sign(message(event, &checksum).as_bytes()));
            event.checksum = Some(checksum);
            prev_id = Some(event.event_id.clone());
        }
    }

    /// Whether the event is as it was when it was signed with this key.
    pub fn is_signed(&self, event: &Event) -> bool {
        let checksum = event.payload_checksum();
        let signature =
            event.signature.as_deref().and_then(|signature| signature.strip_prefix("hmac-sha256:"));
        let Some(tag) = signature.and_then(bytes) else { return false };
        event.checksum.as_deref() == Some(&checksum)
            && hmac::verify(&self.0, message(event, &checksum).as_bytes(), &tag).is_ok()
    }
}

impl fmt::Debug for SigningKey {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

fn message(event: &Event, checksum: &str) -> String {
    format!("{}|{checksum}|{}", event.event_id, event.prev_id.as_deref().unwrap_or_default())
}

pub(super) fn checksum(payload: &Map<String, Json>) -> String {
    hexadecimal("sha256:", digest(&SHA256, compact(payload).as_bytes()).as_ref())
}

fn hexadecimal(prefix: &str, bytes: &[u8]) -> String {
    bytes.iter().fold(prefix.to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The bytes that pairs of hexadecimal digits are.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    text.len().is_multiple_of(2).then(|| text.as_bytes().chunks(2).map(pair).collect())?
}
