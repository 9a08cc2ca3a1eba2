//! What a disk would hold after a power cut: which names and which pages were synced, and what may or may not have
//! reached it besides.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

const PAGE: u64 = 4096;
const PAGE_LEN: usize = 4096;

/// What becomes of that which was not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unsynced {
    /// All of it is gone.
    Dropped,
    /// All of it is there, as after a kill.
    Kept,
    /// Of each page some of the writes are there, in their order, and of each directory some of the changes; the seed
    /// decides how many.
    Seeded(u64),
}

/// A directory tree, and how much of it has reached the disk.
#[derive(Debug)]
pub(crate) struct Model {
    root: PathBuf,
    dirs: Vec<Dir>,
    files: Vec<FileModel>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Node {
    Dir(usize),
    File(usize),
}

#[derive(Debug, Default)]
struct Dir {
    entries: BTreeMap<String, Node>,
    synced: BTreeMap<String, Node>,
    changes: Vec<Change>,
    applied: usize,
}

#[derive(Clone, Debug)]
enum Change {
    Add(String, Node),
    Remove(String),
    Rename(String, String),
}

#[derive(Debug)]
struct FileModel {
    len: u64,
    synced_len: Option<u64>,
    pages: BTreeMap<u64, Page>,
    /// Of a mapped file, whose writes nobody sees: its content.
    shared: Option<File>,
}

#[derive(Debug, Default)]
struct Page {
    synced: Vec<u8>,
    writes: Vec<(usize, Vec<u8>)>,
    /// How many writes were synced and left the list before.
    applied: usize,
    /// Whether the kernel would write it at the next sync. A sync that fails makes it clean all the same.
    dirty: bool,
}

/// What a sync that has begun will have made durable when it returns.
pub(crate) struct FileSync {
    pages: Vec<(u64, usize)>,
    len: u64,
}

impl Model {
    pub(crate) fn new(root: &Path) -> Self {
        Model { root: fs::canonicalize(root).unwrap(), dirs: vec![Dir::default()], files: Vec::new() }
    }

    pub(crate) fn create_dir(&mut self, path: &Path) {
        if let Some((dir, name)) = self.place(path) {
            self.dirs.push(Dir::default());
            let node = Node::Dir(self.dirs.len() - 1);
            self.change(dir, Change::Add(name, node));
        }
    }

    /// The number of the new file, by which it is known whatever its name becomes.
    pub(crate) fn create(&mut self, path: &Path, len: u64, shared: bool) -> Option<usize> {
        let (dir, name) = self.place(path)?;
        let shared = shared.then(|| File::open(path).unwrap());
        self.files.push(FileModel { len, synced_len: None, pages: BTreeMap::new(), shared });
        let number = self.files.len() - 1;
        self.change(dir, Change::Add(name, Node::File(number)));
        Some(number)
    }

    pub(crate) fn open(&mut self, path: &Path, len: u64) -> Option<usize> {
        let (dir, name) = self.place(path)?;
        let Some(&Node::File(number)) = self.dirs[dir].entries.get(&name) else {
            panic!("{} was not made through this storage", path.display());
        };
        let file = &mut self.files[number];
        file.len = file.len.max(len);
        Some(number)
    }

    pub(crate) fn remove(&mut self, path: &Path) {
        if let Some((dir, name)) = self.place(path) {
            self.change(dir, Change::Remove(name));
        }
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) {
        let (Some((from, from_name)), Some((to, to_name))) = (self.place(from), self.place(to)) else {
            return;
        };
        assert_eq!(from, to, "a rename between directories is not modelled");
        self.change(from, Change::Rename(from_name, to_name));
    }

    pub(crate) fn write(&mut self, number: usize, offset: u64, bytes: &[u8]) {
        let pages = &mut self.files[number].pages;
        let (mut offset, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let at = usize::try_from(offset % PAGE).unwrap();
            let (now, later) = rest.split_at(rest.len().min(PAGE_LEN - at));
            let page = pages.entry(offset / PAGE).or_default();
            page.writes.push((at, now.to_vec()));
            page.dirty = true;
            offset += now.len() as u64;
            rest = later;
        }
    }

