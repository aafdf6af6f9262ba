//! Which store is meant, and how it is opened.

use std::env;
use std::fmt;
use std::fs;
use std::sync::Arc;

use tower_keep::{FileStore, KeyAdmin, KeyRules, PostgresStore, RedisServer, RedisStore, SqliteStore};

use crate::args::Global;
use crate::failure::{Failure, with_causes};
use crate::output::note;

const KINDS: &str = "sqlite:keys.db, postgres://…, redis://…, rediss://… or file:keys.toml";

/// The URL of a store. It may hold a password, and is never printed as it is.
pub(crate) struct Place {
    url: String,
    redis_prefix: String,
}

/// Finds out which store is meant: by an argument, a file that is named, or the environment.
pub(crate) fn place(global: &Global) -> Result<Place, Failure> {
    let place = match (&global.store, &global.store_file) {
        (Some(url), _) => {
            let place = Place::new(url, global);
            if place.has_password() {
                note("a password in --store can be read by everybody on this machine: use KEEP_STORE or --store-file");
            }
            place
        }
        (None, Some(path)) => {
            let url = fs::read_to_string(path).map_err(|error| {
                Failure::refused(format!("the store file {} cannot be read: {error}", path.display()))
            })?;
            Place::new(&url, global)
        }
        (None, None) => Place::new(&env::var("KEEP_STORE").unwrap_or_default(), global),
    };
    match place.url.is_empty() {
        true => Err(Failure::refused(format!("no store is named: --store, --store-file or KEEP_STORE is {KINDS}"))),
        false => Ok(place),
    }
}

/// Opens a store. One in a file is made if keys are to be put into it.
pub(crate) async fn open(
    place: &Place,
    rules: KeyRules,
    actor: &str,
    create: bool,
) -> Result<Arc<dyn KeyAdmin>, Failure> {
    let url = place.url.as_str();
    match url.split_once(':') {
        Some(("sqlite", _)) => {
            place.is_there(create)?;
            let store = SqliteStore::builder().rules(rules).open(url).await?;
            Ok(Arc::new(store.acting_as(actor)))
        }
        Some(("file", path)) => {
            let path = path.strip_prefix("//").unwrap_or(path);
            // Nobody waits for changes here, and looking for them costs a thread.
            let builder = FileStore::builder().rules(rules).accepting_any_digest().polling_only();
            let builder = if create { builder.create_if_missing() } else { builder };
            let store =
                builder.open(path).map_err(|error| Failure::refused(format!("{place}: {}", with_causes(&error))))?;
            Ok(Arc::new(store))
        }
        Some(("postgres" | "postgresql", _)) => {
            let store = PostgresStore::builder().rules(rules).open(url).await?;
            Ok(Arc::new(store.acting_as(actor)))
        }
        Some(("redis" | "rediss" | "unix", _)) => {
            let server = RedisServer::new(url).prefix(&place.redis_prefix);
            Ok(Arc::new(RedisStore::builder().rules(rules).open(server).await?))
        }
        _ => Err(Failure::refused(format!("{place} is no store: it has to be {KINDS}"))),
    }
}

impl Place {
    fn new(url: &str, global: &Global) -> Self {
        Self { url: url.trim().to_owned(), redis_prefix: global.redis_prefix.clone() }
    }

    /// Makes sure that a file is there. A name with a mistake in it is not to become an empty store.
    fn is_there(&self, create: bool) -> Result<(), Failure> {
        let path = self.url.split_once(':').map_or("", |(_, path)| path).split('?').next().unwrap_or_default();
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() || path == ":memory:" || self.url.contains("mode=memory") {
            return Err(Failure::refused("a store in memory would end with this command: name a file".to_owned()));
        }
        match create || fs::exists(path).unwrap_or(true) {
            true => Ok(()),
            false => Err(Failure::refused(format!("there is no {path}: `keep keys create` and `import` make one"))),
        }
    }

    /// Returns the scheme, and the host with what stands before it, if this is a URL with a host.
    fn authority(&self) -> Option<(&str, &str)> {
        let (scheme, rest) = self.url.split_once("://")?;
        // A password may have any character but `/` in it that people forget to write as an escape.
        let authority = rest.split('/').next().unwrap_or_default();
        Some((scheme, authority))
    }

    fn has_password(&self) -> bool {
        let in_authority =
            |(_, authority): (&str, &str)| authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
        let in_query = self.url.split_once('?').is_some_and(|(_, query)| query.contains("password"));
        self.authority().is_some_and(in_authority) || in_query
    }
}

/// Without user, password and parameters.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.authority() {
            Some((scheme, authority)) => {
                let host = authority.rsplit('@').next().unwrap_or_default();
                write!(f, "{scheme}://{}", host.split('?').next().unwrap_or_default())
            }
            // What has no host may be anything.
            None => match self.url.split_once(':') {
                Some((scheme @ ("sqlite" | "file"), path)) => {
                    write!(f, "{scheme}:{}", path.split('?').next().unwrap_or_default())
                }
                _ => f.write_str("what is named"),
            },
        }
    }
}
