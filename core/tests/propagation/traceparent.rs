//! `traceparent`: each byte, each cut, and what the specification names.

use proptest::prelude::*;
use spanring::propagation::TraceparentError;
use spanring::{Context, SpanId, TraceId};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const WHOLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What a text names by the obvious way to read it: cut at the dashes, and each part looked at by itself.
fn obvious(text: &str) -> Option<(String, String, bool)> {
    let text = text.trim_matches([' ', '\t']);
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |text: &str, len| {
        text.len() == len && text.chars().all(|character| "0123456789abcdef".contains(character))
    };
    let [version, trace, span, flags, more @ ..] = &parts[..] else { return None };
    let is_whole = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    let is_version = *version != "ff" && (*version != "00" || more.is_empty());
    let is_somebody = !trace.chars().all(|digit| digit == '0') && !span.chars().all(|digit| digit == '0');
    let is_sampled = is_whole && u8::from_str_radix(flags, 16).unwrap() % 2 == 1;
    (is_whole && is_version && is_somebody).then(|| (trace.to_string(), span.to_string(), is_sampled))
}

fn read(text: &str) -> Option<(String, String, bool)> {
    let context = Context::from_traceparent(text).ok()?;
    assert!(context.is_valid() && context.is_remote());
    Some((context.trace_id().to_string(), context.span_id().to_string(), context.is_sampled()))
}

#[track_caller]
fn names_the_span(text: &str) {
    let context = Context::from_traceparent(text).unwrap();
    assert_eq!(context.trace_id().to_string(), TRACE, "{text:?}");
    assert_eq!(context.span_id().to_string(), SPAN, "{text:?}");
    assert_eq!(read(text), obvious(text), "{text:?}");
}

#[track_caller]
fn names_nothing(text: &str, why: TraceparentError) {
    assert_eq!(Context::from_traceparent(text), Err(why), "{text:?}");
    assert_eq!(obvious(text), None, "{text:?}");
}

#[test]
fn what_is_written_names_the_span_and_whether_its_trace_is_sampled() {
    let (trace, span) = (TraceId::parse(TRACE).unwrap(), SpanId::parse(SPAN).unwrap());
    for (is_sampled, flags) in [(true, "01"), (false, "00")] {
        let context = Context::remote(trace, span, is_sampled);
        let text = context.traceparent().unwrap();
        assert_eq!(text.as_str(), format!("00-{TRACE}-{SPAN}-{flags}"));
        assert_eq!(text.to_string(), text.as_str());
        assert_eq!(Context::from_traceparent(text.as_str()), Ok(context));
    }
    assert_eq!(Context::new(trace, span).traceparent().unwrap().as_str(), WHOLE, "nobody decided against it");
    assert_eq!(Context::NONE.traceparent(), None);
    assert_eq!(Context::new(trace, SpanId::INVALID).traceparent(), None);
    assert_eq!(Context::new(TraceId::INVALID, span).traceparent(), None);
}

#[test]
fn every_byte_of_a_valid_one_replaced_by_every_other_is_read_as_the_obvious_reader_does() {
    let mut valid = 0;
    for version in ["00", "01", "cc", "fe"] {
        let whole = format!("{version}{}", &WHOLE[2..]);
        for at in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut bytes = whole.clone().into_bytes();
                bytes[at] = byte;
                // Bytes that make no text never get here; as characters they do.
                let text = String::from_utf8(bytes)
                    .unwrap_or_else(|_| format!("{}{}{}", &whole[..at], char::from(byte), &whole[at + 1..]));
                let read = read(&text);
                assert_eq!(read, obvious(&text), "{text:?}");
                valid += usize::from(read.is_some());
            }
        }
    }
    // At each of 52 digits each of 16, but for the versions `ff` that are next to `fe`, and all dashes.
    assert_eq!(valid, 4 * (52 * 16 + 3) - 1);
}

#[test]
fn every_cut_and_everything_that_is_longer_is_read_as_the_obvious_reader_does() {
    let of_now = format!("{WHOLE}-more-of-it");
    let of_later = format!("cc{}", &of_now[2..]);
    for whole in [of_now, of_later] {
        for from in 0..=whole.len() {
            for to in from..=whole.len() {
                assert_eq!(read(&whole[from..to]), obvious(&whole[from..to]), "{:?}", &whole[from..to]);
            }
        }
    }
    for cut in 0..WHOLE.len() {
        names_nothing(&WHOLE[..cut], TraceparentError::Length { len: cut });
    }
}

#[test]
fn a_field_that_is_too_long_or_too_short_makes_it_invalid() {
    use TraceparentError::{Character, Length};
    names_nothing(&format!("0-{TRACE}-{SPAN}-01"), Length { len: 54 });
    names_nothing(&format!("000-{TRACE}-{SPAN}-01"), Character { at: 2 });
    names_nothing(&format!("0000-{TRACE}-{SPAN}-01"), Character { at: 2 });
    names_nothing(&format!("00-{}-{SPAN}-01", &TRACE[1..]), Length { len: 54 });
    names_nothing(&format!("00-{TRACE}0-{SPAN}-01"), Character { at: 35 });
    names_nothing(&format!("00-{TRACE}-{}-01", &SPAN[1..]), Length { len: 54 });
    names_nothing(&format!("00-{TRACE}-{SPAN}0-01"), Character { at: 52 });
    names_nothing(&format!("00-{TRACE}-{SPAN}-1"), Length { len: 54 });
    names_nothing(&format!("00-{TRACE}-{SPAN}-001"), Length { len: 56 });
    names_nothing(&format!("00-{}-{SPAN}0-01", &TRACE[1..]), Character { at: 34 });
}

