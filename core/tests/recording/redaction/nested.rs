//! What lies within values, against the obvious thing: encode, decode, and take out what must not be there.

use std::cell::RefCell;

use proptest::prelude::*;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};
use spanring::recorder::Limits;
use spanring::redaction::{Redaction, Value as Given, Verdict};
use spanring::{Ended, span};

use super::{Pieces, SECRET, plan, without_secrets};
use crate::flight::{Flight, Plan, Value};
use crate::packing::decoded::Decoded;

/// A value of some depth.
#[derive(Clone, Debug)]
enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Wide(u128),
    Text(String),
    Displayed(String),
    Some(Box<Node>),
    /// Whether it says how long it is.
    List(Vec<Node>, bool),
    Map(Vec<(Node, Node)>, bool),
    /// Fields `kept`, `password` and `gone`.
    Struct(Box<[Node; 3]>),
    /// Variants of these names.
    Newtype(&'static str, Box<Node>),
    Tuple(&'static str, Vec<Node>),
    Fields(&'static str, Box<[Node; 3]>),
}

const FIELDS: [&str; 3] = ["kept", "password", "gone"];

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Null => serializer.serialize_unit(),
            Node::Bool(value) => serializer.serialize_bool(*value),
            Node::Int(value) => serializer.serialize_i64(*value),
            Node::Float(value) => serializer.serialize_f64(*value),
            Node::Wide(value) => serializer.serialize_u128(*value),
            Node::Text(text) => serializer.serialize_str(text),
            Node::Displayed(text) => serializer.collect_str(&Pieces(text, 3)),
            Node::Some(value) => serializer.serialize_some(value),
            Node::List(values, says) => {
                let mut list = serializer.serialize_seq(says.then_some(values.len()))?;
                values.iter().try_for_each(|value| list.serialize_element(value))?;
                list.end()
            }
            Node::Map(pairs, says) => {
                let mut map = serializer.serialize_map(says.then_some(pairs.len()))?;
                pairs.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
            Node::Struct(values) => {
                let mut fields = serializer.serialize_struct("Struct", 3)?;
                FIELDS
                    .iter()
                    .zip(&**values)
                    .try_for_each(|(name, value)| fields.serialize_field(name, value))?;
                fields.end()
            }
            Node::Newtype(name, value) => serializer.serialize_newtype_variant("Enum", 0, name, value),
            Node::Tuple(name, values) => {
                let mut list = serializer.serialize_tuple_variant("Enum", 0, name, values.len())?;
                values.iter().try_for_each(|value| list.serialize_field(value))?;
                list.end()
            }
            Node::Fields(name, values) => {
                let mut fields = serializer.serialize_struct_variant("Enum", 0, name, 3)?;
                FIELDS
                    .iter()
                    .zip(&**values)
                    .try_for_each(|(name, value)| fields.serialize_field(name, value))?;
                fields.end()
            }
        }
    }
}

/// Texts, of which some are keys that are redacted and some hold a secret.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => prop::sample::select(vec!["kept", "auth", "passWord", "gone", "token", "7", "", "a.gone"])
            .prop_map(str::to_owned),
        1 => "[a-z€]{0,9}",
        1 => "[a-z€]{0,9}".prop_map(|before| format!("{before} {SECRET} {SECRET}")),
        1 => (0_usize..1_300).prop_map(|len| "x".repeat(len) + SECRET),
    ]
}

fn nodes() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        1 => Just(Node::Null),
        1 => any::<bool>().prop_map(Node::Bool),
        2 => (0_i64..9).prop_map(Node::Int),
        1 => (0_u8..3).prop_map(|number| Node::Float(f64::from(number) / 2.0)),
        1 => (0_u128..2).prop_map(Node::Wide),
        3 => texts().prop_map(Node::Text),
        1 => texts().prop_map(Node::Displayed),
    ];
    let variant = || prop::sample::select(vec!["Kept", "Password", "Gone"]);
    leaf.prop_recursive(4, 40, 5, move |node| {
        let key = prop_oneof![
            4 => texts().prop_map(Node::Text),
            1 => texts().prop_map(Node::Displayed),
            1 => (0_i64..9).prop_map(Node::Int),
            1 => any::<bool>().prop_map(Node::Bool),
        ];
        let three = || prop::array::uniform3(node.clone()).prop_map(Box::new);
        prop_oneof![
            1 => node.clone().prop_map(|node| Node::Some(Box::new(node))),
            3 => (prop::collection::vec(node.clone(), 0..5), any::<bool>()).prop_map(|(list, says)| Node::List(list, says)),
            4 => (prop::collection::vec((key, node.clone()), 0..18), any::<bool>())
                .prop_map(|(map, says)| Node::Map(map, says)),
            2 => three().prop_map(Node::Struct),
            1 => (variant(), node.clone()).prop_map(|(name, node)| Node::Newtype(name, Box::new(node))),
            1 => (variant(), prop::collection::vec(node.clone(), 0..3)).prop_map(|(name, list)| Node::Tuple(name, list)),
            1 => (variant(), three()).prop_map(|(name, fields)| Node::Fields(name, fields)),
        ]
    })
}

