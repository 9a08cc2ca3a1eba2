//! What the options `err` and `ret` make of what a function returns.

use std::fmt;
use std::num::ParseIntError;

use spanring::prelude::*;
use spanring::{Status, names};

use crate::flight::{Flight, Plan, Seen, Value};

#[span(err)]
fn by_question_mark(text: &str) -> Result<u32, ParseIntError> {
    let number: u32 = text.parse()?;
    Ok(number * 2)
}

#[span(err)]
fn by_return(text: &str) -> anyhow::Result<u32> {
    if text.is_empty() {
        return Err(anyhow::anyhow!("nothing to parse"));
    }
    for digit in text.chars() {
        if !digit.is_ascii_digit() {
            anyhow::bail!("{digit} is no digit");
        }
    }
    Ok(text.parse()?)
}

#[span(err)]
fn boxed(text: &str) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
    if text == "a" {
        return Err(Box::new(fmt::Error));
    }
    Ok(text.parse()?)
}

#[span(err)]
fn text(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

#[span(err)]
async fn asynchronous(text: &str) -> Result<u32, Box<dyn std::error::Error>> {
    if text == "a" {
        return Err(Box::new(fmt::Error));
    }
    tokio::task::yield_now().await;
    Ok(text.parse()?)
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// As `Span::finish` does, with which each is compared.
#[test]
fn an_error_fails_the_span_and_success_completes_it_however_the_body_is_left() {
    let mut flight = Flight::start(Plan::default());
    let essence = |span: Seen| {
        let causes: Vec<_> = span.attributes.iter().map(|set| (set.key.clone(), set.value.clone())).collect();
        (span.status, span.message, causes)
    };
    macro_rules! compare {
        ($function:ident) => {{
            for text in ["21", "", "a", "2x"] {
                let recorded = $function(text).map_err(|error| error.to_string());
                let by_attribute = essence(flight.take_one());
                // Called again within a span of its own, of which only this one is looked at.
                let by_hand = spanring::span("by hand").start();
                let finished = by_hand.finish($function(text)).map_err(|error| error.to_string());
                assert_eq!(essence(flight.take().pop().unwrap()), by_attribute);
                assert_eq!(recorded, finished);
                let status = if recorded.is_ok() { Status::Ok } else { Status::Error };
                assert_eq!(by_attribute.0, status);
                assert_eq!(by_attribute.1, recorded.err());
            }
        }};
    }
    fn asynchronous_at_once(text: &str) -> Result<u32, Box<dyn std::error::Error>> {
        block_on(asynchronous(text))
    }
    compare!(by_question_mark);
    compare!(by_return);
    compare!(boxed);
    compare!(text);
    compare!(asynchronous_at_once);
}

#[derive(Debug, PartialEq)]
struct OnlyDisplayed(u32);

impl fmt::Display for OnlyDisplayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no {}", self.0)
    }
}

#[test]
fn what_can_only_be_displayed_is_an_error_too() {
    #[span(err = display)]
    fn displayed(n: u32) -> Result<(), OnlyDisplayed> {
        Err(OnlyDisplayed(n))
    }

    let mut flight = Flight::start(Plan::default());
    assert_eq!(displayed(3), Err(OnlyDisplayed(3)));
    let span = flight.take_one();
    assert_eq!((span.status, span.message.as_deref()), (Status::Error, Some("no 3")));
}

#[test]
fn without_err_an_error_is_a_value_like_others() {
    #[span]
    fn ignored() -> Result<(), String> {
        Err("expected".to_owned())
    }

    let mut flight = Flight::start(Plan::default());
    ignored().unwrap_err();
    let span = flight.take_one();
    assert_eq!((span.status, span.message), (Status::Unset, None));
}

#[derive(serde::Serialize, Debug, Clone, PartialEq)]
struct Hits {
    found: Vec<String>,
}

impl fmt::Display for Hits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hits", self.found.len())
    }
}

fn hits() -> Hits {
    Hits { found: vec!["a page".to_owned()] }
}

#[test]
fn what_is_returned_is_the_output() {
    #[span(ret)]
    fn serialized() -> Hits {
        hits()
    }

    #[span(ret = debug)]
    fn debugged() -> Hits {
        hits()
    }

    #[span(ret = display)]
    fn displayed() -> Hits {
        hits()
    }

    #[span(ret)]
    fn whole_result(fails: bool) -> Result<u32, String> {
        if fails { Err("no".to_owned()) } else { Ok(1) }
    }

    #[span(kind = tool, ret)]
    fn of_a_tool() -> Hits {
        hits()
    }

    let mut flight = Flight::start(Plan::default());
    serialized();
    debugged();
    displayed();
    _ = whole_result(true);
    of_a_tool();
    let spans = flight.take();
    let output = |number: usize| spans[number].get(names::OUTPUT).cloned();
    assert_eq!(output(0), Some(Value::packed(&hits())));
    assert_eq!(output(1), Some(Value::text("Hits { found: [\"a page\"] }")));
    assert_eq!(output(2), Some(Value::text("1 hits")));
    assert_eq!(output(3), Some(Value::packed(&Err::<u32, _>("no"))));
    assert_eq!(spans[4].get(names::TOOL_CALL_RESULT), Some(&Value::packed(&hits())));
    assert!(spans.iter().all(|span| span.status == Status::Unset));
}

#[test]
fn with_err_the_output_is_what_is_within_ok() {
    #[span(err, ret)]
    fn both(fails: bool) -> Result<Hits, String> {
        if fails {
            return Err("no hits".to_owned());
        }
        Ok(hits())
    }

    #[span(err, ret = debug)]
    async fn both_asynchronous(fails: bool) -> anyhow::Result<Hits> {
        tokio::task::yield_now().await;
        anyhow::ensure!(!fails, "no hits");
        Ok(hits())
    }

    let mut flight = Flight::start(Plan::default());
    both(false).unwrap();
    both(true).unwrap_err();
    block_on(both_asynchronous(false)).unwrap();
    block_on(both_asynchronous(true)).unwrap_err();
    let [well, failed, well_asynchronous, failed_asynchronous] = flight.take().try_into().unwrap();
    assert_eq!((well.status, well.get(names::OUTPUT)), (Status::Ok, Some(&Value::packed(&hits()))));
    assert_eq!((failed.status, failed.get(names::OUTPUT)), (Status::Error, None));
    let output = Value::text("Hits { found: [\"a page\"] }");
    assert_eq!((well_asynchronous.status, well_asynchronous.get(names::OUTPUT)), (Status::Ok, Some(&output)));
    assert_eq!((failed_asynchronous.status, failed_asynchronous.get(names::OUTPUT)), (Status::Error, None));
    assert_eq!(failed_asynchronous.message.as_deref(), Some("no hits"));
}
