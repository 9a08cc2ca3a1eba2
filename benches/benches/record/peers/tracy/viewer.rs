//! The least of a Tracy viewer: it takes what the client sends, and counts the zones that ended.
//!
//! ```text
//! viewer   "TracyPrf"  version:u32
//! client   status:u8   welcome       (len:u32  LZ4 block)*      a block may refer to 64 KiB of what was sent before
//!
//! unpacked (kind:u8  fields)*        texts: kind, len:u8 or u16, bytes
//! ```
//!
//! All integers are little-endian. Fields have fixed lengths, told by the kind; a kind that is not known here, like another
//! version of the protocol, ends the benchmark. A viewer that asks nothing is sent few kinds.

use std::fs;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use lz4_flex::block::decompress_into_with_dict;

/// Of the client's library. Another is turned away by the client.
const PROTOCOL_VERSION: u32 = 82;
/// The client listens on the first of these that is free.
const PORTS: std::ops::Range<u16> = 8086..8106;
const WELCOME: u8 = 1;
const WELCOME_LEN: usize = 1170;
/// Where the client's process number stands in its welcome.
const WELCOME_PID: usize = 48;
/// How long a block may be when it is unpacked.
const BLOCK_LEN_MAX: usize = 256 << 10;
const WINDOW_LEN: usize = 64 << 10;
/// No burst takes longer to arrive.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A viewer that is connected to the client in this process.
pub(super) struct Viewer {
    stream: BufReader<TcpStream>,
    packed: Vec<u8>,
    /// What blocks may refer to.
    window: Vec<u8>,
    unpacked: Vec<u8>,
    zones: u64,
}

impl Viewer {
    /// Waits for the client to listen, which takes it a moment, and connects.
    pub(super) fn connect() -> Self {
        // It exits the process where it cannot use the counter.
        let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        assert!(flags.contains("nonstop_tsc"), "Tracy needs an invariant time-stamp counter");
        for _ in 0..100 {
            if let Some(stream) = PORTS.into_iter().find_map(greet) {
                return Viewer {
                    stream: BufReader::new(stream),
                    packed: Vec::new(),
                    window: Vec::new(),
                    unpacked: vec![0; BLOCK_LEN_MAX],
                    zones: 0,
                };
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("Tracy's client does not listen, or speaks another version of its protocol");
    }

    /// How many zones ended since the last time, once it is so many at least.
    pub(super) fn zones(&mut self, expected: u64) -> u64 {
        while self.zones < expected {
            self.block();
        }
        std::mem::take(&mut self.zones)
    }

    fn block(&mut self) {
        let mut len = [0; 4];
        self.stream.read_exact(&mut len).expect("the client sends all that was recorded");
        self.packed.resize(u32::from_le_bytes(len) as usize, 0);
        self.stream.read_exact(&mut self.packed).expect("the client sends whole blocks");
        let len = decompress_into_with_dict(&self.packed, &mut self.unpacked, &self.window);
        let unpacked = &self.unpacked[..len.expect("the block can be unpacked")];
        self.zones += zone_ends(unpacked);
        self.window.extend_from_slice(unpacked);
        self.window.drain(..self.window.len().saturating_sub(WINDOW_LEN));
    }
}

/// Connects to the client of this process, if it is that which listens there.
fn greet(port: u16) -> Option<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(TIMEOUT)).ok()?;
    stream.write_all(b"TracyPrf").ok()?;
    stream.write_all(&PROTOCOL_VERSION.to_le_bytes()).ok()?;
    let mut status = [0];
    stream.read_exact(&mut status).ok()?;
    let mut welcome = [0; WELCOME_LEN];
    (status == [WELCOME]).then_some(())?;
    stream.read_exact(&mut welcome).ok()?;
    let pid = u64::from(std::process::id()).to_le_bytes();
    (welcome[WELCOME_PID..][..8] == pid).then_some(stream)
}

/// How many zones end in what was unpacked.
fn zone_ends(mut rest: &[u8]) -> u64 {
    let mut ends = 0;
    while let [kind, fields @ ..] = rest {
        let len = match kind {
            // Ends of zones, whose time differs by 64, 32 or 16 bits from the last.
            25..=27 => {
                ends += 1;
                8 >> (kind - 25)
            }
            // Begins of zones, likewise.
            19 => 16,
            20 => 12,
            21 => 10,
            // Of a zone: that the text before is its own, and a value.
            0 => 0,
            82 => 8,
            // Messages: with the text before, and a literal's.
            2 => 9,
            91 => 16,
            // A text in full; the longer ones tell how much longer than 256 bytes they are.
            112 => 2 + 256 + usize::from(u16::from_le_bytes([fields[0], fields[1]])),
            114 => 1 + usize::from(fields[0]),
            // Which thread it was, how busy the system is, that the client is still there.
            75 => 4,
            97 => 12,
            74 => 0,
            _ => panic!("Tracy's client sends something new: {kind}"),
        };
        rest = &fields[len..];
    }
    ends
}