fn redaction() -> Redaction {
    let decide = |path: &str, value: Given<'_>| match value {
        Given::I64(5) | Given::Bool(true) => Verdict::LeaveOut,
        Given::I64(6) => Verdict::Replace(format!("six {SECRET}")),
        Given::F64(0.5) => Verdict::Replace(path.to_owned()),
        Given::Bytes([.., 1]) => Verdict::LeaveOut,
        Given::Text("left out") => Verdict::LeaveOut,
        _ => Verdict::Keep,
    };
    Redaction::new()
        .key("PASSWORD")
        .key("7")
        .leave_out("gone")
        .leave_out("auth.token")
        .values(decide)
        .texts(without_secrets)
}

/// The obvious thing: what is left of a value, counting what was redacted.
struct Obvious {
    count: u64,
}

impl Obvious {
    fn text(&mut self, text: &str, is_other: bool) -> Decoded {
        let shown = without_secrets("", text).unwrap();
        self.count += u64::from(is_other || shown != text);
        Decoded::Str(shown)
    }

    fn none(&mut self) -> Option<Decoded> {
        self.count += 1;
        None
    }

    /// The value of a key, by the key alone; else by what it is.
    fn of_key(&mut self, path: &str, value: impl FnOnce(&mut Self) -> Option<Decoded>) -> Option<Decoded> {
        let path = path.to_lowercase();
        let is = |key: &str| path.ends_with(&format!(".{key}"));
        if is("gone") || is("auth.token") {
            self.none()
        } else if is("password") || is("7") {
            self.count += 1;
            Some(Decoded::Str("[redacted]".to_owned()))
        } else {
            value(self)
        }
    }

    fn list(&mut self, values: &[Node], path: &str) -> Decoded {
        Decoded::List(values.iter().filter_map(|value| self.value(value, path)).collect())
    }

    fn fields(&mut self, values: &[Node; 3], path: &str) -> Decoded {
        let fields = FIELDS.iter().zip(values).filter_map(|(name, value)| {
            let path = format!("{path}.{name}");
            let value = self.of_key(&path, |this| this.value(value, &path))?;
            Some((Decoded::Str((*name).to_owned()), value))
        });
        Decoded::Map(fields.collect())
    }

    /// A variant is there if what it holds is.
    fn variant(
        &mut self,
        name: &str,
        path: &str,
        value: impl FnOnce(&mut Self, &str) -> Option<Decoded>,
    ) -> Option<Decoded> {
        let path = format!("{path}.{name}");
        let value = self.of_key(&path, |this| value(this, &path))?;
        Some(Decoded::Map(vec![(Decoded::Str(name.to_owned()), value)]))
    }

