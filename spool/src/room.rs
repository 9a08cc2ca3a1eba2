//! How much room a spool takes, and how much there is.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use crate::{Error, SpoolDir, layout};

/// A block of [`MetadataExt::blocks`](std::os::unix::fs::MetadataExt::blocks), in bytes.
const BLOCK_LEN: u64 = 512;

/// How much room a spool takes, and how much there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Room {
    /// How many segments there are, of all recorders.
    pub segments: u64,
    /// How many bytes of the disk they take. Segments that are written to are as long as they may become.
    pub segment_bytes: u64,
    /// How many bytes of the spool's file system are free to its user.
    pub free_bytes: u64,
    /// How many bytes that file system has.
    pub total_bytes: u64,
}

impl SpoolDir {
    /// How much room it takes, and how much there is. It looks at each segment's file, and opens none.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn room(&self) -> Result<Room, Error> {
        let file_system = rustix::fs::statvfs(self.path()).map_err(io::Error::from);
        let file_system = file_system.map_err(Error::io("inspect the file system of", self.path()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(file_system.f_frsize);
        let mut room = Room {
            free_bytes: bytes(file_system.f_bavail),
            total_bytes: bytes(file_system.f_blocks),
            ..Room::default()
        };
        for recorder in self.recorders()? {
            let dir = self.recorder_path(&recorder);
            let names = match self.storage().list(&dir) {
                Ok(names) => names,
                // It was delivered and removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("list", &dir)(error)),
            };
            for name in names.iter().filter(|name| layout::segment_number(name).is_some()) {
                // Others remove what is delivered.
                let Ok(metadata) = fs::symlink_metadata(dir.join(name)) else { continue };
                room.segments += 1;
                room.segment_bytes += metadata.blocks().saturating_mul(BLOCK_LEN);
            }
        }
        Ok(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecorderId;

    #[test]
    fn the_room_is_that_of_the_segments_of_all_recorders_and_of_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let spool = SpoolDir::create(std::sync::Arc::new(crate::DiskStorage), dir.path()).unwrap();
        let none = spool.room().unwrap();
        assert_eq!((none.segments, none.segment_bytes), (0, 0));
        for random in 1..=2 {
            let recorder = spool.recorder_path(&RecorderId::from_parts(1, random));
            spool.storage().create_dir(&recorder).unwrap();
            for name in [layout::segment(1), layout::segment(2), "cursor-0000000000000000".into()] {
                drop(spool.storage().create(&recorder.join(name), 64 << 10).unwrap());
            }
        }
        let room = spool.room().unwrap();
        assert_eq!((room.segments, room.segment_bytes), (4, 4 * (64 << 10)));
        assert!(room.free_bytes <= room.total_bytes && room.total_bytes > 0, "{room:?}");
    }
}
