//! Any text, any number, any value.

use proptest::prelude::*;
use spanring_spool::Value;

/// How deep lists and maps lie within each other at most.
const DEPTH: usize = 32;

/// All of Unicode, and what is often handled wrongly.
pub(crate) fn text() -> BoxedStrategy<String> {
    const SPECIAL: [&str; 9] = [
        "",
        "\0",
        "a\u{301}\u{323}",
        "\u{1f469}\u{200d}\u{1f4bb}",
        "\u{feff}\u{202e}x",
        "\u{10ffff}",
        "\u{fffd}\u{fffe}",
        "\"\\\r\n\u{7f}",
        "\u{d7ff}\u{e000}",
    ];
    prop_oneof![
        2 => prop::sample::select(&SPECIAL[..]).prop_map(str::to_owned),
        3 => prop::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter),
        3 => "[a-z._]{1,12}",
    ]
    .boxed()
}

pub(crate) fn number() -> BoxedStrategy<f64> {
    let special =
        [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX];
    prop_oneof![prop::sample::select(special.to_vec()), any::<u64>().prop_map(f64::from_bits), -1e3..1e3]
        .boxed()
}

pub(crate) fn signed() -> BoxedStrategy<i64> {
    prop_oneof![prop::sample::select(vec![i64::MIN, -1, 0, i64::MAX]), any::<i64>(), -100..100_i64].boxed()
}

pub(crate) fn unsigned() -> BoxedStrategy<u64> {
    prop_oneof![prop::sample::select(vec![0, 1, 1 << 63, u64::MAX]), any::<u64>(), 0..100_u64].boxed()
}

pub(crate) fn scalar() -> BoxedStrategy<Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        signed().prop_map(Value::I64),
        unsigned().prop_map(Value::U64),
        number().prop_map(Value::F64),
        text().prop_map(Value::Str),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bytes),
    ]
    .boxed()
}

/// Any value: nothing, a scalar, something wide, something as deep as may be.
pub(crate) fn value() -> BoxedStrategy<Value> {
    let leaf = || prop_oneof![1 => Just(Value::Null), 6 => scalar()];
    let wide = leaf().prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            // A key may stand twice.
            prop::collection::vec((key(), inner), 0..5).prop_map(Value::Map),
        ]
    });
    let deep =
        (leaf(), prop::collection::vec(prop::option::of(text()), 0..=DEPTH)).prop_map(|(leaf, levels)| {
            levels.into_iter().fold(leaf, |value, level| match level {
                None => Value::List(vec![value]),
                Some(key) => Value::Map(vec![(key, value)]),
            })
        });
    prop_oneof![2 => wide, 1 => deep].boxed()
}

/// A key of a map: few, so that maps that are merged have some in common.
fn key() -> BoxedStrategy<String> {
    prop_oneof![3 => "[ab]", 1 => text()].boxed()
}

/// What a value comes back as that was encoded: integers as signed ones wherever they fit.
pub(crate) fn encoded(value: &Value) -> Value {
    match value {
        Value::U64(number) => i64::try_from(*number).map_or(Value::U64(*number), Value::I64),
        Value::List(items) => Value::List(items.iter().map(encoded).collect()),
        Value::Map(pairs) => {
            Value::Map(pairs.iter().map(|(key, value)| (key.clone(), encoded(value))).collect())
        }
        value => value.clone(),
    }
}

/// The same with numbers as their bits, so that a NaN equals itself, and -0.0 nothing else.
pub(crate) fn bits(value: &Value) -> Value {
    match value {
        Value::F64(number) => Value::Str(format!("the number {:016x}", number.to_bits())),
        Value::List(items) => Value::List(items.iter().map(bits).collect()),
        Value::Map(pairs) => {
            Value::Map(pairs.iter().map(|(key, value)| (key.clone(), bits(value))).collect())
        }
        value => value.clone(),
    }
}
