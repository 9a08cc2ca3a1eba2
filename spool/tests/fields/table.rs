//! The rows of docs/fields.md.

use std::path::Path;

const HEADER: &str = "| System | Field | Recorded by | Lives in |";
const REASONS: [&str; 4] = ["derived: ", "configuration: ", "transport: ", "not recorded: "];

/// A row of the document.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) system: String,
    pub(crate) field: String,
    /// What is called to record it; nothing where it is not recorded.
    pub(crate) calls: Vec<String>,
    /// Where it is found; nothing where it is not recorded.
    pub(crate) places: Vec<String>,
}

pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) rows: Vec<Row>,
}

impl Document {
    pub(crate) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fields.md");
        Self::parse(std::fs::read_to_string(path).expect("the document is in the repository"))
    }

    /// Reads the tables, and refuses whatever is none of theirs.
    fn parse(text: String) -> Self {
        let (mut rows, mut heading) = (Vec::new(), "");
        for (number, line) in text.lines().enumerate() {
            if let Some(title) = line.strip_prefix("## ") {
                heading = title;
            } else if line.starts_with('|') && line != HEADER && line != "|---|---|---|---|" {
                let row = Row::parse(line).unwrap_or_else(|wrong| panic!("line {}: {wrong}", number + 1));
                assert_eq!(row.system, heading, "line {}: another system's heading", number + 1);
                rows.push(row);
            }
        }
        Document { text, rows }
    }

    pub(crate) fn has(&self, system: &str, field: &str) -> bool {
        self.rows.iter().any(|row| row.system == system && row.field == field)
    }

    /// Everything that stands between backticks, anywhere.
    pub(crate) fn quoted(&self) -> impl Iterator<Item = &str> {
        self.text.lines().flat_map(quoted)
    }
}

impl Row {
    fn parse(line: &str) -> Result<Row, String> {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [system, field, by, place] = cells[..] else { return Err(format!("{} columns", cells.len())) };
        let [field] = quoted(field).collect::<Vec<_>>()[..] else { return Err("no field".to_owned()) };
        let is_reason = REASONS.iter().any(|reason| place.starts_with(reason));
        let (calls, places) = match (by, is_reason) {
            ("—", true) => (Vec::new(), Vec::new()),
            (_, false) => (list(by)?, list(place)?),
            (_, true) => return Err(format!("{field} is recorded, and there is a reason why not")),
        };
        Ok(Row { system: system.to_owned(), field: field.to_owned(), calls, places })
    }
}

/// A list of what stands between backticks, with nothing but commas between.
fn list(cell: &str) -> Result<Vec<String>, String> {
    let items: Vec<String> = quoted(cell).map(str::to_owned).collect();
    let written = items.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ");
    if items.is_empty() || written != cell { Err(format!("no list: {cell}")) } else { Ok(items) }
}

fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}
