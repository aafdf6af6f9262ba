//! Credentials that came over plain HTTP.
//!
//! A layer that is [watched](crate::RequireHttps::watch) is asked what the credential of such a request is worth, after the
//! request was refused and apart from its answer, so that neither the answer nor its time tells anything. Nothing is asked
//! unless the transport is *proven* to be plain ([`Transport::Plain`](crate::Transport::Plain)): a list of proxies that has
//! a mistake in it makes all requests [`Unknown`](crate::Transport::Unknown), and none of their credentials exposed.
//!
//! What is found out is an event (`exposed`, see [`events`](crate::events)), and is told to
//! [`on_exposed`](crate::RequireHttps::on_exposed). Revoking is a setting of the scheme:
//!
//! ```
//! # #[cfg(feature = "api-key")] {
//! use tower_keep::{ApiKey, ApiKeyLayer, MemoryStore, RequireHttps};
//!
//! let keys = MemoryStore::new();
//! let guard = ApiKeyLayer::over(ApiKey::new(keys.clone()).revoke_exposed(keys));
//! let https = RequireHttps::new().watch(&guard);
//! # }
//! ```
//!
//! It takes a whole key or a token that is good: who knows no more than the id of a key revokes nothing. It is held to a
//! number of credentials a minute (10 by default) for each layer that is watched. More of them at once are not so many
//! careless clients, but one mistake in front of the server, such as a proxy that says `http` of everything; so revoking
//! stops then, until the process is started again, and each further credential is reported.
//!
//! # What is not found out
//!
//! * A credential is told of once a minute, however often it comes.
//! * 128 requests are looked at in one moment, each for 10 seconds at most. What comes beyond that in a flood, and what takes
//!   longer, is an event with the action `skipped` or `unknown`, and nothing else.
//! * Of two credentials in one request, or one that cannot be read, it is told that there was something (`unknown`), and not
//!   whose it was. A key that will be good later counts; a token that will be is worth nothing yet.
//! * A request on a path that is exempt is looked at like any other.

use std::error::Error;
use std::fmt;

use crate::{Answer, Principal, Rejection};

/// What a [`Scheme`](crate::Scheme) knows of a credential that came over plain HTTP.
#[must_use = "what is exposed has to be told to somebody"]
pub struct Exposure(pub(super) Known);

pub(super) enum Known {
    /// It is good for nothing.
    Worthless,
    /// Nobody knows.
    Unknown(Rejection),
    /// It is good for this, and may be revoked so.
    Good(Principal, Option<Revoke>),
}

pub(super) type Revoke = Box<dyn FnOnce() -> Answer<Result<(), Box<dyn Error + Send + Sync>>> + Send>;

impl Exposure {
    /// The credential is good for nothing: unknown, forged, expired, revoked already.
    pub const fn worthless() -> Self {
        Self(Known::Worthless)
    }

    /// It is not known what the credential is good for, since something is out of reach, say.
    pub const fn unknown(rejection: Rejection) -> Self {
        Self(Known::Unknown(rejection))
    }

    /// The credential is good, and speaks for somebody.
    pub const fn of(principal: Principal) -> Self {
        Self(Known::Good(principal, None))
    }

    /// Says how to revoke the credential, if it is a good one. Whether that is done is up to the layer.
    pub fn with_revocation<E>(self, revoke: impl FnOnce() -> Answer<Result<(), E>> + Send + 'static) -> Self
    where
        E: Error + Send + Sync + 'static,
    {
        match self.0 {
            Known::Good(principal, _) => {
                let revoke = || revoke().map(|done| done.map_err(|error| Box::from(error) as _));
                Self(Known::Good(principal, Some(Box::new(revoke))))
            }
            known => Self(known),
        }
    }
}

impl fmt::Debug for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Known::Worthless => f.write_str("Worthless"),
            Known::Unknown(rejection) => f.debug_tuple("Unknown").field(rejection).finish(),
            Known::Good(principal, _) => f.debug_tuple("Good").field(principal).finish(),
        }
    }
}

/// What was done about a good credential that came over plain HTTP.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Exposed {
    /// It was reported and is as good as before: the scheme revokes none, or not this one.
    Reported,
    /// It was revoked.
    Revoked,
    /// It was to be revoked, and that failed. The next request with it tries again.
    RevocationFailed,
    /// It was reported only: there were too many of them at once, and somebody has to look.
    RevocationStopped,
}

impl Exposed {
    /// Returns the stable name used in events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Revoked => "revoked",
            Self::RevocationFailed => "revocation_failed",
            Self::RevocationStopped => "revocation_stopped",
        }
    }
}