    pub(crate) fn truncate(&mut self, number: usize, len: u64) {
        self.files[number].len = len;
    }

    pub(crate) fn begin_sync(&mut self, number: usize) -> FileSync {
        let file = &mut self.files[number];
        let mut pages = Vec::new();
        for (&number, page) in file.pages.iter_mut().filter(|(_, page)| page.dirty) {
            page.dirty = false;
            pages.push((number, page.applied + page.writes.len()));
        }
        FileSync { pages, len: file.len }
    }

    pub(crate) fn end_sync(&mut self, number: usize, sync: FileSync) {
        let file = &mut self.files[number];
        file.synced_len = Some(sync.len);
        for (number, up_to) in sync.pages {
            let page = file.pages.get_mut(&number).unwrap();
            let done = up_to.saturating_sub(page.applied).min(page.writes.len());
            page.synced = page.after(done);
            page.writes.drain(..done);
            page.applied += done;
        }
    }

    /// How many changes of a directory a sync that begins now will have made durable.
    pub(crate) fn begin_sync_dir(&self, path: &Path) -> Option<(usize, usize)> {
        let dir = self.dir(&fs::canonicalize(path).ok()?)?;
        Some((dir, self.dirs[dir].applied + self.dirs[dir].changes.len()))
    }

    pub(crate) fn end_sync_dir(&mut self, (dir, up_to): (usize, usize)) {
        let dir = &mut self.dirs[dir];
        let done = up_to.saturating_sub(dir.applied);
        dir.applied += done;
        for change in dir.changes.drain(..done) {
            change.apply(&mut dir.synced);
        }
    }

    /// What would not survive a power cut for certain: files by their paths, and directories whose names would not, with
    /// a slash behind. Mapped files are never synced, and left out.
    pub(crate) fn unsynced(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.walk(0, "", &mut found);
        found
    }

    fn walk(&self, dir: usize, path: &str, found: &mut Vec<String>) {
        if !self.dirs[dir].changes.is_empty() {
            found.push(format!("{path}/"));
        }
        for (name, node) in &self.dirs[dir].entries {
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            match *node {
                Node::Dir(dir) => self.walk(dir, &path, found),
                Node::File(number) => {
                    let file = &self.files[number];
                    let written = file.pages.values().any(|page| !page.writes.is_empty());
                    if file.shared.is_none() && (written || file.synced_len != Some(file.len)) {
                        found.push(path);
                    }
                }
            }
        }
    }

    /// Makes, in an empty directory, what a power cut would leave. Lock files are made to say that they were locked in
    /// another boot, and are the files that they are.
    pub(crate) fn power_cut(&self, into: &Path, unsynced: Unsynced) {
        let mut chance = Chance::new(unsynced);
        self.leave(0, into, &mut chance);
    }

    fn leave(&self, dir: usize, into: &Path, chance: &mut Chance) {
        let dir = &self.dirs[dir];
        let mut entries = dir.synced.clone();
        for change in &dir.changes[..chance.up_to(dir.changes.len())] {
            change.apply(&mut entries);
        }
        for (name, node) in entries {
            let path = into.join(&name);
            match node {
                Node::Dir(dir) => {
                    fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
                    self.leave(dir, &path, chance);
                }
                Node::File(number) => {
                    let bytes = self.files[number].left(chance);
                    let mut file = fs::OpenOptions::new();
                    let mut file = file.write(true).create_new(true).mode(0o600).open(&path).unwrap();
                    file.write_all(&bytes).unwrap();
                    if name == "lock" {
                        boot_again(&path).unwrap();
                    }
                }
            }
        }
    }

    fn change(&mut self, dir: usize, change: Change) {
        let dir = &mut self.dirs[dir];
        change.apply(&mut dir.entries);
        dir.changes.push(change);
    }

