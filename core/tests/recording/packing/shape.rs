//! Values of every shape that serde knows.

use std::fmt;

use proptest::prelude::*;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};

/// A value of serde's model.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Bool(bool),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    F32(f32),
    F64(f64),
    Char(char),
    Str(String),
    /// Text whose length is known at its end.
    Display(String),
    Bytes(Vec<u8>),
    None,
    Some(Box<Shape>),
    Unit,
    UnitStruct,
    UnitVariant,
    Newtype(Box<Shape>),
    NewtypeVariant(Box<Shape>),
    Seq(Vec<Shape>, Said),
    Tuple(Vec<Shape>),
    TupleStruct(Vec<Shape>),
    TupleVariant(Vec<Shape>),
    Map(Vec<(Shape, Shape)>, Said),
    Struct(Vec<Shape>),
    StructVariant(Vec<Shape>),
}

/// What a list or map says about its length before it begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Said {
    Length,
    Nothing,
    Another(usize),
}

impl Said {
    fn hint(self, len: usize, exact: bool) -> Option<usize> {
        match self {
            Said::Nothing if !exact => None,
            Said::Another(other) if !exact => Some(other),
            _ => Some(len),
        }
    }
}

/// A value that serializes as its shape says, or with all lengths known before.
#[derive(Clone, Copy)]
pub(super) struct As<'a> {
    pub(super) shape: &'a Shape,
    pub(super) exact: bool,
}

impl As<'_> {
    fn each<E>(self, parts: &[Shape], mut part: impl FnMut(&As<'_>) -> Result<(), E>) -> Result<(), E> {
        parts.iter().try_for_each(|shape| part(&As { shape, ..self }))
    }
}

impl Serialize for As<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        assert!(!to.is_human_readable());
        let of = |shape| As { shape, ..*self };
        match self.shape {
            Shape::Bool(value) => to.serialize_bool(*value),
            Shape::I8(value) => to.serialize_i8(*value),
            Shape::I16(value) => to.serialize_i16(*value),
            Shape::I32(value) => to.serialize_i32(*value),
            Shape::I64(value) => to.serialize_i64(*value),
            Shape::I128(value) => to.serialize_i128(*value),
            Shape::U8(value) => to.serialize_u8(*value),
            Shape::U16(value) => to.serialize_u16(*value),
            Shape::U32(value) => to.serialize_u32(*value),
            Shape::U64(value) => to.serialize_u64(*value),
            Shape::U128(value) => to.serialize_u128(*value),
            Shape::F32(value) => to.serialize_f32(*value),
            Shape::F64(value) => to.serialize_f64(*value),
            Shape::Char(value) => to.serialize_char(*value),
            Shape::Display(value) if !self.exact => to.collect_str(&Pieces(value)),
            Shape::Str(value) | Shape::Display(value) => to.serialize_str(value),
            Shape::Bytes(value) => to.serialize_bytes(value),
            Shape::None => to.serialize_none(),
            Shape::Some(value) => to.serialize_some(&of(value)),
            Shape::Unit => to.serialize_unit(),
            Shape::UnitStruct => to.serialize_unit_struct("S"),
            Shape::UnitVariant => to.serialize_unit_variant("E", 0, "Unit"),
            Shape::Newtype(value) => to.serialize_newtype_struct("N", &of(value)),
            Shape::NewtypeVariant(value) => to.serialize_newtype_variant("E", 1, "Newtype", &of(value)),
            Shape::Seq(values, said) => {
                let mut seq = to.serialize_seq(said.hint(values.len(), self.exact))?;
                self.each(values, |value| seq.serialize_element(value))?;
                seq.end()
            }
            Shape::Tuple(values) => {
                let mut tuple = to.serialize_tuple(values.len())?;
                self.each(values, |value| tuple.serialize_element(value))?;
                tuple.end()
            }
            Shape::TupleStruct(values) => {
                let mut tuple = to.serialize_tuple_struct("T", values.len())?;
                self.each(values, |value| tuple.serialize_field(value))?;
                tuple.end()
            }
            Shape::TupleVariant(values) => {
                let mut tuple = to.serialize_tuple_variant("E", 2, "Tuple", values.len())?;
                self.each(values, |value| tuple.serialize_field(value))?;
                tuple.end()
            }
            Shape::Map(pairs, said) => {
                let mut map = to.serialize_map(said.hint(pairs.len(), self.exact))?;
                for (key, value) in pairs {
                    map.serialize_key(&of(key))?;
                    map.serialize_value(&of(value))?;
                }
                map.end()
            }
            Shape::Struct(values) => {
                let mut fields = to.serialize_struct("S", values.len())?;
                self.each(values, |value| fields.serialize_field("the name of a field", value))?;
                fields.end()
            }
            Shape::StructVariant(values) => {
                let mut fields = to.serialize_struct_variant("E", 3, "Struct", values.len())?;
                self.each(values, |value| fields.serialize_field("f", value))?;
                fields.end()
            }
        }
    }
}

