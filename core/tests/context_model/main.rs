//! Where spans belong, against the obvious thing: random programs of threads, guards, scopes, tasks, panics and cancellations, and a
//! list of what is entered for each thread.
//!
//! `SPANRING_CONTEXT_CASES` is how many programs there are, for longer campaigns.

mod expected;
#[path = "../recording/flight.rs"]
#[expect(dead_code, reason = "of the recorder under test, only what lands is of interest here")]
mod flight;
mod program;
mod stream;
mod tasks;
mod workers;
mod world;

use std::cell::RefCell;
use std::env;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::flight::{Flight, Plan};
use crate::program::{Action, Choice, Step, WORKERS, actions};
use crate::tasks::{Local, Mode, Sent, poll};
use crate::workers::Worker;
use crate::world::World;

/// A task, and where it may be polled.
enum Task {
    Anywhere(Option<<Sent as Mode>::Block>),
    /// On this worker, which has it under the task's number.
    On(usize),
}

/// A program under way.
struct Run {
    world: Arc<World>,
    workers: Vec<Worker>,
    tasks: Vec<Task>,
}

impl Run {
    fn start() -> Self {
        let world = Arc::new(World::default());
        let workers = (0..WORKERS).map(|_| Worker::start(Arc::clone(&world))).collect();
        Run { world, workers, tasks: Vec::new() }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Perform(worker, op) => {
                let world = Arc::clone(&self.world);
                self.workers[worker].run(move |_| world::caught(|| world.perform(op)));
            }
            Action::Spawn { on, within, steps } => self.spawn(on, within, steps),
            Action::Poll(task, worker) if !self.tasks.is_empty() => {
                let number = task.index(self.tasks.len());
                match &mut self.tasks[number] {
                    Task::Anywhere(task) => {
                        if let Some(polled) = task.take() {
                            *task = self.workers[worker].run(move |_| poll(polled));
                        }
                    }
                    Task::On(worker) => self.workers[*worker].run(move |tasks| {
                        if let Some(left) = tasks.remove(&number).and_then(poll) {
                            tasks.insert(number, left);
                        }
                    }),
                }
            }
            Action::Cancel(task, worker) if !self.tasks.is_empty() => {
                let number = task.index(self.tasks.len());
                match &mut self.tasks[number] {
                    Task::Anywhere(task) => {
                        let cancelled = task.take();
                        self.workers[worker].run(move |_| drop(cancelled));
                    }
                    Task::On(worker) => self.workers[*worker].run(move |tasks| drop(tasks.remove(&number))),
                }
            }
            Action::Poll(..) | Action::Cancel(..) => {}
        }
    }

    fn spawn(&mut self, on: Option<usize>, within: Option<Choice>, steps: Vec<Step>) {
        let number = self.tasks.len();
        let world = Arc::clone(&self.world);
        // The context is of this moment, and not of the first poll.
        let spawn = |world: &World| match within {
            Some(choice) => vec![Step::InContext(Choice::This(world.choose(choice)), steps)],
            None => steps,
        };
        self.tasks.push(match on {
            None => Task::Anywhere(Some(Sent::block(&world, spawn(&world)))),
            Some(worker) => {
                let steps = spawn(&world);
                self.workers[worker].run(move |tasks| {
                    tasks.insert(number, Local::block(&world, steps));
                });
                Task::On(worker)
            }
        });
    }

    /// Cancels the tasks that are left, ends the threads, and gives back what they were expected to do.
    fn finish(mut self) -> Arc<World> {
        for task in &mut self.tasks {
            if let Task::Anywhere(task) = task {
                let cancelled = task.take();
                self.workers[0].run(move |_| drop(cancelled));
            }
        }
        self.workers.into_iter().for_each(Worker::finish);
        self.world.end_all();
        self.world
    }
}

#[test]
fn every_span_has_the_parent_that_a_list_of_what_is_entered_says() {
    let cases = env::var("SPANRING_CONTEXT_CASES").map_or(600, |text| text.parse().expect("a number"));
    let flight = RefCell::new(Flight::start(Plan { lanes: 12, ..Plan::default() }));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&actions(), |actions| {
        let mut flight = flight.borrow_mut();
        flight.take();
        let before = flight.recorder.counters().guards_out_of_order;

        let mut run = Run::start();
        for action in actions {
            run.act(action);
            if run.world.mismatch().is_some() {
                break;
            }
        }
        let world = run.finish();
        prop_assert_eq!(world.mismatch(), None);

        let landed = flight.take();
        let recorded = landed.iter().map(|span| (span.span_id, (span.trace_id, span.parent_id))).collect();
        prop_assert_eq!(world.parents(), recorded);
        prop_assert_eq!(landed.len(), world.parents().len());
        prop_assert_eq!(flight.counters(0).guards_out_of_order - before, world.out_of_order());
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
