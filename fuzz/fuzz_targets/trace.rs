//! A file of saved traces, and a table of prices, made up.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring_spool::{Colour, PriceTable, SpanData, Trace};

#[derive(Arbitrary, Debug)]
enum Input {
    /// Lines of JSON, perhaps.
    Saved(Vec<u8>),
    /// TOML, perhaps.
    Prices(String),
}

fuzz_target!(|input: Input| match input {
    Input::Saved(bytes) => {
        let Ok(traces) = Trace::all_from_ndjson(&bytes[..]) else { return };
        for trace in traces {
            let mut saved = Vec::new();
            trace.to_ndjson(&mut saved).expect("a vector takes everything");
            let again = Trace::from_ndjson(&saved[..]).expect("what was saved can be read");
            // NaN differs from itself, so the text is compared.
            assert_eq!(format!("{:?}", again.spans()), format!("{:?}", trace.spans()), "nothing is lost");
            assert_eq!(trace.tree().nodes().len(), trace.spans().len(), "each span stands once in the tree");
            let mut printed = Vec::new();
            trace.print_tree(&mut printed, Colour::Never).expect("a vector takes everything");
            assert!(!printed.contains(&0x1b), "nothing in a span reaches the terminal as it is");
        }
    }
    Input::Prices(text) => {
        let Ok(prices) = PriceTable::parse(&text) else { return };
        let mut span = SpanData::default();
        span.attributes.push((spanring::names::REQUEST_MODEL.to_owned(), "gpt-4o".into()));
        span.attributes.push((spanring::names::USAGE_INPUT_TOKENS.to_owned(), 12_u64.into()));
        if prices.price(&mut span) {
            let total = span.cost().and_then(|cost| cost.sum()).expect("a priced span has a cost");
            assert!(total.is_finite() && total >= 0.0, "{total}");
        }
    }
});
