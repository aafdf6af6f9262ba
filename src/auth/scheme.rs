//! A scheme: where a credential stands in a request, and whether it is good.
//!
//! A scheme of one's own is one type. This one takes a ticket out of a header of its own and knows one that is good:
//!
//! ```
//! use http::request::Parts;
//! use tower_keep::{Admission, Answer, AuthLayer, Challenge, Principal, Rejection, Scheme};
//!
//! #[derive(Debug)]
//! struct Ticket;
//!
//! impl Scheme for Ticket {
//!     type Credential = http::HeaderValue;
//!
//!     fn take(&self, head: &mut Parts) -> Result<Option<Self::Credential>, Rejection> {
//!         if head.headers.get_all("ticket").iter().count() > 1 {
//!             return Err(Rejection::malformed("ticket_repeated"));
//!         }
//!         Ok(head.headers.remove("ticket"))
//!     }
//!
//!     fn verify(&self, ticket: Self::Credential) -> Answer<Result<Admission, Rejection>> {
//!         // A real scheme compares in constant time, and compares digests.
//!         Answer::Now(match ticket == "row 7" {
//!             true => Ok(Admission::new(Principal::builder("guest").scheme("ticket").build())),
//!             false => Err(Rejection::invalid("ticket_unknown")),
//!         })
//!     }
//!
//!     fn challenges(&self) -> Vec<Challenge> {
//!         vec![Challenge::new("Ticket").with("realm", "cinema")]
//!     }
//!
//!     fn fields(&self) -> Vec<http::HeaderName> {
//!         vec![http::HeaderName::from_static("ticket")]
//!     }
//! }
//!
//! let layer = AuthLayer::over(Ticket);
//! ```

use http::request::Parts;
use http::{HeaderName, HeaderValue};

use crate::{Answer, Challenge, ConfigError, Exposure, Principal, Rejection, Standing};

/// A way to prove who sent a request.
///
/// [`Auth`](crate::Auth) calls [`take`](Self::take) and then [`verify`](Self::verify) for each request, and
/// [`challenges`](Self::challenges) when a layer is set up.
pub trait Scheme: Send + Sync + 'static {
    /// What is taken out of a request. It owns all it needs, so that verifying it may take its time.
    type Credential: Send + 'static;

    /// Takes the credential out of the head of a request.
    ///
    /// Every field that the scheme reads is **removed**, all values of it, so that nothing further in can see, forward
    /// or log it. `None` means that there is no credential of this scheme; a field that belongs to another scheme stays.
    ///
    /// # Errors
    ///
    /// [`Cause::Malformed`](crate::Cause::Malformed) for a credential that cannot be read, and for more than one.
    fn take(&self, head: &mut Parts) -> Result<Option<Self::Credential>, Rejection>;

    /// Verifies a credential.
    ///
    /// # Errors
    ///
    /// The rejection in the answer says whose fault it is: [`Cause::Invalid`](crate::Cause::Invalid) for a bad
    /// credential, whatever is wrong with it; [`Cause::Unavailable`](crate::Cause::Unavailable) where it cannot be known.
    fn verify(&self, credential: Self::Credential) -> Answer<Result<Admission, Rejection>>;

    /// Proves that a credential is good by what is in memory, for a client that has failed too often: no store is asked, no
    /// network, and no code for signatures. Nothing says nothing of the credential, which is then refused; that is the default.
    /// See [`throttle`](crate::auth::throttle).
    fn recall(&self, credential: Self::Credential) -> Option<Admission> {
        let _ = credential;
        None
    }

    /// Returns what a caller without a credential is asked for, one challenge for each authentication scheme.
    ///
    /// An `Authorization` field that names one of these schemes and that `take` leaves in place belongs to nobody, and
    /// is refused.
    fn challenges(&self) -> Vec<Challenge>;

    /// Returns how surely a value of `Authorization` is a credential of this scheme. Where two schemes share the field, the
    /// surer one takes it, in whichever order they stand.
    fn owns(&self, authorization: &HeaderValue) -> Ownership {
        let _ = authorization;
        Ownership::None
    }

    /// Returns whether [`take`](Self::take) takes every value of `Authorization` that stands under one of the authentication
    /// schemes of [`challenges`](Self::challenges), so that nobody has to look for one that it left.
    fn leaves_none(&self) -> bool {
        false
    }

    /// Returns which kinds of values under `Authorization: Bearer` the scheme takes, but for those with a prefix of its own. A
    /// layer has one scheme at most for each kind.
    fn bearer_kinds(&self) -> Vec<Ownership> {
        Vec::new()
    }

    /// Checks the scheme when it becomes part of a layer; see [`AuthLayer::check`](crate::AuthLayer::check).
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Finds out what a credential is worth that came over plain HTTP, once its request has been refused for that, where
    /// [`RequireHttps::watch`](crate::RequireHttps::watch) asks for it. It is a whole credential that counts, never a part
    /// of one that is known to others. The default knows of none that is worth anything.
    fn exposed(&self, credential: Self::Credential) -> Answer<Exposure> {
        let _ = credential;
        Answer::Now(Exposure::worthless())
    }

    /// Asks how a principal stands that the scheme let in before, for [`Principal::ended`]: nothing for one that it did not
    /// let in, or knows nothing more of, which stands by its end then. The default knows nothing of any.
    fn standing(&self, principal: &Principal) -> Option<Answer<Standing>> {
        let _ = principal;
        None
    }

    /// Returns the header fields, other than `Authorization`, that `take` reads. An answer to nobody varies by them, so
    /// that no cache hands it to somebody whose credential stands in one of them.
    fn fields(&self) -> Vec<HeaderName> {
        Vec::new()
    }
}

/// How surely a value of `Authorization` is a credential of a scheme, the surest last.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Ownership {
    /// It is not, or the scheme does not say.
    #[default]
    None,
    /// It may be: the scheme takes what no other one owns.
    CatchAll,
    /// It has the form, such as the three segments of a JWT.
    Form,
    /// It starts as nothing else does, or stands under an authentication scheme of its own.
    Prefix,
}

/// The verdict on a good credential: a principal, and what the response needs because of it.
#[derive(Clone, Debug)]
pub struct Admission {
    pub(crate) principal: Principal,
    pub(crate) presented_as: Option<&'static str>,
    pub(crate) field: Option<HeaderName>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Admission {
    /// Lets a principal in.
    pub const fn new(principal: Principal) -> Self {
        Self { principal, presented_as: None, field: None, headers: Vec::new() }
    }

    /// Returns who is let in.
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Names the authentication scheme under which the credential came, so that a refusal further in asks for the
    /// same one again.
    #[must_use]
    pub const fn presented_as(mut self, scheme: Option<&'static str>) -> Self {
        self.presented_as = scheme;
        self
    }

    /// Names the header field, other than `Authorization`, that held the credential. Shared caches know of no secret in
    /// such a field, so the response to a GET or HEAD becomes `Cache-Control: private` and varies by the field.
    #[must_use]
    pub fn in_field(mut self, field: HeaderName) -> Self {
        self.field = Some(field);
        self
    }

    /// Sets a header field of the response, whatever the inner service put there.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}
