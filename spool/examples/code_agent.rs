//! An agent that changes a small code base: it looks for a function, renames it wherever it is used, and has the result checked.
//!
//! ```sh
//! cargo run -p spanring-spool --example code_agent
//! ```
//!
//! It records its run into a spool in a temporary directory, and shows it as a tree. Its model is a few rules in place of a language
//! model; all else is real: it reads and writes files, on several threads, and what fails fails.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use spanring::event;
use spanring::prelude::*;
use spanring_spool::{Colour, Level, Spool, SpoolDir, Trace};
use tokio::task::{JoinSet, spawn_blocking};

/// The code base that is changed. One file is being edited by somebody who went away without saying so.
const CODE: [(&str, &str); 5] = [
    ("src/fetch.rs", "pub fn fetch_page(number: u32) -> u32 {\n    number\n}\n"),
    ("src/lib.rs", "pub mod fetch;\n\npub fn first() -> u32 {\n    fetch::fetch_page(1)\n}\n"),
    (
        "src/report.rs",
        "/// Shows what `fetch_page` gives.\npub fn report() -> u32 {\n    crate::fetch::fetch_page(2)\n}\n",
    ),
    ("src/report.rs.lock", ""),
    ("README.md", "Nothing to see.\n"),
];
const ATTEMPTS_MAX: u32 = 3;
const TURNS_MAX: u64 = 10;

/// What the agent is to do.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Task {
    /// The function's name now.
    pub(crate) from: String,
    /// The name that it is to have.
    pub(crate) to: String,
}

/// What the model wants done next.
#[derive(Clone, Debug, Serialize)]
enum Action {
    Read(&'static str),
    Search(String),
    /// Replaces the first text by the second in these files.
    Edit(Vec<PathBuf>, String, String),
    Check,
    Finish,
}

/// What the agent has found out so far.
#[derive(Clone, Debug, Default, Serialize)]
struct Notes {
    has_read: bool,
    found: Option<Vec<PathBuf>>,
    edits: u32,
    /// What the last check said; `None` before there was one since the last edit.
    check: Option<Result<(), String>>,
}

/// A language model's part, played by rules.
fn think(task: &Task, notes: &Notes) -> Action {
    let call = spanring::llm("rules-1").provider("example").temperature(0.0).input(notes).start();
    let action = match notes {
        Notes { has_read: false, .. } => Action::Read("CONTRIBUTING.md"),
        Notes { found: None, .. } => Action::Search(task.from.clone()),
        // First the calls alone.
        Notes { found: Some(found), edits: 0, .. } => {
            Action::Edit(found.clone(), format!("{}(", task.from), format!("{}(", task.to))
        }
        Notes { check: None, .. } => Action::Check,
        Notes { found: Some(found), check: Some(Err(_)), .. } => {
            Action::Edit(found.clone(), task.from.clone(), task.to.clone())
        }
        Notes { check: Some(Ok(())), .. } => Action::Finish,
    };
    event!(call, "first token");
    call.tokens(Tokens::new(200 + 10 * u64::from(notes.edits), 12)).output(&action);
    call.complete();
    action
}

/// Works on the task until it is done: a turn is what the model wants, and a tool that does it.
async fn work(code: PathBuf, task: Task) -> anyhow::Result<u64> {
    let mut notes = Notes::default();
    for number in 1..=TURNS_MAX {
        let turn = spanring::turn(number).start();
        let is_done = take_turn(&code, &task, &mut notes).in_span(&turn).await;
        if turn.finish(is_done)? {
            return Ok(number);
        }
    }
    bail!("it is not done after {TURNS_MAX} turns")
}

async fn take_turn(code: &Path, task: &Task, notes: &mut Notes) -> anyhow::Result<bool> {
    match think(task, notes) {
        Action::Read(name) => {
            notes.has_read = true;
            // Not every code base has one: that fails, and the work goes on.
            drop(read_file(&code.join(name)).await);
        }
        Action::Search(text) => notes.found = Some(search(code, &text).await?),
        Action::Edit(files, from, to) => {
            edit_all(files, &from, &to).await?;
            (notes.edits, notes.check) = (notes.edits + 1, None);
        }
        Action::Check => notes.check = Some(check(code, &task.from).await.map_err(|error| error.to_string())),
        Action::Finish => return Ok(true),
    }
    Ok(false)
}

#[span(kind = tool, err)]
async fn read_file(path: &Path) -> anyhow::Result<String> {
    tokio::fs::read_to_string(path)
        .await
        .with_context(|| format!("cannot read {}", path.file_name().unwrap_or_default().to_string_lossy()))
}

/// The files in which a text stands: each is looked through by a task of its own, wherever there is a thread for it.
#[span(kind = tool, err, as = tool)]
async fn search(code: &Path, text: &str) -> anyhow::Result<Vec<PathBuf>> {
    let files = files_in(&code.join("src"))?;
    tool.set("files", files.len());
    let mut tasks = JoinSet::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Started here, so that the tree has them in the order of their names.
        let look = spanring::chain("look through").start();
        look.set("file", name);
        let (context, text) = (look.context(), text.to_owned());
        let task = async move {
            let found = read_file(&path).await.map(|content| content.contains(&text).then_some(path));
            look.finish(found)
        };
        tasks.spawn(task.in_context(context));
    }
    let mut found = Vec::new();
    while let Some(looked) = tasks.join_next().await {
        found.extend(looked??);
    }
    found.sort();
    tool.output(&found.len());
    Ok(found)
}

