//! What callers say of themselves: headers.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring::Context;
use spanring::propagation::{Baggage, Propagated, TraceState};

#[derive(Arbitrary, Debug)]
struct Input {
    /// Which header, and its value.
    headers: Vec<(Name, String)>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Name {
    Traceparent,
    Tracestate,
    Baggage,
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        match self {
            Name::Traceparent => "traceparent",
            Name::Tracestate => "tracestate",
            Name::Baggage => "baggage",
        }
    }
}

fuzz_target!(|input: Input| {
    let came = Propagated::extract(&input.headers);
    let mut sent: Vec<(String, String)> = Vec::new();
    came.inject(&mut sent);
    let arrived = Propagated::extract(&sent);
    assert_eq!(arrived.context, came.context);
    assert_eq!(arrived.baggage, came.baggage);
    let mut members = came.trace_state.iter();
    assert!(
        arrived.trace_state.iter().all(|member| members.any(|other| other == member)),
        "some of it, in its order"
    );

    for (_, text) in &input.headers {
        if let Ok(context) = Context::from_traceparent(text) {
            let written = context.traceparent().expect("what was read is valid");
            let text = text.trim_matches([' ', '\t']);
            assert_eq!(written.as_str()[2..53], text[2..53], "identities are as they came");
        }
        if let Ok(state) = TraceState::parse(text) {
            assert_eq!(TraceState::parse(&state.to_string()), Ok(state));
        }
        let baggage = Baggage::parse(text);
        assert!(baggage.as_str().len() <= text.len().min(8192), "nothing is added, and there is a limit");
        let mut built = Baggage::default();
        for member in baggage.iter() {
            let properties: Vec<_> = member.properties().collect();
            let properties = properties.iter().map(|(key, value)| (*key, value.as_deref()));
            // What was no UTF-8 is longer once it is written again.
            if built.set_with(member.key(), &member.value(), properties).is_ok() {
                assert_eq!(built.get(member.key()), Some(member.value()));
            }
        }
    }
});
