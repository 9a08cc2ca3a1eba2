//! Rotations that do not get to their end, and what lies about then.

use super::*;

#[test]
fn a_death_after_any_step_loses_no_line_and_doubles_none() {
    const STAMP: &str = "20261129T025157Z-000000";
    let part = |bytes: Vec<u8>| bytes[..bytes.len() / 2].to_vec();
    let compressed = || zstd::encode_all(line(3).as_slice(), LEVEL).unwrap();
    let place = |is_rotated: bool| {
        let place = Place::new(Compression::Zstd);
        fs::write(place.live(), lines([if is_rotated { 2 } else { 3 }])).unwrap();
        if is_rotated {
            fs::write(place.path(STAMP), line(3)).unwrap();
        }
        place
    };
    type Death<'a> = (&'static str, bool, Box<dyn Fn(&Place) + 'a>);
    let at = |form: &str| format!("{STAMP}{form}");
    let deaths: Vec<Death<'_>> = vec![
        ("before", false, Box::new(|_| {})),
        ("1: made", false, Box::new(|place| fs::write(place.path(&at(".next")), "").unwrap())),
        (
            "2: linked",
            false,
            Box::new(|place| {
                fs::write(place.path(&at(".next")), "").unwrap();
                fs::hard_link(place.live(), place.path(STAMP)).unwrap();
            }),
        ),
        (
            "2: swept by half",
            false,
            Box::new(|place| fs::hard_link(place.live(), place.path(STAMP)).unwrap()),
        ),
        (
            "3: renamed",
            false,
            Box::new(|place| {
                fs::rename(place.live(), place.path(STAMP)).unwrap();
                fs::write(place.live(), "").unwrap();
            }),
        ),
        (
            "3: and a part of a line",
            false,
            Box::new(|place| {
                fs::rename(place.live(), place.path(STAMP)).unwrap();
                fs::write(place.live(), part(line(4))).unwrap();
            }),
        ),
        ("5: opened", true, Box::new(|place| fs::write(place.path(&at(".zst.tmp")), "").unwrap())),
        (
            "5: written by half",
            true,
            Box::new(|place| fs::write(place.path(&at(".zst.tmp")), part(compressed())).unwrap()),
        ),
        ("5: done", true, Box::new(|place| fs::write(place.path(&at(".zst.tmp")), compressed()).unwrap())),
        (
            "6: linked",
            true,
            Box::new(|place| {
                fs::write(place.path(&at(".zst.tmp")), compressed()).unwrap();
                fs::hard_link(place.path(&at(".zst.tmp")), place.path(&at(".zst"))).unwrap();
            }),
        ),
        ("6: done", true, Box::new(|place| fs::write(place.path(&at(".zst")), compressed()).unwrap())),
        (
            "7: done",
            true,
            Box::new(|place| {
                fs::write(place.path(&at(".zst")), compressed()).unwrap();
                fs::remove_file(place.path(STAMP)).unwrap();
            }),
        ),
    ];
    for (death, is_rotated, happens) in &deaths {
        let place = place(*is_rotated);
        happens(&place);
        let mut sink = place.open();
        let next = |name: &String| name.ends_with(".next") || name.ends_with(".tmp");
        assert!(!place.names().iter().any(next), "{death}: {:?}", place.names());
        assert_eq!(place.deliver(&mut sink, 1), "", "{death}");
        assert!(place.names().iter().all(|name| name.ends_with(".zst")), "{death}: {:?}", place.names());
        place.deliver(&mut sink, 4);
        let all = if *is_rotated { lines([3, 2, 1, 4]) } else { lines([3, 1, 4]) };
        assert_eq!(place.files().concat(), all, "{death}: {:?}", place.names());
        for path in place.names() {
            assert_eq!(fs::metadata(place.dir.path().join(&path)).unwrap().nlink(), 1, "{death}: {path}");
        }
    }
}

#[test]
fn a_rotation_that_did_not_get_through_is_undone_also_where_nothing_is_rotated_any_more() {
    let mut place = Place::new(Compression::None);
    fs::write(place.live(), line(3)).unwrap();
    fs::hard_link(place.live(), place.path("20261129T025157Z-000000")).unwrap();
    place.options = FileOptions::default();
    let mut sink = place.open();
    place.deliver(&mut sink, 4);
    assert_eq!(place.files(), [lines([3, 4])]);
}

#[test]
fn a_compressed_file_that_holds_something_else_is_left_alone_beside_the_plain_one() {
    const STAMP: &str = "20261129T025157Z-000000";
    let whole = zstd::encode_all(line(3).as_slice(), LEVEL).unwrap();
    let shorter = zstd::encode_all(&line(3)[1..], LEVEL).unwrap();
    let longer = zstd::encode_all(lines([3, 3]).as_slice(), LEVEL).unwrap();
    for other in [&whole[..whole.len() - 1], &whole[..whole.len() / 2], &shorter, &longer, b"", b"mine"] {
        let place = Place::new(Compression::Zstd);
        fs::write(place.path(STAMP), line(3)).unwrap();
        fs::write(place.path(&format!("{STAMP}.zst")), other).unwrap();
        let mut sink = place.open();
        let message = place.deliver(&mut sink, 4);
        assert!(
            message.contains("000000 stays uncompressed") && message.contains("does not hold the same"),
            "{message}"
        );
        // The next rotation's is compressed all the same.
        place.deliver(&mut sink, 4);
        assert_eq!(fs::read(place.path(STAMP)).unwrap(), line(3));
        assert_eq!(fs::read(place.path(&format!("{STAMP}.zst"))).unwrap(), other);
        let [plain, _, compressed] = &place.names()[..] else { panic!("{:?}", place.names()) };
        assert!(plain < compressed && compressed.ends_with(".zst"), "{compressed}");
    }
}

#[test]
fn a_rotated_file_that_an_exporter_may_still_write_to_is_not_compressed() {
    const STAMP: &str = "20261129T025157Z-000000";
    let place = Place::new(Compression::Zstd);
    fs::write(place.path(STAMP), line(3)).unwrap();
    let writer = File::open(place.path(STAMP)).unwrap();
    writer.lock().unwrap();
    let mut sink = place.open();
    let message = place.deliver(&mut sink, 4);
    assert!(message.ends_with("another exporter writes to it"), "{message}");
    drop(writer);
    place.deliver(&mut sink, 4);
    assert_eq!(place.files(), [line(3), line(4), line(4)]);
    assert!(place.names().iter().all(|name| name.ends_with(".zst")));
}

#[test]
fn a_rotation_that_fails_is_a_retry_and_leaves_the_file_as_it_was() {
    let place = Place::new(Compression::None);
    // With a time it is longer than a name may be.
    let live = place.dir.path().join("x".repeat(240));
    let mut sink = FileSink::open_with("file".to_owned(), &live, &place.options).unwrap();
    place.deliver(&mut sink, 4);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = runtime.block_on(sink.deliver(&Spans::new(4).batch()));
    assert!(matches!(&outcome, Outcome::Retry { reason, .. } if reason.contains("too long")), "{outcome:?}");
    assert_eq!((fs::read(&live).unwrap(), place.names().len()), (line(4), 1));
}
