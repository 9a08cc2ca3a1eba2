//! `tracestate`: its grammar, its limits, and what becomes of it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use spanring::propagation::{TraceState, TraceStateError};

use TraceStateError::{Key, TooMany, Twice, Value};

#[track_caller]
fn is_read(header: &str, members: &[(&str, &str)]) {
    let state = TraceState::parse(header).unwrap();
    assert_eq!(state.iter().collect::<Vec<_>>(), members, "{header:?}");
    for (key, value) in members {
        assert_eq!(state.get(key), Some(*value));
    }
    assert_eq!(TraceState::parse(&state.to_string()), Ok(state), "{header:?}");
}

#[track_caller]
fn is_refused(header: &str, why: TraceStateError) {
    assert_eq!(TraceState::parse(header), Err(why), "{header:?}");
}

#[test]
fn members_are_read_in_their_order() {
    is_read("foo=1", &[("foo", "1")]);
    is_read("foo=1,bar=2", &[("foo", "1"), ("bar", "2")]);
    is_read(
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        &[("rojo", "00f067aa0ba902b7"), ("congo", "t61rcWkgMzE")],
    );
    let headers = ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"];
    let state = TraceState::from_headers(headers).unwrap();
    assert_eq!(state.to_string(), headers.join(","));
    assert_eq!(state.get("qux"), None);
}

#[test]
fn what_is_empty_and_space_around_members_does_not_count() {
    for header in ["", " ", "\t", ",", " , ,\t,"] {
        is_read(header, &[]);
        assert!(TraceState::parse(header).unwrap().is_empty());
    }
    is_read("foo=1,,bar=2,", &[("foo", "1"), ("bar", "2")]);
    let three: &[_] = &[("foo", "1"), ("bar", "2"), ("baz", "3")];
    is_read("foo=1 \t , \t bar=2, \t baz=3", three);
    is_read("foo=1\t \t,\t \tbar=2,\t \tbaz=3", three);
    for header in [" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t"] {
        is_read(header, &[("foo", "1")]);
    }
    for headers in [["foo=1", ""], ["", "foo=1"]] {
        assert_eq!(TraceState::from_headers(headers).unwrap().to_string(), "foo=1");
    }
    is_read(&",".repeat(100_000), &[]);
}

#[test]
fn a_key_that_stands_twice_makes_all_of_it_invalid() {
    is_refused("foo=1,foo=1", Twice { index: 1 });
    is_refused("foo=1,foo=2", Twice { index: 1 });
    is_refused("foo=1,bar=1,foo=2", Twice { index: 2 });
    assert_eq!(TraceState::from_headers(["foo=1", "foo=1"]), Err(Twice { index: 1 }));
    assert_eq!(TraceState::from_headers(["foo=1", "bar=1", "foo=2"]), Err(Twice { index: 2 }));
    is_read("foo=1,foo@bar=1,bar@foo=1", &[("foo", "1"), ("foo@bar", "1"), ("bar@foo", "1")]);
}

#[test]
fn all_characters_that_are_allowed_are_read_and_no_others() {
    let key = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
    let value: String = (' '..='~').filter(|character| !",=".contains(*character)).collect();
    is_read(&format!("{key}={value}"), &[(key, &value)]);
    let tenant = format!("{key}@a-z0-9_-*/");
    is_read(&format!("{tenant}={value}"), &[(&tenant, &value)]);

    for character in (0..=0x17f).map(|code| char::from_u32(code).unwrap()) {
        let is_first = character.is_ascii_lowercase() || character.is_ascii_digit();
        let is_in_key = is_first || "_-*/".contains(character);
        let is_in_value = (' '..='~').contains(&character) && !",=".contains(character);
        let mut state = TraceState::default();
        assert_eq!(state.set(&format!("{character}a"), "1").is_ok(), is_first, "{character:?}");
        assert_eq!(state.set(&format!("t@{character}a"), "1").is_ok(), is_first, "{character:?}");
        assert_eq!(
            state.set(&format!("a{character}a"), "1").is_ok(),
            is_in_key || character == '@',
            "{character:?}"
        );
        assert_eq!(state.set("a", &format!("1{character}1")).is_ok(), is_in_value, "{character:?}");
        // A comma and an equals sign make something else of what is read.
        if !",=".contains(character) {
            assert_eq!(
                TraceState::parse(&format!("a{character}b=1")).is_ok(),
                is_in_key || character == '@',
                "{character:?}"
            );
            assert_eq!(TraceState::parse(&format!("a=1{character}1")).is_ok(), is_in_value, "{character:?}");
        }
    }
}

