//! What a demonstration came to.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::json;
use spanring_spool::{Ledger, RecorderId, RecoveryReport};

use super::judge::{Count, Judge};
use super::tree::Tree;
use crate::ExportReport;

/// What a demonstration came to, for people (`Display`) and for programs (`Serialize`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DemoReport {
    /// The agents in the order in which they worked; the last one was not killed.
    pub accounts: Vec<Account>,
    /// The sum of the accounts.
    pub ledger: Ledger,
    /// Spans that were seen to be recorded, or to start, and did not arrive.
    pub lost: u64,
    /// Spans that arrived with another content than was meant.
    pub wrong: u64,
    /// Spans that arrived and were never seen to start.
    pub phantoms: u64,
    /// Spans that stand in the file that they were exported to.
    pub in_file: u64,
    /// What is wrong with the first of the wrong spans.
    pub faults: Vec<String>,
    /// What the exporter says.
    pub export: ExportReport,
    /// One of the runs that a kill interrupted, as it was delivered.
    pub tree: Option<Tree>,
    /// How long it all took.
    pub duration: Duration,
    count: Count,
}

/// What became of the spans of one agent.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Account {
    /// Which agent, counted from 0.
    pub agent: u32,
    /// Its recorder.
    pub recorder: RecorderId,
    /// Its account: after recovery for one that was killed, as it said itself for the one that was not.
    pub ledger: Ledger,
    /// What the recovery found, if it was killed.
    pub recovery: Option<RecoveryReport>,
}

impl Account {
    pub(super) fn of_killed(agent: u32, recovery: RecoveryReport) -> Self {
        let ledger = recovery.ledger;
        Account { agent, recorder: recovery.recorder.clone(), ledger, recovery: Some(recovery) }
    }

    pub(super) fn of_finished(agent: u32, recorder: RecorderId, ledger: Ledger) -> Self {
        Account { agent, recorder, ledger, recovery: None }
    }

    /// Whether every span that was started has ended or was interrupted, and is in a segment or counted as dropped.
    pub fn balances(&self) -> bool {
        let Ledger { started, ended, interrupted, in_flight, .. } = self.ledger;
        let is_accounted = self.recovery.as_ref().is_none_or(|recovery| recovery.unaccounted == 0);
        started == ended + interrupted && in_flight == 0 && self.ledger.unspooled() == 0 && is_accounted
    }

    fn recovered(&self, field: fn(&RecoveryReport) -> u64) -> u64 {
        self.recovery.as_ref().map_or(0, field)
    }
}

impl DemoReport {
    pub(super) fn new(
        judge: &Judge,
        accounts: Vec<Account>,
        export: ExportReport,
        in_file: u64,
        duration: Duration,
    ) -> Self {
        let mut ledger = Ledger::default();
        accounts.iter().for_each(|account| ledger.add(&account.ledger));
        let count = judge.count();
        DemoReport {
            lost: judge.lost(ledger.dropped.total()),
            wrong: count.wrong,
            phantoms: judge.phantoms(),
            in_file,
            faults: judge.faults().to_vec(),
            tree: judge.best_tree().cloned(),
            accounts,
            ledger,
            export,
            duration,
            count,
        }
    }

    /// How many agents were killed.
    pub fn kills(&self) -> u64 {
        self.accounts.iter().filter(|account| account.recovery.is_some()).count() as u64
    }

    /// Different spans that arrived at the receiver.
    pub fn delivered(&self) -> u64 {
        self.count.delivered
    }

    /// Spans that arrived once more.
    pub fn duplicates(&self) -> u64 {
        self.count.received - self.count.delivered
    }

    /// Whether each account adds up, and they add up to what was delivered.
    pub fn balances(&self) -> bool {
        self.accounts.iter().all(Account::balances)
            && self.ledger.spooled == self.count.delivered
            && self.in_file == self.count.delivered
    }

    /// Whether nothing is lost, wrong, or made up, and all accounts add up.
    pub fn is_success(&self) -> bool {
        self.lost == 0
            && self.wrong == 0
            && self.phantoms == 0
            && self.balances()
            && self.export.is_complete()
    }

