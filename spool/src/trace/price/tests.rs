use super::super::tests::{Made, trace};
use super::*;

const TABLE: &str = r#"
date = 2026-11-20

[[price]]
model = "gpt-4o*"
input = 2.5
output = 10
cached_input = 1.25

[[price]]
model = "gpt-4o-mini*"
input = 0.15
output = 0.6

[[price]]
model = "claude-*"
provider = "anthropic"
input = 3
cached_input = 0.3
cache_creation = 3.75
output = 15
reasoning = 20

[[price]]
model = "text-embedding-*"
input = 0.02
"#;

fn table() -> PriceTable {
    PriceTable::parse(TABLE).unwrap()
}

fn error(text: &str) -> String {
    PriceTable::parse(text).unwrap_err().to_string()
}

fn call(model: &str, tokens: Tokens) -> Made {
    Made::new(1).with(names::REQUEST_MODEL, model).all_tokens(tokens)
}

#[track_caller]
fn assert_about(one: Option<f64>, other: f64) {
    assert!(one.is_some_and(|one| (one - other).abs() < 1e-9), "{one:?} is not {other}");
}

#[test]
fn a_span_with_tokens_and_no_cost_is_priced() {
    let mut span = call("gpt-4o-2024-08-06", Tokens::new(1_000_000, 200_000)).span();
    assert!(table().price(&mut span));
    let cost = span.cost().unwrap();
    assert_about(cost.input, 2.5);
    assert_about(cost.output, 2.0);
    assert_about(cost.total, 4.5);
    assert_eq!((cost.cached_discount, cost.reasoning), (None, None), "nothing is said about them");
    assert_eq!((cost.currency, cost.pricing_date), (Some("USD"), Some("2026-11-20")));
    assert!(!table().price(&mut span), "it has a cost now");
}

#[test]
fn cached_tokens_and_those_of_reasoning_are_charged_once() {
    let anthropic = |tokens| call("claude-4", tokens).with(names::PROVIDER_NAME, "anthropic").span();
    let tokens = Tokens::new(1_000_000, 100_000).cached(600_000).cache_creation(100_000).reasoning(40_000);
    let mut span = anthropic(tokens);
    assert!(table().price(&mut span));
    let cost = span.cost().unwrap();
    // 300,000 at 3, 600,000 at 0.3, 100,000 at 3.75; 60,000 at 15, 40,000 at 20.
    assert_about(cost.total, 0.9 + 0.18 + 0.375 + 0.9 + 0.8);
    assert_about(cost.cached_discount, 0.6 * 2.7);
    assert_about(cost.reasoning, 0.8);
    let parts = Cost { total: None, ..cost };
    assert_about(parts.sum(), cost.total.unwrap());

    let hostile = Tokens::new(10, 10).cached(u64::MAX).cache_creation(u64::MAX).reasoning(u64::MAX);
    let mut span = anthropic(hostile);
    assert!(table().price(&mut span));
    assert_about(span.cost().unwrap().total, 10.0 * 0.3e-6 + 10.0 * 20e-6);
}

#[test]
fn what_has_no_price_of_its_own_costs_what_the_rest_does() {
    let mut span =
        call("gpt-4o-mini", Tokens::new(1_000_000, 1_000_000).cached(500_000).reasoning(500_000)).span();
    assert!(table().price(&mut span));
    assert_about(span.cost().unwrap().total, 0.75);
    let mut span = call("text-embedding-3", Tokens { input: Some(1_000_000), ..Tokens::default() }).span();
    assert!(table().price(&mut span));
    assert_about(span.cost().unwrap().total, 0.02);
}

#[test]
fn what_cannot_be_priced_is_left_as_it_is() {
    let only_sum = Tokens::default().total(10);
    for made in [
        Made::new(1).tokens(1, 1),
        call("gpt-4o", Tokens::default()),
        call("gpt-4o", only_sum),
        call("gpt-5", Tokens::new(1, 1)),
        call("GPT-4o", Tokens::new(1, 1)),
        call("claude-4", Tokens::new(1, 1)).with(names::PROVIDER_NAME, "aws.bedrock"),
        call("text-embedding-3", Tokens::new(1, 1)),
        call("gpt-4o", Tokens::new(1, 1)).cost(0.0),
    ] {
        let before = made.span();
        let mut span = before.clone();
        assert!(!table().price(&mut span), "{span:?}");
        assert_eq!(span, before);
    }
    let mut span = call("gpt-4o", Tokens::new(1, 1)).currency("EUR").span();
    assert!(table().price(&mut span), "a currency alone is no cost");
    assert_eq!(span.cost().unwrap().currency, Some("USD"));
}

