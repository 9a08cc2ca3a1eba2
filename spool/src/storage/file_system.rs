//! What is known about a file system by the magic number of its kind.

use std::fmt;
use std::io;
use std::os::fd::AsFd;

/// The kind of a file system, as statfs tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileSystem {
    magic: u32,
}

const EXT: u32 = 0xEF53;
const XFS: u32 = 0x5846_5342;
const TMPFS: u32 = 0x0102_1994;
const BTRFS: u32 = 0x9123_683E;
const F2FS: u32 = 0xF2F5_2010;
const ZFS: u32 = 0x2FC1_2FC1;
const BCACHEFS: u32 = 0xCA45_1A4E;
const OVERLAY: u32 = 0x794C_7630;

impl FileSystem {
    /// The file system that holds an open file.
    pub(crate) fn of(file: impl AsFd) -> io::Result<Self> {
        let stat = rustix::io::retry_on_intr(|| rustix::fs::fstatfs(&file))?;
        // The number has 32 bits, and its type differs in width and sign from architecture to architecture.
        let bytes = i128::from(stat.f_type).to_le_bytes();
        Ok(FileSystem { magic: u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) })
    }

    /// Whether a page that was preallocated and populated can always be written through a mapping: true where it is
    /// rewritten in place. A file system that copies on write may have no room for the copy, and says so by SIGBUS.
    pub(crate) fn maps_safely(self) -> bool {
        matches!(self.magic, EXT | XFS | TMPFS)
    }

    /// Whether only processes of this kernel can reach it, so that none outlives its boot.
    pub(crate) fn is_local(self) -> bool {
        matches!(self.magic, EXT | XFS | TMPFS | BTRFS | F2FS | ZFS | BCACHEFS | OVERLAY)
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.magic {
            EXT => f.write_str("ext4"),
            XFS => f.write_str("XFS"),
            TMPFS => f.write_str("tmpfs"),
            BTRFS => f.write_str("btrfs"),
            F2FS => f.write_str("F2FS"),
            ZFS => f.write_str("ZFS"),
            BCACHEFS => f.write_str("bcachefs"),
            OVERLAY => f.write_str("overlayfs"),
            0x6969 => f.write_str("NFS"),
            0xFE53_4D42 | 0xFF53_4D42 => f.write_str("SMB"),
            0x6573_5546 => f.write_str("FUSE"),
            other => write!(f, "a file system of kind {other:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn proc_is_neither_mapped_nor_called_local_and_the_disk_is_both_or_known() {
        let proc = FileSystem::of(File::open("/proc/self/status").unwrap()).unwrap();
        assert!(!proc.maps_safely() && !proc.is_local());
        assert_eq!(proc.to_string(), "a file system of kind 0x9fa0");

        let shm = FileSystem::of(File::open("/dev/shm").unwrap()).unwrap();
        assert_eq!(shm, FileSystem { magic: TMPFS });
        assert!(shm.maps_safely() && shm.is_local());
    }

    #[test]
    fn what_copies_on_write_is_local_and_not_mapped_and_the_network_is_neither() {
        for magic in [BTRFS, ZFS, BCACHEFS, OVERLAY] {
            let copying = FileSystem { magic };
            assert!(copying.is_local() && !copying.maps_safely());
        }
        for magic in [0x6969, 0xFE53_4D42, 0x6573_5546, 0] {
            let foreign = FileSystem { magic };
            assert!(!foreign.is_local() && !foreign.maps_safely());
        }
    }
}
