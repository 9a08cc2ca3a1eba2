//! How every file of a recorder's memory begins, in all versions: lanes, tables, the control page, the dictionary.
//!
//! ```text
//!   0        8         12         16                  60    64
//!   ┌────────┬─────────┬──────────┬───────────────────┬─────┐
//!   │ magic  │ version │ incompat │ the file's own    │ crc │
//!   └────────┴─────────┴──────────┴───────────────────┴─────┘
//!   magic     stored last: a file that begins with zeros was not ready when its process died
//!   incompat  bits; a reader that does not know one that is set cannot read the file
//!   crc       CRC-32C over the 16 bytes of magic, version and incompat: it tells a later version from damage
//! ```

use crate::mapping::Mapping;
use crate::record::Malformed;

const CRC_AT: usize = 60;
const CHECKED_LEN: usize = 16;

/// Writes the beginning of a file of zeros, after all else that makes it ready.
pub(crate) fn write(mapping: &mut Mapping, magic: &[u8; 8], version: u32) {
    let mut head = [0; CHECKED_LEN];
    head[..8].copy_from_slice(magic);
    head[8..12].copy_from_slice(&version.to_le_bytes());
    mapping.write(CRC_AT, &crc32c::crc32c(&head).to_le_bytes());
    mapping.write(8, &head[8..]);
    mapping.write(0, magic);
}

/// Checks that a file is of a kind and version.
pub(crate) fn check(bytes: &[u8], magic: &[u8; 8], version: u32) -> Result<(), Malformed> {
    if bytes.get(..8) != Some(magic) {
        return Err(Malformed { offset: 0, reason: "the file does not begin as its kind does" });
    }
    let Some((of_file, incompat)) = versions(bytes) else {
        return Err(Malformed { offset: 8, reason: "the beginning of the file is damaged" });
    };
    if (of_file, incompat) != (version, 0) {
        return Err(Malformed { offset: 8, reason: "the file is of a version that is not known here" });
    }
    Ok(())
}

/// Version and incompatibility bits, if the checksum is right.
fn versions(bytes: &[u8]) -> Option<(u32, u32)> {
    let checked = bytes.get(..CHECKED_LEN)?;
    let crc = bytes.get(CRC_AT..CRC_AT + 4)?;
    if crc32c::crc32c(checked).to_le_bytes() != crc {
        return None;
    }
    let half = |at: usize| Some(u32::from_le_bytes(checked.get(at..at + 4)?.try_into().ok()?));
    Some((half(8)?, half(12)?))
}

/// Whether a file of a recorder's memory is whole at its beginning and of a version that is not known here: then it is not
/// to be touched, as a later spanring can read it.
pub fn is_of_later_version(bytes: &[u8]) -> bool {
    bytes.starts_with(b"SPRNG") && versions(bytes).is_some_and(|versions| versions != (0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: &[u8; 8] = b"SPRNGLAN";

    fn file(version: u32) -> Vec<u8> {
        let mut mapping = Mapping::anonymous(4096).unwrap();
        write(&mut mapping, MAGIC, version);
        let mut bytes = vec![0; 4096];
        mapping.read(0, &mut bytes);
        bytes
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        assert_eq!(check(&file(0), MAGIC, 0), Ok(()));
        assert!(!is_of_later_version(&file(0)));
        assert!(check(&file(3), MAGIC, 0).is_err());
        assert!(is_of_later_version(&file(3)));
        let whole = file(0);
        for bit in (0..CHECKED_LEN * 8).chain(CRC_AT * 8..CRC_AT * 8 + 32) {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&damaged, MAGIC, 0).is_err(), "bit {bit}");
            assert!(!is_of_later_version(&damaged), "bit {bit}");
        }
        for len in 0..64 {
            assert!(check(&whole[..len], MAGIC, 0).is_err());
            assert!(!is_of_later_version(&whole[..len]));
        }
    }
}
