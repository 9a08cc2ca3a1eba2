//! Which boot of the kernel this is.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::Error;

/// The identity of one boot of a kernel: random, the same for all processes and containers, gone at the next boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BootId(pub(crate) [u8; 16]);

const SOURCE: &str = "/proc/sys/kernel/random/boot_id";

impl BootId {
    /// The boot that this process runs in.
    pub(crate) fn current() -> Result<Self, Error> {
        let path = Path::new(SOURCE);
        let text = fs::read_to_string(path).map_err(Error::io("read", path))?;
        Self::parse(text.trim_end()).ok_or(Error::Damaged {
            path: path.to_owned(),
            offset: 0,
            reason: "the identity of the boot is no UUID",
        })
    }

    /// Reads the text of a UUID with hyphens and lower-case digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b'-').collect();
        if digits.len() != 32 || !digits.is_ascii() {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        let id = BootId(bytes);
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_always_the_same_and_reads_as_it_was_written() {
        let boot = BootId::current().unwrap();
        assert_eq!(BootId::current().unwrap(), boot);
        assert_eq!(BootId::parse(&boot.to_string()), Some(boot));
        assert_ne!(boot, BootId([0; 16]));
    }

    #[test]
    fn what_is_no_uuid_is_no_boot() {
        let uuid = "0123abcd-0000-4000-8000-00000000000f";
        assert!(BootId::parse(uuid).is_some());
        for text in
            ["", "-", &uuid[1..], &uuid.replace('-', ""), &uuid.to_uppercase(), &uuid.replace('0', "+"), "ä"]
        {
            assert_eq!(BootId::parse(text), None, "{text}");
        }
    }
}
