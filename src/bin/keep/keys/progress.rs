//! How far a long operation has come, for whoever waits at a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::note;

/// A bar on standard error; there is none where that is no terminal.
pub(super) fn bar(bytes: Option<u64>, what: &'static str) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{prefix} [{bar:30}] {percent:>3} %  {msg}"),
        None => (ProgressBar::new_spinner(), "{prefix} {spinner} {msg}"),
    };
    let style = ProgressStyle::with_template(template).map(|style| style.progress_chars("=> "));
    let bar = style.into_iter().fold(bar, ProgressBar::with_style).with_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Counts what was stored. If that ends before its end, it says how far it came.
pub(super) struct Tally {
    pub(super) stored: u64,
    pub(super) known: u64,
    pub(super) started: Instant,
    pub(super) bar: ProgressBar,
    pub(super) ended: bool,
}

impl Tally {
    pub(super) fn new(bar: ProgressBar) -> Self {
        Self { stored: 0, known: 0, started: Instant::now(), bar, ended: false }
    }

    pub(super) fn add(&mut self, stored: u64, known: u64, bytes: u64) {
        self.stored += stored;
        self.known += known;
        self.bar.inc(bytes);
        self.bar.set_message(format!("{} records, {}/s", grouped(self.records()), grouped(self.rate())));
    }

    pub(super) const fn records(&self) -> u64 {
        self.stored + self.known
    }

    pub(super) fn rate(&self) -> u64 {
        (self.records() as f64 / self.started.elapsed().as_secs_f64().max(0.001)).round() as u64
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
        self.bar.finish_and_clear();
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if !self.ended {
            self.bar.finish_and_clear();
            let (stored, known) = (grouped(self.stored), grouped(self.known));
            note(&format!("{stored} records were stored before that, {known} were there already; those stay"));
        }
    }
}

/// Writes a number with a comma for each thousand.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    digits.chars().enumerate().fold(String::new(), |mut text, (index, digit)| {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
        text
    })
}
