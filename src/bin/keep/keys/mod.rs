//! `keep keys`.

mod changes;
mod export;
mod import;
mod lines;
mod list;
mod presented;
mod progress;
mod view;

use std::sync::Arc;
use std::time::Duration;

use tower_keep::{AdminError, Answer, Durability, KeyAdmin, KeyId, KeyRules};

use crate::args::{Global, Keys as Command};
use crate::failure::Failure;
use crate::output::{Output, note};
use crate::{setup, store};

pub(crate) async fn run(command: Command, global: &Global) -> Result<(), Failure> {
    // What was said is looked at, and secrets are read, before the store is asked anything.
    let keys = async || Keys::open(global, false).await;
    let made = async || Keys::open(global, true).await;
    match command {
        Command::Create(what) => changes::create(made().await?, what).await,
        Command::Rotate { id, grace } => changes::rotate(keys().await?, &id, grace).await,
        Command::Revoke { id } => changes::revoke(keys().await?, &id).await,
        Command::List(which) => list::list(keys().await?, which).await,
        Command::Show { id } => list::show(keys().await?, &id).await,
        Command::Audit { id, limit, before } => list::audit(keys().await?, id.as_deref(), before, limit).await,
        Command::Verify(said) => presented::verify(global, &said).await,
        Command::Leaked(said) => presented::leaked(global, &said).await,
        Command::Import(what) => import::run(made().await?, what).await,
        Command::Export { file } => export::run(keys().await?, &file).await,
    }
}

/// An open store, and how to deal with it.
pub(crate) struct Keys {
    store: Arc<dyn KeyAdmin>,
    rules: KeyRules,
    output: Output,
    yes: bool,
    patience: Duration,
}

impl Keys {
    async fn open(global: &Global, create: bool) -> Result<Self, Failure> {
        let place = store::place(global)?;
        let rules = setup::rules(global)?;
        let actor = setup::actor(global);
        let open = store::open(&place, rules.clone(), &actor, create);
        let store = match tokio::time::timeout(global.timeout, open).await {
            Ok(store) => store?,
            Err(_) => return Err(too_late(global.timeout)),
        };
        let output = Output::new(global.json, global.human);
        Ok(Self { store, rules, output, yes: global.yes, patience: global.timeout })
    }

    /// Waits for the store, as long as it may take.
    async fn ask<T>(&self, answer: Answer<Result<T, impl Into<AdminError>>>) -> Result<T, Failure> {
        self.ask_within(self.patience, answer).await
    }

    async fn ask_within<T>(
        &self,
        patience: Duration,
        answer: Answer<Result<T, impl Into<AdminError>>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(patience, answer.into_future()).await {
            Ok(answer) => answer.map_err(|error| error.into().into()),
            Err(_) => Err(too_late(patience)),
        }
    }

    /// Reads an id, also with the prefix of keys in front of it.
    fn id(&self, text: &str) -> Result<KeyId, Failure> {
        let format = self.rules.format();
        if format.parse(text).is_ok() {
            let text =
                "that is a whole key and not the id of one: it has been seen by now. `keep keys leaked` revokes it";
            return Err(Failure::Usage(text.to_owned()));
        }
        let bare = match text.strip_prefix(format.prefix()).and_then(|rest| rest.strip_prefix('_')) {
            Some(bare) if format.owns(text) => bare,
            _ => text,
        };
        KeyId::new(bare).map_err(|error| Failure::Usage(error.to_string()))
    }

    fn warn_if_volatile(&self) {
        if self.store.durability() == Durability::Volatile {
            note("this store may lose what it confirmed: a crash of its server can bring a revoked key back");
        }
    }
}

fn too_late(patience: Duration) -> Failure {
    Failure::Unreachable(format!(
        "the store did not answer within {}; what was to be changed may have been changed",
        humantime::format_duration(patience)
    ))
}
