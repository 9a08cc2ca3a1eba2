//! What signals ask of an export.

use serde_json::json;
use spanring_exporter::log::Level;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::cli::Failure;
use crate::cli::log::LogFormat;

/// Listens to signals from when it is made.
pub(super) struct Signals {
    stop: watch::Receiver<bool>,
    /// SIGHUP, unless it is left as it is: the end of the process.
    reload: Option<Signal>,
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    Stop,
    Reload,
}

impl Signals {
    /// SIGTERM and SIGINT ask for a stop, the second of them ends the process at once: whoever sends it does not want to wait for
    /// an answer. Nothing is lost by it. SIGHUP asks for a reload, if there is to be any.
    pub(super) fn listen(reloads: bool, log: LogFormat) -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::incomplete(format!("cannot listen to signals: {error}")))
        };
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let reload = if reloads { Some(listen(SignalKind::hangup())?) } else { None };
        let (stopping, stop) = watch::channel(false);
        drop(tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            let text = "stopping after the current batch, or at the deadline; a second signal stops at once";
            log.say(Level::Info, text, &json!({"event": "stopping"}));
            stopping.send_replace(true);
            either(&mut terminate, &mut interrupt).await;
            std::process::exit(i32::from(Failure::INCOMPLETE));
        }));
        Ok(Signals { stop, reload })
    }

    /// What is asked for next. Once a stop was asked for, nothing else is.
    pub(super) async fn next(&mut self) -> Asked {
        let Signals { stop, reload } = self;
        let hung_up = async {
            match reload {
                Some(signal) => drop(signal.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // The task that sends it ends with the process only.
            _ = stop.wait_for(|&stop| stop) => Asked::Stop,
            () = hung_up => Asked::Reload,
        }
    }
}

/// What `work` comes to; `None` where a stop is asked for before.
pub(super) async fn unless_stopped<T>(signals: &mut Signals, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        // The task that sends it ends with the process only.
        _ = signals.stop.wait_for(|&stop| stop) => None,
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
