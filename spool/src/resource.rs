//! What the recording process was, stored once per recorder.
//!
//! # The resource format, version 0
//!
//! All integers are little-endian, offsets and lengths in bytes.
//!
//! ```text
//! resource   0          8         10   12       16      20   24                24 + len
//!            ┌──────────┬─────────┬────┬────────┬───────┬────┬─────────────────┐
//!            │ SPRGRSRC │ version │ 0  │ crc    │ len   │ 0  │ MessagePack map │
//!            └──────────┴─────────┴────┴────────┴───────┴────┴─────────────────┘
//!            crc is CRC-32C over every other byte of the file
//!            the map's keys are text; keys may repeat, and the last counts
//! ```
//!
//! A file of any other length, or with anything else in it, is damaged: its recorder's spans are read without it.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::packed::unpack;
use crate::storage::{Storage, is_unreadable, open_regular};
use crate::{Error, RecorderId, Value, layout};

/// What a process is known by: attributes, `service.name` among them. See [`SpoolBuilder::attribute`](crate::SpoolBuilder::attribute).
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Resource {
    /// The attributes.
    pub attributes: Vec<(String, Value)>,
}

const MAGIC: &[u8; 8] = b"SPRGRSRC";
const VERSION: u16 = 0;
const CRC_AT: usize = 12;
const HEADER_LEN: usize = 24;
/// No file of a resource is longer, in bytes.
pub(crate) const LEN_MAX: usize = 64 * 1024;
/// No resource has more keys, values, and parts of values.
const ITEMS_MAX: usize = 16 * 1024;

impl Resource {
    /// A resource that only says how the service is called.
    pub fn named(service: &str) -> Self {
        Resource { attributes: vec![("service.name".into(), Value::Str(service.into()))] }
    }

    /// The last attribute with this key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.attributes.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Sets an attribute, in place of what was set under its key before.
    pub(crate) fn set(&mut self, key: &str, value: Value) {
        self.attributes.retain(|(other, _)| other != key);
        self.attributes.push((key.to_owned(), value));
    }

    /// Adds what `other` has and this one has not.
    pub(crate) fn add_missing(&mut self, other: Resource) {
        for (key, value) in other.attributes {
            if self.get(&key).is_none() {
                self.attributes.push((key, value));
            }
        }
    }

    /// What is known of this program without being told: `service.name`, as OpenTelemetry wants it where nobody gives one,
    /// and `telemetry.sdk.*`.
    pub(crate) fn of_program() -> Self {
        let file = std::env::current_exe().ok();
        let name = file.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
        // So the kernel marks a program whose file was replaced while it runs.
        let name = name.as_deref().map(|name| name.strip_suffix(" (deleted)").unwrap_or(name));
        let service = name.map_or("unknown_service".to_owned(), |name| format!("unknown_service:{name}"));
        let mut resource = Resource::named(&service);
        resource.set("telemetry.sdk.name", Value::from("spanring"));
        resource.set("telemetry.sdk.language", Value::from("rust"));
        resource.set("telemetry.sdk.version", Value::from(env!("CARGO_PKG_VERSION")));
        resource
    }

    /// What is known of this process, which records as `id`. That is not the host's name: within a container nobody can tell it.
    pub(crate) fn of_process(id: &RecorderId) -> Self {
        let mut resource = Resource::default();
        resource.set("service.instance.id", Value::from(id.as_str()));
        resource.set("process.pid", Value::I64(std::process::id().into()));
        resource
    }

    /// Stores it in the directory of a recorder that is being set up, and syncs it.
    pub(crate) fn store(&self, storage: &dyn Storage, recorder_dir: &Path) -> Result<(), Error> {
        let path = recorder_dir.join(layout::RESOURCE);
        let bytes = self.encode()?;
        let mut file = storage.create(&path, bytes.len() as u64).map_err(Error::io("create", &path))?;
        file.write(0, &bytes).map_err(Error::io("write", &path))?;
        file.syncer().sync().map_err(Error::io("sync", &path))
    }

