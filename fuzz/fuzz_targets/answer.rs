//! What servers answer: anything, with any status.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use spanring_exporter::prela;
use spanring_exporter::sink::{
    HttpApi as _, OpenAi, OpenAiOptions, OtlpHttp, OtlpOptions, Outcome, Prela, PrelaOptions, Response,
    SpanForgeOptions, SpanForgeWebhook,
};

#[derive(Arbitrary, Debug)]
enum Input {
    Answer {
        status: u16,
        media_type: MediaType,
        body: Vec<u8>,
        is_whole: bool,
    },
    /// A partial success as a receiver writes it in JSON, with more beside it.
    Partial {
        rejected: i64,
        message: String,
        is_text: bool,
    },
    /// A span in Prela's form, as a file may hold it.
    PrelaSpan(String),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum MediaType {
    Protobuf,
    Json,
    Html,
    None,
}

fuzz_target!(|input: Input| {
    let url = "http://localhost:4318".parse().expect("it is a URL");
    let otlp = OtlpHttp::new(&url, false, &OtlpOptions::default());
    match input {
        Input::Answer { status, media_type, body, is_whole } => {
            let status = 100 + status % 900;
            let media_type = match media_type {
                MediaType::Protobuf => "application/x-protobuf",
                MediaType::Json => "application/json",
                MediaType::Html => "text/html",
                MediaType::None => "",
            };
            let response = Response {
                status,
                media_type: media_type.into(),
                body,
                whole: is_whole,
                ..Response::default()
            };
            let is_taken = matches!(check(&otlp.outcome(&response)), Outcome::Delivered { .. });
            assert_eq!(is_taken, (200..300).contains(&status), "{status}");
            let prela = Prela::new(&url, &PrelaOptions::default());
            let is_taken = matches!(check(&prela.outcome(&response)), Outcome::Delivered { .. });
            assert_eq!(is_taken, [200, 202].contains(&status), "{status}");
            let options = OpenAiOptions::default().with_api_key("key").expect("a header may say so");
            let openai = OpenAi::new(&url, &options).expect("it has a key");
            let webhook = SpanForgeWebhook::new(&url, &SpanForgeOptions::default());
            for outcome in [openai.outcome(&response), webhook.outcome(&response)] {
                let is_taken = matches!(check(&outcome), Outcome::Delivered { .. });
                assert_eq!(is_taken, (200..300).contains(&status), "{status}");
            }
        }
        Input::Partial { rejected, message, is_text } => {
            let number = if is_text { serde_json::json!(rejected.to_string()) } else { rejected.into() };
            let body = serde_json::json!({
                "more": [message],
                "partialSuccess": {"rejectedSpans": number, "errorMessage": message},
            });
            let response = Response {
                status: 200,
                media_type: "application/json".into(),
                body: body.to_string().into_bytes(),
                whole: true,
                ..Response::default()
            };
            match check(&otlp.outcome(&response)) {
                Outcome::Delivered { rejected: heard, .. } => {
                    assert_eq!(*heard, u64::try_from(rejected).unwrap_or(0));
                }
                other => panic!("{other:?}"),
            }
        }
        Input::PrelaSpan(text) => {
            // What is read is written, and read again as the same.
            if let Ok(span) = prela::Span::from_dict(&text) {
                let again = prela::Span::from_dict(&span.to_dict()).expect("it was just written");
                assert_eq!(again.to_dict(), span.to_dict());
            }
        }
    }
});

/// What is told of an answer is one short line, and safe to print.
fn check(outcome: &Outcome) -> &Outcome {
    let (Outcome::Delivered { message: told, .. }
    | Outcome::Retry { reason: told, .. }
    | Outcome::Rejected { reason: told }
    | Outcome::Parked { reason: told }) = outcome;
    assert!(told.chars().count() <= 400 && !told.contains(char::is_control), "{told:?}");
    outcome
}
