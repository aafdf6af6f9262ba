//! The table that `--check` prints.

use std::process::ExitCode;

/// What was tried, what should have come of it, and what did.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    expected: String,
    actual: String,
}

impl Table {
    pub(crate) fn row(&mut self, name: &str, expected: &str, actual: impl Into<String>) {
        self.rows.push(Row { name: name.to_owned(), expected: expected.to_owned(), actual: actual.into() });
    }

    /// Prints the rows; success means that each of them is as expected.
    pub(crate) fn finish(self) -> ExitCode {
        let width = |text: fn(&Row) -> &str, title: &str| {
            let widths = self.rows.iter().map(|row| text(row).chars().count());
            widths.max().unwrap_or_default().max(title.len())
        };
        let (name, expected) = (width(|row| &row.name, "request"), width(|row| &row.expected, "expected"));
        println!("      {:name$}  {:expected$}  actual", "request", "expected");
        for row in &self.rows {
            let verdict = if row.is_as_expected() { "ok" } else { "FAIL" };
            println!("{verdict:4}  {:name$}  {:expected$}  {}", row.name, row.expected, row.actual);
        }
        let wrong = self.rows.iter().filter(|row| !row.is_as_expected()).count();
        match (wrong, self.rows.len()) {
            (_, 0) => println!("\nFAIL: nothing was tried"),
            (0, all) => println!("\nok: {all} of {all} as expected"),
            (wrong, all) => println!("\nFAIL: {wrong} of {all} not as expected"),
        }
        if wrong == 0 && !self.rows.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl Row {
    fn is_as_expected(&self) -> bool {
        self.expected == self.actual
    }
}
