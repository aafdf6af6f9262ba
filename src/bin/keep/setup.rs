//! What the options and the environment say about keys: their rules, and who asks.

use std::env;
use std::fs;

use tower_keep::{ConfigError, KeyFormat, KeyHasher, KeyRules};
use zeroize::Zeroizing;

use crate::args::Global;
use crate::failure::Failure;
use crate::output::note;

/// Makes the rules of keys. Whatever may be in the store is accepted: digests with and without a pepper, and those of
/// keys that were imported.
pub(crate) fn rules(global: &Global) -> Result<KeyRules, Failure> {
    let format = KeyFormat::new(&global.prefix)?;
    let hasher = match peppers(global)? {
        Some(hasher) => hasher.also_accepting(&KeyHasher::sha256())?,
        None => {
            note(
                "no pepper is configured: whoever reads the store can test guesses of imported keys (see `keep pepper new`)",
            );
            KeyHasher::sha256()
        }
    };
    Ok(KeyRules::new(format, hasher.also_accepting_bare_sha256()?).accepting_imported())
}

fn peppers(global: &Global) -> Result<Option<KeyHasher>, ConfigError> {
    match (&global.pepper_file, env::var("KEEP_PEPPER").map(Zeroizing::new)) {
        (Some(path), _) => KeyHasher::from_pepper_file(path).map(Some),
        (None, Ok(text)) if !text.trim().is_empty() => KeyHasher::from_pepper_text(&text).map(Some),
        (None, _) => Ok(None),
    }
}

/// Returns who does it: whoever is named, or the user of this machine.
pub(crate) fn actor(global: &Global) -> String {
    let named = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let machine = || named("HOSTNAME").or_else(|| fs::read_to_string("/proc/sys/kernel/hostname").ok());
    global.actor.clone().unwrap_or_else(|| {
        let user = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(named).unwrap_or_else(|| "unknown".to_owned());
        let machine = machine().or_else(|| named("COMPUTERNAME"));
        machine.map_or_else(|| user.clone(), |machine| format!("{user}@{}", machine.trim()))
    })
}