    /// The directory and the name that a path leads to; `None` outside of the root.
    fn place(&self, path: &Path) -> Option<(usize, String)> {
        let parent = fs::canonicalize(path.parent()?).ok()?;
        Some((self.dir(&parent)?, path.file_name()?.to_str()?.to_owned()))
    }

    fn dir(&self, path: &Path) -> Option<usize> {
        let mut dir = 0;
        for component in path.strip_prefix(&self.root).ok()?.components() {
            let Component::Normal(name) = component else { return None };
            let Some(&Node::Dir(next)) = self.dirs[dir].entries.get(name.to_str()?) else {
                panic!("{} was not made through this storage", path.display());
            };
            dir = next;
        }
        Some(dir)
    }
}

impl Change {
    fn apply(&self, entries: &mut BTreeMap<String, Node>) {
        match self {
            Change::Add(name, node) => {
                entries.insert(name.clone(), *node);
            }
            Change::Remove(name) => {
                entries.remove(name);
            }
            Change::Rename(from, to) => {
                let node = entries.remove(from).expect("changes are applied in their order");
                entries.insert(to.clone(), node);
            }
        }
    }
}

impl FileModel {
    fn left(&self, chance: &mut Chance) -> Vec<u8> {
        let synced_len = self.synced_len.unwrap_or(0);
        let len = if chance.up_to(1) == 1 { self.len } else { synced_len };
        let len = usize::try_from(len).unwrap();
        let mut bytes = vec![0; len];
        match &self.shared {
            Some(file) => {
                for (number, page) in bytes.chunks_mut(PAGE_LEN).enumerate() {
                    if chance.up_to(1) == 1 {
                        file.read_exact_at(page, number as u64 * PAGE).unwrap();
                    }
                }
            }
            None => {
                for (&number, page) in &self.pages {
                    let content = page.after(chance.up_to(page.writes.len()));
                    let at = usize::try_from(number * PAGE).unwrap();
                    if at < len {
                        let room = (len - at).min(content.len());
                        bytes[at..at + room].copy_from_slice(&content[..room]);
                    }
                }
            }
        }
        bytes
    }
}

impl Page {
    /// The content with the first `count` of the writes that were not synced.
    fn after(&self, count: usize) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        bytes.resize(PAGE_LEN, 0);
        for (at, written) in &self.writes[..count] {
            bytes[*at..at + written.len()].copy_from_slice(written);
        }
        bytes
    }
}

/// Decides what survives.
struct Chance {
    unsynced: Unsynced,
    state: u64,
}

impl Chance {
    fn new(unsynced: Unsynced) -> Self {
        let state = if let Unsynced::Seeded(seed) = unsynced { seed } else { 0 };
        Chance { unsynced, state }
    }

    /// A number from 0 to `max`, both included.
    fn up_to(&mut self, max: usize) -> usize {
        match self.unsynced {
            Unsynced::Dropped => 0,
            Unsynced::Kept => max,
            Unsynced::Seeded(_) => {
                // SplitMix64.
                self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut random = self.state;
                random = (random ^ (random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                random = (random ^ (random >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                random ^= random >> 31;
                usize::try_from(random % (max as u64 + 1)).unwrap()
            }
        }
    }
}

/// Makes a lock file say that another boot locked it, and that it is the file that it is.
pub(crate) fn boot_again(lock: &Path) -> io::Result<()> {
    let Ok(text) = fs::read_to_string(lock) else { return Ok(()) };
    let metadata = fs::metadata(lock)?;
    let mut changed = String::new();
    for line in text.lines() {
        match line.split(' ').next() {
            Some("boot") => changed.push_str("boot 00000000-0000-4000-8000-000000000000"),
            Some("device") => changed.push_str(&format!("device {}", metadata.dev())),
            Some("inode") => changed.push_str(&format!("inode {}", metadata.ino())),
            _ => changed.push_str(line),
        }
        changed.push('\n');
    }
    if text.starts_with("spanring lock 0\n") { fs::write(lock, changed) } else { Ok(()) }
}
