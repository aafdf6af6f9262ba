//! A token that is verified, and what is asked of it each time it comes.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::claims::Registered;
use crate::bearer::SCHEME;
use crate::bearer::denial::{DenyList, TokenFacts};
use crate::principal::Identity;
use crate::{Answer, Ending, Principal, Rejection, Scopes, Standing};

/// What a token says, once its signature and its fixed claims are known to be good.
pub(crate) struct Token<T> {
    issuer: Option<Arc<str>>,
    /// Subject, token id, session id and class of the login behind each other, in one piece of memory.
    texts: Box<str>,
    subject: usize,
    jti: Option<usize>,
    sid: Option<usize>,
    acr: Option<usize>,
    kid: Option<Arc<str>>,
    scopes: Scopes,
    exp: Option<Duration>,
    nbf: Option<Duration>,
    iat: Option<Duration>,
    auth_time: Option<Duration>,
    /// Whether its server was asked about it, so that others do not speak of it.
    pub(crate) introspected: bool,
    details: T,
}

impl<T> Token<T> {
    /// Keeps what matters of the claims. The issuer is one that was expected, so it is shared.
    pub(crate) fn new(
        claims: &mut Registered<'_>,
        exp: Option<Duration>,
        issuer: Option<Arc<str>>,
        kid: Option<Arc<str>>,
        details: T,
    ) -> Self {
        let scopes = claims.take_scopes().unwrap_or_default();
        let issuer = issuer.or_else(|| claims.iss.as_deref().map(Arc::from));
        let texts = [&claims.sub, &claims.jti, &claims.sid, &claims.acr].map(|text| text.as_deref());
        Self {
            issuer,
            texts: texts.map(Option::unwrap_or_default).concat().into_boxed_str(),
            subject: texts[0].map_or(0, str::len),
            jti: texts[1].map(str::len),
            sid: texts[2].map(str::len),
            acr: texts[3].map(str::len),
            kid,
            scopes,
            exp,
            nbf: claims.nbf,
            iat: claims.iat,
            auth_time: claims.auth_time,
            introspected: false,
            details,
        }
    }

    fn sub(&self) -> &str {
        self.texts.get(..self.subject).unwrap_or_default()
    }

    fn jti(&self) -> Option<&str> {
        self.texts.get(self.subject..self.subject + self.jti?)
    }

    fn sid(&self) -> Option<&str> {
        let start = self.subject + self.jti.unwrap_or_default();
        self.texts.get(start..start + self.sid?)
    }

    /// Returns when it ends, since 1970.
    #[cfg_attr(not(feature = "introspection"), allow(dead_code, reason = "JWTs are remembered whatever their end"))]
    pub(crate) const fn exp(&self) -> Option<Duration> {
        self.exp
    }

    fn facts(&self) -> TokenFacts<'_> {
        TokenFacts {
            issuer: self.issuer.as_deref(),
            subject: self.sub(),
            jti: self.jti(),
            sid: self.sid(),
            kid: self.kid.as_deref(),
            issued_at: self.iat.map(|iat| UNIX_EPOCH + iat),
        }
    }
}

impl<T: Any + Send + Sync> Identity for Token<T> {
    fn subject(&self) -> &str {
        self.sub()
    }

    fn scheme(&self) -> &str {
        SCHEME
    }

    fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    fn expires_at(&self) -> Option<SystemTime> {
        Some(UNIX_EPOCH + self.exp?)
    }

    fn credential_id(&self) -> Option<&str> {
        self.jti()
    }

    fn details(&self) -> Option<&(dyn Any + Send + Sync)> {
        Some(&self.details)
    }

    fn acr(&self) -> Option<&str> {
        let start = self.subject + self.jti.unwrap_or_default() + self.sid.unwrap_or_default();
        self.texts.get(start..start + self.acr?)
    }

    fn auth_time(&self) -> Option<SystemTime> {
        self.auth_time.map(|login| UNIX_EPOCH + login)
    }
}

