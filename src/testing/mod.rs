//! For tests of services that are guarded: an issuer in a box, and a clock that stands still.
//!
//! ```
//! use std::time::Duration;
//! use http::{Request, StatusCode};
//! use tower::{ServiceExt, service_fn};
//! use tower_keep::testing::{TestClock, TestIssuer};
//! use tower_keep::{BearerLayer, Jwt, Problem};
//! use tower_layer::Layer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = TestClock::new();
//! let issuer = TestIssuer::new().with_clock(clock.clone());
//! let tokens = Jwt::discover(&issuer).audience(issuer.audience()).clock(clock.clone()).build()?;
//! let service = BearerLayer::new(tokens).layer(service_fn(async |_: Request<String>| {
//!     Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
//! }));
//!
//! let token = issuer.token("alice").claim("scope", "orders:read");
//! let request = Request::get("/").header("authorization", token.bearer()).body(String::new())?;
//! assert_eq!(service.clone().oneshot(request.clone()).await?.status(), StatusCode::OK);
//!
//! clock.advance(Duration::from_secs(2 * 60 * 60));
//! assert_eq!(service.oneshot(request).await?.status(), StatusCode::UNAUTHORIZED);
//! # Ok(())
//! # }
//! ```
//!
//! No socket is opened for that: the issuer is an [`HttpClient`](crate::HttpClient) at the same time, so that a test may stop the
//! clock of tokio. [`TestIssuer::serve`] puts it behind a real socket.
//!
//! # Security
//!
//! Whoever holds a [`TestIssuer`] signs any token. Enable the feature `testing` under `[dev-dependencies]` alone.

mod clock;
mod deny_list;
mod issuer;
#[cfg(feature = "api-key")]
mod key_store;
mod replay_store;
mod reply;
mod server;
mod signing;
mod token;

pub use clock::TestClock;
pub use deny_list::deny_list_contract;
pub use issuer::TestIssuer;
#[cfg(feature = "api-key")]
pub use key_store::key_store_contract;
pub use replay_store::replay_store_contract;
pub use reply::Reply;
pub use server::TestServer;
pub use token::TestToken;
