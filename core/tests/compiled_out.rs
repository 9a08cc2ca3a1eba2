//! With the feature `off`, nothing is recorded, and a span is nothing but the place of its identities.
#![cfg(feature = "off")]

use spanring::control::CONTROL_FILE_LEN;
use spanring::dictionary::DICTIONARY_FILE_LEN;
use spanring::mapping::Mapping;
use spanring::recorder::{Options, Recorder};
use spanring::{Context, Ended, Hooks, InSpan, Span, lane_file_len, span};

#[test]
fn nothing_is_recorded_whatever_is_installed() {
    let map = |len| Mapping::anonymous(len).unwrap();
    let options = Options::default();
    let recorder =
        Recorder::new(options, Hooks::default(), map(CONTROL_FILE_LEN), map(DICTIONARY_FILE_LEN)).unwrap();
    for _ in 0..2 {
        recorder.add_lane(map(lane_file_len(options.ring_bytes))).unwrap();
    }
    recorder.install().unwrap();

    let run = spanring::trace("run").start();
    assert!(!run.is_recording());
    assert_eq!(run.context(), Context::NONE);
    let _current = run.enter();
    assert_eq!(Context::current(), Context::NONE);
    let never = |()| -> u64 { unreachable!("it is not recorded") };
    assert_eq!(span!("work", value = never(())).end(), Ended::NotRecording);
    drop(spanring::span("pending").prepare());
    assert_eq!(spanring::span("shared").start().shared().end(), Ended::NotRecording);
    assert_eq!(spanring::tool("work").run(|_| Ok::<_, std::io::Error>(1)).unwrap(), 1);
    drop(async {}.in_span(&run));
    assert_eq!(recorder.counters().started, 0);
    assert_eq!(recorder.attached_count(), 0);
}

#[test]
fn a_span_takes_the_room_of_its_identities() {
    assert_eq!(size_of::<Span>(), size_of::<Context>());
}
