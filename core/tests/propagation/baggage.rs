//! `baggage`: members, properties, percent-encoding and limits.

use proptest::prelude::*;
use spanring::propagation::{Baggage, BaggageError};

type Properties = Vec<(String, Option<String>)>;

fn members(baggage: &Baggage) -> Vec<(String, String, Properties)> {
    let owned = |member: spanring::propagation::Member<'_>| {
        let properties =
            member.properties().map(|(key, value)| (key.to_owned(), value.map(|value| value.into_owned())));
        (member.key().to_owned(), member.value().into_owned(), properties.collect())
    };
    baggage.iter().map(owned).collect()
}

#[track_caller]
fn is_read(header: &str, text: &str) {
    let baggage = Baggage::parse(header);
    assert_eq!(baggage.as_str(), text, "{header:?}");
    assert_eq!(Baggage::parse(text), baggage);
}

#[test]
fn members_and_their_properties_are_read_without_space_around_them() {
    let header = "SomeKey \t = \t SomeValue \t ; \t SomeProp \t ; \t Second \t = \t 2 \t , \t Other \t = \t Value \t ; \t P \t = \t V";
    is_read(header, "SomeKey=SomeValue;SomeProp;Second=2,Other=Value;P=V");
    let property = |key: &str, value: Option<&str>| (key.to_owned(), value.map(str::to_owned));
    let expected = [
        (
            "SomeKey".to_owned(),
            "SomeValue".to_owned(),
            vec![property("SomeProp", None), property("Second", Some("2"))],
        ),
        ("Other".to_owned(), "Value".to_owned(), vec![property("P", Some("V"))]),
    ];
    assert_eq!(members(&Baggage::parse(header)), expected);

    let baggage = Baggage::from_headers(["userId=alice", "serverNode=DF%2028,isProduction=false"]);
    assert_eq!(baggage.as_str(), "userId=alice,serverNode=DF%2028,isProduction=false");
    assert_eq!(baggage.get("serverNode").as_deref(), Some("DF 28"));
    assert_eq!(baggage.get("server"), None);
    assert_eq!(Baggage::parse("a=b=c==").get("a").as_deref(), Some("b=c=="));
    assert_eq!(Baggage::parse("a=,b= ").get("b").as_deref(), Some(""));
    for empty in ["", " ", ",", " ,\t, "] {
        assert!(Baggage::parse(empty).is_empty());
    }
}

#[test]
fn a_member_that_is_none_is_left_out_and_the_others_count() {
    for wrong in [
        "b",
        "=2",
        "b c=2",
        "b=2 3",
        "b=\"2\"",
        "b=\\",
        "b=\u{e9}",
        "\u{e9}=2",
        "b=2;",
        "b=2;=3",
        "b=2;p q",
        "b=2;p=\"3\"",
        "b=\u{7f}",
        "b=\0",
        "(b)=2",
        "b;p=1",
        ";",
        "b=2;;p",
    ] {
        is_read(&format!("a=1,{wrong},c=3"), "a=1,c=3");
        is_read(wrong, "");
        is_read(&format!("{wrong},c=3"), "c=3");
    }
}

#[test]
fn every_character_is_allowed_where_it_is_and_set_as_it_must_be() {
    for character in (0..=0x17f).map(|code| char::from_u32(code).unwrap()) {
        let is_token = character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character);
        let is_octet = ('!'..='~').contains(&character) && !"\",;\\".contains(character);
        let mut baggage = Baggage::default();
        assert_eq!(baggage.set(&format!("a{character}"), "1").is_ok(), is_token, "{character:?}");
        let mut baggage = Baggage::default();
        baggage.set("key", &format!("1{character}1")).unwrap();
        assert_eq!(baggage.get("key").unwrap(), format!("1{character}1"));
        assert_eq!(baggage.as_str().contains('%'), !is_octet || character == '%', "{character:?}");
        if !",;".contains(character) {
            assert_eq!(!Baggage::parse(&format!("a=1{character}1")).is_empty(), is_octet, "{character:?}");
        }
        if !",;=".contains(character) {
            assert_eq!(!Baggage::parse(&format!("a{character}b=1")).is_empty(), is_token, "{character:?}");
        }
    }
    let mut baggage = Baggage::default();
    baggage.set("k", "\t \"';=asdf!@#$%^&*()\u{e9}").unwrap();
    assert_eq!(baggage.as_str(), "k=%09%20%22'%3B=asdf!@#$%25^&*()%C3%A9");
    assert_eq!(baggage.set("", "1"), Err(BaggageError::Key));
}

#[test]
fn percent_encoding_that_is_none_stands_for_itself_and_is_passed_on_as_it_came() {
    for (text, value) in [
        ("100%", "100%"),
        ("%", "%"),
        ("%%41", "%A"),
        ("%4", "%4"),
        ("%4g", "%4g"),
        ("%41%42", "AB"),
        ("%c3%a9", "\u{e9}"),
        ("%ff", "\u{fffd}"),
        ("a%ff%41", "a\u{fffd}A"),
        ("%+1", "%+1"),
    ] {
        let baggage = Baggage::parse(&format!("k={text};p={text}"));
        assert_eq!(baggage.get("k").unwrap(), value, "{text}");
        assert_eq!(baggage.iter().next().unwrap().properties().next().unwrap().1.unwrap(), value, "{text}");
        assert_eq!(baggage.as_str(), format!("k={text};p={text}"));
    }
}

