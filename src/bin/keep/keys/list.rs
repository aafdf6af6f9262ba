//! `keep keys list`, `show` and `audit`.

use serde_json::Value;
use tower_keep::{AdminError, KeyFilter, Lookup};

use super::{Keys, view};
use crate::args::List;
use crate::failure::Failure;
use crate::output::{Table, pairs, print};

/// How many records are asked for at once.
const PAGE: usize = 500;
/// How many entries of its audit are shown with a key.
const LAST: usize = 5;

pub(super) async fn list(keys: Keys, which: List) -> Result<(), Failure> {
    let now = keys.rules.now();
    let filter = which.owner.into_iter().fold(KeyFilter::default(), KeyFilter::owner);
    let filter = which.label.into_iter().fold(filter, |filter, (name, value)| filter.label(name, value));
    let filter = if which.good { filter.good_at(now) } else { filter };
    let mut after = which.after.map(|id| keys.id(&id)).transpose()?;
    let mut left = which.limit.unwrap_or(usize::MAX);
    let mut table = Table::new(view::HEAD);
    while left > 0 {
        let page = keys.ask(keys.store.list(&filter, after.as_ref(), left.min(PAGE))).await?;
        left -= page.records.len().min(left);
        print(&match keys.output.is_human() {
            true => table.rows(&page.records.iter().map(|record| view::row(record, now)).collect::<Vec<_>>()),
            false => lines(page.records.iter().map(|record| view::json(record, now))),
        })?;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(())
}

pub(super) async fn show(keys: Keys, id: &str) -> Result<(), Failure> {
    let id = keys.id(id)?;
    let record = keys.ask(keys.store.find(&Lookup::Id(id))).await?.ok_or(AdminError::NotFound)?;
    let entries = match keys.store.audit(Some(&id), None, LAST).await {
        Err(AdminError::Unsupported) => None,
        entries => Some(entries?),
    };
    let now = keys.rules.now();
    let mut json = view::json(&record, now);
    if let Some(entries) = &entries {
        json["audit"] = entries.iter().map(view::entry_json).collect();
    }
    keys.output.result(&json, || {
        let rows: Vec<_> = entries.iter().flatten().map(view::entry_row).collect();
        let audit = if rows.is_empty() { String::new() } else { Table::new(view::ENTRY_HEAD).rows(&rows) };
        let space = if audit.is_empty() { "" } else { "\n" };
        format!("{}{space}{audit}", pairs(&view::pairs(&record, now)))
    })
}

pub(super) async fn audit(keys: Keys, id: Option<&str>, before: Option<u64>, limit: usize) -> Result<(), Failure> {
    let id = id.map(|id| keys.id(id)).transpose()?;
    let mut table = Table::new(view::ENTRY_HEAD);
    let (mut before, mut left) = (before, limit);
    while left > 0 {
        let entries = keys.ask(keys.store.audit(id.as_ref(), before, left.min(PAGE))).await?;
        print(&match keys.output.is_human() {
            true => table.rows(&entries.iter().map(view::entry_row).collect::<Vec<_>>()),
            false => lines(entries.iter().map(view::entry_json)),
        })?;
        let Some(last) = entries.last().filter(|_| entries.len() >= left.min(PAGE)) else { break };
        left -= entries.len().min(left);
        before = Some(last.number);
    }
    Ok(())
}

fn lines(values: impl Iterator<Item = Value>) -> String {
    values.fold(String::new(), |text, value| text + &format!("{value}\n"))
}
