//! Values of any type arrive as `rmp_serde` would write them, and as what they are where it would buffer them.

pub(crate) mod decoded;
mod shape;

use std::cell::RefCell;
use std::fmt;

use proptest::prelude::*;
use serde::ser::{Error as _, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use spanring::record::RECORD_HEADER_LEN;
use spanring::recorder::Limits;
use spanring::{Ended, span};

use crate::flight::{Flight, Plan, Value};
use decoded::Decoded;
use shape::{As, Said, Shape, reference, shapes};

#[test]
fn a_value_arrives_as_rmp_serde_writes_it_and_one_of_unknown_length_means_the_same() {
    let flight = RefCell::new(Flight::start(Plan { ring_bytes: 8 << 20, lanes: 8, ..Plan::default() }));
    proptest!(|(shape in shapes())| {
        let span = span("packed").start();
        span.set_value("exact", &As { shape: &shape, exact: true });
        span.set_value("free", &As { shape: &shape, exact: false });
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.borrow_mut().take_one();
        if seen.attributes.iter().any(|attribute| attribute.cut) {
            return Ok(()); // it was too large for the cells that there are
        }
        let reference = reference(&shape);
        let Some(Value::Packed(free)) = seen.get("free") else { panic!("{seen:?}") };
        assert_eq!(Decoded::whole(free), Decoded::whole(&reference));
        assert_eq!(seen.get("exact"), Some(&Value::Packed(reference)));
    });
    assert_eq!(flight.borrow().counters(0).values_failed, 0);
}

/// Lists, maps and texts of unknown length in each other, behind a text of this length.
fn unknown_behind(before: usize) -> Shape {
    let text = |text: &str| Shape::Display(text.to_owned());
    let list =
        Shape::Seq(vec![Shape::U8(1), Shape::I16(-300), text("l\u{ed}st"), Shape::None], Said::Nothing);
    let corrected = Shape::Seq(vec![Shape::U64(u64::MAX), Shape::Bool(true)], Said::Another(16));
    let map = Shape::Map(
        vec![
            (text("k\u{20ac}y"), list.clone()),
            (Shape::U8(7), Shape::Map(Vec::new(), Said::Nothing)),
            (Shape::Str("corrected".to_owned()), corrected),
        ],
        Said::Nothing,
    );
    let more = Shape::Seq(vec![Shape::U8(200); 5], Said::Another(1));
    let ends = Shape::Seq(Vec::new(), Said::Nothing);
    Shape::Seq(vec![Shape::Str("x".repeat(before)), map, more, ends, list, Shape::F64(1.5)], Said::Nothing)
}

#[test]
fn a_length_is_stored_wherever_it_meets_the_end_of_a_cell() {
    let mut flight = Flight::start(Plan::default());
    for before in (700..970).chain(1_700..1_930) {
        let shape = unknown_behind(before);
        let span = span("borders").start();
        span.set_value("value", &As { shape: &shape, exact: false });
        span.set("after", 1);
        assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.take_one();
        let Some(Value::Packed(packed)) = seen.get("value") else { panic!("{seen:?}") };
        assert_eq!(Decoded::whole(packed), Decoded::whole(&reference(&shape)), "{before}");
        assert_eq!(seen.get("after"), Some(&Value::I64(1)));
    }
    assert_eq!(flight.counters(0).values_cut, 0);
}

#[test]
fn a_value_of_unknown_length_that_is_cut_anywhere_is_read_up_to_there() {
    for limit in [160, 1_000] {
        let limits = Limits { value_bytes: limit, ..Limits::default() };
        let mut flight = Flight::start(Plan { limits, ..Plan::default() });
        let mut counts = 0;
        // The shorter the text before them, the more of the lists, maps and texts is there.
        for before in (0..=limit).rev() {
            let shape = unknown_behind(before);
            let whole = Decoded::whole(&reference(&shape));
            let span = span("cut").start();
            span.set_value("value", &As { shape: &shape, exact: false });
            assert_eq!(span.end(), Ended::Recorded);
            let seen = flight.take_one();
            let Value::Packed(packed) = &seen.attributes[0].value else { panic!("{seen:?}") };
            let (part, is_whole) = Decoded::read(&mut &packed[..]);
            assert!(is_whole != seen.attributes[0].cut && packed.len() <= limit, "{before}: {seen:?}");
            let part = part.unwrap();
            assert!(part.begins(&whole), "{before}: {part:?}");
            let count = part.count() - before.min(part.count());
            assert!(count >= counts, "{before}: more bytes, and fewer values");
            counts = count;
        }
        assert_eq!(counts, Decoded::whole(&reference(&unknown_behind(0))).count());
    }
}

#[test]
fn a_value_of_unknown_length_for_which_the_span_has_no_room_is_read_up_to_there() {
    let mut flight = Flight::start(Plan { ring_bytes: 1 << 16, ..Plan::default() });
    let mut cuts = 0;
    for before in 0..5 {
        let shape = unknown_behind(before);
        let whole = Decoded::whole(&reference(&shape));
        for room in (16_000..16_400).step_by(8) {
            let span = span("full").start();
            span.set("text", "x".repeat(room));
            span.set_value("value", &As { shape: &shape, exact: false });
            assert_eq!(span.end(), Ended::Recorded);
            let seen = flight.take_one();
            let Some(Value::Packed(packed)) = seen.get("value") else { continue };
            let (part, is_whole) = Decoded::read(&mut &packed[..]);
            assert_eq!(is_whole, !seen.attributes[1].cut);
            assert!(part.is_none_or(|part| part.begins(&whole)));
            // A quarter of the ring, less a record's header; a head, and the entries' first words.
            assert!(48 + 8 + room + 8 + packed.len() <= (1 << 14) - RECORD_HEADER_LEN);
            cuts += u32::from(!is_whole);
        }
    }
    assert!(cuts > 50, "{cuts}");
}

#[test]
fn a_wrong_length_is_corrected_where_the_header_has_room_for_the_right_one() {
    let mut flight = Flight::start(Plan { ring_bytes: 8 << 20, lanes: 8, ..Plan::default() });
    for (said, given) in [
        (3, 5),
        (5, 3),
        (0, 1),
        (0, 15),
        (15, 0),
        (16, 3),
        (20, 30),
        (30, 20),
        (16, 65_535),
        (65_536, 2),
        (usize::MAX, 2),
        (0, 16),
        (15, 16),
        (15, 70_000),
        (16, 65_536),
    ] {
        let list = Shape::Seq(vec![Shape::None; given], Said::Another(said));
        let map = Shape::Map(vec![(Shape::U8(1), Shape::None); given], Said::Another(said));
        let fits = given <= 15 || given <= 65_535 && said > 15 || said > 65_535;
        for shape in [list, map] {
            let shape = Shape::Tuple(vec![shape, Shape::Str("after".to_owned())]);
            let span = span("wrong").start();
            span.set_value("value", &As { shape: &shape, exact: false });
            span.set_value("after", &[1]);
            assert_eq!(span.end(), Ended::Recorded);
            let seen = flight.take_one();
            match seen.get("value") {
                Some(Value::Packed(packed)) if fits => {
                    assert_eq!(Decoded::whole(packed), Decoded::whole(&reference(&shape)));
                }
                value => assert!(!fits && value == Some(&Value::Failed), "{said} {given} {value:?}"),
            }
            assert_eq!(seen.get("after"), Some(&Value::packed(&[1])));
        }
    }
    assert_eq!(flight.counters(0).values_failed, 8);
}

/// Serializes a map in a list, as its function says.
struct MapOf(fn(&mut dyn Steps));

/// What can be done to a map.
trait Steps {
    fn key(&mut self);
    fn value(&mut self);
    /// Ignores the error of a value that has begun.
    fn failing_value(&mut self);
}

impl<M: SerializeMap> Steps for M {
    fn key(&mut self) {
        assert!(self.serialize_key("key").is_ok());
    }

    fn value(&mut self) {
        assert!(self.serialize_value(&1).is_ok());
    }

    fn failing_value(&mut self) {
        struct Fails;
        impl Serialize for Fails {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_seq(None)?.serialize_element(&1)?;
                Err(S::Error::custom("on purpose"))
            }
        }
        assert!(self.serialize_value(&Fails).is_err());
    }
}