#[test]
fn the_most_specific_price_counts() {
    let text = r#"
        date = "2026-01-01"
        [[price]]
        model = "*"
        input = 1
        [[price]]
        model = "a-*"
        input = 2
        [[price]]
        model = "a-b"
        input = 3
        [[price]]
        model = "*-b"
        input = 4
        [[price]]
        model = "*"
        provider = "mine"
        input = 5
    "#;
    let prices = PriceTable::parse(text).unwrap();
    let of = |model: &str, provider: Option<(&str, &str)>| {
        let mut made = call(model, Tokens { input: Some(1_000_000), ..Tokens::default() });
        if let Some((key, provider)) = provider {
            made = made.with(key, provider);
        }
        let mut span = made.span();
        assert!(prices.price(&mut span));
        span.cost().unwrap().total
    };
    assert_eq!(of("x", None), Some(1.0));
    assert_eq!(of("a-x", None), Some(2.0));
    assert_eq!(of("a-b", None), Some(3.0));
    assert_eq!(of("a-c-b", None), Some(2.0), "of equals the first");
    assert_eq!(of("a-b", Some((names::PROVIDER_NAME, "mine"))), Some(5.0));
    assert_eq!(of("a-b", Some((names::CUSTOM_PROVIDER, "mine"))), Some(5.0));
    assert_eq!(of("a-b", Some((names::PROVIDER_NAME, "yours"))), Some(3.0));
}

#[test]
fn a_span_without_a_provider_takes_the_only_price_that_is_meant() {
    let row = |model: &str, provider: &str, input: u32| {
        format!("[[price]]\nmodel = \"{model}\"\ninput = {input}\n{provider}\n")
    };
    let (openai, azure) = ("provider = \"openai\"", "provider = \"azure\"");
    let of = |rows: &[String]| {
        let prices = PriceTable::parse(&format!("date = 2026-11-20\n{}", rows.concat())).unwrap();
        let input = Tokens { input: Some(1_000_000), ..Tokens::default() };
        let mut trace = trace(vec![call("gpt-4o", input).with(names::PROVIDER_NAME, "").span()]);
        let became = trace.price(&prices);
        let several = became.models_of_several_providers.into_iter();
        let several = several.map(|(model, providers)| (model, Vec::from_iter(providers)));
        (trace.spans()[0].cost().and_then(|cost| cost.total), several.collect::<Vec<_>>())
    };
    let priced = |total| (Some(total), vec![]);
    assert_eq!(of(&[row("gpt-4o", openai, 1)]), priced(1.0));
    assert_eq!(of(&[row("*", "", 1), row("gpt-*", azure, 2), row("gpt-4o", openai, 3)]), priced(3.0));
    assert_eq!(of(&[row("gpt-4o", openai, 1), row("gpt-4o", azure, 2), row("gpt-4o", "", 3)]), priced(3.0));
    let several = (None, vec![("gpt-4o".to_owned(), vec!["azure".to_owned(), "openai".to_owned()])]);
    assert_eq!(of(&[row("gpt-4o", openai, 1), row("gpt-4o", azure, 2), row("*", "", 3)]), several);
}

#[test]
fn the_highest_price_of_the_most_tokens_is_a_finite_cost() {
    let text =
        format!("date = 2026-11-20\n[[price]]\nmodel = \"*\"\ninput = {PRICE_MAX:e}\noutput = {PRICE_MAX:e}");
    let mut span = call("m", Tokens::new(u64::MAX, u64::MAX)).span();
    assert!(PriceTable::parse(&text).unwrap().price(&mut span));
    assert!(span.cost().unwrap().total.unwrap().is_finite());
}

