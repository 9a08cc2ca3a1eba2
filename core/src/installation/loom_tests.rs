#![expect(unsafe_code, reason = "loom's cells are shared by raw pointers, and it checks the access")]

use super::*;
use crate::busy::Busy;
use crate::registry::{NoLane, Registry};
use crate::sync::{Arc, UnsafeCell, thread};
use crate::table::modelled::ModelLane;

/// A recorder: which one it is, and what must be complete when it is found.
struct Model {
    number: u32,
    made: UnsafeCell<bool>,
    completed: UnsafeCell<bool>,
    previous: OnceLock<Option<&'static Model>>,
    registry: Registry<ModelLane<1>>,
}

// SAFETY: loom checks every access to the cells.
unsafe impl Sync for Model {}
// SAFETY: as for Sync.
unsafe impl Send for Model {}

impl Installed for Model {
    fn previous(&self) -> &OnceLock<Option<&'static Self>> {
        &self.previous
    }
}

impl Model {
    /// Leaked, as recorders are; each costs a hundred bytes an interleaving.
    fn leak(number: u32) -> &'static Self {
        let registry = Registry::new(2);
        let model = Model {
            number,
            made: UnsafeCell::new(false),
            completed: UnsafeCell::new(false),
            previous: OnceLock::new(),
            registry,
        };
        set(&model.made);
        Box::leak(Box::new(model))
    }

    fn install_in(&'static self, installation: &Installation<Model>) -> bool {
        installation.install(self, || set(&self.completed))
    }
}

fn set(cell: &UnsafeCell<bool>) {
    // SAFETY: loom checks that nobody else reaches the cell meanwhile.
    cell.with_mut(|cell| unsafe { *cell = true });
}

fn is_set(cell: &UnsafeCell<bool>) -> bool {
    // SAFETY: loom checks that nobody writes the cell meanwhile.
    cell.with(|cell| unsafe { *cell })
}

#[test]
fn whoever_catches_up_finds_a_complete_recorder_of_that_generation_or_a_later_one() {
    loom::model(|| {
        let installation = Arc::new(Installation::new());
        let installing = installation.clone();
        let installer = thread::spawn(move || {
            let (first, second) = (Model::leak(1), Model::leak(2));
            assert!(first.install_in(&installing));
            installing.uninstall(first);
            assert!(second.install_in(&installing));
        });
        if let Some((generation, recorder)) = installation.catch_up(|| ()) {
            assert!(recorder.number >= generation);
            assert!(is_set(&recorder.made) && (recorder.number > generation || is_set(&recorder.completed)));
        }
        installer.join().unwrap();
        let (generation, recorder) = installation.catch_up(|| ()).unwrap();
        assert_eq!((generation, recorder.number, installation.generation()), (2, 2, 2));
    });
}

#[test]
fn the_current_recorder_is_whole_even_where_nobody_asks_for_its_generation() {
    loom::model(|| {
        let installation = Arc::new(Installation::new());
        let installing = installation.clone();
        let installer = thread::spawn(move || assert!(Model::leak(1).install_in(&installing)));
        assert!(installation.current().is_none_or(|recorder| is_set(&recorder.made)));
        installer.join().unwrap();
    });
}

#[test]
fn every_recorder_that_was_ever_installed_is_found_whole() {
    loom::model(|| {
        let installation = Arc::new(Installation::new());
        let numbers = |installation: &Installation<Model>| {
            let seen = installation.all().inspect(|recorder| assert!(is_set(&recorder.made)));
            seen.map(|recorder| recorder.number).collect::<Vec<_>>()
        };
        let looking = installation.clone();
        let looker = thread::spawn(move || {
            let seen = numbers(&looking);
            assert!([2, 1].ends_with(&seen), "{seen:?}");
        });
        let (first, second) = (Model::leak(1), Model::leak(2));
        for recorder in [first, second, first] {
            assert!(recorder.install_in(&installation));
            installation.uninstall(recorder);
        }
        looker.join().unwrap();
        assert_eq!(numbers(&installation), [2, 1]);
    });
}

/// Under the lock that I2 asks for, two threads install and uninstall: there is a generation exactly where there is a recorder.
#[test]
fn installing_and_uninstalling_leave_a_generation_where_they_leave_a_recorder() {
    loom::model(|| {
        let shared = Arc::new((Busy::new(), Installation::new()));
        let (first, second) = (Model::leak(1), Model::leak(2));
        assert!(first.install_in(&shared.1));
        let theirs = shared.clone();
        let other =
            thread::spawn(move || theirs.0.try_take().is_some_and(|_held| second.install_in(&theirs.1)));
        let held = shared.0.try_take();
        if held.is_some() {
            shared.1.uninstall(first);
        }
        let has_uninstalled = held.is_some();
        drop(held);
        let has_installed = other.join().unwrap();
        if has_uninstalled {
            shared.1.uninstall(first); // which is not there any more, but another one may be
        }
        assert_eq!(shared.1.current().is_some(), has_installed || !has_uninstalled);
        assert_eq!(shared.1.generation() != OFF, shared.1.current().is_some());
    });
}

/// A recorder is closed, changed, opened again and installed: who learns of it then finds it open, and as it was changed.
#[test]
fn whoever_catches_up_with_a_recorder_that_was_opened_again_finds_it_open() {
    loom::model(|| {
        let installation = Arc::new(Installation::new());
        let recorder = Model::leak(1);
        for _ in 0..2 {
            recorder.registry.add(|number| Some(ModelLane::new(number, 64)));
        }
        let installing = installation.clone();
        let installer = thread::spawn(move || {
            assert!(recorder.registry.close(|| 0));
            set(&recorder.completed);
            recorder.registry.reopen();
            assert!(installing.install(recorder, || ()));
        });
        if let Some((_, recorder)) = installation.catch_up(|| ()) {
            assert!(is_set(&recorder.completed));
            assert_ne!(recorder.registry.take().map(|lane| lane.number), Err(NoLane::Closed));
        }
        installer.join().unwrap();
    });
}
