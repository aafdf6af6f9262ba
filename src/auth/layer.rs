//! The layer: a scheme, a responder, and what is done with the verdict.

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use super::throttle::Throttle;
use super::{Auth, FailedAttempts, Guard, Or, Problem, Scheme};
use crate::ConfigError;
use crate::events::REFUSALS_PER_SECOND;
use crate::standing::Keeper;

/// Guards a service by a [`Scheme`]. `ApiKeyLayer` is this layer over the API key scheme.
///
/// Cloning is cheap: the scheme is shared. Nothing is anonymous, and nothing is logged without being refused, unless a
/// setting below says so.
pub struct AuthLayer<C, R = Problem> {
    scheme: Arc<C>,
    responder: R,
    settings: Settings,
    // One for all services that the layer makes, clones of the layer included: axum puts a layer around each route,
    // and all of them are one for the log.
    guard: Arc<Guard>,
    throttle: Option<Arc<Throttle>>,
}

/// What is done with the verdict.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) optional: bool,
    pub(crate) report_only: bool,
    pub(crate) keep_credential: bool,
    pub(crate) allow_preflight: bool,
    refusals_per_second: u32,
}

impl<C: Scheme> AuthLayer<C> {
    /// Guards by a scheme.
    pub fn over(scheme: C) -> Self {
        let settings = Settings {
            optional: false,
            report_only: false,
            keep_credential: false,
            allow_preflight: false,
            refusals_per_second: REFUSALS_PER_SECOND,
        };
        Self::new_over(Arc::new(scheme), Problem, settings, None)
    }
}

impl<C: Scheme, R> AuthLayer<C, R> {
    /// Accepts the credentials of another layer as well, one or the other on each request; a request with both is
    /// refused. The settings of this layer count, those of the other one do not.
    ///
    /// In whichever order they stand: a value of `Authorization: Bearer` that starts with the prefix of a key format is an
    /// API key, one of three segments a JWT, and any other is the credential of the single scheme that takes all the rest.
    /// Two verifiers of JWTs, and two schemes that take the rest, are a configuration error, which [`check`](Self::check)
    /// tells. Any other header field that both read is the first one's alone: two stores of
    /// API keys behind one field are one store that asks both.
    pub fn or<D: Scheme, Q>(self, other: AuthLayer<D, Q>) -> AuthLayer<Or<C, D>, R> {
        let scheme = Arc::new(Or::new(self.scheme, other.scheme));
        AuthLayer::new_over(scheme, self.responder, self.settings, self.throttle)
    }

    /// Answers refusals in another way; see [`Responder`](crate::Responder). A closure names the types of its parameters:
    /// `|rejection: &Rejection, head: &Parts| ..`.
    pub fn responder<Q>(self, responder: Q) -> AuthLayer<C, Q> {
        let Self { scheme, settings, guard, throttle, .. } = self;
        AuthLayer { scheme, responder, settings, guard, throttle }
    }

    /// Lets requests without a credential through, as [`Anonymous`](crate::Anonymous). A bad credential is refused all
    /// the same, and so is one that cannot be checked.
    #[must_use]
    pub fn optional(self) -> Self {
        self.with(|settings| settings.optional = true)
    }

    /// Logs what would be refused, and lets it through as [`Anonymous`](crate::Anonymous) with its credential in place:
    /// for the first days of a layer in front of an API that lives already. [`RequireScopes`](crate::RequireScopes)
    /// further in only logs as well, unless a layer that does refuse stands around both. A good credential stays in place,
    /// too. A handler that cannot do without a [`Principal`](crate::Principal) refuses all the same: let it extract an
    /// `Option` for these days.
    ///
    /// # Security
    ///
    /// With this setting the layer protects nothing.
    #[must_use]
    pub fn report_only(self) -> Self {
        self.with(|settings| settings.report_only = true)
    }

    /// Puts the credential back for the inner service, marked sensitive. It costs a copy of the header map.
    ///
    /// # Security
    ///
    /// Without this setting nothing further in can log the credential or pass it on by mistake.
    #[must_use]
    pub fn keep_credential(self) -> Self {
        self.with(|settings| settings.keep_credential = true)
    }

