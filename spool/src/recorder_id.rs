//! The identity of a recorder, which is the name of its directory.

use std::fmt;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// One recorder: what one process recorded from one start of its spool to the end, or what was recovered of that.
///
/// ```text
/// 18a3f0c2d4e5b601-9e3779b97f4a7c15       created at, in nanoseconds since the Unix epoch; random
/// 18a3f0c2d4e5b601-9e3779b97f4a7c15-r     what was recovered of the recorder above
/// ```
///
/// All digits are lower-case hexadecimal. The order of the texts is the order of creation, as far as the clock of the
/// machine went forward, and what was recovered of a recorder comes right behind it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecorderId(String);

const LEN: usize = 33;
const RECOVERY_SUFFIX: &str = "-r";

impl RecorderId {
    /// The longest text of an identity, in bytes.
    pub const LEN_MAX: usize = LEN + RECOVERY_SUFFIX.len();

    /// A new identity, different from all others.
    ///
    /// # Errors
    ///
    /// When the operating system has no random bytes.
    pub fn generate() -> io::Result<Self> {
        // A clock before 1970 or after 2554 costs the order of the names, not their difference.
        let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let unix_ns = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        let random = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self::from_parts(unix_ns, random))
    }

    /// The identity of a recorder created at `unix_ns`, told from others of that nanosecond by `random`.
    pub fn from_parts(unix_ns: u64, random: u64) -> Self {
        RecorderId(format!("{unix_ns:016x}-{random:016x}"))
    }

    /// Reads a text; `None` unless it is exactly what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        let id = text.strip_suffix(RECOVERY_SUFFIX).unwrap_or(text).as_bytes();
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let fits = id.len() == LEN
            && id[..16].iter().all(is_digit)
            && id[16] == b'-'
            && id[17..].iter().all(is_digit);
        fits.then(|| RecorderId(text.to_owned()))
    }

    /// The text, which is the name of the directory.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the recorder was created, in nanoseconds since the Unix epoch; of a recovery recorder, its origin.
    pub fn created_unix_ns(&self) -> u64 {
        u64::from_str_radix(&self.0[..16], 16).expect("an identity starts with 16 hexadecimal digits")
    }

    /// Whether it holds what was recovered of another recorder.
    pub fn is_recovery(&self) -> bool {
        self.0.len() > LEN
    }

    /// The recorder whose recovery this is; `None` of one that recorded by itself.
    pub fn origin(&self) -> Option<Self> {
        self.is_recovery().then(|| RecorderId(self.0[..LEN].to_owned()))
    }

    /// The recorder that holds what is recovered of this one; of a recovery recorder, itself. It is always the same, so a
    /// recovery that was interrupted finds what it had begun.
    pub fn recovery(&self) -> Self {
        RecorderId(format!("{}{RECOVERY_SUFFIX}", &self.0[..LEN]))
    }
}

impl fmt::Display for RecorderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RecorderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecorderId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_texts_is_the_order_of_creation_and_a_recovery_follows_its_origin() {
        let early = RecorderId::from_parts(9, u64::MAX);
        let late = RecorderId::from_parts(10, 0);
        assert!(early < early.recovery() && early.recovery() < late);
        assert_eq!(late.created_unix_ns(), 10);
        assert_eq!(late.recovery().created_unix_ns(), 10);
    }

    #[test]
    fn a_recovery_names_its_origin_and_is_its_own_recovery() {
        let id = RecorderId::generate().unwrap();
        assert!(!id.is_recovery());
        assert_eq!(id.origin(), None);
        assert_eq!(id.recovery().origin(), Some(id.clone()));
        assert_eq!(id.recovery().recovery(), id.recovery());
        assert_ne!(id, RecorderId::generate().unwrap());
    }

    #[test]
    fn only_what_is_written_is_read() {
        let id = RecorderId::generate().unwrap();
        for id in [id.clone(), id.recovery()] {
            assert_eq!(RecorderId::parse(id.as_str()), Some(id.clone()));
            assert!(id.as_str().len() <= RecorderId::LEN_MAX);
        }
        let id = id.as_str();
        let upper = id.to_uppercase().replace(|c: char| c.is_ascii_digit(), "A");
        let hostile = [
            "".to_owned(),
            "-r".to_owned(),
            id[1..].to_owned(),
            format!("{id}0"),
            format!("{id}-r-r"),
            format!("{id}-s"),
            format!("{id}/.."),
            format!("{id}\n"),
            format!(".{}", &id[1..]),
            format!("{}+{}", &id[..16], &id[17..]),
            format!("{}ä{}", &id[..15], &id[17..]),
            format!("+{}", &id[1..]),
            upper,
        ];
        for text in hostile {
            assert_eq!(RecorderId::parse(&text), None, "{text:?}");
        }
    }
}