#[test]
fn what_is_no_lower_case_digit_makes_it_invalid() {
    use TraceparentError::Character;
    for (text, at) in [
        (format!(".0-{TRACE}-{SPAN}-01"), 0),
        (format!("0.-{TRACE}-{SPAN}-01"), 1),
        (format!("00_{TRACE}-{SPAN}-01"), 2),
        (format!("00-.{}-{SPAN}-01", &TRACE[1..]), 3),
        (format!("00-{}.-{SPAN}-01", &TRACE[..31]), 34),
        (format!("00-{}-{SPAN}-01", TRACE.to_uppercase()), 4),
        (format!("00-{TRACE}-.{}-01", &SPAN[1..]), 36),
        (format!("00-{TRACE}-{}.-01", &SPAN[..15]), 51),
        (format!("00-{TRACE}-{}-01", SPAN.to_uppercase()), 36),
        (format!("00-{TRACE}-{SPAN}-.0"), 53),
        (format!("00-{TRACE}-{SPAN}-0."), 54),
        (format!("00-{TRACE}-{SPAN}-0A"), 54),
        (format!("0A-{TRACE}-{SPAN}-01"), 1),
        (format!("00-{TRACE}-{SPAN}- 1"), 53),
        (format!("00-{}\u{e9}-{SPAN}-01", &TRACE[..30]), 33),
    ] {
        names_nothing(&text, Character { at });
    }
}

#[test]
fn identities_of_zeros_name_nothing() {
    names_nothing(&format!("00-{}-{SPAN}-01", "0".repeat(32)), TraceparentError::TraceId);
    names_nothing(&format!("00-{TRACE}-{}-01", "0".repeat(16)), TraceparentError::SpanId);
    names_nothing(&format!("cc-{}-{SPAN}-01", "0".repeat(32)), TraceparentError::TraceId);
}

#[test]
fn this_version_ends_where_it_ends_and_later_ones_may_go_on_behind_a_dash() {
    use TraceparentError::{Character, Length, Version};
    names_nothing(&format!("{WHOLE}."), Length { len: 56 });
    names_nothing(&format!("{WHOLE}-"), Length { len: 56 });
    names_nothing(&format!("{WHOLE}-what-may-come"), Length { len: 69 });
    for version in ["01", "cc", "fe"] {
        let later = format!("{version}{}", &WHOLE[2..]);
        names_the_span(&later);
        names_the_span(&format!("{later}-"));
        names_the_span(&format!("{later}-what-may-come"));
        names_the_span(&format!("{later}-{}", "x".repeat(100_000)));
        names_nothing(&format!("{later}.what-may-come"), Character { at: 55 });
        names_nothing(&format!("{later}0"), Character { at: 55 });
        names_nothing(&later[..54], Length { len: 54 });
        let written = Context::from_traceparent(&format!("{later}-more")).unwrap().traceparent().unwrap();
        assert_eq!(written.as_str(), WHOLE, "what is handed on is of this version");
    }
    names_nothing(&format!("ff{}", &WHOLE[2..]), Version);
    names_nothing(&format!("ff{}-what-may-come", &WHOLE[2..]), Version);
}

#[test]
fn of_all_flags_the_lowest_one_counts() {
    for flags in 0..=u8::MAX {
        let context = Context::from_traceparent(&format!("00-{TRACE}-{SPAN}-{flags:02x}")).unwrap();
        assert_eq!(context.is_sampled(), flags & 1 == 1, "{flags:02x}");
        let written = context.traceparent().unwrap();
        assert!(written.as_str().ends_with(if flags & 1 == 1 { "-01" } else { "-00" }), "{flags:02x}");
    }
}

#[test]
fn spaces_and_tabs_around_it_do_not_count() {
    for (before, behind) in [(" ", ""), ("\t", ""), ("", " "), ("", "\t"), ("\t ", " \t")] {
        names_the_span(&format!("{before}{WHOLE}{behind}"));
    }
    for other in ["\n", "\r", "\u{a0}", "\0"] {
        names_nothing(&format!("{WHOLE}{other}"), TraceparentError::Length { len: 55 + other.len() });
        assert_eq!(read(&format!("{other}{WHOLE}")), None);
    }
}

proptest! {
    #[test]
    fn any_identities_are_read_back(trace: [u8; 16], span: [u8; 8], is_sampled: bool) {
        let context = Context::remote(TraceId::from_bytes(trace), SpanId::from_bytes(span), is_sampled);
        match context.traceparent() {
            Some(text) => prop_assert_eq!(Context::from_traceparent(text.as_str()), Ok(context)),
            None => prop_assert!(!context.is_valid()),
        }
    }

    #[test]
    fn any_text_is_read_as_the_obvious_reader_does(text in "[0-9a-fA-F.\u{e9} -]{50,60}") {
        prop_assert_eq!(read(&text), obvious(&text));
    }
}
