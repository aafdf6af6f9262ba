//! Redis and Valkey.

mod contracts;
mod crashes;
mod faults;
mod notices;
mod rates;
mod settings;
mod tls;
mod tokens;

use std::sync::Arc;

use tower_keep::{KeyFormat, KeyHasher, KeyRecord, KeyRules, NewKey};

/// Rules that all processes share.
fn rules() -> KeyRules {
    KeyRules::new(KeyFormat::new("test").unwrap(), KeyHasher::peppered("one", [7; 32]).unwrap()).accepting_imported()
}

fn record(n: usize) -> KeyRecord {
    let issued = rules().issue(NewKey::for_owner(format!("owner-{n}"))).unwrap();
    Arc::unwrap_or_clone(Arc::clone(issued.record()))
}