#[test]
fn of_a_key_that_stands_twice_the_last_counts_until_it_is_set() {
    let mut baggage = Baggage::parse("a=1,b=2,a=3;p");
    assert_eq!(baggage.as_str(), "a=1,b=2,a=3;p");
    assert_eq!(baggage.get("a").as_deref(), Some("3"));
    baggage.set("a", "4").unwrap();
    assert_eq!(baggage.as_str(), "b=2,a=4");
    baggage.set_with("b", "5", [("p", None), ("q", Some("x y"))]).unwrap();
    assert_eq!(baggage.as_str(), "a=4,b=5;p;q=x%20y");
    assert_eq!(baggage.set_with("a", "6", [("p q", None)]), Err(BaggageError::Key));
    assert_eq!(baggage.as_str(), "a=4,b=5;p;q=x%20y");
    assert!(baggage.remove("a"));
    assert!(!baggage.remove("a"));
    assert_eq!(baggage.as_str(), "b=5;p;q=x%20y");
    assert!(baggage.remove("b"));
    assert_eq!(baggage, Baggage::default());
}

#[test]
fn as_much_is_kept_as_every_system_passes_on_and_what_finds_no_room_is_left_out() {
    let numbered = |count: usize| (0..count).map(|n| format!("k{n}=v")).collect::<Vec<_>>();
    let many = numbered(200);
    assert_eq!(Baggage::parse(&many.join(",")).as_str(), many[..180].join(","));
    assert_eq!(Baggage::from_headers(many.iter().map(String::as_str)).as_str(), many[..180].join(","));
    let mut full = Baggage::parse(&many.join(","));
    assert_eq!(full.set("one-more", "v"), Err(BaggageError::Full));
    full.set("k0", "w").unwrap();
    assert_eq!(full.iter().count(), 180);

    let longest = format!("a={}", "0123456789".repeat(819));
    assert_eq!(longest.len(), 8192);
    is_read(&longest, &longest);
    is_read(&format!("{longest},b=1"), &longest);
    is_read(&format!("{longest}0,b=1"), "b=1");
    is_read(&format!("b=1,{longest},c=1"), "b=1,c=1");
    let mut baggage = Baggage::default();
    baggage.set("a", &longest[2..]).unwrap();
    assert_eq!(baggage.as_str(), longest);
    assert_eq!(baggage.set("b", ""), Err(BaggageError::Full));
    assert_eq!(baggage.set("a", &"\u{e9}".repeat(2000)), Err(BaggageError::Full));
    assert_eq!(baggage.set("a", &"v".repeat(1 << 20)), Err(BaggageError::Full));
    assert_eq!(baggage.as_str(), longest);
    assert!(Baggage::parse(&"=".repeat(1 << 20)).is_empty());
    assert_eq!(Baggage::parse(&"a=1,".repeat(1 << 18)).iter().count(), 180);
}

type Given = (String, String, Vec<(String, Option<String>)>);

fn given() -> impl Strategy<Value = Vec<Given>> {
    let token = || "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,8}";
    let properties = prop::collection::vec((token(), prop::option::of(".{0,8}")), 0..4);
    prop::collection::vec((token(), "\\PC{0,12}|.{0,12}", properties), 0..20)
}

proptest! {
    #[test]
    fn what_is_built_is_read_back(given in given()) {
        let mut built = Baggage::default();
        let mut model: Vec<Given> = Vec::new();
        for (key, value, properties) in given {
            let lent = properties.iter().map(|(key, value)| (&**key, value.as_deref()));
            built.set_with(&key, &value, lent).unwrap();
            model.retain(|(other, ..)| *other != key);
            model.push((key, value, properties));
        }
        prop_assert_eq!(members(&built), model);
        prop_assert_eq!(Baggage::parse(built.as_str()), built);
    }

    #[test]
    fn whatever_is_read_is_read_again_as_the_same(header in "[ab=;, \t%4\"\u{e9}]{0,40}") {
        let baggage = Baggage::parse(&header);
        prop_assert_eq!(&Baggage::parse(baggage.as_str()), &baggage);
        let mut known: Vec<_> = members(&baggage);
        let mut again = Baggage::default();
        for (key, value, properties) in &known {
            again.set_with(key, value, properties.iter().map(|(key, value)| (&**key, value.as_deref()))).unwrap();
        }
        // Of a key that stands twice the last one is left.
        let all = known.clone();
        let mut index = 0;
        known.retain(|(key, ..)| {
            index += 1;
            all[index..].iter().all(|(other, ..)| other != key)
        });
        prop_assert_eq!(members(&again), known);
    }
}
