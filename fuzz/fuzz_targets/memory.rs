//! The memory of a recorder, damaged, in memory.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring::image::{ControlImage, Image};
use spanring::record::Body;
use spanring_fuzz::{Damage, directory, files, record_runs};
use spanring_spool::Spool;

struct Template {
    lanes: Vec<Vec<u8>>,
    tables: Vec<Vec<u8>>,
    control: Vec<u8>,
    dictionary: Vec<u8>,
    texts: Vec<String>,
}

static TEMPLATE: OnceLock<Template> = OnceLock::new();

#[derive(Arbitrary, Debug)]
struct Input {
    lane: Option<(u8, [Damage; 2])>,
    table: Option<(u8, Damage)>,
    control: Option<Damage>,
    dictionary: Option<Damage>,
    from: u64,
}

fuzz_target!(init: { TEMPLATE.set(template()).ok().expect("made once") }, |input: Input| {
    let template = TEMPLATE.get().expect("it is made first");
    let (mut lanes, mut tables) = (template.lanes.clone(), template.tables.clone());
    if let Some((index, damages)) = input.lane {
        let lane = &mut lanes[usize::from(index) % template.lanes.len()];
        damages.iter().for_each(|damage| damage.apply(lane));
    }
    if let Some((index, damage)) = input.table {
        damage.apply(&mut tables[usize::from(index) % template.tables.len()]);
    }

    let mut image = Image::default();
    let room: usize = lanes.iter().chain(&tables).map(Vec::len).sum();
    let lanes_ok = lanes.iter().filter(|lane| image.add_lane(lane).is_ok()).count();
    let tables_ok = tables.iter().filter(|table| image.add_table(table).is_ok()).count();
    if input.lane.is_none() {
        assert_eq!(lanes_ok, lanes.len(), "what is whole is read");
        assert!(input.table.is_some() || tables_ok == tables.len());
    }
    let report = image.tables();
    let bodies: usize = report.in_flight.iter().map(|span| span.body.len()).sum();
    assert!(bodies <= room, "{bodies} bytes of spans in {room} bytes of tables");
    for span in &report.in_flight {
        if let Ok(body) = Body::parse(&span.body) {
            assert!(body.entries().count() <= span.body.len());
        }
    }
    for lane in image.lanes() {
        for from in [lane.released().0, input.from] {
            let mut records = lane.records(from);
            assert!(records.by_ref().count() <= room / 24, "a record is at least 24 bytes long");
        }
    }

    if let Some(damage) = input.control {
        let mut control = template.control.clone();
        damage.apply(&mut control);
        if let Ok(ControlImage { timeline: Some(timeline), .. }) = ControlImage::parse(&control) {
            assert!(timeline.ticks_per_second > 0.0);
            let earlier = timeline.unix_ns(input.from);
            assert!(earlier <= timeline.unix_ns(u64::MAX), "time goes forward");
        }
    }
    if let Some(damage) = input.dictionary {
        let mut dictionary = template.dictionary.clone();
        damage.apply(&mut dictionary);
        for (text, written) in spanring::dictionary::parse(&dictionary).unwrap_or_default().iter().zip(&template.texts) {
            // Bytes from elsewhere in the file may be another entry as a whole.
            assert!(text == written || matches!(damage, Damage::Stale { .. }), "{text:?} was {written:?}");
        }
    }
});

fn template() -> Template {
    let path = directory();
    let spool = Spool::open(&path).ring_bytes(4096).rings(1, 1).tables(1, 2).start().expect("a spool starts");
    let dir = path.join(spool.id().as_str());
    let open: Vec<_> = (0..300).map(|_| spanring::span("one of many").start()).collect();
    let last = record_runs(&spool);
    let contents = |prefix| files(&dir, prefix).into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>();
    let dictionary = contents("callsites").remove(0);
    let template = Template {
        lanes: contents("lane-"),
        tables: contents("table-"),
        control: contents("control").remove(0),
        texts: spanring::dictionary::parse(&dictionary).expect("it is whole"),
        dictionary,
    };
    drop((open, last));
    template
}