#[test]
fn what_tells_the_sum_of_those_under_it_is_not_missed() {
    let mut trace = trace(vec![
        Made::new(1).kind(Kind::Agent).tokens(2, 2).span(),
        Made::new(2).under(1).kind(Kind::Turn).tokens(2, 2).span(),
        Made::new(3).under(2).with(names::REQUEST_MODEL, "gpt-5").tokens(1, 1).span(),
        Made::new(4).under(1).kind(Kind::Task).tokens(3, 3).span(),
    ]);
    let became = trace.price(&table());
    assert_eq!((became.priced, became.unpriced), (0, 2), "the call, and the task with nothing under it");
}

#[test]
fn the_model_that_answered_counts_before_the_one_that_was_asked_for() {
    let asked = || call("gpt-4o", Tokens::new(1_000_000, 0));
    for (made, total) in [
        (asked().with(names::RESPONSE_MODEL, "gpt-4o-mini"), 0.15),
        (asked().with(names::RESPONSE_MODEL, "unknown"), 2.5),
    ] {
        let mut span = made.span();
        assert!(table().price(&mut span));
        assert_about(span.cost().unwrap().total, total);
    }
}

#[test]
fn of_a_trace_it_is_said_what_could_not_be_priced() {
    let mut trace = trace(vec![
        Made::new(1).span(),
        call("gpt-4o", Tokens::new(4, 0)).under(1).span(),
        call("gpt-5", Tokens::new(4, 0)).under(1).span(),
        call("gpt-5", Tokens::new(4, 0)).under(1).span(),
        Made::new(5).tokens(1, 1).under(1).span(),
        call("gpt-6", Tokens::new(4, 0)).cost(1.0).under(1).span(),
    ]);
    let became = trace.price(&table());
    assert_eq!((became.priced, became.unpriced), (1, 3));
    assert_eq!(became.models_without_price, BTreeSet::from(["gpt-5".to_owned()]));
    assert_eq!(trace.summary().cost["USD"], 1.00001);
}

#[test]
fn a_star_stands_for_any_characters() {
    let yes = [
        ("", ""),
        ("a", "a"),
        ("*", ""),
        ("*", "a"),
        ("a*", "a"),
        ("a*c", "abc"),
        ("*b*", "abc"),
        ("a**c", "ac"),
    ];
    let more = [("a*b*c", "a-b-b-c"), ("*ab", "aab"), ("*aab*b", "aaabb"), ("é*ü", "éxü")];
    for (pattern, name) in yes.into_iter().chain(more) {
        assert!(fits(pattern, name), "{pattern} {name}");
    }
    for (pattern, name) in [
        ("", "a"),
        ("a", ""),
        ("a", "ab"),
        ("a*", "ba"),
        ("*a", "ab"),
        ("ab*bc", "abc"),
        ("a*b*c", "acb"),
        ("*aa*a", "aa"),
    ] {
        assert!(!fits(pattern, name), "{pattern} {name}");
    }
}

proptest::proptest! {
    #[test]
    fn a_pattern_fits_what_the_obvious_way_says(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
        fn obvious(pattern: &[u8], name: &[u8]) -> bool {
            match pattern.split_first() {
                None => name.is_empty(),
                Some((b'*', rest)) => (0..=name.len()).any(|skip| obvious(rest, &name[skip..])),
                Some((first, rest)) => name.split_first().is_some_and(|(other, name)| first == other && obvious(rest, name)),
            }
        }
        proptest::prop_assert_eq!(fits(&pattern, &name), obvious(pattern.as_bytes(), name.as_bytes()));
    }
}

