//! Which processes the server wants stopped.
//!
//! A process may have several instances at the server: one for each version of its schemas, where the server makes another of each. They are all open until
//! the process is over, and whoever terminates one of them means the process.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::future::join_all;
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
/// How many instances of a process are asked for at once. The others are asked for with the next looks.
const ASKED_MAX: usize = 8;

pub(super) struct Watch {
    /// The processes whose instances were started.
    processes: Known<RecorderId, Watched>,
    /// How many instances of each are watched.
    instances_max: usize,
    /// What the server has said of processes since it was taken.
    terminations: Vec<TerminationRequest>,
}

#[derive(Default)]
struct Watched {
    /// Those that were asked for last are at the end.
    instances: VecDeque<Asked>,
    /// Whether it is to stop.
    is_terminated: bool,
}

struct Asked {
    /// The server's identity of the instance.
    id: String,
    /// When it was asked for last, or begun.
    asked: Instant,
}

impl Watch {
    /// Watches the last so many processes, by so many of their instances.
    pub(super) fn new(processes_max: usize, instances_max: usize) -> Self {
        Watch { processes: Known::new(processes_max), instances_max, terminations: Vec::new() }
    }

    /// Watches a process by an instance too, which was started just now, or by an earlier exporter.
    pub(super) fn begin(&mut self, recorder: &RecorderId, id: &str) {
        if self.processes.get_mut(recorder).is_none() {
            self.processes.insert(recorder.clone(), Watched::default());
        }
        if let Some(Watched { instances, .. }) = self.processes.get_mut(recorder)
            && instances.iter().all(|instance| instance.id != id)
        {
            if instances.len() >= self.instances_max {
                instances.pop_front();
            }
            instances.push_back(Asked { id: id.to_owned(), asked: Instant::now() });
        }
    }

    /// Heeds what an answer about a span says beside.
    pub(super) fn heed(&mut self, instance: &Instance, answered: &Answered) {
        if let Some(reason) = &answered.termination {
            self.terminate(instance.recorder(), reason);
        }
    }

    /// Asks whether an instance of a process was terminated, of those for which it is time. What fails is asked again in its time.
    pub(super) async fn ask_for(&mut self, recorder: &RecorderId, server: &Server) {
        let Some(watched) = self.processes.get_mut(recorder) else { return };
        if watched.is_terminated {
            return;
        }
        let due = watched.instances.iter().take_while(|instance| instance.asked.elapsed() >= ASK_INTERVAL);
        let due = due.take(ASKED_MAX).count();
        for instance in watched.instances.iter_mut().take(due) {
            instance.asked = Instant::now();
        }
        watched.instances.rotate_left(due);
        let due = watched.instances.range(watched.instances.len() - due..);
        let asked = due.map(|Asked { id, .. }| async move {
            let answer = server.ask(Method::GET, &["agent_instance", id], String::new()).await;
            answer.ok().and_then(|response| prefactor_answer::terminated(&response))
        });
        if let Some(reason) = join_all(asked).await.into_iter().flatten().next() {
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