#[test]
fn what_is_no_key_makes_all_of_it_invalid() {
    for member in ["foo =1", "FOO=1", "foo.bar=1", "foo", "=1", "=", "_foo=1", "f\u{e9}=1", "foo\t=1"] {
        is_refused(member, Key { index: 0 });
        is_refused(&format!("bar=2,{member}"), Key { index: 1 });
        is_refused(&format!("bar=2,{member},baz=3"), Key { index: 1 });
    }
    for member in ["foo@=1", "@foo=1", "@=1", "foo@@bar=1", "foo@bar@baz=1", "foo@_bar=1"] {
        is_refused(&format!("{member},bar=2"), Key { index: 0 });
    }
}

#[test]
fn what_is_no_value_makes_all_of_it_invalid() {
    for member in ["foo=bar=baz", "foo=", "foo= ", "foo==", "foo=a\tb", "foo=\u{e9}", "foo=\u{7f}"] {
        is_refused(member, Value { index: 0 });
        is_refused(&format!("{member},bar=3"), Value { index: 0 });
    }
    is_read("foo=  1", &[("foo", "  1")]);
    is_read("foo=1 2", &[("foo", "1 2")]);
    let mut state = TraceState::default();
    assert_eq!(state.set("foo", "1 "), Err(Value { index: 0 }));
    assert_eq!(state.set("foo", ""), Err(Value { index: 0 }));
    assert_eq!(state.set("", "1"), Err(Key { index: 0 }));
}

#[test]
fn keys_and_values_are_as_long_as_they_may_be() {
    let repeated = |text: &str, count: usize| text.repeat(count);
    for (key, is_key) in [
        (repeated("z", 256), true),
        (repeated("z", 257), false),
        (repeated("t", 241) + "@" + &repeated("v", 14), true),
        (repeated("t", 242) + "@v", false),
        (String::from("t@") + &repeated("v", 14), true),
        (String::from("t@") + &repeated("v", 15), false),
    ] {
        let read = TraceState::from_headers(["foo=1", &format!("{key}=1")]);
        match is_key {
            true => assert_eq!(read.unwrap().get(&key), Some("1")),
            false => assert_eq!(read, Err(Key { index: 1 }), "{key}"),
        }
    }
    is_read(&format!("foo={}", repeated("v", 256)), &[("foo", &repeated("v", 256))]);
    is_refused(&format!("foo={}", repeated("v", 257)), Value { index: 0 });
}

fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("bar{number:02}={number:02}")).collect()
}

#[test]
fn there_are_32_members_and_not_33() {
    let members = numbered(33);
    assert_eq!(TraceState::parse(&members[..32].join(",")).unwrap().iter().count(), 32);
    is_refused(&members.join(","), TooMany);
    let headers = |count: usize| members[..count].chunks(10).map(|some| some.join(",")).collect::<Vec<_>>();
    let read = |count| TraceState::from_headers(headers(count).iter().map(String::as_str));
    assert_eq!(read(32).unwrap().to_string(), members[..32].join(","));
    assert_eq!(read(33), Err(TooMany));
    is_read(
        &format!("{},", members[..31].join(",,")),
        &TraceState::parse(&members[..31].join(",")).unwrap().iter().collect::<Vec<_>>(),
    );
}

#[test]
fn what_is_set_is_moved_to_the_front_and_the_rest_keeps_its_order() {
    let mut state = TraceState::parse("a=1,b=2,c=3").unwrap();
    state.set("b", "4").unwrap();
    assert_eq!(state.to_string(), "b=4,a=1,c=3");
    state.set("d", "5").unwrap();
    assert_eq!(state.to_string(), "d=5,b=4,a=1,c=3");
    assert!(state.remove("b"));
    assert!(!state.remove("b"));
    assert_eq!(state.to_string(), "d=5,a=1,c=3");
    assert!(state.set("E", "6").is_err());
    assert_eq!(state.to_string(), "d=5,a=1,c=3");

    let mut full = TraceState::parse(&numbered(32).join(",")).unwrap();
    full.set("bar32", "new").unwrap();
    assert_eq!(full.to_string(), format!("bar32=new,{}", numbered(31).join(",")));
    full.set("one-more", "new").unwrap();
    assert_eq!(full.to_string(), format!("one-more=new,bar32=new,{}", numbered(30).join(",")));
}

