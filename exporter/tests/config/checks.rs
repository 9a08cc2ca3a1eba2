//! What `spanring config check` says, and what an export says of the same file.

use std::fs;
use std::path::Path;

use spanring_exporter::config::Config;

use crate::agent::{TestSpool, complaint, spanring};
use crate::{check, configure, export};

#[test]
fn what_is_wrong_in_a_file_is_status_2_and_one_line_for_a_check_and_an_export_alike() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let pem = spool.file("authority.pem");
    fs::write(&pem, "secret").unwrap();
    let cases = [
        ("[[sink]]\nto = \"file:f\"\nkep = 1", ":4:1: unknown key `kep` in [[sink]]; did you mean `keep`?"),
        (
            "[[sink]]\nto = \"otlp+http://h\"\nrotate = \"1MiB\"",
            ":4:1: `rotate` is about sinks file:PATH and spanforge-file:PATH, and this one is otlp+http://h",
        ),
        (
            "[[sink]]\nto = \"otlp+http://secret@h\"",
            ":3:6: unknown sink \"otlp+http://…@h\": credentials do not belong",
        ),
        (
            "[[sink]]\nto = \"otlp+http://h\"\nheaders = { a = { file = \"none\" } }",
            ":4:13: the header `a` cannot be had from the file ",
        ),
        (
            "[[sink]]\nto = \"otlp+https://h\"\ncertificate = \"authority.pem\"",
            ":3:6: cannot set up TLS for otlp+https://h:443: ",
        ),
        (
            "[[sink]]\nto = \"otlp\"\nheaders = { a = { env = \"NOT_SET\" } }",
            ":4:13: the header `a` cannot be had from the variable NOT_SET: it is not set",
        ),
        ("sink = 1", ":2:8: `sink` does not fit: each sink is a table of its own: [[sink]]"),
        ("[[sink]]\nto = \"stdout\nx = 1", ":3:"),
    ];
    for (lines, expected) in cases {
        let config = configure(&spool, lines);
        let expected = format!("spanring: {}{expected}", config.display());
        let (status, printed, told) = check(&config);
        assert_eq!((status, printed.as_str()), (2, ""), "{lines}: {told}");
        assert!(told.starts_with(&expected), "{lines}: {told}");
        assert!(told.lines().count() == 1 && !told.contains("secret"), "{told}");
        assert_eq!(complaint(export(&config).arg("--once").output().unwrap()), (2, told));
    }
    let config = configure(&spool, "[[sink]]\nto = \"stdout\"");
    fs::rename(spool.path(), spool.file("elsewhere")).unwrap();
    let (status, _, told) = check(&config);
    assert!(status == 2 && told.starts_with(&format!("spanring: {}:1:9: ", config.display())), "{told}");
}

#[test]
fn a_check_says_what_would_be_done_shows_no_secret_and_makes_nothing() {
    let spool = TestSpool::new();
    spool.record(0, 1);
    let config = configure(
        &spool,
        r#"
        stop_deadline = "1500ms"
        [[sink]]
        to = "otlp+https://collector.example"
        timeout = "5s"
        headers = { authorization = "secret", x-scope = "secret" }
        [[sink]]
        to = "file:spans.jsonl"
        rotate = "1MiB"
        keep = 7
        compress = "zstd"
        [[sink]]
        to = "stdout"
        "#,
    );
    let before = fs::read_dir(spool.file("")).unwrap().count();
    let (status, printed, told) = check(&config);
    let dir = spool.file("").display().to_string();
    let expected = "\
from DIR/spool
to otlp+https://collector.example:443: http/protobuf, gzip, 5s a request, header authorization, header x-scope
to file:DIR/spans.jsonl: a new file before one is longer than 1048576 bytes, the newest 7 kept beside it, by zstd
to stdout
a stop waits 1.5s for an answer at most
";
    assert_eq!((status, told.as_str()), (0, ""));
    assert_eq!(printed, expected.replace("DIR", dir.trim_end_matches('/')));
    assert_eq!(fs::read_dir(spool.file("")).unwrap().count(), before);
}

#[test]
fn a_file_is_in_place_of_the_flags_that_say_the_same_and_goes_with_the_others() {
    let spool = TestSpool::new();
    spool.record(0, 10);
    let config = configure(&spool, "[[sink]]\nto = \"stdout\"");
    let path = spool.path();
    for flags in [
        &["--to", "stdout"][..],
        &["--spool", path.to_str().unwrap()],
        &["--rotate", "1MiB"],
        &["--rotate", "1MiB", "--keep", "1"],
    ] {
        let (status, told) = complaint(export(&config).args(flags).output().unwrap());
        assert!(status == 2 && told.contains("--config <FILE>"), "{flags:?}: {told}");
    }
    let output =
        export(&config).args(["--once", "--json", "--deadline", "1s", "--stop-deadline", "1s"]).output();
    let output = output.unwrap();
    // Spans are on standard output, and so the report is not.
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), &report["sinks"][0]["delivered"]), (Some(0), &11.into()));
}

#[test]
fn the_example_can_be_read() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/export.example.toml");
    Config::read(example).unwrap();
}

#[test]
fn the_unit_of_systemd_calls_commands_that_there_are() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/spanring-export.service");
    let unit = fs::read_to_string(unit).unwrap();
    let commands: Vec<_> = unit.lines().filter_map(|line| line.split_once("=/usr/bin/spanring ")).collect();
    assert_eq!(commands.len(), 3);
    for (_, command) in commands {
        let output = spanring().args(command.split(' ')).arg("--help").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}: {output:?}");
    }
}
