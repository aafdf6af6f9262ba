//! A deny list in PostgreSQL: the table `tower_keep_denied`, with the denials of a name as JSON.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use sqlx::PgPool;

use super::written::{Owned, read, write};
use super::{Denial, DenyAdmin, DenyList, Rule, TokenFacts, ToldBy};
use crate::bearer::jwt::signature::sha256;
use crate::bearer::postgres::{ask, failed, kept_until, milliseconds, open, open_pool};
use crate::{Answer, Clock, StoreError, SystemClock};

const FIND: &str = "
    SELECT rules FROM tower_keep_denied JOIN unnest($1::text[], $2::bytea[]) AS asked (told_by, name) USING (told_by, name)";
const READ: &str = "SELECT rules FROM tower_keep_denied WHERE told_by = $1 AND name = $2";
const WRITE: &str = "
    INSERT INTO tower_keep_denied (told_by, name, rules, kept_until) VALUES ($1, $2, $3, $4)
    ON CONFLICT (told_by, name) DO UPDATE SET rules = excluded.rules, kept_until = excluded.kept_until";
const DROP: &str = "DELETE FROM tower_keep_denied WHERE told_by = $1 AND name = $2";
/// Those who change the same name wait for each other. What else has the same number waits, too, and loses nothing by it.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended(encode($2, 'hex'), hashtext($1)))";
/// A change is confirmed when it is on the disk; and whoever ends in the middle of one holds nobody up for long.
const DURABLE: &str = "
    SELECT set_config('lock_timeout', '1500', true), set_config('idle_in_transaction_session_timeout', '10000', true),
        set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
            ELSE current_setting('synchronous_commit') END, true)";
const SWEEP: &str = "
    DELETE FROM tower_keep_denied WHERE (told_by, name) IN (
        SELECT told_by, name FROM tower_keep_denied WHERE kept_until < $1 LIMIT 100 FOR UPDATE SKIP LOCKED
    )";

/// A deny list that many processes share. Clones share the connections, too. Each token is asked about with one question, and a
/// token about which nothing can be found out, within 2 seconds, is not let in.
///
/// ```no_run
/// use tower_keep::{Denial, DenyAdmin, PostgresDenyList};
///
/// # async fn run() -> Result<(), tower_keep::StoreError> {
/// let denied = PostgresDenyList::open("postgres://tokens@db.example.com/tokens?sslmode=verify-full").await?;
/// denied.deny(Denial::token("a7f3")).await?; // refused by all from now on
/// // Jwt::with_keys(..).deny_list(denied.clone())
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresDenyList {
    pool: PgPool,
    clock: Arc<dyn Clock>,
}

impl PostgresDenyList {
    /// Connects to a server, and makes the table if it is not there. The URL is that of
    /// [`PostgresStore`](crate::PostgresStoreBuilder::open).
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the server is out of reach, [`StoreError::Misconfigured`] if the URL is wrong, the server
    /// lets nobody in by it, or the tables are of a later version.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self { pool: open(url).await?, clock: Arc::new(SystemClock) })
    }

    /// Uses connections that are there, and makes the table if it is not.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_pool(pool: PgPool) -> Result<Self, StoreError> {
        Ok(Self { pool: open_pool(pool).await?, clock: Arc::new(SystemClock) })
    }

    /// Asks another clock when denials are over. The default is that of the machine.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Takes a denial back, with all its conditions as they were given, and those of earlier times that it stood in for.
    /// Returns whether it was there.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the list cannot be changed.
    pub fn allow(&self, denial: &Denial) -> Answer<Result<bool, StoreError>> {
        let (list, denial) = (self.clone(), denial.clone());
        ask(async move { list.change(&denial, |known| denial.rule.taken_from(known)).await })
    }

    async fn change<F>(&self, denial: &Denial, become_of: F) -> Result<bool, StoreError>
    where
        F: Fn(&[Rule]) -> Option<Vec<Rule>> + Send,
    {
        let (told_by, name) = place(denial.told_by, &denial.name);
        let mut transaction = self.pool.begin().await.map_err(failed)?;
        let connection = &mut *transaction;
        sqlx::query(DURABLE).execute(&mut *connection).await.map_err(failed)?;
        sqlx::query(LOCK).bind(told_by).bind(&name).execute(&mut *connection).await.map_err(failed)?;
        let before = sqlx::query_scalar::<_, String>(READ).bind(told_by).bind(&name);
        let before = before.fetch_optional(&mut *connection).await.map_err(failed)?;
        let known = before.as_deref().map(read).transpose()?.unwrap_or_default();
        let Some(rules) = become_of(&known) else { return Ok(false) };
        let change = match rules.is_empty() {
            true => sqlx::query(DROP).bind(told_by).bind(&name),
            false => {
                let ends: Option<Vec<_>> = rules.iter().map(|rule| rule.until).collect();
                let until = ends.and_then(|ends| ends.into_iter().max()).map(kept_until);
                sqlx::query(WRITE).bind(told_by).bind(&name).bind(write(&rules)?).bind(until)
            }
        };
        change.execute(&mut *connection).await.map_err(failed)?;
        let now = milliseconds(self.clock.now());
        sqlx::query(SWEEP).bind(now).execute(&mut *connection).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(true)
    }
}

fn place(told_by: ToldBy, name: &str) -> (&'static str, Vec<u8>) {
    (told_by.name(), sha256(name.as_bytes()).to_vec())
}

impl DenyList for PostgresDenyList {
    fn denies(&self, token: &TokenFacts<'_>) -> Answer<Result<bool, StoreError>> {
        let (kinds, names): (Vec<_>, Vec<_>) = token.names().map(|(told_by, name)| place(told_by, name)).unzip();
        let (list, token) = (self.clone(), Owned::of(token));
        ask(async move {
            let found = sqlx::query_scalar::<_, String>(FIND).bind(kinds).bind(names);
            let texts = found.fetch_all(&list.pool).await.map_err(failed)?;
            let now: SystemTime = list.clock.now();
            for text in &texts {
                if read(text)?.iter().any(|rule| rule.holds_for(&token.facts(), now)) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }
}

impl DenyAdmin for PostgresDenyList {
    fn deny(&self, denial: Denial) -> Answer<Result<(), StoreError>> {
        let list = self.clone();
        ask(async move {
            let now = list.clock.now();
            list.change(&denial, |known| Some(denial.rule.added_to(known, now))).await.map(drop)
        })
    }
}

impl fmt::Debug for PostgresDenyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PostgresDenyList")
    }
}
