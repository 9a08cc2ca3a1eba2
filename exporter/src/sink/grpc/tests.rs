use proptest::prelude::*;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;

#[test]
fn a_frame_is_a_message_again_and_no_part_of_it_is() {
    let framed = frame(b"spans", true).unwrap();
    assert_eq!(framed, b"\0\0\0\0\x05spans");
    for len in 0..framed.len() {
        assert_eq!(message(&framed[..len]), None, "{len} bytes");
    }
    assert_eq!(message(&framed), Some(b"spans".as_slice()));
    assert_eq!(message(&[framed.as_slice(), b"\0"].concat()), None);
    assert_eq!(message(&frame(b"", true).unwrap()), Some([].as_slice()));
    let compressed = frame(b"spans", false).unwrap();
    assert_eq!(compressed[..1], [1]);
    assert_eq!(message(&compressed), None, "nothing that is compressed was asked for");
}

#[test]
fn codes_are_those_of_grpc() {
    for (number, code) in (0..).zip(Code::ALL) {
        assert_eq!(format!("{code:?}"), format!("{:?}", tonic::Code::from_i32(number)));
    }
    for (text, code) in [("", 2), ("17", 2), ("-1", 2), ("x", 2), ("99999999999999999999", 2), ("16", 16)] {
        assert_eq!(Code::of(&HeaderValue::from_static(text)), Code::ALL[code], "{text:?}");
    }
    assert_eq!(Code::ResourceExhausted.to_string(), "RESOURCE_EXHAUSTED");
    assert_eq!(Code::Ok.to_string(), "OK");
}

fn headers_of(status: &tonic::Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers).unwrap();
    headers
}

fn with_retry_info(delay: Option<Duration>) -> tonic::Status {
    let mut details = ErrorDetails::new();
    details.set_debug_info(["a frame".to_owned()], "detail").set_retry_info(delay);
    tonic::Status::with_error_details(tonic::Code::Unavailable, "busy", details)
}

#[test]
fn a_status_is_read_as_others_write_it() {
    for message in ["", "busy", "50 % füll\r\n\t\"", "\u{0}"] {
        let status = Status::of(&headers_of(&tonic::Status::unavailable(message))).unwrap();
        let message = message.to_owned();
        assert_eq!(status, Status { code: Code::Unavailable, message, retry_after: None });
    }
    assert_eq!(Status::of(&HeaderMap::new()), None);
    // Some write what should have been encoded as it is.
    let mut headers = headers_of(&tonic::Status::unavailable(""));
    headers.insert("grpc-message", HeaderValue::from_bytes(b"f\xc3\xbcll \xff %zz %ff").unwrap());
    assert_eq!(Status::of(&headers).unwrap().message, "füll \u{fffd} %zz \u{fffd}");
}

#[test]
fn a_wait_is_read_as_others_write_it_and_is_at_most_an_hour() {
    for (delay, wait) in [
        (None, None),
        (Some(Duration::ZERO), Some(Duration::ZERO)),
        (Some(Duration::from_millis(7500)), Some(Duration::from_millis(7500))),
        (Some(WAIT_MAX), Some(WAIT_MAX)),
        (Some(WAIT_MAX + Duration::from_nanos(1)), Some(WAIT_MAX)),
        (Some(Duration::MAX), Some(WAIT_MAX)),
    ] {
        let mut headers = headers_of(&with_retry_info(delay));
        assert_eq!(Status::of(&headers).unwrap().retry_after, wait, "{delay:?}");
        // With the padding that base64 has else.
        let mut text = headers["grpc-status-details-bin"].to_str().unwrap().to_owned();
        text.push_str(["", "", "==", "="][text.len() % 4]);
        headers.insert("grpc-status-details-bin", text.parse().unwrap());
        assert_eq!(Status::of(&headers).unwrap().retry_after, wait, "{delay:?}, padded");
    }
}

fn details(seconds: i64, nanos: i32, type_url: &str) -> HeaderValue {
    let info = RetryInfo { retry_delay: Some(Delay { seconds, nanos }) };
    let detail = Detail { type_url: type_url.to_owned(), value: info.encode_to_vec() };
    STANDARD_NO_PAD.encode(Details { details: vec![detail] }.encode_to_vec()).parse().unwrap()
}

#[test]
fn a_wait_that_makes_no_sense_is_none_or_the_longest() {
    let retry_info = "type.googleapis.com/google.rpc.RetryInfo";
    let wait = |seconds, nanos| retry_after(&details(seconds, nanos, retry_info)).unwrap();
    assert_eq!(wait(-1, -1), Duration::ZERO);
    assert_eq!(wait(i64::MIN, i32::MIN), Duration::ZERO);
    assert_eq!(wait(i64::MAX, i32::MAX), WAIT_MAX);
    assert_eq!(wait(0, i32::MAX), Duration::from_nanos(2_147_483_647));
    assert_eq!(retry_after(&details(1, 0, "type.googleapis.com/google.rpc.DebugInfo")), None);
    for text in ["", "=", "====", "!", "AAAA", "YWJj", "a"] {
        assert_eq!(retry_after(&HeaderValue::from_static(text)), None, "{text:?}");
    }
}

proptest! {
    #[test]
    fn any_headers_are_a_status(
        code in "[ -~]{0,8}",
        message in prop::collection::vec(0x20..=0xffu8, 0..40),
        details in prop_oneof!["[ -~]{0,40}", prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| STANDARD_NO_PAD.encode(bytes))],
    ) {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", code.parse().unwrap());
        if let Ok(message) = HeaderValue::from_bytes(&message) {
            headers.insert("grpc-message", message);
        }
        headers.insert("grpc-status-details-bin", details.parse().unwrap());
        prop_assert!(Status::of(&headers).unwrap().retry_after.is_none_or(|wait| wait <= WAIT_MAX));
    }

    #[test]
    fn binary_metadata_is_what_others_read(bytes in prop::collection::vec(0x20..=0x7eu8, 0..40)) {
        let mut value = HeaderValue::from_bytes(&bytes).unwrap();
        value.set_sensitive(true);
        let headers = ["key", "key-bin"].map(|name| (HeaderName::from_static(name), value.clone()));
        let metadata = metadata(&headers);
        prop_assert!(metadata.values().all(HeaderValue::is_sensitive));
        let metadata = tonic::metadata::MetadataMap::from_headers(metadata);
        prop_assert_eq!(metadata.get("key").unwrap().as_bytes(), bytes.as_slice());
        let binary = metadata.get_bin("key-bin").unwrap().to_bytes().unwrap();
        prop_assert_eq!(binary.as_ref(), bytes.as_slice());
    }
}
