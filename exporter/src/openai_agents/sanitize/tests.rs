use super::super::json::{json_len, to_json};
use super::*;

/// Reads JSON, with keys in their order.
pub(crate) fn read(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

/// How long a field may be, in bytes.
const MOST: usize = 100_000;

fn sanitized_json(item: &str) -> String {
    to_json(&sanitized(read(item)))
}

/// Items and results of the SDK's own function, of its version 0.24.0: `[item, result]` a line.
#[test]
fn reasoning_and_usage_become_what_the_sdk_makes_of_them() {
    let mut cases = 0;
    for line in include_str!("by_the_sdk.jsonl").lines() {
        let case = read(line);
        let [item, expected] = case.as_list().unwrap() else { panic!("{line}") };
        let made: serde_json::Value = serde_json::from_str(&to_json(&sanitized(item.clone()))).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&to_json(expected)).unwrap();
        assert_eq!(made, expected, "{line}");
        cases += 1;
    }
    assert_eq!(cases, 19);
}

#[test]
fn input_and_output_are_cut_above_100_000_bytes_and_nothing_else_is() {
    for (field, kind) in
        [("input", "generation"), ("output", "function"), ("input", "speech"), ("output", "x")]
    {
        // With quotes, it is as long as the limit.
        let most = "x".repeat(MOST - 2);
        for (more, is_cut) in [("", false), ("x", true)] {
            let item = sanitized(read(&format!(
                r#"{{"span_data":{{"type":"{kind}","{field}":"{most}{more}","name":"{most}{more}"}}}}"#
            )));
            let data = item.get("span_data").unwrap();
            let (field, name) = (data.get(field).unwrap(), data.get("name").unwrap());
            assert_eq!(json_len(name), MOST + more.len());
            // The SDK does not look for the very last byte that fits.
            assert!((MOST - 2..=MOST).contains(&json_len(field)));
            assert_eq!(field.as_str().unwrap().ends_with("... [truncated]"), is_cut, "{kind}");
        }
    }
}

#[test]
fn reasoning_counts_for_nothing_where_length_is_measured() {
    let thought = "x".repeat(2 * MOST);
    let item = format!(
        r#"{{"span_data":{{"type":"generation","output":[{{"role":"assistant","thinking":"{thought}","content":"no"}}]}}}}"#
    );
    let expected = r#"{"span_data":{"type":"generation","output":[{"role":"assistant","content":"no"}]}}"#;
    assert_eq!(sanitized_json(&item), expected);
}

#[test]
fn metadata_is_text() {
    let item =
        r#"{"object":"trace","metadata":{"a":"b","n":1,"list":["x",null],"map":{"k":true},"null":null}}"#;
    let expected = r#"{"object":"trace","metadata":{"a":"b","n":"1","list":"[\"x\",null]","map":"{\"k\":true}","null":"null"}}"#;
    assert_eq!(sanitized_json(item), expected);
    let none = r#"{"object":"trace","metadata":null}"#;
    assert_eq!(sanitized_json(none), none);
}
