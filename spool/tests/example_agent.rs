//! The example agent does what it is there for, and its tree is always this one, however its threads are scheduled.

#[path = "../examples/code_agent.rs"]
#[expect(dead_code, reason = "the example's own `main` is not called")]
mod code_agent;

use std::fs;

use code_agent::Task;
use spanring_spool::memory::MemoryRecorder;

const TREE: &str = include_str!("example_agent.txt");

#[test]
fn the_example_agent_renames_a_function_and_its_tree_is_golden() {
    for workers in [1, 2, 4, 8] {
        let recorder = MemoryRecorder::start().unwrap();
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .enable_time()
            .build()
            .unwrap();
        let task = Task { from: "fetch_page".to_owned(), to: "load_page".to_owned() };
        runtime.block_on(code_agent::run(dir.path(), task)).unwrap();
        drop(runtime);

        for (name, expected) in [
            ("fetch.rs", "pub fn load_page(number: u32) -> u32 {\n    number\n}\n"),
            ("lib.rs", "pub mod fetch;\n\npub fn first() -> u32 {\n    fetch::load_page(1)\n}\n"),
        ] {
            assert_eq!(fs::read_to_string(dir.path().join("src").join(name)).unwrap(), expected);
        }
        assert!(!dir.path().join("src/report.rs.lock").exists());

        let spans = recorder.stop();
        let tree = spans.tree_with(&["file", "attempt", "reason"]);
        assert_eq!(tree, TREE, "with {workers} workers, the tree is\n{tree}");
    }
}