#[test]
fn a_mistake_in_a_table_is_told_with_its_line() {
    let price = "date = 2026-11-20\n[[price]]\nmodel = \"m\"\ninput = 1\n";
    for (text, told) in [
        (
            "date = 2026-11-20\ncurency = \"EUR\"".to_owned(),
            "line 2: unknown key `curency`; the nearest is `currency`",
        ),
        (format!("{price}outptu = 3"), "line 5: unknown key `outptu`; the nearest is `output`"),
        (
            format!("{price}cached_inputs = 3\naaa = 1"),
            "line 5: unknown key `cached_inputs`; the nearest is `cached_input`",
        ),
        (format!("{price}\"\\u001b[31m\" = 3"), "line 5: unknown key `\\u{1b}[31m`; the nearest is `model`"),
        (format!("{price}output = \"3\""), "line 5: `output` has to be a number"),
        (
            format!("{price}output = -0.1"),
            "line 5: `output` is no price: it has to be a number from 0 to 1e15",
        ),
        (
            format!("{price}output = nan"),
            "line 5: `output` is no price: it has to be a number from 0 to 1e15",
        ),
        (
            format!("{price}output = inf"),
            "line 5: `output` is no price: it has to be a number from 0 to 1e15",
        ),
        (
            format!("{price}output = 1e999"),
            "line 5: `output` is no price: it has to be a number from 0 to 1e15",
        ),
        (
            format!("{price}output = 1e308"),
            "line 5: `output` is no price: it has to be a number from 0 to 1e15",
        ),
        (format!("{price}provider = \"\""), "line 5: `provider` has to be text that is not empty"),
        (format!("{price}\n[[price]]\ninput = 1"), "line 6: `model` is missing"),
        ("date = 2026-11-20\n[[price]]\nmodel = \"m\"".to_owned(), "line 2: `input` is missing"),
        (
            format!("{price}[[price]]\ninput = 2\nmodel = \"m\""),
            "line 5: the price of `m` stands on line 2 already",
        ),
        ("[[price]]\nmodel = \"m\"\ninput = 1".to_owned(), "line 1: `date` is missing"),
        ("date = \"yesterday\"".to_owned(), "line 1: `date` has to be a date such as 2026-11-20"),
        ("date = 2026-11-20T10:00:00Z".to_owned(), "line 1: `date` has to be a date such as 2026-11-20"),
        ("date = 2026-11-20\nprice = 3".to_owned(), "line 2: `price` has to be a list: [[price]]"),
        (
            "date = 2026-11-20\nprice = [3]".to_owned(),
            "line 2: `price` has to be a list of tables: [[price]]",
        ),
        (
            "date = 2026-11-20\n[price]\nmodel = \"m\"".to_owned(),
            "line 2: `price` has to be a list: [[price]]",
        ),
    ] {
        assert_eq!(error(&text), format!("the price table, {told}"), "{text}");
    }
    for text in [format!("{price}output = "), format!("{price}input = 2"), format!("{price}= 3")] {
        assert!(error(&text).starts_with("the price table, line 5: "), "{text}");
    }
}

#[test]
fn a_table_from_a_file_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prices.toml");
    let told = |path: &Path| PriceTable::load(path).unwrap_err().to_string();
    assert!(told(&path).starts_with(&format!("cannot open {}: No such file", path.display())));
    assert!(told(dir.path()).starts_with(&format!("cannot read {}: ", dir.path().display())));
    std::fs::write(&path, "date = 2026-11-20\nprices = 3").unwrap();
    assert_eq!(
        told(&path),
        format!("{}, line 2: unknown key `prices`; the nearest is `price`", path.display())
    );
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert_eq!(told(&path), format!("{}: it is larger than 1048576 bytes", path.display()));
    std::fs::write(&path, "#".repeat(1 << 20)).unwrap();
    assert!(told(&path).ends_with("`date` is missing"));
}

#[test]
fn the_example_is_a_table_with_a_date_that_says_that_it_is_an_example() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/prices.example.toml");
    let prices = PriceTable::load(path).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(prices.date() > "2024-01-01" && prices.currency() == "USD" && !prices.prices.is_empty());
    assert!(text.contains("example"), "{text}");
}

/// Were each price compared with each, or were lines counted from the beginning for each, this would take minutes.
#[test]
fn a_table_as_large_as_one_may_be_is_read() {
    let mut text = String::from("date = \"2026-11-20\"\n");
    let mut count = 0;
    while text.len() < (1 << 20) - 64 {
        text.push_str(&format!("[[price]]\nmodel = \"{count}\"\ninput = 1\n"));
        count += 1;
    }
    assert!(PriceTable::parse(&text).is_ok(), "{count} prices");
    text.push_str("[[price]]\nmodel = \"7\"\ninput = 1\n");
    let error = PriceTable::parse(&text).unwrap_err().to_string();
    assert!(error.contains("line 23") && error.contains(&format!("line {}", 2 + 3 * count)), "{error}");
}
