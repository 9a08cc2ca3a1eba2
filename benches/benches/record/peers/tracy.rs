//! Tracy's client. Its zones nest as the calls on a thread do, and have texts; a message is on the thread's timeline. What it
//! records goes through a queue to a thread of its own, which sends it to a viewer over a socket; here a
//! [`Viewer`] that counts.
//!
//! The client cannot be stopped again. Its thread looks at the queue every 10 ms.

mod viewer;

use std::hint::black_box;
use std::sync::{Mutex, OnceLock, PoisonError};

use spanring_benches::Calls;
use tracy_client::{Client, Span, span_location};

use self::viewer::Viewer;
use super::one_text::OneText;
use crate::ways::{Recording, Session, Way, Work};

pub(crate) const WAY: Way = Way { name: "tracy", is_variant: false, start: || Box::new(Viewed::new()), off };

/// Zones that a viewer is sent.
struct Viewed {
    client: Client,
    viewer: &'static Mutex<Viewer>,
}

impl Viewed {
    fn new() -> Self {
        static VIEWER: OnceLock<Mutex<Viewer>> = OnceLock::new();
        let client = Client::start();
        Viewed { client, viewer: VIEWER.get_or_init(|| Mutex::new(Viewer::connect())) }
    }
}

impl Recording for Viewed {
    fn session(&self) -> Box<dyn Session + '_> {
        // No run: a zone does not name its parent, and this one would be open.
        Box::new(Run { client: self.client.clone(), text: OneText::default() })
    }

    fn arrived(&self, expected: u64) -> u64 {
        let mut viewer = self.viewer.lock().unwrap_or_else(PoisonError::into_inner);
        viewer.zones(expected)
    }
}

struct Run {
    client: Client,
    text: OneText,
}

impl Session for Run {
    fn record(&mut self, work: Work, calls: &Calls, count: usize) {
        let Run { client, text } = self;
        let zone = |location| -> Span { client.clone().span(location, 0) };
        match work {
            Work::Child => {
                for _ in 0..count {
                    drop(zone(span_location!("step")));
                }
            }
            Work::FourAttributes => {
                for number in 0..count {
                    let zone = zone(span_location!("execute_tool"));
                    zone.emit_text(text.tool(calls, number));
                }
            }
            Work::Llm => {
                for number in 0..count {
                    let zone = zone(span_location!("chat"));
                    zone.emit_text(text.model(calls, number));
                    client.message("first token", 0);
                }
            }
        }
    }
}

/// The client is not running.
fn off(count: u64) {
    assert!(!Client::is_running());
    for _ in 0..count {
        let zone = Client::running().map(|client| client.span(span_location!("step"), 0));
        black_box(&zone);
    }
}