    /// Whether a resource that could not be read for this reason never will be: it is damaged or gone. Any other reason may pass, so who needs the resource
    /// tries again.
    pub fn is_lost(error: &Error) -> bool {
        match error {
            Error::Damaged { .. } | Error::TooLarge { .. } => true,
            Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound || is_unreadable(source),
            _ => false,
        }
    }

    /// Loads the resource of the recorder in a directory.
    pub(crate) fn load(recorder_dir: &Path) -> Result<Self, Error> {
        let path = recorder_dir.join(layout::RESOURCE);
        let file = open_regular(&path, OFlags::RDONLY).map_err(Error::io("open", &path))?;
        let len = file.metadata().map_err(Error::io("inspect", &path))?.len();
        let len = match usize::try_from(len) {
            Ok(len) if len <= LEN_MAX => len,
            _ => return Err(Error::TooLarge { what: "the file of a resource", len, max: LEN_MAX as u64 }),
        };
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0).map_err(Error::io("read", &path))?;
        if is_of_later_version(&bytes) {
            return Err(Error::LaterVersion { path });
        }
        Self::decode(&bytes).map_err(|Damage { offset, reason }| Error::Damaged { path, offset, reason })
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        let map = Value::Map(self.attributes.clone());
        let payload = rmp_serde::to_vec(&map).expect("a value is encoded into memory without errors");
        let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.resize(HEADER_LEN, 0);
        bytes.extend_from_slice(&payload);
        let too_large = Error::TooLarge { what: "a resource", len: bytes.len() as u64, max: LEN_MAX as u64 };
        let len = match u32::try_from(payload.len()) {
            Ok(len) if bytes.len() <= LEN_MAX => len,
            _ => return Err(too_large),
        };
        bytes[16..20].copy_from_slice(&len.to_le_bytes());
        let crc = checksum(&bytes);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        match Self::decode(&bytes) {
            Ok(_) => Ok(bytes),
            Err(_) => Err(too_large),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let damaged = |offset, reason| Err(Damage { offset, reason });
        let Some((header, payload)) = bytes.split_at_checked(HEADER_LEN) else {
            return damaged(bytes.len() as u64, "the file ends within its header");
        };
        if &header[..8] != MAGIC {
            return damaged(0, "it does not begin as a resource does");
        }
        if header[8..10] != VERSION.to_le_bytes() {
            return damaged(8, "its version is not known here");
        }
        if header[CRC_AT..CRC_AT + 4] != checksum(bytes).to_le_bytes() {
            return damaged(CRC_AT as u64, "the checksum does not fit");
        }
        if header[10..12] != [0; 2] || header[20..24] != [0; 4] {
            return damaged(10, "reserved bytes are not zero");
        }
        if u32::try_from(payload.len()).map(u32::to_le_bytes) != Ok([16, 17, 18, 19].map(|at| header[at])) {
            return damaged(16, "the length is not that of the file");
        }
        let mut items = ITEMS_MAX;
        let unpacked = unpack(payload, &mut items);
        match unpacked.value {
            Value::Map(attributes) if unpacked.whole => Ok(Resource { attributes }),
            _ => damaged(HEADER_LEN as u64, "the attributes are no MessagePack map within its limits"),
        }
    }
}

struct Damage {
    offset: u64,
    reason: &'static str,
}

/// Whether it is whole, and a later version wrote it.
fn is_of_later_version(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER_LEN
        && &bytes[..8] == MAGIC
        && u16::from_le_bytes([bytes[8], bytes[9]]) > VERSION
        && bytes[CRC_AT..CRC_AT + 4] == checksum(bytes).to_le_bytes()
}

