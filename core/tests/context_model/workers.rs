//! Threads that do what they are told, one at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use crate::tasks::{Local, Mode};
use crate::world::World;

/// The tasks that stay on a thread, by number.
pub(crate) type Tasks = BTreeMap<usize, <Local as Mode>::Block>;

type Job = Box<dyn FnOnce(&mut Tasks) + Send>;

/// A thread that waits for jobs.
pub(crate) struct Worker {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

impl Worker {
    pub(crate) fn start(world: Arc<World>) -> Self {
        let (jobs, receive) = channel::<Job>();
        let thread = thread::spawn(move || {
            let mut tasks = Tasks::new();
            for job in receive {
                job(&mut tasks);
                world.check("a job");
            }
            drop(tasks);
            world.leave_all();
        });
        Worker { jobs, thread }
    }

    /// Has the thread call `job`, and waits for what it returns.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce(&mut Tasks) -> T + Send + 'static) -> T {
        let (done, receive) = channel();
        let job = move |tasks: &mut Tasks| done.send(job(tasks)).expect("it is waited for");
        self.jobs.send(Box::new(job)).expect("the thread runs");
        receive.recv().expect("the job does not panic")
    }

    /// Ends the thread, with the tasks and guards that it still has.
    pub(crate) fn finish(self) {
        drop(self.jobs);
        self.thread.join().expect("nothing panics");
    }
}
