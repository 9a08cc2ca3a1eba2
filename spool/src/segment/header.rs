//! The header of a segment.

use super::{
    HEADER_COPY_LEN, HEADER_COPY_OFFSET, HEADER_MAGIC, RECORDER_LEN_MAX, SEGMENT_HEADER_LEN, VERSION,
};

/// What a segment says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    /// Random; every checksum of the segment covers it.
    pub(crate) nonce: u64,
    /// Counts the recorder's segments from 1.
    pub(crate) number: u64,
    /// When it was created, in Unix nanoseconds.
    pub(crate) created_unix_ns: u64,
    /// The boot in which it was created.
    pub(crate) boot_id: [u8; 16],
    /// The id of the recorder that writes it, at most 64 bytes.
    pub(crate) recorder: String,
}

/// Why a segment's header tells nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderFault {
    /// There is nothing but zeros, if anything: the segment was prepared and not used.
    Unused,
    /// Neither copy is whole.
    Damaged,
    /// A later version wrote it, in a way that this one cannot read.
    LaterVersion,
}

impl SegmentHeader {
    /// Both copies, as they stand at the beginning of the file.
    ///
    /// # Panics
    ///
    /// When the recorder's id is longer than 64 bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(HEADER_COPY_LEN);
        copy.extend(HEADER_MAGIC);
        copy.extend(VERSION.to_le_bytes());
        assert!(self.recorder.len() <= RECORDER_LEN_MAX, "a recorder's id is short");
        copy.extend([self.recorder.len().to_le_bytes()[0], 0]);
        copy.extend([0; 4]);
        copy.extend(self.nonce.to_le_bytes());
        copy.extend(self.number.to_le_bytes());
        copy.extend(self.created_unix_ns.to_le_bytes());
        copy.extend(self.boot_id);
        copy.extend(self.recorder.as_bytes());
        copy.resize(HEADER_COPY_LEN - 4, 0);
        copy.extend(crc32c::crc32c(&copy).to_le_bytes());

        let mut bytes = vec![0; SEGMENT_HEADER_LEN];
        bytes[..HEADER_COPY_LEN].copy_from_slice(&copy);
        bytes[HEADER_COPY_OFFSET..][..HEADER_COPY_LEN].copy_from_slice(&copy);
        bytes
    }

    /// Reads either copy from the beginning of a segment, of which `bytes` may be less than a whole header.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let mut fault = HeaderFault::Damaged;
        for offset in [0, HEADER_COPY_OFFSET] {
            let copy = bytes.get(offset..).and_then(|bytes| bytes.first_chunk());
            match copy.map(Self::decode_copy) {
                Some(Ok(header)) => return Ok(header),
                Some(Err(HeaderFault::LaterVersion)) => fault = HeaderFault::LaterVersion,
                _ => {}
            }
        }
        Err(if bytes.iter().all(|&byte| byte == 0) { HeaderFault::Unused } else { fault })
    }

    fn decode_copy(copy: &[u8; HEADER_COPY_LEN]) -> Result<Self, HeaderFault> {
        let (content, crc) = copy.split_at(HEADER_COPY_LEN - 4);
        if content[..8] != HEADER_MAGIC || crc != crc32c::crc32c(content).to_le_bytes() {
            return Err(HeaderFault::Damaged);
        }
        if content[8..10] != VERSION.to_le_bytes() || content[12..16] != [0; 4] {
            return Err(HeaderFault::LaterVersion);
        }
        let number = |offset| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&content[offset..offset + 8]);
            u64::from_le_bytes(bytes)
        };
        let recorder = content[56..].get(..usize::from(content[10])).ok_or(HeaderFault::Damaged)?;
        let mut boot_id = [0; 16];
        boot_id.copy_from_slice(&content[40..56]);
        Ok(SegmentHeader {
            nonce: number(16),
            number: number(24),
            created_unix_ns: number(32),
            boot_id,
            recorder: std::str::from_utf8(recorder).map_err(|_| HeaderFault::Damaged)?.to_owned(),
        })
    }
}