/// CRC-32C over everything but the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..CRC_AT]), &bytes[CRC_AT + 4..])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::storage::DiskStorage;

    fn resource() -> Resource {
        let mut resource = Resource::named("shop");
        resource.attributes.extend([
            ("process.pid".to_owned(), Value::I64(4_711)),
            ("ratio".to_owned(), Value::F64(0.5)),
            ("raw".to_owned(), Value::Bytes(vec![0, 255])),
            ("service.name".to_owned(), Value::Str("shop 2".into())),
            (
                "tags".to_owned(),
                Value::List(vec![
                    Value::Bool(true),
                    Value::Null,
                    Value::Map(vec![("a".into(), Value::U64(u64::MAX))]),
                ]),
            ),
        ]);
        resource
    }

    #[test]
    fn what_a_later_version_wrote_is_neither_damaged_nor_lost() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = Resource::named("a").encode().unwrap();
        bytes[8..10].copy_from_slice(&(VERSION + 1).to_le_bytes());
        let crc = checksum(&bytes);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        fs::write(dir.path().join(layout::RESOURCE), &bytes).unwrap();
        let error = Resource::load(dir.path()).unwrap_err();
        assert!(matches!(error, Error::LaterVersion { .. }) && !Resource::is_lost(&error), "{error}");
        bytes[8] ^= 1 << 4;
        fs::write(dir.path().join(layout::RESOURCE), &bytes).unwrap();
        assert!(Resource::is_lost(&Resource::load(dir.path()).unwrap_err()));
    }

    #[test]
    fn a_resource_is_read_as_it_was_stored() {
        let dir = tempfile::tempdir().unwrap();
        resource().store(&DiskStorage, dir.path()).unwrap();
        assert_eq!(Resource::load(dir.path()).unwrap(), resource());
        assert_eq!(resource().get("service.name"), Some(&Value::Str("shop 2".into())));
        assert_eq!(resource().get("none"), None);
    }

    #[test]
    fn what_is_there_stays_and_what_is_missing_is_added() {
        let mut resource = resource();
        let len = resource.attributes.len();
        let mut other = Resource::default();
        other.set("ratio", Value::Null);
        other.set("new", Value::from(2));
        other.set("new", Value::from(1));
        resource.add_missing(other);
        assert_eq!(resource.attributes.len(), len + 1);
        assert_eq!(resource.get("ratio"), Some(&Value::F64(0.5)));
        assert_eq!(resource.get("new"), Some(&Value::from(1)));
    }

    #[test]
    fn a_program_that_says_nothing_is_named_after_its_file() {
        let resource = Resource::of_program();
        let Some(Value::Str(service)) = resource.get("service.name") else { panic!("{resource:?}") };
        assert!(service.starts_with("unknown_service:spanring_spool-"), "{service}");
        assert_eq!(resource.get("telemetry.sdk.name"), Some(&Value::from("spanring")));
    }

    #[test]
    fn no_cut_and_no_flipped_bit_is_read_as_a_resource() {
        let bytes = resource().encode().unwrap();
        for cut in 0..bytes.len() {
            assert!(Resource::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Resource::decode(&flipped).is_err(), "bit {bit}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(Resource::decode(&longer).is_err());
    }

    #[test]
    fn a_resource_that_could_not_be_read_back_is_not_stored() {
        let dir = tempfile::tempdir().unwrap();
        let deep = (0..100).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        for value in [Value::Str("x".repeat(LEN_MAX)), deep, Value::List(vec![Value::Null; ITEMS_MAX])] {
            let resource = Resource { attributes: vec![("a".into(), value)] };
            assert!(matches!(resource.store(&DiskStorage, dir.path()), Err(Error::TooLarge { .. })));
            assert!(!dir.path().join(layout::RESOURCE).exists());
        }
    }

    #[test]
    fn a_missing_damaged_or_huge_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(layout::RESOURCE);
        assert!(Resource::load(dir.path()).unwrap_err().to_string().contains(path.to_str().unwrap()));
        fs::write(&path, b"SPRGRSRC").unwrap();
        let error = Resource::load(dir.path()).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{} is damaged at byte 8: the file ends within its header", path.display())
        );
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert!(matches!(Resource::load(dir.path()), Err(Error::TooLarge { .. })));
    }
}