    fn recovered(&self, field: fn(&RecoveryReport) -> u64) -> u64 {
        self.accounts.iter().map(|account| account.recovered(field)).sum()
    }
}

fn from_segments(recovery: &RecoveryReport) -> u64 {
    recovery.from_segments
}

fn from_rings(recovery: &RecoveryReport) -> u64 {
    recovery.from_rings
}

fn from_tables(recovery: &RecoveryReport) -> u64 {
    recovery.from_tables
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tree) = &self.tree {
            writeln!(f, "A run that a kill cut short, as it was delivered:\n\n{tree}")?;
        }
        let Ledger { started, ended, interrupted, in_flight, dropped, .. } = self.ledger;
        let segments = self.recovered(from_segments);
        let rings = self.recovered(from_rings);
        let tables = self.recovered(from_tables);
        row(f, "started", started, "spans, as the agents counted them")?;
        row(f, "ended", ended, "")?;
        row(f, "interrupted", interrupted, "open when their agent was killed")?;
        row(f, "in flight", in_flight, "")?;
        row(f, "dropped", dropped.total(), "for lack of room")?;
        writeln!(f)?;
        row(f, "recovered", segments + rings + tables, "of the agents that were killed:")?;
        row(f, "  from segments", segments, "were in a file before the kill")?;
        row(f, "  from rings", rings, "had ended, and were still in memory")?;
        row(f, "  from tables", tables, "were open, and are interrupted")?;
        writeln!(f)?;
        row(f, "delivered", self.count.delivered, "to the receiver, each of them once in the file too")?;
        row(f, "duplicates", self.duplicates(), "")
    }
}

fn row(f: &mut fmt::Formatter<'_>, label: &str, number: u64, remark: &str) -> fmt::Result {
    let row = format!("  {label:<16}{:>12}   {remark}", grouped(number));
    writeln!(f, "{}", row.trim_end())
}

impl Serialize for DemoReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Ledger { started, ended, interrupted, in_flight, dropped, spooled, .. } = self.ledger;
        let (segments, rings, tables) =
            (self.recovered(from_segments), self.recovered(from_rings), self.recovered(from_tables));
        let recorders: Vec<_> = self.accounts.iter().map(account_json).collect();
        let object = json!({
            "kills": self.kills(),
            "started": started,
            "ended": ended,
            "in_flight": in_flight,
            "dropped": dropped.total(),
            "spooled": spooled,
            "recovered": segments + rings + tables,
            "from_segments": segments,
            "from_rings": rings,
            "from_tables": tables,
            "delivered": self.count.delivered,
            "in_file": self.in_file,
            "interrupted": interrupted,
            "interrupted_delivered": self.count.interrupted,
            "duplicates": self.duplicates(),
            "wrong": self.wrong,
            "lost": self.lost,
            "phantoms": self.phantoms,
            "witness": {
                "started": self.count.seen_started,
                "ended": self.count.seen_ended,
                "dropped": self.count.seen_dropped,
                "starts_unseen": self.count.starts_unseen,
                "ends_unseen": self.count.ends_unseen,
            },
            "balances": self.balances(),
            "seconds": (self.duration.as_secs_f64() * 1000.0).round() / 1000.0,
            "faults": self.faults,
            "sinks": self.export.sinks,
            "troubles": self.export.troubles,
            "recorders": recorders,
        });
        object.serialize(serializer)
    }
}

fn account_json(account: &Account) -> serde_json::Value {
    json!({
        "agent": account.agent,
        "recorder": account.recorder.as_str(),
        "killed": account.recovery.is_some(),
        "started": account.ledger.started,
        "ended": account.ledger.ended,
        "interrupted": account.ledger.interrupted,
        "dropped": account.ledger.dropped.total(),
        "spooled": account.ledger.spooled,
        "from_segments": account.recovered(from_segments),
        "from_rings": account.recovered(from_rings),
        "from_tables": account.recovered(from_tables),
        "balances": account.balances(),
    })
}

/// A number with a comma before every third digit.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_numbers_are_grouped() {
        let shown = [0, 999, 1000, 81_234, 1_234_567].map(super::grouped);
        assert_eq!(shown, ["0", "999", "1,000", "81,234", "1,234,567"]);
    }
}
