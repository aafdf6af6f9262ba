//! What a principal needs, route by route or method by method.
//!
//! ```
//! use tower_keep::{Need, RequireScopes};
//!
//! let all = RequireScopes::all(["orders:read", "orders:write"]);
//! let any = RequireScopes::any(["orders:read", "admin"]);
//! // A rule of one's own: "orders" is held for every scope below it.
//! let below = RequireScopes::all(["orders:read"])
//!     .hierarchy(|held, needed| needed.strip_prefix(held).is_some_and(|rest| rest.starts_with(':')));
//! // gRPC: a method that is not listed is refused.
//! let methods = RequireScopes::by_method([
//!     ("/shop.Orders/List", Need::all(["orders:read"])),
//!     ("/shop.Orders/Cancel", Need::any(["orders:write", "admin"])),
//!     ("/shop.Orders/Ping", Need::principal()),
//! ]);
//! # for layer in [all, any, below, methods] { layer.check()?; }
//! # Ok::<(), tower_keep::ConfigError>(())
//! ```

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::judged::{JudgedFuture, judged};
use crate::catalogue::listed;
use crate::{ConfigError, Principal, Rejection, ScopeCatalogue, Scopes};

/// Lets a request through if its principal holds the scopes it needs; 403 `insufficient_scope` otherwise.
///
/// It stands inside an [`AuthLayer`](crate::AuthLayer), which renders its refusals. Nobody, behind an optional layer, is
/// refused with 401. Without a layer outside, the answer is 500, and the log says so.
///
/// A list that is empty or has something in it that is not a scope lets nobody through: every request is answered
/// with 500, and the log says what is wrong. [`check`](Self::check) says it when the server starts.
#[derive(Clone)]
pub struct RequireScopes {
    rule: Arc<Result<Rule, ConfigError>>,
    hierarchy: Option<Arc<Hierarchy>>,
    catalogue: Option<ScopeCatalogue>,
}

type Hierarchy = dyn Fn(&str, &str) -> bool + Send + Sync;

#[derive(Debug)]
enum Rule {
    Every(Kind),
    ByMethod(HashMap<String, Kind>),
}

/// What a gRPC method needs, for [`RequireScopes::by_method`].
#[derive(Clone, Debug)]
pub struct Need(Result<Kind, ConfigError>);

#[derive(Clone, Debug)]
enum Kind {
    All(Scopes),
    Any(Scopes),
    Principal,
}

impl Need {
    /// Needs every one of the scopes.
    pub fn all<T: AsRef<str>>(scopes: impl IntoIterator<Item = T>) -> Self {
        Self(listed(scopes).map(Kind::All))
    }

    /// Needs one of the scopes.
    pub fn any<T: AsRef<str>>(scopes: impl IntoIterator<Item = T>) -> Self {
        Self(listed(scopes).map(Kind::Any))
    }

    /// Needs a principal, and no scope.
    pub const fn principal() -> Self {
        Self(Ok(Kind::Principal))
    }
}

impl RequireScopes {
    /// Needs every one of the scopes.
    pub fn all<T: AsRef<str>>(scopes: impl IntoIterator<Item = T>) -> Self {
        Self::of(Need::all(scopes).0.map(Rule::Every))
    }

    /// Needs one of the scopes.
    pub fn any<T: AsRef<str>>(scopes: impl IntoIterator<Item = T>) -> Self {
        Self::of(Need::any(scopes).0.map(Rule::Every))
    }

    /// Needs what the method asks for; a method that is not listed is refused with 403. Methods are gRPC methods, told
    /// by the path of the request: `/package.Service/Method`.
    pub fn by_method<P: AsRef<str>>(methods: impl IntoIterator<Item = (P, Need)>) -> Self {
        let methods = methods.into_iter().map(|(path, Need(need))| {
            let path = path.as_ref();
            match path.strip_prefix('/').and_then(|path| path.split_once('/')) {
                Some((service, method)) if !service.is_empty() && !method.is_empty() && !method.contains('/') => {
                    Ok((path.to_owned(), need?))
                }
                _ => Err(ConfigError::MethodPath { given: path.to_owned() }),
            }
        });
        Self::of(methods.collect::<Result<_, _>>().map(Rule::ByMethod))
    }

