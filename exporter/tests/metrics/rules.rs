//! The alert rules in `docs/prometheus.rules.yml`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use saphyr::{LoadableYamlNode as _, Yaml};

use crate::agent::{TestSpool, receiver};
use crate::promtool;
use crate::watched::{Exporting, get};

#[test]
fn rules_name_only_what_is_exposed_and_say_what_is_wrong() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/prometheus.rules.yml");
    let text = fs::read_to_string(&path).unwrap();
    promtool(&["check", "rules", path.to_str().unwrap()], "");

    let spool = TestSpool::new();
    spool.record(0, 10);
    let (_receiver, sink, _) = receiver(|_| None);
    let exporting = Exporting::start(&spool, &[&sink], &[]);
    let metrics = exporting.metrics_when("all is delivered", |metrics| {
        metrics.find("spanring_sink_spans_delivered_total", &[("sink", &sink)]) == Some(11.0)
    });
    promtool(&["check", "metrics"], &get(exporting.address, "/metrics").body);
    let exposed: BTreeSet<&str> = metrics.names().collect();

    let documents = Yaml::load_from_str(&text).unwrap();
    let [document] = &documents[..] else { panic!("{} documents", documents.len()) };
    let rules: Vec<&Yaml> = document["groups"]
        .as_sequence()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_sequence().unwrap())
        .collect();
    let mut alerts = BTreeSet::new();
    for rule in rules {
        let alert = rule["alert"].as_str().unwrap();
        assert!(alerts.insert(alert), "{alert} is there twice");
        let expression = rule["expr"].as_str().unwrap();
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let named: Vec<_> = words.filter(|word| word.starts_with("spanring_")).collect();
        assert!(!named.is_empty(), "{alert} is about nothing of ours");
        for name in named {
            assert!(exposed.contains(name), "{alert} is about {name}, which is not exposed");
        }
        for (label, value) in expression.match_indices("=\"").map(|(at, _)| {
            let label = expression[..at].rsplit(['{', ',', ' ']).next().unwrap();
            (label, expression[at + 2..].split('"').next().unwrap())
        }) {
            let known = exposed.iter().any(|name| metrics.label(name, label).contains(value));
            assert!(known, "{alert}: nothing has {label}=\"{value}\"");
        }
        // One spool among several is told from the others, wherever labels are matched or kept.
        for (at, _) in [" on (", " by ("].iter().flat_map(|kept| expression.match_indices(kept)) {
            let kept: Vec<_> = expression[at + 5..].split(')').next().unwrap().split(", ").collect();
            assert!(kept.contains(&"spool") && kept.contains(&"instance"), "{alert}: {kept:?}");
        }
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["warning", "critical"].contains(&severity), "{alert}: {severity}");
        for annotation in ["summary", "description"] {
            assert!(rule["annotations"][annotation].as_str().is_some(), "{alert} has no {annotation}");
        }
    }
    let expected = [
        "SpanringExporterAbsent",
        "SpanringSinkOut",
        "SpanringSinkParked",
        "SpanringSinkLags",
        "SpanringSpansDropped",
        "SpanringSpansLost",
        "SpanringSpansRejected",
        "SpanringDeadLetters",
        "SpanringRecorderUnproven",
        "SpanringSpoolDiskFull",
        "SpanringTroubles",
    ];
    assert_eq!(alerts, expected.into());
}
