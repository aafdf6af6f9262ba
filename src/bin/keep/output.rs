//! What is printed: tables for people, JSON for programs, notes on standard error.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::failure::Failure;

/// How results are printed.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    human: bool,
}

impl Output {
    pub(crate) fn new(json: bool, human: bool) -> Self {
        Self { human: human || (!json && io::stdout().is_terminal()) }
    }

    pub(crate) const fn is_human(self) -> bool {
        self.human
    }

    /// Prints a result: an object on one line, or what people read.
    pub(crate) fn result(self, json: &Value, human: impl FnOnce() -> String) -> Result<(), Failure> {
        print(&if self.human { human() } else { format!("{json}\n") })
    }
}

/// Writes to standard output, all of it.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Tells people something on standard error. If nobody can read it, that is that.
pub(crate) fn note(text: &str) {
    let _unread = writeln!(io::stderr().lock(), "keep: {}", visible(text));
}

/// Makes characters visible that would steer a terminal, or turn text around.
pub(crate) fn visible(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut visible = String::with_capacity(text.len());
    for c in text.chars() {
        match steers(c) {
            true => visible.extend(c.escape_unicode()),
            false => visible.push(c),
        }
    }
    visible
}

/// A table with aligned columns. Its head is printed once, also where rows come page after page.
pub(crate) struct Table<const N: usize> {
    head: [&'static str; N],
    widths: [usize; N],
    headed: bool,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(head: [&'static str; N]) -> Self {
        Self { head, widths: head.map(str::len), headed: false }
    }

    /// Writes rows; columns get wider with them, and never narrower.
    pub(crate) fn rows(&mut self, rows: &[[String; N]]) -> String {
        let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(|cell| visible(cell))).collect();
        for row in &rows {
            self.widths.iter_mut().zip(row).for_each(|(width, cell)| *width = cell.chars().count().max(*width));
        }
        let mut text = String::new();
        if !self.headed {
            self.headed = true;
            self.line(&mut text, self.head);
        }
        for row in &rows {
            self.line(&mut text, row.each_ref().map(String::as_str));
        }
        text
    }

    fn line(&self, text: &mut String, cells: [&str; N]) {
        let start = text.len();
        for (cell, width) in cells.iter().zip(self.widths) {
            text.push_str(&format!("{cell:width$}  "));
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
}

/// Writes names and values, one pair a line; those without a value are left out.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let pairs: Vec<_> = pairs.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    pairs.iter().fold(String::new(), |text, (name, value)| text + &format!("{name:width$}  {}\n", visible(value)))
}