    /// Sets when a scope that is held stands for one that is needed, besides being the same: `rule(held, needed)`.
    #[must_use]
    pub fn hierarchy(mut self, rule: impl Fn(&str, &str) -> bool + Send + Sync + 'static) -> Self {
        self.hierarchy = Some(Arc::new(rule));
        self
    }

    /// Checks the lists against a catalogue, and honours what it says about scopes that stand for others.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ScopeUnlisted`] for a scope that the catalogue does not have, and those of [`check`](Self::check).
    pub fn in_catalogue(mut self, catalogue: &ScopeCatalogue) -> Result<Self, ConfigError> {
        self.check()?;
        let scopes = |kind: &Kind| match kind {
            Kind::All(scopes) | Kind::Any(scopes) => catalogue.check(scopes.iter()),
            Kind::Principal => Ok(()),
        };
        match &*self.rule {
            Ok(Rule::Every(kind)) => scopes(kind)?,
            Ok(Rule::ByMethod(methods)) => methods.values().try_for_each(scopes)?,
            Err(error) => return Err(error.clone()),
        }
        self.catalogue = Some(catalogue.clone());
        Ok(self)
    }

    /// Checks the lists.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Scope`], [`ConfigError::ScopesEmpty`], [`ConfigError::ScopeReserved`] or
    /// [`ConfigError::MethodPath`].
    pub fn check(&self) -> Result<(), ConfigError> {
        match &*self.rule {
            Ok(_) => Ok(()),
            Err(error) => Err(error.clone()),
        }
    }

    fn of(rule: Result<Rule, ConfigError>) -> Self {
        Self { rule: Arc::new(rule), hierarchy: None, catalogue: None }
    }

    fn judge(&self, principal: &Principal, path: &str) -> Result<(), Rejection> {
        let need = match &*self.rule {
            Ok(Rule::Every(need)) => need,
            Ok(Rule::ByMethod(methods)) => methods.get(path).ok_or(Rejection::forbidden("method_unlisted"))?,
            Err(error) => return Err(Rejection::misconfigured("scopes_misconfigured", error.clone())),
        };
        let holds = |needed: &str| {
            let stands_for = |held| {
                self.hierarchy.as_ref().is_some_and(|rule| rule(held, needed))
                    || self.catalogue.as_ref().is_some_and(|catalogue| catalogue.stands_for(held, needed))
            };
            principal.scopes().iter().any(|held| held == needed || stands_for(held))
        };
        match need {
            Kind::All(scopes) if !scopes.iter().all(holds) => Err(Rejection::insufficient_scope(scopes.clone())),
            Kind::Any(scopes) if !scopes.iter().any(holds) => Err(Rejection::insufficient_scope(scopes.clone())),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for RequireScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireScopes").field("rule", &self.rule).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for RequireScopes {
    type Service = RequireScopesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireScopesService { inner, scopes: self.clone() }
    }
}

/// A service that needs scopes; [`RequireScopes`] makes it.
#[derive(Clone, Debug)]
pub struct RequireScopesService<S> {
    inner: S,
    scopes: RequireScopes,
}

impl<S> RequireScopesService<S> {
    /// Returns the inner service.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, ReqB, ResB> Service<Request<ReqB>> for RequireScopesService<S>
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
        let path = request.uri().path();
        match judged(&request, |principal| self.scopes.judge(principal, path)) {
            Ok(()) => JudgedFuture::Forwarding { response: self.inner.call(request) },
            Err(response) => JudgedFuture::Refused { response: Some(response) },
        }
    }
}
