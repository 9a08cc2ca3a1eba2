//! `spanring export --to openai+http://…`: as whom, how much at once, what is refused, and what fails.

#[path = "../agent/mod.rs"]
mod agent;
mod faults;
mod sdk;
mod server;

use std::sync::{Arc, Mutex};

use spanring_exporter::demo::receiver::{Answer, Receiver};

use self::agent::{TestSpool, complaint, spanring};
use self::server::{Items, KEY};

#[test]
fn a_recording_process() {
    agent::main();
}

#[test]
fn nothing_starts_without_a_key_and_no_key_goes_to_two() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let export = |sinks: &[&str], key: Option<&str>| {
        let mut command = spool.export(sinks);
        command.arg("--once").env_remove(KEY).env_remove("OPENAI_API_KEY_FILE");
        complaint(command.envs(key.map(|key| (KEY, key))).output().unwrap())
    };
    let unset =
        "spanring: cannot use OPENAI_API_KEY: it is not set for this address, nor is OPENAI_API_KEY_FILE\n";
    assert_eq!(export(&["openai+http://127.0.0.1:9"], None), (2, unset.into()));
    assert_eq!(export(&["openai"], Some("")), (2, unset.into()));
    let odd =
        "spanring: cannot use OPENAI_API_KEY: it has a character that a header of HTTP does not allow\n";
    assert_eq!(export(&["openai"], Some("sec\u{1}ret")), (2, odd.into()));
    let both = "spanring: the key of OPENAI_API_KEY would go to more than one OpenAI sink\n";
    assert_eq!(export(&["openai", "openai+http://127.0.0.1:9"], Some("secret")), (2, both.into()));
    let twice = "spanring: the sink openai+https://api.openai.com is named twice\n";
    assert_eq!(export(&["openai", "openai+https://api.openai.com/"], Some("secret")), (2, twice.into()));
    assert_eq!(spool.recorders().len(), 1);
}

#[test]
fn all_that_was_recorded_arrives_once_in_requests_of_at_most_128_items() {
    let spool = TestSpool::new();
    spool.start(0, 1000).kill();
    let requests = Arc::<Mutex<Vec<Items>>>::default();
    let kept = Arc::clone(&requests);
    let receiver = Receiver::start(move |request| {
        kept.lock().unwrap().push(Items::of(&request));
        Answer::status(204)
    });
    let receiver = receiver.unwrap();
    let sink = format!("openai+http://{}", receiver.address());
    let output = spool.export(&[&sink]).args(["--once", "--json"]).env(KEY, "sk-test").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let requests = requests.lock().unwrap();
    assert!(requests.iter().all(|request| request.traces.len() + request.spans.len() <= 128));
    let mut numbers: Vec<_> = requests.iter().flat_map(|request| request.numbers()).collect();
    numbers.sort_unstable();
    // One more was open, and has no number.
    assert!(
        numbers == [None].into_iter().chain((0..1000).map(Some)).collect::<Vec<_>>(),
        "{}",
        numbers.len()
    );
    let open =
        requests.iter().flat_map(|request| &request.spans).find(|span| span["span_data"]["name"] == "open");
    let data = serde_json::json!({"set_before_the_kill": "yes", "spanring.interrupted": true});
    let error = serde_json::json!({"message": "process_exit", "data": {"error.type": "process_exit"}});
    let open = open.unwrap();
    assert_eq!((&open["span_data"]["data"], &open["error"]), (&data, &error));
    assert_eq!(spool.recorders(), [""; 0]);
}

#[test]
fn a_dead_letter_is_replayed_with_the_key_to_whom_is_named_and_to_no_other_server() {
    let spool = TestSpool::new();
    spool.record(0, 100);
    let keys = Arc::<Mutex<Vec<Option<String>>>>::default();
    let seen = Arc::clone(&keys);
    let mut refuses = 100;
    let receiver = Receiver::start(move |request| {
        seen.lock().unwrap().push(request.header("authorization").map(str::to_owned));
        let is_refused = Items::of(&request).numbers().contains(&Some(77)) && refuses > 0;
        refuses -= 1;
        // Once it stands alone it is refused for the last time.
        if is_refused && Items::of(&request).spans.len() == 1 {
            refuses = 0;
        }
        Answer::status(if is_refused { 400 } else { 200 })
    });
    let receiver = receiver.unwrap();
    let sink = format!("openai+http://{}", receiver.address());
    let output = spool.export(&[&sink]).args(["--once", "--json"]).env(KEY, "sk-test").output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["sinks"][0]["delivered"], &report["sinks"][0]["dead_lettered"]),
        (&100.into(), &1.into())
    );
    keys.lock().unwrap().clear();

    let replay = |to: &[&str]| {
        let mut command = spanring();
        command.args(["dead-letters", "replay", "--spool"]).arg(spool.path()).args(to);
        let output = command.env(KEY, "sk-test").output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (status, text) = replay(&[]);
    let expected = "0 delivered, 0 refused again, 1 kept\ncannot use OPENAI_API_KEY: it is not set for this address, nor is \
        OPENAI_API_KEY_FILE\n";
    assert_eq!((status, text), (1, expected.to_owned()));
    assert_eq!(keys.lock().unwrap().len(), 0);
    assert_eq!(replay(&["--to", &sink]), (0, "1 delivered, 0 refused again, 0 kept\n".into()));
    assert_eq!(*keys.lock().unwrap(), [Some("Bearer sk-test".to_owned())]);
}

#[test]
fn a_server_that_forbids_to_try_again_is_left_alone_and_keeps_nothing_from_being_kept() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let mut is_first = true;
    let receiver = Receiver::start(move |_| match std::mem::take(&mut is_first) {
        true => Answer { headers: vec![("x-should-retry", "false".into())], ..Answer::status(503) },
        false => Answer::status(200),
    });
    let receiver = receiver.unwrap();
    let sink = format!("openai+http://{}", receiver.address());
    let export = || {
        let output = spool.export(&[&sink]).args(["--once", "--json"]).env(KEY, "sk-test").output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let of_sink = ["end", "requests", "delivered"].map(|key| report["sinks"][0][key].clone());
        (output.status.code().unwrap(), of_sink)
    };
    let (status, [end, requests, delivered]) = export();
    assert_eq!((status, end, requests, delivered), (1, "refused".into(), 1.into(), 0.into()));
    let (status, [end, _, delivered]) = export();
    assert_eq!((status, end, delivered), (0, "complete".into(), 11.into()));
}
