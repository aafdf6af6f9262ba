//! No credential over plain HTTP.
//!
//! [`RequireHttps`] stands outside everything else and answers 403 to every request that did not come over TLS, in the same
//! bytes whatever the request carries: an answer that told a good credential from a bad one would tell it to the whole
//! network (Protecting Credentials with HTTP APIs, the approved BCP of the IETF, section 2). A redirect would come too
//! late: the credential has been sent by then, and clients that follow it never notice.
//!
//! ```
//! use std::net::SocketAddr;
//! use axum::extract::ConnectInfo;
//! use tower_keep::{RequireHttps, TrustedProxies};
//!
//! // Behind a proxy that sets X-Forwarded-Proto; `app.into_make_service_with_connect_info::<SocketAddr>()` is what is served.
//! let behind_a_proxy = RequireHttps::new()
//!     .behind(TrustedProxies::new(["10.0.0.0/8"])?)
//!     .peer_from::<ConnectInfo<SocketAddr>>()
//!     .exempt("/healthz")?;
//!
//! // TLS by axum-server.
//! # use std::sync::Arc;
//! let direct = RequireHttps::new().tls_marker::<Arc<axum_server::tls::TlsInfo>>();
//! # Ok::<(), tower_keep::ConfigError>(())
//! ```
//!
//! How the layer knows is told in [`origin`](crate::origin); what it does with a credential that came over plain HTTP, in
//! [`exposure`].

mod alarm;
pub mod exposure;
mod future;
mod hosts;
pub mod hsts;
mod layer;
mod service;

pub use exposure::{Exposed, Exposure};
pub use future::RequireHttpsFuture;
pub use hsts::Hsts;
pub use layer::RequireHttps;
pub use service::RequireHttpsService;
