//! What the parent shows: a progress bar while it works, one table at the end.

use std::io::{IsTerminal, Write};

/// A bar on stderr if that is a terminal, else a line every tenth of the way.
pub struct Progress {
    total: u64,
    terminal: bool,
    /// Per cent shown last.
    shown: Option<u64>,
}

impl Progress {
    /// A bar that is full at `total`.
    pub fn new(total: u64) -> Self {
        Self { total, terminal: std::io::stderr().is_terminal(), shown: None }
    }

    /// Shows that `n` of the total is done. Does nothing if it would look the same.
    pub fn show(&mut self, name: &str, n: u64) {
        let percent = n * 100 / self.total;
        let step = if self.terminal { percent } else { percent - percent % 10 };
        if self.shown.is_some_and(|shown| shown >= step) {
            return;
        }
        self.shown = Some(step);
        if self.terminal {
            let full = (step / 2) as usize;
            eprint!("\r{name} [{}{}] {step:>3} %", "#".repeat(full), ".".repeat(50 - full));
            // A bar that cannot be shown is no reason to stop.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{name} {step:>3} %");
        }
    }

    /// Leaves the bar's line.
    pub fn end(&mut self) {
        if self.terminal {
            eprintln!();
        }
    }
}

/// A name, two values, and for a check whether it holds.
struct Row {
    name: String,
    left: String,
    right: String,
    holds: Option<bool>,
}

/// Aligned rows.
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        Self { rows: Vec::new() }
    }

    /// Starts a part of the table with a line that names it and its columns.
    pub fn title(&mut self, name: &str, left: &str, right: &str) {
        self.row("", String::new(), String::new());
        self.row(name, left.into(), right.into());
    }

    /// A row to know.
    pub fn row(&mut self, name: &str, left: String, right: String) {
        self.rows.push(Row { name: name.into(), left, right, holds: None });
    }

    /// A row that must hold.
    pub fn check(&mut self, name: &str, found: String, expected: String, holds: bool) {
        self.rows.push(Row { name: name.into(), left: found, right: expected, holds: Some(holds) });
    }

    /// Prints everything, then a line on stderr for each check that does not hold. Answers whether all hold.
    pub fn print(&self) -> bool {
        let width =
            |column: fn(&Row) -> &String| self.rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0);
        let (names, lefts, rights) = (width(|row| &row.name), width(|row| &row.left), width(|row| &row.right));
        for Row { name, left, right, holds } in &self.rows {
            let verdict = holds.map_or("", |holds| if holds { "ok" } else { "WRONG" });
            let line = format!("{name:<names$}  {left:>lefts$}  {right:>rights$}  {verdict}");
            println!("{}", line.trim_end());
        }
        let mut all = true;
        for row in self.rows.iter().filter(|row| row.holds == Some(false)) {
            eprintln!("mismatch: {}: found {}, expected {}", row.name, row.left, row.right);
            all = false;
        }
        all
    }
}

/// A number with commas at the thousands.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