#[test]
fn of_what_is_too_long_large_members_go_first_and_then_the_last() {
    let member = |key: &str, len: usize| format!("{key}={}", "v".repeat(len - key.len() - 1));
    let passed = |members: &[String]| TraceState::parse(&members.join(",")).unwrap().header().into_owned();
    let small = |key: &str| member(key, 100);
    let [a, b, c, d] = ["a", "b", "c", "d"].map(small);

    let fits = [a.clone(), b.clone(), c.clone(), d.clone(), member("e", 108)];
    assert_eq!(fits.join(",").len(), 512);
    assert_eq!(passed(&fits), fits.join(","));
    let too_long = [a.clone(), b.clone(), c.clone(), d.clone(), member("e", 109)];
    assert_eq!(passed(&too_long), too_long[..4].join(","));

    // 129 bytes are large, 128 are not.
    let large = [member("l", 129), a.clone(), b.clone(), c.clone(), member("e", 128)];
    assert_eq!(passed(&large), large[1..].join(","));
    let none_large = [member("l", 128), a.clone(), b.clone(), c.clone(), member("e", 128)];
    assert_eq!(passed(&none_large), none_large[..4].join(","));

    // No more large ones go than must, the last ones first.
    let two_large = [member("l", 200), a.clone(), b.clone(), member("m", 200)];
    assert_eq!(passed(&two_large), two_large[..3].join(","));
    assert_eq!(passed(&[format!("{}={}", "k".repeat(256), "v".repeat(256))]), "");
    let state = TraceState::parse(&too_long.join(",")).unwrap();
    assert_eq!(state.to_string(), too_long.join(","), "it is only passed on that it is cut");
}

fn members() -> impl Strategy<Value = Vec<(String, String)>> {
    let key =
        prop_oneof!["[a-z0-9][a-z0-9_*/-]{0,20}", "[a-z0-9][a-z0-9_*/-]{0,20}@[a-z0-9][a-z0-9_*/-]{0,13}"];
    let value = "[ -+\\--<>-~]{0,40}[!-+\\--<>-~]";
    prop::collection::vec((key, value), 0..32).prop_map(|mut members| {
        let mut known = BTreeSet::new();
        members.retain(|(key, _)| known.insert(key.clone()));
        members
    })
}

proptest! {
    #[test]
    fn what_is_built_is_read_back(members in members()) {
        let mut built = TraceState::default();
        for (key, value) in members.iter().rev() {
            built.set(key, value).unwrap();
        }
        let pairs: Vec<_> = members.iter().map(|(key, value)| (&**key, &**value)).collect();
        prop_assert_eq!(built.iter().collect::<Vec<_>>(), pairs);
        prop_assert_eq!(TraceState::parse(&built.to_string()), Ok(built.clone()));
        // What is passed on is some of it, in its order, and valid.
        let passed = TraceState::parse(&built.header()).unwrap();
        prop_assert!(passed.to_string().len() <= 512);
        let mut rest = built.iter();
        prop_assert!(passed.iter().all(|member| rest.any(|other| other == member)));
        prop_assert!(built.to_string().len() > 512 || passed == built);
    }

    #[test]
    fn any_text_is_refused_or_means_what_is_written_again(header in "[a-c@=, \t1~\u{e9}]{0,40}") {
        if let Ok(state) = TraceState::parse(&header) {
            let mut again = TraceState::default();
            for (key, value) in state.iter().collect::<Vec<_>>().into_iter().rev() {
                again.set(key, value).unwrap();
            }
            prop_assert_eq!(&again, &state);
            let without: String = header.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()).collect::<Vec<_>>().join(",");
            prop_assert_eq!(state.to_string(), without);
        }
    }
}