/// What is asked of a token each time it comes, whether it was verified now or before: its times, the user's own
/// conditions, the deny list.
pub(crate) struct Conditions<T> {
    pub(crate) leeway: Duration,
    pub(crate) max_age: Option<Duration>,
    pub(crate) predicates: Vec<Predicate<T>>,
    pub(crate) deny_list: Option<Arc<dyn DenyList>>,
}

pub(crate) type Predicate<T> = Box<dyn Fn(&T) -> bool + Send + Sync>;

impl<T: Any + Send + Sync> Conditions<T> {
    /// Judges a token at a time.
    pub(crate) fn judge(&self, token: &Arc<Token<T>>, now: SystemTime) -> Answer<Result<Principal, Rejection>> {
        // Without the time nothing is known of a token that does not say when it was made, and the fault is ours.
        let Ok(now) = now.duration_since(UNIX_EPOCH) else {
            return Answer::Now(Err(Rejection::misconfigured(
                "clock_before_1970",
                "the clock shows a time before 1970",
            )));
        };
        if let Some(reason) = self.fault(token, now) {
            // Its issuer has vouched for it: nobody guessed it.
            return Answer::Now(Err(about(token, Rejection::invalid(reason).genuine())));
        }
        let admitted = |token: &Arc<Token<T>>| Principal::from_identity(Arc::clone(token) as Arc<dyn Identity>, None);
        let Some(deny_list) = &self.deny_list else { return Answer::Now(Ok(admitted(token))) };
        let judge = move |denied, token: &Arc<Token<T>>| match denied {
            Ok(false) => Ok(admitted(token)),
            Ok(true) => Err(about(token, Rejection::invalid("token_denied"))),
            Err(error) => Err(Rejection::from(error)),
        };
        match deny_list.denies(&token.facts()) {
            Answer::Now(denied) => Answer::Now(judge(denied, token)),
            Answer::Later(denied) => {
                let token = Arc::clone(token);
                Answer::later(async move { judge(denied.await, &token) })
            }
        }
    }

    /// Judges a token that was good before.
    pub(crate) fn standing(&self, token: &Token<T>, now: SystemTime) -> Answer<Standing> {
        let Ok(now) = now.duration_since(UNIX_EPOCH) else { return Answer::Now(Standing::Unknown) };
        match self.fault(token, now) {
            Some("token_expired" | "token_too_old") => return Answer::Now(Standing::Ended(Ending::Expired)),
            Some(_) => return Answer::Now(Standing::Ended(Ending::Denied)),
            None => {}
        }
        let left = token.exp.map(|exp| exp.saturating_add(self.leeway).saturating_sub(now));
        let Some(deny_list) = &self.deny_list else { return Answer::Now(Standing::Good { left }) };
        deny_list.denies(&token.facts()).map(move |denied| match denied {
            Ok(false) => Standing::Good { left },
            Ok(true) => Standing::Ended(Ending::Denied),
            Err(_) => Standing::Unknown,
        })
    }

    /// Returns what is wrong with a token at a time since 1970.
    fn fault(&self, token: &Token<T>, now: Duration) -> Option<&'static str> {
        let Self { leeway, max_age, predicates, .. } = self;
        // RFC 7519, section 4.1.4: on or after which it is not accepted.
        if token.exp.is_some_and(|exp| now >= exp.saturating_add(*leeway)) {
            return Some("token_expired");
        }
        let latest = now.saturating_add(*leeway);
        if token.nbf.is_some_and(|nbf| nbf > latest) {
            return Some("token_not_yet_valid");
        }
        if token.iat.is_some_and(|iat| iat > latest) {
            return Some("token_from_future");
        }
        if let Some(max_age) = max_age {
            let Some(iat) = token.iat else { return Some("token_claim_missing") };
            if now > iat.saturating_add(*max_age).saturating_add(*leeway) {
                return Some("token_too_old");
            }
        }
        (!predicates.iter().all(|predicate| predicate(&token.details))).then_some("token_predicate")
    }
}

/// Adds the id of the token, which is known to be the issuer's, for the log.
fn about<T>(token: &Token<T>, rejection: Rejection) -> Rejection {
    match token.jti() {
        Some(jti) => rejection.about(jti),
        None => rejection,
    }
}
