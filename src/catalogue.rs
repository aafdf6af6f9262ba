//! The scopes that an API has, and which of them stand for others.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::scope::OFFLINE_ACCESS;
use crate::{ConfigError, Scopes};

/// The scopes that an API has, and which of them stand for others. Cloning shares it.
///
/// One catalogue says what [`RequireScopes`](crate::RequireScopes) asks for and honours, and what the metadata of a
/// [`ProtectedResource`](crate::ProtectedResource) lists, so that the two are the same.
///
/// ```
/// use tower_keep::{ConfigError, RequireScopes, ScopeCatalogue, Scopes};
///
/// let catalogue = ScopeCatalogue::new(["orders:read", "orders:write", "admin"])?
///     .implies("orders:write", ["orders:read"])?
///     .implies("admin", ["orders:write"])?;
///
/// // Who has `orders:write` or `admin` passes, too.
/// let layer = RequireScopes::all(["orders:read"]).in_catalogue(&catalogue)?;
/// assert!(catalogue.grants(&Scopes::try_from("admin")?, "orders:read"));
/// // A slip of the pen is found when the server starts.
/// let slip = RequireScopes::all(["order:read"]).in_catalogue(&catalogue);
/// assert_eq!(slip.unwrap_err(), ConfigError::ScopeUnlisted { given: "order:read".to_owned() });
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone)]
pub struct ScopeCatalogue {
    /// Each scope, and all those that it stands for, others through which it does included.
    implied: Arc<BTreeMap<String, Vec<String>>>,
}

impl ScopeCatalogue {
    /// Lists scopes.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Scope`], [`ConfigError::ScopesEmpty`], [`ConfigError::ScopeReserved`].
    pub fn new<T: AsRef<str>>(scopes: impl IntoIterator<Item = T>) -> Result<Self, ConfigError> {
        let scopes = listed(scopes)?;
        let implied = scopes.iter().map(|scope| (scope.to_owned(), Vec::new())).collect();
        Ok(Self { implied: Arc::new(implied) })
    }

    /// Says that a scope stands for others, and for what those stand for.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ScopeUnlisted`] for a scope that the catalogue does not have.
    pub fn implies<T: AsRef<str>>(
        mut self,
        scope: &str,
        others: impl IntoIterator<Item = T>,
    ) -> Result<Self, ConfigError> {
        let others: Vec<_> = others.into_iter().map(|other| other.as_ref().to_owned()).collect();
        self.check([scope].into_iter().chain(others.iter().map(String::as_str)))?;
        let implied = Arc::make_mut(&mut self.implied);
        // All that is new, for the scope and for all that stand for it already.
        let reached = |implied: &BTreeMap<String, Vec<String>>, other: &String| implied.get(other).cloned();
        let new: Vec<_> = others.iter().flat_map(|other| reached(implied, other).into_iter().flatten()).collect();
        let new: Vec<_> = others.into_iter().chain(new).collect();
        for (name, list) in implied.iter_mut() {
            if name == scope || list.iter().any(|known| known == scope) {
                list.extend(new.iter().filter(|other| *other != name).cloned());
                list.sort_unstable();
                list.dedup();
            }
        }
        Ok(self)
    }

    /// Returns all scopes that are listed.
    pub fn scopes(&self) -> Scopes {
        Scopes::of_those_that_are(self.implied.keys().map(String::as_str))
    }

    /// Returns whether a scope is listed.
    pub fn contains(&self, scope: &str) -> bool {
        self.implied.contains_key(scope)
    }

    /// Returns whether one of the scopes that are held is a needed one, or stands for it: for handlers that judge
    /// themselves.
    pub fn grants(&self, held: &Scopes, needed: &str) -> bool {
        held.iter().any(|held| held == needed || self.stands_for(held, needed))
    }

    /// Returns whether a scope stands for another one.
    pub(crate) fn stands_for(&self, held: &str, needed: &str) -> bool {
        self.implied.get(held).is_some_and(|implied| implied.iter().any(|scope| scope == needed))
    }

    /// Checks that all of the scopes are listed.
    pub(crate) fn check<'a>(&self, scopes: impl IntoIterator<Item = &'a str>) -> Result<(), ConfigError> {
        match scopes.into_iter().find(|scope| !self.contains(scope)) {
            Some(scope) => Err(ConfigError::ScopeUnlisted { given: scope.to_owned() }),
            None => Ok(()),
        }
    }
}

/// Collects scopes that a resource may ask for, one at least.
pub(crate) fn listed<T: AsRef<str>>(scopes: impl IntoIterator<Item = T>) -> Result<Scopes, ConfigError> {
    let scopes = Scopes::new(scopes)?;
    if scopes.contains(OFFLINE_ACCESS) {
        return Err(ConfigError::ScopeReserved { given: OFFLINE_ACCESS.to_owned() });
    }
    if scopes.is_empty() { Err(ConfigError::ScopesEmpty) } else { Ok(scopes) }
}

impl fmt::Debug for ScopeCatalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopeCatalogue").field(&self.implied).finish()
    }
}