/// Displays a text in pieces.
struct Pieces<'a>(&'a str);

impl fmt::Display for Pieces<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| write!(f, "{character}"))
    }
}

/// The value with all lengths known, as `rmp_serde` writes it.
pub(super) fn reference(shape: &Shape) -> Vec<u8> {
    rmp_serde::to_vec_named(&As { shape, exact: true }).unwrap()
}

pub(super) fn shapes() -> impl Strategy<Value = Shape> {
    let number = prop_oneof![
        any::<i8>().prop_map(Shape::I8),
        any::<i16>().prop_map(Shape::I16),
        any::<i32>().prop_map(Shape::I32),
        any::<i64>().prop_map(Shape::I64),
        any::<i128>().prop_map(Shape::I128),
        any::<u8>().prop_map(Shape::U8),
        any::<u16>().prop_map(Shape::U16),
        any::<u32>().prop_map(Shape::U32),
        any::<u64>().prop_map(Shape::U64),
        any::<u128>().prop_map(Shape::U128),
        (0_u32..64, any::<bool>()).prop_map(|(bits, less)| Shape::U64((1 << bits) - u64::from(less))),
        (0_u32..63, 0_i64..3).prop_map(|(bits, less)| Shape::I64(-(1 << bits) - less + 1)),
        any::<f32>().prop_map(Shape::F32),
        any::<f64>().prop_map(Shape::F64),
    ];
    let text = prop_oneof![4 => 0_usize..40, 1 => 200_usize..300, 1 => 900_usize..2_000]
        .prop_flat_map(|len| prop::collection::vec(any::<char>(), len..=len))
        .prop_map(String::from_iter);
    let bytes = prop_oneof![4 => 0_usize..40, 1 => 200_usize..300, 1 => 65_500_usize..65_600]
        .prop_map(|len| Shape::Bytes((0..=255).cycle().take(len).collect()));
    let one = prop_oneof![
        3 => number,
        1 => any::<bool>().prop_map(Shape::Bool),
        1 => any::<char>().prop_map(Shape::Char),
        1 => text.clone().prop_map(Shape::Str),
        1 => text.prop_map(Shape::Display),
        1 => bytes,
        1 => prop::sample::select(vec![Shape::None, Shape::Unit, Shape::UnitStruct, Shape::UnitVariant]),
    ];
    one.prop_recursive(5, 60, 6, |inner| {
        let said = prop_oneof![
            2 => Just(Said::Length),
            2 => Just(Said::Nothing),
            1 => prop_oneof![6_usize..20, Just(70_000), Just(usize::MAX)].prop_map(Said::Another),
            1 => (0_usize..6).prop_map(Said::Another),
        ];
        let boxed = inner.clone().prop_map(Box::new);
        let many = prop::collection::vec(inner.clone(), 0..6);
        let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..6);
        prop_oneof![
            boxed.clone().prop_map(Shape::Some),
            boxed.clone().prop_map(Shape::Newtype),
            boxed.prop_map(Shape::NewtypeVariant),
            (many.clone(), said.clone()).prop_map(|(values, said)| Shape::Seq(values, said)),
            (prop::collection::vec(any::<u8>(), 10..70), Just(Said::Length))
                .prop_map(|(values, said)| Shape::Seq(values.into_iter().map(Shape::U8).collect(), said)),
            many.clone().prop_map(Shape::Tuple),
            many.clone().prop_map(Shape::TupleStruct),
            many.clone().prop_map(Shape::TupleVariant),
            (pairs, said).prop_map(|(pairs, said)| Shape::Map(pairs, said)),
            many.clone().prop_map(Shape::Struct),
            many.prop_map(Shape::StructVariant),
        ]
    })
}
