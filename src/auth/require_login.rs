//! How strong and how recent a login has to be, route by route (RFC 9470).
//!
//! ```
//! use std::time::Duration;
//! use tower_keep::RequireLogin;
//!
//! // For a transfer of money: a second factor, not longer ago than five minutes.
//! let layer = RequireLogin::new().acr(["urn:example:mfa"]).max_age(Duration::from_secs(5 * 60));
//! layer.check()?;
//! # Ok::<(), tower_keep::ConfigError>(())
//! ```
//!
//! A token that says less is refused with a challenge that says what would do, and the client comes back with a token of a
//! better login:
//!
//! ```text
//! WWW-Authenticate: Bearer realm="api", error="insufficient_user_authentication", acr_values="urn:example:mfa", max_age="300"
//! ```

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::judged::{JudgedFuture, judged};
use crate::scope::is_token;
use crate::{Clock, ConfigError, Principal, Rejection, SystemClock};

/// How far ahead the clock of an issuer may be. A login that lies farther ahead is no recent one: it may be a time in
/// milliseconds, which would never be over.
const LEEWAY: Duration = Duration::from_secs(30);

/// Lets a request through if the login behind its token is strong and recent enough; 401
/// `insufficient_user_authentication` otherwise (RFC 9470, section 3).
///
/// It stands inside an [`AuthLayer`](crate::AuthLayer), which renders its refusals. It reads `acr` and `auth_time` of the
/// token: a token without them, an API key, say, is refused. Nobody, behind an optional layer, is refused without the code. Without a
/// layer outside, the answer is 500, and the log says so.
///
/// With no condition at all, or a wrong one, nobody is let through: every request is answered with 500, and the log says
/// what is wrong. [`check`](Self::check) says it when the server starts.
#[derive(Clone, Debug)]
pub struct RequireLogin {
    acr: Vec<String>,
    acr_values: Option<Arc<str>>,
    max_age: Option<Duration>,
    clock: Arc<dyn Clock>,
    checked: Result<(), ConfigError>,
}

impl RequireLogin {
    /// Starts without a condition; one at least has to follow.
    pub fn new() -> Self {
        let checked = Err(ConfigError::LoginConditionsMissing);
        Self { acr: Vec::new(), acr_values: None, max_age: None, clock: Arc::new(SystemClock), checked }
    }

    /// Needs one of these authentication context classes, the preferred ones first: the exact values of `acr` (OpenID Connect
    /// Core, section 2). None stands for another one; name all that will do.
    #[must_use]
    pub fn acr<T: Into<String>>(mut self, classes: impl IntoIterator<Item = T>) -> Self {
        self.acr = classes.into_iter().map(Into::into).collect();
        self.acr_values = Some(self.acr.join(" ").into());
        self.checked = self.conditions();
        self
    }

    /// Needs a login that is no longer ago than this, in whole seconds (`auth_time`).
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self.checked = self.conditions();
        self
    }

    /// Asks another clock for the time.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Checks the conditions.
    ///
    /// # Errors
    ///
    /// [`ConfigError::LoginConditionsMissing`], [`ConfigError::Acr`].
    pub fn check(&self) -> Result<(), ConfigError> {
        self.checked.clone()
    }

    fn conditions(&self) -> Result<(), ConfigError> {
        if let Some(given) = self.acr.iter().find(|class| !is_token(class)) {
            return Err(ConfigError::Acr { given: given.clone() });
        }
        match (self.acr.is_empty(), &self.acr_values, self.max_age) {
            (true, Some(_), _) | (_, None, None) => Err(ConfigError::LoginConditionsMissing),
            _ => Ok(()),
        }
    }

    fn judge(&self, principal: &Principal) -> Result<(), Rejection> {
        if let Err(error) = &self.checked {
            return Err(Rejection::misconfigured("login_misconfigured", error.clone()));
        }
        let is_strong = self.acr_values.is_none() || self.acr.iter().any(|class| principal.acr() == Some(class));
        let is_recent =
            |age: Duration| principal.auth_time().is_some_and(|login| is_within(age, login, self.clock.now()));
        match is_strong && self.max_age.is_none_or(is_recent) {
            true => Ok(()),
            false => Err(Rejection::step_up(self.acr_values.as_deref(), self.max_age)),
        }
    }
}

/// Returns whether a login is no longer ago than some whole seconds.
fn is_within(age: Duration, login: SystemTime, now: SystemTime) -> bool {
    match now.duration_since(login) {
        Ok(passed) => passed.as_secs() <= age.as_secs(),
        Err(ahead) => ahead.duration() <= LEEWAY,
    }
}

impl Default for RequireLogin {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for RequireLogin {
    type Service = RequireLoginService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireLoginService { inner, login: Arc::new(self.clone()) }
    }
}

/// A service that needs a login; [`RequireLogin`] makes it.
#[derive(Clone, Debug)]
pub struct RequireLoginService<S> {
    inner: S,
    login: Arc<RequireLogin>,
}

impl<S> RequireLoginService<S> {
    /// Returns the inner service.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for RequireLoginService<S>
where
    S: Service<Request<ReqB>, Response = Response<ResB>>,
    ResB: Default + 'static,
{
    type Response = Response<ResB>;
    type Error = S::Error;
    type Future = JudgedFuture<S::Future, Response<ResB>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        match judged(&request, |principal| self.login.judge(principal)) {
            Ok(()) => JudgedFuture::Forwarding { response: self.inner.call(request) },
            Err(response) => JudgedFuture::Refused { response: Some(response) },
        }
    }
}
