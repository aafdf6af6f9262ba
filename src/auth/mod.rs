//! The pipeline: take a credential, verify it, attach a [`Principal`](crate::Principal), or refuse.
//!
//! It is written once, for every scheme. [`AuthLayer`] makes [`Auth`] services, whose [`ResponseFuture`] holds all that
//! happens after `call`; a [`Scheme`] says where a credential stands and whether it is good; a [`Responder`] turns a
//! [`Rejection`](crate::Rejection) into a response.

mod future;
mod guard;
mod judged;
mod kept;
mod layer;
mod or;
mod problem;
pub mod require_login;
pub mod require_scopes;
pub mod responder;
pub mod scheme;
mod service;
pub mod throttle;
mod trail;

pub use future::ResponseFuture;
pub(crate) use guard::Guard;
pub use judged::JudgedFuture;
#[cfg(feature = "limits")]
pub(crate) use judged::judged;
pub use layer::AuthLayer;
pub use or::{Either, Or};
pub use problem::Problem;
#[cfg(any(feature = "axum", feature = "tonic"))]
pub(crate) use problem::fill;
pub use require_login::{RequireLogin, RequireLoginService};
pub use require_scopes::{Need, RequireScopes, RequireScopesService};
pub use responder::Responder;
#[cfg(any(feature = "limits", feature = "tonic"))]
pub(crate) use responder::whole_seconds;
pub(crate) use responder::{NO_STORE, is_grpc, render};
pub use scheme::{Admission, Ownership, Scheme};
pub use service::Auth;
pub use throttle::FailedAttempts;
pub(crate) use throttle::THROTTLED;

/// Refuses because no layer stands outside, and says so in the log: no one else will.
pub(crate) fn no_layer() -> crate::Rejection {
    static LOG: std::sync::LazyLock<crate::events::RefusalLog> =
        std::sync::LazyLock::new(|| crate::events::RefusalLog::new(crate::events::REFUSALS_PER_SECOND));
    let rejection = crate::Rejection::misconfigured(
        "layer_missing",
        "a principal or its scopes were asked for on a route that no tower-keep layer guards",
    );
    crate::events::refused(&LOG, &rejection, false);
    rejection
}
