use proptest::prelude::*;

use super::super::super::json::to_json;
use super::super::tests::read;
use super::*;

fn text(text: &str) -> Value {
    text.into()
}

fn as_json(value: Value, len_max: usize) -> String {
    to_json(&shortened(value, len_max))
}

/// Values, limits and results of the SDK's own function, of its version 0.24.0: `[limit, value, result]` a line.
#[test]
fn values_are_cut_where_the_sdk_cuts_them() {
    let lines = include_str!("by_the_sdk.jsonl").lines();
    let mut cases = 0;
    for line in lines {
        let case = read(line);
        let [limit, value, expected] = case.as_list().unwrap() else { panic!("{line}") };
        let len_max = usize::try_from(limit.as_u64().unwrap()).unwrap();
        assert_eq!(as_json(value.clone(), len_max), to_json(expected), "{line}");
        cases += 1;
    }
    assert_eq!(cases, 250);
}

#[test]
fn a_text_is_cut_only_if_it_is_longer_than_the_limit() {
    // With its quotes, each of these takes 100 bytes.
    for whole in [
        "x".repeat(98),
        "é".repeat(49),
        "\n".repeat(49),
        format!("{}\u{1}", "x".repeat(92)),
        "𝄞".repeat(24) + "xx",
    ] {
        let len = json_len(&text(&whole));
        assert_eq!(len, 100, "{whole:?}");
        assert_eq!(shortened(text(&whole), len), text(&whole));
        assert_eq!(shortened(text(&whole), len + 1), text(&whole));
        let Value::Str(cut) = shortened(text(&whole), len - 1) else { panic!("it stays a text") };
        assert!(json_len(&cut) < len && cut.ends_with(ENDING), "{cut:?}");
        assert!(whole.starts_with(cut.strip_suffix(ENDING).unwrap()), "{cut:?}");
    }
}

#[test]
fn a_text_that_has_no_room_for_its_ending_is_emptied() {
    let ending_len = json_len(ENDING);
    let long = "x".repeat(100);
    assert_eq!(shortened(text(&long), ending_len - 1), text(""));
    assert_eq!(shortened(text(&long), ending_len), text(ENDING));
    assert_eq!(shortened(text(&long), ending_len + 2), text(&format!("x{ENDING}")));
    assert_eq!(shortened(text(&long), 0), text(""));
}

#[test]
fn the_longest_child_is_cut_first_and_the_first_of_equals() {
    let list = |texts: &[&str]| Value::List(texts.iter().map(|item| text(item)).collect());
    let (long, longer) = ("x".repeat(40), "y".repeat(50));
    let len = json_len(&list(&[&long, &longer, &long]));
    let cut = |by| shortened(list(&[&long, &longer, &long]), len - by);
    assert_eq!(cut(0), list(&[&long, &longer, &long]));
    assert_eq!(cut(1), list(&[&long, &format!("{}{ENDING}", "y".repeat(32)), &long]));
    // It is emptied before the others are touched.
    assert_eq!(cut(50), list(&[&long, "", &long]));
    assert_eq!(cut(51), list(&[&format!("{}{ENDING}", "x".repeat(22)), "", &long]));
}

#[test]
fn what_cannot_be_cut_is_removed_the_longest_first() {
    let value = read("[1,22,333,4444,true,null]");
    let lens = [(25, "[1,22,333,4444,true,null]"), (24, "[1,22,333,true,null]"), (19, "[1,22,333,null]")];
    for (len_max, expected) in lens {
        assert_eq!(as_json(value.clone(), len_max), expected);
    }
    assert_eq!(as_json(read("[[],[],[]]"), 9), "[[],[]]");
    assert_eq!(as_json(read(r#"{"a":1,"b":22}"#), 13), r#"{"a":1}"#);
    assert_eq!(as_json(read(r#"{"a":1}"#), 6), "{}");
    // A number by itself stays: nothing else would be a number.
    assert_eq!(as_json(read("123456"), 3), "123456");
}

#[test]
fn the_limit_is_kept_at_every_length() {
    let value = read(
        r#"{"a":["xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",{"é\n":"ééééééééééééééééé","n":123456789}],"b":"yyyyyyyyyy","c":{}}"#,
    );
    let len = json_len(&value);
    for len_max in 2..=len {
        let cut = shortened(value.clone(), len_max);
        assert!(json_len(&cut) <= len_max, "{len_max}: {}", to_json(&cut));
        assert_eq!(cut == value, len_max == len, "{len_max}");
    }
}

/// The same, with all lengths measured anew at every step.
fn plainly(value: &Value, len_max: usize) -> Value {
    if json_len(value) <= len_max {
        return value.clone();
    }
    let with = |children: &[(usize, String, Value)]| match value {
        Value::List(_) => Value::List(children.iter().map(|(_, _, child)| child.clone()).collect()),
        _ => Value::Map(children.iter().map(|(_, key, child)| (key.clone(), child.clone())).collect()),
    };
    let mut children: Vec<_> = match value {
        Value::Str(text) => return Value::Str(text_shortened(text, json_len(text), len_max)),
        Value::List(values) => {
            values.iter().enumerate().map(|(place, child)| (place, String::new(), child.clone())).collect()
        }
        Value::Map(pairs) => pairs
            .iter()
            .enumerate()
            .map(|(place, (key, child))| (place, key.clone(), child.clone()))
            .collect(),
        value => return value.clone(),
    };
    while !children.is_empty() && json_len(&with(&children)) > len_max {
        let longest = (0..children.len()).rev().max_by_key(|&at| json_len(&children[at].2)).unwrap();
        let others = json_len(&with(&children)) - json_len(&children[longest].2);
        let cut = plainly(&children[longest].2, len_max.saturating_sub(others));
        if cut == children[longest].2 {
            children.remove(longest);
        } else {
            children[longest].2 = cut;
        }
    }
    with(&children)
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[a\"\\n\u{1}é𝄞]{0,60}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            prop::collection::btree_map("[aé\"]{0,4}", inner, 0..6).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn keeping_count_comes_to_the_same_as_measuring_anew(value in any_value(), per_mille in 0_usize..1000) {
        let len_max = json_len(&value) * per_mille / 1000;
        prop_assert_eq!(shortened(value.clone(), len_max), plainly(&value, len_max));
    }
}
