//! What the attribute does not take, and what it says then.

#[test]
fn what_makes_no_sense_is_rejected_in_words() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail_attribute/*.rs");
}
