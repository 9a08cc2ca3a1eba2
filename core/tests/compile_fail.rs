//! Programs that must not compile, each next to how it is done right, which is compiled and called as a part of this test.

#[path = "compile_fail_context/ended_within_right.rs"]
mod ended_within_right;
#[path = "compile_fail_context/guard_across_await_right.rs"]
mod guard_across_await_right;
#[path = "compile_fail_context/guard_sent_right.rs"]
mod guard_sent_right;
#[path = "compile_fail_context/local_spawned_right.rs"]
mod local_spawned_right;
#[path = "compile_fail_context/unused_right.rs"]
mod unused_right;
#[path = "compile_fail_context/used_after_end_right.rs"]
mod used_after_end_right;

/// A guard that moves, or a span that ends too early, would give other spans wrong parents.
#[test]
fn what_would_give_spans_wrong_parents_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail_context/*_wrong.rs");
    ended_within_right::main();
    guard_across_await_right::main();
    guard_sent_right::main();
    local_spawned_right::main();
    unused_right::main();
    used_after_end_right::main();
}