    fn value(&mut self, node: &Node, path: &str) -> Option<Decoded> {
        Some(match node {
            Node::Int(5) | Node::Bool(true) | Node::Wide(1) => return self.none(),
            Node::Int(6) => self.text(&format!("six {SECRET}"), true),
            Node::Float(0.5) => self.text(path, true),
            Node::Text(text) | Node::Displayed(text) => self.text(text, false),
            Node::Null => Decoded::Nil,
            Node::Bool(value) => Decoded::Bool(*value),
            Node::Int(value) => Decoded::Int((*value).into()),
            Node::Float(value) => Decoded::Float(value.to_bits()),
            Node::Wide(value) => Decoded::Bytes(value.to_be_bytes().to_vec()),
            Node::Some(value) => return self.value(value, path),
            Node::List(values, _) => self.list(values, path),
            Node::Map(pairs, _) => {
                let pairs = pairs.iter().filter_map(|(key, value)| {
                    let name = match key {
                        Node::Text(text) | Node::Displayed(text) => text.clone(),
                        Node::Int(number) => number.to_string(),
                        Node::Bool(value) => value.to_string(),
                        key => panic!("{key:?} is no key here"),
                    };
                    let path = format!("{path}.{name}");
                    let mut is_there = false;
                    let value = self.of_key(&path, |this| {
                        is_there = true;
                        this.value(value, &path)
                    });
                    // A key is looked at if it is written, even if it is taken back with its value.
                    let key = (is_there || value.is_some()).then(|| match key {
                        Node::Int(number) => Decoded::Int((*number).into()),
                        Node::Bool(value) => Decoded::Bool(*value),
                        _ => self.text(&name, false),
                    });
                    key.zip(value)
                });
                Decoded::Map(pairs.collect())
            }
            Node::Struct(values) => self.fields(values, path),
            Node::Newtype(name, value) => {
                return self.variant(name, path, |this, path| this.value(value, path));
            }
            Node::Tuple(name, values) => {
                return self.variant(name, path, |this, path| Some(this.list(values, path)));
            }
            Node::Fields(name, values) => {
                return self.variant(name, path, |this, path| Some(this.fields(values, path)));
            }
        })
    }
}

#[test]
fn what_is_left_of_a_value_is_what_the_obvious_thing_leaves() {
    let flight = RefCell::new(Flight::start(Plan { ring_bytes: 8 << 20, lanes: 4, ..plan(redaction()) }));
    proptest!(ProptestConfig::with_cases(256), |(node in nodes())| {
        let before = flight.borrow().counters(0).redacted;
        let span = span("nested").start();
        span.set("before", -1).set_value("value", &node).set_value_named("named", &node).set("after", -2);
        span.event_with("event", |event| {
            event.set_value("value", &node);
            event.set("after", -3);
        });
        prop_assert_eq!(span.end(), Ended::Recorded);
        let seen = flight.borrow_mut().take_one();
        let attributes = || seen.attributes.iter().chain(&seen.events[0].attributes);
        if attributes().any(|attribute| attribute.cut) {
            return Ok(()); // it was too large for the cells that there are
        }
        let mut obvious = Obvious { count: 0 };
        let mut expected = Vec::new();
        for (key, number) in [("before", Some(-1)), ("value", None), ("named", None), ("after", Some(-2)), ("value", None), ("after", Some(-3))] {
            let value = match number {
                Some(number) => Some(Decoded::Int(number)),
                None => obvious.value(&node, key),
            };
            expected.extend(value.map(|value| (key, value)));
        }
        let found = attributes().map(|attribute| {
            let value = match &attribute.value {
                Value::I64(number) => Decoded::Int((*number).into()),
                Value::Packed(bytes) => Decoded::whole(bytes),
                other => panic!("{other:?} was never set"),
            };
            (&*attribute.key, value)
        });
        prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        prop_assert_eq!(flight.borrow().counters(0).redacted - before, obvious.count);
    });
    assert_eq!(flight.borrow().counters(0).values_failed, 0);
}

#[test]
fn what_is_left_out_takes_nothing_of_what_a_value_may_have() {
    let limits = Limits { value_bytes: 100, attributes: 2, ..Limits::default() };
    let mut flight = Flight::start(Plan { limits, ..plan(redaction()) });
    let left_out = (0..60).map(|number| (Node::Text(format!("key {number}")), Node::Int(5)));
    let kept = (Node::Text("kept".to_owned()), Node::Int(1));
    let span = span("span").start();
    span.set_value("number", &5).set_value("debug.gone", &Node::Null).set("gone", 1);
    span.set_value("map", &Node::Map(left_out.chain([kept]).collect(), true));
    span.set_value("list", &Node::List(vec![Node::Newtype("Kept", Box::new(Node::Bool(true))); 60], false));
    assert_eq!(span.end(), Ended::Recorded);
    let seen = flight.take_one();
    assert!(seen.attributes.iter().all(|attribute| !attribute.cut), "{seen:?}");
    let values = seen.attributes.iter().map(|attribute| match &attribute.value {
        Value::Packed(bytes) => Decoded::whole(bytes),
        other => panic!("{other:?} was never set"),
    });
    let kept = (Decoded::Str("kept".to_owned()), Decoded::Int(1));
    assert_eq!(values.collect::<Vec<_>>(), [Decoded::Map(vec![kept]), Decoded::List(Vec::new())]);
    assert_eq!(flight.counters(0).redacted, 123);
}
