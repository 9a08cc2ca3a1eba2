//! Where the files of a benchmark lie.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Names another directory than the build's.
const DIRECTORY: &str = "SPANRING_BENCH_DIR";

/// A directory for the files of one benchmark, removed in the end.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
}

impl Place {
    /// In the directory that `SPANRING_BENCH_DIR` names, else in `default`: a directory of the build, which is on a disk, while
    /// a system's temporary directory may be memory.
    ///
    /// # Panics
    ///
    /// Where no directory can be made there: there is nothing to measure then.
    pub fn new(default: &str) -> Self {
        let parent = std::env::var_os(DIRECTORY).map_or_else(|| PathBuf::from(default), PathBuf::from);
        fs::create_dir_all(&parent).expect("the directory for benchmarks can be made");
        Place { dir: TempDir::new_in(parent).expect("a directory can be made for this benchmark") }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The kind of file system that it is on, as the kernel calls it.
    pub fn file_system(&self) -> String {
        let path = fs::canonicalize(self.path()).unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let kinds = mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let mounted_at = Path::new(fields.next()?);
            path.starts_with(mounted_at).then_some((mounted_at.as_os_str().len(), fields.next()?))
        });
        // The last of the longest: later mounts hide earlier ones.
        kinds.max_by_key(|&(len, _)| len).map_or("an unknown file system", |(_, kind)| kind).to_owned()
    }
}
