//! Which processes the server wants stopped.

use std::time::Duration;

use reqwest::Method;
use spanring_spool::RecorderId;
use tokio::time::Instant;

use super::super::TerminationRequest;
use super::super::prefactor_answer::{self, Answered};
use super::known::Known;
use super::server::Server;
use crate::prefactor::Instance;

/// How often it is asked for an instance whose process lives.
pub(super) const ASK_INTERVAL: Duration = Duration::from_secs(30);

pub(super) struct Watch {
    /// The processes whose instances were started.
    processes: Known<RecorderId, Watched>,
    /// What the server has said of processes since it was taken.
    terminations: Vec<TerminationRequest>,
}

struct Watched {
    /// The server's identity of its instance.
    id: String,
    /// When it was asked for last.
    asked: Instant,
    /// Whether it is to stop.
    is_terminated: bool,
}

impl Watch {
    /// Watches the last so many processes.
    pub(super) fn new(processes_max: usize) -> Self {
        Watch { processes: Known::new(processes_max), terminations: Vec::new() }
    }

    /// Watches a process by its newest instance, which was just started, or by an earlier exporter.
    pub(super) fn begin(&mut self, recorder: &RecorderId, id: &str) {
        if self.processes.get_mut(recorder).is_some_and(|watched| watched.id == id) {
            return;
        }
        let watched = Watched { id: id.to_owned(), asked: Instant::now(), is_terminated: false };
        self.processes.insert(recorder.clone(), watched);
    }

    /// Heeds what an answer about a span says beside.
    pub(super) fn heed(&mut self, instance: &Instance, answered: &Answered) {
        if let Some(reason) = &answered.termination {
            self.terminate(instance.recorder(), reason);
        }
    }

    /// Asks whether the instance of a process was terminated, if it is time. What fails is asked again in its time.
    pub(super) async fn ask_for(&mut self, recorder: &RecorderId, server: &Server) {
        let Some(watched) = self.processes.get_mut(recorder) else { return };
        if watched.is_terminated || watched.asked.elapsed() < ASK_INTERVAL {
            return;
        }
        watched.asked = Instant::now();
        let id = watched.id.clone();
        let answer = server.ask(Method::GET, &["agent_instance", &id], String::new()).await;
        if let Some(reason) = answer.ok().and_then(|response| prefactor_answer::terminated(&response)) {
            self.terminate(recorder, &reason);
        }
    }

    pub(super) fn take(&mut self) -> Vec<TerminationRequest> {
        std::mem::take(&mut self.terminations)
    }

    /// Notes once that a process is to stop.
    fn terminate(&mut self, recorder: &RecorderId, reason: &str) {
        match self.processes.get_mut(recorder) {
            Some(watched) if watched.is_terminated => return,
            Some(watched) => watched.is_terminated = true,
            None => {}
        }
        let request = TerminationRequest { recorder: recorder.clone(), reason: reason.to_owned() };
        self.terminations.push(request);
    }
}
