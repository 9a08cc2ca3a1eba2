use super::*;

const SINK: &str = "sink";

fn note(number: u8) -> Note {
    Note { key: vec![number], value: vec![number; 1_000] }
}

#[test]
fn a_file_that_cannot_be_read_costs_what_stands_in_it_and_another_is_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let (mut notebook, _) = Notebook::open(dir.path(), SINK).unwrap();
    notebook.append(&(0..30).map(note).collect::<Vec<_>>()).unwrap();
    assert_eq!(notebook.newest, 2);
    drop(notebook);
    for (number, unread) in [(0, 1), (1, 2)] {
        let unread = dir.path().join(layout::notes(fnv1a(SINK.as_bytes()), unread));
        let read = |path: &Path| match path == unread {
            true => Ok(Err(io::Error::from_raw_os_error(5))),
            false => read_file(path),
        };
        let (mut notebook, noted) =
            Notebook::open_with(Arc::new(DiskStorage), dir.path(), SINK, read).unwrap();
        assert!(
            matches!(&noted.damage[..], [Error::Io { path, .. }] if *path == unread),
            "{:?}",
            noted.damage
        );
        assert!((1..30 + number).contains(&noted.notes.len()), "{}", noted.notes.len());
        notebook.append(&[note(99)]).unwrap();
        drop(notebook);
        assert_eq!(Notebook::open(dir.path(), SINK).unwrap().1.notes.last(), Some(&note(99)));
    }
}

#[test]
fn a_directory_that_was_not_listed_to_its_end_is_not_taken_for_one_without_a_notebook() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    for number in 0..LIST_MAX {
        fs::write(dir.path().join(number.to_string()), b"").unwrap();
    }
    assert!(matches!(Notebook::open(dir.path(), SINK), Err(Error::TooLarge { .. })));
}
