//! A deny list in Redis or Valkey.
//!
//! Below the [prefix](RedisServer::prefix), `denied:<jti, sub, sid, kid or all>:<name>` holds the denials of a name as JSON. It goes
//! away by itself when the last of them is over.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use redis::{Cmd, Script};
use serde::{Deserialize, Serialize};

use super::{Denial, DenyAdmin, DenyList, Rule, TokenFacts, ToldBy};
use crate::redis_server::Connected;
use crate::{Answer, Clock, Durability, RedisServer, StoreError, SystemClock};

/// How often a denial is tried while others deny the same name.
const TRIES: usize = 100;
/// For how much longer denials are kept, so that clocks need not agree.
const LONGER: Duration = Duration::from_secs(60);

/// Puts a text in the place of another one; returns whether that was still there. Keys: the name.
/// Arguments: the text before or nothing, the text after or nothing, how long it is kept in milliseconds or nothing.
const REPLACE: &str = r"
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2])
  if ARGV[3] ~= '' then
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
  end
end
return 1
";

/// A deny list that many processes share. Clones share the connection, too. Each token is asked about with one question, and a
/// token about which nothing can be found out is not let in.
///
/// ```no_run
/// use tower_keep::{Denial, DenyAdmin, RedisDenyList};
///
/// # async fn run() -> Result<(), tower_keep::StoreError> {
/// let denied = RedisDenyList::connect("redis://redis.internal").await?;
/// denied.deny(Denial::token("a7f3")).await?; // is on the server's disk now
/// // Jwt::with_keys(..).deny_list(denied.clone())
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisDenyList {
    redis: Arc<Connected>,
    replace: Arc<Script>,
    clock: Arc<dyn Clock>,
}

impl RedisDenyList {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the server is out of reach, [`StoreError::Misconfigured`] if the URL or the password is
    /// wrong, or the server throws entries away when its memory is full.
    pub async fn connect(server: impl Into<RedisServer>) -> Result<Self, StoreError> {
        let redis = Connected::to(server.into()).await?;
        Ok(Self { redis, replace: Arc::new(Script::new(REPLACE)), clock: Arc::new(SystemClock) })
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
        Answer::later(async move { list.change(&denial, |known| denial.rule.taken_from(known)).await })
    }

    /// Returns whether a denial that is confirmed survives the end of the server and of its machine.
    pub fn durability(&self) -> Durability {
        self.redis.durability()
    }

    async fn change<'a, F>(&self, denial: &'a Denial, become_of: F) -> Result<bool, StoreError>
    where
        F: Fn(&[Rule]) -> Option<Vec<Rule>> + Send + 'a,
    {
        let keys = [self.key(denial.told_by, &denial.name)];
        for _ in 0..TRIES {
            let mut get = Cmd::new();
            get.arg("GET").arg(&keys[0]);
            let before: Option<String> = self.redis.query(&get).await?;
            let known = before.as_deref().map(read).transpose()?.unwrap_or_default();
            let Some(rules) = become_of(&known) else { return Ok(false) };
            let after = if rules.is_empty() { String::new() } else { write(&rules)? };
            let kept = self.kept_for(&rules).map_or_else(String::new, |millis| millis.to_string());
            let arguments = [before.unwrap_or_default(), after, kept].map(String::into_bytes);
            let (done, change) = self.redis.change::<bool>(&self.replace, &keys, &arguments).await?;
            if done {
                change.settle().await?;
                return Ok(true);
            }
        }
        Err(StoreError::unavailable("the denials of a name are changed by others all the time"))
    }

    /// Returns for how many milliseconds rules are kept; nothing means for good.
    fn kept_for(&self, rules: &[Rule]) -> Option<u64> {
        let ends: Option<Vec<_>> = rules.iter().map(|rule| rule.until).collect();
        let left = ends?.into_iter().max()?.duration_since(self.clock.now()).unwrap_or_default();
        let millis = left.saturating_add(LONGER).as_millis();
        u64::try_from(millis).ok().filter(|millis| *millis < (i64::MAX / 2) as u64)
    }

    fn key(&self, told_by: ToldBy, name: &str) -> String {
        self.redis.key(format_args!("denied:{told_by}:{name}"))
    }
}

impl DenyList for RedisDenyList {
    fn denies(&self, token: &TokenFacts<'_>) -> Answer<Result<bool, StoreError>> {
        let mut get = Cmd::new();
        get.arg("MGET");
        token.names().for_each(|(told_by, name)| {
            get.arg(self.key(told_by, name));
        });
        let (list, token) = (self.clone(), Owned::of(token));
        Answer::later(async move {
            let texts: Vec<Option<String>> = list.redis.query(&get).await?;
            let now = list.clock.now();
            for text in texts.iter().flatten() {
                if read(text)?.iter().any(|rule| rule.holds_for(&token.facts(), now)) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }
}

impl DenyAdmin for RedisDenyList {
    fn deny(&self, denial: Denial) -> Answer<Result<(), StoreError>> {
        let list = self.clone();
        Answer::later(async move {
            let now = list.clock.now();
            list.change(&denial, |known| Some(denial.rule.added_to(known, now))).await.map(drop)
        })
    }
}

/// What a rule asks of a token.
struct Owned {
    issuer: Option<String>,
    issued_at: Option<SystemTime>,
}

impl Owned {
    fn of(token: &TokenFacts<'_>) -> Self {
        Self { issuer: token.issuer.map(str::to_owned), issued_at: token.issued_at }
    }

    fn facts(&self) -> TokenFacts<'_> {
        TokenFacts { issuer: self.issuer.as_deref(), issued_at: self.issued_at, ..TokenFacts::new("") }
    }
}

/// A rule as it is written. Times are seconds since 1970 and nanoseconds.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_before: Option<(u64, u32)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<(u64, u32)>,
}

fn write(rules: &[Rule]) -> Result<String, StoreError> {
    let time = |when: SystemTime| {
        let since = when.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (since.as_secs(), since.subsec_nanos())
    };
    let written = rules.iter().map(|rule| Written {
        issuer: rule.issuer.clone(),
        issued_before: rule.issued_before.map(time),
        until: rule.until.map(time),
    });
    serde_json::to_string(&written.collect::<Vec<_>>()).map_err(StoreError::misconfigured)
}

fn read(text: &str) -> Result<Vec<Rule>, StoreError> {
    let wrong = |what: String| StoreError::misconfigured(format!("a denial cannot be read: {what}"));
    let written: Vec<Written> = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let time = |(seconds, nanos): (u64, u32)| {
        let since = Duration::from_secs(seconds).checked_add(Duration::from_nanos(nanos.into()));
        let when = since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
        when.ok_or_else(|| wrong("a time is out of range".to_owned()))
    };
    let rules = written.into_iter().map(|rule| {
        Ok(Rule {
            issuer: rule.issuer,
            issued_before: rule.issued_before.map(time).transpose()?,
            until: rule.until.map(time).transpose()?,
        })
    });
    rules.collect()
}

impl fmt::Debug for RedisDenyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisDenyList").field("server", self.redis.server()).finish_non_exhaustive()
    }
}
