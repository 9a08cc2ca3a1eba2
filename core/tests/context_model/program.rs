//! The random programs: what threads and tasks do, and when each task is polled, where, and for how long.

use proptest::prelude::*;
use proptest::sample::Index;
use spanring::Context;

/// How many threads act.
pub(crate) const WORKERS: usize = 3;

/// A context.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice {
    /// One of those known: none, another process's, or that of a span which was started, and which may have ended.
    Known(Index),
    /// The current one.
    Current,
    This(Context),
}

/// Where a span is started.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parent {
    Current,
    Explicit(Choice),
    Root,
}

/// What a thread does, alone or in a poll.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Start(Parent),
    /// Ends an open span, whoever started it.
    End(Index),
    /// Enters so many times, and keeps the guards with the thread.
    Enter(Choice, usize),
    /// Drops one of the thread's guards.
    Leave(Index),
    /// Assigns another guard to one of the thread's, so many times: the new one is made before the old one is dropped.
    Replace(Index, Choice, usize),
    /// Leaks one of the thread's guards.
    Forget(Index),
    InScope {
        within: Choice,
        ops: Vec<Op>,
        catches: bool,
    },
    /// Waits for a thread of its own.
    Thread {
        within: Option<Choice>,
        ops: Vec<Op>,
    },
    Panic,
}

/// What a task does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Do(Op),
    /// Is pending once.
    Wait,
    InContext(Choice, Vec<Step>),
    /// Within a span of its own, which it borrows.
    InSpan(Parent, Vec<Step>),
    /// Polls both in each poll, until both are ready.
    Join(Vec<Step>, Vec<Step>),
    /// Polls both in each poll, until one is ready, and drops the other.
    Select(Vec<Step>, Vec<Step>),
    /// Catches a panic, and drops what panicked.
    Catch(Vec<Step>),
    /// A stream within a context, whose items are made so.
    Stream(Choice, Vec<Vec<Op>>),
    /// Enters, and holds the guard across whatever follows. Nothing in tasks that move between threads.
    Hold(Choice),
    /// Drops a guard that it holds.
    LetGo(Index),
    /// Starts a span when the task is dropped, or the block ends.
    StartAtDrop,
}

/// What is done next, and by which thread.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Perform(usize, Op),
    Spawn { on: Option<usize>, within: Option<Choice>, steps: Vec<Step> },
    Poll(Index, usize),
    Cancel(Index, usize),
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![6 => any::<Index>().prop_map(Choice::Known), 1 => Just(Choice::Current)]
}

fn parent() -> impl Strategy<Value = Parent> {
    prop_oneof![
        6 => Just(Parent::Current),
        1 => choice().prop_map(Parent::Explicit),
        1 => Just(Parent::Root),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    // Now and then beyond what can be entered at once.
    let times = || prop_oneof![10 => Just(1_usize), 1 => 2..6_usize, 1 => 62..70_usize];
    let leaf = prop_oneof![
        8 => parent().prop_map(Op::Start),
        2 => any::<Index>().prop_map(Op::End),
        4 => (choice(), times()).prop_map(|(choice, times)| Op::Enter(choice, times)),
        3 => any::<Index>().prop_map(Op::Leave),
        1 => (any::<Index>(), choice(), times()).prop_map(|(guard, choice, times)| Op::Replace(guard, choice, times)),
        1 => any::<Index>().prop_map(Op::Forget),
        1 => Just(Op::Panic),
    ];
    leaf.prop_recursive(3, 12, 4, |op| {
        let ops = prop::collection::vec(op, 0..4);
        prop_oneof![
            4 => (choice(), ops.clone(), any::<bool>())
                .prop_map(|(within, ops, catches)| Op::InScope { within, ops, catches }),
            1 => (prop::option::of(choice()), ops).prop_map(|(within, ops)| Op::Thread { within, ops }),
        ]
    })
}

fn step() -> impl Strategy<Value = Step> {
    let leaf = prop_oneof![
        6 => op().prop_map(Step::Do),
        6 => Just(Step::Wait),
        2 => choice().prop_map(Step::Hold),
        1 => any::<Index>().prop_map(Step::LetGo),
        2 => Just(Step::StartAtDrop),
        1 => (choice(), prop::collection::vec(prop::collection::vec(op(), 0..3), 0..3))
            .prop_map(|(choice, items)| Step::Stream(choice, items)),
    ];
    leaf.prop_recursive(4, 24, 5, |step| {
        let steps = prop::collection::vec(step, 0..5);
        prop_oneof![
            2 => (choice(), steps.clone()).prop_map(|(choice, steps)| Step::InContext(choice, steps)),
            2 => (parent(), steps.clone()).prop_map(|(parent, steps)| Step::InSpan(parent, steps)),
            1 => (steps.clone(), steps.clone()).prop_map(|(left, right)| Step::Join(left, right)),
            1 => (steps.clone(), steps.clone()).prop_map(|(left, right)| Step::Select(left, right)),
            1 => steps.prop_map(Step::Catch),
        ]
    })
}

fn action() -> impl Strategy<Value = Action> {
    let spawn =
        (prop::option::of(0..WORKERS), prop::option::of(choice()), prop::collection::vec(step(), 1..8));
    prop_oneof![
        5 => (0..WORKERS, op()).prop_map(|(worker, op)| Action::Perform(worker, op)),
        2 => spawn.prop_map(|(on, within, steps)| Action::Spawn { on, within, steps }),
        8 => (any::<Index>(), 0..WORKERS).prop_map(|(task, worker)| Action::Poll(task, worker)),
        1 => (any::<Index>(), 0..WORKERS).prop_map(|(task, worker)| Action::Cancel(task, worker)),
    ]
}

/// A whole program.
pub(crate) fn actions() -> impl Strategy<Value = Vec<Action>> {
    prop::collection::vec(action(), 1..40)
}