impl Serialize for MapOf {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        (self.0)(&mut map);
        map.end()
    }
}

#[test]
fn a_map_that_is_none_fails_and_so_does_an_element_whose_error_is_ignored() {
    let mut flight = Flight::start(Plan::default());
    let span = span("maps").start();
    span.set_value(
        "good",
        &[MapOf(|map| {
            map.key();
            map.value();
        })],
    );
    span.set_value("key", &[MapOf(|map| map.key())]);
    span.set_value(
        "ignored",
        &[MapOf(|map| {
            map.key();
            map.failing_value();
            map.key();
            map.value();
        })],
    );
    span.set_value("after", &1);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    let Some(Value::Packed(good)) = seen.get("good") else { panic!("{seen:?}") };
    let pair = (Decoded::Str("key".to_owned()), Decoded::Int(1));
    assert_eq!(Decoded::whole(good), Decoded::List(vec![Decoded::Map(vec![pair])]));
    assert_eq!(seen.get("key"), Some(&Value::Failed));
    assert_eq!(seen.get("ignored"), Some(&Value::Failed));
    assert_eq!(seen.get("after"), Some(&Value::packed(&1)));
    assert_eq!(flight.counters(0).values_failed, 2);
}

#[test]
fn a_value_whose_failed_element_was_ignored_fails_even_if_it_is_cut_later() {
    struct Ignores;
    impl Serialize for Ignores {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            let mut map = to.serialize_map(None)?;
            map.key();
            map.failing_value();
            map.key();
            map.serialize_value(&"x".repeat(100_000))?;
            map.end()
        }
    }
    let mut flight = Flight::start(Plan { ring_bytes: 1 << 16, ..Plan::default() });
    let span = span("ignores").start();
    span.set_value("value", &Ignores).set("after", 1);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!((seen.get("value"), seen.get("after")), (Some(&Value::Failed), Some(&Value::I64(1))));
    assert_eq!((flight.counters(0).values_failed, flight.counters(0).values_cut), (1, 0));
}

#[test]
fn a_display_that_fails_makes_the_value_fail() {
    struct Refuses;
    impl fmt::Display for Refuses {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("some text, then")?;
            Err(fmt::Error)
        }
    }
    impl Serialize for Refuses {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_str(self)
        }
    }
    let mut flight = Flight::start(Plan::default());
    let span = span("refuses").start();
    span.set_value("value", &[Refuses]).set("after", 1);
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert_eq!((seen.get("value"), seen.get("after")), (Some(&Value::Failed), Some(&Value::I64(1))));
}

#[test]
fn an_extension_type_is_the_list_that_it_is_made_from() {
    #[derive(Serialize)]
    #[serde(rename = "_ExtStruct")]
    struct Extension((i8, &'static str));
    let mut flight = Flight::start(Plan::default());
    let span = span("extension").start();
    span.set_value("value", &Extension((7, "content")));
    assert_eq!(span.end(), Ended::Recorded);
    assert_eq!(flight.take_one().get("value"), Some(&Value::packed(&(7, "content"))));
}
