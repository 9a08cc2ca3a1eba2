//! Other exporters, other people, and what is theirs.

use super::*;

#[test]
fn what_is_not_ours_is_neither_removed_nor_overwritten() {
    let mut place = Place::new(Compression::Zstd);
    place.options.keep = NonZeroUsize::new(1);
    let foreign = [
        "notes",
        "1",
        "1.zst",
        "20261129T025157Z",
        "20261129T025157Z-1",
        "20261129T025157Z-000000.gz",
        "20261129T025157Z-000000.zst.tmp.old",
        "next",
        "zst.tmp",
        // Something else that was to be a live file has nothing in it.
        "20261129T025157Z-000000.next",
    ];
    for name in foreign {
        fs::write(place.path(name), "mine").unwrap();
    }
    let directories =
        ["20261129T025158Z-000000", "20261129T025158Z-000000.zst.tmp", "29991231T235959Z-000000"];
    for name in directories {
        fs::create_dir(place.path(name)).unwrap();
    }
    let elsewhere = place.dir.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    symlink(&elsewhere, place.path("20261129T025159Z-000000")).unwrap();
    let mut sink = place.open();
    for count in [4, 5, 6, 7] {
        assert_eq!(place.deliver(&mut sink, count), "");
    }
    for path in foreign.map(|name| place.path(name)).iter().chain([&elsewhere]) {
        assert_eq!(fs::read(path).unwrap(), b"mine", "{}", path.display());
    }
    assert!(directories.iter().all(|name| place.path(name).is_dir()));
    assert!(place.path("20261129T025159Z-000000").is_symlink());
    // Behind the directory that is called by a time to come.
    assert_eq!(fs::read(place.live()).unwrap(), line(7));
    let kept = fs::read(place.path("29991231T235959Z-000003.zst")).unwrap();
    assert_eq!(zstd::decode_all(kept.as_slice()).unwrap(), line(6));
}

#[test]
fn the_lock_holds_across_rotations_for_whoever_opens_before_or_after() {
    let place = Place::new(Compression::None);
    let mut sink = place.open();
    place.deliver(&mut sink, 4);
    for _ in 0..3 {
        let opened_before = File::options().read(true).write(true).open(place.live()).unwrap();
        place.deliver(&mut sink, 4);
        let late = Lines::of(opened_before, &place.live(), &place.options, OTLP_LINES).unwrap_err();
        assert_eq!(late.to_string(), "another exporter writes to it");
        let after = Lines::open(&place.live(), &place.options, OTLP_LINES).unwrap_err();
        assert_eq!(after.to_string(), "another exporter writes to it");
    }
    drop(sink);
    place.open();
}

#[test]
fn nobody_gets_in_while_files_are_rotated_all_the_time() {
    let place = Place::new(Compression::None);
    let mut sink = place.open();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..100).for_each(|_| drop(place.deliver(&mut sink, 4))));
        while !writer.is_finished() {
            let error = Lines::open(&place.live(), &place.options, OTLP_LINES).unwrap_err();
            assert_eq!(error.to_string(), "another exporter writes to it");
        }
    });
    assert_eq!(place.files(), vec![line(4); 100]);
}

#[test]
fn a_file_that_was_moved_away_is_left_and_a_writer_that_came_in_between_is_respected() {
    let place = Place::new(Compression::None);
    let mut sink = place.open();
    place.deliver(&mut sink, 1);
    fs::rename(place.live(), place.path("moved")).unwrap();
    let mut other = place.open();
    place.deliver(&mut other, 2);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = runtime.block_on(sink.deliver(&Spans::new(4).batch()));
    let reason = "another exporter writes to it".to_owned();
    assert_eq!(outcome, Outcome::Retry { after: None, reason });
    drop(other);
    place.deliver(&mut sink, 1);
    assert_eq!(fs::read(place.path("moved")).unwrap(), line(1));
    assert_eq!(fs::read(place.live()).unwrap(), lines([2, 1]));
}

#[test]
fn whoever_may_read_the_file_may_read_those_that_come_of_it() {
    let place = Place::new(Compression::Zstd);
    let mut sink = place.open();
    place.deliver(&mut sink, 4);
    fs::set_permissions(place.live(), fs::Permissions::from_mode(0o640)).unwrap();
    place.deliver(&mut sink, 4);
    place.deliver(&mut sink, 4);
    for path in place.names().iter().map(|name| place.dir.path().join(name)).chain([place.live()]) {
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640, "{}", path.display());
    }
}

#[test]
fn what_a_link_leads_to_is_rotated_and_the_link_stays() {
    let place = Place::new(Compression::None);
    let link = place.dir.path().join("link");
    symlink(place.live(), &link).unwrap();
    fs::write(place.live(), "").unwrap();
    let mut sink = FileSink::open_with("file".to_owned(), &link, &place.options).unwrap();
    place.deliver_all(&mut sink, &[4, 5]);
    assert!(link.is_symlink());
    fs::remove_file(link).unwrap();
    assert_eq!(place.files(), [line(4), line(5)]);
}

#[test]
fn a_link_into_nowhere_that_is_called_as_a_compressed_file_stays_with_the_plain_one() {
    const STAMP: &str = "20261129T025157Z-000000";
    let place = Place::new(Compression::Zstd);
    fs::write(place.path(STAMP), line(3)).unwrap();
    let link = place.path(&format!("{STAMP}.zst"));
    symlink("nowhere", &link).unwrap();
    let mut sink = place.open();
    let message = place.deliver(&mut sink, 1);
    assert!(message.contains("000000 stays uncompressed: File exists"), "{message}");
    assert!(link.is_symlink() && place.names().len() == 2, "{:?}", place.names());
    assert_eq!(fs::read(place.path(STAMP)).unwrap(), line(3));
}