/// Replaces a text in several files at once.
async fn edit_all(files: Vec<PathBuf>, from: &str, to: &str) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for path in files {
        let edit = spanring::tool("edit_file").start();
        edit.set("file", path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        let (context, from, to) = (edit.context(), from.to_owned(), to.to_owned());
        let task = async move {
            let mut attempt = 1;
            loop {
                match replace_in(&path, &from, &to).await {
                    Err(error) if attempt < ATTEMPTS_MAX => {
                        event!(edit, "retry", attempt = attempt, reason = error.to_string());
                        // Nobody holds such a lock for long.
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        tokio::fs::remove_file(lock_of(&path)).await?;
                        attempt += 1;
                    }
                    done => return edit.finish(done),
                }
            }
        };
        tasks.spawn(task.in_context(context));
    }
    while let Some(edited) = tasks.join_next().await {
        edited??;
    }
    Ok(())
}

/// Where whoever edits a file says so.
fn lock_of(path: &Path) -> PathBuf {
    path.with_extension("rs.lock")
}

#[span(err)]
async fn replace_in(path: &Path, from: &str, to: &str) -> anyhow::Result<()> {
    let lock = lock_of(path);
    let held = tokio::fs::OpenOptions::new().write(true).create_new(true).open(&lock).await;
    drop(held.context("somebody else is editing it")?);
    let content = read_file(path).await?;
    tokio::fs::write(path, content.replace(from, to)).await?;
    Ok(tokio::fs::remove_file(lock).await?)
}

/// Checks that a name is used nowhere any more, on a thread where that may take its time.
#[span(kind = tool, err)]
async fn check(code: &Path, name: &str) -> anyhow::Result<()> {
    let (src, name) = (code.join("src"), name.to_owned());
    let check = move || {
        spanring::guardrail("no mention is left").run(|guardrail| {
            let mentions = files_in(&src)?
                .into_iter()
                .filter(|path| std::fs::read_to_string(path).is_ok_and(|content| content.contains(&name)));
            let mentions = mentions.count();
            guardrail.triggered(mentions > 0);
            ensure!(mentions == 0, "{mentions} file still mentions it");
            Ok(())
        })
    };
    spawn_blocking(Context::current().wrap(check)).await?
}

fn files_in(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.sort();
    Ok(paths)
}

/// Writes the code base, and has the agent change it.
pub(crate) async fn run(code: &Path, task: Task) -> anyhow::Result<()> {
    for (name, content) in CODE {
        let path = code.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(code))?;
        std::fs::write(path, content)?;
    }
    let run = spanring::trace("rename-agent").user("u7").input(&task).start();
    // A task of its own, as a server would have one for each request.
    let turns = tokio::spawn(work(code.to_owned(), task).in_context(run.context())).await?;
    if let Ok(turns) = &turns {
        run.output(turns);
    }
    run.finish(turns)?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let spool = Spool::open(dir.path().join("spool")).service("code-agent").start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build()?;
    let task = Task { from: "fetch_page".to_owned(), to: "load_page".to_owned() };
    runtime.block_on(run(&dir.path().join("code"), task))?;
    drop(runtime);
    spool.flush(Level::Spooled, Duration::from_secs(5))?;
    let mut shown = std::io::stdout();
    let colour = Colour::auto(&shown);
    for trace in Trace::in_spool(&SpoolDir::open(dir.path().join("spool"))?, None)?.traces {
        trace.print_tree(&mut shown, colour)?;
    }
    Ok(())
}