    /// Lets CORS preflight requests through, as [`Anonymous`](crate::Anonymous): OPTIONS with `Origin` and
    /// `Access-Control-Request-Method` and without a credential, nothing else.
    ///
    /// A `CorsLayer` outside this layer needs no such setting, and is the better place for it: it answers the preflight
    /// itself, and lets browsers read refusals.
    #[must_use]
    pub fn allow_preflight(self) -> Self {
        self.with(|settings| settings.allow_preflight = true)
    }

    /// Sets how many refusals are logged in a second, in each of the classes that [`events`](crate::events) names. The
    /// default is 10; none at all hides outages as well.
    #[must_use]
    pub fn refusals_logged_per_second(self, refusals: u32) -> Self {
        self.with(|settings| settings.refusals_per_second = refusals)
    }

    /// Answers 429 to clients that present bad credentials too often, unless the credential is one that memory alone can
    /// prove to be good: see [`throttle`](crate::auth::throttle). Nobody is held back by default.
    ///
    /// The address of the client is that of an [`Origin`](crate::Origin), which [`RequireHttps`](crate::RequireHttps) outside
    /// finds out; while it is unknown the throttle is off, and the log says so. All services of the layer and of its clones
    /// count together.
    ///
    /// ```
    /// use tower_keep::{ApiKeyLayer, FailedAttempts, MemoryStore};
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).throttle(FailedAttempts::default());
    /// ```
    #[must_use]
    pub fn throttle(mut self, limit: FailedAttempts) -> Self {
        self.throttle = Some(Arc::new(Throttle::new(limit)));
        self
    }

    /// Checks the scheme: whether two of them under [`or`](Self::or) claim the same values, say. Without this call, every
    /// request to a layer with such a fault is answered with 500, and the log says what is wrong.
    ///
    /// # Errors
    ///
    /// [`ConfigError::BearerContested`].
    pub fn check(&self) -> Result<(), ConfigError> {
        self.scheme.check()
    }

    /// Returns the scheme.
    pub fn scheme(&self) -> &C {
        &self.scheme
    }

    pub(crate) fn shared_scheme(&self) -> Arc<C> {
        Arc::clone(&self.scheme)
    }

    /// Puts another scheme in the place of this one.
    #[cfg_attr(not(feature = "bearer"), allow(dead_code, reason = "resources have layers over bearer tokens"))]
    pub(crate) fn with_scheme<D: Scheme>(self, scheme: D) -> AuthLayer<D, R> {
        AuthLayer::new_over(Arc::new(scheme), self.responder, self.settings, self.throttle)
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.settings;
        change(&mut settings);
        Self::new_over(self.scheme, self.responder, settings, self.throttle)
    }

    fn new_over(scheme: Arc<C>, responder: R, settings: Settings, throttle: Option<Arc<Throttle>>) -> Self {
        let Settings { report_only, refusals_per_second, .. } = settings;
        let guard = Guard::new(&*scheme, report_only, refusals_per_second);
        let guard = Arc::new(guard.kept_by(Keeper::of(Arc::clone(&scheme))));
        Self { scheme, responder, settings, guard, throttle }
    }
}

impl<S, C: Scheme, R: Clone> Layer<S> for AuthLayer<C, R> {
    type Service = Auth<S, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Auth::new(
            inner,
            Gate {
                scheme: Arc::clone(&self.scheme),
                responder: self.responder.clone(),
                guard: Arc::clone(&self.guard),
                settings: self.settings,
                throttle: self.throttle.clone(),
            },
        )
    }
}

// By hand: the scheme is shared and need not be `Clone`.
impl<C, R: Clone> Clone for AuthLayer<C, R> {
    fn clone(&self) -> Self {
        Self {
            scheme: Arc::clone(&self.scheme),
            responder: self.responder.clone(),
            settings: self.settings,
            guard: Arc::clone(&self.guard),
            throttle: self.throttle.clone(),
        }
    }
}

impl<C, R> fmt::Debug for AuthLayer<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, throttle, .. } = self;
        f.debug_struct("AuthLayer").field("settings", settings).field("throttle", throttle).finish_non_exhaustive()
    }
}

/// What all clones of a service share.
pub(crate) struct Gate<C, R> {
    pub(crate) scheme: Arc<C>,
    pub(crate) responder: R,
    pub(crate) guard: Arc<Guard>,
    pub(crate) settings: Settings,
    pub(crate) throttle: Option<Arc<Throttle>>,
}
